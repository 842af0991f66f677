import itertools
from dataclasses import replace

import numpy as np
import pytest

from nerwin import scoring
from nerwin.classifier import (
    ACTIVATIONS,
    Dropout,
    Inputs,
    layer_names,
    parameter_nodes,
    scores,
)
from nerwin.decoding import Labels
from nerwin.engine import kernels, ops
from nerwin.engine.graph import backward, constant, parameter
from nerwin.engine.rowgrad import RowGrad
from nerwin.gold import read_gold
from nerwin.initial import new_parameters
from nerwin.manifest import read_manifest
from nerwin.model import Model, vectors_of
from nerwin.modeldir import load_model
from nerwin.options import ModelOptions
from nerwin.text.lexicon import Lexicon
from nerwin.text.vocabulary import PADDING, Vocabulary

TRAINED = ["in", "the", "hilton", "hotel", "paris"]
UNTOUCHED = ["gown", "april", "sequin"]
SENTENCES = [
    ["in", "the", "Hilton", "Hotel", "in", "Paris", "in", "April"],
    ["Paris"],
    ["a", "sequin", "gown"],
    ["Hilton", "Hilton"],
]
TOKENS = [token for sentence in SENTENCES for token in sentence]
STARTS = np.cumsum([0] + [len(sentence) for sentence in SENTENCES])
TYPES = ("LOC", "ORG", "PER")
D = 3


def make_model(types=TYPES, seed=0, **options):
    options = ModelOptions(**({"hidden": (4,)} | options))
    rng = np.random.default_rng(seed)
    E = rng.normal(size=(2 + len(TRAINED), D)).astype(np.float32)
    parameters = new_parameters(E, Labels(types, "IO"), options, rng)
    for _, b in layer_names(len(options.hidden)):
        parameters[b] = rng.normal(size=parameters[b].shape).astype(np.float32)
    untouched = rng.normal(size=(len(UNTOUCHED), D)).astype(np.float32)
    lexicon = Lexicon(Vocabulary.of([*TRAINED, *UNTOUCHED]))
    return Model(options, types, lexicon, parameters, untouched, E[:0])


def probabilities(model, tokens=TOKENS, starts=STARTS):
    S = model.scores(tokens, starts, np.arange(len(starts)))
    assert not S[:, 0].any()  # "outside" has no scorer
    return ops.logistic(S[:, 1:])


def some_inputs(model):
    """The windows, with untouched words' rows put where the table has some."""
    windows = model.windows(TOKENS, STARTS)
    words, places = np.unique(windows[:], return_inverse=True)
    rows = windows.rows[words] % len(model.parameters["E"])
    return Inputs(rows, places, np.zeros((len(places), 0), np.float32))


FORMS = [
    dict(zip(("activation", "share_hidden", "hidden", "padding", "window"), form, strict=True))
    for form in itertools.product(
        ACTIVATIONS, (True, False), ((4,), (4, 5, 2)), ("learned", "zero"), (0, 2)
    )
]
each_form = pytest.mark.parametrize(
    "form", FORMS, ids=lambda form: "-".join(map(str, form.values()))
)


# --- one window and one type at a time, by the lecture's formulas --------------------------------


def naive_probability(model, sentence, i, t):
    options, parameters = model.options, model.parameters
    table = np.concatenate((parameters["E"], model.untouched)).astype(float)
    words = dict(zip([*TRAINED, *UNTOUCHED], table[2:], strict=True))
    padding = np.zeros(D) if options.padding == "zero" else table[1]
    x = []
    for j in range(i - options.window, i + options.window + 1):
        if 0 <= j < len(sentence):
            x.extend(words.get(sentence[j].lower(), table[0]))
        else:
            x.extend(padding)
    h = np.array(x)
    names = layer_names(len(options.hidden))
    for layer, (m, (weights, bias)) in enumerate(zip(options.hidden, names, strict=True)):
        W, b = parameters[weights].astype(float), parameters[bias].astype(float)
        if not options.share_hidden:
            own = slice(t * m, (t + 1) * m)
            W, b = (W[:, own] if layer == 0 else W[t]), b[own]
        z = np.array([sum(W[k, j] * h[k] for k in range(len(h))) + b[j] for j in range(m)])
        if options.activation == "sigmoid":
            h = 1 / (1 + np.exp(-z))
        elif options.activation == "tanh":
            h = np.tanh(z)
        else:
            h = np.where(z > 0, z, 0)
    s = sum(parameters["U"][k, t] * h[k] for k in range(len(h)))
    return 1 / (1 + np.exp(-s))


@each_form
def test_probabilities_are_those_of_one_window_and_type_at_a_time(form):
    model = make_model(**form)
    expected = [
        [naive_probability(model, sentence, i, t) for t in range(len(TYPES))]
        for sentence in SENTENCES
        for i in range(len(sentence))
    ]
    P = probabilities(model)
    assert P.dtype == np.float32
    np.testing.assert_allclose(P, expected, rtol=1e-5, atol=1e-6)


def test_probabilities_do_not_depend_on_how_windows_are_cut_into_blocks(monkeypatch):
    model = make_model()
    whole = probabilities(model)
    for block in (1, 3, 5, len(TOKENS)):
        monkeypatch.setattr(scoring, "_BLOCK", block)
        blocks = probabilities(model)
        np.testing.assert_allclose(blocks, whole, rtol=1e-6)


def test_no_token_gives_no_probability():
    model = make_model()
    P = probabilities(model, [], np.array([0]))
    assert P.shape == (0, len(TYPES))


def test_a_zero_padding_does_not_depend_on_the_paddings_vector():
    for padding in ("zero", "learned"):
        model = make_model(padding=padding)
        before = probabilities(model)
        model.parameters["E"][PADDING] += 1
        after = probabilities(model)
        assert np.array_equal(before, after) == (padding == "zero")


# --- a network per type --------------------------------------------------------------------------


def one_types_parameters(model, t):
    """What a model of type t alone has for parameters, out of those of separate networks."""
    own = {"E": model.parameters["E"], "U": model.parameters["U"][:, [t]]}
    hidden = model.options.hidden
    for layer, (m, (W, b)) in enumerate(zip(hidden, layer_names(len(hidden)), strict=True)):
        columns = slice(t * m, (t + 1) * m)
        both = model.parameters[W]
        own[W] = both[:, columns] if layer == 0 else both[t]
        own[b] = model.parameters[b][columns]
    return own


@pytest.mark.parametrize("hidden", [(4,), (4, 5, 2)])
def test_separate_networks_are_as_many_models_of_one_type(hidden):
    model = make_model(share_hidden=False, hidden=hidden)
    P = probabilities(model)
    options = ModelOptions(hidden=hidden)
    for t, name in enumerate(TYPES):
        parameters = one_types_parameters(model, t)
        alone = replace(model, options=options, types=(name,), parameters=parameters)
        own = probabilities(alone)
        np.testing.assert_allclose(P[:, [t]], own, rtol=1e-5)


@pytest.mark.parametrize("kind", ["logistic", "squared"])
@pytest.mark.parametrize("hidden", [(4,), (4, 5, 2)])
def test_separate_networks_learn_as_many_models_of_one_type_do(hidden, kind):
    model = make_model(share_hidden=False, hidden=hidden, loss=kind)
    labels = np.random.default_rng(0).integers(0, len(TYPES) + 1, len(TOKENS))

    def gradients(parameters, labels, options, types):
        nodes = {name: parameter(value.astype(float)) for name, value in parameters.items()}
        J = replace(model, options=options, types=types).loss(nodes, some_inputs(model), labels)
        made = backward(J)
        return J.value, {name: made[node] for name, node in nodes.items()}

    J, together = gradients(model.parameters, labels, model.options, TYPES)
    slices = replace(model, parameters=together)
    J_sum, E_sum = 0, 0
    for t in range(len(TYPES)):
        options = ModelOptions(hidden=hidden, loss=kind)
        J_t, alone = gradients(
            one_types_parameters(model, t), (labels == t + 1).astype(int), options, TYPES[t : t + 1]
        )
        J_sum += J_t
        E_sum = alone.pop("E").dense() + E_sum
        together_t = one_types_parameters(slices, t)
        for name, gradient in alone.items():
            np.testing.assert_allclose(together_t[name], gradient, rtol=1e-9, atol=1e-13)
    assert float(J) == pytest.approx(J_sum)
    np.testing.assert_allclose(together["E"].dense(), E_sum, rtol=1e-9, atol=1e-13)


# --- the table of vectors ------------------------------------------------------------------------


def test_dropout_hides_the_same_of_a_word_in_all_windows_of_a_batch():
    model = make_model()
    inputs = some_inputs(model)
    twice = replace(
        inputs,
        windows=np.concatenate((inputs.windows, inputs.windows)),
        dense=np.zeros((2 * len(inputs.dense), 0), np.float32),
    )
    nodes = parameter_nodes(model.parameters, model.options)

    def made(dropout):
        return scores(nodes, twice, model.lexicon.tables, model.options, dropout).value

    S = made(Dropout(np.random.default_rng(0), 0.5, 0.5))
    np.testing.assert_array_equal(*np.split(S, 2))
    assert (made(None) != S).any(axis=1).all()


def test_dropout_keeps_the_mean():
    ones = constant(np.ones((200, 300), np.float32))
    kept = Dropout(np.random.default_rng(0)).apply(ones, 0.4).value
    assert set(np.unique(kept).tolist()) == {0, float(np.float32(1 / 0.6))}
    assert kept.mean() == pytest.approx(1, abs=0.02)


def test_vectors_of_rows_in_training_and_of_untouched_ones():
    model = make_model()
    table = np.concatenate((model.parameters["E"], model.untouched))
    rows = np.array([9, 0, 3, 7, 1, 6, 9])
    vectors = vectors_of(rows, model.parameters["E"], model.untouched)
    np.testing.assert_array_equal(vectors, table[rows])
    assert vectors.dtype == np.float32
    assert vectors_of(rows[:0], model.parameters["E"], model.untouched).shape == (0, D)


@pytest.mark.parametrize("rows", [[8, 3, 8, 1, 9, 3], [1, 1, 1], [0, 1, 2], [9, 9, 8]])
def test_a_local_table_holds_the_rows_that_occur_and_renumbers_words_for_it(rows):
    model = make_model()
    rows = np.array(rows, np.int32)[:, None]
    local, E = model.local_table(rows, model.parameters["E"])
    table = np.concatenate((model.parameters["E"], model.untouched))
    assert local.shape == rows.shape
    np.testing.assert_array_equal(E[local[:, 0]], table[rows[:, 0]])
    assert len(E) == len({0, 1, *rows.ravel().tolist()})
    np.testing.assert_array_equal(E[:2], table[:2])
    np.testing.assert_array_equal(local == PADDING, rows == PADDING)


def test_windows_of_words_use_the_rows_of_the_vocabulary_and_paddings_at_the_ends():
    model = make_model(window=1)
    windows = model.windows(TOKENS, STARTS)
    batch = windows[np.array([0, 8, 11])]
    np.testing.assert_array_equal(windows.rows[batch, 0], [[1, 2, 3], [1, 6, 1], [9, 7, 1]])


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "hidden", "shapes"),
    [
        (True, (4,), {"W": (15, 4), "b": (4,), "U": (4, 2)}),
        (False, (4,), {"W": (15, 8), "b": (8,), "U": (4, 2)}),
        (
            True,
            (4, 5, 6),
            {"W1": (15, 4), "b1": (4,), "W2": (4, 5), "b2": (5,), "W3": (5, 6), "b3": (6,)}
            | {"U": (6, 2)},
        ),
        (
            False,
            (4, 5, 6),
            {"W1": (15, 8), "b1": (8,), "W2": (2, 4, 5), "b2": (10,), "W3": (2, 5, 6), "b3": (12,)}
            | {"U": (6, 2)},
        ),
    ],
)
def test_new_parameters_have_these_shapes(share, hidden, shapes):
    E = np.zeros((9, 3), np.float32)
    options = ModelOptions(share_hidden=share, hidden=hidden)
    parameters = new_parameters(E, Labels(("A", "B"), "IO"), options, np.random.default_rng(0))
    assert parameters.pop("E") is E
    assert {name: value.shape for name, value in parameters.items()} == shapes
    assert {value.dtype for value in parameters.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("share", [True, False])
def test_new_weights_fill_glorots_range_and_biases_are_zero(share):
    options = ModelOptions(hidden=(40, 30), share_hidden=share)
    E = np.zeros((9, 10), np.float32)
    parameters = new_parameters(E, Labels(TYPES, "IO"), options, np.random.default_rng(0))
    for name, fans in (("W1", 50 + 40), ("W2", 40 + 30)):
        limit = np.sqrt(6 / fans)
        assert 0.98 * limit < abs(parameters[name]).max() <= limit * (1 + 1e-6)
        assert abs(parameters[name].mean()) < 0.1 * limit
    assert not parameters["b1"].any()
    assert not parameters["b2"].any()


def test_new_parameters_are_those_of_the_rng():
    def fresh(seed):
        return make_model(seed=seed).parameters

    for name, value in fresh(0).items():
        np.testing.assert_array_equal(value, fresh(0)[name])
        assert not np.array_equal(value, fresh(1)[name])


@pytest.mark.parametrize("update", [True, False])
def test_fixed_vectors_get_no_gradient_and_all_other_parameters_do(update):
    model = make_model(update_vectors=update)
    nodes = parameter_nodes(model.parameters, model.options)
    labels = np.ones(len(TOKENS), int)
    gradients = backward(model.loss(nodes, some_inputs(model), labels))
    assert (nodes["E"] in gradients) == update
    assert {name for name, node in nodes.items() if node in gradients} >= {"W", "b", "U"}
    assert not update or isinstance(gradients[nodes["E"]], RowGrad)


@each_form
@pytest.mark.parametrize("kind", ["logistic", "squared"])
def test_float32_parameters_have_float32_gradients_of_their_shape(form, kind):
    model = make_model(loss=kind, **form)
    nodes = parameter_nodes(model.parameters, model.options)
    J = model.loss(nodes, some_inputs(model), np.ones(len(TOKENS), int))
    gradients = backward(J)
    assert J.value.dtype == np.float32
    for name, node in nodes.items():
        gradient = gradients[node]
        assert gradient.shape == model.parameters[name].shape
        values = gradient.values if isinstance(gradient, RowGrad) else gradient
        assert values.dtype == np.float32


# --- a word at a time, and the graph -------------------------------------------------------------


@pytest.mark.parametrize("block", [7, 100, 1 << 14])
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("alone", [False, True], ids=["compiled", "alone"])
def test_scores_by_word_and_place_are_those_of_the_graph(rich, monkeypatch, block, passes, alone):
    monkeypatch.setattr(scoring, "_BLOCK", block)
    monkeypatch.setattr(scoring, "_KEPT", 1000 * block)
    if alone:
        monkeypatch.setattr(kernels, "compiled", lambda: None)
        monkeypatch.setattr(kernels, "_BLOCK", 40 * block)
    model = load_model(rich)
    manifest = read_manifest(rich)
    gold = read_gold(manifest.config.data.dev, manifest.config.data)
    arguments = gold.words, gold.starts, gold.documents
    if passes == 2:  # the second pass has more dense numbers, of whatever weight
        rng = np.random.default_rng(0)
        model.first = {k: 0.9 * v for k, v in model.parameters.items()}
        width = model.dense(*arguments).width
        n = len(model.parameters["W"]) + width - replace(model, first=None).dense(*arguments).width
        W = rng.normal(0, 0.05, (n, model.parameters["W"].shape[1])).astype(np.float32)
        model.parameters = model.parameters | {"W": W}
    windows, dense = model.windows(gold.words, gold.starts), model.dense(*arguments)
    words, places = np.unique(windows[:], return_inverse=True)
    rows, E = model.local_table(windows.rows[words], model.parameters["E"])
    nodes = {k: parameter(v) for k, v in (model.parameters | {"E": E}).items()}
    inputs = Inputs(rows, places, dense[:], windows.bags)
    graph = scores(nodes, inputs, model.lexicon.tables, model.options).value
    assert np.abs(graph).max() > 1
    np.testing.assert_allclose(model.scores(*arguments), graph, atol=2e-4)
