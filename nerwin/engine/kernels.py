"""What lies between the products of matrices, and NumPy has no one function for.

It is written in NumPy, here and in ``optim``, and once more in C, in ``loops.c``. Where that was
compiled when nerwin was installed, the loops run instead. Both do the same arithmetic in the same
order and give the same bits: a run that was stopped with the one may go on with the other.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

import numpy as np

from nerwin.engine.types import Array, Indices

_BLOCK = 1 << 17  # numbers that NumPy sums at once: they stay in the processor's cache

_in_order = np.ascontiguousarray  # as the loops want arrays


@cache
def compiled() -> ModuleType | None:
    """``loops``, if it was compiled and is not told by NERWIN_COMPILED=0 to stay out."""
    if os.environ.get("NERWIN_COMPILED") == "0":
        return None
    try:
        from nerwin.engine import loops
    except ImportError:  # there was no C compiler
        return None
    return loops


def numbered(items: Indices, place: Indices) -> tuple[Indices, Indices]:
    """The different numbers among some, in order, and for each item its place among them.

    items  of any shape, which is that of their places
    place  (n,) of no content, for all numbers below n: where places are noted meanwhile
    """
    in_order = items.flatten()
    in_order.sort()
    if loops := compiled():
        different, places = np.empty_like(in_order), np.empty(items.shape, np.int64)
        k = loops.numbered(in_order, items.ravel(), place, different, places.ravel())
        return different[:k], places
    changes = np.ones(len(in_order), bool)
    np.not_equal(in_order[1:], in_order[:-1], out=changes[1:])
    different = in_order[changes]
    place.put(different, np.arange(len(different)))
    return different, place.take(items)


def turned(A: Array) -> Array:
    """Matrices (P, n, m) with rows for columns, (P, m, n): small products with a view are slow."""
    if loops := compiled():
        T = np.empty((len(A), A.shape[2], A.shape[1]), A.dtype)
        loops.turned(_in_order(A), T)
        return T
    return A.transpose(0, 2, 1).copy()


def halve_above(T: Array) -> None:
    """T ← (T + 1) / 2, in C order: tanh(z/2) becomes σ(z)."""
    assert T.flags.c_contiguous  # or a copy would be halved
    if loops := compiled():
        loops.halve_above(T.reshape(1, -1))
        return
    T += 1
    T *= 0.5


def sum_over_places(A: Array, words: Indices, b: Array) -> Array:
    """Z (B, m): for each window what its words have at their places, added left to right, and b.

    A (P, k, m), words (B, P), b (m,)
    """
    B, m = len(words), A.shape[2]
    Z = np.empty((B, m), A.dtype)
    if loops := compiled():
        loops.sum_over_places(_in_order(A), _in_order(words, np.int64), b, Z)
        return Z
    size = max(1, _BLOCK // max(1, m))
    buffer = np.empty((min(size, B), m), A.dtype)
    for start in range(0, B, size):
        part, own = Z[start : start + size], words[start : start + size]
        np.take(A[0], own[:, 0], axis=0, out=part, mode="clip")
        for p in range(1, len(A)):
            part += np.take(A[p], own[:, p], axis=0, out=buffer[: len(part)], mode="clip")
        part += b
    return Z


def add_rows(Z: Array, A: Array, which: Indices) -> None:
    """Z (B, m) += A[which], a row of A (k, m) to each, or none where ``which`` (B,) is negative."""
    if loops := compiled():
        loops.add_rows(_in_order(A), _in_order(which, np.int64), Z)
    elif (some := which >= 0).all():
        Z += A.take(which, axis=0)
    else:
        Z[some] += A.take(which[some], axis=0)


def sum_by_place(dZ: Array, words: Indices, k: int) -> Array:
    """dA (P, k, m): for each of k words at each place, the sum over the windows that have it there.

    dZ (B, m), words (B, P)
    """
    P = words.shape[1]
    if loops := compiled():
        dA = np.empty((P, k, dZ.shape[1]), dZ.dtype)
        loops.sum_by_place(_in_order(dZ), _in_order(words, np.int64), dA)
        return dA
    cells = (words + k * np.arange(P)).ravel()
    starts = np.arange(0, len(cells) + 1, P)
    return sum_by_row(cells, dZ, P * k, starts).reshape(P, k, -1)


def sum_by_row(rows: Indices, values: Array, n_rows: int, starts: Indices | None = None) -> Array:
    """(n_rows, D): in each row, the sum of the values (N, D) that belong to it.

    rows    (N,) the row that each value belongs to
    starts  (N+1,) if value i belongs to several, rows[starts[i]] … rows[starts[i+1]−1]

    ``table[rows] += values`` would keep only one of the repeated rows. The sum is a product with
    the sparse matrix that has a one at (row, value).
    """
    starts = np.arange(len(values) + 1) if starts is None else starts
    if loops := compiled():
        summed = np.zeros((n_rows, values.shape[1]), values.dtype)
        rows, starts = _in_order(rows, np.int64), _in_order(starts, np.int64)
        loops.sum_by_row(rows, _in_order(values), starts, summed)
        return summed
    from scipy import sparse  # only training needs it, and it takes a tenth of a second

    ones = np.ones(len(rows), dtype=values.dtype)
    collect = sparse.csc_array((ones, rows, starts), shape=(n_rows, len(values)))
    return collect @ values
