"""Ways in: text of every shape -> records, block by block.

A record is what has one result: a line of text, an object of a file of JSON lines, a row of a
table, a sentence of a column file. Records come in batches, as many as one read of the file gives,
so that memory does not grow with the file, and a pipe that waits is answered at once.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from nerwin.errors import ConfigError, DataError
from nerwin.text.files import check_unicode, read_blocks
from nerwin.text.tokenizer import split_words

_BATCH = 1000  # records of a table or column file in a batch, at most
_LONGEST = 1 << 18  # bytes of a line of text; a longer one makes several records
_LONGEST_CELL = 1 << 24  # characters: a quote that is not closed must not swallow a long file
_FIELD = re.compile(r"[^ \t]+")
_TYPES = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
_quote = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes a new encoder each time


@dataclass(slots=True)
class Record:
    """A piece of text with one result.

    words      its tokens, between which there is nothing but space
    sentences  where the sentences start: numbers of tokens, and their number at the end
    goes_on    whether its document goes on with the next record
    cut        whether its line does, too: a line too long for one record
    fields     the JSON object that it came in, up to the closing brace; "" if in none
    """

    text: str
    words: list[str]
    sentences: list[int]
    goes_on: bool = False
    cut: bool = False
    fields: str = ""


def stop(error: DataError) -> None:
    """Let the first malformed record end the reading."""
    raise error


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    kind            see ``KINDS``
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


def read_records(
    file: BinaryIO, path: str, reading: Reading | None = None
) -> Iterator[list[Record]]:
    """The records of a file, batch by batch.

    Raises DataError for a file that cannot be read; so does a malformed record, unless
    ``reading.report`` bears with it.
    """
    reading = reading or Reading()
    return _READERS[reading.kind](file, path, reading)


def documents_of(kind: str, wanted: str, *, stream: bool = False) -> str:
    """What one document is: a record, a paragraph (lines up to an empty one), what stands between
    -DOCSTART- lines, or the whole file.

    ``auto``: a text file is one document, and each line of a stream; of a column file, -DOCSTART-
    parts them, or each sentence is one if there are none; all else has a document in each record.
    Raises ConfigError for what a kind has not.
    """
    if wanted == "auto":
        return (
            "docstart" if kind == "conll" else "file" if kind == "text" and not stream else "record"
        )
    if (wanted == "paragraph" and kind not in _LINES) or (wanted == "docstart" and kind != "conll"):
        raise ConfigError(f"--documents {wanted} is not for {kind} input")
    return wanted


def text_record(text: str, fields: str = "") -> Record:
    """Raw text as a record, tokenized and split into sentences."""
    return Record(text, *split_words(text), fields=fields)


def tokens_record(words: list[str], text: str | None = None) -> Record:
    """Tokens as a record, one sentence; its text, unless given, has a space between them."""
    text = " ".join(words) if text is None else text
    return Record(text, words, [0, len(words)] if words else [0])


# --- a record a line ------------------------------------------------------------------------


def _read_text(file: BinaryIO, path: str, reading: Reading) -> Iterator[list[Record]]:
    return _read_lines(file, path, reading, text_record)


def _read_tokenized(file: BinaryIO, path: str, reading: Reading) -> Iterator[list[Record]]:
    return _read_lines(file, path, reading, _tokenized_record)


def _read_lines(
    file: BinaryIO, path: str, reading: Reading, make: Callable[[str], Record]
) -> Iterator[list[Record]]:
    for lines, cut in _lines(file, path, reading, _LONGEST):
        records = _joined([make(line) for _, line in lines], reading.documents)
        if cut:
            records[-1].goes_on = records[-1].cut = True
        yield records


def _read_jsonl(file: BinaryIO, path: str, reading: Reading) -> Iterator[list[Record]]:
    for lines, _ in _lines(file, path, reading):
        batch = []
        for number, line in lines:
            if line.strip():
                try:
                    batch.append(_json_record(line.strip(), path, number, reading))
                except DataError as error:
                    reading.report(error)
        yield _joined(batch, reading.documents)


def _lines(
    file: BinaryIO, path: str, reading: Reading, longest: int = sys.maxsize
) -> Iterator[tuple[list[tuple[int, str]], bool]]:
    """The lines of each block with their numbers, without those that could not be decoded; and
    whether the last one is cut.
    """
    first = 1
    for block, cut in read_blocks(file, path, reading.encoding, longest, escape=True):
        lines = list(enumerate(block, first))
        last = lines[-1]
        first += len(block) - cut
        if not all(map(str.isascii, block)):
            lines = [line for line in lines if _is_sound(line, path, reading)]
        yield lines, cut and lines[-1:] == [last]


def _is_sound(line: tuple[int, str], path: str, reading: Reading) -> bool:
    try:
        check_unicode(line[1], path, line[0], reading.encoding)
    except DataError as error:
        reading.report(error)
        return False
    return True


def _joined(records: list[Record], documents: str) -> list[Record]:
    """The same records, told whether their documents go on."""
    if documents != "record":
        for record in records:
            record.goes_on = documents == "file" or bool(record.words)
    return records


def _tokenized_record(line: str) -> Record:
    words = line.split(" ")
    if "" in words or "\t" in line:
        words = _FIELD.findall(line)
    return tokens_record(words, line)


def _json_record(line: str, path: str, number: int, reading: Reading) -> Record:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}, column {error.colno}", path, number) from None
    except (ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise DataError(f"not JSON that can be read: {error}", path, number) from None
    if not isinstance(found, dict):
        raise DataError(f"{_kind_of(found)}, not a JSON object", path, number)
    if reading.entities_field in found:
        raise DataError(_taken("field", reading), path, number)
    text = _find(found, reading.text_field)
    if text is None and reading.text_field not in found:
        raise DataError(_missing("field", reading, list(found)), path, number)
    if not isinstance(text, str):
        raise DataError(f"field {reading.text_field!r} is {_kind_of(text)}, not text", path, number)
    check_unicode(text, path, number)
    return text_record(text, line[:-1])


def _find(found: dict[str, Any], name: str) -> Any:
    """The value of a field, or of a field in a field."""
    if name in found:
        return found[name]
    outer, dot, inner = name.partition(".")
    deeper = found.get(outer)
    return _find(deeper, inner) if dot and isinstance(deeper, dict) else None


def _kind_of(value: Any) -> str:
    return "text" if isinstance(value, str) else _TYPES.get(type(value), "a number")


def _missing(what: str, reading: Reading, names: list[str]) -> str:
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    there = f"there are {listed}" if names else "there is none"
    return f"no {what} {reading.text_field!r}: {there}; name one with --text-field"


def _taken(what: str, reading: Reading) -> str:
    name = reading.entities_field
    return f"has a {what} {name!r} already; name the output's with --entities-field"


# --- tables and column files ----------------------------------------------------------------


class _Lines:
    """The lines of blocks, one by one; ``dry`` when the next one is still to be read."""

    def __init__(self, file: BinaryIO, path: str, encoding: str) -> None:
        self._blocks = read_blocks(file, path, encoding, escape=True)
        self._left = 0

    @property
    def dry(self) -> bool:
        return not self._left

    def __iter__(self) -> Iterator[str]:
        for block, _ in self._blocks:
            self._left = len(block)
            for line in block:
                self._left -= 1
                yield line


def _read_table(file: BinaryIO, path: str, reading: Reading) -> Iterator[list[Record]]:
    lines = _Lines(file, path, reading.encoding)
    rows = _rows((f"{line}\n" for line in lines), "\t" if reading.kind == "tsv" else ",")
    header: list[str] = []
    batch: list[Record] = []
    for number, row in rows:
        if not header:
            if isinstance(row, csv.Error):
                raise DataError(f"the header cannot be read: {row}", path, number)
            header = row
            names = _check_header(header, path, number, reading)
            column = header.index(reading.text_field)
            continue
        try:
            if isinstance(row, csv.Error):
                raise DataError(f"cannot be read: {row}", path, number)
            if len(row) != len(header):
                message = f"{len(row)} columns where the header has {len(header)}"
                raise DataError(message, path, number)
            cells = [f"{name}: {_quote(cell)}" for name, cell in zip(names, row, strict=True)]
            fields = "{" + ", ".join(cells)
            if not fields.isascii():
                check_unicode(fields, path, number, reading.encoding)
            batch.append(text_record(row[column], fields))
        except DataError as error:
            reading.report(error)
        if batch and (lines.dry or len(batch) >= _BATCH):
            yield _joined(batch, reading.documents)
            batch = []
    yield _joined(batch, reading.documents)


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The rows that are not empty, or what is wrong with them, and the line that each starts in."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on with the next line
            yield number, error
            continue
        if row:
            yield number, row


def _check_header(header: list[str], path: str, number: int, reading: Reading) -> list[str]:
    """The names of the columns as JSON has them."""
    check_unicode("".join(header), path, number, reading.encoding)
    if reading.text_field not in header:
        raise DataError(_missing("column", reading, header), path, number)
    if reading.entities_field in header:
        raise DataError(_taken("column", reading), path, number)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}", path, number)
    return [_quote(name) for name in header]


def _read_conll(file: BinaryIO, path: str, reading: Reading) -> Iterator[list[Record]]:
    from nerwin.text.corpus import parse_sentences, read_sentences

    lines = _Lines(file, path, reading.encoding)
    batch: list[Record] = []
    held: Record | None = None  # until it is known whether its document goes on
    column, report, encoding = reading.token_column, reading.report, reading.encoding
    read = read_sentences if reading.documents == "docstart" else parse_sentences
    for sentence in read(lines, path, column, report=report, encoding=encoding):
        record = tokens_record(sentence.words)
        record.goes_on = reading.documents == "file"
        if reading.documents == "docstart":
            before, held = held, record
            if before is None:
                continue
            record = before
            record.goes_on = not sentence.opens_document
        batch.append(record)
        if lines.dry or len(batch) >= _BATCH:
            yield batch
            batch = []
    yield [*batch, held] if held else batch


_READERS: dict[str, Callable[[BinaryIO, str, Reading], Iterator[list[Record]]]] = {
    "text": _read_text,
    "tokenized": _read_tokenized,
    "jsonl": _read_jsonl,
    "csv": _read_table,
    "tsv": _read_table,
    "conll": _read_conll,
}
KINDS = tuple(_READERS)
_LINES = ("text", "tokenized")
