"""Probabilities -> entities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerwin.engine.types import Array, Indices
from nerwin.text.tags import Spans

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Decoded:
    """Entities, and for each its score: the probability of its least certain word, (n,)."""

    spans: Spans
    scores: Array


def decode(P: Array, starts: Indices, types: tuple[str, ...]) -> Decoded:
    """Each word takes its most probable type, if that is more probable than not; neighbouring
    words of one type, within a sentence, join into an entity.

    P       (N, T) probability of each type for each word
    starts  (S+1,) the number of each sentence's first word, then N
    """
    n = len(P)
    best = P.argmax(axis=1)
    p = P[np.arange(n), best]
    kind = np.where(p > THRESHOLD, best, -1)
    changes = np.empty(n + 1, bool)
    changes[1:-1] = kind[1:] != kind[:-1]
    changes[starts] = True
    borders = np.flatnonzero(changes)
    start, end = borders[:-1], borders[1:]
    inside = kind[start] >= 0
    lowest = np.minimum.reduceat(p, start) if n else p
    start, end = start[inside], end[inside]
    return Decoded(Spans(start, end, kind[start], types), lowest[inside])
