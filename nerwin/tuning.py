"""What is fitted on dev once training is over: thresholds, the weight of transitions, calibration.

None of it changes a parameter. Dev is seen once more by it, so what is measured on dev afterwards
is too good by a little; a test set tells the truth.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from nerwin.decoding import Calibration, Decision, logit
from nerwin.engine import ops
from nerwin.engine.types import Array, Indices
from nerwin.evaluation import are_right, wanted
from nerwin.gold import Gold
from nerwin.model import TRANSITIONS, Model

THRESHOLDS = (-0.25, 0.25, -0.5, 0.5, -0.75, 0.75, -1.0, 1.0)
WEIGHTS = (0.25, 0.5, 0.75, 1.0)

_WEIGHT = ""  # its name among those of the types, none of which is empty
_FEW = 20  # entities, of which nothing can be learned
_FLATTEST = 0.01  # slope: a larger score stays larger
_RIDGE = 1e-12  # for scores that are all the same
_NOTHING = 1e-15  # of what a loss may fall


def fit(model: Model, gold: Gold, S: Array) -> Model:
    """The model with what dev says of it, from S (N, K), its scores of labels there."""
    model = model.as_trained()
    if model.options.tune:
        model = replace(model, decision=tune(model, gold, S))
    found = model.decode(S, gold.starts)
    right = are_right(wanted(model, gold), found.spans)
    return replace(model, calibration=calibrate(found.scores, right))


def tune(
    model: Model,
    gold: Gold,
    S: Array,
    thresholds: tuple[float, ...] = THRESHOLDS,
    weights: tuple[float, ...] = WEIGHTS,
) -> Decision:
    """The thresholds and the weight with the best F1, one after the other until none changes.

    thresholds, weights  what is tried; 0 if nothing is better
    A change must raise F1, and lower it in neither half of the file: chance seldom helps twice.
    A CRF has learned its transitions: for it there are only thresholds.
    """
    spans = wanted(model, gold)
    grids: dict[str, tuple[float, ...]] = dict.fromkeys(model.types, thresholds)
    if model.options.loss != "crf" and set(TRANSITIONS) <= model.parameters.keys():
        grids = {_WEIGHT: weights} | grids

    def decision(values: dict[str, float]) -> Decision:
        own = {name: values[name] for name in model.types}
        return Decision(own, values.get(_WEIGHT, 0.0))

    middle = gold.starts[len(gold.starts) // 2]

    def in_halves(tokens: Indices, weights: Array | None = None) -> Array:
        return np.bincount(tokens >= middle, weights, minlength=2)

    def f1(values: dict[str, float]) -> Array:
        """Of the whole, and of each half: (3,)."""
        labels = replace(model, decision=decision(values)).decide(S, gold.starts)
        found = model.labels.decode(labels, gold.starts)
        correct = in_halves(found.start, are_right(spans, found))
        both = in_halves(found.start) + in_halves(spans.start)
        correct, both = (np.append(x.sum(), x) for x in (correct, both))
        return 2 * correct / np.maximum(both, 1)

    values = dict.fromkeys(grids, 0.0)
    best = f1(values)
    settled = 0  # of the last values looked at, how many are the best beside the others
    for name in itertools.cycle(grids):
        if settled == len(grids):
            break
        settled += 1
        for value in (0.0, *grids[name]):
            tried = values | {name: value}
            if tried == values:
                continue
            reached = f1(tried)
            if reached[0] > best[0] and (reached >= best).all():
                best, values, settled = reached, tried, 1
    return decision(values)


def calibrate(p: Array, right: np.ndarray) -> Calibration:
    """The slope and the intercept under which scores p (n,) of entities that are right or wrong
    (n,) are most likely (Platt, 1999), with his targets, a little less sure than 1 and 0.

    With few entities, or no two kinds of them, scores stay as they are.
    """
    n, good = len(right), int(right.sum())
    if n < _FEW or good in {0, n}:
        return Calibration()
    x = logit(p)
    X = np.stack((x, np.ones(n)))
    targets = np.where(right, (good + 1) / (good + 2), 1 / (n - good + 2))
    change, intercept = _most_likely(X, targets, x).tolist()  # from a slope of 1
    slope = 1 + change
    if slope < _FLATTEST:
        slope = _FLATTEST
        (intercept,) = _most_likely(X[1:], targets, slope * x).tolist()
    return Calibration(slope, intercept)


def _most_likely(X: Array, targets: Array, z: Array) -> Array:
    """θ (k,), from 0 on, under which σ(z + θᵀX) are closest to the targets (n,), in cross-entropy;
    X (k, n), z (n,).

    Newton's steps, each halved until it pays, as whole ones need not (Lin, Lin and Weng, 2007).
    """

    def loss(theta: Array) -> float:
        s = z + theta @ X
        return float((np.logaddexp(0, s) - targets * s).mean())

    theta = np.zeros(len(X))
    reached = loss(theta)
    while True:
        q = ops.logistic(z + theta @ X)
        gradient = X @ (q - targets) / len(z)
        curvature = (q * (1 - q) * X) @ X.T / len(z) + _RIDGE * np.eye(len(X))
        step = np.linalg.solve(curvature, gradient)
        promised = float(gradient @ step)
        while promised > _NOTHING and loss(theta - step) > reached - 1e-4 * promised:
            step /= 2
            promised /= 2
        if not promised > _NOTHING:
            return theta
        theta -= step
        reached = loss(theta)
