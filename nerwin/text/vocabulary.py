"""Words <-> row numbers of the vector table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

UNKNOWN = 0
PADDING = 1
SPECIAL = ("<unknown>", "<padding>")
_HIGH, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)
_DIGIT = re.compile(r"[0-9]")
# The forms under which a token may stand among the words, the best first.
_FORMS: dict[str, tuple[Callable[[str], str], ...]] = {
    "exact": (lambda token: token,),
    "lower": (str.lower,),
    "digits": (
        lambda token: _DIGIT.sub("0", token.lower()),
        lambda token: _DIGIT.sub("#", token.lower()),
    ),
}


class Vocabulary:
    """The words that have a vector. Rows 0 and 1 are the unknown word and the padding.

    A token's row is that of the first of these that has one: the token as it is, lower-cased,
    lower-cased with each digit as 0 (as some vectors have it), with each digit as # (as others),
    and else the unknown word.

    text   the words in UTF-8, each with a line's end after it; the first one has row 2
    index  (V,) uint64, sorted: the CRC-32 of each word and, in the lower half, its number from 0.
           Text and index can come from a file, so that many words are ready at once
    """

    def __init__(self, text: bytes, index: NDArray[np.uint64]) -> None:
        self.text = text
        self.index = index
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        self._ends = np.append(-1, ends)  # of the word before the first one, too

    @classmethod
    def of(cls, words: Sequence[str]) -> Vocabulary:
        """A vocabulary of different words, without line ends in them."""
        index = _codes(map(_encoded, words), len(words))
        index |= np.arange(len(words), dtype=np.uint64)
        index.sort()
        return cls(_encoded("\n".join([*words, ""])), index)

    def __len__(self) -> int:
        """The number of rows, the two special ones included."""
        return len(SPECIAL) + len(self.index)

    @property
    def words(self) -> list[str]:
        """All words, that of row 2 first; made when asked for."""
        return self.text.decode("utf-8", "surrogatepass").split("\n")[:-1]

    def rows(self, tokens: Sequence[str]) -> Indices:
        """The rows of many tokens, (N,) int32; each is looked up, however often it occurs."""
        return self._find(tokens)[0]

    def coverage(self, tokens: Iterable[str]) -> dict[str, float]:
        """The share of the tokens that is found in each way: exact, lower, digits, unknown."""
        counts = Counter(tokens)
        ways = self._find(list(counts))[1]
        sums = np.bincount(ways, list(counts.values()), minlength=len(_FORMS) + 1)
        return dict(zip([*_FORMS, "unknown"], (sums / (sums.sum() or 1)).tolist(), strict=True))

    def _find(self, tokens: Sequence[str]) -> tuple[Indices, Indices]:
        """The rows of tokens, (N,) int32, and in which of the ways they are found, (N,)."""
        rows = np.full(len(tokens), UNKNOWN, np.int32)
        ways = np.full(len(tokens), len(_FORMS))
        missing: Indices = np.arange(len(tokens))
        for way, forms in enumerate(_FORMS.values()):
            for form in forms:
                numbers = self._numbers([form(tokens[i]) for i in missing.tolist()])
                found = numbers >= 0
                rows[missing[found]] = len(SPECIAL) + numbers[found]
                ways[missing[found]] = way
                missing = missing[~found]
        return rows, ways

    def _numbers(self, words: Iterable[str]) -> Indices:
        """The numbers of words, (n,), −1 for those that are not there."""
        encoded = list(map(_encoded, words))
        codes = _codes(encoded, len(encoded))
        numbers = np.full(len(encoded), -1)
        place = np.searchsorted(self.index, codes)
        left = np.flatnonzero(place < len(self.index))
        while len(left):  # once, but for words of equal codes, which stand side by side
            entry = self.index[place[left]]
            same = entry >> _HIGH == codes[left] >> _HIGH
            left = left[same]
            number = (entry[same] & _LOW).astype(np.intp)
            begins = self._ends.take(number, mode="clip") + 1  # an index may be damaged
            ends = self._ends.take(number + 1, mode="clip")
            bounds = zip(left.tolist(), begins.tolist(), ends.tolist(), strict=True)
            right = np.array([encoded[i] == self.text[a:z] for i, a, z in bounds], bool)
            numbers[left[right]] = number[right]
            left = left[~right]
            place[left] += 1
            left = left[place[left] < len(self.index)]
        return numbers


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _codes(words: Iterable[bytes], n: int) -> NDArray[np.uint64]:
    """The CRC-32 of each of n words in the upper half."""
    return np.fromiter(map(crc32, words), np.uint64, n) << _HIGH
