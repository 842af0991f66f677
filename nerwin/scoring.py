"""The first layer for many tokens, by way of their words.

W is linear, so W x is a sum over the places of a window. What a word adds at a place is computed
once for all the windows that have it there: there are far fewer words than windows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nerwin.engine.blas import product
from nerwin.engine.kernels import sum_over_places
from nerwin.engine.types import Array, Indices
from nerwin.text.windows import Windows

_BLOCK = 1 << 11  # tokens whose windows are summed at once
_KEPT = 1 << 22  # numbers kept of the words that are met most often


def sums(windows: Windows, V: Array, W: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Block after block of tokens, W x + b for the vectors x of their windows: (B, m).

    V  (k, n) of the words in ``windows.rows``
    W  (P, n, m), by place in the window
    b  (m,)

    What words add that are met again is kept, for as many as there is room for; all others' is
    computed for each block.
    """
    places, _, m = W.shape
    often = windows.often(_KEPT // (places * m))
    number = np.full(len(windows.rows), -1)  # of a word in ``added``
    number[often] = np.arange(len(often))
    others = min(len(number) - len(often), _BLOCK + places)
    added = np.empty((places, len(often) + others, m), W.dtype)

    def multiply(words: Indices, first: int) -> None:
        product(V.take(words, axis=0), W, added[:, first : first + len(words)])

    multiply(often, 0)
    for start in range(0, len(windows), _BLOCK):
        block = slice(start, start + _BLOCK)
        line = windows.line(block)
        rest = line[number[line] < 0]
        number[rest] = np.arange(len(rest))
        rest = rest[number[rest] == np.arange(len(rest))]  # each word once, its last place
        multiply(rest, len(often))
        number[rest] = np.arange(len(often), len(often) + len(rest))
        yield block, sum_over_places(added, number[windows[block]], b)
        number[rest] = -1
