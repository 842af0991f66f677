"""Gradient descent on one model: steps, batch after batch, and the epochs they make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerwin.batches import Batch, Batches
from nerwin.classifier import Dropout, parameter_nodes
from nerwin.engine.blas import shared
from nerwin.engine.graph import backward
from nerwin.engine.optim import SGD, AdaGrad, Adam, Optimizer, clipped, linear_decay
from nerwin.errors import DivergedError
from nerwin.model import Model
from nerwin.options import TrainingOptions
from nerwin.processes import usable_cores


class Descent:
    """A model on its way down its loss; its parameters are changed in place.

    seed  of everything random, together with the number of the epoch: so an epoch is the same
          whether the ones before it were trained just now or in another process
    """

    def __init__(
        self, model: Model, batches: Batches, options: TrainingOptions, seed: tuple[int, ...]
    ) -> None:
        self.model = model
        self.batches = batches
        self.options = options
        self.seed = seed
        self.optimizer = _make_optimizer(options)
        self._nodes = parameter_nodes(model.parameters, model.options)

    def epoch(
        self, number: int, progress: Callable[[int], None], threads: int = 1
    ) -> tuple[float, float]:
        """Train one epoch; its mean loss, and the learning rate at its end.

        The same model, data and seed give the same bits again, on one machine, however many
        threads share the products, see ``blas.shared``. ``progress`` is told the number of windows
        after each batch. Raises DivergedError if the numbers run away.
        """
        options, n = self.options, len(self.batches)
        # More than there are cores, or parts of a small product, would have nothing to do.
        threads = min(threads, usable_cores(), 2 * self.model.options.window + 1)
        rng = np.random.default_rng((self.seed[0], number, *self.seed[1:]))
        dropout = None
        shares = options.dropout, options.dropout_dense, options.dropout_hidden
        if any(shares):
            dropout = Dropout(rng, *shares)
        total, done = 0.0, 0
        rate = options.learning_rate
        with shared(threads), np.errstate(over="ignore", invalid="ignore"):
            for batch in self.batches.epoch(rng):
                if options.schedule == "linear":
                    share = ((number - 1) * n + done) / (options.epochs * n)
                    rate = options.learning_rate * linear_decay(share)
                size = len(batch.labels)
                total += size * self.step(batch, rate, dropout)
                done += size
                progress(size)
            mean = total / n
            sums = [value.sum() for value in self.model.parameters.values()]
        if not np.isfinite([mean, *sums]).all():
            raise DivergedError(
                f"epoch {number}: training diverged (loss {mean:g}); try a smaller --learning-rate"
            )
        return mean, rate

    def step(self, batch: Batch, rate: float, dropout: Dropout | None = None) -> float:
        """One batch: forward, backward, and a step of every parameter. Returns the batch's loss."""
        model, nodes = self.model, self._nodes
        inputs, labels, starts = batch.inputs, batch.labels, batch.starts
        J = model.loss(nodes, inputs, labels, starts, dropout, batch.Y, fused=True)
        made = backward(J)
        gradients = {name: made[node] for name, node in nodes.items() if node in made}
        if self.options.clip:
            gradients = clipped(gradients, self.options.clip)
        for name, gradient in gradients.items():
            own = rate * self.options.vectors_rate if name == "E" else rate
            self.optimizer.update(name, model.parameters[name], gradient, own)
        return float(J.value)


def _make_optimizer(options: TrainingOptions) -> Optimizer:
    if options.optimizer == "adam":
        return Adam(options.l2)
    if options.optimizer == "adagrad":
        return AdaGrad(options.l2)
    return SGD(options.momentum, options.l2)
