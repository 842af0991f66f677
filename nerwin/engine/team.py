"""Threads that share the products of matrices that ``blas.product`` is asked for.

Such a product is several calls of BLAS in any case. Whoever is free takes the next one, the thread
that asked for the product or a helper: they are the same calls, so they give the same bits, however
many threads there are. Who has to wait looks again at once, since to wake a thread that sleeps
takes as long as several of the calls; and lets others have the core if it takes longer than that.

Helpers run without Python, in functions that Numba compiles, which call the very function of BLAS
that NumPy calls.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any, Self

import numpy as np
from llvmlite import ir
from numba import float32, from_dtype, int64, njit, types, void
from numba.extending import intrinsic

from nerwin.engine.types import Array

_SETTINGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_BY_ROWS, _AS_IT_IS, _TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)

# What the threads share: the calls that nobody has taken, and those that are not done, both in a
# cache line of its own; and what they are.
_WAITING, _LEFT = 0, 64  # bytes from the first
_WHAT = [
    *("gemm", "let_go"),  # addresses of functions
    *("k", "n", "m", "rows", "calls"),  # sizes, rows in a call, calls for a matrix
    *("A", "next_A", "row_A", "column_A"),  # address; how far the next matrix, row, column is away
    *("B", "next_B", "row_B", "C", "next_C", "row_C"),
]
_SHARED = np.dtype(
    {
        "names": ["waiting", "left", *_WHAT],
        "formats": [np.int64] * (2 + len(_WHAT)),
        "offsets": [_WAITING, _LEFT, *range(128, 128 + 8 * len(_WHAT), 8)],
    }
)
_SHORT = 1 << 11  # pauses: about as long as it takes to wake a thread
_LONG = 1 << 27  # some seconds
_CLOSED = -(1 << 60)  # calls waiting if none will ever come: so far below 0 that it stays there


def gemm_of(libraries: Iterable[str]) -> int | None:
    """The address of the function that multiplies matrices of float32, if one of these files is
    the OpenBLAS that comes with NumPy.
    """
    for path in libraries:
        if Path(path).parent.name == "numpy.libs":
            return _address(ctypes.CDLL(path), "scipy_cblas_sgemm64_") or None
    return None


def _address(library: ctypes.CDLL, name: str) -> int:
    """Of a function, 0 if there is none."""
    function = getattr(library, name, None)
    return ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0


class Team:
    """A thread and its helpers, who are there inside ``with``; see ``gemm_of``."""

    def __init__(self, threads: int, gemm: int) -> None:
        self._shared = np.zeros(1, _SHARED)
        self._shared["gemm"] = gemm
        self._shared["let_go"] = _address(ctypes.pythonapi, "sched_yield")  # 0 on Windows
        own = (self._shared,)
        self._helpers = [Thread(target=_help, args=own, daemon=True) for _ in range(threads - 1)]

    def __enter__(self) -> Self:
        try:
            for helper in self._helpers:
                helper.start()
        except RuntimeError:  # there may be no more; it works without
            pass
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._shared["waiting"] = _CLOSED
        for helper in self._helpers:
            if helper.is_alive():
                helper.join()

    def multiply(self, A: Array, B: Array, out: Array, rows: int) -> int:
        """out ← A @ B, so many rows of A in a call; shapes as in ``blas.product``. How many rows
        are done: none if there is nothing to share, all but one if that would be alone.

        None too where NumPy would not call the function for the arrays as they are: if they are not
        of float32, have one row or column, or the numbers of a row (of A, or of a column) are not
        side by side; and where the shapes do not fit, which it will tell.
        """
        if not A.dtype == B.dtype == out.dtype == np.float32 or not out.flags.writeable:
            return 0
        done: int = _multiply(self._shared, *map(_three_dimensional, (A, B, out)), rows)
        return done


def _three_dimensional(A: Array) -> Array:
    return A if A.ndim == 3 else A[None]


# --- what Numba has no function for -----------------------------------------------------------


def _generated(signature: Any, build: Callable[..., Any]) -> tuple[Any, Callable[..., Any]]:
    """What ``intrinsic`` wants; ``build`` gets LLVM's builder and the arguments, the first of
    which is the address of a number.
    """

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        if arguments:
            address, *others = arguments
            arguments = builder.inttoptr(address, ir.IntType(64).as_pointer()), *others
        made = build(builder, *arguments)
        return context.get_dummy_value() if signature.return_type == void else made

    return signature, generate


@intrinsic
def _load(_: Any, address: Any) -> Any:
    """The number, before anything that comes after is read."""
    return _generated(int64(int64), lambda llvm, at: llvm.load_atomic(at, "acquire", 8))


@intrinsic
def _store(_: Any, address: Any, number: Any) -> Any:
    """Write a number, after all that came before is written."""
    return _generated(
        void(int64, int64), lambda llvm, at, number: llvm.store_atomic(number, at, "release", 8)
    )


@intrinsic
def _lower(_: Any, address: Any) -> Any:
    """Make the number smaller by 1; what it was."""
    one = ir.IntType(64)(1)
    return _generated(int64(int64), lambda llvm, at: llvm.atomic_rmw("sub", at, one, "acq_rel"))


@intrinsic
def _pause(_: Any) -> Any:
    """Let the processor know that this is a loop that waits."""

    def build(llvm: Any) -> None:
        if platform.machine() in {"x86_64", "AMD64"}:
            nothing = ir.FunctionType(ir.VoidType(), [])
            llvm.call(llvm.module.declare_intrinsic("llvm.x86.sse2.pause", (), nothing), ())

    return _generated(void(), build)


@intrinsic
def _call_at(_: Any, address: Any, arguments: Any) -> Any:
    """Call the function of C at an address; arguments (…) are of the types that it wants."""

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        function, packed = values
        passed = [builder.extract_value(packed, i) for i in range(len(arguments))]
        kind = ir.FunctionType(ir.VoidType(), [one.type for one in passed])
        builder.call(builder.inttoptr(function, kind.as_pointer()), passed)
        return context.get_dummy_value()

    return void(int64, arguments), generate


# --- compiled ---------------------------------------------------------------------------------

_Shared = types.Array(from_dtype(_SHARED), 1, "C")
_Read, _Written = (types.Array(float32, 3, "A", readonly=one) for one in (True, False))


@njit([void(_Shared, int64)], **_SETTINGS)
def _call(shared: Array, number: int) -> None:
    """Do one of the calls."""
    one = shared[0]
    matrix, first = number // one.calls, number % one.calls * one.rows
    A = one.A + matrix * one.next_A + first * one.row_A
    B = one.B + matrix * one.next_B
    C = one.C + matrix * one.next_C + first * one.row_C
    k, A_is, row_A = min(one.rows, one.k - first), _AS_IT_IS, one.row_A
    if one.column_A != 4:
        A_is, row_A = _TRANSPOSED, one.column_A
    a, b, c = row_A // 4, one.row_B // 4, one.row_C // 4
    yes, no = np.float32(1), np.float32(0)
    matrices = k, one.m, one.n, yes, A, a, B, b, no, C, c
    _call_at(one.gemm, (_BY_ROWS, A_is, _AS_IT_IS, *matrices))


@njit([void(_Shared)], **_SETTINGS)
def _take_calls(shared: Array) -> None:
    """Do calls while there are any."""
    at = shared.ctypes.data
    while _load(at + _WAITING) > 0:
        number = _lower(at + _WAITING) - 1
        if number >= 0:
            _call(shared, number)
            _lower(at + _LEFT)


@njit([void(_Shared, int64)], **_SETTINGS)
def _wait(shared: Array, pauses: int) -> None:
    """A moment, after so many already."""
    _pause()
    if pauses > _SHORT and pauses % 64 == 0 and shared[0].let_go:
        _call_at(shared[0].let_go, ())


@njit([void(_Shared)], **_SETTINGS)
def _help(shared: Array) -> None:
    """What a helper does, until no more calls come, or none has come for seconds."""
    at, idle = shared.ctypes.data, 0
    while _load(at + _WAITING) > _CLOSED and idle < _LONG:
        if _load(at + _WAITING) > 0:
            _take_calls(shared)
            idle = 0
        idle += 1
        _wait(shared, idle)


@njit([int64(_Shared, _Read, _Read, _Written, int64)], **_SETTINGS)
def _multiply(shared: Array, A: Array, B: Array, C: Array, rows: int) -> int:
    """See ``Team.multiply``."""
    at, one = shared.ctypes.data, shared[0]
    (P, n, m), k = B.shape, A.shape[1]
    fit = A.shape[0] in (1, P) and A.shape[2] == n and C.shape == (P, k, m)
    if not fit or A.ctypes.data == B.ctypes.data:  # of itself, NumPy calls another function
        return 0
    for strides in (A.strides, B.strides, C.strides):
        for stride in strides:
            if stride % 4:  # bytes: BLAS counts in numbers
                return 0
    if rows > 1 and k % rows == 1:
        k -= 1
    calls = -(-k // rows) if rows > 1 else 0
    by_rows = A.strides[2] == 4 and A.strides[1] >= 4 * n
    by_columns = A.strides[1] == 4 and A.strides[2] >= 4 * A.shape[1]
    others = B.strides[2] == C.strides[2] == 4 and B.strides[1] >= 4 * m and C.strides[1] >= 4 * m
    if P * calls < 2 or min(n, m) < 2 or not ((by_rows or by_columns) and others):
        return 0
    one.k, one.n, one.m, one.rows, one.calls = k, n, m, rows, calls
    one.A, one.row_A, one.column_A = A.ctypes.data, A.strides[1], A.strides[2]
    one.next_A = A.strides[0]  # 0, if it is one for all B
    one.B, one.next_B, one.row_B = B.ctypes.data, B.strides[0], B.strides[1]
    one.C, one.next_C, one.row_C = C.ctypes.data, C.strides[0], C.strides[1]
    _store(at + _LEFT, P * calls)
    _store(at + _WAITING, P * calls)
    _take_calls(shared)
    waited = 0
    while _load(at + _LEFT) > 0:
        waited += 1
        _wait(shared, waited)
    return k
