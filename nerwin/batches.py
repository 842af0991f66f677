"""Training data -> shuffled mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nerwin.config import TrainingOptions
from nerwin.engine.types import Indices
from nerwin.gold import Gold
from nerwin.model import Inputs, Model
from nerwin.text.vocabulary import PADDING, UNKNOWN


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows with their right labels; starts (S+1,) of sentences, if the batch is whole ones."""

    inputs: Inputs
    labels: Indices
    starts: Indices | None


class Batches:
    """The windows of the training data, in another order in each epoch.

    A batch is of single windows, or of whole sentences where the loss is a sentence's.
    """

    def __init__(self, model: Model, train: Gold, options: TrainingOptions) -> None:
        self.windows = model.windows(train.words, train.starts, train.own)
        self.labels = model.labels.encode(train.spans, train.starts)
        self._starts = train.starts
        self._sentences = model.options.loss == "crf"
        self._options = options
        self._dense = model.document_features(train.words, train.starts, train.documents)
        self._alone = self._dense
        if options.document_dropout and self._dense.shape[1]:
            alone = train.alone()
            self._alone = model.document_features(train.words, train.starts, alone.documents)

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.windows)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All windows once, some of their words made unknown if the options say so."""
        size = self._options.batch_size
        if not self._sentences:
            order = rng.permutation(len(self))
            for i in range(0, len(order), size):
                yield self._batch(order[i : i + size], None, rng)
            return
        lengths = np.diff(self._starts)
        order = rng.permutation(len(lengths))
        batch_of = np.cumsum(lengths[order]) // size
        for sentences in np.split(order, np.flatnonzero(np.diff(batch_of)) + 1):
            tokens = [np.arange(self._starts[s], self._starts[s + 1]) for s in sentences]
            starts = np.append(0, np.cumsum(lengths[sentences]))
            yield self._batch(np.concatenate(tokens), starts, rng)

    def _batch(self, tokens: Indices, starts: Indices | None, rng: np.random.Generator) -> Batch:
        options = self._options
        rows = self.windows[tokens]
        if options.word_dropout:
            words = rows[..., 0]
            hidden = rng.random(words.shape, np.float32) < options.word_dropout
            words[hidden & (words != PADDING)] = UNKNOWN
        dense = self._dense[tokens]
        if options.document_dropout and dense.shape[1]:
            alone = rng.random(len(tokens), np.float32) < options.document_dropout
            dense[alone] = self._alone[tokens[alone]]
        return Batch(Inputs(rows, dense, self.windows.bags), self.labels[tokens], starts)
