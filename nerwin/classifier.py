"""The window classifier, written as a graph of ops.

For each word, the vectors of the 2C+1 words around it are looked up in E and joined to x, and
x → W x + b → f → uᵀh → logistic gives the probability of each entity type
(CS224N 2021 L3, 0:07 to 0:12). A richer x has more tables, for what words look like, and numbers
for what the document tells of the middle word. The graph that trains is the graph that the
gradient check checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nerwin.engine import ops
from nerwin.engine.graph import Node, apply, constant, parameter
from nerwin.engine.types import Array, Indices
from nerwin.options import ModelOptions
from nerwin.text.ngrams import Bags
from nerwin.text.vocabulary import PADDING

Parameters = dict[str, Array]


@dataclass(slots=True)
class Inputs:
    """What is known of a batch of B words.

    rows     (k, F) of each different word in their windows, in columns for each table
    windows  (B, 2C+1) numbers of those words
    dense    (B, K) numbers, of which there may be none
    bags     of n-grams, if there is a table of them; the rows in its column are their numbers
    """

    rows: Indices
    windows: Indices
    dense: Array
    bags: Bags | None = None


@dataclass(frozen=True, slots=True)
class Dropout:
    """Shares of what is set to zero, and what draws it: of the words' vectors, in all windows of
    a batch alike, of the dense numbers in x, of the hidden units.

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
        size, dtype = H.value.size, H.value.dtype
        drawn = self.rng.integers(1 << 64, size=-(-size // 4), dtype=np.uint64)  # four at once
        kept = drawn.view(np.uint16)[:size].reshape(H.value.shape) >= round(share * (1 << 16))
        return apply(ops.multiply, H, constant(kept * dtype.type(1 / (1 - share))))


def one_against_rest(options: ModelOptions) -> bool:
    """Whether each scorer has a loss of its own, and "outside" is that none says yes."""
    return options.loss in {"logistic", "squared"}


def is_the_lectures(options: ModelOptions) -> bool:
    """Whether it is the network that ``fused.window_network`` is, if x has no dense numbers."""
    own = options.loss, options.activation, options.share_hidden, len(options.hidden)
    return own == ("logistic", "sigmoid", True, 1) and options.hidden[0] > 1


def scores(
    nodes: Mapping[str, Node],
    inputs: Inputs,
    tables: Mapping[str, slice],
    options: ModelOptions,
    dropout: Dropout | None = None,
) -> Node:
    """S (B, T), the score of each scorer for each window."""
    V = word_vectors(nodes, inputs.rows, inputs.bags, tables, options)
    D = constant(inputs.dense)
    if dropout:
        V, D = dropout.apply(V, dropout.x), dropout.apply(D, dropout.dense)
    W, b = layer_names(len(options.hidden))[0]
    # All scorers' first layers read the same x: side by side they are one layer.
    Z = apply(ops.window_affine, V, D, nodes[W], nodes[b], words=inputs.windows)
    return scores_above(nodes, Z, options, dropout)


def scores_above(
    nodes: Mapping[str, Node], Z: Node, options: ModelOptions, dropout: Dropout | None = None
) -> Node:
    """S (B, T) from Z, what the first layer makes of x before its nonlinearity."""
    f = ACTIVATIONS[options.activation]
    H = apply(f, Z)
    if dropout:
        H = dropout.apply(H, dropout.hidden)
    for W, b in layer_names(len(options.hidden))[1:]:
        layer = ops.affine if options.share_hidden else ops.grouped_affine
        H = apply(f, apply(layer, H, nodes[W], nodes[b]))
        if dropout:
            H = dropout.apply(H, dropout.hidden)
    return apply(ops.scores if options.share_hidden else ops.grouped_scores, H, nodes["U"])


def word_vectors(
    nodes: Mapping[str, Node],
    rows: Indices,
    bags: Bags | None,
    tables: Mapping[str, slice],
    options: ModelOptions,
) -> Node:
    """V (k, n), what every table has for each of k words: their rows are (k, F)."""
    made = []
    for name, columns in tables.items():
        own = rows[:, columns]
        if name == "E_ngrams" and bags:
            several = bags[own[:, 0]]
            V = apply(ops.bag, nodes[name], rows=several.rows, starts=several.starts)
        else:
            V = apply(ops.lookup, nodes[name], rows=own)
        if options.padding == "zero":
            words = rows[:, :1] != PADDING
            V = apply(ops.multiply, V, constant(words.astype(V.value.dtype)))
        made.append(V)
    return made[0] if len(made) == 1 else apply(ops.concatenate, *made)


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
