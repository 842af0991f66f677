"""A file -> pieces of whole records, as they are in it: what one process can give to another.

What is cut here is only bytes; ``records`` reads them. Where a file is cut depends on what is in
it, on what a document is, and on nothing else: not on how many work on the pieces.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO

from nerwin.errors import ConfigError, DataError
from nerwin.text import corpus
from nerwin.text.files import BLOCK, byte_blocks, check_unicode, decode, known_encoding, split_lines

LINES = ("text", "paragraphs", "tokenized")
_LONGEST = BLOCK  # bytes of a line of text or of a document, of which more makes several
_LONGEST_CELL = 1 << 24  # characters: a quote that is not closed must not swallow a long file
_DOCSTART = re.compile(rb"^[ \t]*-DOCSTART-[ \t\r\n]", re.MULTILINE)

Blocks = Iterator[tuple[bytes, bool]]  # as ``byte_blocks`` has them


def stop(error: DataError) -> None:
    """Let the first malformed record end the reading."""
    raise error


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    kind            see ``records.KINDS``
    documents       what is a document: see ``documents_of``
    text_field      of a JSON object, a.b for b in a; or column of a table
    entities_field  of the output, if that is JSON, which the input must not have
    token_column    of a column file
    report          gets what is wrong with a malformed record, which is then left out
    """

    kind: str = "text"
    documents: str = "record"
    encoding: str = "utf-8"
    text_field: str = "text"
    entities_field: str | None = "entities"
    token_column: int = 0
    report: Callable[[DataError], None] = stop

    @property
    def by_paragraph(self) -> bool:
        """Whether nothing is to be cut but at an empty line."""
        return self.documents == "paragraph" or self.kind == "paragraphs"


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of a file, as many as end in one read of it, and whole documents.

    data     lines, without the last one's end
    first    the number of the first one
    cut      whether the last one goes on in the next piece: a line too long for one
    header   of a table
    columns  of a column file, as far as the lines before tell; 0: they do not
    marked   whether -DOCSTART- lines part its documents, as far as the lines before tell
    """

    data: bytes
    first: int = 1
    cut: bool = False
    header: tuple[str, ...] = ()
    columns: int = 0
    marked: bool = False

    @property
    def ends(self) -> int:
        """How many lines end in it."""
        return self.data.count(b"\n") + (not self.cut)


def documents_of(kind: str, wanted: str, *, stream: bool = False) -> str:
    """What one document is: a record, a paragraph (lines up to an empty one), what stands between
    -DOCSTART- lines, or the whole file.

    ``auto``: a text file is one document, and each record of a stream; of a column file, -DOCSTART-
    parts them, or each sentence is one if there are none; all else has a document in each record.
    Raises ConfigError for what a kind has not.
    """
    if wanted == "auto":
        if kind == "conll":
            return "docstart"
        return "file" if kind in {"text", "paragraphs"} and not stream else "record"
    if (wanted == "paragraph" and kind not in LINES) or (wanted == "docstart" and kind != "conll"):
        raise ConfigError(f"--documents {wanted} is not for {kind} input")
    return wanted


def cut(
    file: BinaryIO, path: str, reading: Reading, offset: int = 0, *, wait: bool = False
) -> Iterator[Piece]:
    """The pieces of a file, of which the reading begins at ``offset``. A pipe that has no more to
    give now is not waited for, unless ``wait``.

    A document that goes on is cut after 512 KiB, at a record's end, for the memory's sake.
    Raises DataError for a file that cannot be read, or a table without a usable header.
    """
    known_encoding(reading.encoding)
    blocks = byte_blocks(
        file,
        path,
        reading.encoding,
        _LONGEST if reading.kind in LINES else sys.maxsize,
        offset=offset,
        wait=wait or reading.documents in {"file", "docstart"},  # nothing can be answered before
    )
    if reading.kind in {"csv", "tsv"}:
        return _cut_table(blocks, path, reading)
    if reading.kind == "conll":
        return _cut_columns(blocks, path, reading)
    if reading.by_paragraph:
        blocks = _grouped(blocks, _end_of_paragraph)
    return _cut_lines(blocks)


def _cut_lines(blocks: Blocks) -> Iterator[Piece]:
    first = 1
    for data, goes_on in blocks:
        piece = Piece(data, first, goes_on)
        yield piece
        first += piece.ends


def _grouped(blocks: Blocks, find_end: Callable[[bytes, int], int | None]) -> Blocks:
    """The same lines, cut only where an end is found.

    find_end  gets a block, with the last line's end, and how many bytes there are with those
              before; where to cut the block, or None
    """
    held: list[bytes] = []
    length = 0
    for data, goes_on in blocks:
        if goes_on:  # a piece of a line, as long as a document can be
            if length:
                yield b"".join(held)[:-1], False
            yield data, True
            held, length = [], 0
            continue
        lines = data + b"\n"
        end = find_end(lines, length + len(lines))
        if end is None or length + end == 0:
            held.append(lines)
            length += len(lines)
            continue
        yield b"".join([*held, lines[:end]])[:-1], False
        held, length = [lines[end:]], len(lines) - end
    if length:
        yield b"".join(held)[:-1], False


def _end_of_paragraph(lines: bytes, length: int) -> int | None:
    return last_empty_line(lines) or (len(lines) if length >= _LONGEST else None)


def last_empty_line(lines: bytes) -> int | None:
    """Where the last empty line among some lines ends, if there is one."""
    lines = b"\n" + lines
    plain, dos = lines.rfind(b"\n\n"), lines.rfind(b"\n\r\n")
    return max(plain + 1, dos + 2) if plain >= 0 or dos >= 0 else None


# --- column files ---------------------------------------------------------------------------


def _cut_columns(blocks: Blocks, path: str, reading: Reading) -> Iterator[Piece]:
    by_document = reading.documents == "docstart"
    columns, first, marked = 0, 1, False
    if by_document:
        blocks, marked = _look_ahead(blocks, path, reading)
    now_marked = marked

    def find_end(lines: bytes, length: int) -> int | None:
        nonlocal now_marked
        end = last_empty_line(lines)
        if not by_document:
            return end
        starts = [match.start() for match in _DOCSTART.finditer(lines)]
        now_marked |= bool(starts)
        if starts:
            return starts[-1]
        return end if not now_marked or length >= _LONGEST else None

    for data, _ in _grouped(blocks, find_end):
        piece = Piece(data, first, columns=columns, marked=marked)
        yield piece
        first += piece.ends
        marked = marked or bool(by_document and _DOCSTART.search(data + b"\n"))
        if not columns:
            told: list[int] = []
            next(_sentences(iter([(data, False)]), path, reading, told.append), None)
            columns = told[0] if told else 0


def _look_ahead(blocks: Blocks, path: str, reading: Reading) -> tuple[Blocks, bool]:
    """The same blocks, and whether documents are marked among the first sentences."""
    seen = []

    def noted() -> Blocks:
        for block in blocks:
            seen.append(block)
            yield block

    first = islice(_sentences(noted(), path, reading), corpus.LOOKED_AT)
    marked = any(sentence.opens_document for sentence in first)
    return chain(seen, blocks), marked


def _sentences(
    blocks: Blocks,
    path: str,
    reading: Reading,
    tell_columns: Callable[[int], None] = lambda columns: None,
) -> Iterator[corpus.Sentence]:
    lines = (line for data, _ in blocks for line in split_lines(decode(data, reading.encoding)))
    column, encoding = reading.token_column, reading.encoding
    return corpus.parse_sentences(
        lines, path, column, report=_ignore, encoding=encoding, tell_columns=tell_columns
    )


def _ignore(error: DataError) -> None:
    """Leave it to whoever reads the piece to tell."""


# --- tables ---------------------------------------------------------------------------------


def read_rows(
    lines: Iterable[str], kind: str, first: int = 1
) -> Iterator[tuple[int, list[str] | csv.Error, int]]:
    """The rows of a table, or what is wrong with them; before, the number of the line that each
    starts in, and after, of the line that follows. An empty line is an empty row.
    """
    csv.field_size_limit(_LONGEST_CELL)
    delimiter = "\t" if kind == "tsv" else ","
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + first
        row: list[str] | csv.Error
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on with the next line
            row = error
        yield number, row, reader.line_num + first


def _cut_table(blocks: Blocks, path: str, reading: Reading) -> Iterator[Piece]:
    # Which line ends a row is known only to whoever has read the quotes before it, all of them.
    held: list[bytes] = []
    after = 1  # the number of the line after these blocks

    def lines() -> Iterator[str]:
        nonlocal after
        for data, _ in blocks:
            held.append(data)
            split = split_lines(decode(data, reading.encoding))
            after += len(split)
            yield from split

    header: tuple[str, ...] = ()
    first = 1
    for number, row, following in read_rows(lines(), reading.kind):
        if row and not header:
            if isinstance(row, csv.Error):
                raise DataError(f"the header cannot be read: {row}", path, number)
            header = tuple(row)
            check_header(header, path, number, reading)
        if following == after:
            yield Piece(b"\n".join(held), first, header=header)
            held.clear()
            first = after
    if held:
        yield Piece(b"\n".join(held), first, header=header)


def check_header(header: Sequence[str], path: str, number: int, reading: Reading) -> None:
    """Raise DataError unless a table with this header can be read."""
    check_unicode("".join(header), path, number, reading.encoding)
    if reading.text_field not in header:
        raise DataError(missing("column", reading, header), path, number)
    if reading.entities_field in header:
        raise DataError(taken("column", reading), path, number)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}", path, number)


def missing(what: str, reading: Reading, names: Sequence[str]) -> str:
    """What to say where there is no text."""
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    there = f"there are {listed}" if names else "there is none"
    return f"no {what} {reading.text_field!r}: {there}; name one with --text-field"


def taken(what: str, reading: Reading) -> str:
    """What to say where the output's entities have no place."""
    name = reading.entities_field
    return f"has a {what} {name!r} already; name the output's with --entities-field"
