"""One task for all who train: the lecture's model, with the same first values and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from nerwin.batches import Batch, Batches, shuffled
from nerwin.config import find_config, load_config
from nerwin.descent import Descent
from nerwin.engine.types import Array, Indices
from nerwin.gold import Gold
from nerwin.initial import new_model
from nerwin.model import Model
from nerwin.options import TrainingOptions
from nerwin.text.tokens import runs
from nerwin.text.vectors import WordVectors

RATES = {"sgd": 1.0, "adam": 0.001}


@dataclass(frozen=True)
class Problem:
    """An untrained model and its training data, for nerwin and as plain arrays for others.

    rows  (N, 2C+1) the rows of E in the window around each token
    Y     (N, T) one where the token is of the type
    """

    model: Model
    gold: Gold
    rows: Indices
    Y: Array

    def parameters(self) -> dict[str, Array]:
        """E, W, b and U as they are before training, to be changed."""
        return {name: value.copy() for name, value in self.model.parameters.items()}

    def descent(self, optimizer: str, size: int) -> Descent:
        """nerwin, about to train a fresh copy of the model."""
        options = TrainingOptions(batch_size=size, optimizer=optimizer)
        model = replace(self.model, parameters=self.parameters())
        return Descent(model, Batches(model, self.gold, options), options, (0,))

    def orders(self, size: int) -> Iterator[Indices]:
        """The tokens of each batch, without end: every sentence once an epoch, shuffled."""
        starts = self.gold.starts
        for epoch in count():
            sentences = shuffled(np.arange(len(starts) - 1), np.random.default_rng(epoch))
            order, _ = runs(starts, sentences)
            yield from np.split(order, range(size, len(order), size))


def batches(descent: Descent) -> Iterator[Batch]:
    """The batches that ``Problem.orders`` names, without end, as nerwin makes them."""
    for epoch in count():
        yield from descent.batches.epoch(np.random.default_rng(epoch))


def lecture(
    gold: Gold, vectors: WordVectors, hidden: tuple[int, ...], dtype: type = np.float32
) -> Problem:
    """The lecture's model of so many hidden units, on a corpus."""
    config = load_config(find_config("lecture"), [("model", "hidden", hidden)])
    rng = np.random.default_rng(0)
    model = new_model(config, gold.spans.types, gold.words, vectors.words, vectors.matrix, rng)
    model.parameters = {name: value.astype(dtype) for name, value in model.parameters.items()}
    windows = model.windows(gold.words, gold.starts)
    rows = windows.rows[windows[:], 0]
    labels = model.labels.encode(gold.spans, gold.starts)
    return Problem(model, gold, rows, np.eye(len(model.labels), dtype=dtype)[labels][:, 1:])
