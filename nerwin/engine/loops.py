"""Loops that Numba compiles, see ``kernels``: the same arithmetic in the same order, the same bits.

So nothing is reordered or contracted to gain speed (no ``fastmath``), and nothing runs in parallel.
All is compiled when this is imported, or comes from where Numba keeps it on disk: if that fails,
the import does, and nothing later. Arrays are in C order, indices int64; as an unsigned number,
an index is not asked whether it counts from the end.

None returns an array; they fill arrays that are given. To return one, Numba runs a little Python in
the middle of the call, and there a Ctrl-C would end as a SystemError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, float64, int32, int64, njit, types, void
from numba.extending import intrinsic

from nerwin.engine.types import Array, Indices

_SETTINGS: dict[str, Any] = {"cache": True, "error_model": "numpy"}  # to divide by 0 is no error


def _read(number: Any, dimensions: int) -> Any:
    return types.Array(number, dimensions, "C", readonly=True)


@njit(
    [int64(_read(i, 1), _read(i, 1), int64[::1], i[::1], int64[::1]) for i in (int32, int64)],
    **_SETTINGS,
)
def numbered(
    in_order: Indices, items: Indices, place: Indices, different: Indices, places: Indices
) -> int:
    """See ``kernels.numbered``; the items are in one row, and once more sorted. How many there are
    of ``different``, which has room for all.
    """
    k = 0
    for i in range(len(in_order)):
        if i == 0 or in_order[i] != in_order[i - 1]:
            different[k] = in_order[i]
            place[in_order[i]] = k
            k += 1
    for i in range(len(items)):
        places[i] = place[items[i]]
    return k


@njit(
    [void(_read(f, 3), _read(int64, 2), f[:, ::1]) for f in (float32, float64)],
    **_SETTINGS,
)
def sum_over_places(A: Array, words: Indices, Z: Array) -> None:
    """See ``kernels.sum_over_places``."""
    P, _, m = A.shape
    for i in range(len(words)):
        z, first = Z[i], A[0, words[i, 0]]  # so it is faster than by Z[i, j]
        for j in range(m):
            z[j] = first[j]
        for p in range(1, P - 1, 2):  # two places at once: as many sums, half as many stores
            one, other = A[p, words[i, p]], A[p + 1, words[i, p + 1]]
            for j in range(m):
                z[j] = z[j] + one[j] + other[j]
        if P % 2 == 0:
            last = A[P - 1, words[i, P - 1]]
            for j in range(m):
                z[j] += last[j]


@njit(inline="always", **_SETTINGS)
def _add_by_place(z: Array, words: Indices, dA: Array, begun: Array) -> None:
    """Add z (m,) to the sums of a window's words (P,), or begin them: so they need not be zero,
    and are not read from far away to be so.
    """
    zero = z.dtype.type(0)
    for p in range(len(words)):
        total = dA[p, words[p]]
        if begun[p, words[p]]:
            for j in range(len(z)):
                total[j] += z[j]
        else:
            begun[p, words[p]] = True
            for j in range(len(z)):
                total[j] = zero + z[j]  # of −0 too it makes 0


@njit(inline="always", **_SETTINGS)
def _fill_with_zeros(dA: Array, begun: Array) -> None:
    """The sums of which none has begun."""
    for p in range(dA.shape[0]):
        for i in range(dA.shape[1]):
            if not begun[p, i]:
                dA[p, i] = 0


@njit(
    [void(_read(f, 2), _read(int64, 2), f[:, :, ::1]) for f in (float32, float64)],
    **_SETTINGS,
)
def sum_by_place(dZ: Array, words: Indices, dA: Array) -> None:
    """See ``kernels.sum_by_place``."""
    begun = np.zeros(dA.shape[:2], np.bool_)
    for i in range(len(words)):
        _add_by_place(dZ[i], words[i], dA, begun)
    _fill_with_zeros(dA, begun)


@njit(
    [void(_read(int64, 1), _read(f, 2), _read(int64, 1), f[:, ::1]) for f in (float32, float64)],
    **_SETTINGS,
)
def sum_by_row(rows: Indices, values: Array, starts: Indices, summed: Array) -> None:
    """See ``kernels.sum_by_row``; ``summed`` is zero."""
    D = values.shape[1]
    for i in range(len(values)):
        for r in rows[starts[i] : starts[i + 1]]:
            for j in range(D):
                summed[r, j] += values[i, j]


@intrinsic
def _turn_eight(_: Any, like: Any, source: Any, row: Any, target: Any, column: Any) -> Any:
    """Write 8 rows of 8 numbers as 8 columns, in the processor's registers.

    like    an array of such numbers
    source  the address of the first row, and ``row`` how many bytes away the next one is
    target  the address of the first column, and ``column`` as ``row``

    A number's row and column have three bits each. Two rows at a time, which differ in one bit,
    exchange the numbers for which the columns' bit is not the rows'.
    """

    def generate(context: Any, llvm: Any, _: Any, arguments: Any) -> Any:
        _, source, row, target, column = arguments
        number = context.get_value_type(like.dtype)
        eight, alignment = ir.VectorType(number, 8), like.dtype.bitwidth // 8
        lines = []
        for _ in range(8):
            at = llvm.inttoptr(source, eight.as_pointer())
            lines.append(llvm.load(at, align=alignment))
            source = llvm.add(source, row)
        for bit in (1, 2, 4):
            low = [j + 8 - bit if j & bit else j for j in range(8)]  # 8 and more: of the other row
            high = [j + 8 if j & bit else j + bit for j in range(8)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), 8), which) for which in (low, high)]
            for i in range(8):
                if not i & bit:
                    pair = lines[i], lines[i + bit]
                    lines[i], lines[i + bit] = (llvm.shuffle_vector(*pair, m) for m in masks)
        for line in lines:
            at = llvm.inttoptr(target, eight.as_pointer())
            llvm.store(line, at, align=alignment)
            target = llvm.add(target, column)
        return context.get_dummy_value()

    return void(like, int64, int64, int64, int64), generate


@njit([void(_read(f, 3), f[:, :, ::1]) for f in (float32, float64)], **_SETTINGS)
def turned(A: Array, T: Array) -> None:
    """See ``kernels.turned``."""
    P, n, m = A.shape
    row, column, number = A.strides[1], T.strides[1], A.itemsize
    for p in range(P):
        a, t = A[p].ctypes.data, T[p].ctypes.data
        if n < 8 or m < 8:
            for j in range(m):
                for i in range(n):
                    T[p, j, i] = A[p, i, j]
            continue
        for next_j in range(0, m, 8):
            j = min(next_j, m - 8)  # the last eight, some of which are turned already
            for next_i in range(0, n, 8):
                i = min(next_i, n - 8)
                source, target = a + i * row + j * number, t + j * column + i * number
                _turn_eight(A, source, row, target, column)


# --- for ``fused`` ----------------------------------------------------------------------------


@njit(
    [void(_read(f, 3), _read(int64, 2), _read(f, 1), f[:, ::1]) for f in (float32, float64)],
    **_SETTINGS,
)
def half_sums(A: Array, words: Indices, b: Array, Z: Array) -> None:
    """Z (B, m) ← half of ``kernels.sum_over_places`` and b (m,)."""
    half = A.dtype.type(0.5)
    if len(A) == 5:  # the lecture's windows, in one go
        for i in range(len(words)):
            w, z = words[i], Z[i]
            x0, x1, x2, x3, x4 = A[0, w[0]], A[1, w[1]], A[2, w[2]], A[3, w[3]], A[4, w[4]]
            for j in range(len(z)):
                z[j] = (x0[j] + x1[j] + x2[j] + x3[j] + x4[j] + b[j]) * half
        return
    sum_over_places(A, words, Z)
    for i in range(len(Z)):
        z = Z[i]
        for j in range(len(z)):
            z[j] = (z[j] + b[j]) * half


@njit([void(f[:, ::1]) for f in (float32, float64)], **_SETTINGS)
def halve_above(T: Array) -> None:
    """T ← (T + 1) / 2, in place."""
    one, half = T.dtype.type(1), T.dtype.type(0.5)
    for i in range(len(T)):
        t = T[i]
        for j in range(len(t)):
            t[j] = (t[j] + one) * half


@njit([void(_read(f, 2), _read(f, 2), f[:, ::1]) for f in (float32, float64)], **_SETTINGS)
def logistic_losses(S: Array, Y: Array, L: Array) -> None:
    """L ← max(s, 0) − y s + l, all of (B, T), in place, see ``ops.logistic_loss``."""
    zero = S.dtype.type(0)
    for i in range(S.shape[0]):
        for j in range(S.shape[1]):
            L[i, j] = max(S[i, j], zero) - Y[i, j] * S[i, j] + L[i, j]


@njit([void(f[:, ::1], _read(f, 2), f) for f in (float32, float64)], **_SETTINGS)
def logistic_slopes(T: Array, Y: Array, share: float) -> None:
    """T ← dS = (p − y) share with p = (t + 1) / 2, all of (B, T), in place, see
    ``ops.logistic_loss``.
    """
    one, half = T.dtype.type(1), T.dtype.type(0.5)
    for i in range(T.shape[0]):
        for j in range(T.shape[1]):
            T[i, j] = ((T[i, j] + one) * half - Y[i, j]) * share


@njit(
    [
        void(_read(f, 2), _read(f, 2), _read(int64, 2), f[::1], f[:, :, ::1])
        for f in (float32, float64)
    ],
    **_SETTINGS,
)
def deltas(H: Array, dH: Array, words: Indices, db: Array, dA: Array) -> None:
    """db (m,) ← the sum of dZ = (1 − h) h dH (B, m) over the batch, and dA (P, k, m) ← those of dZ
    by place, see ``kernels.sum_by_place``.
    """
    m, one = H.shape[1], H.dtype.type(1)
    z, begun = np.empty(m, H.dtype), np.zeros(dA.shape[:2], np.bool_)
    db[:] = 0
    for i in range(len(H)):
        h, d = H[i], dH[i]
        for j in range(m):
            z[j] = (one - h[j]) * h[j] * d[j]
        for j in range(m):
            db[j] += z[j]
        _add_by_place(z, words[i], dA, begun)
    _fill_with_zeros(dA, begun)


# --- for ``optim`` ----------------------------------------------------------------------------


@njit(
    [void(_read(int64, 1), float64, _read(f, 2), f[:, ::1]) for f in (float32, float64)],
    **_SETTINGS,
)
def sgd(rows: Indices, rate: float, g: Array, theta: Array) -> None:
    """See ``optim.SGD``. Changes some rows of θ (n, D) in place, by their gradient (k, D)."""
    alpha = theta.dtype.type(rate)
    for i in range(len(rows)):
        r = np.uint64(rows[i])
        for j in range(theta.shape[1]):
            theta[r, j] -= alpha * g[i, j]


@njit(
    [
        void(
            *[_read(f, 1), _read(f, 1), float64, float64, float64],
            *[_read(int64, 1), float64, _read(f, 2), *[f[:, ::1]] * 4],
        )
        for f in (float32, float64)
    ],
    **_SETTINGS,
)
def adam(
    m_shares: Array,
    v_shares: Array,
    epsilon: float,
    beta1: float,
    beta2: float,
    rows: Indices,
    rate: float,
    g: Array,
    theta: Array,
    m: Array,
    v: Array,
    t: Array,
) -> None:
    """See ``optim.Adam``. Changes some rows of θ, m and v, (n, D), and of t, (n, 1), in place, by
    the gradient (k, D) of those rows. All arrays but the rows' numbers are of one dtype.
    """
    number = theta.dtype.type
    alpha, eps = number(rate), number(epsilon)
    old1, new1, old2, new2 = number(beta1), number(1 - beta1), number(beta2), number(1 - beta2)
    for i in range(len(rows)):
        r = np.uint64(rows[i])
        t[r, 0] += 1
        step = np.uint64(min(t[r, 0], len(v_shares) - 1))
        row_alpha, row_eps = alpha * v_shares[step] / m_shares[step], eps * v_shares[step]
        for j in range(theta.shape[1]):  # what is kept in names need not be read again
            slope = g[i, j]
            mean, square = m[r, j] * old1 + new1 * slope, v[r, j] * old2 + slope * slope * new2
            m[r, j], v[r, j] = mean, square
            theta[r, j] -= mean / (np.sqrt(square) + row_eps) * row_alpha
