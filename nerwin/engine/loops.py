"""Loops that Numba compiles, see ``kernels``: the same arithmetic in the same order, the same bits.

So nothing is reordered or contracted to gain speed (no ``fastmath``), and nothing runs in parallel.
All is compiled when this is imported, or comes from where Numba keeps it on disk: if that fails,
the import does, and nothing later. Arrays are in C order, indices int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types, void

from nerwin.engine.types import Array, Indices

_SETTINGS: dict[str, Any] = {"cache": True, "error_model": "numpy"}  # to divide by 0 is no error


def _read(number: Any, dimensions: int) -> Any:
    return types.Array(number, dimensions, "C", readonly=True)


@njit(
    [f[:, ::1](_read(int64, 1), _read(f, 2), int64, _read(int64, 1)) for f in (float32, float64)],
    **_SETTINGS,
)
def sum_by_row(rows: Indices, values: Array, n_rows: int, starts: Indices) -> Array:
    """See ``kernels.sum_by_row``."""
    D = values.shape[1]
    summed = np.zeros((n_rows, D), values.dtype)
    for i in range(len(values)):
        for r in rows[starts[i] : starts[i + 1]]:
            for j in range(D):
                summed[r, j] += values[i, j]
    return summed


@njit(
    [
        void(_read(f, 2), _read(f, 1), _read(f, 1), *[f[:, ::1]] * 3, f, f, f, f)
        for f in (float32, float64)
    ],
    **_SETTINGS,
)
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
