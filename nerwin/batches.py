"""Training data -> mini-batches of shuffled sentences, a few neighbours together."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nerwin.classifier import Inputs
from nerwin.engine.kernels import numbered
from nerwin.engine.types import Array, Indices
from nerwin.gold import Gold
from nerwin.model import Model
from nerwin.options import TrainingOptions
from nerwin.text.tokens import Tokens, runs
from nerwin.text.vocabulary import PADDING, UNKNOWN

NEIGHBOURS = 4  # sentences that stay together: they share words, which a step then has fewer of

_LOOKED_UP = 1 << 11  # tokens at once, or a batch's if it has more


@dataclass(slots=True)
class Batch:
    """B windows with their right labels (B,).

    starts  (S+1,) of sentences, if the batch is whole ones
    Y       (B, K) what teachers say instead of the labels, if there are any
    """

    inputs: Inputs
    labels: Indices
    starts: Indices | None
    Y: Array | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a first pass answers to the training data, (N, K): in its documents, and when it sees
    every sentence alone.
    """

    together: Array
    alone: Array


class Batches:
    """The windows of the training data, in another order in each epoch, see ``shuffled``.

    A batch is of so many windows, wherever that cuts a sentence, or of whole sentences where the
    loss is a sentence's.
    """

    def __init__(
        self,
        model: Model,
        train: Gold,
        options: TrainingOptions,
        answers: Answers | None = None,
        Y: Array | None = None,
    ) -> None:
        tokens = Tokens.of(train.words)
        self.windows = model.windows(tokens, train.starts, train.own)
        self.labels = model.labels.encode(train.spans, train.starts)
        self._place = np.empty(len(self.windows.rows), np.intp)  # of a word among those of a batch
        self._Y = Y
        self._starts = train.starts
        self._sentences: Indices = np.arange(len(train.starts) - 1)
        self._whole = model.options.loss == "crf"
        self._options = options
        together, alone = (answers.together, answers.alone) if answers else (None, None)
        self.dense = model.dense(tokens, train.starts, train.documents, together)
        self.alone = self.dense
        if options.document_dropout and self.dense.width:
            self.alone = model.dense(tokens, train.starts, train.alone().documents, alone)

    def of(self, sentences: Indices) -> Batches:
        """The batches of some of the sentences only."""
        batches = copy.copy(self)
        batches._sentences = sentences
        return batches

    def __len__(self) -> int:
        """The number of windows."""
        return int(np.diff(self._starts)[self._sentences].sum())

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All windows once; if the options say so, some words are unknown in all of a batch."""
        size = self._options.batch_size
        sentences = shuffled(self._sentences, rng)
        if not self._whole:
            tokens, _ = runs(self._starts, sentences)
            at_once = size * -(-_LOOKED_UP // size)
            for i in range(0, len(tokens), at_once):
                yield from self._cut(tokens[i : i + at_once], size, None, rng)
            return
        batch_of = np.cumsum(np.diff(self._starts)[sentences]) // size
        for chosen in np.split(sentences, np.flatnonzero(np.diff(batch_of)) + 1):
            tokens, starts = runs(self._starts, chosen)
            yield from self._cut(tokens, len(tokens), starts, rng)

    def _cut(
        self, tokens: Indices, size: int, starts: Indices | None, rng: np.random.Generator
    ) -> Iterator[Batch]:
        """Batches of so many windows of some tokens; they are looked up for all at once."""
        windows, labels, dense = self.windows[tokens], self.labels[tokens], self.dense[tokens]
        for i in range(0, len(tokens), size):
            own = slice(i, i + size)
            inputs = self._inputs(tokens[own], windows[own], dense[own], rng)
            Y = None if self._Y is None else self._Y[tokens[own]]
            yield Batch(inputs, labels[own], starts, Y)

    def _inputs(
        self, tokens: Indices, windows: Indices, dense: Array, rng: np.random.Generator
    ) -> Inputs:
        options = self._options
        words, windows = numbered(windows, self._place)
        rows = self.windows.rows.take(words, axis=0)
        if options.word_dropout:
            hidden = rng.random(len(rows), np.float32) < options.word_dropout
            rows[hidden & (rows[:, 0] != PADDING), 0] = UNKNOWN
        if options.document_dropout and self.dense.width:
            alone = rng.random(len(tokens), np.float32) < options.document_dropout
            dense[alone] = self.alone[tokens[alone]]
        return Inputs(rows, windows, dense, self.windows.bags)


def shuffled(sentences: Indices, rng: np.random.Generator) -> Indices:
    """Some sentences in random order, ``NEIGHBOURS`` that follow one another at a time; which ones
    are together differs from call to call.
    """
    together = (np.arange(len(sentences)) + rng.integers(NEIGHBOURS)) // NEIGHBOURS
    place = rng.permutation(together[-1] + 1)
    return sentences[np.argsort(place[together], kind="stable")]
