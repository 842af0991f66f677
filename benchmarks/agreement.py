"""nerwin and PyTorch compute the same: the same losses step by step, the same parameters at the
end, from the same first values and batches.

SGD is SGD. Adam is not everywhere the same: nerwin counts the steps of each row of the table,
PyTorch's SparseAdam those of the table, so it is compared with PyTorch's own Adam on rows that are
parameters of their own (``adam_by_rows``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from material import Material
from measuring import PLAIN, Measure, installed, loops, ours
from problem import RATES, Problem, batches, lecture
from threadpoolctl import threadpool_limits

from nerwin.engine.types import Array

SIZE = 64  # windows in a batch
TOLERANCES = {"float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True)
class Agreement:
    """The largest differences: of any step's loss, and of any parameter after the last step."""

    losses: float
    parameters: float


def measures(material: Material) -> list[Measure]:
    """The largest differences in training on real data."""
    if not installed("torch"):
        return []
    steps = 50 if material.quick else 300
    found = []
    for dtype, tolerance in TOLERANCES.items():
        problem = lecture(material.gold, material.words, (100,), np.dtype(dtype).type)
        for optimizer in RATES:
            task = f"{optimizer}, {dtype}, {steps} batches of {SIZE}, H = 100"
            for who in ours():
                for what in ("losses", "parameters"):
                    run = partial(_difference, problem, optimizer, steps, who, what, tolerance)
                    found.append(Measure(task, f"{who}: {what}, largest difference", "", run))
    return found


def _difference(
    problem: Problem, optimizer: str, steps: int, who: str, what: str, tolerance: float
) -> float:
    """Raises SystemExit for a difference that is more than that of rounding."""
    found = float(getattr(agreement(problem, optimizer, steps, compiled=who != PLAIN), what))
    if not found < tolerance:
        raise SystemExit(f"{who}, {optimizer}: {what} differ by {found:g} from those of PyTorch")
    return found


def agreement(problem: Problem, optimizer: str, steps: int, *, compiled: bool = False) -> Agreement:
    """Train by nerwin and by PyTorch, with the optimizer sgd or adam, and compare.

    compiled  nerwin trains with its compiled loops
    """
    losses, parameters = _nerwin(problem, optimizer, steps, compiled)
    theirs, found = _torch(problem, optimizer, steps)
    return Agreement(
        max(abs(a - b) for a, b in zip(losses, theirs, strict=True)),
        max(float(abs(parameters[name] - value).max()) for name, value in found.items()),
    )


def _nerwin(
    problem: Problem, optimizer: str, steps: int, compiled: bool
) -> tuple[list[float], dict[str, Array]]:
    descent = problem.descent(optimizer, SIZE)
    rate = RATES[optimizer]
    with threadpool_limits(1, "blas"), loops(compiled):
        losses = [descent.step(batch, rate) for batch in islice(batches(descent), steps)]
    return losses, descent.model.parameters


def _torch(problem: Problem, optimizer: str, steps: int) -> tuple[list[float], dict[str, Array]]:
    from peers.torch_training import SGD, Training, adam_by_rows

    first, orders, rate = problem.parameters(), problem.orders(SIZE), RATES[optimizer]
    if optimizer == "adam":
        return adam_by_rows(first, problem.rows, problem.Y, orders, steps, rate)
    training = Training(first, problem.rows, problem.Y, SGD, rate)
    losses = [training.step(batch) for batch in islice(orders, steps)]
    return losses, training.parameters()
