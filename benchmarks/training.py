"""How many windows a second training gets through: nerwin, PyTorch and a loop, on one problem."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from material import Material
from measuring import PLAIN, Measure, installed, loops, ours
from peers import naive
from problem import RATES, Problem, batches, lecture

from nerwin.engine.blas import one_thread, shared

SIZES = {"sgd": (64, 256, 1024), "adam": (64, 256)}
HIDDEN = (100, 300)
WARM_UP = 5  # steps


def measures(material: Material) -> list[Measure]:
    """SGD and Adam, small and large batches, one thread and two."""
    windows = 2048 if material.quick else 50_000
    found = []
    for hidden in HIDDEN:
        problem = lecture(material.gold, material.words, (hidden,))
        for optimizer, sizes in SIZES.items():
            for size in sizes:
                steps = max(10, windows // size)
                contestants = _contestants(problem, optimizer, size)
                for threads in (1, 2):
                    task = f"{optimizer}, H = {hidden}, batch {size}, {threads} thread"
                    task += "s" if threads > 1 else ""
                    for who, steps_of in contestants.items():
                        if who == PLAIN and threads > 1:
                            continue  # it has one thread
                        inside = partial(_torch_on, threads)
                        if "nerwin" in who:
                            inside = partial(_nerwin_on, threads, who != PLAIN)
                        rate = _timed(steps_of, steps, inside)
                        found.append(Measure(task, who, "windows/s", rate))
        one_by_one = _timed(_naive(problem), windows // 20, one_thread)
        task = f"sgd, H = {hidden}, one example at a time, 1 thread"
        found.append(Measure(task, "NumPy", "windows/s", one_by_one))
    return sorted(found, key=lambda measure: measure.task.endswith("threads"))


Steps = Iterator[int]  # each item is a step, done when it is asked for: the windows in it


def _contestants(problem: Problem, optimizer: str, size: int) -> dict[str, Steps]:
    found = {who: _nerwin(problem, optimizer, size) for who in ours()}
    if installed("torch"):
        from peers.torch_training import ADAM, SGD, SPARSE_ADAM

        kinds = {
            "sgd": {"PyTorch, sparse gradient": SGD},
            "adam": {"PyTorch, SparseAdam and Adam": SPARSE_ADAM, "PyTorch, Adam": ADAM},
        }
        for who, kind in kinds[optimizer].items():
            found[who] = _torch(problem, kind, RATES[optimizer], size)
    return found


def _nerwin(problem: Problem, optimizer: str, size: int) -> Steps:
    descent = problem.descent(optimizer, size)
    for batch in batches(descent):
        descent.step(batch, RATES[optimizer])
        yield len(batch.labels)


def _torch(problem: Problem, kind: str, rate: float, size: int) -> Steps:
    from peers.torch_training import Training

    training = Training(problem.parameters(), problem.rows, problem.Y, kind, rate)
    for batch in problem.orders(size):
        training.step(batch)
        yield len(batch)


def _naive(problem: Problem) -> Steps:
    parameters = problem.parameters()
    for batch in problem.orders(10):
        naive.train(parameters, problem.rows, problem.Y, batch, 0.01)
        yield len(batch)


def _timed(
    steps_of: Steps, steps: int, inside: Callable[[], AbstractContextManager[object]] = nullcontext
) -> Callable[[], float]:
    def rate() -> float:
        with inside(), np.errstate(over="ignore"):
            sum(islice(steps_of, WARM_UP))
            began = time.perf_counter()
            windows = sum(islice(steps_of, steps))
            return windows / (time.perf_counter() - began)

    return rate


@contextmanager
def _nerwin_on(threads: int, compiled: bool) -> Iterator[None]:
    with loops(compiled), shared(threads):
        yield


@contextmanager
def _torch_on(threads: int) -> Iterator[None]:
    torch: Any = sys.modules["torch"]
    torch.set_num_threads(threads)
    yield
