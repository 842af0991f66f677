"""The window classifier, written as a graph of ops: the one room where words meet gradients.

For each word, the vectors of the 2C+1 words around it are looked up in E and joined to x, and
x → W x + b → f → uᵀh → logistic gives the probability of each entity type
(CS224N 2021 L3, 0:07 to 0:12). A richer x has more tables, for what words look like, and numbers
for what the document tells of the middle word. The graph that trains is the graph that the
gradient check checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nerwin.config import ModelOptions
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
from nerwin.engine import ops
from nerwin.engine.crf import crf_loss
from nerwin.engine.graph import Node, apply, constant, parameter
from nerwin.engine.types import Array, Indices
from nerwin.text.documents import DocumentFeatures
from nerwin.text.lexicon import Lexicon
from nerwin.text.ngrams import Bags
from nerwin.text.vocabulary import PADDING, SPECIAL
from nerwin.text.windows import Windows

Parameters = dict[str, Array]
TRANSITIONS = ("A", "a", "z")

_BLOCK = 4096  # windows scored at once: their hidden units stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of a batch of B words: the rows of the words in their windows (B, 2C+1, F),
    in columns for each table, and dense numbers (B, K), of which there may be none.

    bags  of n-grams, if there is a table of them; the rows in its column are their numbers
    """

    rows: Indices
    dense: Array
    bags: Bags | None = None


class Dense:
    """Numbers (N, K) beside the vectors: ``dense[batch]`` is the (B, K) array for some tokens.

    parts  what is joined: each gives its columns in the same way; there may be none
    width  K
    """

    def __init__(self, tokens: int, *parts: DocumentFeatures | Array) -> None:
        self._parts = (np.zeros((tokens, 0), np.float32), *parts)
        self.width = self[:0].shape[1]

    def __getitem__(self, batch: Indices | slice) -> Array:
        return np.concatenate([part[batch] for part in self._parts], axis=1, dtype=np.float32)


@dataclass
class Model:
    """A trained or untrained classifier.

    parameters  E (V', D) vectors of the unknown word, the padding and the words in training data;
                E_… the tables of other features; W, b of the hidden layer (W1, b1, W2, … of
                several); U, one column per scorer; A, a, z transitions of a CRF, or those
                counted in training data, which training does not change
    untouched   (V − V', D) vectors of all other words, which training never changes
    pretrained  E before training, of which document features are made; (0, D) without them
    first       parameters of the models of a first pass, alike in all else; none: one pass
    decision, calibration  what was tuned on dev, see ``tuning``
    """

    options: ModelOptions
    types: tuple[str, ...]
    lexicon: Lexicon
    parameters: Parameters
    untouched: Array
    pretrained: Array
    first: list[Parameters] = field(default_factory=list)
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
        rows = self.lexicon.rows(tokens)
        if self.lexicon.gazetteers.tables:
            found = self.lexicon.gazetteers.rows(tokens, starts, own)
            rows = np.concatenate((rows, found), axis=1)
        bags = None
        if self.lexicon.buckets:
            column, bags = self.lexicon.bags(tokens)
            rows = np.concatenate((rows, column[:, None]), axis=1)
        return Windows(rows, starts, self.options.window, PADDING, bags)

    def dense(
        self,
        tokens: Sequence[str],
        starts: Indices,
        documents: Indices,
        answers: Array | None = None,
    ) -> Dense:
        """Dense inputs of all tokens; document i is sentences documents[i] … [i+1]−1.

        answers  (N, K) probabilities of each label, of a first pass over the tokens; None: those
                 of this model's own first pass, if it has one
        """
        parts: list[DocumentFeatures | Array] = []
        if len(self.pretrained):
            rows = self.lexicon.vocabulary.rows(tokens)
            vectors = vectors_of(rows, self.pretrained, self.untouched)
            parts.append(DocumentFeatures(tokens, vectors, starts, documents))
        if self.first and answers is None:
            answers = self._first_pass(
                self.windows(tokens, starts), Dense(len(tokens), *parts), starts
            )
        if answers is not None:
            parts.append(evidence(answers, self.labels, tokens, starts, documents))
        return Dense(len(tokens), *parts)

    def loss(
        self,
        nodes: Mapping[str, Node],
        inputs: Inputs,
        labels: Indices,
        starts: Indices | None = None,
        dropout: Dropout | None = None,
        Y: Array | None = None,
    ) -> Node:
        """J, the mean loss of a batch of B windows with the right labels (B,).

        nodes   one for each parameter, see ``parameter_nodes``
        starts  where the batch's sentences start, then B; a CRF's batch is whole sentences
        Y       (B, K) probabilities of labels to come close to, instead of the right ones
        """
        S = scores(nodes, inputs, self.lexicon.tables, self.options, dropout)
        dtype = S.value.dtype
        if self.options.loss == "crf":
            path = [
                apply(ops.add, nodes[name], constant(allowed.astype(dtype)))
                for name, allowed in zip(TRANSITIONS, self.labels.transitions(), strict=True)
            ]
            return apply(crf_loss, S, *path, labels=labels, starts=starts)
        if Y is None:
            Y = np.eye(len(self.labels), dtype=dtype)[labels]
        if self.options.loss == "softmax":
            return apply(ops.softmax_cross_entropy, S, Y=Y)
        Y = Y[:, 1:]  # "outside" has no scorer
        if self.options.loss == "squared":
            return apply(ops.squared_error, apply(ops.sigmoid, S), Y=Y)
        return apply(ops.logistic_loss, S, Y=Y)

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
        dense = self.dense(tokens, starts, documents)
        return self._scores(self.parameters, self.windows(tokens, starts, own), dense)

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
        first = 1 if one_against_rest(self.options) else 0  # "outside" has no scorer, and 0
        S = np.zeros((len(windows), len(self.labels)), np.float32)
        for start in range(0, len(windows), _BLOCK):
            block = slice(start, start + _BLOCK)
            rows, E = self.local_table(windows[block], parameters["E"])
            nodes = {name: constant(value) for name, value in (parameters | {"E": E}).items()}
            inputs = Inputs(rows, dense[block], windows.bags)
            made = scores(nodes, inputs, self.lexicon.tables, self.options)
            S[block, first:] = made.value
        return S

    def predict(self, tokens: Sequence[str], starts: Indices, documents: Indices) -> Decoded:
        """The entities among the tokens, with their scores."""
        return self.decode(self.scores(tokens, starts, documents), starts)

    def decode(self, S: Array, starts: Indices) -> Decoded:
        """The entities that scores S (N, K) mean, with their scores."""
        best = self.decide(S, starts)
        if one_against_rest(self.options):
            P = ops.logistic(S)
        else:
            P = self._distribution(self.parameters, S, starts)
        found = to_entities(best, P, self.labels, starts)
        return Decoded(found.spans, self.calibration.apply(found.scores))

    def decide(self, S: Array, starts: Indices) -> Indices:
        """The label of each word: S (N, K) -> (N,)."""
        weight = 1.0 if self.options.loss == "crf" else self.decision.transitions
        path = tuple(weight * self.parameters[name] for name in TRANSITIONS) if weight else ()
        return best_labels(S - self.labels.thresholds(self.decision), self.labels, starts, path)

    def _first_pass(self, windows: Windows, dense: Dense, starts: Indices) -> Array:
        """P (N, K): the mean of what the models of the first pass answer."""
        P = np.zeros((len(windows), len(self.labels)), np.float32)
        for parameters in self.first:
            P += self.answers(parameters, windows, dense, starts)
        P /= len(self.first)
        return P

    def answers(
        self, parameters: Parameters, windows: Windows, dense: Dense, starts: Indices
    ) -> Array:
        """P (N, K): the probability of each label by one model of the first pass."""
        return self._distribution(parameters, self._scores(parameters, windows, dense), starts)

    def _distribution(self, parameters: Parameters, S: Array, starts: Indices) -> Array:
        path = tuple(parameters[name] for name in TRANSITIONS if self.options.loss == "crf")
        return distribution(S, self.labels, starts, path)

    def local_table(self, rows: Indices, E: Array) -> tuple[Indices, Array]:
        """Windows of rows, with the words renumbered for a table of only those that occur, and
        that table. The special rows keep their numbers.
        """
        words = rows[..., 0]
        used, local = np.unique(
            np.concatenate((range(len(SPECIAL)), words.ravel())), return_inverse=True
        )
        rows = rows.copy()
        rows[..., 0] = local[len(SPECIAL) :].reshape(words.shape)
        return rows, vectors_of(used, E, self.untouched)


def vectors_of(rows: Indices, E: Array, untouched: Array) -> Array:
    """The vectors of some rows, of the table or beyond it: (k,) -> (k, D)."""
    trained = rows < len(E)
    vectors = np.empty((len(rows), E.shape[1]), E.dtype)
    vectors[trained] = E[rows[trained]]
    vectors[~trained] = untouched[rows[~trained] - len(E)]
    return vectors


@dataclass(frozen=True, slots=True)
class Dropout:
    """Shares of what is set to zero, and what draws it: of the vectors in x, of the dense numbers
    in it, of the hidden units.

    What is left is scaled up, so that sums keep their size (Srivastava et al., 2014).
    """

    rng: np.random.Generator
    x: float = 0.0
    dense: float = 0.0
    hidden: float = 0.0

    def apply(self, H: Node, share: float) -> Node:
        """H with a share of it set to zero."""
        if not share:
            return H
        shape, dtype = H.value.shape, H.value.dtype
        drawn = np.frombuffer(self.rng.bytes(2 * H.value.size), np.uint16).reshape(shape)
        kept = drawn >= round(share * (1 << 16))
        return apply(ops.multiply, H, constant(kept * dtype.type(1 / (1 - share))))


def one_against_rest(options: ModelOptions) -> bool:
    """Whether each scorer has a loss of its own, and "outside" is that none says yes."""
    return options.loss in {"logistic", "squared"}


def scores(
    nodes: Mapping[str, Node],
    inputs: Inputs,
    tables: Mapping[str, slice],
    options: ModelOptions,
    dropout: Dropout | None = None,
) -> Node:
    """S (B, T), the score of each scorer for each window."""
    H = apply(ops.concatenate, *_parts(nodes, inputs, tables, options, dropout))
    for i, (W, b) in enumerate(layer_names(len(options.hidden))):
        # All scorers' first layers read the same x: side by side they are one layer.
        layer = ops.affine if i == 0 or options.share_hidden else ops.grouped_affine
        H = apply(ACTIVATIONS[options.activation], apply(layer, H, nodes[W], nodes[b]))
        if dropout:
            H = dropout.apply(H, dropout.hidden)
    return apply(ops.scores if options.share_hidden else ops.grouped_scores, H, nodes["U"])


def _parts(
    nodes: Mapping[str, Node],
    inputs: Inputs,
    tables: Mapping[str, slice],
    options: ModelOptions,
    dropout: Dropout | None,
) -> list[Node]:
    """What x is joined from: the vectors of every table, and the dense numbers."""
    parts = []
    for name, columns in tables.items():
        rows = inputs.rows[..., columns]
        if name == "E_ngrams" and inputs.bags:
            V = _bag_means(nodes[name], inputs.bags, rows)
        else:
            V = apply(ops.lookup, nodes[name], rows=rows)
        if options.padding == "zero":
            words = (rows != PADDING)[..., None].astype(V.value.dtype)
            V = apply(ops.multiply, V, constant(words))
        parts.append(V)
    if dropout and dropout.x:
        parts = [dropout.apply(apply(ops.concatenate, *parts), dropout.x)]
    if inputs.dense.shape[1]:
        dense = constant(inputs.dense)
        parts.append(dropout.apply(dense, dropout.dense) if dropout else dense)
    return parts


def _bag_means(E: Node, bags: Bags, numbers: Indices) -> Node:
    """The mean vector of each word's bag, made once for each bag that occurs."""
    distinct, local = np.unique(numbers, return_inverse=True)
    bags = bags[distinct]
    M = apply(ops.bag, E, rows=bags.rows, starts=bags.starts)
    return apply(ops.lookup, M, rows=local.reshape(numbers.shape))


def parameter_nodes(parameters: Parameters, options: ModelOptions) -> dict[str, Node]:
    """A source for each parameter; a constant one for the word vectors if they are not updated."""
    fixed = () if options.update_vectors else ("E",)
    return {
        name: (constant if name in fixed else parameter)(value, name)
        for name, value in parameters.items()
    }


def layer_names(layers: int) -> list[tuple[str, str]]:
    """W and b, as in the lecture; numbered if there are several hidden layers."""
    return [("W", "b")] if layers == 1 else [(f"W{i}", f"b{i}") for i in range(1, layers + 1)]


ACTIVATIONS = {"sigmoid": ops.sigmoid, "tanh": ops.tanh, "relu": ops.relu}
