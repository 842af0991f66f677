"""One task for each piece of some files, done by one process or by several, in order.

The processes are started once the model is loaded, so that they share its memory, see
``processes``. They get pieces of files, as bytes, and give back what is to be written, as bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError, DataError
from nerwin.formats import FORMATS
from nerwin.manifest import MANIFEST
from nerwin.model import Model
from nerwin.modeldir import load_models
from nerwin.pieces import Piece, Reading
from nerwin.prediction import Block, predict
from nerwin.processes import answer, ask, workers
from nerwin.records import records_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


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

        def report(error: DataError) -> None:
            # Without its traceback, in which all this would be kept.
            wrong.append(DataError(error.message, error.path, error.line))

        records = records_of(piece, name, dataclasses.replace(reading, report=report))
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
        load(task.runs, task.identity)  # once, if they are forked
        with workers(task, jobs) as pipes:
            yield from _shared_out(pipes, pieces)
        return
    for number, item in pieces:
        yield number, task(number, item) if isinstance(item, Piece) else item


@dataclass
class _Slot:
    """A place in the order, and what is there, once it is done."""

    number: int
    item: Any
    done: bool = True


def _shared_out(pipes: list[Connection], pieces: Pieces) -> Iterator[tuple[int, Any]]:
    from multiprocessing.connection import Connection, wait

    idle = list(pipes)
    working: dict[Connection, _Slot] = {}
    order: deque[_Slot] = deque()

    def collect(timeout: float | None) -> None:
        for worker in wait(list(working), timeout):
            assert isinstance(worker, Connection)
            slot = working.pop(worker)
            slot.item, slot.done = answer(worker), True
            idle.append(worker)

    for number, item in pieces:
        slot = _Slot(number, item)
        order.append(slot)
        if isinstance(item, Piece):
            while not idle:
                collect(None)
            worker = idle.pop()
            ask(worker, number, item)
            slot.item, slot.done = None, False
            working[worker] = slot
        collect(0)
        # What waits to be written takes memory; and whoever waits for an answer comes first.
        while order and (order[0].done or len(order) > 2 * len(pipes) or pieces.waits()):
            while not order[0].done:
                collect(None)
            yield order[0].number, order.popleft().item
    while order:
        while not order[0].done:
            collect(None)
        yield order[0].number, order.popleft().item
