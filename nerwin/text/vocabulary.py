"""Words <-> row numbers of the vector table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from nerwin.text.tags import Indices

UNKNOWN = 0
PADDING = 1
SPECIAL = ("<unknown>", "<padding>")
_CACHED = 1 << 18  # distinct tokens remembered: a long stream must not grow the memory
_DIGIT = re.compile(r"[0-9]")


class Vocabulary:
    """The words that have a vector. Rows 0 and 1 are the unknown word and the padding.

    A token's row is that of the first of these that has one: the token as it is, lower-cased,
    lower-cased with each digit as 0 (as some vectors have it), with each digit as # (as others),
    and else the unknown word.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        first = len(SPECIAL)
        self._row = dict(zip(words, range(first, first + len(words)), strict=True))
        self._cache = Numbers(self._find)

    def __len__(self) -> int:
        """The number of rows, the two special ones included."""
        return len(SPECIAL) + len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._row

    def rows(self, tokens: Sequence[str]) -> Indices:
        """The rows of many tokens, (N,) int32."""
        return self._cache.of(tokens)

    def coverage(self, tokens: Iterable[str]) -> dict[str, float]:
        """The share of the tokens that is found in each way: exact, lower, digits, unknown."""
        counts = dict.fromkeys(("exact", "lower", "digits", "unknown"), 0)
        for token, count in Counter(tokens).items():
            form = next((f for f in forms(token) if f in self._row), None)
            if form is None:
                counts["unknown"] += count
            elif form == token:
                counts["exact"] += count
            else:
                counts["lower" if form == token.lower() else "digits"] += count
        total = sum(counts.values()) or 1
        return {how: count / total for how, count in counts.items()}

    def _find(self, token: str) -> int:
        return next((self._row[form] for form in forms(token) if form in self._row), UNKNOWN)


class Numbers(dict[str, int]):
    """Numbers of the tokens seen lately; that of a token that is not there is found."""

    def __init__(self, find: Callable[[str], int]) -> None:
        self._find = find

    def __missing__(self, token: str) -> int:
        number = self[token] = self._find(token)
        return number

    def of(self, tokens: Sequence[str]) -> Indices:
        """The numbers of many tokens, (N,) int32."""
        numbers = np.fromiter(map(self.__getitem__, tokens), np.int32, len(tokens))
        if len(self) > _CACHED:
            self.clear()
        return numbers


def forms(token: str) -> Iterable[str]:
    """The forms under which a token may stand among the vectors, the best first."""
    yield token
    lower = token.lower()
    yield lower
    if _DIGIT.search(lower):
        yield _DIGIT.sub("0", lower)
        yield _DIGIT.sub("#", lower)
