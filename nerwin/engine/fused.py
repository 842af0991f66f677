"""The lecture's network as one op: four of ``ops``, with fewer passes over their arrays.

``window_affine``, ``sigmoid``, ``scores`` and ``logistic_loss`` are where its derivatives can be
read. Here the same arithmetic stands between the same products of matrices, in compiled loops, and
gives the same bits.
"""

from __future__ import annotations

import numpy as np

from nerwin.engine import kernels
from nerwin.engine.blas import product, sum_of_products
from nerwin.engine.ops import Gradients
from nerwin.engine.types import Array, Indices


def window_network(
    V: Array, W: Array, b: Array, U: Array, *, words: Indices, Y: Array
) -> tuple[Array, Gradients]:
    """J = the logistic loss of S = σ(X W + b) U, for windows x = [v₋C … v₊C] (L3, 0:07 to 0:12).

    V (k, n) of different words, words (B, P) of the windows, W (P·n, m), b (m,), U (m, T),
    Y (B, T) -> scalar. With one hidden unit, NumPy would add up db in another order.
    Only for where ``kernels.compiled()`` is something.
    """
    loops = kernels.compiled()
    assert loops
    P, (k, n), m, B = words.shape[1], V.shape, len(b), len(words)
    by_place = W.reshape(P, n, m)
    words, Y = np.ascontiguousarray(words, np.int64), np.ascontiguousarray(Y, V.dtype)
    H = np.empty((B, m), V.dtype)
    loops.half_sums(product(V, by_place), words, b, H)
    np.tanh(H, out=H)
    kernels.halve_above(H)  # σ(z) = (tanh(z/2) + 1) / 2
    S = product(H, U)
    losses = np.log1p(np.exp(-abs(S)))
    loops.logistic_losses(S, Y, losses)
    made: list[tuple[Array, tuple[Array, Array, Array]]] = []

    def errors(dJ: Array) -> tuple[Array, Array, Array]:
        """dS, and what it makes of the layer below: db, and dA as in ``window_affine``."""
        if not made or made[0][0] is not dJ:
            dS = np.tanh(S * 0.5)
            loops.logistic_slopes(dS, Y, dJ / B)
            db, dA = np.empty(m, V.dtype), np.empty((P, k, m), V.dtype)
            loops.deltas(H, product(dS, U.T.copy()), words, db, dA)
            made[:] = [(dJ, (dS, db, dA))]
        return made[0][1]

    def dV(dJ: Array) -> Array:
        _, _, dA = errors(dJ)
        return sum_of_products(dA, kernels.turned(by_place))

    def dW(dJ: Array) -> Array:
        _, _, dA = errors(dJ)
        gradient = np.empty_like(W)
        product(V.T, dA, gradient.reshape(P, n, m))
        return gradient

    def db(dJ: Array) -> Array:
        return errors(dJ)[1]

    def dU(dJ: Array) -> Array:
        return product(H.T, errors(dJ)[0])

    return np.asarray(losses.sum() / B), (dV, dW, db, dU)
