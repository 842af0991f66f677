"""The models of a first pass: however many processes train them, they come out the same."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import RICH, SMALL

from nerwin import modeldir
from nerwin.cli import main
from nerwin.config import load_config
from nerwin.errors import ConfigError
from nerwin.firstpass import FirstPass
from nerwin.manifest import read_manifest
from nerwin.options import Config
from nerwin.training import Run

Files = dict[str, bytes]
SETTINGS = [*SMALL, *RICH, ("features", "folds", 3), ("training", "epochs", 2)]


def options(*others: tuple[str, str, object]) -> Config:
    return load_config(overrides=[*SETTINGS, *others])


def arrays(folder: Path) -> Files:
    """Every array of a run, byte for byte."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.npy")}


def train(run: Run, jobs: int = 1, epochs: float = float("inf")) -> Run:
    """Train some epochs, or all."""
    going = run.epochs(jobs=jobs)
    for number, _ in enumerate(going, 1):
        if number >= epochs:
            break
    going.close()
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What one process makes without a stop."""
    run = train(Run.start(options(), tmp_path_factory.mktemp("runs") / "whole"))
    assert run.windows[0] == run.windows[1]
    return arrays(run.folder)


def children(pid: int) -> list[int]:
    """The processes that are children of one, if the system tells."""
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in task.read_text().split()] if task.exists() else []


@pytest.mark.parametrize("jobs", [2, 9])
def test_several_processes_make_what_one_makes(tmp_path: Path, whole: Files, jobs: int) -> None:
    before = children(os.getpid())
    run = Run.start(options(), tmp_path / "run")
    shown: list[int] = []
    told = [(epoch.fold, epoch.number) for epoch in run.epochs(shown.append, jobs)]
    assert arrays(run.folder) == whole
    assert sorted(told[:8]) == [(fold, number) for fold in (1, 2, 3, 4) for number in (1, 2)]
    assert told[8:] == [(0, 1), (0, 2)]
    for fold in range(5):
        assert [number for f, number in told if f == fold] == [1, 2]
    assert run.windows == (sum(shown), sum(shown))
    assert children(os.getpid()) == before


@pytest.mark.parametrize("seed", range(3))
def test_it_may_be_stopped_anywhere_and_go_on_with_other_jobs(
    tmp_path: Path, whole: Files, seed: int
) -> None:
    draw = random.Random(seed)
    run = train(Run.start(options(), tmp_path / "run"), draw.choice([1, 2, 4]), draw.choice([1, 3]))
    while not run.done:
        run = train(Run.resume(run.folder), draw.choice([1, 2, 4]), draw.choice([1, 2, 3]))
    assert arrays(run.folder) == whole
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()[1:]
    assert len(lines) == 10


def test_any_of_the_models_may_be_the_first_to_be_saved(tmp_path: Path, whole: Files) -> None:
    run = Run.start(options(), tmp_path / "run")
    for number, epoch in ((2, 1), (4, 1), (4, 2)):
        first = FirstPass(
            run.folder, run.manifest, run.model, run.splits["train"], run._folds, None
        )
        made = first(number, epoch)
        run.manifest = modeldir.add_of_first_pass(
            run.folder, run.manifest, made.name, made.checkpoint, finished=epoch == 2
        )
    manifest = read_manifest(run.folder)
    assert (manifest.missing, manifest.saved) == ([1, 2, 3], {2: 1, 4: 2})
    assert arrays(train(Run.resume(run.folder)).folder) == whole


def test_it_can_be_sent_to_a_process_that_is_not_forked(tmp_path: Path) -> None:
    run = Run.start(options(("features", "ngrams", 5)), tmp_path / "run")
    first = FirstPass(run.folder, run.manifest, run.model, run.splits["train"], run._folds, None)
    sent = pickle.loads(pickle.dumps(first))
    first(1, 1)
    here = arrays(run.folder)
    sent(1, 1)
    assert arrays(run.folder) == here


def test_fewer_epochs_than_are_trained_already_end_it(tmp_path: Path) -> None:
    run = train(Run.start(options(("training", "epochs", 3)), tmp_path / "run"), epochs=2)
    again = train(Run.resume(run.folder, epochs=1), jobs=2)
    assert again.done
    assert again.manifest.saved == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1}


def test_fewer_epochs_never_train_at_a_negative_rate(tmp_path: Path) -> None:
    linear = options(("training", "epochs", 4), ("training", "schedule", "linear"))
    run = train(Run.start(linear, tmp_path / "run"), epochs=3)
    rates = [e.learning_rate for e in Run.resume(run.folder, epochs=2).epochs() if e.fold]
    assert min(rates) >= 0


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_all_windows_are_trained_in_the_end_with_other_epochs_too(
    tmp_path: Path, epochs: int
) -> None:
    run = train(Run.start(options(("training", "epochs", 3)), tmp_path / "run"), epochs=5)
    run = Run.resume(run.folder, epochs)
    shown = [run.windows[0]]
    total = run.windows[1]
    for _ in run.epochs(shown.append):
        pass
    assert run.windows == (sum(shown), total) == (total, total)


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_at_all_are_refused_or_one(tmp_path: Path, whole: Files, jobs: int) -> None:
    try:
        told = list(islice(Run.start(options(), tmp_path / "run").epochs(jobs=jobs), 11))
    except ConfigError:
        return
    assert len(told) == 10
    assert arrays(tmp_path / "run") == whole


def test_a_stop_between_the_passes_is_told_as_such(tmp_path: Path) -> None:
    run = train(Run.start(options(), tmp_path / "run"), epochs=8)
    assert (run.manifest.missing, run.last_epoch) == ([], 0)
    result = CliRunner().invoke(main, ["train", "--resume", str(run.folder)])
    assert result.stdout.splitlines()[0].endswith("the first pass")
    assert "second pass" in result.stdout.splitlines()


def test_what_a_killed_process_left_is_gone_in_the_end(tmp_path: Path, whole: Files) -> None:
    run = train(Run.start(options(), tmp_path / "run"), epochs=1)
    shutil.copytree(run.folder / "fold-1-epoch-1", tmp_path / "kept")
    run = train(Run.resume(run.folder), epochs=1)
    shutil.copytree(tmp_path / "kept", run.folder / "fold-1-epoch-1")  # killed before its removal
    assert arrays(train(Run.resume(run.folder)).folder) == whole


def command(folder: Path, *others: object) -> list[str]:
    settings = [f"--set={section}.{key}={json.dumps(value)}" for section, key, value in SETTINGS]
    return ["train", *settings, "-o", str(folder), *map(str, others)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_model_that_diverges_is_told_in_one_line(tmp_path: Path, jobs: int) -> None:
    wild = ["--learning-rate", "1e30", "--optimizer", "sgd", "--jobs", jobs]
    result = CliRunner().invoke(main, command(tmp_path / "run", *wild))
    assert result.exit_code == 1
    told = "Error: model [12] of the first pass, epoch 1: training diverged"
    assert re.match(told, result.stderr)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", ["Ctrl-C", "kill", "kill a worker"])
def test_a_stop_leaves_no_process_and_nothing_is_lost(tmp_path: Path, end: str) -> None:
    run = tmp_path / "run"
    args = [sys.executable, "-m", "nerwin", *command(run, "-j", "2", "--epochs", "200")]
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("    2"):
                break
        workers = children(process.pid)
        assert len(workers) == 2
        if end == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        else:
            pid = process.pid if end == "kill" else workers[0]
            os.kill(pid, signal.SIGKILL)
        _, told = process.communicate(timeout=30)
    assert process.returncode == {"Ctrl-C": 130, "kill": -signal.SIGKILL, "kill a worker": 1}[end]
    if end == "kill a worker":
        assert told.startswith("Error: a worker process was killed")
        assert told.count("\n") == 1
    if end != "kill":
        assert told.endswith(f"nerwin train --resume {run}\n")
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    again = Run.resume(run, epochs=2)
    assert sum(again.manifest.saved.values()) >= 2
    assert train(again, jobs=2).done


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
