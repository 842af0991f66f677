"""Every operation with its derivatives. Nothing else in nerwin differentiates, but ``fused``, which
has four of these as one that is faster.

An op is a pure function. Inputs that can be differentiated are positional, constants are
keywords. It returns ``(output, gradients)``: ``gradients`` holds one function for each positional
input, in order. Such a function takes the upstream gradient, the loss's with respect to the
output, and returns the downstream gradient, the loss's with respect to that input
(CS224N 2021 L3, 0:52: downstream = upstream × local; 0:53: one local gradient per input).
It has the shape of the input (0:37), and is a new array or (part of) the upstream one, never a
changed one.

Letters, as in the lecture: E table of vectors (V, D); X inputs (B, n); W, b a layer's weights
(n, m) and (m,); Z, H before and after the nonlinearity; U one column u per scorer (m, T);
S scores, P probabilities, Y targets (B, T); J the loss; dQ the gradient of J with respect to Q.
Examples are rows, so the lecture's W x + b reads X W + b here (HSE-2).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from nerwin.engine.blas import add_product, product, sum_of_products
from nerwin.engine.kernels import halve_above, sum_by_place, sum_over_places, turned
from nerwin.engine.rowgrad import RowGrad
from nerwin.engine.types import Array, Indices

Gradient = Array | RowGrad
Gradients = tuple[Callable[[Any], Gradient], ...]
Op = Callable[..., tuple[Array, Gradients]]

# --- arithmetic -----------------------------------------------------------------------------


def add(X: Array, Y: Array) -> tuple[Array, Gradients]:
    """Z = X + Y, broadcast as NumPy does. Adding distributes the gradient (L3, 1:03)."""

    def dX(dZ: Array) -> Array:
        return _sum_to_shape(dZ, np.shape(X))

    def dY(dZ: Array) -> Array:
        return _sum_to_shape(dZ, np.shape(Y))

    return np.add(X, Y), (dX, dY)


def multiply(X: Array, Y: Array) -> tuple[Array, Gradients]:
    """Z = X ∘ Y, broadcast as NumPy does. Multiplying switches the inputs (L3, 1:03)."""

    def dX(dZ: Array) -> Array:
        return _sum_to_shape(dZ * Y, np.shape(X))

    def dY(dZ: Array) -> Array:
        return _sum_to_shape(dZ * X, np.shape(Y))

    return np.multiply(X, Y), (dX, dY)


def maximum(X: Array, Y: Array) -> tuple[Array, Gradients]:
    """Z = max(X, Y), element by element, broadcast as NumPy does.

    The gradient goes to the larger input (L3, 1:03). At a tie there is no derivative; it goes
    to X.
    """
    from_X = np.greater_equal(X, Y)

    def dX(dZ: Array) -> Array:
        return _sum_to_shape(dZ * from_X, np.shape(X))

    def dY(dZ: Array) -> Array:
        return _sum_to_shape(dZ * ~from_X, np.shape(Y))

    return np.maximum(X, Y), (dX, dY)


def total(X: Array) -> tuple[Array, Gradients]:
    """J = the sum of all elements of X, a scalar."""

    def dX(dJ: Array) -> Array:
        return np.full(np.shape(X), dJ)

    return np.asarray(np.sum(X)), (dX,)


def _sum_to_shape(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: a value that was used several times gets the sum of its gradients."""
    extra = gradient.ndim - len(shape)
    stretched = (i + extra for i, n in enumerate(shape) if n == 1 != gradient.shape[i + extra])
    axes = (*range(extra), *stretched)
    return gradient.sum(axis=axes).reshape(shape) if axes else gradient


# --- from a table of vectors to x -----------------------------------------------------------


def lookup(E: Array, *, rows: Indices) -> tuple[Array, Gradients]:
    """V = E[rows]: the vectors of each item's row numbers, side by side.
    E (V, D), rows (k, F) -> (k, F·D).

    A row that occurs several times gets the sum of its gradients; a row that does not occur gets
    exactly zero (L3, 0:12: word vectors are parameters too).
    """

    def dE(dV: Array) -> RowGrad:
        return RowGrad.scatter(rows.ravel(), dV.reshape(-1, E.shape[1]), len(E))

    return E.take(rows, axis=0).reshape(len(rows), rows.shape[1] * E.shape[1]), (dE,)


def bag(E: Array, *, rows: Indices, starts: Indices) -> tuple[Array, Gradients]:
    """M: the mean vector of each bag of row numbers, rows[starts[i]] … rows[starts[i+1]−1].

    E (V, D), rows (k,), starts (n+1,) -> (n, D); no bag is empty. Each of a bag's m vectors gets
    1/m of its gradient.
    """
    share = (1 / np.diff(starts)[:, None]).astype(E.dtype)

    def dE(dM: Array) -> RowGrad:
        return RowGrad.scatter(rows, dM * share, len(E), starts)

    return np.add.reduceat(E.take(rows, axis=0), starts[:-1], axis=0) * share, (dE,)


def concatenate(*parts: Array) -> tuple[Array, Gradients]:
    """x = [e₁ e₂ …]: all that is known of an example, side by side. Parts (B, nᵢ) -> (B, Σ nᵢ)."""
    edges = [0, *accumulate(part.shape[1] for part in parts)]

    def cut(i: int) -> Callable[[Array], Array]:
        return lambda dX: dX[:, edges[i] : edges[i + 1]]

    return np.concatenate(parts, axis=1), tuple(cut(i) for i in range(len(parts)))


# --- layers ---------------------------------------------------------------------------------


def affine(X: Array, W: Array, b: Array) -> tuple[Array, Gradients]:
    """Z = X W + b.  X (B, n), W (n, m), b (m,) -> (B, m).

    dX = dZ Wᵀ, dW = Xᵀ dZ, summed over the batch (HSE-2; L3, 0:34: dZ is the δ they share).
    """
    Z = product(X, W)
    Z += b

    def dX(dZ: Array) -> Array:
        return dZ @ W.T

    def dW(dZ: Array) -> Array:
        return product(X.T, dZ)

    def db(dZ: Array) -> Array:
        return dZ.sum(axis=0)

    return Z, (dX, dW, db)


def window_affine(
    V: Array, D: Array, W: Array, b: Array, *, words: Indices
) -> tuple[Array, Gradients]:
    """Z = X W + b for rows x = [v₋C … v₊C d] of X: the vectors of a window's words side by side
    (L3, 0:07), then numbers of the example's own.

    V (k, n) of different words, words (B, P) of the windows, D (B, K), W (P·n + K, m), b (m,)
    -> (B, m). X is never made: X W is a sum over the places in the window, so each word is
    multiplied once by the part of W for each place, and a window adds up what its words have there.
    Back, a word at a place gets the sum dA of dZ over the windows that have it there.
    """
    P, (k, n), m = words.shape[1], V.shape, len(b)
    by_place = W[: P * n].reshape(P, n, m)
    A = product(V, by_place)  # (P, k, m), what each word adds at each place
    Z = sum_over_places(A, words, b)
    if len(W) > P * n:
        add_product(Z, D, W[P * n :])
    made: list[tuple[Array, Array]] = []

    def dA(dZ: Array) -> Array:
        """dV and dW share it."""
        if not made or made[0][0] is not dZ:
            made[:] = [(dZ, sum_by_place(dZ, words, k))]
        return made[0][1]

    def dV(dZ: Array) -> Array:
        return sum_of_products(dA(dZ), turned(by_place))

    def dD(dZ: Array) -> Array:
        return dZ @ W[P * n :].T

    def dW(dZ: Array) -> Array:
        gradient = np.empty_like(W)
        product(V.T, dA(dZ), gradient[: P * n].reshape(P, n, m))
        if len(W) > P * n:
            product(D.T, dZ, gradient[P * n :])
        return gradient

    def db(dZ: Array) -> Array:
        return dZ.sum(axis=0)

    return Z, (dV, dD, dW, db)


def grouped_affine(X: Array, W: Array, b: Array) -> tuple[Array, Gradients]:
    """T separate layers at once, each on its own part of X.

    X (B, T·n), W (T, n, m), b (T·m,) -> (B, T·m): columns t·n … t·n+n-1 of X belong to layer t.
    """
    T = len(W)
    groups = _split(X, T)  # (T, B, n)
    Z = _join(groups @ W)
    Z += b

    def dX(dZ: Array) -> Array:
        return _join(_split(dZ, T) @ W.transpose(0, 2, 1))

    def dW(dZ: Array) -> Array:
        return groups.transpose(0, 2, 1) @ _split(dZ, T)

    def db(dZ: Array) -> Array:
        return dZ.sum(axis=0)

    return Z, (dX, dW, db)


def _split(X: Array, T: int) -> Array:
    """(B, T·n) -> (T, B, n)."""
    return X.reshape(len(X), T, -1).transpose(1, 0, 2)


def _join(X: Array) -> Array:
    """(T, B, n) -> (B, T·n)."""
    return X.transpose(1, 0, 2).reshape(X.shape[1], -1)


def sigmoid(Z: Array) -> tuple[Array, Gradients]:
    """H = σ(Z) = 1 / (1 + e⁻ᶻ); its derivative is σ(z)(1 − σ(z)) (L3, 0:25)."""
    H = logistic(Z)

    def dZ(dH: Array) -> Array:
        gradient = 1 - H
        gradient *= H
        gradient *= dH
        return gradient

    return H, (dZ,)


def tanh(Z: Array) -> tuple[Array, Gradients]:
    """H = tanh(Z); its derivative is 1 − tanh²(z)."""
    H = np.tanh(Z)

    def dZ(dH: Array) -> Array:
        return dH * (1 - H * H)

    return H, (dZ,)


def relu(Z: Array) -> tuple[Array, Gradients]:
    """H = max(Z, 0); its derivative is 1 where z > 0, else 0 (at 0 itself there is none)."""
    H = np.maximum(Z, np.zeros(Z.shape[-1:], Z.dtype))  # with the number 0 it is thrice as slow

    def dZ(dH: Array) -> Array:
        return dH * (Z > 0)

    return H, (dZ,)


# --- scores and probabilities ---------------------------------------------------------------


def dot(H: Array, u: Array) -> tuple[Array, Gradients]:
    """s = uᵀ h, for each row h of H.  H (B, m), u (m,) -> (B,).  (L3, 0:08)"""

    def dH(ds: Array) -> Array:
        return np.outer(ds, u)

    def du(ds: Array) -> Array:
        return H.T @ ds

    return H @ u, (dH, du)


def scores(H: Array, U: Array) -> tuple[Array, Gradients]:
    """S = H U: the scores of several u at once, one per column.  H (B, m), U (m, T) -> (B, T)."""

    def dH(dS: Array) -> Array:
        return product(dS, U.T.copy())

    def dU(dS: Array) -> Array:
        return product(H.T, dS)

    return product(H, U), (dH, dU)


def grouped_scores(H: Array, U: Array) -> tuple[Array, Gradients]:
    """s_t = u_tᵀ h_t: each scorer reads its own hidden units.  H (B, T·m), U (m, T) -> (B, T)."""
    m, T = U.shape
    groups = H.reshape(-1, T, m)
    rows = U.T  # (T, m)

    def dH(dS: Array) -> Array:
        return (dS[:, :, None] * rows).reshape(H.shape)

    def dU(dS: Array) -> Array:
        return np.einsum("btm,bt->mt", groups, dS)

    return np.einsum("btm,tm->bt", groups, rows), (dH, dU)


def logistic(S: Array) -> Array:
    """p = 1 / (1 + e⁻ˢ), through tanh, which neither overflows nor is slow."""
    P = np.multiply(S, 0.5, out=np.empty(S.shape, S.dtype))
    np.tanh(P, out=P)
    halve_above(P)
    return P


# --- losses: a mean over the batch, and the only place that divides by B ---------------------


def squared_error(P: Array, *, Y: Array) -> tuple[Array, Gradients]:
    """J = 1/B Σ (p − y)²: the lecture's squared distance (L3, 0:11).  P, Y (B, T) -> scalar."""
    B = len(P)
    D = P - Y

    def dP(dJ: Array) -> Array:
        return D * (2 * dJ / B)

    return np.asarray(np.vdot(D, D) / B), (dP,)


def logistic_loss(S: Array, *, Y: Array) -> tuple[Array, Gradients]:
    """J = −1/B Σ y log p + (1−y) log(1−p) with p = σ(s), from the score: log(1+eˢ) − y s.

    S, Y (B, T) -> scalar. (L3, 0:10) Written as max(s,0) − y s + log(1+e^−|s|), it neither
    overflows nor loses the small loss of a score that is confidently right.
    """
    B = len(S)

    def dS(dJ: Array) -> Array:
        gradient = logistic(S)
        gradient -= Y
        gradient *= dJ / B
        return gradient

    each = np.maximum(S, 0) - Y * S + np.log1p(np.exp(-abs(S)))
    return np.asarray(each.sum() / B), (dS,)


def softmax_cross_entropy(S: Array, *, Y: Array) -> tuple[Array, Gradients]:
    """J = −1/B Σ y log softmax(s).  S, Y (B, K), the rows of Y sum to 1 -> scalar.

    A row of Y is one for the right label, or the probabilities that a teacher gives to all.
    """
    B = len(S)
    shifted = S - S.max(axis=1, keepdims=True)
    log_P = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def dS(dJ: Array) -> Array:
        gradient = np.exp(log_P)
        gradient -= Y
        gradient *= dJ / B
        return gradient

    return np.asarray(-np.vdot(Y, log_P) / B), (dS,)
