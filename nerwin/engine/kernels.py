"""What a step does between its products and NumPy has no one function for.

It is written in NumPy, here and in ``optim``, and once more in ``loops``, as loops that Numba
compiles. If Numba is installed (the extra ``fast``), the loops run instead. Both do the same
arithmetic in the same order and give the same bits: a run that was stopped with the one may go on
with the other.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

import numpy as np

from nerwin.engine.types import Array, Indices


@cache
def compiled() -> ModuleType | None:
    """``loops``, if Numba is there and is not told by NUMBA_DISABLE_JIT=1 to compile nothing.

    To import it takes half a second, so that is done when it is first needed: to train.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return None
    try:
        from nerwin.engine import loops
    except Exception:  # not installed, broken, or what it keeps on disk is: then it is not there
        return None
    return loops


def sum_of_rows(table: Array, rows: Indices) -> Array:
    """(N, D): for each item, the sum of its rows (N, P) of a table (V, D), from left to right."""
    if loops := compiled():
        return loops.sum_of_rows(np.ascontiguousarray(table), np.ascontiguousarray(rows, np.int64))
    summed = table.take(rows[:, 0], axis=0)
    for p in range(1, rows.shape[1]):
        summed += table.take(rows[:, p], axis=0)
    return summed


def sum_by_row(rows: Indices, values: Array, n_rows: int, starts: Indices | None = None) -> Array:
    """(n_rows, D): in each row, the sum of the values (N, D) that belong to it.

    rows    (N,) the row that each value belongs to
    starts  (N+1,) if value i belongs to several, rows[starts[i]] … rows[starts[i+1]−1]

    ``table[rows] += values`` would keep only one of the repeated rows. The sum is a product with
    the sparse matrix that has a one at (row, value).
    """
    starts = np.arange(len(values) + 1) if starts is None else starts
    if loops := compiled():
        rows, starts = (np.ascontiguousarray(a, np.int64) for a in (rows, starts))
        return loops.sum_by_row(rows, np.ascontiguousarray(values), n_rows, starts)
    from scipy import sparse  # only training needs it, and it takes a tenth of a second

    ones = np.ones(len(rows), dtype=values.dtype)
    collect = sparse.csc_array((ones, rows, starts), shape=(n_rows, len(values)))
    summed: Array = collect @ values
    return summed
