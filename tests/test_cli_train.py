"""``nerwin train`` as a user meets it."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commandline import NERWIN, SMALL, TEST, fails, nerwin

from nerwin import sources
from nerwin.config import load_config
from nerwin.descent import Descent
from nerwin.engine import kernels
from nerwin.storage import unlock
from nerwin.training import Run


def test_train_makes_a_run_and_says_what_to_type_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = nerwin("train", *SMALL)
    assert result.exit_code == 0, result.output
    assert "nerwin predict runs/dev -" in result.stdout
    assert re.search(r"^ +2 +\d\.\d+ +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +[\d,]+", result.stdout, re.M)
    lines = [json.loads(x) for x in (tmp_path / "runs/dev/metrics.jsonl").read_text().splitlines()]
    assert lines[0]["config"]["training"]["epochs"] == 2
    assert [line["epoch"] for line in lines[1:]] == [1, 2]
    metrics = json.loads((tmp_path / "runs/dev/metrics.json").read_text())
    assert set(metrics["dev"]) >= {"precision", "recall", "f1", "types"}
    assert set(metrics["dev"]["types"]["PER"]) == {"precision", "recall", "f1", "support"}


def test_train_says_if_numpy_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "engine   NumPy alone, which is slower: no C compiler at installation"
    result = nerwin("train", *SMALL, "-o", str(tmp_path / "run"))
    assert (told in result.stdout) == (not kernels.compiled())
    monkeypatch.setattr(kernels, "compiled", lambda: None)
    assert told in nerwin("train", *SMALL, "-o", str(tmp_path / "alone")).stdout


def test_a_run_is_never_overwritten_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert nerwin("train", *SMALL).exit_code == 0
    assert {path.name for path in Path("runs").iterdir()} == {"dev", "dev-2", "dev-3"}
    fails(nerwin("train", *SMALL, "-o", "runs/dev"), 2, "exists already", "--overwrite")
    assert nerwin("train", *SMALL, "-o", "runs/dev", "--overwrite").exit_code == 0
    Path("thesis").mkdir()
    Path("thesis/chapter1.txt").touch()
    fails(nerwin("train", *SMALL, "-o", "thesis", "--overwrite"), 2, "not the folder of a run")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"manifest_version": 3}'])
def test_what_only_looks_like_a_run_is_not_overwritten(tmp_path: Path, manifest) -> None:
    mine = tmp_path / "mine"
    (mine / "epoch-9").mkdir(parents=True)
    for name in ("words.txt", "metrics.json", "cluster-notes.npy", "epoch-9/model.pt"):
        (mine / name).write_text("important")
    if manifest:
        (mine / "manifest.json").write_text(manifest)
    before = contents(mine)
    fails(nerwin("train", *SMALL, "-o", mine, "--overwrite"), 2, "not the folder of a run")
    assert contents(mine) == before


DIVERGES = ("--learning-rate", "1e30")


def test_a_run_is_replaced_once_another_has_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nerwin("train", *SMALL, "-o", run).exit_code == 0
    (run / "replaced").mkdir()
    for name in ("notes.txt", "replaced/notes.txt"):
        (run / name).write_text("mine")
    before = contents(run)
    failed = nerwin("train", *SMALL, "-o", run, "--overwrite", *DIVERGES)
    fails(failed, 1, "diverged")
    assert f"{run} is as it was before\n" in failed.stderr
    assert contents(run) == before

    config = load_config(None, [("data", "train", SMALL[1]), ("data", "vectors", "none")])
    Run.start(config, run, overwrite=True)  # and is killed
    unlock(run)
    fails(nerwin("predict", run, "-", input="a"), 2, "no epoch", f"is in {run / 'replaced'}")
    assert nerwin("predict", run / "replaced", "-", input="a").exit_code == 0
    fails(nerwin("train", *SMALL, "-o", run, "--overwrite", *DIVERGES), 1, "diverged")
    assert contents(run) == before

    assert nerwin("train", *SMALL, "-o", run, "--overwrite", "--seed", 1).exit_code == 0
    after = contents(run)
    assert after.keys() == before.keys()
    assert after["notes.txt"] == after["replaced/notes.txt"] == b"mine"
    assert after["manifest.json"] != before["manifest.json"]


def test_a_run_does_not_replace_its_teacher(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nerwin("train", *SMALL, "-o", run).exit_code == 0
    before = contents(run)
    again = nerwin("train", *SMALL, "--teachers", run, "-o", run, "--overwrite")
    fails(again, 2, "one of the teachers")
    assert contents(run) == before


def test_numbers_that_no_array_can_have_are_told(tmp_path: Path) -> None:
    for option in ("hidden", "dimensions", "ngrams", "feature-size", "batch-size", "window"):
        for number in (10**18, 10**30):
            result = nerwin("train", *SMALL, f"--{option}", number, "-o", tmp_path / "run")
            fails(result, 2, "expected at most")


def test_flags_win_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text("[training]\nepochs = 1\nseed = 7\n[model]\nhidden = [4, 3]\n")
    flags = [*SMALL[:6], "--dimensions", "8", "--seed", "9", "--set", "training.batch_size=16"]
    assert nerwin("train", "my.toml", *flags).exit_code == 0
    config = json.loads(Path("runs/my/manifest.json").read_text())["config"]
    assert config["training"]["epochs"] == 1
    assert config["training"]["seed"] == 9
    assert config["training"]["batch_size"] == 16
    assert config["training"]["optimizer"] == "sgd"
    assert config["model"]["hidden"] == [4, 3]


def test_resume_takes_epochs_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nerwin("train", *SMALL, "-o", run).exit_code == 0
    fails(nerwin("train", "--resume", run, "--seed", 3), 2, "only --epochs")
    fails(nerwin("train", "demo", "--resume", run), 2, "only --epochs")
    result = nerwin("train", "--resume", run, "--epochs", 3)
    assert result.exit_code == 0, result.output
    assert "after epoch 2" in result.output
    assert "best epoch" in result.output


def test_a_resume_that_fails_changes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nerwin("train", *SMALL, "-o", run).exit_code == 0
    (run / "epoch-2" / "E.npy").write_bytes(b"x")
    before = contents(run)
    fails(nerwin("train", "--resume", run, "--epochs", 9), 1, "epoch-2")
    assert contents(run) == before


def test_a_run_goes_on_whatever_its_metrics_have_become(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nerwin("train", *SMALL, "-o", run).exit_code == 0
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    strange = [b"garbage \xff\n", b"null\n", b"[1]\n", b"{}\n", b'{"epoch": "x"}\n', b"\n"]
    (run / "metrics.jsonl").write_bytes(b"".join([lines[0], *strange, *lines[1:]]))
    assert nerwin("train", "--resume", run, "--epochs", 3).exit_code == 0
    lines = (run / "metrics.jsonl").read_bytes().splitlines()[1:]
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_train_tells_what_was_tuned(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = nerwin("train", *SMALL, "--tune", "--epochs", 8, "-o", run)
    metrics = json.loads((run / "metrics.json").read_text())
    before, after = (100 * metrics[key]["f1"] for key in ("dev_as_trained", "dev"))
    assert f"tuned on dev: F1 {before:.2f} → {after:.2f}; thresholds LOC " in result.output
    manifest = json.loads((run / "manifest.json").read_text())
    weight = manifest["checkpoints"][manifest["best"]]["decision"]["transitions"]
    assert f"weight of transitions {weight:g}\n" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="no locks that go with the process")
def test_a_run_that_is_being_trained_is_left_to_whoever_trains_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = [*NERWIN, "train", *SMALL, "--epochs", "100000", "--patience", "0", "-o", run]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while not (run / "manifest.json").exists():
                assert process.stdout.readline()
            for again in (["--resume", run], [*SMALL, "-o", run, "--overwrite"]):
                fails(nerwin("train", *again), 1, "another process trains this run")
        finally:
            process.kill()
    result = nerwin("train", "--resume", run, "--epochs", 1)
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(sys.platform == "win32", reason="no locks that go with the process")
def test_of_two_that_start_at_once_one_trains(tmp_path: Path, monkeypatch) -> None:
    run, read = tmp_path / "run", sources.read_splits
    args = [*NERWIN, "train", *SMALL, "--epochs", "100000", "--patience", "0", "-o", run]
    first: list[subprocess.Popen] = []

    def until_there_is(name: str) -> None:
        while not (run / name).exists():
            assert first[0].poll() is None
            time.sleep(0.01)

    def read_while_the_other_begins(config):
        first.append(subprocess.Popen(args, stdout=subprocess.DEVNULL))
        until_there_is("words.txt")
        return read(config)

    monkeypatch.setattr(sources, "read_splits", read_while_the_other_begins)
    try:
        fails(nerwin("train", *SMALL, "-o", run), 1, "another process trains this run")
        until_there_is("manifest.json")
    finally:
        first[0].kill()
        first[0].wait()
    assert nerwin("predict", run, "-", input="a b").exit_code == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("full_at", ["epoch-2/E.npy", "manifest.json"])
def test_a_disk_that_fills_up_is_told_with_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    run = tmp_path / "run"

    def fsync(file: int) -> None:
        if (run / "epoch-2").exists() and full_at in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("nerwin.storage.os.fsync", fsync)
    result = nerwin("train", *SMALL, "-o", run)
    told = f"{run / full_at}: cannot be written: No space left on device"
    fails(result, 1, f"{told}; {run} holds epoch 1: nerwin train --resume {run}")
    assert not list(run.rglob("*.partial"))
    monkeypatch.undo()
    assert nerwin("train", "--resume", run).exit_code == 0


def test_a_run_that_diverges_is_not_said_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step = tmp_path / "run", Descent.step

    def wild(*args) -> float:
        return math.nan if (run / "epoch-1").exists() else step(*args)

    monkeypatch.setattr(Descent, "step", wild)
    told = "epoch 2: training diverged (loss nan); try a smaller --learning-rate"
    result = nerwin("train", *SMALL, "-o", run)
    fails(result, 1, f"{told}; {run} holds epoch 1")
    assert "--resume" not in result.stderr  # it would diverge again


def test_ctrl_c_saves_the_last_epoch_and_tells_how_to_go_on(tmp_path: Path) -> None:
    args = [*NERWIN, "train", *SMALL, "--epochs", "100000", "--patience", "0", "-o", "run"]
    with subprocess.Popen(
        args, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("    2"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "nerwin train --resume run" in errors
    assert "Traceback" not in errors
    out = subprocess.run(
        [*NERWIN, "predict", "run", "-"],
        cwd=tmp_path, input="a b\n", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize("lines", [0, 9])
def test_a_closed_pipe_stops_training_and_tells_how_to_go_on(tmp_path: Path, lines: int) -> None:
    args = [*NERWIN, "train", *SMALL, "--epochs", "100000", "--patience", "0", "-o", "run"]
    with subprocess.Popen(
        args, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors.startswith("\nstopped")
    if lines:
        assert errors.endswith("To go on:\n  nerwin train --resume run\n")
        result = nerwin("evaluate", tmp_path / "run", TEST)
        assert result.exit_code == 0, result.output
    else:
        assert not list(tmp_path.iterdir())


def test_a_killed_run_keeps_its_last_epoch(tmp_path: Path) -> None:
    args = [*NERWIN, "train", *SMALL, "--epochs", "100000", "--patience", "0", "-o", "run"]
    with subprocess.Popen(args, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("    3"):
                break
        process.kill()
    result = nerwin("evaluate", tmp_path / "run", TEST)
    assert result.exit_code == 0, result.output


def test_bad_data_is_named_with_its_line_and_makes_no_run(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conll"
    bad.write_text("Paris I-LOC\nis O\n\nnice\n")
    result = nerwin("train", "--train", bad, "--vectors", "none", "-o", tmp_path / "run")
    fails(result, 1, f"{bad}:4: ", "columns")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_a_terminal_gets_a_bar_and_its_cursor_back(tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    with subprocess.Popen(
        [*NERWIN, "train", *SMALL, "-o", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=end
    ) as process:
        os.close(end)
        shown = b""
        try:
            while piece := os.read(terminal, 1 << 16):
                shown += piece
        except OSError:  # Linux tells the end of a terminal so
            pass
        process.communicate(timeout=60)
    os.close(terminal)
    assert b"training" in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")


def test_a_configuration_cannot_allow_itself_to_run_code(tmp_path: Path) -> None:
    config = tmp_path / "evil.toml"
    config.write_text("[data]\nunpickle = true\n")
    fails(nerwin("train", config), 2, "data.unpickle", "command line")
