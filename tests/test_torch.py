"""PyTorch as an independent second implementation of training: see benchmarks/agreement.py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nerwin.engine import kernels
from nerwin.engine.optim import Adam
from nerwin.gold import read_gold
from nerwin.options import DataOptions
from nerwin.resources import shipped
from nerwin.text.vectors import load_vectors

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from agreement import TOLERANCES, agreement  # noqa: E402  # it imports PyTorch
from problem import lecture  # noqa: E402  # as above

STEPS = 250  # more than one epoch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["float32", "float64"])
def problem(request: pytest.FixtureRequest):
    gold = read_gold(str(shipped("data/demo/train.conll")), DataOptions())
    vectors = load_vectors(str(shipped("data/demo/vectors.txt")))
    return lecture(gold, vectors, (30,), np.dtype(request.param).type)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_is_that_of_pytorch(problem, optimizer: str, compiled: bool) -> None:
    if compiled and not kernels.compiled():
        pytest.skip("built without a C compiler")
    found = agreement(problem, optimizer, STEPS, compiled=compiled)
    tolerance = TOLERANCES[str(problem.Y.dtype)]
    assert found.losses < tolerance
    assert found.parameters < tolerance


def test_a_wrong_optimizer_does_not_pass(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """One count of steps for the whole table is another Adam, and would be noticed."""
    step = Adam._step

    def counts_all(self, g, rate, theta, m, v, t) -> None:
        self.steps = max(getattr(self, "steps", 0), int(t.max()))
        t[:] = self.steps
        step(self, g, rate, theta, m, v, t)

    monkeypatch.setattr(Adam, "_step", counts_all)
    assert agreement(problem, "adam", 50).parameters > 1e-3
