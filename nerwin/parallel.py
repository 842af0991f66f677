"""One task for each piece of some files, done by one process or by several, in order.

The processes are children of this one, with a pipe to each; on Linux they are forked once the
model is loaded, so that they start at once and share its memory. They get pieces of files, as
bytes, and give back what is to be written, as bytes. A pool of the standard library would do, but
hangs when a process is killed while it answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.formats import FORMATS
from nerwin.manifest import MANIFEST
from nerwin.model import Model
from nerwin.modeldir import load_models
from nerwin.pieces import Piece, Reading
from nerwin.prediction import Block, predict
from nerwin.records import records_of

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Found:
    """What came of a piece.

    chunk  what is to be written into each of the format's files; of a format that cannot be
           written piece by piece, nothing
    block  what was found, for such a format
    records  how many
    wrong  its malformed records
    """

    chunk: tuple[bytes, ...] = ()
    block: Block | None = None
    records: int = 0
    wrong: list[DataError] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What is done with each piece of some files; it can be sent to another process or machine.

    runs      the folders of the models, see ``load_models``; their contents are in ``identity``
    sources   each file's name, and how to read it
    form      of ``formats.FORMATS``, with its settings
    types     only entities of these types, and with this score, are written; None: of all types
    """

    runs: tuple[str, ...]
    identity: str
    sources: Sequence[tuple[str, Reading]]
    form: str
    settings: dict[str, Any]
    min_score: float = 0
    types: tuple[str, ...] | None = None

    def __call__(self, number: int, piece: Piece) -> Found:
        """Find the entities in a piece of the file of this number."""
        name, reading = self.sources[number]
        wrong: list[DataError] = []
        records = records_of(piece, name, dataclasses.replace(reading, report=wrong.append))
        if not records:
            return Found(wrong=wrong)
        model = load(self.runs, self.identity)
        (block,) = predict(model, [records], name)
        if self.min_score or self.types is not None:
            types = model.types if self.types is None else self.types
            block = block.only(self.min_score, types)
        form = FORMATS[self.form]
        if not form.by_blocks:
            return Found((), block, len(records), wrong)
        (texts,) = form.write([block], **self.settings)
        return Found(tuple(text.encode() for text in texts), None, len(records), wrong)


def identity_of(runs: Sequence[str]) -> str:
    """What tells trained models from others: a checksum of their manifests, which hold those of
    all their files.
    """
    told = hashlib.sha256()
    for run in runs:
        told.update(hashlib.sha256((Path(run) / MANIFEST).read_bytes()).digest())
    return told.hexdigest()


@lru_cache(maxsize=1)
def load(runs: tuple[str, ...], identity: str) -> Model | Ensemble:
    """The models of some runs as one, loaded once in a process.

    Raises ConfigError if they are not those of this identity, see ``identity_of``.
    """
    model = load_models(runs)
    if identity_of(runs) != identity:
        raise ConfigError(f"{', '.join(runs)}: not the model that it was when the work began")
    return model


class Pieces(Protocol):
    """Pieces of files, each with the number of its file, and what else is to come in between."""

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Pieces, in order; anything else is passed on."""

    def waits(self) -> bool:
        """Whether the next one is not there yet."""


def work_through(task: Task, pieces: Pieces, jobs: int) -> Generator[tuple[int, Any]]:
    """What the task makes of each piece, in order, and what else stands between the pieces.

    Raises NerwinError if a process is killed.
    """
    if jobs > 1:
        with _workers(task, jobs) as workers:
            yield from _shared_out(workers, pieces)
        return
    for number, item in pieces:
        yield number, task(number, item) if isinstance(item, Piece) else item


@dataclass
class _Slot:
    """A place in the order, and what is there, once it is done."""

    number: int
    item: Any
    done: bool = True


def _shared_out(workers: list[Connection], pieces: Pieces) -> Iterator[tuple[int, Any]]:
    idle = list(workers)
    working: dict[Connection, _Slot] = {}
    order: deque[_Slot] = deque()

    def collect(timeout: float | None) -> None:
        for worker in wait(list(working), timeout):
            assert isinstance(worker, Connection)
            slot = working.pop(worker)
            with _told_if_killed():
                slot.item = worker.recv()
            if isinstance(slot.item, Exception):
                raise slot.item
            slot.done = True
            idle.append(worker)

    for number, item in pieces:
        slot = _Slot(number, item)
        order.append(slot)
        if isinstance(item, Piece):
            while not idle:
                collect(None)
            worker = idle.pop()
            with _told_if_killed():
                worker.send((number, item))
            slot.item, slot.done = None, False
            working[worker] = slot
        collect(0)
        # What waits to be written takes memory; and whoever waits for an answer comes first.
        while order and (order[0].done or len(order) > 2 * len(workers) or pieces.waits()):
            while not order[0].done:
                collect(None)
            yield order[0].number, order.popleft().item
    while order:
        while not order[0].done:
            collect(None)
        yield order[0].number, order.popleft().item


@contextlib.contextmanager
def _told_if_killed() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise NerwinError(
            "a worker process was killed; if that was for want of memory, ask for fewer --jobs"
        ) from error


@contextlib.contextmanager
def _workers(task: Task, jobs: int) -> Iterator[list[Connection]]:
    """Processes that do the task, by the pipes to them; none is left at the end."""
    forked = sys.platform == "linux"  # elsewhere its libraries may not bear it
    context = multiprocessing.get_context("fork" if forked else "spawn")
    load(task.runs, task.identity)  # once, if forked
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            pipes.append(ours)
            args = (theirs, task, pipes if forked else [])
            process = context.Process(target=_serve, args=args, daemon=True)  # type: ignore[attr-defined]  # both have it
            with _signals_wait(), warnings.catch_warnings():  # of BLAS's threads, which bear it
                warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
                process.start()
                processes.append(process)
            theirs.close()  # so that its end is seen
        yield pipes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and ``kill`` wait: in the midst of a fork, they would be lost."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, task: Task, inherited: list[Connection]) -> None:
    """Answer until the pipe is closed, or whoever had the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for other in inherited:
        other.close()  # so that the parent's end is seen
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, piece = pipe.recv()
            answer: Found | Exception
            try:
                answer = task(number, piece)
            except Exception as error:
                answer = error
            pipe.send(answer)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
