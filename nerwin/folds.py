"""The folds of a first pass: what its models answer to documents that they were not trained on.

A second pass learns how far to trust a first one. On the first one's own training data it would
learn to trust it blindly; so each model of the first pass leaves out one fold of the documents,
and answers for that fold (stacking: Wolpert, 1992).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nerwin.batches import Answers
from nerwin.engine.types import Array, Indices
from nerwin.errors import ConfigError
from nerwin.gold import Gold
from nerwin.model import Model


def folds_of(train: Gold, folds: int, rng: np.random.Generator) -> Indices:
    """The fold of each sentence, (S,): whole documents, as even as may be.

    Raises ConfigError if there are fewer documents than folds.
    """
    documents = len(train.documents) - 1
    if documents < folds:
        raise ConfigError(
            f"features.folds: {folds} folds of {documents} documents in {train.path}; "
            "there must be a document for each at least"
        )
    fold_of = rng.permutation(documents) % folds
    return np.repeat(fold_of, np.diff(train.documents))


def answers(model: Model, train: Gold, fold_of: Indices) -> Answers:
    """What the models of the first pass answer, each to the sentences of its own fold.

    model  its ``first`` are the models, in the folds' order
    """
    windows = model.windows(train.words, train.starts, train.own)
    fold = np.repeat(fold_of, np.diff(train.starts))

    def of(gold: Gold) -> Array:
        dense = replace(model, first=[]).dense(gold.words, gold.starts, gold.documents)
        P = np.zeros((len(gold.words), len(model.labels)), np.float32)
        for number, parameters in enumerate(model.first):
            mine = fold == number
            P[mine] = model.answers(parameters, windows, dense, gold.starts)[mine]
        return P

    return Answers(of(train), of(train.alone()))
