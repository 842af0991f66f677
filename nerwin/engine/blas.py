"""BLAS on one thread: fastest for products of this size, and the same bits again on one machine.
And products as it is fastest with them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import numpy as np
from threadpoolctl import LibController, ThreadpoolController

from nerwin.engine.types import Array

_SMALL = 100**3  # multiplications
_AS_THEY_ARE = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's products for AVX-512
_FEWEST = 16  # rows, or what each call costs is felt


def one_thread() -> AbstractContextManager[object]:
    """Inside, BLAS runs on one thread; outside, as before."""
    return _libraries().limit(limits=1, user_api="blas")


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """A @ B, some rows of A at a time where that is faster; in ``out``, if it is given.
    (k, n), (n, m) -> (k, m), or (k, n) or (P, k, n), (P, n, m) -> (P, k, m).

    With AVX-512, OpenBLAS multiplies matrices as they are if that takes no more than a million
    multiplications. Larger ones it copies first, which takes an eighth as long again, but with
    several threads it shares them out.
    """
    (k, n), m = A.shape[-2:], B.shape[-1]
    rows = _SMALL // max(1, n * m)
    if not (k > rows >= _FEWEST and _faster_in_pieces()):
        return np.matmul(A, B, out=out)
    A = np.ascontiguousarray(A)
    if out is None:
        out = np.empty((*B.shape[:-2], k, m), np.result_type(A, B))
    rows = -(-k // -(-k // rows))
    for i in range(0, k, rows):
        np.matmul(A[..., i : i + rows, :], B, out=out[..., i : i + rows, :])
    return out


def _faster_in_pieces() -> bool:
    return any(library.num_threads == 1 for library in _for_avx512())


@cache
def _for_avx512() -> list[LibController]:
    libraries = _libraries().lib_controllers
    return [one for one in libraries if getattr(one, "architecture", None) in _AS_THEY_ARE]


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that are loaded when they are first asked for, NumPy's among them: nothing here
    multiplies with another. To look for them takes longer than to tag a sentence.
    """
    return ThreadpoolController()
