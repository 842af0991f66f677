"""Tokens -> a row number in each table: the word vectors' and those of its other features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from nerwin.text.features import FEATURES, Case
from nerwin.text.gazetteers import ROWS, EntityList, Gazetteers
from nerwin.text.ngrams import Bags, ngram_rows
from nerwin.text.tags import Indices
from nerwin.text.tokens import Tokens, numbering
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary

# Remembered: a long stream must not grow the memory.
_CACHED = 1 << 16  # distinct tokens
_CHARACTERS = 1 << 22  # in all of them
_MOST = 1 << 62  # so many can be told apart by an integer


class Lexicon:
    """The rows of every distinct token, computed once.

    vocabulary  words with vectors; the first column
    buckets     of the n-grams, 0 if there are none; the rows in their column are numbers of bags
    values      feature -> its values in order of their rows, from row 2 on
    clusters    name -> (V,) the cluster's row of each row of the vocabulary
    lists       of entities, by where they come from, see ``Gazetteers``; what matches them depends
                on the sentence

    ``tables`` has each table's columns. The features are in one table of ``feature_rows``, one
    after the other; those of the lists are last.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        values: Mapping[str, Sequence[str]] | None = None,
        clusters: Mapping[str, Indices] | None = None,
        lists: Mapping[str, Sequence[EntityList]] | None = None,
        buckets: int = 0,
    ) -> None:
        self.vocabulary = vocabulary
        self.values = dict(values or {})
        self.clusters = dict(clusters or {})
        self.gazetteers = Gazetteers(lists)
        self.buckets = buckets
        first = len(SPECIAL)
        self._features = [
            (FEATURES[name], {value: row for row, value in enumerate(listed, first)})
            for name, listed in self.values.items()
        ]
        self._columns = 1 + len(self.values) + len(self.clusters)
        heights = [first + len(listed) for listed in self.values.values()]
        heights += [int(rows.max()) + 1 for rows in self.clusters.values()]
        heights += [first + ROWS] * len(self.gazetteers.no_match)
        self.feature_rows = sum(heights)
        self.tables = {"E": slice(0, 1)}
        if buckets:
            self.tables["E_ngrams"] = slice(1, 2)
        before = len(self.tables)
        if heights:
            self.tables["E_features"] = slice(before, before + len(heights))
        # Where each column's own rows begin in its table.
        self._places = np.append(np.zeros(before), np.cumsum(heights) - heights).astype(np.int32)
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        """How it gets into another process: without what is remembered."""
        lists = self.gazetteers.groups
        return Lexicon, (self.vocabulary, self.values, self.clusters, lists, self.buckets)

    def _forget(self) -> None:
        self._number, self._folded = numbering(), numbering()
        self._characters = 0
        self._rows = np.repeat(np.array([[UNKNOWN], [PADDING]], np.int32), self._columns, axis=1)
        self._bags = Bags.of([np.array([row]) for row in (UNKNOWN, PADDING)])
        self._listed = np.zeros(len(SPECIAL), np.int64)
        self._case = np.zeros((3, 0), np.intp)  # made when it is asked for
        self._latest: tuple[Tokens, Indices] | None = None

    def rows(
        self, tokens: Tokens, starts: Indices, own: Indices | None = None
    ) -> tuple[Indices, Indices]:
        """A number for each token, (N,), equal for tokens that are equal in all tables, and the row
        of each number in every table, (W, F) int32; ``SPECIAL`` are the first.

        starts, own  as in ``Gazetteers.rows``
        """
        remembered = self._remembered(tokens)
        numbers: Indices = len(SPECIAL) + tokens.numbers
        rows: Indices = self._rows[remembered]
        if self.buckets:
            rows = np.insert(rows, 1, np.arange(len(rows)), axis=1)
        if self.gazetteers.groups:
            words = self._listed[remembered[len(SPECIAL) :]][tokens.numbers]
            found = self.gazetteers.rows(words, starts, own)
            numbers, rows = _beside(found, self.gazetteers.no_match, numbers, rows)
        if rows.shape[1] == 1:  # words that are written in several ways have one vector
            rows, number = np.unique(rows, return_inverse=True)
            return number.ravel()[numbers], rows[:, None]
        return numbers, rows + self._places

    def words(self, tokens: Tokens) -> Indices:
        """The row of each different token among the word vectors, (W,)."""
        remembered = self._remembered(tokens)[len(SPECIAL) :]
        return self._rows[remembered, 0]

    def bags(self, tokens: Tokens) -> Bags:
        """The bags of n-grams of the special words, and of each different token."""
        remembered = self._remembered(tokens)
        return self._bags[remembered]

    def case(self, tokens: Tokens) -> Case:
        """How each different token is written."""
        remembered = self._remembered(tokens)[len(SPECIAL) :] - len(SPECIAL)
        if new := self._since(self._case.shape[1]):
            folded = [self._folded[token.lower()] for token in new]
            capital = [token[:1].isupper() for token in new]
            case = np.array([folded, list(map(str.islower, new)), capital])
            self._case = np.concatenate((self._case, case), axis=1)
        folded, lower, capital = self._case[:, remembered]
        return Case(folded, lower > 0, capital > 0)

    def _remembered(self, tokens: Tokens) -> Indices:
        """Where the rows of the special words and of different tokens are, until others come."""
        if self._latest and self._latest[0] is tokens:
            return self._latest[1]
        if len(self._number) > _CACHED or self._characters > _CHARACTERS:
            self._forget()
        words = tokens.words
        try:
            numbers = self._remember(words)
        except BaseException:  # Ctrl-C, say: what is half remembered would stay so
            self._forget()
            raise
        self._latest = tokens, np.append((UNKNOWN, PADDING), len(SPECIAL) + numbers)
        return self._latest[1]

    def _remember(self, words: Sequence[str]) -> Indices:
        """The number of each different token, (W,)."""
        before = len(self._number)
        numbers = np.fromiter(map(self._number.__getitem__, words), np.intp, len(words))
        if new := self._since(before):
            self._characters += sum(map(len, new))
            self._rows = np.concatenate((self._rows, self._find(new)))
            if self.buckets:
                self._bags += Bags.of([ngram_rows(token, self.buckets) for token in new])
            if self.gazetteers.groups:
                self._listed = np.append(self._listed, self.gazetteers.numbers(new))
        return numbers

    def _since(self, number: int) -> list[str]:
        """The tokens that are remembered, from that number on."""
        return list(islice(reversed(self._number), len(self._number) - number))[::-1]

    def _find(self, tokens: list[str]) -> Indices:
        words = self.vocabulary.rows(tokens)
        columns = [words]
        for feature, row in self._features:
            columns.append(np.array([row.get(feature(token), UNKNOWN) for token in tokens]))
        columns += [rows[words] for rows in self.clusters.values()]
        return np.stack(columns, axis=1).astype(np.int32)


def _beside(
    found: Indices, no_match: Indices, numbers: Indices, rows: Indices
) -> tuple[Indices, Indices]:
    """Numbers (N,) and rows (W, F) with more columns, found for each token (N, L): what matches
    nothing keeps its number, for all else there are new ones.
    """
    some = np.flatnonzero((found != no_match).any(axis=1))
    new, most = numbers[some], len(rows)  # all are below it
    for column in (found - no_match)[some].T:
        if most > _MOST // ROWS:
            new = np.unique(new, return_inverse=True)[1]
            most = len(new)
        new = new * ROWS + column
        most *= ROWS
    _, first, new = np.unique(new, return_index=True, return_inverse=True)
    first = some[first]
    beside = np.tile(no_match, (len(rows), 1))
    beside[PADDING] = PADDING
    plain = np.concatenate((rows, beside), axis=1)
    matched = np.concatenate((rows[numbers[first]], found[first]), axis=1)
    numbers = numbers.copy()
    numbers[some] = len(rows) + new
    return numbers, np.concatenate((plain, matched), dtype=np.int32)
