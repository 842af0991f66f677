"""Records -> entities, block by block: the memory does not grow with the input."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from nerwin.decoding import Decoded
from nerwin.engine.blas import one_thread
from nerwin.ensemble import Ensemble
from nerwin.model import Model
from nerwin.records import Record
from nerwin.text.tags import Spans
from nerwin.text.tokenizer import offsets
from nerwin.text.tokens import Tokens

_turn = threading.RLock()  # models remember words
if hasattr(os, "register_at_fork"):
    # Within a turn they are half remembered, and in the child nobody would end it.
    os.register_at_fork(
        before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_turn.release
    )


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` of its record, in Unicode code points; score from 0 to 1."""

    start: int
    end: int
    text: str
    type: str
    score: float


@dataclass(frozen=True, slots=True)
class Block:
    """Records and what was found in them; their tokens are numbered through the block.

    tokens  (N) of all records
    starts  (S+1,) the number of each sentence's first token, then N
    bounds  (R+1,) the number of each record's first token, then N
    source  the file that the records come from
    """

    records: list[Record]
    tokens: Tokens
    starts: np.ndarray
    bounds: np.ndarray
    decoded: Decoded
    source: str = ""

    def entities(self) -> Iterator[list[Entity]]:
        """The entities of each record."""
        spans = self.decoded.spans
        types = [spans.types[kind] for kind in spans.type.tolist()]
        found = list(map(Entity, *self.places(), types, self.decoded.scores.tolist()))
        return (found[i:j] for i, j in pairwise(self.entity_bounds()))

    def entity_bounds(self) -> list[int]:
        """The number of each record's first entity, then their number: R+1."""
        bounds: list[int] = np.searchsorted(self.decoded.spans.start, self.bounds).tolist()
        return bounds

    def places(self) -> tuple[list[int], list[int], list[str]]:
        """Where the entities start and end in their records, and what stands there."""
        spans = self.decoded.spans
        if not len(spans):
            return [], [], []
        texts = [record.text for record in self.records]
        starts, ends = offsets(texts, self.tokens, self.bounds)
        first, last = starts[spans.start].tolist(), ends[spans.end - 1].tolist()
        own = np.repeat(np.arange(len(texts)), np.diff(self.entity_bounds())).tolist()
        return first, last, [texts[i][a:b] for i, a, b in zip(own, first, last, strict=True)]

    def only(self, min_score: float, types: Collection[str]) -> Block:
        """The block with only the entities that score as much and are of these types."""
        spans, scores = self.decoded.spans, self.decoded.scores
        wanted = np.array([name in types for name in spans.types], bool)
        kept = (scores >= min_score) & wanted[spans.type]
        left = Spans(spans.start[kept], spans.end[kept], spans.type[kept], spans.types)
        return dataclasses.replace(self, decoded=Decoded(left, scores[kept]))


def predict(
    model: Model | Ensemble, batches: Iterable[list[Record]], source: str = ""
) -> Iterator[Block]:
    """Find the entities of many records, one batch at a time; a document is in one batch. Several
    threads may ask, one model or many; they take turns.
    """
    for records in batches:
        with _turn, one_thread():
            block = predict_block(model, records, source)
        yield block


def predict_block(model: Model | Ensemble, records: list[Record], source: str = "") -> Block:
    """Find the entities of one batch of records."""
    tokens = Tokens.of(list(chain.from_iterable(record.words for record in records)))
    lengths = np.fromiter((len(record.words) for record in records), np.intp, len(records))
    bounds = np.append(0, np.cumsum(lengths))
    sentences = [record.sentences for record in records]
    counts = np.fromiter(map(len, sentences), np.intp, len(records)) - 1
    ends = np.fromiter(chain.from_iterable(sentences), np.intp)
    ends = np.delete(ends, np.cumsum(counts + 1) - counts - 1)  # each record's first is 0
    starts = np.append(0, ends + np.repeat(bounds[:-1], counts))
    closed = [not record.goes_on for record in records]
    border = np.zeros(len(starts), bool)  # an empty line has no sentence, so no document of its own
    border[[0, -1]] = border[np.cumsum(counts)[closed]] = True
    documents = np.flatnonzero(border)
    decoded = model.predict(tokens, starts, documents)
    return Block(records, tokens, starts, bounds, decoded, source)
