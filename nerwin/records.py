"""Ways in: text of every shape -> records, piece by piece.

A record is what has one result: a line or a paragraph of text, an object of a file of JSON lines,
a row of a table, a sentence of a column file. Records come as many as are in one piece of the file,
so that memory does not grow with the file, and a pipe that waits is answered at once.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

from nerwin.errors import DataError
from nerwin.pieces import Piece, Reading, cut, missing, read_rows, taken
from nerwin.text.corpus import Sentence, open_documents, parse_sentences
from nerwin.text.files import check_unicode, decode, split_lines
from nerwin.text.tokenizer import split_words

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


def read_records(
    file: BinaryIO, path: str, reading: Reading | None = None
) -> Iterator[list[Record]]:
    """The records of a file, piece by piece; each document is in one piece, see ``pieces.cut``.

    Raises DataError for a file that cannot be read; so does a malformed record, unless
    ``reading.report`` bears with it.
    """
    reading = reading or Reading()
    for piece in cut(file, path, reading):
        if records := records_of(piece, path, reading):
            yield records


def records_of(piece: Piece, path: str, reading: Reading) -> list[Record]:
    """The records of one piece of a file. Raises DataError for a malformed one, unless
    ``reading.report`` bears with it.
    """
    records = _READERS[reading.kind](piece, path, reading)
    if records:
        records[-1].goes_on = False
    return records


def text_record(text: str, fields: str = "") -> Record:
    """Raw text as a record, tokenized and split into sentences."""
    return Record(text, *split_words(text), fields=fields)


def tokens_record(words: list[str]) -> Record:
    """Tokens as a record, one sentence; its text has a space between them."""
    return Record(" ".join(words), words, [0, len(words)] if words else [0])


# --- a record a line, or a paragraph --------------------------------------------------------


def _read_text(piece: Piece, path: str, reading: Reading) -> list[Record]:
    return _of_lines(piece, reading, [text_record(x) for _, x in _lines(piece, path, reading)])


def _read_paragraphs(piece: Piece, path: str, reading: Reading) -> list[Record]:
    records = []
    for full, group in groupby((line for _, line in _lines(piece, path, reading)), bool):
        lines = list(group)
        records += [text_record(text) for text in (["\n".join(lines)] if full else lines)]
    return _of_lines(piece, reading, records)


def _read_tokenized(piece: Piece, path: str, reading: Reading) -> list[Record]:
    lines = _lines(piece, path, reading)
    return _of_lines(piece, reading, [_tokenized_record(line) for _, line in lines])


def _of_lines(piece: Piece, reading: Reading, records: list[Record]) -> list[Record]:
    _joined(records, reading.documents)
    if piece.cut and records:
        records[-1].cut = True
    return records


def _read_jsonl(piece: Piece, path: str, reading: Reading) -> list[Record]:
    records = []
    for number, line in _lines(piece, path, reading):
        if line.strip():
            try:
                records.append(_json_record(line.strip(), path, number, reading))
            except DataError as error:
                reading.report(error)
    return _joined(records, reading.documents)


def _lines(piece: Piece, path: str, reading: Reading) -> list[tuple[int, str]]:
    """The lines with their numbers, without those that could not be decoded."""
    text = decode(piece.data, reading.encoding)
    split = [text] if piece.cut else split_lines(text)
    lines = list(enumerate(split, piece.first))
    try:
        text.encode()
    except UnicodeEncodeError:
        return [line for line in lines if _is_sound(line, path, reading)]
    return lines


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
    return Record(line, words, [0, len(words)] if words else [0])


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
        raise DataError(taken("field", reading), path, number)
    text = _find(found, reading.text_field)
    if text is None and reading.text_field not in found:
        raise DataError(missing("field", reading, list(found)), path, number)
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


# --- tables and column files ----------------------------------------------------------------


def _read_table(piece: Piece, path: str, reading: Reading) -> list[Record]:
    header = piece.header
    names = [_quote(name) for name in header]
    column = header.index(reading.text_field) if header else 0
    records: list[Record] = []
    opened = piece.first > 1  # whether the header was met
    lines = split_lines(decode(piece.data, reading.encoding))
    for number, row, _ in read_rows(lines, reading.kind, piece.first):
        if not row:
            continue
        if not opened:
            opened = True
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
            records.append(text_record(row[column], fields))
        except DataError as error:
            reading.report(error)
    return _joined(records, reading.documents)


def _read_conll(piece: Piece, path: str, reading: Reading) -> list[Record]:
    sentences: Iterable[Sentence] = parse_sentences(
        split_lines(decode(piece.data, reading.encoding)),
        path,
        reading.token_column,
        report=reading.report,
        encoding=reading.encoding,
        first=piece.first,
        columns=piece.columns,
    )
    by_document = reading.documents == "docstart"
    if by_document:
        sentences = open_documents(sentences, piece.marked)
    records: list[Record] = []
    for sentence in sentences:
        if by_document and records:
            records[-1].goes_on = not sentence.opens_document
        records.append(tokens_record(sentence.words))
        records[-1].goes_on = reading.documents == "file"
    return records


_READERS: dict[str, Callable[[Piece, str, Reading], list[Record]]] = {
    "text": _read_text,
    "paragraphs": _read_paragraphs,
    "tokenized": _read_tokenized,
    "jsonl": _read_jsonl,
    "csv": _read_table,
    "tsv": _read_table,
    "conll": _read_conll,
}
KINDS = tuple(_READERS)
