"""Stochastic gradient descent and its relatives (CS224N 2021 L3, 0:11).

An optimizer changes a parameter in place, given its gradient and a learning rate. A ``RowGrad``
changes only the rows it names, and only their state: the same code serves both, because
``parameter[...]`` is the whole array as ``parameter[rows]`` is some rows of it.

``l2`` adds l2·θ to the gradient of θ, which is the gradient of J + l2/2·‖θ‖²; of a table, the
rows in the batch alone shrink.
"""

from __future__ import annotations

from types import EllipsisType

import numpy as np

from nerwin.engine.ops import Gradient
from nerwin.engine.rowgrad import RowGrad
from nerwin.engine.types import Array, Indices

Rows = Indices | EllipsisType
State = dict[str, Array]


class SGD:
    """θ ← θ − α (∇J + l2 θ): the lecture's update. With momentum μ: v ← μ v + ∇J, θ ← θ − α v."""

    def __init__(self, momentum: float = 0.0, l2: float = 0.0) -> None:
        self.momentum = momentum
        self.l2 = l2
        self.state: dict[str, State] = {}

    def update(self, name: str, parameter: Array, gradient: Gradient, rate: float) -> None:
        """Change ``parameter``, known by ``name``, in place."""
        rows, g = _touched(parameter, gradient, self.l2)
        if self.momentum:
            velocity = _state(self.state, name, v=parameter.shape, like=parameter)["v"]
            g = self.momentum * velocity[rows] + g
            velocity[rows] = g
        parameter[rows] -= rate * g


class AdaGrad:
    """n ← n + g², θ ← θ − α g / (√n + ε): the rarer the row, the larger its steps.

    Duchi, Hazan and Singer, 2011.
    """

    def __init__(self, l2: float = 0.0, epsilon: float = 1e-8) -> None:
        self.l2 = l2
        self.epsilon = epsilon
        self.state: dict[str, State] = {}

    def update(self, name: str, parameter: Array, gradient: Gradient, rate: float) -> None:
        """Change ``parameter``, known by ``name``, in place."""
        rows, g = _touched(parameter, gradient, self.l2)
        squares = _state(self.state, name, n=parameter.shape, like=parameter)["n"]
        n = squares[rows] + g * g
        squares[rows] = n
        parameter[rows] -= rate * g / (np.sqrt(n) + self.epsilon)


class Adam:
    """m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − α m̂ / (√v̂ + ε), m̂ and v̂ unbiased.

    Kingma and Ba, 2015. Each row of a table counts its own steps, so that a rare row's first
    step has the size α like everyone's; with one count for all it would be three times that,
    the bias of v being undone long before the row was met.
    """

    def __init__(
        self, l2: float = 0.0, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.l2 = l2
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.state: dict[str, State] = {}

    def update(self, name: str, parameter: Array, gradient: Gradient, rate: float) -> None:
        """Change ``parameter``, known by ``name``, in place."""
        rows, g = _touched(parameter, gradient, self.l2)
        one_each = 1 if rows is ... else len(parameter)
        counts = (one_each,) + (1,) * (parameter.ndim - 1)
        shapes = {"m": parameter.shape, "v": parameter.shape, "t": counts}
        state = _state(self.state, name, like=parameter, **shapes)
        t = state["t"][rows] + 1
        m = self.beta1 * state["m"][rows] + (1 - self.beta1) * g
        v = self.beta2 * state["v"][rows] + (1 - self.beta2) * (g * g)
        state["t"][rows], state["m"][rows], state["v"][rows] = t, m, v
        m_hat = m / (1 - self.beta1**t)
        v_hat = v / (1 - self.beta2**t)
        parameter[rows] -= rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


Optimizer = SGD | AdaGrad | Adam


def linear_decay(done: float) -> float:
    """The share of the learning rate left when a share of the training is done: from 1 to 0."""
    return 1 - done


def _touched(parameter: Array, gradient: Gradient, l2: float) -> tuple[Rows, Array]:
    """Which rows of the parameter change (``...``: all), and the gradient there."""
    rows: Rows
    rows, g = (gradient.rows, gradient.values) if isinstance(gradient, RowGrad) else (..., gradient)
    return rows, (g + l2 * parameter[rows] if l2 else g)


def _state(states: dict[str, State], name: str, *, like: Array, **shapes: tuple[int, ...]) -> State:
    """The state kept for the parameter ``name``: arrays of zeros when it is met first."""
    if name not in states:
        states[name] = {key: np.zeros(shape, like.dtype) for key, shape in shapes.items()}
    return states[name]
