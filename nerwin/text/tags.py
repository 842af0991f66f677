"""Tag schemes and entities: IO, IOB1, IOB2, BIOES (also written BILOU) <-> spans.

One rule reads them all, conlleval's: an entity starts at a token inside an entity if the token
before is outside, of another type, or the end (E, S) of an entity, or if its own tag says so
(B, S); it lasts as long as none of this holds. So ill-formed sequences have a reading too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.integer]
SCHEMES = ("IOB2", "BIOES", "IOB1", "IO")

OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)  # codes of prefixes
LETTERS = "OBIES"
_PREFIXES = {"B": BEGIN, "I": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE}
_NO_TYPE = set("()[]\\")  # they mark entities in text


@dataclass(frozen=True, slots=True)
class Spans:
    """Entities among numbered tokens, in order, none overlapping.

    start, end  (n,) token numbers; the entity is tokens start … end−1
    type        (n,) index into ``types``
    """

    start: Indices
    end: Indices
    type: Indices
    types: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)


def is_tag(tag: str) -> bool:
    """Whether this is a tag in any scheme: O, or B-, I-, E-, S-, L- or U- and a type."""
    if tag == "O":
        return True
    return tag[1:2] == "-" and tag[0] in _PREFIXES and len(tag) > 2 and not _NO_TYPE & set(tag)


def read_tags(tags: Sequence[str], starts: Indices) -> Spans:
    """The entities that a sequence of tags means.

    starts  (S+1,) the number of each sentence's first token, and the number of tokens
    Raises ValueError for a tag that is none (see ``is_tag``).
    """
    distinct = sorted(set(tags))
    for tag in distinct:
        if not is_tag(tag):
            raise ValueError(f"{tag!r} is not a tag: expected O, or B-, I-, E-, S- and a type")
    types = tuple(sorted({tag[2:] for tag in distinct if tag != "O"}))
    number = {tag: i for i, tag in enumerate(distinct)}
    code = np.fromiter(map(number.__getitem__, tags), np.intp, len(tags))
    prefix_of = np.array([_PREFIXES[t[0]] if t != "O" else OUTSIDE for t in distinct], np.int8)
    type_of = np.array([types.index(t[2:]) if t != "O" else -1 for t in distinct], np.intp)
    return read_codes(prefix_of[code], type_of[code], starts, types)


def read_codes(prefix: Indices, kind: Indices, starts: Indices, types: tuple[str, ...]) -> Spans:
    """``read_tags`` for prefix codes (N,) and numbers of types (N,), −1 outside."""
    first = np.zeros(len(prefix) + 1, bool)
    first[starts] = True
    before = np.where(first[:-1], OUTSIDE, np.roll(prefix, 1))  # across no sentence's start
    begins = (prefix != OUTSIDE) & (
        (before == OUTSIDE)
        | (kind != np.roll(kind, 1))
        | (prefix == BEGIN)
        | (prefix == SINGLE)
        | (before == END)
        | (before == SINGLE)
    )
    start = np.flatnonzero(begins)
    # An entity ends where the next token is outside, or begins another one.
    stop = np.append(np.flatnonzero(begins | (prefix == OUTSIDE)), len(prefix))
    end = stop[np.searchsorted(stop, start, side="right")]
    return Spans(start, end, kind[start], types)


def write_tags(spans: Spans, starts: Indices, scheme: str = "IOB2") -> list[str]:
    """The tags of all ``starts[-1]`` tokens in the given scheme; the inverse of ``read_tags``.

    (IO cannot part two neighbours of one type, and so loses that border.)
    """
    prefix, kind = write_codes(spans, starts, scheme)
    width = len(spans.types) + 1
    names = [f"{letter}-{name}" for letter in LETTERS for name in ("", *spans.types)]
    names[0] = "O"
    return [names[i] for i in (prefix.astype(np.intp) * width + kind + 1).tolist()]


def detect_scheme(tags: Sequence[str], starts: Indices) -> tuple[str, int]:
    """The scheme that would have written these tags, and how many tags it would write otherwise.

    Where several fit, the first of ``SCHEMES``. The second number counts ill-formed tags.
    """
    counts = {scheme: ill_formed(tags, starts, scheme) for scheme in SCHEMES}
    best = min(SCHEMES, key=counts.__getitem__)
    return best, counts[best]


def ill_formed(tags: Sequence[str], starts: Indices, scheme: str) -> int:
    """How many of the tags ``scheme`` would not have written for the entities that they mean."""
    written = write_tags(read_tags(tags, starts), starts, scheme)
    return sum(a != b for a, b in zip(without_bilou(tags), written, strict=True))


def without_bilou(tags: Sequence[str]) -> list[str]:
    """The same tags with BIOES's letters for the end and the single word where BILOU's stood."""
    new = {"L": "E", "U": "S"}
    names = {tag: new.get(tag[0], tag[0]) + tag[1:] for tag in set(tags)}
    return [names[tag] for tag in tags]


def write_codes(spans: Spans, starts: Indices, scheme: str) -> tuple[NDArray[np.int8], Indices]:
    """Prefix code and number of type (−1 outside) of every token: the inverse of ``read_codes``."""
    n = int(starts[-1])
    borders = np.zeros(n + 1, np.int8)
    borders[spans.start] += 1
    borders[spans.end] -= 1
    inside = np.cumsum(borders[:-1], dtype=np.int8) > 0
    kind = np.full(n, -1, np.intp)
    kind[inside] = np.repeat(spans.type, spans.end - spans.start)
    prefix = np.where(inside, np.int8(INSIDE), np.int8(OUTSIDE))
    if scheme == "IOB2":
        prefix[spans.start] = BEGIN
    elif scheme == "IOB1":
        first = np.zeros(n + 1, bool)
        first[starts] = True
        glued = (
            (spans.start[1:] == spans.end[:-1])
            & (spans.type[1:] == spans.type[:-1])
            & ~first[spans.start[1:]]
        )
        prefix[spans.start[1:][glued]] = BEGIN
    elif scheme == "BIOES":
        prefix[spans.start] = BEGIN
        prefix[spans.end - 1] = END
        prefix[spans.start[spans.end - spans.start == 1]] = SINGLE
    elif scheme != "IO":
        raise ValueError(f"unknown scheme {scheme!r}: expected one of {', '.join(SCHEMES)}")
    return prefix, kind
