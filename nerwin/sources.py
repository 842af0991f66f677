"""What a run is made from: gold files, word vectors, lists of entities, teachers; how it begins."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from nerwin.engine.types import Array
from nerwin.ensemble import check_alike
from nerwin.errors import ConfigError
from nerwin.gold import Gold, read_gold
from nerwin.initial import new_model
from nerwin.manifest import Manifest, identities
from nerwin.model import TRANSITIONS, Model
from nerwin.modeldir import load_model
from nerwin.options import Config, DataOptions, TrainingOptions
from nerwin.text.gazetteers import EntityList, read_lists, training_lists
from nerwin.text.vectors import load_vectors
from nerwin.text.vocabulary import SPECIAL

log = logging.getLogger(__name__)


def with_absolute_paths(config: Config) -> Config:
    """The same options, good for resuming from any folder."""
    paths = {
        name: os.path.abspath(getattr(config.data, name))
        for name in ("train", "dev", "test")
        if getattr(config.data, name)
    }
    teachers = tuple(map(os.path.abspath, config.training.teachers))
    gazetteer = tuple(f"{n}={os.path.abspath(path)}" for n, path in config.data.gazetteers())
    return replace(
        config,
        data=replace(config.data, **paths, gazetteer=gazetteer),
        training=replace(config.training, teachers=teachers),
    )


def read_splits(config: Config) -> dict[str, Gold]:
    """The gold files that are given, all of them now: not after an hour of training."""
    if not config.data.train:
        raise ConfigError("no training data: say --train FILE")
    paths = {name: getattr(config.data, name) for name in ("train", "dev", "test")}
    return {name: read_gold(path, config.data) for name, path in paths.items() if path}


def words_and_vectors(
    options: DataOptions, tokens: list[str], rng: np.random.Generator
) -> tuple[list[str], Array, str]:
    """The words, their vectors (V, D), and the SHA-256 of the file; random vectors for none."""
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


def entity_lists(config: Config, train: Gold) -> dict[str, list[EntityList]]:
    """The lists that the options ask for, under the option's name."""
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


def load_teachers(options: TrainingOptions) -> list[Model]:
    """The models that are to teach."""
    return [load_model(Path(folder)) for folder in options.teachers]


def prepare(config: Config) -> tuple[Model, Manifest, dict[str, Gold]]:
    """A fresh model, the manifest of its run, and the gold files.

    Raises ConfigError for options that do not fit, DataError for files that cannot be used.
    """
    splits = read_splits(config)
    train = splits["train"]
    types = config.model.types or train.spans.types
    for name in types:
        if name not in train.spans.types:
            there = ", ".join(train.spans.types) or "none"
            raise ConfigError(f"model.types: no entity of type {name!r} in {train.path} ({there})")
    if not types:
        raise ConfigError(f"{train.path}: no entity in it, so there is nothing to learn")
    lists = entity_lists(config, train)
    rng = np.random.default_rng(config.training.seed)
    words, vectors, sha256 = words_and_vectors(config.data, train.words, rng)
    model = new_model(config, types, train.words, words, vectors, rng, lists)
    check_alike([model, *load_teachers(config.training)])
    count_transitions(model, train)
    if config.model.tune and "dev" not in splits:
        log.warning("model.tune: there is no dev file, so nothing is tuned")
    vocabulary = model.lexicon.vocabulary
    provenance = {
        **{name: gold.provenance() for name, gold in splits.items()},
        "vectors": {
            "source": config.data.vectors,
            "sha256": sha256,
            "words": len(vocabulary) - len(SPECIAL),
        },
        "coverage": vocabulary.coverage(train.words),
        "teachers": identities(config.training.teachers),
    }
    return model, Manifest(config, list(types), provenance), splits


def count_transitions(model: Model, train: Gold) -> None:
    """Add the scores of transitions in training data, if they may be of use: a CRF learns its
    own.
    """
    if model.options.tune and model.options.loss != "crf":
        coded = model.labels.encode(train.spans, train.starts)
        counted = model.labels.counted_transitions(coded, train.starts)
        model.parameters |= zip(TRANSITIONS, counted, strict=True)
