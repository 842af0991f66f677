"""The gradient check: numeric against analytic derivatives (CS224N 2021 L3, 1:17 to 1:21).

Each entry of each parameter is moved by h to both sides, and (J(θ+h) − J(θ−h)) / 2h is held
against what ``backward`` says. Always in float64: in float32 the difference drowns in rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nerwin.engine import ops
from nerwin.engine.graph import Node, apply, backward, constant, parameter
from nerwin.engine.rowgrad import RowGrad
from nerwin.engine.types import Array

Loss = Callable[[Mapping[str, Node]], Node]

STEP = 1e-4
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one parameter. The last three fields tell of its worst entry.

    error    |analytic − numeric| of the worst entry, relative to the larger of the two and of
             the parameter's largest numeric derivative; infinite where analytic is not a number
             or the gradient has not the parameter's shape
    kinks    entries left out: within h of them J bends, and no derivative exists
    """

    parameter: str
    shape: tuple[int, ...]
    entries: int
    kinks: int
    error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float

    @property
    def passed(self) -> bool:
        """Whether there are checked entries, and every one is within the tolerance."""
        return self.entries > 0 and self.error <= TOLERANCE


def gradcheck(
    loss: Loss,
    parameters: Mapping[str, Array],
    *,
    h: float = STEP,
    one_sided: bool = False,
    entries: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[Check]:
    """Check the gradient of ``loss`` for every parameter; one Check each.

    loss        builds the graph from one node per parameter, and returns its scalar root
    parameters  name -> array; copied to float64, never changed
    h           the distance moved; one_sided compares with (J(θ+h) − J(θ)) / h instead
    entries     check this many entries of a parameter, drawn by rng, instead of all; half of
                them where the gradient is not zero
    """
    probes = _probes(loss, parameters, entries, rng)
    return [probe.check(h, one_sided) for probe in probes]


def weighted_total(made: Node, rng: np.random.Generator) -> Node:
    """A scalar made of any node, in which every element has a random weight of its own."""
    weights = constant(rng.normal(size=np.shape(made.value)))
    return apply(ops.total, apply(ops.multiply, made, weights))


def error_by_step(
    loss: Loss,
    parameters: Mapping[str, Array],
    steps: Sequence[float],
    *,
    entries: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[tuple[float, float, float]]:
    """(h, worst one-sided error, worst two-sided error) for each step h.

    One-sided errors fall as h, two-sided as h², until rounding, which grows as 1/h, takes over
    (L3, 1:19). Nothing is left out here: neither rounding nor kinks are excused.
    """
    probes = _probes(loss, parameters, entries, rng)

    def worst(h: float, one_sided: bool) -> float:
        return max(
            float(_relative_error(probe.analytic, probe.numeric(h, one_sided)).max())
            for probe in probes
        )

    return [(h, worst(h, True), worst(h, False)) for h in steps]


class _Probe:
    """Some entries of one parameter, which can be moved to see what J becomes.

    entries   flat indices into ``value``
    analytic  what ``backward`` says of them
    """

    def __init__(self, name: str, value: Array, gradient: Array, J: Callable[[], float]) -> None:
        self.name = name
        self.value = value
        self.gradient = gradient
        self.entries = np.arange(value.size)
        self._flat = value.reshape(-1)  # a view: J sees what is written here
        self._J = J
        self.here = J()

    @property
    def analytic(self) -> Array:
        return self.gradient.reshape(-1)[self.entries]

    def at(self, entry: int, offset: float) -> float:
        """J with one entry moved."""
        saved = self._flat[entry]
        self._flat[entry] = saved + offset
        moved = self._J()
        self._flat[entry] = saved
        return moved

    def numeric(self, h: float, one_sided: bool) -> Array:
        if one_sided:
            slopes = [(self.at(i, h) - self.here) / h for i in self.entries.tolist()]
        else:
            slopes = [(self.at(i, h) - self.at(i, -h)) / (2 * h) for i in self.entries.tolist()]
        return np.array(slopes)

    def check(self, h: float, one_sided: bool) -> Check:
        if self.gradient.shape != self.value.shape:
            nan = float("nan")
            return Check(self.name, self.value.shape, 0, 0, np.inf, (), nan, nan)
        a, n = self.analytic, self.numeric(h, one_sided)
        error, scale = _relative_error(a, n), _scale(a, n)
        # Two values of J, both rounded, tell nothing finer than this about the slope. (J may be
        # close to zero; the scores that it is made of are not.)
        noise = 8 * np.finfo(np.float64).eps * max(abs(self.here), 1.0) / h
        error[(error > TOLERANCE) & (abs(a - n) <= noise)] = 0
        kinks = [
            k
            for k in np.flatnonzero(error > TOLERANCE)
            if np.isfinite(a[k])
            and _is_kink(a[k], functools.partial(self.at, self.entries[k]), h, noise, scale[k])
        ]
        counted = np.delete(np.arange(len(a)), kinks)
        if not len(counted):
            return Check(self.name, self.value.shape, 0, len(kinks), 0.0, (), 0.0, 0.0)
        worst = counted[error[counted].argmax()]
        index = np.unravel_index(self.entries[worst], self.value.shape)
        return Check(
            parameter=self.name,
            shape=self.value.shape,
            entries=len(counted),
            kinks=len(kinks),
            error=float(error[worst]),
            index=tuple(int(i) for i in index),
            analytic=float(a[worst]),
            numeric=float(n[worst]),
        )


def _probes(
    loss: Loss,
    parameters: Mapping[str, Array],
    entries: int | None,
    rng: np.random.Generator | None,
) -> list[_Probe]:
    values = {name: np.array(value, dtype=np.float64) for name, value in parameters.items()}
    nodes = {name: parameter(value, name) for name, value in values.items()}
    gradients = backward(loss(nodes))

    def J() -> float:
        return float(loss({name: constant(value) for name, value in values.items()}).value)

    rng = rng or np.random.default_rng(0)
    probes = []
    for name, value in values.items():
        gradient = gradients.get(nodes[name], np.zeros(value.shape))
        dense = gradient.dense() if isinstance(gradient, RowGrad) else np.asarray(gradient)
        probe = _Probe(name, value, dense, J)
        if entries is not None and entries < value.size:
            # Half of them where the gradient is not zero: of a large table those are few.
            some = rng.permutation(np.flatnonzero(dense))[: entries // 2]
            others = rng.permutation(np.setdiff1d(probe.entries, some))[: entries - len(some)]
            probe.entries = np.sort(np.concatenate((some, others)))
        probes.append(probe)
    return probes


def _relative_error(analytic: Array, numeric: Array) -> Array:
    error = np.full(np.shape(numeric), np.inf)
    finite = np.isfinite(analytic) & np.isfinite(numeric)
    a, n, scale = analytic[finite], numeric[finite], _scale(analytic, numeric)[finite]
    error[finite] = np.divide(abs(a - n), scale, out=np.zeros_like(scale), where=a != n)
    return error


def _scale(analytic: Array, numeric: Array) -> Array:
    """The larger of the two, and of the parameter's largest numeric derivative."""
    largest = abs(numeric[np.isfinite(numeric)]).max(initial=0)
    return np.maximum(np.maximum(abs(analytic), abs(numeric)), largest)


def _is_kink(
    analytic: float, at: Callable[[float], float], h: float, noise: float, scale: float
) -> bool:
    """Whether J bends within h of an entry, and ``analytic`` is right close by.

    Where J is smooth, the numeric derivative's error falls by 4 when h is halved; where J bends
    it does not. A bend excuses only a derivative that the numeric one agrees with at h/100, or,
    if J bends right here, one between the slopes to the left and to the right (a subgradient).

    noise  what rounding can make of a slope at h
    scale  what the tolerance is relative to
    """

    def two_sided(step: float) -> float:
        return (at(step) - at(-step)) / (2 * step)

    def error(step: float) -> float:
        return abs(two_sided(step) - analytic)

    whole = error(h)
    if all(abs(error(h / k) - whole / k**2) <= whole / k**2 / 5 + k * noise for k in (2, 4)):
        return False
    near = h / 100
    # (A hundred times the noise is what there is of it at h/100.)
    if 100 * noise < whole / 10 and error(near) <= min(TOLERANCE * scale, whole / 10) + 100 * noise:
        return True
    here = at(0)
    left, right = (here - at(-near)) / near, (at(near) - here) / near
    far_gap = abs((at(h) - here) / h - (here - at(-h)) / h)
    bends_here = abs(right - left) > far_gap / 2 and far_gap > 200 * noise
    return bends_here and min(left, right) <= analytic <= max(left, right)
