"""``nerwin predict --cluster``: what is to be told before, meanwhile and after."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nerwin.cli.console import INTERRUPTED, Skipped, show_log
from nerwin.cli.inputs import Input, in_store, is_url
from nerwin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nerwin.parallel import Task

_GRAIN = 2  # blocks are so many to a MiB, or several of them


def check(inputs: Sequence[Input], output_format: str, output: str, block_size: float) -> None:
    """Raise ConfigError for what --cluster cannot do."""
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError("--cluster needs Dask: pip install 'nerwin[cluster]'")
    if output_format in {"brat", "html"}:
        raise ConfigError(f"--cluster writes conll, jsonl or inline, not {output_format}")
    if any(item.path == "-" for item in inputs):
        raise ConfigError("--cluster reads files, not standard input: name some")
    if output == "-":
        raise ConfigError("--cluster writes a folder of parts: name it with --output")
    if block_size * _GRAIN % 1 or not block_size:
        raise ConfigError(f"--block-size: {block_size:g} is not a multiple of 0.5 MiB")


def _bar() -> Any:
    return click.progressbar(length=1, label="parts", show_pos=True, file=sys.stderr)


def predict(
    task: Task,
    inputs: Sequence[Input],
    address: str,
    output: str,
    *,
    block_size: float,
    workers: int,
    strict: bool,
    overwrite: bool,
    skipped: Skipped,
) -> None:
    """Make the parts, and tell of malformed records."""
    from nerwin.cluster import run_on_cluster

    show_log()
    paths = [item.path if is_url(item.path) else os.path.abspath(item.path) for item in inputs]
    with contextlib.ExitStack() as stack:
        if store := next(filter(is_url, [output, *paths]), None):
            stack.enter_context(in_store(store))
        bar = stack.enter_context(_bar()) if sys.stderr.isatty() else None

        def progress(done: int, total: int) -> None:
            if bar:
                bar.length = total
                bar.update(done - bar.pos)

        try:
            plan = run_on_cluster(
                address,
                task,
                paths,
                output if is_url(output) else os.path.abspath(output),
                block=round(block_size * (1 << 20)),
                workers=workers,
                strict=strict,
                overwrite=overwrite,
                progress=progress,
            )
        except KeyboardInterrupt:
            click.echo("\nstopped; the same command goes on where it was", err=True)
            sys.exit(INTERRUPTED)
    before = 0  # lines of the file in the parts before
    for i, part in enumerate(plan.parts):
        assert part.done is not None
        before = before if i and plan.parts[i - 1].source == part.source else 0
        name = task.sources[part.source][0]
        for line, message in part.done.wrong:
            skipped(DataError(message, name, before + line))
        skipped.more(part.done.skipped - len(part.done.wrong))
        before += part.done.lines
    if any(p.done and p.done.skipped for p in plan.parts) and not any(
        p.done and p.done.records for p in plan.parts
    ):
        raise DataError("no record could be read", ", ".join(i.shown for i in inputs[:5]))
