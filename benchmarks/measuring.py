"""Taking turns: everyone does a task in every round, so that a noisy minute hits them all."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from nerwin.engine import kernels

HERE = Path(__file__).parent
NERWIN = [sys.executable, "-m", "nerwin"]
PLAIN = "nerwin, NumPy alone"  # what is measured without the compiled loops
LIBRARIES = {
    "torch": "PyTorch",
    "spacy": "spaCy",
    "pycrfsuite": "python-crfsuite",
}
_SETTINGS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


@dataclass
class Measure:
    """Who does which task, and what came of it.

    unit  of a figure: s, ms, MiB, or something a second
    run   does it once; the figure
    at    the place on the horizontal axis, if the task has one: a number of tokens
    """

    task: str
    who: str
    unit: str
    run: Callable[[], float]
    at: int | None = None
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of its figures."""
        return statistics.median(self.values)


def take_turns(measures: Sequence[Measure], rounds: int, *, warm_up: bool) -> None:
    """Run all measures in each round, forwards and backwards in turn.

    warm_up  one round before, which does not count: files come from memory from then on
    """
    for i in range(-warm_up, rounds):
        for measure in measures if i % 2 == 0 else reversed(measures):
            tell(f"round {i + 1} of {rounds}: {measure.task}: {measure.who}")
            value = measure.run()
            if i >= 0:
                measure.values.append(value)


def tell(what: str) -> None:
    """Say what is being done."""
    print(what, file=sys.stderr)


@cache
def installed(module: str) -> bool:
    """Whether a library is there; if not, that is said, once."""
    if find_spec(module):
        return True
    tell(f"{LIBRARIES[module]} is not installed, and left out: pip install 'nerwin[bench]'")
    return False


def ours() -> list[str]:
    """The names of what nerwin does: with the compiled loops, if there are any, and without."""
    return ["nerwin", PLAIN] if kernels.compiled() else [PLAIN]


@contextmanager
def loops(compiled: bool) -> Iterator[None]:
    """Train with the compiled loops, or without them."""
    if compiled:
        yield
        return
    with patch.object(kernels, "compiled", lambda: None):  # a Mock would take its time
        yield


# --- whole processes, each on one thread ------------------------------------------------------


def run(command: Sequence[str | Path], text: Path | None = None, *, compiled: bool = True) -> None:
    """Run a command, from a file into a file, which is dropped; nerwin with its loops or not.

    Raises SystemExit with what the command said if it fails.
    """
    settings = _SETTINGS | ({} if compiled else {"NERWIN_COMPILED": "0"})
    with open(text or os.devnull, "rb") as file, tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            check=False,
            stdin=file,
            stdout=output,
            stderr=subprocess.PIPE,
            env=os.environ | settings,
        )
    if done.returncode:
        line = " ".join(map(str, command))
        raise SystemExit(f"{line}\n{done.stderr.decode()}\nended with {done.returncode}")


def seconds(command: Sequence[str | Path], text: Path | None = None) -> float:
    """Wall time of a whole process."""
    began = time.perf_counter()
    run(command, text)
    return time.perf_counter() - began


def first_answer(command: Sequence[str | Path], line: str) -> float:
    """Wall time from the start of a process to the first line that it answers to one line."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | _SETTINGS
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n".encode())
        process.stdin.close()
        answer = process.stdout.readline()
        took = time.perf_counter() - began
        process.stdout.read()
    if not answer:
        raise SystemExit(f"{' '.join(map(str, command))}\ngave no answer")
    return took


def peak(
    command: Sequence[str | Path], text: Path | None = None, *, compiled: bool = True
) -> float:
    """The most memory that a Python process held at once, in MiB; Linux only.

    command  of Python, which is told to tell (see peak.py): the figure that the system has of an
             ended child begins with what its parent held
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "peak"
        run([command[0], HERE / "peak.py", report, *command[1:]], text, compiled=compiled)
        return int(report.read_text()) / 1024
