"""A model: parameters around the classifier's graph, the room where words meet gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from nerwin.classifier import (
    Dropout,
    Inputs,
    Parameters,
    is_the_lectures,
    layer_names,
    one_against_rest,
    scores,
    scores_above,
    word_vectors,
)
from nerwin.consistency import evidence
from nerwin.decoding import (
    Calibration,
    Decision,
    Decoded,
    Labels,
    best_labels,
    distribution,
    to_entities,
)
from nerwin.engine import kernels, ops
from nerwin.engine.blas import add_product
from nerwin.engine.crf import crf_loss
from nerwin.engine.fused import window_network
from nerwin.engine.graph import Node, apply, constant
from nerwin.engine.types import Array, Indices
from nerwin.options import ModelOptions
from nerwin.scoring import sums
from nerwin.storage import Vectors
from nerwin.text.documents import DocumentFeatures, same_words
from nerwin.text.lexicon import Lexicon
from nerwin.text.ngrams import Bags
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import PADDING, SPECIAL
from nerwin.text.windows import Windows

TRANSITIONS = ("A", "a", "z")


class Dense:
    """Numbers (N, K) beside the vectors: ``dense[batch]`` is the (B, K) array for some tokens.

    parts  what is joined, of float32: each gives its columns in the same way; there may be none
    width  K
    """

    def __init__(self, tokens: int, *parts: DocumentFeatures | Array) -> None:
        self._none = np.zeros((tokens, 0), np.float32)
        self._parts = parts
        self.width = sum(part[:0].shape[1] for part in parts)

    def __getitem__(self, batch: Indices | slice) -> Array:
        if not self._parts:
            return self._none[batch]
        return np.concatenate([part[batch] for part in self._parts], axis=1)

    def add_product(self, Z: Array, batch: slice, W: Array) -> None:
        """Z += ``dense[batch] @ W``; what many tokens share is multiplied once."""
        for part in self._parts:
            if not isinstance(part, DocumentFeatures):
                own, W = np.split(W, [part.shape[1]])
                add_product(Z, part[batch], own)
                continue
            for rows, which in part.shared(batch):
                own, W = np.split(W, [rows.shape[1]])
                kernels.add_rows(Z, rows @ own, which)


@dataclass
class Model:
    """A trained or untrained classifier.

    parameters  E (V', D) vectors of the unknown word, the padding and the words in training data;
                E_… the tables of other features; W, b of the hidden layer (W1, b1, W2, … of
                several); U, one column per scorer; A, a, z transitions of a CRF, or those
                counted in training data, which training does not change
    untouched   (V − V', D) vectors of all other words, which training never changes
    pretrained  E before training, of which document features are made; (0, D) without them
    first       parameters of the model of a first pass, alike in all else; None: one pass
    decision, calibration  what was tuned on dev, see ``tuning``
    """

    options: ModelOptions
    types: tuple[str, ...]
    lexicon: Lexicon
    parameters: Parameters
    untouched: Vectors
    pretrained: Array
    first: Parameters | None = None
    decision: Decision = field(default_factory=Decision)
    calibration: Calibration = field(default_factory=Calibration)

    def as_trained(self) -> Model:
        """The same without what was tuned on dev."""
        return replace(self, decision=Decision(), calibration=Calibration())

    @property
    def labels(self) -> Labels:
        """What the scorers stand for."""
        return Labels(self.types, self.options.tags)

    @property
    def _unscored(self) -> int:
        """How many labels have no scorer: "outside", whose score then is always 0, or none."""
        return 1 if one_against_rest(self.options) else 0

    @property
    def sees_documents(self) -> bool:
        """Whether it matters to the model what one document is."""
        return len(self.pretrained) > 0

    def windows(
        self, tokens: Sequence[str], starts: Indices, own: Indices | None = None
    ) -> Windows:
        """The windows of all tokens; sentence i is tokens starts[i] … starts[i+1]−1.

        own  (S,) of sentences of the training data: each one's document, by its number there. What
             the lists of entities have from that document alone is left out, as if it were new.
        """
        tokens = Tokens.of(tokens)
        numbers, rows = self.lexicon.rows(tokens, starts, own)
        bags = self.lexicon.bags(tokens) if self.lexicon.buckets else None
        return Windows(numbers, rows, starts, self.options.window, PADDING, bags)

    def dense(
        self,
        tokens: Sequence[str],
        starts: Indices,
        documents: Indices,
        answers: Array | None = None,
        windows: Windows | None = None,
    ) -> Dense:
        """Dense inputs of all tokens; document i is sentences documents[i] … [i+1]−1.

        answers  (N, K) probabilities of each label, of a first pass over the tokens; None: those
                 of this model's own first pass, if it has one
        windows  of the tokens, if they are made already
        """
        tokens = Tokens.of(tokens)
        N, words = len(tokens), tokens.numbers
        if not self.sees_documents:
            return Dense(N)
        case = self.lexicon.case(tokens)
        vectors = vectors_of(self.lexicon.words(tokens), self.pretrained, self.untouched)
        same = same_words(words, case, starts, documents)
        features = DocumentFeatures(words, case, vectors, same, starts, documents)
        if self.first and answers is None:
            windows = self.windows(tokens, starts) if windows is None else windows
            answers = self.answers(self.first, windows, Dense(N, features), starts)
        if answers is None:
            return Dense(N, features)
        return Dense(N, features, evidence(answers, self.labels, same, starts))

    def loss(
        self,
        nodes: Mapping[str, Node],
        inputs: Inputs,
        labels: Indices,
        starts: Indices | None = None,
        dropout: Dropout | None = None,
        Y: Array | None = None,
        *,
        fused: bool = False,
    ) -> Node:
        """J, the mean loss of a batch of B windows with the right labels (B,).

        nodes   one for each parameter, see ``parameter_nodes``
        starts  where the batch's sentences start, then B; a CRF's batch is whole sentences
        Y       (B, K) probabilities of labels to come close to, instead of the right ones
        fused   several ops may be one that is faster, see ``engine.fused``; the bits are the same
        """
        options, tables = self.options, self.lexicon.tables
        dtype = nodes["U"].value.dtype
        plain = dropout or inputs.dense.shape[1] or not is_the_lectures(options)
        if fused and not plain and kernels.compiled():
            V = word_vectors(nodes, inputs.rows, inputs.bags, tables, options)
            layers = [nodes[name] for name in ("W", "b", "U")]
            targets = self._targets(labels, Y, dtype)
            return apply(window_network, V, *layers, words=inputs.windows, Y=targets)
        S = scores(nodes, inputs, tables, options, dropout)
        if options.loss == "crf":
            path = [
                apply(ops.add, nodes[name], constant(allowed.astype(dtype)))
                for name, allowed in zip(TRANSITIONS, self.labels.transitions(), strict=True)
            ]
            return apply(crf_loss, S, *path, labels=labels, starts=starts)
        targets = self._targets(labels, Y, dtype)
        if options.loss == "softmax":
            return apply(ops.softmax_cross_entropy, S, Y=targets)
        if options.loss == "squared":
            return apply(ops.squared_error, apply(ops.sigmoid, S), Y=targets)
        return apply(ops.logistic_loss, S, Y=targets)

    def _targets(self, labels: Indices, Y: Array | None, dtype: np.dtype[Any]) -> Array:
        """What the scorers should say, (B, T): of the right labels, or of Y (B, K)."""
        if Y is None:
            return _one_hot(len(self.labels), self._unscored, dtype).take(labels, axis=0)
        return Y[:, self._unscored :]

    def scores(
        self,
        tokens: Sequence[str],
        starts: Indices,
        documents: Indices,
        own: Indices | None = None,
    ) -> Array:
        """S (N, K): the score of each label for every token; that of "outside" is first.

        own  if these are training data, see ``windows``
        """
        tokens = Tokens.of(tokens)
        windows = self.windows(tokens, starts, own)
        dense = self.dense(tokens, starts, documents, windows=windows if own is None else None)
        return self._scores(self.parameters, windows, dense)

    def probabilities(
        self,
        tokens: Sequence[str],
        starts: Indices,
        documents: Indices,
        own: Indices | None = None,
    ) -> Array:
        """P (N, K) of each label of each token, which sum to 1; letters as in ``scores``."""
        S = self.scores(tokens, starts, documents, own)
        return self._distribution(self.parameters, S, starts)

    def _scores(self, parameters: Parameters, windows: Windows, dense: Dense) -> Array:
        """S (N, K), see ``scores``."""
        S = np.zeros((len(windows), len(self.labels)), np.float32)
        W, b = (parameters[name] for name in layer_names(len(self.options.hidden))[0])
        n = len(W) - dense.width
        by_place = W[:n].reshape(2 * self.options.window + 1, -1, W.shape[1])
        nodes = {name: constant(value) for name, value in parameters.items()}
        V = self._vectors(parameters, windows.rows, windows.bags)
        for block, Z in sums(windows, V, by_place, b):
            dense.add_product(Z, block, W[n:])
            S[block, self._unscored :] = scores_above(nodes, constant(Z), self.options).value
        return S

    def _vectors(self, parameters: Parameters, rows: Indices, bags: Bags | None) -> Array:
        """What x holds of each of some words, (k, n), given their rows (k, F)."""
        rows, E = self.local_table(rows, parameters["E"])
        nodes = {name: constant(value) for name, value in (parameters | {"E": E}).items()}
        return word_vectors(nodes, rows, bags, self.lexicon.tables, self.options).value

    def predict(self, tokens: Sequence[str], starts: Indices, documents: Indices) -> Decoded:
        """The entities among the tokens, with their scores."""
        return self.decode(self.scores(tokens, starts, documents), starts)

    def decode(self, S: Array, starts: Indices) -> Decoded:
        """The entities that scores S (N, K) mean, with their scores."""
        best = self.decide(S, starts)
        inside = best > 0
        if one_against_rest(self.options):
            P = ops.logistic(S[inside])
        elif self.options.loss == "crf":  # of all paths through a sentence
            P = self._distribution(self.parameters, S, starts)[inside]
        else:
            P = self._distribution(self.parameters, S[inside], starts)
        found = to_entities(best, P, self.labels, starts)
        return Decoded(found.spans, self.calibration.apply(found.scores))

    def decide(self, S: Array, starts: Indices) -> Indices:
        """The label of each word: S (N, K) -> (N,)."""
        weight = 1.0 if self.options.loss == "crf" else self.decision.transitions
        path = tuple(weight * self.parameters[name] for name in TRANSITIONS) if weight else ()
        return best_labels(S - self.labels.thresholds(self.decision), self.labels, starts, path)

    def answers(
        self, parameters: Parameters, windows: Windows, dense: Dense, starts: Indices
    ) -> Array:
        """P (N, K): the probability of each label by a model of the first pass."""
        return self._distribution(parameters, self._scores(parameters, windows, dense), starts)

    def _distribution(self, parameters: Parameters, S: Array, starts: Indices) -> Array:
        path = tuple(parameters[name] for name in TRANSITIONS if self.options.loss == "crf")
        return distribution(S, self.labels, starts, path)

    def local_table(self, rows: Indices, E: Array) -> tuple[Indices, Array]:
        """Rows of words (k, F), renumbered for a table of only the word vectors that occur, and
        that table. The special rows keep their numbers.
        """
        used, local = np.unique(np.append(range(len(SPECIAL)), rows[:, 0]), return_inverse=True)
        rows = rows.copy()
        rows[:, 0] = local[len(SPECIAL) :]
        return rows, vectors_of(used, E, self.untouched)


@cache
def _one_hot(labels: int, unscored: int, dtype: np.dtype[Any]) -> Array:
    """For each label a row with 1 in its own column; without those of labels with no scorer."""
    return np.eye(labels, dtype=dtype)[:, unscored:].copy()


def vectors_of(rows: Indices, E: Array, untouched: Vectors) -> Array:
    """The vectors of some rows, of the table or beyond it: (k,) -> (k, D)."""
    vectors = E.take(rows, axis=0, mode="clip")
    beyond = np.flatnonzero(rows >= len(E))
    vectors[beyond] = untouched[rows[beyond] - len(E)]
    return vectors
