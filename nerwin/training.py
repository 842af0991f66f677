"""Training a model: batches, epochs, early stopping, checkpoints, and going on after a stop.

A run's folder gets, beside the model (see ``modeldir``):

    metrics.jsonl   first {"config", "provenance"}, then one object an epoch:
                    epoch, loss (mean over the windows), learning_rate (at its end), seconds,
                    tokens_per_second, dev (precision, recall, f1, support, accuracy, types)
    metrics.json    at the end: epochs, best_epoch, seconds, dev and test (of the best epoch)
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nerwin import modeldir
from nerwin.batches import Batch, Batches
from nerwin.config import Config, DataOptions, TrainingOptions
from nerwin.engine.graph import backward
from nerwin.engine.optim import SGD, AdaGrad, Adam, Optimizer, linear_decay
from nerwin.engine.types import Array
from nerwin.errors import ConfigError, NerwinError
from nerwin.evaluation import Scores, evaluate
from nerwin.gold import Gold, read_gold
from nerwin.initial import new_model
from nerwin.model import Dropout, Model, parameter_nodes
from nerwin.text.gazetteers import EntityList, read_lists, training_lists
from nerwin.text.vectors import load_vectors

Progress = Callable[[int, int], None]  # windows done, windows in all epochs


@dataclass(frozen=True)
class Epoch:
    """What one time through the training data came to. ``best``: no epoch before had its dev F1."""

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
        self, folder: Path, model: Model, manifest: modeldir.Manifest, splits: dict[str, Gold]
    ) -> None:
        self.folder = folder
        self.model = model
        self.manifest = manifest
        self.splits = splits
        config, train = self.config, splits["train"]
        self.optimizer = _make_optimizer(config.training)
        self.batches = Batches(model, train, config.training)

    @classmethod
    def start(cls, config: Config, folder: Path, *, overwrite: bool = False) -> Run:
        """Read data and vectors, make a fresh model and the folder, which must not exist, unless
        it is a run's and may be overwritten.

        Raises ConfigError for options that do not fit, DataError for files that cannot be used.
        """
        if overwrite:
            modeldir.check_replaceable(folder)
        elif not modeldir.is_free(folder):
            raise ConfigError(
                f"{folder}: exists already; give another --output, or say --overwrite"
            )
        config = _with_absolute_paths(config)
        splits = _read_splits(config)
        train = splits["train"]
        types = config.model.types or train.spans.types
        for name in types:
            if name not in train.spans.types:
                there = ", ".join(train.spans.types) or "none"
                raise ConfigError(
                    f"model.types: no entity of type {name!r} in {train.path} ({there})"
                )
        if not types:
            raise ConfigError(f"{train.path}: no entity in it, so there is nothing to learn")
        lists = _entity_lists(config, train)
        rng = np.random.default_rng(config.training.seed)
        words, vectors, sha256 = _words_and_vectors(config.data, train.words, rng)
        model = new_model(config, types, train.words, words, vectors, rng, lists)
        vocabulary = model.lexicon.vocabulary
        provenance = {
            **{name: gold.provenance() for name, gold in splits.items()},
            "vectors": {
                "source": config.data.vectors,
                "sha256": sha256,
                "words": len(vocabulary.words),
            },
            "coverage": vocabulary.coverage(train.words),
        }
        if overwrite and folder.exists():
            modeldir.remove(folder)
        manifest = modeldir.create(folder, model, config, provenance)
        return cls(folder, model, manifest, splits)

    def discard(self) -> None:
        """Remove the folder of a run of which no epoch was finished; there is nothing in it."""
        if not (self.folder / modeldir.MANIFEST).exists():
            modeldir.remove(self.folder)

    @classmethod
    def resume(cls, folder: Path, epochs: int | None = None) -> Run:
        """Go on with a run after its last finished epoch, exactly as if it had not stopped.

        epochs  the number of epochs in all, if it is to be another than before
        Raises ConfigError if the folder is not a run's, DataError for damaged files, NerwinError
        if the data is not what it was.
        """
        manifest = modeldir.read_manifest(folder)
        config = manifest.config
        splits = _read_splits(config)
        for name, gold in splits.items():
            if gold.provenance() != manifest.provenance.get(name):
                raise NerwinError(f"{gold.path} is not as it was when the run began")
        if epochs is not None:
            manifest.config = replace(config, training=replace(config.training, epochs=epochs))
            modeldir.write_manifest(folder, manifest)
        run = cls(folder, modeldir.load_model(folder, "last"), manifest, splits)
        run.optimizer.state = modeldir.load_optimizer_state(folder, manifest)
        return run

    @property
    def config(self) -> Config:
        """The run's options."""
        return self.manifest.config

    @property
    def last_epoch(self) -> int:
        """The last finished epoch, 0 before the first."""
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
        return self.last_epoch >= options.epochs or 0 < options.patience <= waited

    def epochs(self, progress: Progress = lambda done, all: None) -> Iterator[Epoch]:
        """Train epoch after epoch, each saved before it is given, until the run is done.

        The same options and data give the same bits again, on one machine: everything random in
        an epoch comes from the seed and its number, and BLAS runs on one thread, which is also
        the fastest for products of this size.
        """
        self._open_metrics()
        while not self.done:
            with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore"):
                epoch = self._epoch(self.last_epoch + 1, progress)
            yield epoch

    def finish(self) -> dict[str, Any]:
        """Measure the best epoch on dev and test, and write metrics.json; its contents."""
        model = (
            self.model if self.best_epoch == self.last_epoch else modeldir.load_model(self.folder)
        )
        metrics: dict[str, Any] = {
            "epochs": self.last_epoch,
            "best_epoch": self.best_epoch,
            "seconds": round(sum(line["seconds"] for line in self._metrics()), 3),
        }
        for name in ("dev", "test"):
            gold = self.splits.get(name)
            metrics[name] = evaluate(model, gold).as_dict() if gold else None
        if "dev" in self.splits and self.config.features.documents:
            alone = evaluate(model, self.splits["dev"].alone())
            metrics["dev_sentences_alone"] = alone.as_dict()
        modeldir.write_file(self.folder / "metrics.json", json.dumps(metrics, indent=2))
        return metrics

    def _epoch(self, number: int, progress: Progress) -> Epoch:
        began = time.perf_counter()
        options = self.config.training
        n = len(self.batches)
        rng = np.random.default_rng((options.seed, number))
        dropout = None
        if options.dropout or options.dropout_hidden:
            dropout = Dropout(rng, options.dropout, options.dropout_hidden)
        total, done = 0.0, 0
        rate = options.learning_rate
        for batch in self.batches.epoch(rng):
            if options.schedule == "linear":
                share = ((number - 1) * n + done) / (options.epochs * n)
                rate = options.learning_rate * linear_decay(share)
            size = len(batch.labels)
            total += size * self._step(batch, rate, dropout)
            done += size
            progress((number - 1) * n + done, options.epochs * n)
        seconds = time.perf_counter() - began
        mean = total / n
        finite = all(np.isfinite(value).all() for value in self.model.parameters.values())
        if not np.isfinite(mean) or not finite:
            raise NerwinError(
                f"epoch {number}: training diverged (loss {mean:g}); try a smaller --learning-rate"
            )
        dev = evaluate(self.model, self.splits["dev"]) if "dev" in self.splits else None
        best = self._best_f1() is None or dev is None or dev.overall.f1 > self._best_f1()
        epoch = Epoch(number, mean, rate, seconds, n / seconds, dev, best)
        self._save(epoch)
        return epoch

    def _step(self, batch: Batch, rate: float, dropout: Dropout | None) -> float:
        """One batch: forward, backward, and a step of every parameter. Returns the batch's loss."""
        model = self.model
        nodes = parameter_nodes(model.parameters, model.options)
        J = model.loss(nodes, batch.inputs, batch.labels, batch.starts, dropout)
        gradients = backward(J)
        for name, node in nodes.items():
            if node in gradients:
                own = rate * self.config.training.vectors_rate if name == "E" else rate
                self.optimizer.update(name, model.parameters[name], gradients[node], own)
        return float(J.value)

    def _best_f1(self) -> Any:
        best = self.manifest.checkpoints.get(self.manifest.best)
        return best["dev_f1"] if best else None

    def _save(self, epoch: Epoch) -> None:
        with self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(epoch.as_dict()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.manifest = modeldir.save_checkpoint(
            self.folder,
            self.manifest,
            epoch=epoch.number,
            dev_f1=epoch.dev.overall.f1 if epoch.dev else None,
            parameters=self.model.parameters,
            optimizer=self.optimizer.state,
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
        for line in lines[: self.last_epoch]:
            with contextlib.suppress(ValueError):  # cut off by a power cut
                epochs.append(json.loads(line))
        return epochs

    def _open_metrics(self) -> None:
        """Write the first line; after a stop, leave out what an unsaved epoch left."""
        first = {"config": self.config.as_dict(), "provenance": self.manifest.provenance}
        lines = [first, *self._metrics()]
        modeldir.write_file(self._metrics_path, "".join(json.dumps(x) + "\n" for x in lines))


def _with_absolute_paths(config: Config) -> Config:
    """So that the run can be resumed from any folder."""
    paths = {
        name: os.path.abspath(getattr(config.data, name))
        for name in ("train", "dev", "test")
        if getattr(config.data, name)
    }
    gazetteer = tuple(f"{n}={os.path.abspath(path)}" for n, path in config.data.gazetteers())
    return replace(config, data=replace(config.data, **paths, gazetteer=gazetteer))


def _read_splits(config: Config) -> dict[str, Gold]:
    """The gold files that are given, all of them now: not after an hour of training."""
    if not config.data.train:
        raise ConfigError("no training data: say --train FILE")
    paths = {name: getattr(config.data, name) for name in ("train", "dev", "test")}
    return {name: read_gold(path, config.data) for name, path in paths.items() if path}


def _words_and_vectors(
    options: DataOptions, tokens: list[str], rng: np.random.Generator
) -> tuple[list[str], Array, str]:
    if not options.vectors:
        raise ConfigError(
            "no word vectors: say --vectors FILE, or a name that gensim can download "
            "(glove-wiki-gigaword-50), or none for random ones"
        )
    if options.vectors != "none":
        vectors = load_vectors(options.vectors, unpickle=options.unpickle)
        return vectors.words, vectors.matrix, vectors.sha256
    # Words met once stay unknown: they are what the unknown word's vector is learned from.
    words = sorted(word for word, count in Counter(tokens).items() if count > 1)
    if not words:
        raise ConfigError("no word occurs twice in the training data: too little for vectors none")
    return words, rng.normal(0, 0.1, (len(words), options.dimensions)).astype(np.float32), ""


def _entity_lists(config: Config, train: Gold) -> dict[str, list[EntityList]]:
    """The lists that the options ask for, under the option of their size."""
    files = config.data.gazetteers()
    for _, path in files:
        if not Path(path).exists():
            raise ConfigError(f"{path}: no such file")
    lists = {}
    if files and config.features.lists:
        lists["lists"] = read_lists(files, config.data.encoding)
    if config.features.train_lists:
        lists["train_lists"] = training_lists(train.words, train.spans, train.starts, train.own)
    return lists


def _make_optimizer(options: TrainingOptions) -> Optimizer:
    if options.optimizer == "adam":
        return Adam(options.l2)
    if options.optimizer == "adagrad":
        return AdaGrad(options.l2)
    return SGD(options.momentum, options.l2)
