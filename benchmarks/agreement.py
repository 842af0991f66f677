"""nerwin and PyTorch compute the same: the same losses step by step, the same parameters at the
end, from the same first values and batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from peers.torch_training import SGD, Training, adam_by_rows
from problem import RATES, Problem, batches
from threadpoolctl import threadpool_limits

from nerwin.engine.types import Array

SIZE = 64  # windows in a batch
TOLERANCES = {"float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True)
class Agreement:
    """The largest differences: of any step's loss, and of any parameter after the last step."""

    losses: float
    parameters: float


def agreement(problem: Problem, optimizer: str, steps: int) -> Agreement:
    """Train by nerwin and by PyTorch, with the optimizer sgd or adam, and compare."""
    losses, parameters = _nerwin(problem, optimizer, steps)
    theirs, found = _torch(problem, optimizer, steps)
    return Agreement(
        max(abs(a - b) for a, b in zip(losses, theirs, strict=True)),
        max(float(abs(parameters[name] - value).max()) for name, value in found.items()),
    )


def _nerwin(problem: Problem, optimizer: str, steps: int) -> tuple[list[float], dict[str, Array]]:
    descent = problem.descent(optimizer, SIZE)
    with threadpool_limits(1, "blas"):
        losses = [
            descent.step(batch, RATES[optimizer]) for batch in islice(batches(descent), steps)
        ]
    return losses, descent.model.parameters


def _torch(problem: Problem, optimizer: str, steps: int) -> tuple[list[float], dict[str, Array]]:
    first, orders, rate = problem.parameters(), problem.orders(SIZE), RATES[optimizer]
    if optimizer == "adam":
        return adam_by_rows(first, problem.rows, problem.Y, orders, steps, rate)
    training = Training(first, problem.rows, problem.Y, SGD, rate)
    losses = [training.step(batch) for batch in islice(orders, steps)]
    return losses, training.parameters()
