"""Tokens -> a row number in each table: the word vectors' and those of its other features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from nerwin.text.features import FEATURES
from nerwin.text.gazetteers import EntityList, Gazetteers
from nerwin.text.ngrams import Bags, ngram_rows
from nerwin.text.tags import Indices
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary

_CACHED = 1 << 16  # distinct tokens remembered: a long stream must not grow the memory


class Lexicon:
    """The rows of every distinct token, computed once.

    vocabulary  words with vectors; the first column
    values      feature -> its values in order of their rows, from row 2 on
    clusters    name -> (V,) the cluster's row of each row of the vocabulary
    lists       name -> lists of entities; what matches them depends on the sentence, so ``rows``
                leaves their columns to ``Gazetteers``
    buckets     of the n-grams, 0 if there are none; ``bags`` has the last column

    ``tables`` has each table's columns.
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
        columns = ["E", *(f"E_{name}" for name in (*self.values, *self.clusters))]
        columns += [
            f"E_{name}" for name, several in self.gazetteers.tables.items() for _ in several
        ]
        columns += ["E_ngrams"] * (buckets > 0)
        self.tables = {
            name: slice(columns.index(name), columns.index(name) + columns.count(name))
            for name in columns
        }
        first = len(SPECIAL)
        self._features = [
            (FEATURES[name], {value: row for row, value in enumerate(listed, first)})
            for name, listed in self.values.items()
        ]
        self._columns = 1 + len(self.values) + len(self.clusters)
        self._forget()

    def _forget(self) -> None:
        self._number: dict[str, int] = defaultdict()
        self._number.default_factory = self._number.__len__  # a new token gets the next number
        self._rows = np.empty((0, self._columns), np.int32)
        self._bags = Bags.of([np.array([row]) for row in (UNKNOWN, PADDING)])

    def rows(self, tokens: Sequence[str]) -> tuple[Indices, Indices]:
        """The rows of many tokens in every table but those of lists and n-grams, (N, F) int32, and
        numbers (N,) that are equal for tokens that are equal in all tables but those of lists.
        """
        numbers = self._numbers(tokens)  # first: it may renew the rows
        rows = self._rows[numbers]
        return rows, numbers if rows.shape[1] > 1 or self.buckets else rows[:, 0]

    def bags(self, tokens: Sequence[str]) -> tuple[Indices, Bags]:
        """The number of each token's bag of n-grams, (N,), and the bags: those of the special rows,
        then one for each distinct token.
        """
        numbers = self._numbers(tokens)
        present = np.zeros(len(self._number), bool)
        present[numbers] = True
        place = len(SPECIAL) - 1 + np.cumsum(present)
        own = len(SPECIAL) + np.flatnonzero(present)
        return place[numbers], self._bags[np.append((UNKNOWN, PADDING), own)]

    def _numbers(self, tokens: Sequence[str]) -> Indices:
        """The numbers under which the tokens are remembered, until the next call."""
        if len(self._number) > _CACHED:
            self._forget()
        known = self._number
        before = len(known)
        numbers = np.fromiter(map(known.__getitem__, tokens), np.intp, len(tokens))
        new = list(islice(reversed(known), len(known) - before))[::-1]
        if new:
            self._rows = np.concatenate((self._rows, self._find(new)))
            if self.buckets:
                self._bags += Bags.of([ngram_rows(token, self.buckets) for token in new])
        return numbers

    def _find(self, tokens: list[str]) -> Indices:
        words = self.vocabulary.rows(tokens)
        columns = [words]
        for feature, row in self._features:
            columns.append(np.array([row.get(feature(token), UNKNOWN) for token in tokens]))
        columns += [rows[words] for rows in self.clusters.values()]
        return np.stack(columns, axis=1).astype(np.int32)
