"""The models of a first pass, see ``folds``: trained one after the other, or several at once, each
by a process of its own. They come out the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from nerwin import modeldir
from nerwin.batches import Batches
from nerwin.descent import Descent
from nerwin.engine.optim import State
from nerwin.engine.types import Array, Indices
from nerwin.errors import DivergedError
from nerwin.gold import Gold
from nerwin.initial import fresh_parameters
from nerwin.manifest import Manifest, checkpoint_name
from nerwin.metrics import Epoch
from nerwin.model import Model
from nerwin.processes import answer, ask, usable_cores, workers
from nerwin.sources import count_transitions


@dataclass(frozen=True)
class Trained:
    """An epoch of one of the models, its checkpoint, which is written, and the windows in it."""

    epoch: Epoch
    name: str
    checkpoint: dict[str, Any]
    windows: int


class FirstPass:
    """The models of a run's first pass that are not finished.

    model     of the run, of whose kind they are
    fold_of   (S,) each sentence's; model i is trained without fold i − 1, the last one with all
    Y         what teachers say, if there are any, see ``Batches``

    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        model: Model,
        train: Gold,
        fold_of: Indices,
        Y: Array | None,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._model = replace(model, first=None)
        self._train = train
        self._fold_of = fold_of
        self._batches = Batches(self._model, train, manifest.config.training, None, Y)
        self._number = 0  # of the model that is being trained here
        self._descent: Descent | None = None
        self._threads = 1

    def epochs(self, jobs: int, progress: Callable[[int], None]) -> Generator[Trained]:
        """All epochs that are missing, of as many models at once as there are jobs, or of one by as
        many threads.

        progress  is told the number of windows after each batch, or, with several jobs, epoch
        """
        waiting = iter(self._manifest.missing)
        cores, jobs = min(jobs, usable_cores()), min(jobs, len(self._manifest.missing))
        self._threads = max(1, cores // jobs)
        # Each job takes the next model that waits when it is done with one.
        tasks = [chain.from_iterable(map(self._missing, waiting)) for _ in range(jobs)]
        if jobs == 1:
            for task in tasks[0]:
                yield self(*task, progress)
            return
        with workers(self, jobs) as pipes:
            tasks_of = dict(zip(pipes, tasks, strict=True))
            working: set[Connection] = set()

            def go_on(pipe: Connection) -> None:
                if task := next(tasks_of[pipe], None):
                    ask(pipe, *task)
                    working.add(pipe)

            for pipe in pipes:
                go_on(pipe)
            while working:
                for ready in wait(working):
                    assert isinstance(ready, Connection)
                    working.remove(ready)
                    trained = answer(ready)
                    go_on(ready)
                    progress(trained.windows)
                    yield trained

    def _missing(self, number: int) -> Iterator[tuple[int, int]]:
        """The epochs that a model needs."""
        name = self._manifest.begun.get(number)
        done = self._manifest.checkpoints[name]["epoch"] if name else 0
        last = self._manifest.config.training.epochs
        return ((number, epoch) for epoch in range(done + 1, last + 1))

    def __call__(
        self, number: int, epoch: int, progress: Callable[[int], None] = lambda windows: None
    ) -> Trained:
        """Train a model for an epoch, the one after its last. Raises DivergedError."""
        if self._descent is None or number != self._number:
            self._number, self._descent = number, self._begin(number)
        descent = self._descent
        began = time.perf_counter()
        try:
            loss, rate = descent.epoch(epoch, progress, self._threads)
        except DivergedError as error:
            raise DivergedError(f"model {number} of the first pass, {error}") from error
        seconds = time.perf_counter() - began
        windows = len(descent.batches)
        name = checkpoint_name(number, epoch)
        checkpoint = modeldir.write_checkpoint(
            self._folder,
            name,
            epoch=epoch,
            dev_f1=None,
            parameters=descent.model.parameters,
            optimizer=descent.optimizer.state,
        )
        told = Epoch(number, epoch, loss, rate, seconds, windows / seconds)
        return Trained(told, name, checkpoint, windows)

    def _begin(self, number: int) -> Descent:
        """Begin to train a model, or go on with it."""
        config = self._manifest.config
        model = replace(self._model)
        state: dict[str, State] = {}
        if name := self._manifest.begun.get(number):
            model.parameters, state = modeldir.load_checkpoint(self._folder, self._manifest, name)
        else:
            rng = np.random.default_rng((config.training.seed, number - 1))
            width = self._batches.dense.width
            model.parameters = fresh_parameters(model, config.features, width, rng)
            count_transitions(model, self._train)
        batches = self._batches.of(np.flatnonzero(self._fold_of != number - 1))
        descent = Descent(model, batches, config.training, (config.training.seed, number))
        descent.optimizer.state = state
        return descent
