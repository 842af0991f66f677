"""Training a model: batches, epochs, early stopping, checkpoints, and going on after a stop.

A run's folder gets, beside the model (see ``modeldir``):

    metrics.jsonl   first {"config", "provenance"}, then one object an epoch:
                    epoch, loss (mean over the windows), learning_rate (at its end), seconds,
                    tokens_per_second, dev (precision, recall, f1, support, accuracy, types);
                    in a first pass, fold too, and no dev
    metrics.json    at the end: epochs, best_epoch, seconds, dev and test (of the best epoch), and
                    dev_as_trained and test_as_trained: before anything was tuned on dev
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nerwin import modeldir, tuning
from nerwin.batches import Batches
from nerwin.classifier import Parameters
from nerwin.descent import Descent
from nerwin.engine.blas import one_thread
from nerwin.engine.optim import State
from nerwin.engine.types import Array, Indices
from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError, NerwinError
from nerwin.evaluation import Scores, evaluate, measure, scores_of
from nerwin.folds import answers, folds_of
from nerwin.gold import Gold
from nerwin.initial import fresh_parameters
from nerwin.manifest import MANIFEST, Manifest, identities, read_manifest, write_manifest
from nerwin.model import Model
from nerwin.options import Config
from nerwin.sources import (
    count_transitions,
    load_teachers,
    prepare,
    read_splits,
    with_absolute_paths,
)
from nerwin.storage import locking, unlock, write_file

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Epoch:
    """What one time through the training data came to.

    fold  the number of the model of the first pass that it belongs to, from 1; 0 for the model
    best  no epoch before had its dev F1
    """

    fold: int
    number: int
    loss: float
    learning_rate: float
    seconds: float
    tokens_per_second: float
    dev: Scores | None
    best: bool

    def as_dict(self) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        return {
            **({"fold": self.fold} if self.fold else {}),
            "epoch": self.number,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.tokens_per_second),
            "dev": self.dev.as_dict() if self.dev else None,
        }


class Run:
    """One training run and its folder; ``Run.start`` begins one, ``Run.resume`` goes on with one.

    Iterate over ``epochs()`` to train; then call ``finish()``.
    """

    def __init__(
        self, folder: Path, model: Model, manifest: Manifest, splits: dict[str, Gold]
    ) -> None:
        self.folder = folder
        self.model = model
        self.manifest = manifest
        self.splits = splits
        self._folds: Indices = np.zeros(len(splits["train"].starts) - 1, np.intp)
        if folds := self.config.features.folds:
            rng = np.random.default_rng((self.config.training.seed, folds))
            self._folds = folds_of(splits["train"], folds, rng)
        self._first: list[Parameters] = []  # the finished models of the first pass
        self._Y: Array | None = None
        self._descent: Descent | None = None
        self._optimizer_state: dict[str, State] = {}

    @classmethod
    def start(cls, config: Config, folder: Path, *, overwrite: bool = False) -> Run:
        """Read data and vectors, make a fresh model and the folder, which must not exist, unless
        it is a run's and may be overwritten.

        Raises ConfigError for options that do not fit, DataError for files that cannot be used,
        NerwinError if another process trains a run there.
        """
        _check_place(folder, overwrite)
        config = with_absolute_paths(config)
        run = cls(folder, *prepare(config))
        folder.mkdir(parents=True, exist_ok=True)
        with locking(folder):
            _check_place(folder, overwrite)  # as it is now: to read the data took seconds
            modeldir.empty(folder)
            modeldir.create(folder, run.model, run.manifest)
            run._keep_vectors()
        return run

    def discard(self) -> None:
        """Remove the folder of a run of which no epoch was finished; there is nothing in it."""
        if not (self.folder / MANIFEST).exists():
            modeldir.remove(self.folder)
        unlock(self.folder)

    @classmethod
    def resume(cls, folder: Path, epochs: int | None = None) -> Run:
        """Go on with a run after its last finished epoch, exactly as if it had not stopped.

        epochs  the number of epochs in all, if it is to be another than before
        Raises ConfigError if the folder is not a run's, DataError for damaged files, NerwinError
        if the data is not what it was, or another process trains the run.
        """
        with locking(folder):
            return cls._resume(folder, epochs)

    @classmethod
    def _resume(cls, folder: Path, epochs: int | None) -> Run:
        manifest = read_manifest(folder)
        config = manifest.config
        splits = read_splits(config)
        for name, gold in splits.items():
            if gold.provenance() != manifest.provenance.get(name):
                raise NerwinError(f"{gold.path} is not as it was when the run began")
        found = identities(config.training.teachers)
        for teacher, before in manifest.provenance.get("teachers", {}).items():
            if found[teacher] != before:
                raise NerwinError(f"{teacher} is not as it was when the run began")
        if epochs is not None:
            manifest.config = replace(config, training=replace(config.training, epochs=epochs))
            write_manifest(folder, manifest)
        run = cls(folder, modeldir.load_model(folder, "last").as_trained(), manifest, splits)
        run._first = modeldir.load_first(folder, manifest)
        run._optimizer_state = modeldir.load_optimizer_state(folder, manifest)
        run._keep_vectors()
        return run

    def _keep_vectors(self) -> None:
        held = {
            word
            for name in ("dev", "test")
            if name in self.splits
            for word in self.splits[name].words
        }
        modeldir.keep_vectors(self.folder, self.manifest, self.model, sorted(held))

    @property
    def config(self) -> Config:
        """The run's options."""
        return self.manifest.config

    @property
    def fold(self) -> int:
        """Which model of the first pass is trained, or comes next, from 1, each without a fold but
        the last one; 0: the model itself.
        """
        trained = len(self.manifest.folds)
        return trained + 1 if trained < self.config.features.first_models else 0

    @property
    def last_epoch(self) -> int:
        """The last finished epoch of what is trained, 0 before the first."""
        last = self.manifest.checkpoints.get(self.manifest.last)
        return last["epoch"] if last else 0

    @property
    def best_epoch(self) -> int:
        """The epoch with the best dev F1; the last one if there is no dev set."""
        best = self.manifest.checkpoints.get(self.manifest.best)
        return best["epoch"] if best else 0

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or dev F1 has not risen for long enough."""
        options = self.config.training
        waited = self.last_epoch - self.best_epoch
        enough = self.last_epoch >= options.epochs or 0 < options.patience <= waited
        return not self.fold and enough

    @property
    def windows(self) -> tuple[int, int]:
        """How many windows are trained, and how many there are in all folds and epochs."""
        lengths = np.diff(self.splits["train"].starts)
        n, epochs = int(lengths.sum()), self.config.training.epochs
        models = self.config.features.first_models
        sizes = [n - int(lengths[self._folds == fold].sum()) for fold in range(models)] + [n]
        trained = len(self.manifest.folds)
        return (
            epochs * sum(sizes[:trained]) + self.last_epoch * sizes[trained],
            epochs * sum(sizes),
        )

    def epochs(self, progress: Progress = lambda windows: None) -> Iterator[Epoch]:
        """Train epoch after epoch, each saved before it is given, until the run is done.

        The models of a first pass come before the model itself. ``progress`` is told the number
        of windows after each batch.
        """
        self._open_metrics()
        while not self.done:
            if self._descent is None:
                self._descent = self._begin()
            yield self._epoch(self._descent, progress)

    def finish(self) -> dict[str, Any]:
        """Tune the best epoch on dev, measure it on dev and test before and after, and write
        metrics.json; its contents.
        """
        if self.done:
            self._descent = None  # it takes memory
        trained = self.model
        if self.best_epoch != self.last_epoch:
            trained = modeldir.load_model(self.folder).as_trained()
            trained.untouched = self.model.untouched
        model, dev = trained, self.splits.get("dev")
        if dev:
            model = tuning.fit(trained, dev, scores_of(trained, dev))
            self.manifest = modeldir.save_tuning(self.folder, self.manifest, model)
        metrics: dict[str, Any] = {
            "epochs": self.last_epoch,
            "best_epoch": self.best_epoch,
            "seconds": round(sum(line["seconds"] for line in self._metrics()), 3),
        }
        for name in ("dev", "test"):
            gold = self.splits.get(name)
            metrics[name] = metrics[f"{name}_as_trained"] = None
            if gold:
                S = scores_of(trained, gold)
                metrics[name] = measure(model, gold, S).as_dict()
                metrics[f"{name}_as_trained"] = measure(trained, gold, S).as_dict()
        if dev and self.config.features.documents:
            alone = evaluate(model, dev.alone())
            metrics["dev_sentences_alone"] = alone.as_dict()
        write_file(self.folder / "metrics.json", json.dumps(metrics, indent=2))
        unlock(self.folder)
        return metrics

    def _begin(self) -> Descent:
        """Begin to train, or go on with, a model of the first pass or the model itself."""
        config, train, fold = self.config, self.splits["train"], self.fold
        model, seen = self.model, None
        if fold:
            model = replace(model, first=None)
        elif self._first:
            *without_a_fold, of_all = self._first
            with one_thread():
                seen = answers(replace(model, first=None), without_a_fold, train, self._folds)
            model.first = of_all
        batches = Batches(model, train, config.training, seen, self._taught())
        if fold:
            batches = batches.of(np.flatnonzero(self._folds != fold - 1))  # the last: all
        seed = (config.training.seed, fold) if fold else (config.training.seed,)
        if self.manifest.folds and not self.last_epoch:
            rng = np.random.default_rng((config.training.seed, len(self.manifest.folds)))
            model.parameters = fresh_parameters(model, config.features, batches.dense.width, rng)
            count_transitions(model, train)
        descent = Descent(model, batches, config.training, seed)
        descent.optimizer.state = self._optimizer_state
        self._optimizer_state = {}
        return descent

    def _taught(self) -> Array | None:
        """What is to be learned where there are teachers: their mean answer, mixed with gold."""
        options, train = self.config.training, self.splits["train"]
        if not options.teachers or self._Y is not None:
            return self._Y
        teachers = Ensemble(load_teachers(options))
        with one_thread():
            Y = teachers.probabilities(train.words, train.starts, train.documents, train.own)
        Y *= options.teaching
        labels = self.model.labels.encode(train.spans, train.starts)
        Y[np.arange(len(Y)), labels] += 1 - options.teaching
        self._Y = Y
        return Y

    def _epoch(self, descent: Descent, progress: Progress) -> Epoch:
        began = time.perf_counter()
        number, fold = self.last_epoch + 1, self.fold
        loss, rate = descent.epoch(number, progress)
        seconds = time.perf_counter() - began
        dev = self.splits.get("dev")
        scores = evaluate(self.model, dev) if dev and not fold else None
        best = self._best_f1() is None or scores is None or scores.overall.f1 > self._best_f1()
        speed = len(descent.batches) / seconds
        epoch = Epoch(fold, number, loss, rate, seconds, speed, scores, best)
        self._save(epoch, descent)
        if fold and number >= self.config.training.epochs:
            self.manifest = modeldir.close_fold(self.folder, self.manifest)
            self._first.append(descent.model.parameters)
            self._descent = None
        return epoch

    def _best_f1(self) -> Any:
        best = self.manifest.checkpoints.get(self.manifest.best)
        return best["dev_f1"] if best else None

    def _save(self, epoch: Epoch, descent: Descent) -> None:
        with self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(epoch.as_dict()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.manifest = modeldir.save_checkpoint(
            self.folder,
            self.manifest,
            epoch=epoch.number,
            dev_f1=epoch.dev.overall.f1 if epoch.dev else None,
            parameters=descent.model.parameters,
            optimizer=descent.optimizer.state,
            best=epoch.best,
        )

    @property
    def _metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl for the epochs that are saved."""
        if not self._metrics_path.exists():
            return []
        lines = self._metrics_path.read_text(encoding="utf-8").split("\n")[1:]
        epochs = []
        trained = sum(fold["epoch"] for fold in self.manifest.folds) + self.last_epoch
        for line in lines[:trained]:
            with contextlib.suppress(ValueError):  # cut off by a power cut
                epochs.append(json.loads(line))
        return epochs

    def _open_metrics(self) -> None:
        """Write the first line; after a stop, leave out what an unsaved epoch left."""
        first = {"config": self.config.as_dict(), "provenance": self.manifest.provenance}
        lines = [first, *self._metrics()]
        write_file(self._metrics_path, "".join(json.dumps(x) + "\n" for x in lines))


def _check_place(folder: Path, overwrite: bool) -> None:
    if overwrite:
        modeldir.check_replaceable(folder)
    elif not modeldir.is_free(folder):
        raise ConfigError(f"{folder}: exists already; give another --output, or say --overwrite")
