"""CoNLL-style column files -> words, sentences, documents and tag columns.

One token a line, columns between tabs or spaces, an empty line after a sentence. A line whose
first column is -DOCSTART- opens a document. A line between two sentences that starts with # and
has no tag in its tag column is a comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nerwin.errors import DataError
from nerwin.text.files import open_binary, read_lines
from nerwin.text.tags import Indices, is_tag


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
    """Read a column file; columns count from 0, or from the end with −1.

    Raises DataError, with path:line, for a file that cannot be read, is empty, has a line with
    more or fewer columns than its first one, or has something else than a tag in a tag column.
    """
    words: list[str] = []
    tags: list[list[str]] = [[] for _ in tag_columns]
    starts, documents = [0], [0]
    columns = 0
    known: set[str] = set()
    number = 0
    with open_binary(path) as file:
        for number, line in enumerate(read_lines(file, path, encoding), 1):
            fields = split_columns(line)
            if not fields or fields[0] == "-DOCSTART-":
                if len(words) > starts[-1]:
                    starts.append(len(words))
                if fields and len(starts) - 1 > documents[-1]:
                    documents.append(len(starts) - 1)
                continue
            between = len(words) == starts[-1]
            if between and line.startswith("#") and not _has_tags(fields, tag_columns):
                continue
            columns = columns or _check_columns(fields, token_column, tag_columns, path, number)
            if len(fields) != columns:
                message = f"{len(fields)} columns where the lines before have {columns}"
                raise DataError(message, path, number)
            words.append(fields[token_column])
            for column, values in zip(tag_columns, tags, strict=True):
                tag = fields[column]
                if tag not in known:
                    if not is_tag(tag):
                        message = (
                            f"{tag!r} is not a tag: expected O, or B-, I-, E-, S- and a type, "
                            f"in column {column}"
                        )
                        raise DataError(message, path, number)
                    known.add(tag)
                values.append(tag)
    if not words:
        raise DataError("holds no token", path, number or None)
    if len(words) > starts[-1]:
        starts.append(len(words))
    if len(starts) - 1 > documents[-1]:
        documents.append(len(starts) - 1)
    return Corpus(words, tags, np.array(starts), np.array(documents))


def split_columns(line: str) -> list[str]:
    """The columns of a line: parted by tabs if it has any, else by spaces. Empty: no columns."""
    line = line.strip(" \t")
    if "\t" in line:
        return [field.strip(" ") for field in line.split("\t")]
    return [field for field in line.split(" ") if field]


def _has_tags(fields: list[str], tag_columns: Sequence[int]) -> bool:
    """Whether the line looks like a token's: it has tags where tags belong."""
    if not tag_columns or len(fields) < 2:
        return False
    return all(-len(fields) <= c < len(fields) and is_tag(fields[c]) for c in tag_columns)


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
        needed = "a word and a tag" if len(tag_columns) == 1 else "a word and two tags"
        raise DataError(f"{n} column{'s' * (n > 1)} where {needed} are needed", path, line)
    return n
