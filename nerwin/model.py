"""The window classifier, written as a graph of ops: the one room where words meet gradients.

For each word, the vectors of the 2C+1 words around it are looked up in E and joined to x, and
x → W x + b → f → uᵀh → logistic gives the probability of each entity type
(CS224N 2021 L3, 0:07 to 0:12). The graph that trains is the graph that the gradient check checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nerwin.config import ModelOptions
from nerwin.engine import ops
from nerwin.engine.graph import Node, apply, constant, parameter
from nerwin.engine.types import Array, Indices
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary
from nerwin.text.windows import Windows

Parameters = dict[str, Array]

_BLOCK = 4096  # windows scored at once: their hidden units stay in the processor's cache


@dataclass
class Model:
    """A trained or untrained classifier.

    parameters  E (V', D) vectors of the unknown word, the padding and the words in training data;
                W, b of the hidden layer (W1, b1, W2, … of several); U, one column per type
    untouched   (V − V', D) vectors of all other words, which training never changes
    """

    options: ModelOptions
    types: tuple[str, ...]
    vocabulary: Vocabulary
    parameters: Parameters
    untouched: Array

    def windows(self, tokens: list[str], starts: Indices) -> Windows:
        """The windows of all tokens; sentence i is tokens starts[i] … starts[i+1]−1."""
        return Windows(self.vocabulary.rows(tokens), starts, self.options.window, PADDING)

    def vectors(self, rows: Indices) -> Array:
        """The vectors of some rows, in training data or not: (k,) -> (k, D)."""
        E = self.parameters["E"]
        trained = rows < len(E)
        vectors = np.empty((len(rows), E.shape[1]), E.dtype)
        vectors[trained] = E[rows[trained]]
        vectors[~trained] = self.untouched[rows[~trained] - len(E)]
        return vectors

    def probabilities(self, windows: Windows) -> Array:
        """P (N, T): for every token, the probability of each type."""
        P = np.empty((len(windows), len(self.types)), np.float32)
        for start in range(0, len(windows), _BLOCK):
            block = slice(start, start + _BLOCK)
            rows, E = self.local_table(windows[block])
            nodes = {name: constant(value) for name, value in (self.parameters | {"E": E}).items()}
            P[block] = ops.logistic(scores(nodes, rows, self.options).value)
        return P

    def local_table(self, rows: Indices) -> tuple[Indices, Array]:
        """Windows of rows, renumbered for a table of only the rows that occur, and that table.

        The special rows keep their numbers.
        """
        used, local = np.unique(
            np.concatenate((range(len(SPECIAL)), rows.ravel())), return_inverse=True
        )
        return local[len(SPECIAL) :].reshape(rows.shape), self.vectors(used)


def scores(nodes: Mapping[str, Node], rows: Indices, options: ModelOptions) -> Node:
    """S (B, T), the score of each type for each window of rows (B, 2C+1)."""
    V = apply(ops.lookup, nodes["E"], rows=rows)
    if options.padding == "zero":
        words = (rows != PADDING)[:, :, None].astype(nodes["E"].value.dtype)
        V = apply(ops.multiply, V, constant(words))
    H = apply(ops.concatenate, V)
    for i, (W, b) in enumerate(layer_names(len(options.hidden))):
        # All types' first layers read the same x: side by side they are one layer.
        layer = ops.affine if i == 0 or options.share_hidden else ops.grouped_affine
        H = apply(ACTIVATIONS[options.activation], apply(layer, H, nodes[W], nodes[b]))
    return apply(ops.scores if options.share_hidden else ops.grouped_scores, H, nodes["U"])


def loss(nodes: Mapping[str, Node], rows: Indices, Y: Array, options: ModelOptions) -> Node:
    """J, the mean loss of a batch of windows (B, 2C+1) with targets Y (B, T)."""
    S = scores(nodes, rows, options)
    if options.loss == "squared":
        return apply(ops.squared_error, apply(ops.sigmoid, S), Y=Y)
    return apply(ops.logistic_loss, S, Y=Y)


def parameter_nodes(parameters: Parameters, options: ModelOptions) -> dict[str, Node]:
    """A source for each parameter; a constant one for the vectors if they are not updated."""
    fixed = () if options.update_vectors else ("E",)
    return {
        name: (constant if name in fixed else parameter)(value, name)
        for name, value in parameters.items()
    }


def new_table(
    words: Sequence[str],
    vectors: Array,
    tokens: Sequence[str],
    options: ModelOptions,
    rng: np.random.Generator,
) -> tuple[Vocabulary, Array, Array]:
    """A vocabulary, E for the words that ``tokens`` use, and the vectors of the other words.

    vectors  (V, D), row i for words[i]
    The unknown word starts as the mean of all vectors, a learned padding at random with their
    spread.
    """
    used = np.unique(Vocabulary(words).rows(tokens)).astype(np.intp)
    used = used[used >= len(SPECIAL)] - len(SPECIAL)
    others = np.delete(np.arange(len(words)), used)
    E = np.zeros((len(SPECIAL) + len(used), vectors.shape[1]), np.float32)
    E[UNKNOWN] = vectors.mean(axis=0)
    if options.padding == "learned":
        E[PADDING] = rng.normal(0, vectors[:1000].std(), vectors.shape[1])
    E[len(SPECIAL) :] = vectors[used]
    ordered = [words[i] for i in (*used.tolist(), *others.tolist())]
    return Vocabulary(ordered), E, vectors[others]


def new_parameters(
    E: Array, n_types: int, options: ModelOptions, rng: np.random.Generator
) -> Parameters:
    """Fresh parameters around a table of vectors E.

    W and U uniform within ±√(6/(fan in + fan out)) (Glorot and Bengio, 2010), b zero.
    """
    groups = 1 if options.share_hidden else n_types

    def uniform(*shape: int) -> Array:
        limit = np.sqrt(6 / (shape[-2] + shape[-1]))
        return rng.uniform(-limit, limit, shape).astype(E.dtype)

    parameters = {"E": E}
    n = (2 * options.window + 1) * E.shape[1]
    for i, ((W, b), m) in enumerate(
        zip(layer_names(len(options.hidden)), options.hidden, strict=True)
    ):
        separate = uniform(groups, n, m)
        if i == 0:
            parameters[W] = separate.transpose(1, 0, 2).reshape(n, groups * m)
        else:
            parameters[W] = separate[0] if options.share_hidden else separate
        parameters[b] = np.zeros(groups * m, E.dtype)
        n = m
    parameters["U"] = uniform(n, n_types)
    return parameters


def layer_names(layers: int) -> list[tuple[str, str]]:
    """W and b, as in the lecture; numbered if there are several hidden layers."""
    return [("W", "b")] if layers == 1 else [(f"W{i}", f"b{i}") for i in range(1, layers + 1)]


ACTIVATIONS = {"sigmoid": ops.sigmoid, "tanh": ops.tanh, "relu": ops.relu}
