"""CoNLL-style column files -> words, sentences, documents and tag columns.

One token a line, columns between tabs or spaces, an empty line after a sentence. A line whose
first column is -DOCSTART- opens a document; where documents are not marked so, each sentence is
one. A line between two sentences that starts with # and a space, and has no tag in its tag column,
is a comment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from nerwin.errors import DataError
from nerwin.text.files import check_unicode, open_binary, read_lines
from nerwin.text.tags import Indices, is_tag

LOOKED_AT = 1000  # sentences in which documents are marked if they are at all


@dataclass(frozen=True)
class Corpus:
    """Tokens in order, cut into sentences and documents.

    words      (N) the tokens
    tags       one list of N tags for each tag column that was asked for
    starts     (S+1,) the number of each sentence's first token, then N
    documents  (D+1,) the number of each document's first sentence, then S
    """

    words: list[str]
    tags: list[list[str]]
    starts: Indices
    documents: Indices


def read_corpus(
    path: str | Path,
    *,
    token_column: int = 0,
    tag_columns: Sequence[int] = (-1,),
    encoding: str = "utf-8",
) -> Corpus:
    """Read a whole column file; columns count from 0, or from the end with −1.

    Raises DataError as ``read_sentences`` does, and for a file without tokens.
    """
    words: list[str] = []
    tags: list[list[str]] = [[] for _ in tag_columns]
    starts: list[int] = [0]
    documents: list[int] = []
    with open_binary(path) as file:
        lines = read_lines(file, path, encoding)
        for sentence in read_sentences(lines, path, token_column, tag_columns):
            if sentence.opens_document:
                documents.append(len(starts) - 1)
            words += map(sys.intern, sentence.words)  # each different one once
            for column, values in zip(tags, sentence.tags, strict=True):
                column.extend(values)
            starts.append(len(words))
    if not words:
        raise DataError("holds no token", path)
    documents.append(len(starts) - 1)
    return Corpus(words, tags, np.array(starts), np.array(documents))


@dataclass(slots=True)
class Sentence:
    """One sentence of a column file."""

    words: list[str]
    tags: list[list[str]]
    opens_document: bool


def read_sentences(
    lines: Iterable[str],
    path: str | Path,
    token_column: int = 0,
    tag_columns: Sequence[int] = (),
    report: Callable[[DataError], None] | None = None,
    encoding: str = "utf-8",
) -> Iterator[Sentence]:
    """The sentences in the lines of a column file, one after the other.

    If no document is marked among the first thousand, each is a document of its own, until one
    is marked after all.
    Raises DataError, with path:line, for a line with more or fewer columns than the first, and
    for something else than a tag in a tag column; or gives it to ``report``, leaves the sentence
    out and goes on. Then a line is wrong too that could not be decoded (see ``check_unicode``).
    """
    sentences = parse_sentences(lines, path, token_column, tag_columns, report, encoding)
    first: list[Sentence] = []
    marked = False
    while not marked and len(first) < LOOKED_AT and (sentence := next(sentences, None)):
        first.append(sentence)
        marked = sentence.opens_document
    return open_documents(chain(first, sentences), marked)


def open_documents(sentences: Iterable[Sentence], marked: bool) -> Iterator[Sentence]:
    """The same sentences; the first opens a document, and each does until one is marked, unless
    it is known that they are ``marked``.
    """
    for i, sentence in enumerate(sentences):
        marked |= sentence.opens_document
        sentence.opens_document |= not marked or i == 0
        yield sentence


def parse_sentences(
    lines: Iterable[str],
    path: str | Path,
    token_column: int = 0,
    tag_columns: Sequence[int] = (),
    report: Callable[[DataError], None] | None = None,
    encoding: str = "utf-8",
    first: int = 1,
    columns: int = 0,
    tell_columns: Callable[[int], None] = lambda columns: None,
) -> Iterator[Sentence]:
    """``read_sentences`` without looking ahead: only what is marked opens a document.

    first, columns  number of the first line, and of columns, 0 if no line tells it yet
    tell_columns    gets the number of columns from the line that tells it
    """
    sentence = Sentence([], [[] for _ in tag_columns], False)
    known: set[str] = set()
    wrong = False  # whether this sentence is left out
    for number, line in enumerate(lines, first):
        fields = split_columns(line)
        if not fields or fields[0] == "-DOCSTART-":
            if sentence.words or wrong:
                opens = wrong and sentence.opens_document
                if not wrong:
                    yield sentence
                sentence = Sentence([], [[] for _ in tag_columns], opens)
                wrong = False
            sentence.opens_document |= bool(fields)
            continue
        if wrong or (not sentence.words and _is_comment(line, columns, tag_columns)):
            continue
        try:
            if report:
                check_unicode(line, path, number, encoding)
            if not columns:
                columns = _check_columns(fields, token_column, tag_columns, path, number)
                tell_columns(columns)
            if len(fields) != columns:
                message = f"{len(fields)} columns where the lines before have {columns}"
                raise DataError(message, path, number)
            if not fields[token_column]:
                raise DataError(f"no token in column {token_column}", path, number)
            sentence.words.append(fields[token_column])
            for column, values in zip(tag_columns, sentence.tags, strict=True):
                tag = fields[column]
                if tag not in known:
                    _check_tag(tag, column, path, number)
                    known.add(tag)
                values.append(tag)
        except DataError as error:
            if not report:
                raise
            report(error)
            wrong = True
    if sentence.words and not wrong:
        yield sentence


def split_columns(line: str) -> list[str]:
    """The columns of a line: parted by tabs if it has any, else by spaces. Empty: no columns."""
    line = line.strip(" \t")
    if "\t" in line:
        return [field.strip(" ") for field in line.split("\t")]
    return [field for field in line.split(" ") if field]


def _is_comment(line: str, columns: int, tag_columns: Sequence[int]) -> bool:
    """Whether a line between sentences is no token's, though a token may be a # too."""
    if not f"{line} ".startswith("# ") or "\t" in line:
        return False
    fields = split_columns(line)
    if not tag_columns:
        return len(fields) != (columns or 1)
    return not all(-len(fields) <= c < len(fields) and is_tag(fields[c]) for c in tag_columns)


def _check_tag(tag: str, column: int, path: str | Path, line: int) -> None:
    if not is_tag(tag):
        expected = "expected O, or B-, I-, E-, S- and a type"
        raise DataError(f"{tag!r} in column {column} is not a tag: {expected}", path, line)


def _check_columns(
    fields: list[str], token_column: int, tag_columns: Sequence[int], path: str | Path, line: int
) -> int:
    """The number of columns, if all that are asked for are there, each for itself."""
    n = len(fields)
    wanted = [token_column, *tag_columns]
    missing = [c for c in wanted if not -n <= c < n]
    if missing:
        raise DataError(f"has no column {missing[0]}: the line has {n}", path, line)
    if len({c % n for c in wanted}) < len(wanted):
        if n >= len(wanted):
            raise DataError(f"columns {wanted} are not all different in a line of {n}", path, line)
        needed = "a word and a tag" if len(tag_columns) == 1 else "a word and two tags"
        raise DataError(f"{n} column{'s' * (n > 1)} where {needed} are needed", path, line)
    return n
