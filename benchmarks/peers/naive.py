"""The lecture's window classifier trained one example at a time, as in a first exercise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nerwin.engine.types import Array, Indices


def train(
    parameters: Mapping[str, Array], rows: Indices, Y: Array, tokens: Indices, rate: float
) -> None:
    """Forward, backward and a step of every parameter, for each of the tokens in turn."""
    E, W, b, U = (parameters[name] for name in ("E", "W", "b", "U"))
    for token in tokens:
        window = rows[token]
        x = E[window].ravel()
        h = 1 / (1 + np.exp(-(x @ W + b)))
        ds = 1 / (1 + np.exp(-(h @ U))) - Y[token]
        dz = (U @ ds) * h * (1 - h)
        dx = W @ dz
        U -= rate * np.outer(h, ds)
        W -= rate * np.outer(x, dz)
        b -= rate * dz
        np.subtract.at(E, window, rate * dx.reshape(len(window), -1))
