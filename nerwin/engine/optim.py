"""Stochastic gradient descent and its relatives (CS224N 2021 L3, 0:11).

An optimizer changes a parameter in place, given its gradient and a learning rate. A ``RowGrad``
changes only the rows it names, and only their state. Each rule is written for some rows of a
parameter: those a batch touched, or all.

``l2`` adds l2·θ to the gradient of θ, which is the gradient of J + l2/2·‖θ‖²; of a table, the
rows in the batch alone shrink.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np

from nerwin.engine import kernels
from nerwin.engine.ops import Gradient
from nerwin.engine.rowgrad import RowGrad
from nerwin.engine.types import Array, Indices

State = dict[str, Array]

_BLOCK = 1 << 15  # numbers that Adam updates at once


class Optimizer(ABC):
    """What the rules share: their state, and which rows a gradient changes.

    state  parameter's name -> key -> array of the parameter's shape; of one number a row for the
           keys in ``per_row``
    """

    keys: ClassVar[tuple[str, ...]] = ()
    per_row: ClassVar[tuple[str, ...]] = ()

    def __init__(self, l2: float = 0.0) -> None:
        self.l2 = l2
        self.state: dict[str, State] = {}

    def update(self, name: str, parameter: Array, gradient: Gradient, rate: float) -> None:
        """Change ``parameter``, known by ``name``, in place."""
        arrays = self._arrays(name, parameter)
        loop = self._loop(parameter.dtype)
        if loop and parameter.flags.c_contiguous and parameter.dtype == gradient.dtype:
            if isinstance(gradient, RowGrad):
                rows: Indices = np.ascontiguousarray(gradient.rows, np.int64)
                g = gradient.values
            else:
                rows, g = _all_rows(len(parameter)), gradient
            if self.l2:
                g = self._decayed(g, parameter[rows])
            loop(rows, rate, *map(_flat_rows, (np.ascontiguousarray(g), *arrays)))
        elif isinstance(gradient, RowGrad):
            touched = [array.take(gradient.rows, axis=0) for array in arrays]
            self._step(self._decayed(gradient.values, touched[0]), rate, *touched)
            for array, rows in zip(arrays, touched, strict=True):
                array[gradient.rows] = rows
        else:
            self._step(self._decayed(gradient, parameter), rate, *arrays)

    def _arrays(self, name: str, parameter: Array) -> tuple[Array, ...]:
        """The parameter and its state, which is made when it is first asked for."""
        if name not in self.state:
            self.state[name] = self._new_state(parameter)
        return parameter, *self.state[name].values()

    def _new_state(self, parameter: Array) -> State:
        row = (len(parameter),) + (1,) * (parameter.ndim - 1)
        state = {key: np.zeros_like(parameter) for key in self.keys}
        return state | {key: np.zeros(row, parameter.dtype) for key in self.per_row}

    def _decayed(self, g: Array, theta: Array) -> Array:
        return g + self.l2 * theta if self.l2 else g

    @abstractmethod
    def _step(self, g: Array, rate: float, theta: Array, *state: Array) -> None:
        """Change θ and its state in place; g is the gradient's, and stays as it is."""

    def _loop(self, dtype: np.dtype[Any]) -> Callable[..., None] | None:
        """``_step`` of some rows as a compiled loop, if there is one, see ``kernels``.

        It takes their numbers (k,), the rate, their gradient (k, D), and then θ and its state, all
        of it, (n, D), or (n, 1) for what is of one number a row.
        """
        return None


class SGD(Optimizer):
    """θ ← θ − α (∇J + l2 θ): the lecture's update. With momentum μ: v ← μ v + ∇J, θ ← θ − α v."""

    def __init__(self, momentum: float = 0.0, l2: float = 0.0) -> None:
        super().__init__(l2)
        self.momentum = momentum

    def _new_state(self, parameter: Array) -> State:
        return {"v": np.zeros_like(parameter)} if self.momentum else {}

    def _step(self, g: Array, rate: float, theta: Array, *state: Array) -> None:
        if state:
            (v,) = state
            v *= self.momentum
            v += g
            g = v
        theta -= rate * g

    def _loop(self, dtype: np.dtype[Any]) -> Callable[..., None] | None:
        loops = kernels.compiled()
        return loops.sgd if loops and not self.momentum else None


class AdaGrad(Optimizer):
    """n ← n + g², θ ← θ − α g / (√n + ε): the rarer the row, the larger its steps.

    Duchi, Hazan and Singer, 2011.
    """

    keys = ("n",)

    def __init__(self, l2: float = 0.0, epsilon: float = 1e-8) -> None:
        super().__init__(l2)
        self.epsilon = epsilon

    def _step(self, g: Array, rate: float, theta: Array, *state: Array) -> None:
        (n,) = state
        n += g * g
        theta -= rate * g / (np.sqrt(n) + self.epsilon)


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − α m̂ / (√v̂ + ε), m̂ and v̂ unbiased.

    Kingma and Ba, 2015. Each row counts its own steps, so that the first step of a table's rare
    row has the size α like everyone's; with one count for all it would be three times that, the
    bias of v being undone long before the row was met.

    A step reads and writes several arrays several times, so it takes one block of rows after the
    other, all of which stays in the processor's cache; or it is one loop, see ``kernels``.
    """

    keys = ("m", "v")
    per_row = ("t",)

    def __init__(
        self, l2: float = 0.0, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(l2)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def _loop(self, dtype: np.dtype[Any]) -> Callable[..., None] | None:
        loops, shares = kernels.compiled(), _shares(self.beta1, self.beta2, dtype)
        if loops is None:
            return None
        return partial(loops.adam, *shares, self.epsilon, self.beta1, self.beta2)

    def _step(self, g: Array, rate: float, theta: Array, *state: Array) -> None:
        m, v, t = state
        t += 1
        m_shares, v_shares = _shares(self.beta1, self.beta2, t.dtype)
        steps = np.minimum(t, len(v_shares) - 1).astype(np.intp)
        # α m̂ / (√v̂ + ε), both numerator and denominator times √(1−β₂ᵗ).
        rates = rate * v_shares[steps] / m_shares[steps]
        epsilons = self.epsilon * v_shares[steps]
        size = max(1, _BLOCK * len(theta) // max(1, theta.size))
        for start in range(0, len(theta), size):
            block = slice(start, start + size)
            self._move(*(a[block] for a in (g, rates, epsilons, theta, m, v)))

    def _move(
        self, g: Array, rates: Array, epsilons: Array, theta: Array, m: Array, v: Array
    ) -> None:
        buffer = (1 - self.beta1) * g
        m *= self.beta1
        m += buffer
        np.multiply(g, g, out=buffer)
        buffer *= 1 - self.beta2
        v *= self.beta2
        v += buffer
        np.sqrt(v, out=buffer)
        buffer += epsilons
        np.divide(m, buffer, out=buffer)
        buffer *= rates
        theta -= buffer


@cache
def _all_rows(n: int) -> Indices:
    return np.arange(n, dtype=np.int64)


def _flat_rows(array: Array) -> Array:
    """(n, …) -> (n, D), and (n,) -> (n, 1)."""
    return array if array.ndim == 2 else array.reshape(len(array), math.prod(array.shape[1:]))


@cache
def _shares(beta1: float, beta2: float, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """1 − β₁ᵗ and √(1 − β₂ᵗ), the shares that running means which began at zero have reached after
    t = 0, 1, … steps, until both are 1 to the last bit.
    """
    logs = [math.log(beta) if beta else -math.inf for beta in (beta1, beta2)]
    t = np.arange(1 + math.ceil(40 / -max(logs)), dtype=dtype)
    t[0] = 1  # nobody asks after no step; and if no mean remembers anything, there is no other
    m_shares, v_shares = (-np.expm1(log * t) for log in logs)
    return m_shares, np.sqrt(v_shares)


def clipped(gradients: Mapping[str, Gradient], limit: float) -> dict[str, Gradient]:
    """The gradients, all made shorter alike if together they are longer than the limit
    (Pascanu, Mikolov and Bengio, 2013).
    """
    arrays = [g.values if isinstance(g, RowGrad) else g for g in gradients.values()]
    length = math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))
    share = limit / length if length > limit else 1.0
    return {
        name: RowGrad(g.rows, share * g.values, g.n_rows) if isinstance(g, RowGrad) else share * g
        for name, g in gradients.items()
    }


def linear_decay(done: float) -> float:
    """The share of the learning rate left when a share of the training is done: from 1 to 0."""
    return 1 - done
