"""Tokens, of which each different one is kept once: what strings cost, they cost once; and runs
of them, such as sentences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices


class Tokens(Sequence[str]):
    """A sequence of N tokens.

    words    the different ones, in the order in which they are first met
    numbers  (N,) the place of each token among them
    """

    def __init__(self, words: list[str], numbers: Indices) -> None:
        self.words = words
        self.numbers = numbers

    @classmethod
    def of(cls, tokens: Sequence[str]) -> Tokens:
        """The same tokens; what is made so already stays as it is."""
        if isinstance(tokens, Tokens):
            return tokens
        number = numbering()
        numbers = np.fromiter(map(number.__getitem__, tokens), np.intp, len(tokens))
        return cls(list(number), numbers)

    def each(self, f: Callable[[str], Any], dtype: Any) -> NDArray[Any]:
        """f of every token, (N,)."""
        return np.fromiter(map(f, self.words), dtype, len(self.words))[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[str]:
        return map(self.words.__getitem__, self.numbers.tolist())

    @overload
    def __getitem__(self, which: int) -> str: ...
    @overload
    def __getitem__(self, which: slice) -> Tokens: ...
    def __getitem__(self, which: int | slice) -> str | Tokens:
        numbers = self.numbers[which]
        return Tokens(self.words, numbers) if isinstance(which, slice) else self.words[numbers]


def numbering() -> defaultdict[str, int]:
    """A number for every token, in the order in which they are first asked for."""
    return defaultdict(count().__next__)


def runs(starts: Indices, which: Indices) -> tuple[Indices, Indices]:
    """The numbers in some runs, one run after the other, and where each run then starts, with their
    end: run i is starts[i] … starts[i+1]−1.
    """
    lengths = np.diff(starts)[which]
    new = np.append(0, np.cumsum(lengths))
    return np.arange(new[-1]) + np.repeat(starts[which] - new[:-1], lengths), new
