"""What the commands share: messages on standard error, tables, output files."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from nerwin.errors import ConfigError, DataError

INTERRUPTED = 130  # what shells give for Ctrl-C
_REPORTED = 10  # malformed records; more are only counted


class _ToStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        click.echo(prefix + record.getMessage(), err=True)


def show_log() -> None:
    """Show nerwin's own messages and warnings to the user."""
    logger = logging.getLogger("nerwin")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _ToStandardError) for handler in logger.handlers):
        logger.addHandler(_ToStandardError())


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligned columns, the first ``left`` of them to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [header, *rows])


def scores_table(scores: dict[str, Any]) -> str:
    """Precision, recall and F1 in percent, a row for each type and one for all."""
    rows = [
        [
            name,
            *(f"{100 * row[key]:.2f}" for key in ("precision", "recall", "f1")),
            f"{row['support']}",
        ]
        for name, row in [*scores["types"].items(), ("all", scores)]
    ]
    return table(["type", "precision", "recall", "F1", "support"], rows)


@contextlib.contextmanager
def open_output(path: str, overwrite: bool) -> Iterator[BinaryIO]:
    """Standard output for ``-``; else a file that appears under its name when it is complete.

    Raises ConfigError if the file exists and is not to be overwritten.
    """
    if path == "-":
        if sys.stdout is None:
            raise ConfigError("standard output is closed; name a file with --output")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if Path(path).exists() and not Path(path).is_file():  # /dev/null, a pipe: nothing to lose
        with _named(path), Path(path).open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.exists() and not overwrite:
        raise ConfigError(f"{path}: exists already; say --overwrite to replace it")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent}: no such folder")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with _named(path), partial.open("wb") as file:
            yield file
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Name the file in an error of the system, which knows another name or none."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


class Skipped:
    """Tells of malformed records, of the first ones in full."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.count = 0

    def __call__(self, error: DataError) -> None:
        """Tell of one; raises it if the first one is to end the work."""
        if self.strict:
            raise error
        if self.count < _REPORTED:
            click.echo(f"skipped: {error}", err=True)
            self.count += 1
        else:
            self.more(1)

    def more(self, count: int) -> None:
        """Count some that are not told of in full."""
        if self.count <= _REPORTED < self.count + count:
            click.echo("skipped: more, which are only counted", err=True)
        self.count += count

    def conclude(self) -> None:
        """Tell how many there were."""
        if self.count:
            were = "record was" if self.count == 1 else "records were"
            click.echo(f"{self.count:,} {were} skipped", err=True)
