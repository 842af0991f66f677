import os
import subprocess
import sys
from dataclasses import replace
from functools import cache, wraps

import numpy as np
import pytest

from nerwin import classifier, verification
from nerwin.classifier import ACTIVATIONS
from nerwin.decoding import Labels
from nerwin.engine import ops
from nerwin.engine.graph import backward, parameter
from nerwin.engine.rowgrad import RowGrad
from nerwin.gold import Gold
from nerwin.initial import new_parameters
from nerwin.model import Model
from nerwin.options import ModelOptions
from nerwin.text.lexicon import Lexicon
from nerwin.text.tags import read_tags
from nerwin.text.vocabulary import PADDING, Vocabulary
from nerwin.verification import all_cases, graph_cases, model_cases, op_cases, trained_case

CASES = list(all_cases())
MODEL_CASES = list(model_cases())


def failures(cases, entries=None):
    """The names of the cases that fail; of each parameter that many entries are checked."""
    some = [replace(case, entries=entries) for case in cases]
    return {case.name for case in some if not all(check.passed for check in case.check())}


@cache
def checks_of(number):
    return CASES[number].check()


def dense(gradient):
    return gradient.dense() if isinstance(gradient, RowGrad) else np.array(gradient)


# --- what is checked passes ---------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: CASES[i].name)
def test_every_case_passes(number):
    case, checks = CASES[number], checks_of(number)
    assert {check.parameter for check in checks} >= set(case.parameters)
    for check in checks:
        assert check.passed
        if check.parameter in case.parameters:
            assert check.entries + check.kinks == np.size(case.parameters[check.parameter])


def test_next_to_nothing_is_left_out_as_a_kink():
    checks = [check for number in range(len(CASES)) for check in checks_of(number)]
    assert sum(check.kinks for check in checks) <= 1e-3 * sum(check.entries for check in checks)


def test_every_op_graph_and_form_of_the_model_is_among_the_cases():
    names = [case.name for case in CASES]
    assert len(names) == len(list(op_cases())) + len(list(graph_cases())) + len(MODEL_CASES)
    assert len(MODEL_CASES) == len({case.name for case in MODEL_CASES}) == 2 * 3 * 2 * 2 * 2 + 6
    assert any(name == "graph (x+y)·max(y,z)" for name in names)


@pytest.mark.parametrize("case", MODEL_CASES, ids=lambda case: case.name)
def test_rows_that_no_window_touches_have_a_gradient_of_exactly_zero_and_others_do_not(case):
    nodes = {name: parameter(value) for name, value in case.parameters.items()}
    gradient = dense(backward(case.loss(nodes))[nodes["E"]])
    # The rows of the cases' windows, but for a padding that is nobody's vector.
    touched = [0, 1, 2, 3, 4, 7] if "zero padding" not in case.name else [0, 2, 3, 4, 7]
    assert case.touched.tolist() == touched
    assert np.flatnonzero(gradient.any(axis=1)).tolist() == touched


def test_the_cases_are_the_same_each_time():
    for first, second in zip(CASES, all_cases(), strict=True):
        assert first.name == second.name
        for name, value in first.parameters.items():
            np.testing.assert_array_equal(value, second.parameters[name])
    case = CASES[-1]
    assert case.check() == case.check()


def test_the_cases_are_the_same_in_every_process():
    script = (
        "from hashlib import sha256; from nerwin.verification import all_cases\n"
        "parts = [v.tobytes() for c in all_cases() for v in c.parameters.values()]\n"
        "print(sha256(b''.join(parts)).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("case", MODEL_CASES, ids=lambda case: case.name)
def test_every_parameter_of_a_model_case_has_a_gradient_to_check(case):
    nodes = {name: parameter(value) for name, value in case.parameters.items()}
    gradients = backward(case.loss(nodes))
    assert [name for name, node in nodes.items() if not dense(gradients[node]).any()] == []


def test_one_sided_errors_are_larger():
    case = next(iter(model_cases()))
    both = [max(check.error for check in case.check(one_sided=side)) for side in (True, False)]
    assert both[0] > 100 * both[1]


def test_errors_by_step_fall_as_h_and_h_squared():
    case = next(case for case in MODEL_CASES if "tanh" in case.name)
    table = np.log10(case.error_by_step([1e-2, 1e-3]))
    fall = table[0] - table[1]
    np.testing.assert_allclose(fall, [1, 1, 2], atol=0.15)


# --- what is broken fails -------------------------------------------------------------------------


def with_gradient(op, which, change):
    @wraps(op)
    def mutant(*inputs, **constants):
        value, gradients = op(*inputs, **constants)
        changed = list(gradients)
        changed[which] = lambda upstream: change(gradients[which](upstream), upstream)
        return value, tuple(changed)

    return mutant


def replace_op(monkeypatch, op, mutant):
    """Put the mutant where the model, the examples of ops and the random graphs find the op."""
    monkeypatch.setattr(ops, op.__name__, mutant)
    for name, activation in ACTIVATIONS.items():
        if activation is op:
            monkeypatch.setitem(classifier.ACTIVATIONS, name, mutant)
    for group in ("_UNARY", "_GRAPH_OPS"):
        changed = tuple(
            mutant if member is op else member for member in getattr(verification, group)
        )
        monkeypatch.setattr(verification, group, changed)


@pytest.mark.parametrize("op", [ops.sigmoid, ops.tanh, ops.relu], ids=lambda op: op.__name__)
def test_an_activation_without_its_slope_fails_in_every_kind_of_case(op, monkeypatch):
    replace_op(monkeypatch, op, with_gradient(op, 0, lambda _, upstream: upstream))
    assert f"op {op.__name__}" in failures(op_cases())
    assert failures(graph_cases())
    expected = {case.name for case in MODEL_CASES if f" {op.__name__}," in case.name}
    assert failures(model_cases(), entries=10) >= expected


@pytest.mark.parametrize(
    ("op", "which", "fails_in"),
    [
        (ops.lookup, 0, "model"),
        (ops.bag, 0, "all features"),
        (ops.multiply, 0, "zero padding"),
        (ops.concatenate, 0, "all features"),
        (ops.window_affine, 0, "model"),
        (ops.window_affine, 2, "model"),
        (ops.window_affine, 3, "model"),
        (ops.affine, 0, "shared, 3"),
        (ops.affine, 1, "shared, 3"),
        (ops.affine, 2, "shared, 3"),
        (ops.grouped_affine, 0, "separate, 3"),
        (ops.grouped_affine, 1, "separate, 3"),
        (ops.grouped_affine, 2, "separate, 3"),
        (ops.scores, 0, "shared"),
        (ops.scores, 1, "shared"),
        (ops.grouped_scores, 0, "separate"),
        (ops.grouped_scores, 1, "separate"),
        (ops.squared_error, 0, "squared"),
        (ops.logistic_loss, 0, "logistic"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_wrong_gradient_of_any_op_of_the_model_fails_where_the_model_uses_it(
    op, which, fails_in, monkeypatch
):
    replace_op(monkeypatch, op, with_gradient(op, which, lambda g, _: 1.01 * dense(g)))
    few = [case for case in model_cases() if " tanh," in case.name]
    assert failures(few, entries=5) == {case.name for case in few if fails_in in case.name}


def test_anything_but_exactly_zero_in_an_untouched_row_fails(monkeypatch):
    def leak(gradient, _):
        table = dense(gradient)
        table[8] = 1e-12  # far below what differences of J can tell
        return table

    replace_op(monkeypatch, ops.lookup, with_gradient(ops.lookup, 0, leak))
    case = next(iter(model_cases()))
    failed = [check for check in case.check() if not check.passed]
    assert "E, rows no window touches" in [check.parameter for check in failed]


# --- a trained model -----------------------------------------------------------------------------

WORDS = ["in", "the", "hotel", "hilton", "paris", "april"]


def trained(**options):
    sentences = "Paris Hilton wowed in the gown", "the Hilton Hotel in Paris"
    tokens = " ".join(sentences).split()
    tags = ["B-PER", "I-PER", "O", "O", "O", "O", "O", "B-ORG", "I-ORG", "O", "B-LOC"]
    starts = np.array([0, 6, 11])
    gold = Gold(
        "gold.txt", "", tokens, starts, np.array([0, 2]), tags, "IOB2", read_tags(tags, starts)
    )
    rng = np.random.default_rng(0)
    options = ModelOptions(hidden=(12,), **options)
    types = ("LOC", "ORG", "PER")
    E = rng.normal(size=(2 + 4, 5)).astype(np.float32)
    parameters = new_parameters(E, Labels(types, options.tags), options, rng)
    untouched = rng.normal(size=(2, 5)).astype(np.float32)
    return Model(options, types, Lexicon(Vocabulary.of(WORDS)), parameters, untouched, E[:0]), gold


@pytest.mark.parametrize("padding", ["learned", "zero"])
@pytest.mark.parametrize("share", [True, False])
def test_a_trained_model_is_checked_on_real_windows(padding, share):
    model, gold = trained(padding=padding, share_hidden=share)
    case = trained_case(model, gold)
    checks = {check.parameter: check for check in case.check()}
    assert set(checks) == {*model.parameters, "E, rows no window touches"}
    assert all(check.passed for check in checks.values())
    assert checks["W"].entries == 200 < model.parameters["W"].size
    assert checks["E, rows no window touches"].entries > 0
    assert (PADDING in case.touched) == (padding == "learned")


def test_what_is_counted_and_not_trained_has_no_derivative():
    model, gold = trained(tags="BIOES", loss="softmax")
    counted = {"A": np.zeros((4, 4)), "a": np.zeros(4), "z": np.zeros(4)}
    model.parameters |= counted
    checked = {check.parameter for check in trained_case(model, gold).check()}
    assert checked == {*model.parameters, "E, rows no window touches"} - counted.keys()


def test_a_trained_model_with_a_mutant_op_fails(monkeypatch):
    replace_op(
        monkeypatch, ops.sigmoid, with_gradient(ops.sigmoid, 0, lambda _, upstream: upstream)
    )
    assert failures([trained_case(*trained())])


def test_a_trained_case_leaves_the_model_alone():
    model, gold = trained()
    before = {name: value.copy() for name, value in model.parameters.items()}
    trained_case(model, gold).check()
    for name, value in model.parameters.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, before[name])
