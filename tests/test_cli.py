"""The command line as a user meets it."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nerwin import pieces, sources
from nerwin.cli import _COMMANDS, main
from nerwin.cli.train import command as train_command
from nerwin.descent import Descent
from nerwin.options import SECTIONS
from nerwin.resources import shipped
from nerwin.text import inline
from nerwin.text.files import byte_blocks

DEV = str(shipped("data/demo/dev.conll"))
TEST = str(shipped("data/demo/test.conll"))
SMALL = f"--train {DEV} --dev {TEST} --vectors none --dimensions 8 --hidden 10 --epochs 2".split()
NERWIN = [sys.executable, "-m", "nerwin"]


def nerwin(*args: object, input: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], input=input, prog_name="nerwin")


def fails(result: Result, code: int, *messages: str) -> None:
    """One clear line, the right exit code, no traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    for message in messages:
        assert message in lines[-1]


# --- help -----------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_own_first_line() -> None:
    out = nerwin("--help").output
    for name, first_line in _COMMANDS.items():
        assert re.search(rf"{name}\s+{re.escape(first_line)}", out)
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert (command.help or "").splitlines()[0] == first_line


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_of_each_command_has_an_example(name: str) -> None:
    result = nerwin(name, "--help")
    assert result.exit_code == 0
    assert f"nerwin {name}" in result.output


def test_every_option_of_the_configuration_is_a_flag_with_its_default() -> None:
    out = " ".join(nerwin("train", "--help").output.split())
    flags = {flag for option in train_command.params for flag in option.opts}
    for cls in SECTIONS.values():
        for name in cls.__dataclass_fields__:
            assert "--" + name.replace("_", "-") in flags
    assert "[default: 100]" in out
    assert "[default: logistic]" in out


def test_version() -> None:
    assert re.fullmatch(r"nerwin \d+\.\d+\.\d+\n", nerwin("--version").output)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "trian"),
        (["train", "--epoch", "3"], "--epochs"),
        (["train", "--no-such-thing"], "--no-such-thing"),
        (["train", "--activation", "sigmoidal"], "sigmoid"),
        (["train", "--epochs", "many"], "training.epochs: expected a whole number"),
        (["train", "--epochs", "0"], "at least 1"),
        (["train", "--set", "training.epoch=3"], "did you mean 'epochs'"),
        (["train", "--set", "epochs=3"], "section.key=value"),
        (["train", "no-such-config"], "demo, lecture"),
        (["train", "--train", "nowhere.conll", "--vectors", "none"], "nowhere.conll: no such file"),
        (["train", "--train", DEV], "--vectors"),
        (["train", "--resume", "nowhere"], "no such folder"),
        (["predict"], "RUN"),
        (["predict", "nowhere", "-"], "nowhere: no such folder"),
        (["evaluate", "a", "b", "c"], "[RUN] FILE"),
        (["evaluate", "nowhere.conll"], "nowhere.conll: no such file"),
        (["gradcheck", "nowhere"], "no such folder"),
        (["gradcheck", "--h", "0"], "--h"),
        (["gradcheck", "--h", "nan"], "--h"),
        (["gradcheck", "--h", "1e-14"], "--h"),
        (["evaluate", "a", "b", "--predicted-column", "2"], "--predicted-column"),
        (["gradcheck", "--data", DEV], "RUN"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: list[str], message: str) -> None:
    fails(nerwin(*args), 2, message)


# --- train ----------------------------------------------------------------------------------


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


def test_train_tells_what_was_tuned(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = nerwin("train", *SMALL, "--tune", "--epochs", 8, "-o", run)
    metrics = json.loads((run / "metrics.json").read_text())
    before, after = (100 * metrics[key]["f1"] for key in ("dev_as_trained", "dev"))
    assert f"tuned on dev: F1 {before:.2f} → {after:.2f}; thresholds LOC " in result.output
    assert "weight of transitions 0" in result.output


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


# --- predict --------------------------------------------------------------------------------


def test_predict_writes_token_and_tag(trained: Path) -> None:
    lines = nerwin("predict", trained, "-", input="Paris Hilton's. She left!\n").stdout.split("\n")
    assert [line.split("\t")[0] for line in lines] == [
        "Paris", "Hilton", "'s", ".", "", "She", "left", "!", "", "",
    ]  # fmt: skip
    assert all(re.fullmatch(r"O|[BI]-(LOC|MISC|ORG|PER)", x.split("\t")[1]) for x in lines if x)


def test_predict_json_lines_have_exact_offsets(trained: Path) -> None:
    text = "“Zoë 🎉 met  Kofi Annan\tin New York.”\n\nAnd Paris.\r\nno end"
    result = nerwin("predict", trained, "-", "--format", "jsonl", input=text)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["text"] for r in records] == [
        "“Zoë 🎉 met  Kofi Annan\tin New York.”", "", "And Paris.", "no end",
    ]  # fmt: skip
    assert any(record["entities"] for record in records)
    for record in records:
        for entity in record["entities"]:
            assert list(entity) == ["start", "end", "text", "type", "score"]
            assert record["text"][entity["start"] : entity["end"]] == entity["text"]
            assert 0 <= entity["score"] <= 1


@pytest.mark.parametrize("kind", ["text", "tokenized"])
def test_a_line_too_long_for_one_record_comes_in_pieces(trained: Path, kind: str) -> None:
    long = f"Zoë met Kofi Annan in New York . {'x' * 2000} " * 400
    text = f"Berlin .\n{long}\nParis\n"
    in_json = nerwin("predict", trained, "-", "-i", kind, "--format", "jsonl", input=text).stdout
    records = [json.loads(line) for line in in_json.splitlines()]
    cut = [record.get("cut", False) for record in records]
    assert "".join(r["text"] + "\n" * (not r.get("cut", False)) for r in records) == text
    assert sum(cut) >= 1
    for record in records:
        for entity in record["entities"]:
            assert record["text"][entity["start"] : entity["end"]] == entity["text"]
    marked = nerwin("predict", trained, "-", "-i", kind, "--format", "inline", input=text).stdout
    assert [inline.parse(line)[0] for line in marked.splitlines()] == text.splitlines()
    columns = nerwin("predict", trained, "-", "-i", kind, input=text).stdout
    assert [line.split("\t")[0] for line in columns.split("\n") if line] == text.split()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_length_of_a_line(trained: Path) -> None:
    def peak(megabytes: int) -> int:
        """MiB of a process that has read so much without a newline."""
        with subprocess.Popen(
            [*NERWIN, "predict", str(trained), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            for _ in range(megabytes):
                process.stdin.write((b"x" * 999 + b" ") * 1000)
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.stdin.close()
        assert process.returncode == 0
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024

    assert peak(60) < peak(4) + 25


def test_all_formats_tell_of_the_same_entities(trained: Path) -> None:
    text = shipped("data/README.md").read_text(encoding="utf-8") + "\n[x] \\ Berlin [y](z)\n"
    outputs = {
        f: nerwin("predict", trained, "-", "--format", f, input=text).stdout
        for f in ("conll", "jsonl", "inline")
    }
    from nerwin.text.inline import parse

    records = [json.loads(line) for line in outputs["jsonl"].splitlines()]
    marked = [parse(line) for line in outputs["inline"].split("\n")[:-1]]
    assert [
        (r["text"], [(e["start"], e["end"], e["type"]) for e in r["entities"]]) for r in records
    ] == marked
    begins = sum(
        line.split("\t")[1].startswith("B-") for line in outputs["conll"].split("\n") if line
    )
    assert begins == sum(len(record["entities"]) for record in records)


def test_tokenized_and_conll_input_keep_their_tokens(trained: Path, tmp_path: Path) -> None:
    tokenized = nerwin(
        "predict", trained, "-", "-i", "tokenized", input="can't stop . \n\nU.S.\ta-b\n"
    )
    assert [x.split("\t")[0] for x in tokenized.stdout.split("\n")] == [
        "can't", "stop", ".", "", "U.S.", "a-b", "", "",
    ]  # fmt: skip
    from nerwin.text.corpus import read_corpus

    predicted = tmp_path / "predicted.conll"
    assert nerwin("predict", trained, TEST, "-o", predicted).exit_code == 0
    gold, again = read_corpus(TEST), read_corpus(predicted)
    assert gold.words == again.words
    assert gold.starts.tolist() == again.starts.tolist()


@pytest.mark.parametrize("kind", ["trained", "rich"])
def test_predict_and_evaluate_agree(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that documents come in several pieces.
    monkeypatch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=300))
    run = request.getfixturevalue(kind)
    predicted = nerwin("predict", run, TEST).stdout.split("\n")
    both = tmp_path / "both.conll"
    gold = [line for line in Path(TEST).read_text().split("\n") if not line.startswith("-DOC")]
    tokens = iter(line for line in predicted if line)
    merged = [f"{line}\t{next(tokens).split(chr(9))[1]}" if line else "" for line in gold]
    both.write_text("\n".join(merged))
    columns = json.loads(nerwin("evaluate", both, "--json").stdout)
    model = json.loads(nerwin("evaluate", run, TEST, "--json").stdout)
    assert columns.pop("calibration_error") is None  # tags have no scores
    assert 0 < model.pop("calibration_error") < 0.5
    assert columns == model
    assert model["f1"] > 0


def test_several_files_come_one_after_the_other(trained: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("One.")
    two.write_text("Two.\n")
    assert nerwin("predict", trained, one, two, one).stdout.count("One") == 2
    fails(nerwin("predict", trained, one, tmp_path / "none.txt"), 2, "none.txt: no such file")


def test_an_output_file_appears_whole_or_not_at_all(trained: Path, tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.txt", tmp_path / "bad.txt", tmp_path / "out.conll"
    good.write_text("Fine.\n")
    bad.write_bytes(b"fine\nnot \xff utf-8\n")
    fails(
        nerwin("predict", trained, good, bad, "-o", out, "--strict"), 1, f"{bad}:2: ", "--encoding"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"good.txt", "bad.txt"}
    assert nerwin("predict", trained, good, "-o", out).exit_code == 0
    before = out.read_text()
    fails(nerwin("predict", trained, good, "-o", out), 2, "--overwrite")
    assert out.read_text() == before
    assert (
        nerwin("predict", trained, bad, "--encoding", "latin-1", "-o", out, "--overwrite").exit_code
        == 0
    )
    assert "ÿ" in out.read_text(encoding="utf-8")


def test_predict_ends_quietly_when_its_reader_has_had_enough(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("Paris Hilton flew to Paris.\n" * 50_000)
    command = f"({sys.executable} -m nerwin predict {trained} {text}; echo $? >&2) | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "141\n"


def test_predict_answers_each_line_of_a_pipe_that_waits(trained: Path) -> None:
    with subprocess.Popen(
        [*NERWIN, "predict", str(trained), "-", "-f", "jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("First line.", "Second line."):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()


def test_ctrl_c_ends_predict_with_the_code_of_the_shells(trained: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*NERWIN, "predict", str(trained), "-", "-o", "out.conll"], cwd=tmp_path,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert (process.returncode, told) == (130, b"\nstopped\n")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    text = tmp_path / "text.txt"
    text.write_text("Paris.\n")
    done = subprocess.run(
        [*NERWIN, "predict", str(trained), str(text), "-o", "/dev/full"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: /dev/full: No space left on device\n"


def test_an_output_that_cannot_be_written_is_named(trained: Path, tmp_path: Path) -> None:
    closed = f"echo Paris. | {sys.executable} -m nerwin predict {trained} >&-"
    done = subprocess.run(closed, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: standard output is closed; name a file with --output\n"
    long = tmp_path / ("x" * 250)  # what is not complete has a longer name
    result = nerwin("predict", trained, "-", "-o", long, input="Paris.")
    fails(result, 1, f"{long}: File name too long")


@pytest.mark.parametrize("loss", ["logistic", "softmax", "crf"])
def test_every_kind_of_model_bears_empty_lines_and_no_lines(tmp_path: Path, loss: str) -> None:
    run = tmp_path / "run"
    options = ["--loss", loss, "--tags", "BIOES", "--documents", "--epochs", "1"]
    assert nerwin("train", *SMALL, *options, "-o", run).exit_code == 0
    for text in ("", "\n", "\n\nParis.\n\n"):
        result = nerwin("predict", run, "-", "--format", "jsonl", input=text)
        assert result.exit_code == 0, result.output
        assert len(result.stdout.splitlines()) == text.count("\n")
    alone = nerwin("predict", run, "-", "--format", "jsonl", input="Paris.\n").stdout
    assert result.stdout.splitlines()[2] == alone.strip()


def test_empty_input_gives_empty_output(trained: Path) -> None:
    for form in ("conll", "jsonl", "inline"):
        result = nerwin("predict", trained, "-", "--format", form, input="")
        assert (result.exit_code, result.stdout) == (0, "")


def test_memory_does_not_grow_with_the_input(trained: Path) -> None:
    line = "Last night, Paris Hilton wowed in the sequin gown in New York.\n"
    peaks = []
    for lines in (20_000, 100_000):
        code = (
            "import sys, nerwin.cli as c\n"
            f"sys.argv = ['nerwin', 'predict', {str(trained)!r}, '-', '-f', 'jsonl']\n"
            "try: c.main()\n"
            "finally:\n"
            "    status = open('/proc/self/status').read()\n"
            "    print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
        )
        if not Path("/proc/self/status").exists():
            pytest.skip("this system does not tell a process's peak memory in /proc")
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=line * lines, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stderr))
    # How much is in flight depends on what each read of a pipe gives: several MB either way. With
    # every record kept on purpose, 80,000 lines more took 97 MB more.
    assert peaks[1] < peaks[0] + 20_000


def test_tokens_with_spaces_in_them_stay_whole(trained: Path, tmp_path: Path) -> None:
    columns = tmp_path / "columns.conll"
    columns.write_text("New York\tNNP\nis\tVBZ\n#1\tCD\n")
    for form in ("conll", "jsonl"):
        result = nerwin("predict", trained, columns, "--format", form)
        assert result.exit_code == 0
    tokens = nerwin("predict", trained, columns).stdout.split("\n")
    assert [line.split("\t")[0] for line in tokens if line] == ["New York", "is", "#1"]


def test_standard_input_may_be_named_twice(trained: Path) -> None:
    result = nerwin("predict", trained, "-", "-", input="Paris.\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("Paris\t")


def test_a_column_file_is_read_as_in_training(tmp_path: Path) -> None:
    data = tmp_path / "second.conll"
    data.write_bytes("x Zürich B-LOC\nx shines O\nx Zürich B-LOC\nx shines O\n".encode("latin-1"))
    options = (
        f"--train {data} --vectors none --token-column 1 --encoding latin-1 --epochs 1".split()
    )
    run = tmp_path / "run"
    assert nerwin("train", *options, "-o", run).exit_code == 0
    assert nerwin("predict", run, data).stdout.startswith("Zürich\t")
    assert nerwin("evaluate", run, data).exit_code == 0


def test_help_can_be_shown_in_any_encoding() -> None:
    for name in _COMMANDS:
        done = subprocess.run(
            [*NERWIN, name, "--help"],
            env={**os.environ, "PYTHONIOENCODING": "cp1252"},
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert b"Traceback" not in done.stderr


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


# --- evaluate and gradcheck -----------------------------------------------------------------


def test_evaluate_prints_percent_and_json_fractions(trained: Path) -> None:
    fractions = json.loads(nerwin("evaluate", trained, TEST, "--json").stdout)
    table = nerwin("evaluate", trained, TEST).stdout
    assert f"{100 * fractions['f1']:.2f}" in table
    assert f"scores {100 * fractions['calibration_error']:.2f}%" in table
    assert set(fractions["types"]) == {"PER", "LOC", "ORG", "MISC"}
    metrics = json.loads((trained / "metrics.json").read_text())
    assert fractions == metrics["dev"]


def test_evaluate_counts_as_conlleval_does(tmp_path: Path) -> None:
    file = tmp_path / "columns.txt"
    file.write_text(
        "Paris x B-PER B-PER\nHilton x I-PER I-PER\nflew x O O\nParis x B-LOC O\n\n"
        "New x B-LOC B-LOC\nYork x I-LOC O\nTimes x O B-ORG\n"
    )
    got = json.loads(nerwin("evaluate", file, "--json").stdout)
    assert (got["precision"], got["recall"]) == (1 / 3, 1 / 3)
    assert got["accuracy"] == 4 / 7
    assert got["types"]["ORG"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_gradcheck_passes_and_says_so(trained: Path, rich: Path) -> None:
    for args in (["gradcheck"], ["gradcheck", str(trained)], ["gradcheck", str(rich)]):
        result = nerwin(*args, "--json")
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert found["passed"] is True
        assert 0 < found["worst"] <= 1e-6
        assert {"parameter", "shape", "entries", "error", "passed"} <= set(found["checks"][0])
    assert "passed: " in nerwin("gradcheck", trained).stdout


def test_gradcheck_fails_with_exit_code_1_for_a_wrong_derivative(
    monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    from nerwin.engine import ops

    right = ops.scores

    def scores(*inputs: object) -> object:
        S, (dH, dU) = right(*inputs)
        return S, (dH, lambda dS: 2 * dU(dS))

    monkeypatch.setattr(ops, "scores", scores)
    result = nerwin("gradcheck", trained)
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert json.loads(nerwin("gradcheck", trained, "--json").stdout)["passed"] is False


def test_gradcheck_shows_why_two_sides_are_better(trained: Path) -> None:
    result = nerwin("gradcheck", trained, "--one-sided", "--json")
    assert result.exit_code == 1
    steps = {step["h"]: step for step in json.loads(result.stdout)["steps"]}
    assert 5 < steps[1e-2]["one_sided"] / steps[1e-3]["one_sided"] < 20
    assert 50 < steps[1e-2]["two_sided"] / steps[1e-3]["two_sided"] < 200


# --- speed ----------------------------------------------------------------------------------


def test_help_answers_at_once() -> None:
    def seconds(command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - began

    def best(measure: Callable[[], float]) -> float:
        return min(measure() for _ in range(5))

    click_alone = best(lambda: seconds([sys.executable, "-c", "import click"]))
    assert best(lambda: seconds([*NERWIN, "--help"])) < 2 * click_alone + 0.05


def test_ways_to_start(tmp_path: Path) -> None:
    done = subprocess.run([*NERWIN, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nerwin ")
    environment = {**os.environ, "_NERWIN_COMPLETE": "bash_source"}
    script = Path(sys.executable).with_name("nerwin")
    if not script.exists():
        pytest.skip("nerwin is not installed in this environment")
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert "complete" in done.stdout
