"""The command line, for tests of it."""

from __future__ import annotations

import sys

from click.testing import CliRunner, Result

from nerwin.cli import main
from nerwin.resources import shipped

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
