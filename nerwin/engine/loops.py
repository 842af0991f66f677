"""Loops that Numba compiles, see ``kernels``: the same arithmetic in the same order, the same bits.

So nothing is reordered or contracted to gain speed (no ``fastmath``), and nothing runs in parallel.
Numba keeps on disk what it has compiled, for the next process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from nerwin.engine.types import Array, Indices

_compile: Any = njit(cache=True, error_model="numpy")  # to divide by 0 is no error


@_compile
def sum_of_places(A: Array, words: Indices) -> Array:
    """See ``kernels.sum_of_places``."""
    P, _, m = A.shape
    Z = np.empty((len(words), m), A.dtype)
    for i in range(len(words)):
        for j in range(m):
            Z[i, j] = A[0, words[i, 0], j]
        for p in range(1, P):
            word = words[i, p]
            for j in range(m):
                Z[i, j] += A[p, word, j]
    return Z


@_compile
def sum_by_row(rows: Indices, values: Array, n_rows: int, starts: Indices) -> Array:
    """See ``kernels.sum_by_row``."""
    D = values.shape[1]
    summed = np.zeros((n_rows, D), values.dtype)
    for i in range(len(values)):
        for r in rows[starts[i] : starts[i + 1]]:
            for j in range(D):
                summed[r, j] += values[i, j]
    return summed


@_compile
def adam(
    g: Array,
    rates: Array,
    epsilons: Array,
    theta: Array,
    m: Array,
    v: Array,
    beta1: Any,
    rest1: Any,
    beta2: Any,
    rest2: Any,
) -> None:
    """See ``optim.Adam``. Changes θ, m and v, (n, D), in place; rates and epsilons are (n,), rest1
    and rest2 what the betas leave to 1, all of one dtype.
    """
    for i in range(len(theta)):
        for j in range(theta.shape[1]):
            m[i, j] = m[i, j] * beta1 + rest1 * g[i, j]
            v[i, j] = v[i, j] * beta2 + g[i, j] * g[i, j] * rest2
            theta[i, j] -= m[i, j] / (np.sqrt(v[i, j]) + epsilons[i]) * rates[i]
