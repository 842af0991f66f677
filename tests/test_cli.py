"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from commandline import DEV, NERWIN, TEST, fails, nerwin

from nerwin.cli import _COMMANDS, main
from nerwin.cli.train import command as train_command
from nerwin.options import SECTIONS

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
        (["trian"], "no such command 'trian'; did you mean 'train'?"),
        (["sing"], "'sing'"),
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


def test_a_mistyped_command_does_not_disturb_completion() -> None:
    line = {"COMP_WORDS": "nerwin trian --", "COMP_CWORD": "2", "_NERWIN_COMPLETE": "bash_complete"}
    code = "from nerwin.cli import main; main(prog_name='nerwin')"
    command, env = [sys.executable, "-c", code], {**os.environ, **line}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert "--help" in done.stdout


def test_help_can_be_shown_in_any_encoding() -> None:
    for name in _COMMANDS:
        done = subprocess.run(
            [*NERWIN, name, "--help"],
            env={**os.environ, "PYTHONIOENCODING": "cp1252"},
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert b"Traceback" not in done.stderr


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


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system lists no threads")
def test_a_process_has_no_thread_that_would_only_wait(trained: Path) -> None:
    code = (
        "import os\nfrom nerwin.cli import main\n"
        f"main(['predict', {str(trained)!r}], standalone_mode=False)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=b"Paris",
        capture_output=True,
        check=True,
    )
    assert done.stdout.split()[-1] == b"1"


def test_ways_to_start(tmp_path: Path) -> None:
    done = subprocess.run([*NERWIN, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nerwin ")
    environment = {**os.environ, "_NERWIN_COMPLETE": "bash_source"}
    script = Path(sys.executable).with_name("nerwin")
    if not script.exists():
        pytest.skip("nerwin is not installed in this environment")
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert "complete" in done.stdout
