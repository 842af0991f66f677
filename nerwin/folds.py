"""The folds of a first pass: what its models answer to documents that they were not trained on.

A second pass learns how far to trust a first one. On the first one's own training data it would
learn to trust it blindly; so for each fold of the documents there is a model of the first pass that
leaves it out, and answers for it (stacking: Wolpert, 1992). For other text one answers that was
trained on all documents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerwin.batches import Answers
from nerwin.classifier import Parameters
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


def answers(model: Model, first: Sequence[Parameters], train: Gold, fold_of: Indices) -> Answers:
    """What the models of the first pass answer, each to the sentences of its own fold.

    model  without a first pass
    first  the parameters of its models, in the folds' order
    """
    windows = model.windows(train.words, train.starts, train.own)
    fold = np.repeat(fold_of, np.diff(train.starts))

    def of(gold: Gold) -> Array:
        dense = model.dense(gold.words, gold.starts, gold.documents)
        P = np.zeros((len(gold.words), len(model.labels)), np.float32)
        for number, parameters in enumerate(first):
            mine = fold == number
            P[mine] = model.answers(parameters, windows, dense, gold.starts)[mine]
        return P

    return Answers(of(train), of(train.alone()))
