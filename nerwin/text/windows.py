"""Sentences -> padded windows of words (CS224N 2021 L3, 0:07)."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nerwin.text.ngrams import Bags
from nerwin.text.tags import Indices


class Windows:
    """The window of ±C words around every token, made when asked for, never all at once.

    numbers  (N,) of the tokens' words
    rows     (W, F) the row of every word in each table
    starts   (S+1,) the number of each sentence's first token, then N
    C        words on each side; past a sentence's ends stands the word ``padding``
    bags     of n-grams, if there is a table of them; the rows in its column are their numbers

    ``windows[batch]`` are the numbers of the words, (B, 2C+1), around the tokens in ``batch``.
    """

    def __init__(
        self,
        numbers: Indices,
        rows: Indices,
        starts: Indices,
        C: int,
        padding: int,
        bags: Bags | None = None,
    ) -> None:
        self.bags = bags
        self.rows = rows
        lengths = np.diff(starts)
        # One run of C paddings between sentences serves the one before and the one after.
        size = max(len(numbers) + C * (len(lengths) + 1), 2 * C + 1)
        self._padded = np.full(size, padding, np.int32)
        # Where each token's window begins there.
        self._first = np.arange(len(numbers)) + C * np.repeat(np.arange(len(lengths)), lengths)
        self._padded[self._first + C] = numbers
        self._windows = sliding_window_view(self._padded, 2 * C + 1)

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, batch: Indices | slice) -> Indices:
        return self._windows[self._first[batch]]

    def line(self, block: slice) -> Indices:
        """The words of some tokens in a row, with what stands between them and at both ends."""
        first = self._first[block]
        return self._padded[first[0] : first[-1] + self._windows.shape[1]]

    def often(self, most: int) -> Indices:
        """The words that occur more than once, or the most frequent of them."""
        counts = np.bincount(self._padded)
        words = np.flatnonzero(counts > 1)
        return words[np.argsort(-counts[words], kind="stable")[:most]]
