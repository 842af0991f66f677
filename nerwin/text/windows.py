"""Sentences -> padded windows of row numbers (CS224N 2021 L3, 0:07)."""

from __future__ import annotations

import numpy as np

from nerwin.text.ngrams import Bags
from nerwin.text.tags import Indices


class Windows:
    """The window of ±C words around every token, made when asked for, never all at once.

    rows    (N, F) the row numbers of every token, one for each table
    same    (N,) equal numbers for tokens of equal rows
    starts  (S+1,) the number of each sentence's first token, then N
    C       words on each side; past a sentence's ends stands ``padding``
    bags    of n-grams; the last column's numbers are theirs, if there are any

    ``windows[batch]`` is the (B, 2C+1, F) array for the token numbers in ``batch``.
    """

    def __init__(
        self,
        rows: Indices,
        same: Indices,
        starts: Indices,
        C: int,
        padding: int,
        bags: Bags | None = None,
    ) -> None:
        self.bags = bags
        lengths = np.diff(starts)
        # One run of C paddings between sentences serves the one before and the one after.
        self._places = np.arange(len(rows)) + C * (np.repeat(np.arange(len(lengths)), lengths) + 1)
        size = len(rows) + C * (len(lengths) + 1)
        self._padded = np.full((size, rows.shape[1]), padding, np.int32)
        self._padded[self._places] = rows
        self._same = np.full(size, -1)
        self._same[self._places] = same
        self._offsets = np.arange(-C, C + 1)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, batch: Indices | slice) -> Indices:
        return self._padded[self._places[batch, None] + self._offsets]

    def distinct(self, batch: slice) -> tuple[Indices, Indices]:
        """The rows of each different word in the windows of a run of tokens, (k, F), and windows
        (B, 2C+1) of their numbers.
        """
        places = self._places[batch]
        first, last = places[0] + self._offsets[0], places[-1] + self._offsets[-1]
        _, words, numbers = np.unique(
            self._same[first : last + 1], return_index=True, return_inverse=True
        )
        return self._padded[first + words], numbers[places[:, None] - first + self._offsets]
