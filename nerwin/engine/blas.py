"""BLAS on one thread: fastest for products of this size, and the same bits again on one machine.
And products as it is fastest with them, which other threads may share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import LibController, ThreadpoolController

from nerwin.engine import kernels
from nerwin.engine.types import Array

if TYPE_CHECKING:
    from nerwin.engine.team import Team

_SMALL = 100**3  # multiplications
_AS_THEY_ARE = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's products for AVX-512
_FEWEST = 64  # rows: of pieces with fewer, each row takes longer


class _Own(threading.local):
    """What each thread of Python has of its own."""

    team: Team | None = None


_own = _Own()


def one_thread() -> AbstractContextManager[object]:
    """Inside, BLAS runs on one thread; outside, as before."""
    return _libraries().limit(limits=1, user_api="blas")


@contextmanager
def shared(threads: int) -> Iterator[None]:
    """``one_thread``, but so many threads share what ``product`` is asked for in this one, where
    they can, see ``teams``. What comes out is the same, bit by bit.
    """
    team_of, before = teams() if threads > 1 else None, _own.team
    with one_thread(), team_of(threads) if team_of else nullcontext() as team:
        _own.team = team
        try:
            yield
        finally:
            _own.team = before


def teams() -> Callable[[int], Team] | None:
    """What makes a team of so many threads: that takes the compiled loops, and OpenBLAS as in
    NumPy's wheels.
    """
    if not kernels.compiled():
        return None
    from nerwin.engine.team import Team, gemm_of

    gemm = gemm_of(library.filepath for library in _libraries().lib_controllers)
    return partial(Team, gemm=gemm) if gemm else None


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """A @ B, some rows of A at a time where that is faster; in ``out``, if it is given, which has
    no memory of theirs. (k, n), (n, m) -> (k, m), or (k, n) or (P, k, n), (P, n, m) -> (P, k, m).

    With AVX-512, OpenBLAS multiplies matrices as they are if that takes no more than a million
    multiplications. Larger ones it copies first, which takes an eighth as long again, but with
    several threads of its own it shares them out.
    """
    rows, k = _rows_at_once(A, B), A.shape[-2]
    if rows == k and not _own.team:
        return np.matmul(A, B, out=out)
    if rows < k:
        A = np.ascontiguousarray(A)
    if out is None:
        out = np.empty((*B.shape[:-2], k, B.shape[-1]), np.result_type(A, B))
    done = _own.team.multiply(A, B, out, rows) if _own.team else 0
    for i in range(done, k, max(1, rows)):
        np.matmul(A[..., i : i + rows, :], B, out=out[..., i : i + rows, :])
    return out


def _rows_at_once(A: Array, B: Array) -> int:
    """How many rows of A go into a call of BLAS, of all that there are."""
    (k, n), m = A.shape[-2:], B.shape[-1]
    rows = _SMALL // max(1, n * m)
    if k > rows >= _FEWEST and _faster_in_pieces():
        return -(-k // -(-k // rows))
    return k


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
