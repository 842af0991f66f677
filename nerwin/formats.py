"""Ways out: blocks of found entities -> text in some format, chunk by chunk.

A chunk is a tuple of strings, one for each of the files that a format consists of (brat has two,
the others one).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nerwin.htmlpage import write_html
from nerwin.prediction import Block
from nerwin.records import Record
from nerwin.text import inline
from nerwin.text.tags import BEGIN, write_codes

_quote = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes a new encoder each time
_BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # what a line of brat cannot hold
_NOT_IN_NAMES = re.compile(r"[^\w-]")


def write_conll(blocks: Iterable[Block]) -> Iterator[tuple[str]]:
    """token TAB tag (IOB2) lines, an empty line after each sentence."""
    for block in blocks:
        numbers, words = block.tokens.numbers, np.array(block.tokens.words, object)
        lines = (words + "\tO\n")[numbers]  # most are, and often the same
        spans = block.decoded.spans
        prefix, kind = write_codes(spans, block.starts, "IOB2")
        inside = np.flatnonzero(prefix)
        tags = np.array([[f"\t{p}-{name}\n" for name in spans.types] for p in "BI"], object)
        lines[inside] = words[numbers[inside]] + tags[prefix[inside] - BEGIN, kind[inside]]
        lines[block.starts[1:] - 1] += "\n"
        yield ("".join(lines.tolist()),)


def write_jsonl(blocks: Iterable[Block], entities_field: str = "entities") -> Iterator[tuple[str]]:
    """One JSON object a record: its text, and its entities with offsets, type and score.

    A record that came in an object keeps it as it was, character by character, with its entities
    added at the end. A piece of a line that goes on in the next one says so.
    """
    name = _quote(entities_field)
    for block in blocks:
        spans = block.decoded.spans
        kinds = [_quote(kind) for kind in spans.types]
        scores = block.decoded.scores.astype(np.float64).round(4).tolist()
        columns = zip(*block.places(), spans.type.tolist(), scores, strict=True)
        found = [
            f'{{"start": {start}, "end": {end}, "text": {_quote(text)}, '
            f'"type": {kinds[kind]}, "score": {score}}}'
            for start, end, text, kind, score in columns
        ]
        lines = []
        for record, (i, j) in zip(block.records, pairwise(block.entity_bounds()), strict=True):
            fields = record.fields or f'{{"text": {_quote(record.text)}'
            end = ', "cut": true}\n' if record.cut else "}\n"
            lines.append(f"{fields}, {name}: [{', '.join(found[i:j])}]{end}")
        yield ("".join(lines),)


def write_inline(blocks: Iterable[Block]) -> Iterator[tuple[str]]:
    """One line a record: its text with [entities](TYPE) marked in it, see ``text.inline``."""
    for block in blocks:
        lines = []
        for record, entities in zip(block.records, block.entities(), strict=True):
            marked = inline.mark(record.text, [(e.start, e.end, e.type) for e in entities])
            lines.append(f"{marked}{_end(record)}")
        yield ("".join(lines),)


def write_brat(blocks: Iterable[Block]) -> Iterator[tuple[str, str]]:
    """brat's standoff format, and the text that it is about: the records, a line's end after each.

    Offsets count code points of that text. An entity with a tab or the like in it is given in
    fragments, as brat gives one with a line's end in it.
    """
    number = 0
    before = 0  # characters of the records so far
    for block in blocks:
        lines = []
        for record, entities in zip(block.records, block.entities(), strict=True):
            for e in entities:
                number += 1
                pieces = _fragments(e.text, before + e.start)
                places = ";".join(f"{start} {start + len(piece)}" for start, piece in pieces)
                kind = _NOT_IN_NAMES.sub("_", e.type)
                lines.append(f"T{number}\t{kind} {places}\t{' '.join(p for _, p in pieces)}\n")
            before += len(record.text) + len(_end(record))
        yield "".join(lines), "".join(f"{r.text}{_end(r)}" for r in block.records)


def _end(record: Record) -> str:
    """What follows a record's text."""
    return "" if record.cut else "\n"


def _fragments(text: str, start: int) -> list[tuple[int, str]]:
    """The pieces of a text between breaks, and where they start."""
    if not _BREAKS.search(text):
        return [(start, text)]
    borders = [0, *(x for match in _BREAKS.finditer(text) for x in match.span()), len(text)]
    pairs = zip(borders[::2], borders[1::2], strict=True)
    return [(start + first, text[first:last]) for first, last in pairs]


@dataclass(frozen=True)
class Format:
    """suffixes  of the files that it consists of; standard output gets the first
    by_blocks  whether a block is written alike whatever came before and comes after
    """

    suffixes: tuple[str, ...]
    write: Callable[..., Iterator[tuple[Any, ...]]]
    by_blocks: bool = True


FORMATS = {
    "conll": Format((".conll",), write_conll),
    "jsonl": Format((".jsonl",), write_jsonl),
    "inline": Format((".txt",), write_inline),
    "brat": Format((".ann", ".txt"), write_brat, by_blocks=False),
    "html": Format((".html",), write_html, by_blocks=False),
}
