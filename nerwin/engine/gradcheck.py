"""The gradient check: numeric against analytic derivatives (CS224N 2021 L3, 1:17 to 1:21).

Each entry of each parameter is moved by h to both sides, and (J(θ+h) − J(θ−h)) / 2h is held
against what ``backward`` says. Always in float64: in float32 the difference drowns in rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
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
        """Whether every checked entry is within the tolerance."""
        return self.error <= TOLERANCE


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
    entries     check this many entries of a parameter, drawn by rng, instead of all
    """
    values = {name: np.array(value, dtype=np.float64) for name, value in parameters.items()}
    nodes = {name: parameter(value, name) for name, value in values.items()}
    root = loss(nodes)
    gradients = backward(root)

    def J() -> float:
        return float(loss({name: constant(value) for name, value in values.items()}).value)

    checks = []
    for name, value in values.items():
        analytic = gradients.get(nodes[name], np.zeros(value.shape))
        analytic = analytic.dense() if isinstance(analytic, RowGrad) else np.asarray(analytic)
        if analytic.shape != value.shape:
            checks.append(
                Check(name, value.shape, 0, 0, np.inf, (), float("nan"), float("nan"))
            )
            continue
        chosen = np.arange(value.size)
        if entries is not None and entries < value.size:
            chosen = np.sort((rng or np.random.default_rng(0)).permutation(value.size)[:entries])
        checks.append(_check(name, value, analytic, chosen, J, h, one_sided))
    return checks


def gradcheck_op(op: ops.Op, *inputs: Array, rng: np.random.Generator, **constants: object) -> list[Check]:
    """Check every derivative of one op. Its output is made a scalar by a random weighted sum."""
    names = [f"{op.__name__}[{i}]" for i in range(len(inputs))]
    output, _ = op(*inputs, **constants)
    weights = rng.normal(size=np.shape(output))

    def loss(nodes: Mapping[str, Node]) -> Node:
        made = apply(op, *(nodes[name] for name in names), **constants)
        return apply(ops.total, apply(ops.multiply, made, constant(weights)))

    return gradcheck(loss, dict(zip(names, inputs, strict=True)))


def error_by_step(
    loss: Loss, parameters: Mapping[str, Array], steps: list[float]
) -> list[tuple[float, float, float]]:
    """(h, worst one-sided error, worst two-sided error) for each step h.

    One-sided errors fall as h, two-sided as h², until rounding, which grows as 1/h, takes over
    (L3, 1:19).
    """

    def worst(h: float, one_sided: bool) -> float:
        return max(c.error for c in gradcheck(loss, parameters, h=h, one_sided=one_sided))

    return [(h, worst(h, True), worst(h, False)) for h in steps]


def _check(
    name: str,
    value: Array,
    analytic: Array,
    chosen: np.ndarray,
    J: Callable[[], float],
    h: float,
    one_sided: bool,
) -> Check:
    """Compare the chosen entries (flat indices) of one parameter."""
    here = J()
    flat = value.reshape(-1)  # a view: J sees what is written here

    def at(i: int, offset: float) -> float:
        saved = flat[i]
        flat[i] = saved + offset
        moved = J()
        flat[i] = saved
        return moved

    def numeric_derivative(i: int) -> float:
        if one_sided:
            return (at(i, h) - here) / h
        return (at(i, h) - at(i, -h)) / (2 * h)

    a = analytic.reshape(-1)[chosen]
    n = np.array([numeric_derivative(i) for i in chosen])
    scale = np.maximum(np.maximum(abs(a), abs(n)), abs(n).max(initial=0))
    difference = abs(a - n)
    error = np.divide(difference, scale, out=np.zeros_like(scale), where=difference != 0)
    error[~np.isfinite(a) | ~np.isfinite(n)] = np.inf

    # Two values of J, both rounded, tell nothing finer than this about the slope.
    resolution = 8 * np.finfo(np.float64).eps * abs(here) / h
    error[(error > TOLERANCE) & (difference <= resolution)] = 0
    kinks = [
        k
        for k in np.flatnonzero(error > TOLERANCE)
        if _is_kink(a[k], functools.partial(at, chosen[k]), here, h)
    ]
    counted = np.delete(np.arange(len(chosen)), kinks)
    if not len(counted):
        return Check(name, value.shape, 0, len(kinks), 0.0, (), 0.0, 0.0)
    worst = counted[error[counted].argmax()]
    index = tuple(int(i) for i in np.unravel_index(chosen[worst], value.shape))
    return Check(
        parameter=name,
        shape=value.shape,
        entries=len(counted),
        kinks=len(kinks),
        error=float(error[worst]),
        index=index,
        analytic=float(a[worst]),
        numeric=float(n[worst]),
    )


def _is_kink(analytic: float, at: Callable[[float], float], here: float, h: float) -> bool:
    """Whether J bends within h of an entry, and ``analytic`` is one of its slopes there.

    Where J is smooth, the slopes to the right and to the left differ by h·J″, ten times less at
    h/10. Where it bends, their difference stays, or vanishes at once. A kink excuses only a
    derivative that lies between the slopes close by (a subgradient), not any wrong one.
    """

    def slopes(step: float) -> tuple[float, float]:
        return (here - at(-step)) / step, (at(step) - here) / step

    def gap(step: float) -> float:
        left, right = slopes(step)
        return abs(right - left)

    smooth = 0.05 * gap(h) <= gap(h / 10) <= 0.2 * gap(h)
    left, right = slopes(h / 100)
    slack = 1e-3 * max(abs(left), abs(right))
    return not smooth and min(left, right) - slack <= analytic <= max(left, right) + slack
