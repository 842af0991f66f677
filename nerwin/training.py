"""Training a model: epochs, early stopping, checkpoints, and going on after a stop.

A run's folder gets, beside the model (see ``modeldir``), metrics.jsonl (see ``metrics``) and

    metrics.json    at the end: epochs, best_epoch, seconds, dev and test (of the best epoch), and
                    dev_as_trained and test_as_trained: before anything was tuned on dev
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nerwin import metrics, modeldir, runfiles, tuning
from nerwin.batches import Batches
from nerwin.descent import Descent
from nerwin.engine.blas import one_thread, teams
from nerwin.engine.optim import State
from nerwin.engine.types import Array, Indices
from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError, NerwinError
from nerwin.evaluation import evaluate, measure, scores_of
from nerwin.firstpass import FirstPass
from nerwin.folds import answers, folds_of
from nerwin.gold import Gold
from nerwin.initial import fresh_parameters
from nerwin.manifest import (
    MANIFEST,
    Manifest,
    checkpoint_name,
    identities,
    read_manifest,
    write_manifest,
)
from nerwin.metrics import Epoch
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

log = logging.getLogger(__name__)

Progress = Callable[[int], None]


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
        if str(folder.resolve()) in map(os.path.realpath, config.training.teachers):
            raise ConfigError(f"{folder}: one of the teachers; give another --output")
        run = cls(folder, *prepare(config))
        folder.mkdir(parents=True, exist_ok=True)
        with locking(folder):
            _check_place(folder, overwrite)  # as it is now: to read the data took seconds
            runfiles.set_aside(folder)
            try:
                modeldir.create(folder, run.model, run.manifest)
                run._keep_vectors()
            except BaseException:
                run.discard()
                raise
        return run

    def discard(self) -> bool:
        """Remove a run of which no epoch was finished; there is nothing in it. Whether the one that
        it was to replace is there again.
        """
        unfinished = not (self.folder / MANIFEST).exists()
        if unfinished:
            runfiles.put_back(self.folder)
        unlock(self.folder)
        return unfinished and (self.folder / MANIFEST).exists()

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
        run = cls(folder, modeldir.load_model(folder, "last").as_trained(), manifest, splits)
        if run.last_epoch:
            _, run._optimizer_state = modeldir.load_checkpoint(folder, manifest, manifest.last)
        if epochs is not None:
            write_manifest(folder, manifest)
        runfiles.remove_unnamed(folder, manifest)
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
    def last_epoch(self) -> int:
        """The last finished epoch of the model, 0 before the first and in a first pass."""
        return self.manifest.saved.get(0, 0)

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
        return not self.manifest.missing and enough

    @property
    def windows(self) -> tuple[int, int]:
        """How many windows are trained, and how many there are in all models and epochs."""
        lengths = np.diff(self.splits["train"].starts)
        n, epochs = int(lengths.sum()), self.config.training.epochs
        sizes = {0: n} | {
            number: n - int(lengths[self._folds == number - 1].sum())
            for number in range(1, self.config.features.first_models + 1)
        }
        saved, missing = self.manifest.saved, (0, *self.manifest.missing)
        in_all = saved | {number: max(epochs, saved.get(number, 0)) for number in missing}
        done, total = (sum(sizes[number] * of[number] for number in of) for of in (saved, in_all))
        return done, total

    def epochs(self, progress: Progress = lambda windows: None, jobs: int = 1) -> Generator[Epoch]:
        """Train epoch after epoch, each saved before it is given, until the run is done.

        The models of a first pass come before the model itself, up to ``jobs`` of them at once,
        with their epochs in any order then; one model alone is trained by as many threads.
        ``progress`` is told the number of windows after each batch, of several models after each
        epoch. Raises ConfigError if there are no jobs.
        """
        if jobs < 1:
            raise ConfigError(f"jobs: at least 1, not {jobs}")
        if jobs > 1 and not teams():
            log.warning(
                "one thread trains a model; several take compiled loops, for which nerwin must be "
                "installed where there is a C compiler, and the OpenBLAS of NumPy's wheels"
            )
        about = {"config": self.config.as_dict(), "provenance": self.manifest.provenance}
        metrics.begin(self.folder, about, self.manifest.saved)
        if self.manifest.missing:
            yield from self._first_pass(progress, jobs)
        while not self.done:
            if self._descent is None:
                self._descent = self._begin()
            yield self._epoch(self._descent, progress, jobs)

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
        lines = metrics.read(self.folder, self.manifest.saved)
        result: dict[str, Any] = {
            "epochs": self.last_epoch,
            "best_epoch": self.best_epoch,
            "seconds": round(sum(line["seconds"] for line in lines), 3),
        }
        for name in ("dev", "test"):
            gold = self.splits.get(name)
            result[name] = result[f"{name}_as_trained"] = None
            if gold:
                S = scores_of(trained, gold)
                result[name] = measure(model, gold, S).as_dict()
                result[f"{name}_as_trained"] = measure(trained, gold, S).as_dict()
        if dev and self.config.features.documents:
            alone = evaluate(model, dev.alone())
            result["dev_sentences_alone"] = alone.as_dict()
        write_file(self.folder / "metrics.json", json.dumps(result, indent=2))
        unlock(self.folder)
        return result

    def _first_pass(self, progress: Progress, jobs: int) -> Generator[Epoch]:
        for name in self.manifest.begun.values():
            self._save_first(name, self.manifest.checkpoints[name])  # there may be enough by now
        train, Y = self.splits["train"], self._taught()
        first = FirstPass(self.folder, self.manifest, self.model, train, self._folds, Y)
        with contextlib.closing(first.epochs(jobs, progress)) as epochs:
            for trained in epochs:
                metrics.add(self.folder, trained.epoch)
                self._save_first(trained.name, trained.checkpoint)
                yield trained.epoch

    def _save_first(self, name: str, checkpoint: dict[str, Any]) -> None:
        finished = checkpoint["epoch"] >= self.config.training.epochs
        self.manifest = modeldir.add_of_first_pass(
            self.folder, self.manifest, name, checkpoint, finished=finished
        )

    def _begin(self) -> Descent:
        """Begin to train the model, or go on with it."""
        config, train, model, seen = self.config, self.splits["train"], self.model, None
        if self.manifest.folds:
            *without_a_fold, of_all = modeldir.load_first(self.folder, self.manifest)
            with one_thread():
                seen = answers(replace(model, first=None), without_a_fold, train, self._folds)
            model.first = of_all
        batches = Batches(model, train, config.training, seen, self._taught())
        if self.manifest.folds and not self.last_epoch:
            rng = np.random.default_rng((config.training.seed, len(self.manifest.folds)))
            model.parameters = fresh_parameters(model, config.features, batches.dense.width, rng)
            count_transitions(model, train)
        descent = Descent(model, batches, config.training, (config.training.seed,))
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

    def _epoch(self, descent: Descent, progress: Progress, threads: int) -> Epoch:
        began = time.perf_counter()
        number = self.last_epoch + 1
        loss, rate = descent.epoch(number, progress, threads)
        seconds = time.perf_counter() - began
        dev = self.splits.get("dev")
        scores = evaluate(self.model, dev) if dev else None
        best = self._best_f1() is None or scores is None or scores.overall.f1 > self._best_f1()
        speed = len(descent.batches) / seconds
        epoch = Epoch(0, number, loss, rate, seconds, speed, scores, best)
        metrics.add(self.folder, epoch)
        name = checkpoint_name(0, number)
        checkpoint = modeldir.write_checkpoint(
            self.folder,
            name,
            epoch=number,
            dev_f1=scores.overall.f1 if scores else None,
            parameters=self.model.parameters,
            optimizer=descent.optimizer.state,
        )
        self.manifest = modeldir.add_checkpoint(
            self.folder, self.manifest, name, checkpoint, best=best
        )
        return epoch

    def _best_f1(self) -> Any:
        best = self.manifest.checkpoints.get(self.manifest.best)
        return best["dev_f1"] if best else None


def _check_place(folder: Path, overwrite: bool) -> None:
    if overwrite:
        runfiles.check_replaceable(folder)
    elif not runfiles.is_free(folder):
        raise ConfigError(f"{folder}: exists already; give another --output, or say --overwrite")
