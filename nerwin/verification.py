"""What the gradient check is run on: every op, random graphs, and the model in all its forms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nerwin.classifier import ACTIVATIONS, Dropout, Inputs
from nerwin.decoding import Labels
from nerwin.engine import kernels, ops
from nerwin.engine.fused import window_network
from nerwin.engine.gradcheck import STEP, Check, Loss, error_by_step, gradcheck, weighted_total
from nerwin.engine.graph import Node, apply, backward, parameter
from nerwin.engine.rowgrad import RowGrad
from nerwin.engine.types import Array, Indices
from nerwin.gold import Gold
from nerwin.initial import new_parameters
from nerwin.model import TRANSITIONS, Model
from nerwin.options import ModelOptions
from nerwin.text.gazetteers import EntityList
from nerwin.text.lexicon import Lexicon
from nerwin.text.ngrams import Bags
from nerwin.text.vocabulary import PADDING, SPECIAL, Vocabulary

_SEED = 0
_GRAPHS = 6
_ENTRIES = 200  # checked of each parameter of a trained model
_BATCH = 32


@dataclass(frozen=True)
class Case:
    """Something to check: a loss and its parameters.

    touched  if E is among them: the rows that windows touch. All other rows' gradient must be
             exactly zero.
    """

    name: str
    loss: Loss
    parameters: Mapping[str, Array]
    touched: Indices | None = None
    entries: int | None = None

    def check(self, h: float = STEP, one_sided: bool = False) -> list[Check]:
        """Compare numeric and analytic derivatives, one Check for each parameter."""
        rng = np.random.default_rng(_SEED)
        checks = gradcheck(
            self.loss, self.parameters, h=h, one_sided=one_sided, entries=self.entries, rng=rng
        )
        return checks if self.touched is None else [*checks, self._check_untouched(self.touched)]

    def error_by_step(self, steps: Sequence[float]) -> list[tuple[float, float, float]]:
        """See ``gradcheck.error_by_step``."""
        rng = np.random.default_rng(_SEED)
        return error_by_step(self.loss, self.parameters, steps, entries=self.entries, rng=rng)

    def _check_untouched(self, touched: Indices) -> Check:
        nodes = {name: parameter(value, name) for name, value in self.parameters.items()}
        gradient = backward(self.loss(nodes))[nodes["E"]]
        dense = gradient.dense() if isinstance(gradient, RowGrad) else gradient
        rest = np.delete(dense, touched, axis=0)
        worst = float(abs(rest).max(initial=0))
        error = 0.0 if worst == 0 else float("inf")
        return Check("E, rows no window touches", rest.shape, rest.size, 0, error, (), worst, 0.0)


def all_cases() -> Iterator[Case]:
    """Every op, the lecture's example and random graphs, and every form of the model."""
    yield from op_cases()
    yield from graph_cases()
    yield from model_cases()


# --- ops ------------------------------------------------------------------------------------


def op_examples(
    rng: np.random.Generator,
) -> list[tuple[ops.Op, tuple[Array, ...], dict[str, Array]]]:
    """(op, inputs, constants) for every op in ``engine.ops``; some ops more than once."""

    def N(*shape: int) -> Array:
        return rng.normal(size=shape)

    return [
        (ops.add, (N(3, 4), N(3, 4)), {}),
        (ops.add, (N(3, 4), N(4)), {}),
        (ops.add, (N(), N()), {}),
        (ops.multiply, (N(3, 4), N(3, 4)), {}),
        (ops.multiply, (N(3, 1), N(2, 1, 4)), {}),
        (ops.multiply, (N(), N(2)), {}),
        (ops.maximum, (N(3, 4), N(3, 4)), {}),
        (ops.total, (N(3, 4),), {}),
        (ops.lookup, (N(7, 3),), {"rows": np.array([[0, 2, 2], [5, 2, 0]])}),
        (
            ops.bag,
            (N(7, 3),),
            {"rows": np.array([0, 2, 2, 5, 2, 0]), "starts": np.array([0, 1, 4, 6])},
        ),
        (ops.concatenate, (N(2, 5),), {}),
        (ops.concatenate, (N(2, 5), N(2, 4), N(2, 1)), {}),
        (ops.affine, (N(5, 4), N(4, 3), N(3)), {}),
        (
            ops.window_affine,
            (N(4, 3), N(2, 2), N(11, 5), N(5)),
            {"words": np.array([[0, 2, 2], [3, 2, 0]])},
        ),
        (ops.grouped_affine, (N(5, 8), N(2, 4, 3), N(6)), {}),
        (ops.sigmoid, (N(3, 4),), {}),
        (ops.tanh, (N(3, 4),), {}),
        (ops.relu, (N(3, 4),), {}),
        (ops.dot, (N(5, 4), N(4)), {}),
        (ops.scores, (N(5, 4), N(4, 3)), {}),
        (ops.grouped_scores, (N(5, 12), N(4, 3)), {}),
        (ops.squared_error, (N(5, 3),), {"Y": rng.integers(0, 2, (5, 3))}),
        (ops.logistic_loss, (N(5, 3),), {"Y": rng.integers(0, 2, (5, 3))}),
        (ops.softmax_cross_entropy, (N(5, 3),), {"Y": rng.dirichlet((1, 1, 1), 5)}),
    ]


def op_cases() -> Iterator[Case]:
    """A case for each example of an op, and of the fused one where it is what trains."""
    rng = np.random.default_rng(_SEED)
    examples = op_examples(rng)
    if kernels.compiled():
        shapes = (4, 3), (6, 5), (5,), (5, 2)
        inputs = tuple(rng.normal(size=shape) for shape in shapes)
        words, Y = np.array([[0, 2], [3, 2], [0, 0]]), rng.integers(0, 2, (3, 2))
        examples.append((window_network, inputs, {"words": words, "Y": Y}))
    for op, inputs, constants in examples:
        names = [f"input {i}" for i in range(1, len(inputs) + 1)]

        def weighted(
            nodes: Mapping[str, Node], op: ops.Op = op, constants: dict[str, Array] = constants
        ) -> Node:
            return weighted_total(
                apply(op, *nodes.values(), **constants), np.random.default_rng(_SEED)
            )

        yield Case(f"op {op.__name__}", weighted, dict(zip(names, inputs, strict=True)))


# --- graphs ---------------------------------------------------------------------------------


def worked_example(nodes: Mapping[str, Node]) -> Node:
    """f(x, y, z) = (x + y) · max(y, z) (CS224N 2021 L3, 0:54): 6, and 2, 5, 0 at (1, 2, 0)."""
    x, y, z = (nodes[name] for name in "xyz")
    return apply(ops.multiply, apply(ops.add, x, y), apply(ops.maximum, y, z))


def graph_cases() -> Iterator[Case]:
    """The worked example, and random graphs of scalars and of matrices."""
    at = {"x": np.array(1.0), "y": np.array(2.0), "z": np.array(0.0)}
    yield Case("graph (x+y)·max(y,z)", worked_example, at)
    for i in range(_GRAPHS):
        shape: tuple[int, ...] = () if i % 2 else (2, 3)
        rng = np.random.default_rng((_SEED, i))
        parameters = {name: rng.normal(size=shape) for name in "abc"}
        kind = "matrices" if shape else "scalars"
        yield Case(f"graph {i + 1}, random, {kind}", partial(random_graph, seed=i), parameters)


def random_graph(nodes: Mapping[str, Node], seed: int, size: int = 25) -> Node:
    """Ops on nodes drawn at random, so that values have several consumers and paths differ."""
    rng = np.random.default_rng((_SEED, 1, seed))
    made = list(nodes.values())
    for _ in range(size):
        op: ops.Op = _GRAPH_OPS[rng.integers(len(_GRAPH_OPS))]
        inputs = [made[rng.integers(len(made))] for _ in range(1 if op in _UNARY else 2)]
        node = apply(op, *inputs)
        # Products of products would soon leave the range in which differences mean anything.
        made.append(apply(ops.tanh, node) if op is ops.multiply else node)
    last = made[-1]
    for node in made:
        last = apply(ops.add, last, node)
    return weighted_total(last, rng)


_UNARY: tuple[ops.Op, ...] = (ops.sigmoid, ops.tanh, ops.relu)
_GRAPH_OPS: tuple[ops.Op, ...] = (*_UNARY, ops.add, ops.multiply, ops.maximum)


# --- the model ------------------------------------------------------------------------------

_TYPES = ("LOC", "ORG", "PER")


def model_cases() -> Iterator[Case]:
    """Every loss, activation, padding, shared and separate, with one and three hidden layers; and
    the losses over all labels with every feature of a richer x, and dropout.

    The windows hold a word twice and more, paddings, and leave some rows untouched.
    """
    for name, activation, share, hidden, padding in itertools.product(
        ("logistic", "squared"), ACTIVATIONS, (True, False), ((5,), (5, 4, 3)), ("learned", "zero")
    ):
        options = ModelOptions(
            hidden=hidden, share_hidden=share, activation=activation, loss=name, padding=padding
        )
        layers = "1 hidden layer" if len(hidden) == 1 else f"{len(hidden)} hidden layers"
        networks = "shared" if share else "separate"
        title = f"{name}, {activation}, {networks}, {layers}, {padding} padding"
        yield _model_case(title, options)
    for name, tags in itertools.product(("logistic", "softmax", "crf"), ("IO", "BIOES")):
        options = ModelOptions(hidden=(5,), activation="tanh", loss=name, tags=tags)
        yield _model_case(f"{name}, {tags}, all features, dropout", options, rich=True)


def _model_case(title: str, options: ModelOptions, *, rich: bool = False) -> Case:
    """A model on made-up windows; a rich one has more tables, dense numbers and dropout."""
    rows = np.array([0, 1, 2, 3, 4, 7, 2])
    windows = np.array(
        [[1, 1, 2, 3, 2], [1, 2, 3, 2, 4], [6, 3, 2, 4, 1], [4, 4, 4, 4, 4], [0, 5, 0, 1, 1]]
    )
    rng = np.random.default_rng(_SEED)
    coding = Labels(_TYPES, options.tags)
    tables = {"E_ngrams": (7, 2, 1), "E_features": (5 + 12, 2, 3)} if rich else {}
    dense = rng.normal(size=(len(windows), 3 if rich else 0))
    E = rng.normal(size=(9, 3))
    parameters = new_parameters(E, coding, options, rng, tables, dense.shape[1])
    for name, value in parameters.items():
        if name[0] in "bAaz":  # zeros so far
            parameters[name] = rng.normal(size=value.shape)
    if options.padding == "zero":
        E[PADDING] = 0
    # One sentence of three words, O B-PER E-PER, and one of two, O S-LOC; as IO, O PER PER O LOC.
    labels = np.array([0, 9, 11, 0, 4] if options.tags == "BIOES" else [0, 3, 3, 0, 1])
    values = {"shape": ["Xx", "xx", "dd"]} if rich else {}
    lists = {"lists": [EntityList("", {}), EntityList("", {})]} if rich else {}
    vocabulary = Vocabulary.of([f"word{i}" for i in range(len(E) - len(SPECIAL))])
    lexicon = Lexicon(vocabulary, values, lists=lists, buckets=5 * rich)
    model = Model(options, _TYPES, lexicon, parameters, E[:0], E[:0])
    columns = [rows, rows, rows % 5, 5 + rows, 9 + rows % 8] if rich else [rows]
    bags = Bags(
        np.array([0, 1, 2, 3, 2, 2, 5, 6, 3, 6, 4, 4]), np.array([0, 1, 2, 4, 7, 9, 10, 11, 12])
    )
    inputs = Inputs(np.stack(columns, axis=-1), windows, dense, bags)

    def loss(nodes: Mapping[str, Node]) -> Node:
        dropout = Dropout(np.random.default_rng(_SEED), 0.4, 0.3, 0.5) if rich else None
        return model.loss(nodes, inputs, labels, np.array([0, 3, 5]), dropout)

    return Case(f"model {title}", loss, parameters, _touched(rows, options))


def plain_case() -> Case:
    """The lecture's own model, which is smooth everywhere."""
    return next(model_cases())


def trained_case(model: Model, gold: Gold) -> Case:
    """The model's own parameters on real sentences, as many as hold a batch of windows, from the
    first that has an entity on.
    """
    labels = model.labels.encode(gold.spans, gold.starts)
    entities = np.flatnonzero(labels)
    first = int(np.searchsorted(gold.starts, entities[0] if len(entities) else 0, "right")) - 1
    last = int(np.searchsorted(gold.starts, gold.starts[first] + _BATCH))
    starts = gold.starts[first : last + 1]
    batch = np.arange(starts[0], starts[-1])
    dense = model.dense(gold.words, gold.starts, gold.documents)[batch]
    windows = model.windows(gold.words, gold.starts)
    words, places = np.unique(windows[batch], return_inverse=True)
    rows, E = model.local_table(windows.rows[words], model.parameters["E"])
    touched = _touched(rows[:, 0], model.options)
    others = model.parameters["E"][: len(touched)]  # rows that no window points to
    parameters = model.parameters | {"E": np.concatenate((E, others))}
    if model.options.loss != "crf":  # then they are counted, and J knows nothing of them
        parameters = {name: parameters[name] for name in parameters if name not in TRANSITIONS}

    def loss(nodes: Mapping[str, Node]) -> Node:
        inputs = Inputs(rows, places, dense, windows.bags)
        return model.loss(nodes, inputs, labels[batch], starts - starts[0])

    return Case(
        f"trained model, {len(batch)} windows of {Path(gold.path).name}",
        loss,
        {name: value.astype(np.float64) for name, value in parameters.items()},
        touched,
        _ENTRIES,
    )


def _touched(rows: Indices, options: ModelOptions) -> Indices:
    """The rows whose vectors these windows depend on; a zero padding is nobody's vector."""
    rows = np.unique(rows)
    return rows[rows != PADDING] if options.padding == "zero" else rows
