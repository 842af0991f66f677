"""Scores -> labels -> entities, and back: what the model's scorers stand for.

Label 0 is "outside". With tags IO there is a label for each type; with BIOES there are four, for
the beginning, inside and end of an entity and for one of a single word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nerwin.engine import ops
from nerwin.engine.crf import marginals, viterbi
from nerwin.engine.types import Array, Indices
from nerwin.text.tags import BEGIN, END, INSIDE, OUTSIDE, SINGLE, Spans, read_codes, write_codes
from nerwin.text.tokens import runs

_PREFIXES = {"IO": (INSIDE,), "BIOES": (BEGIN, INSIDE, END, SINGLE)}
_MAY_START = {OUTSIDE, BEGIN, SINGLE}
_MAY_END = {OUTSIDE, END, SINGLE}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Entities, and for each its score: the probability of its least certain word, (n,)."""

    spans: Spans
    scores: Array


@dataclass(frozen=True, slots=True)
class Decision:
    """What is added to the scores of labels before the best are taken, see ``tuning``.

    thresholds   type -> what the scores of its labels must exceed beside "outside"; else 0
    transitions  weight of the scores of transitions that were counted in training data
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    transitions: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """p → σ(slope · log(p / (1 − p)) + intercept), see ``tuning``; as it is, p stays p."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, p: Array) -> Array:
        """Probabilities that are right as often as they say: (n,) -> (n,)."""
        if self == Calibration():
            return p
        return ops.logistic(self.slope * logit(p) + self.intercept)


def logit(p: Array) -> Array:
    """log(p / (1 − p)) as float64, cut off where float32 cannot tell p from 0 or 1."""
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(p) - np.log1p(-p)


@dataclass(frozen=True)
class Labels:
    """The labels for some types in a scheme, IO or BIOES, numbered from 0, outside."""

    types: tuple[str, ...]
    scheme: str

    def __len__(self) -> int:
        return 1 + len(self.types) * len(_PREFIXES[self.scheme])

    def encode(self, spans: Spans, starts: Indices) -> Indices:
        """The label of each of ``starts[-1]`` words; entities of other types are outside: (N,)."""
        prefix, kind = write_codes(spans, starts, self.scheme)
        number = [self.types.index(name) if name in self.types else -1 for name in spans.types]
        kind = np.array([*number, -1])[kind]  # the last is for words in no entity
        place = np.zeros(len(_PREFIXES["BIOES"]) + 1, np.intp)
        place[list(_PREFIXES[self.scheme])] = np.arange(len(_PREFIXES[self.scheme]))
        return np.where(kind < 0, 0, 1 + kind * len(_PREFIXES[self.scheme]) + place[prefix])

    def decode(self, labels: Indices, starts: Indices) -> Spans:
        """The entities that labels (N,) mean: the inverse of ``encode``."""
        prefix, kind = self._codes()
        return read_codes(prefix[labels], kind[labels], starts, self.types)

    def of_types(self, P: Array) -> Array:
        """The probabilities of outside and of each type, (N, 1+T), from those of the labels."""
        _, kind = self._codes()
        first = np.flatnonzero(np.diff(kind, prepend=-2))
        summed: Array = np.add.reduceat(P, first, axis=1)
        return summed

    def transitions(self) -> tuple[Array, Array, Array]:
        """0 where a label may follow another (K, K), open or close a sentence (K,), else −∞."""
        prefix, kind = (codes.tolist() for codes in self._codes())
        K = len(self)
        A, a, z = np.zeros((K, K), np.float32), np.zeros(K, np.float32), np.zeros(K, np.float32)
        if self.scheme == "IO":
            return A, a, z
        for i in range(K):
            for j in range(K):
                inside = prefix[i] in {BEGIN, INSIDE}
                goes_on = prefix[j] in {INSIDE, END} and kind[i] == kind[j]
                if not (goes_on if inside else prefix[j] in _MAY_START):
                    A[i, j] = -np.inf
            a[i] = 0 if prefix[i] in _MAY_START else -np.inf
            z[i] = 0 if prefix[i] in _MAY_END else -np.inf
        return A, a, z

    def counted_transitions(self, labels: Indices, starts: Indices) -> tuple[Array, Array, Array]:
        """Scores of transitions from labels (N,): A (K, K), a and z (K,), as in ``crf``.

        log P(j|i) − log P(j), so that what a label's own scores know, how often it is met, is
        not counted twice. The sentence's border is one more label; each pair is counted once
        more than it is met.
        """
        K = len(self)
        sequence = np.insert(labels, starts, K)
        counts = np.ones((K + 1, K + 1))
        np.add.at(counts, (sequence[:-1], sequence[1:]), 1)
        after = counts / counts.sum(axis=1, keepdims=True)
        scores = np.log(after / (counts.sum(axis=0) / counts.sum())).astype(np.float32)
        return scores[:K, :K], scores[K, :K], scores[:K, K]

    def thresholds(self, decision: Decision) -> Array:
        """The threshold of each label: (K,)."""
        own = [decision.thresholds.get(name, 0.0) for name in self.types]
        return np.append(0, np.repeat(own, len(_PREFIXES[self.scheme]))).astype(np.float32)

    def _codes(self) -> tuple[Indices, Indices]:
        """Prefix code and number of type of each label."""
        prefixes = _PREFIXES[self.scheme]
        kinds = np.repeat(np.arange(len(self.types)), len(prefixes))
        codes = np.tile(np.array(prefixes, np.int8), len(self.types))
        return np.append(np.int8(OUTSIDE), codes), np.append(-1, kinds)


def best_labels(S: Array, labels: Labels, starts: Indices, path: tuple[Array, ...] = ()) -> Indices:
    """The best allowed labels of the words of each sentence: S (N, K) -> (N,).

    path  learned scores A, a, z of transitions, see ``crf``; those that are not allowed stay so
    """
    A, a, z = labels.transitions()
    if path:
        return viterbi(S, A + path[0], a + path[1], z + path[2], starts)
    # Where the best labels of the words may follow each other, they are the best path.
    best = S.argmax(axis=1)
    border = len(labels)
    may_follow = np.pad(np.isfinite(A), (0, 1), constant_values=True)
    may_follow[border, :border], may_follow[:border, border] = np.isfinite(a), np.isfinite(z)
    sequence = np.insert(best, starts, border)
    wrong = np.flatnonzero(~may_follow[sequence[:-1], sequence[1:]])
    if len(wrong):
        hit = np.zeros(len(starts) - 1, bool)
        hit[np.searchsorted(starts + np.arange(len(starts)), wrong, "right") - 1] = True
        words, some = runs(starts, np.flatnonzero(hit))
        best[words] = viterbi(S[words], A, a, z, some)
    return best


def distribution(S: Array, labels: Labels, starts: Indices, path: tuple[Array, ...] = ()) -> Array:
    """P (N, K): the probability of each label of a word, which sum to 1.

    path  as in ``best_labels``; with it, the probability over all paths through the sentence
    """
    if path:
        A, a, z = (x + y for x, y in zip(path, labels.transitions(), strict=True))
        return marginals(S, A, a, z, starts)
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return P


def to_entities(best: Indices, P: Array, labels: Labels, starts: Indices) -> Decoded:
    """The entities in labels (N,), scored by P (n, K), the probability of each label for every word
    that is not outside.
    """
    spans = labels.decode(best, starts)
    inside = np.flatnonzero(best)
    p = P[np.arange(len(P)), best[inside]]
    first = np.searchsorted(inside, spans.start)
    return Decoded(spans, np.minimum.reduceat(p, first) if len(spans) else p)
