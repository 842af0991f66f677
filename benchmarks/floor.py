"""How far a step of training is from the arithmetic that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from material import Material
from measuring import PLAIN, Measure, loops, ours
from problem import batches, lecture
from threadpoolctl import threadpool_limits

from nerwin.batches import Batches
from nerwin.classifier import Dropout, parameter_nodes
from nerwin.descent import Descent
from nerwin.engine.graph import backward
from nerwin.manifest import read_manifest
from nerwin.modeldir import load_model
from nerwin.options import TrainingOptions

SIZE = 256
RATE = 1e-4
NO_DROPOUT: dict[str, Any] = dict.fromkeys(
    ("dropout", "dropout_dense", "dropout_hidden", "word_dropout", "document_dropout"), 0.0
)


def measures(material: Material) -> list[Measure]:
    """A step over its three bare products, and backward over forward."""
    steps = 20 if material.quick else 200
    return _products_and_steps(material, steps) + _forward_and_backward(material, steps)


def _products_and_steps(material: Material, steps: int) -> list[Measure]:
    options = read_manifest(material.rich).config.training
    with_dropout = _descent(material, replace(options, batch_size=SIZE))
    without = _descent(material, replace(options, batch_size=SIZE, **NO_DROPOUT))
    n, m = with_dropout.model.parameters["W"].shape
    X, W, dZ = (np.ones(shape, np.float32) for shape in ((SIZE, n), (n, m), (SIZE, m)))
    inputs = next(batches(without)).inputs
    (k, _), (_, P), (_, K) = (part.shape for part in (inputs.rows, inputs.windows, inputs.dense))
    V, dA, D = (np.ones(shape, np.float32) for shape in ((k, (n - K) // P), (P, k, m), (SIZE, K)))
    by_place, W_D = W[: n - K].reshape(P, -1, m), W[n - K :]

    def products() -> None:
        X @ W
        X.T @ dZ
        dZ @ W.T

    def products_of_words() -> None:  # those that ``ops.window_affine`` takes instead
        V @ by_place
        V.T @ dA
        dA @ by_place.transpose(0, 2, 1)
        D @ W_D
        D.T @ dZ

    work = {
        "the three products X W, Xᵀ dZ, dZ Wᵀ": products,
        f"the same for {k} words instead of {SIZE} windows": products_of_words,
        "a step without dropout": _step(without),
        "a step with dropout": _step(with_dropout),
        "making a batch and a step without dropout": _batch_and_step(without),
        "making a batch and a step with dropout": _batch_and_step(with_dropout),
    }
    task = f"{options.optimizer}, batch {SIZE}, {n} numbers in x, H = {m}"
    found = []
    for what, once in work.items():
        for who in ours() if "step" in what else [PLAIN]:
            name = f"{who}: {what}" if "step" in what else what
            timed = _timed(once, steps, compiled=who != PLAIN)
            found.append(Measure(task, name, "ms", timed))
    return found


def _descent(material: Material, options: TrainingOptions) -> Descent:
    model = load_model(material.rich, "last").as_trained()
    return Descent(model, Batches(model, material.gold, options), options, (0,))


def _dropout(options: TrainingOptions) -> Dropout | None:
    shares = options.dropout, options.dropout_dense, options.dropout_hidden
    return Dropout(np.random.default_rng(0), *shares) if any(shares) else None


def _step(descent: Descent) -> Callable[[], object]:
    made, dropout = cycle(list(islice(batches(descent), 20))), _dropout(descent.options)
    return lambda: descent.step(next(made), RATE, dropout)


def _batch_and_step(descent: Descent) -> Callable[[], object]:
    made, dropout = batches(descent), _dropout(descent.options)
    return lambda: descent.step(next(made), RATE, dropout)


def _timed(
    once: Callable[[], object], steps: int, *, compiled: bool = False
) -> Callable[[], float]:
    def milliseconds() -> float:
        with threadpool_limits(1, "blas"), loops(compiled):
            once()
            began = time.perf_counter()
            for _ in range(steps):
                once()
            return 1000 * (time.perf_counter() - began) / steps

    return milliseconds


def _forward_and_backward(material: Material, steps: int) -> list[Measure]:
    found = []
    for depth in (1, 2, 3):
        problem = lecture(material.gold, material.words, (300,) * depth)
        batch = next(batches(problem.descent("sgd", SIZE)))
        nodes = parameter_nodes(problem.model.parameters, problem.model.options)
        forward = partial(problem.model.loss, nodes, batch.inputs, batch.labels)
        task = f"the lecture's model, batch {SIZE}, H = 300, {depth} hidden"
        for who, once in (("forward", forward), ("backward", partial(backward, forward()))):
            found.append(Measure(task, who, "ms", _timed(once, steps)))
    return found
