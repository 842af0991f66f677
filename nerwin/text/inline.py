r"""Text with its entities marked in it: ``[Paris Hilton](PER) flew to [Paris](LOC).``

A backslash before [, ] or \ makes it a character of the text. ``parse`` and ``mark`` are inverse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPECIAL = re.compile(r"[\\\[\]]")
_PIECE = re.compile(
    r"\\(?P<escaped>[\\\[\]])|\[(?P<entity>(?:\\[\\\[\]]|[^\\\[\]])+)\]\((?P<type>[^\s()]+)\)|(?P<stray>[\\\[\]])"
)

Marked = tuple[int, int, str]  # start, end (characters), type


def parse(line: str) -> tuple[str, list[Marked]]:
    """The plain text and the entities of a marked line.

    Raises ValueError, naming the column, for a bracket or backslash that means nothing.
    """
    text: list[str] = []
    length = 0
    entities: list[Marked] = []
    last = 0

    def put(piece: str) -> None:
        nonlocal length
        text.append(piece)
        length += len(piece)

    for match in _PIECE.finditer(line):
        put(line[last : match.start()])
        last = match.end()
        if match["stray"]:
            message = f"column {match.start() + 1}: {match['stray']!r} marks nothing"
            raise ValueError(f"{message}; write [entity](TYPE), or \\{match['stray']} for itself")
        if match["entity"]:
            start = length
            put(re.sub(r"\\(.)", r"\1", match["entity"]))
            entities.append((start, length, match["type"]))
        else:
            put(match["escaped"])
    put(line[last:])
    return "".join(text), entities


def mark(text: str, entities: Iterable[Marked]) -> str:
    """The text with its entities, given in order and not overlapping, marked in it."""
    pieces = []
    last = 0
    for start, end, kind in entities:
        pieces += [_escape(text[last:start]), "[", _escape(text[start:end]), f"]({kind})"]
        last = end
    return "".join([*pieces, _escape(text[last:])])


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
