"""BLAS on one thread: fastest for products of this size, and the same bits again on one machine.
And products as it is fastest with them, which other threads may share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import LibController, ThreadpoolController

from nerwin.engine import kernels
from nerwin.engine.types import Array

if TYPE_CHECKING:
    from nerwin.engine.team import Team

_SMALL = 100**3  # multiplications
_NARROW = 16  # columns
_FOR_AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's products


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
    library = _numpys()
    if not (kernels.compiled() and library):
        return None
    from nerwin.engine.team import Team, gemm_of

    gemm = gemm_of(library.filepath)
    return partial(Team, gemm=gemm) if gemm else None


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """A @ B, in ``out``, if it is given, which has no memory of theirs.
    (k, n), (n, m) -> (k, m), or (k, n) or (P, k, n), (P, n, m) -> (P, k, m).

    OpenBLAS has products for AVX-512 that multiply matrices as they are if that takes no more than
    a million multiplications. Larger ones it copies first. Those are done by ``products.h``, which
    never does, but multiplies and adds in the same order: the bits are the same.
    """
    (k, n), m = A.shape[-2:], B.shape[-1]
    if m < _NARROW and k * n * m > _SMALL:
        return _some_rows_at_a_time(A, B, out)
    multiply = _faster(A, B)
    if not multiply:
        return np.matmul(A, B, out=out)
    if out is None:
        out = np.empty((*B.shape[:-2], k, m), np.result_type(A, B))
    return out if multiply(A, B, out) else np.matmul(A, B, out=out)


def add_product(Z: Array, A: Array, B: Array) -> None:
    """Z += A @ B.  (k, m), (k, n), (n, m)"""
    multiply = _faster(A, B, add=True)
    if not (multiply and multiply(A, B, Z)):
        Z += product(A, B)


def sum_of_products(A: Array, B: Array) -> Array:
    """``product(A, B).sum(axis=0)``, of which the products need not be kept.
    (P, k, n), (P, n, m) -> (k, m).
    """
    if multiply := _faster(A, B):
        out = np.empty((A.shape[-2], B.shape[-1]), np.result_type(A, B))
        if multiply(A, B, out):
            return out
    return product(A, B).sum(axis=0)


def _some_rows_at_a_time(A: Array, B: Array, out: Array | None) -> Array:
    """A @ B in products that are not large. Whoever copies a matrix, or multiplies whole vectors of
    its rows, has little use of it where B has few columns.
    """
    (k, n), m = A.shape[-2:], B.shape[-1]
    if out is None:
        out = np.empty((*B.shape[:-2], k, m), np.result_type(A, B))
    rows = max(1, _SMALL // (n * m))
    for i in range(0, k, rows):
        np.matmul(A[..., i : i + rows, :], B, out=out[..., i : i + rows, :])
    return out


def _faster(A: Array, B: Array, add: bool = False) -> Callable[[Array, Array, Array], bool] | None:
    """What multiplies such matrices faster than NumPy, or says that it cannot: a team, a product of
    our own, or both. It may add to what is there already.
    """
    team, loops = _own.team, kernels.compiled()
    (k, n), m = A.shape[-2:], B.shape[-1]
    ours = m >= _NARROW and k * n * m > _SMALL and _ours_are_the_same()
    if not loops or not (team or ours):
        return None
    return partial(loops.multiply, team and team.shared, ours, add)


@cache
def _ours_are_the_same() -> bool:
    """Whether NumPy multiplies as ``products.h`` does, which this processor can do, too."""
    loops, library = kernels.compiled(), _numpys()
    known = library and getattr(library, "architecture", None) in _FOR_AVX512
    return bool(loops and known and loops.can_multiply())


def _numpys() -> LibController | None:
    """The OpenBLAS that comes with NumPy's wheels, if it is that which multiplies."""
    libraries = _libraries().lib_controllers
    return next((one for one in libraries if Path(one.filepath).parent.name == "numpy.libs"), None)


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that are loaded when they are first asked for, NumPy's among them: nothing here
    multiplies with another. To look for them takes longer than to tag a sentence.
    """
    return ThreadpoolController()
