"""Tokens -> a row number in each table: the word vectors' and those of its other features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nerwin.text.features import FEATURES
from nerwin.text.gazetteers import EntityList, Gazetteers
from nerwin.text.tags import Indices
from nerwin.text.vocabulary import SPECIAL, UNKNOWN, Vocabulary

_CACHED = 1 << 17  # distinct tokens remembered: a long stream must not grow the memory


class Lexicon:
    """The rows of every distinct token, computed once.

    vocabulary  words with vectors; the first column
    values      feature -> its values in order of their rows, from row 2 on
    clusters    name -> (V,) the cluster's row of each row of the vocabulary
    lists       name -> entities; what matches them depends on the sentence, so ``rows`` leaves
                their columns, the last, to ``Gazetteers``
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        values: Mapping[str, Sequence[str]] | None = None,
        clusters: Mapping[str, Indices] | None = None,
        lists: Mapping[str, EntityList] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.values = dict(values or {})
        self.clusters = dict(clusters or {})
        self.gazetteers = Gazetteers(lists)
        columns = (*self.values, *self.clusters, *self.gazetteers.lists)
        self.tables = ["E", *(f"E_{name}" for name in columns)]
        first = len(SPECIAL)
        self._features = [
            (FEATURES[name], {value: row for row, value in enumerate(listed, first)})
            for name, listed in self.values.items()
        ]
        self._columns = 1 + len(self.values) + len(self.clusters)
        self._forget()

    def _forget(self) -> None:
        self._number: dict[str, int] = {}
        self._rows = np.empty((0, self._columns), np.int32)

    def rows(self, tokens: Sequence[str]) -> Indices:
        """The rows of many tokens in every table but those of lists, (N, F) int32."""
        if self._columns == 1:
            return self.vocabulary.rows(tokens)[:, None]
        if len(self._number) > _CACHED:
            self._forget()
        known = self._number
        new = [token for token in dict.fromkeys(tokens) if token not in known]
        if new:
            known.update(zip(new, range(len(known), len(known) + len(new)), strict=True))
            self._rows = np.concatenate((self._rows, self._find(new)))
        numbers = np.fromiter(map(known.__getitem__, tokens), np.intp, len(tokens))
        return self._rows[numbers]

    def _find(self, tokens: list[str]) -> Indices:
        words = self.vocabulary.rows(tokens)
        columns = [words]
        for feature, row in self._features:
            columns.append(np.array([row.get(feature(token), UNKNOWN) for token in tokens]))
        columns += [rows[words] for rows in self.clusters.values()]
        return np.stack(columns, axis=1).astype(np.int32)
