"""Character n-grams of tokens, hashed into the rows of one table (Bojanowski et al., 2017).

What a word looks like inside: an unknown one shares most of its n-grams with words that are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from nerwin.text.tags import Indices
from nerwin.text.tokens import runs
from nerwin.text.vocabulary import SPECIAL

BUCKETS = 10_000  # rows that n-grams share
_LENGTHS = (3, 4)


@dataclass(frozen=True, slots=True)
class Bags:
    """Bags of row numbers: bag i is rows[starts[i]] … rows[starts[i+1]−1], at least one."""

    rows: Indices
    starts: Indices

    @classmethod
    def of(cls, bags: Iterable[Indices]) -> Bags:
        """Many bags in one."""
        bags = list(bags)
        starts = np.cumsum([0, *map(len, bags)])
        return cls(np.concatenate(bags), starts)

    def __add__(self, others: Bags) -> Bags:
        starts = np.append(self.starts, self.starts[-1] + others.starts[1:])
        return Bags(np.append(self.rows, others.rows), starts)

    def __getitem__(self, which: Indices) -> Bags:
        """Some of the bags, (k,) of their numbers."""
        places, starts = runs(self.starts, which)
        return Bags(self.rows[places], starts)


def ngrams(token: str) -> list[str]:
    """The runs of 3 and of 4 characters of a token between < and >; of none, the two signs."""
    word = f"<{token}>"
    return [word[i : i + n] for n in _LENGTHS for i in range(len(word) - n + 1)] or [word]


def ngram_rows(token: str, buckets: int) -> Indices:
    """The rows of a token's n-grams in a table of special rows and ``buckets``, (k,) int32."""
    hashes = [crc32(ngram.encode("utf-8", "surrogatepass")) for ngram in ngrams(token)]
    return np.array([len(SPECIAL) + h % buckets for h in hashes], np.int32)
