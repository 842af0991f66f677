"""A linear-chain CRF over the scores of a sentence's words: its likelihood, and its best path.

The score of a sequence of K labels is that of its words' labels, plus one for each step from a
label to the next, the start and the end included (Lafferty, McCallum and Pereira, 2001). The sum
over all sequences is taken by forward-backward, for all sentences side by side, a position at a
time: no Python loop over words.
"""

from __future__ import annotations

import numpy as np

from nerwin.engine.ops import Gradients
from nerwin.engine.types import Array, Indices


class _Steps:
    """Sentences side by side: those of most words first, so that at position t they are the
    first ``active[t]`` of ``order``.

    starts  (S+1,) the number of each sentence's first word, then N
    """

    def __init__(self, starts: Indices) -> None:
        lengths = np.diff(starts)
        order = np.argsort(-lengths, kind="stable")
        self.lengths = lengths[order]
        self.first = starts[:-1][order]
        positions = np.arange(self.lengths[0] if len(lengths) else 0)
        self.active = np.searchsorted(-self.lengths, -positions).tolist()

    def __len__(self) -> int:
        return len(self.active)

    def words(self, t: int) -> Indices:
        """The numbers of the words at position t."""
        return self.first[: self.active[t]] + t

    @property
    def last(self) -> Indices:
        """The number of each sentence's last word, in order."""
        return self.first + self.lengths - 1


def crf_loss(
    S: Array, A: Array, a: Array, z: Array, *, labels: Indices, starts: Indices
) -> tuple[Array, Gradients]:
    """J = −1/N Σ log p(labels of a sentence), the mean over the N words.

    S (N, K) scores of the words' labels; A (K, K) of a step from row to column; a, z (K,) of the
    first and of the last label. −∞ in A, a or z forbids. labels (N,), starts (S+1,) -> scalar.

    dS and the others are expected counts under the model, less those in the data.
    """
    N, K = S.shape
    steps = _Steps(starts)
    # Everything is exponentiated, and divided by its sum at each word, so that nothing overflows.
    highest = S.max(axis=1, keepdims=True)
    P = np.exp((S - highest).astype(np.float64))
    step, first, last = (np.exp(x.astype(np.float64)) for x in (A, a, z))
    forward, scale = np.empty((N, K)), np.empty((N, 1))
    for t in range(len(steps)):
        now = steps.words(t)
        before = first if t == 0 else forward[now - 1] @ step
        alpha = before * P[now]
        scale[now] = alpha.sum(axis=1, keepdims=True)
        forward[now] = alpha / scale[now]
    ends = forward[steps.last] @ last
    log_Z = np.log(scale).sum() + highest.sum(dtype=np.float64) + np.log(ends).sum()

    opens, closes = labels[steps.first], labels[steps.last]
    inside = np.ones(N, bool)
    inside[starts[:-1]] = False
    to = np.flatnonzero(inside)
    path = labels[to - 1], labels[to]
    right = (
        S[np.arange(N), labels].sum(dtype=np.float64)
        + A[path].sum(dtype=np.float64)
        + a[opens].sum(dtype=np.float64)
        + z[closes].sum(dtype=np.float64)
    )
    counts: dict[str, Array] = {}

    def expected(name: str) -> Array:
        """Expected less seen counts, made once for all four gradients."""
        if not counts:
            backward = np.empty((N, K))
            pairs = np.zeros((K, K))
            backward[steps.last] = last / ends[:, None]
            for t in range(len(steps) - 1, 0, -1):
                now = steps.words(t)
                arriving = P[now] * backward[now] / scale[now]
                backward[now - 1] = arriving @ step.T
                pairs += forward[now - 1].T @ arriving
            counts["S"] = forward * backward
            counts["A"] = pairs * step
            counts["a"] = counts["S"][steps.first].sum(axis=0)
            counts["z"] = counts["S"][steps.last].sum(axis=0)
            counts["S"][np.arange(N), labels] -= 1
            np.subtract.at(counts["A"], path, 1)
            np.subtract.at(counts["a"], opens, 1)
            np.subtract.at(counts["z"], closes, 1)
        return counts[name]

    def dS(dJ: Array) -> Array:
        return (expected("S") * (dJ / N)).astype(S.dtype)

    def dA(dJ: Array) -> Array:
        return (expected("A") * (dJ / N)).astype(A.dtype)

    def da(dJ: Array) -> Array:
        return (expected("a") * (dJ / N)).astype(a.dtype)

    def dz(dJ: Array) -> Array:
        return (expected("z") * (dJ / N)).astype(z.dtype)

    return np.asarray((log_Z - right) / N, S.dtype), (dS, dA, da, dz)


def viterbi(S: Array, A: Array, a: Array, z: Array, starts: Indices) -> Indices:
    """The labels (N,) of the best path through each sentence; letters as in ``crf_loss``."""
    steps = _Steps(starts)
    best = np.empty(S.shape, S.dtype)  # the score of the best path up to each word and label
    for t in range(len(steps)):
        now = steps.words(t)
        if t == 0:
            best[now] = S[now] + a
            continue
        # With the words last, the maximum is taken over whole rows: it is three times as fast.
        paths = best[now - 1].T[:, None] + A[:, :, None]
        best[now] = paths.max(axis=0).T + S[now]
    labels = np.empty(len(S), np.intp)
    labels[steps.last] = (best[steps.last] + z).argmax(axis=1)
    for t in range(len(steps) - 1, 0, -1):
        now = steps.words(t)
        labels[now - 1] = (best[now - 1] + A.T[labels[now]]).argmax(axis=1)
    return labels


def marginals(S: Array, A: Array, a: Array, z: Array, starts: Indices) -> Array:
    """P (N, K): the probability of each label of each word, over all paths of its sentence.

    They are the derivative of log Z, and so that of ``crf_loss`` without its second term.
    """
    if not len(S):
        return S
    labels = viterbi(S, A, a, z, starts)  # any allowed path will do
    _, (dS, *_) = crf_loss(S, A, a, z, labels=labels, starts=starts)
    P = np.asarray(dS(np.asarray(float(len(S)))))
    P[np.arange(len(S)), labels] += 1
    return P
