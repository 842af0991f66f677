import inspect
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from nerwin.engine import ops
from nerwin.engine.gradcheck import gradcheck, weighted_total
from nerwin.engine.graph import apply
from nerwin.engine.rowgrad import RowGrad
from nerwin.verification import op_examples

NO_OPS = {"logistic"}  # public functions of nerwin.engine.ops that give no gradients

EXAMPLES = op_examples(np.random.default_rng(1))
each_example = pytest.mark.parametrize(
    ("op", "inputs", "constants"),
    EXAMPLES,
    ids=[f"{i}-{op.__name__}" for i, (op, _, _) in enumerate(EXAMPLES)],
)


def dense(gradient):
    return gradient.dense() if isinstance(gradient, RowGrad) else np.asarray(gradient)


def like_training(inputs, constants, dtype=np.float32):
    """Inputs and targets in training's dtype; row numbers and labels stay whole numbers."""
    as_float = {k: v.astype(dtype) if k == "Y" else v for k, v in constants.items()}
    return [np.asarray(x, dtype) for x in inputs], as_float


# --- every op of the table --------------------------------------------------------------------


def test_every_public_op_has_an_example():
    public = {
        name
        for name, function in inspect.getmembers(ops, inspect.isfunction)
        if function.__module__ == ops.__name__ and not name.startswith("_")
    }
    assert public - NO_OPS == {op.__name__ for op, _, _ in EXAMPLES}


@each_example
def test_every_op_passes_the_gradient_check(op, inputs, constants):
    def loss(nodes):
        return weighted_total(apply(op, *nodes.values(), **constants), np.random.default_rng(2))

    checks = gradcheck(loss, {str(i): x for i, x in enumerate(inputs)})
    assert len(checks) == len(inputs)
    for check, x in zip(checks, inputs, strict=True):
        assert check.error <= 1e-6
        assert (check.entries, check.kinks) == (np.size(x), 0)


@each_example
def test_an_op_has_one_gradient_for_each_input_and_it_has_the_inputs_shape(op, inputs, constants):
    value, gradients = op(*inputs, **constants)
    assert len(gradients) == len(inputs)
    for x, gradient in zip(inputs, gradients, strict=True):
        assert gradient(np.ones_like(value)).shape == np.shape(x)


@each_example
def test_an_op_writes_into_no_argument_and_no_upstream_gradient(op, inputs, constants):
    def everything(writeable):
        def own(x):
            x = np.array(x)
            x.flags.writeable = writeable
            return x

        value, gradients = op(*map(own, inputs), **{k: own(v) for k, v in constants.items()})
        upstream = own(np.random.default_rng(3).normal(size=np.shape(value)))
        first = [dense(gradient(upstream)).copy() for gradient in gradients]
        again = [dense(gradient(upstream)).copy() for gradient in gradients]
        return [np.array(value), *first], [np.array(value), *again]

    free, _ = everything(writeable=True)
    for locked in everything(writeable=False):
        for a, b in zip(free, locked, strict=True):
            np.testing.assert_array_equal(a, b)


@each_example
def test_float32_in_gives_float32_out(op, inputs, constants):
    inputs, constants = like_training(inputs, constants)
    value, gradients = op(*inputs, **constants)
    assert value.dtype == np.float32
    for gradient in gradients:
        assert dense(gradient(np.ones_like(value))).dtype == np.float32


@each_example
def test_the_float32_gradient_is_near_the_float64_gradient(op, inputs, constants):
    results = []
    for dtype in (np.float32, np.float64):
        value, gradients = op(*like_training(inputs, constants, dtype)[0], **constants)
        results.append([np.asarray(value), *(dense(g(np.ones_like(value))) for g in gradients)])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


# --- forward, against loops and plain formulas --------------------------------------------------


def naive_bag(E, rows, starts):
    bags = [rows[a:b] for a, b in pairwise(starts)]
    return np.array([sum(E[row] for row in bag) / len(bag) for bag in bags])


def naive_lookup(E, rows):
    return np.array([[v for r in several for v in E[r]] for several in rows])


def naive_concatenate(*parts):
    return np.array([[v for part in parts for v in part[i]] for i in range(len(parts[0]))])


def naive_affine(X, W, b):
    Z = np.empty((len(X), len(b)))
    for i, j in np.ndindex(Z.shape):
        Z[i, j] = b[j] + sum(X[i, k] * W[k, j] for k in range(len(W)))
    return Z


def naive_window_affine(V, D, W, b, words):
    x = [[v for word in window for v in V[word]] for window in words]
    return naive_affine(np.column_stack((x, D)), W, b)


def naive_grouped_affine(X, W, b):
    T, n, m = W.shape
    layers = [
        naive_affine(X[:, t * n : (t + 1) * n], W[t], b[t * m : (t + 1) * m]) for t in range(T)
    ]
    return np.hstack(layers)


def naive_grouped_scores(H, U):
    m, T = U.shape
    return np.array([[h[t * m : (t + 1) * m] @ U[:, t] for t in range(T)] for h in H])


def naive_logistic_loss(S, Y):
    P = special.expit(S)
    return -(Y * np.log(P) + (1 - Y) * np.log(1 - P)).sum() / len(S)


def naive_softmax_cross_entropy(S, Y):
    return -(Y * np.log(special.softmax(S, axis=1))).sum() / len(S)


FORWARD = {
    "add": lambda X, Y: X + Y,
    "multiply": lambda X, Y: X * Y,
    "maximum": lambda X, Y: np.where(X > Y, X, Y),
    "total": lambda X: math.fsum(X.ravel()),
    "lookup": naive_lookup,
    "bag": naive_bag,
    "concatenate": naive_concatenate,
    "affine": naive_affine,
    "window_affine": naive_window_affine,
    "grouped_affine": naive_grouped_affine,
    "sigmoid": special.expit,
    "tanh": lambda Z: (np.exp(Z) - np.exp(-Z)) / (np.exp(Z) + np.exp(-Z)),
    "relu": lambda Z: np.where(Z > 0, Z, 0),
    "dot": lambda H, u: np.array([sum(a * b for a, b in zip(h, u, strict=True)) for h in H]),
    "scores": lambda H, U: naive_affine(H, U, np.zeros(U.shape[1])),
    "grouped_scores": naive_grouped_scores,
    "squared_error": lambda P, Y: (
        sum((p - y) ** 2 for p, y in zip(P.flat, Y.flat, strict=True)) / len(P)
    ),
    "logistic_loss": naive_logistic_loss,
    "softmax_cross_entropy": naive_softmax_cross_entropy,
}


@each_example
def test_the_forward_value_is_the_formulas(op, inputs, constants):
    expected = FORWARD[op.__name__](*inputs, **constants)
    value, _ = op(*inputs, **constants)
    assert np.shape(value) == np.shape(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


# --- what the lecture says of single ops ------------------------------------------------------


def test_add_distributes_multiply_switches_and_max_routes():
    x, y, upstream = np.array([3.0]), np.array([-2.0]), np.array([7.0])

    def both(op):
        return [gradient(upstream).item() for gradient in op(x, y)[1]]

    assert both(ops.add) == [7, 7]
    assert both(ops.multiply) == [-14, 21]
    assert both(ops.maximum) == [7, 0]


def test_at_a_tie_max_gives_its_gradient_to_the_first_input_once():
    tie, upstream = np.zeros(3), np.array([1.0, -2.0, 3.0])
    _, (dX, dY) = ops.maximum(tie, tie)
    np.testing.assert_array_equal(dX(upstream), upstream)
    np.testing.assert_array_equal(dY(upstream), np.zeros(3))


def test_a_row_met_several_times_gets_the_sum_and_a_row_not_met_exactly_zero():
    E = np.random.default_rng(0).normal(size=(6, 2))
    rows = np.array([[4, 1, 4], [4, 4, 0]])
    dV = np.arange(12.0).reshape(2, 3, 2)
    expected = np.zeros_like(E)
    for place in np.ndindex(rows.shape):
        expected[rows[place]] += dV[place]
    (gradient,) = ops.lookup(E, rows=rows)[1]
    np.testing.assert_array_equal(gradient(dV.reshape(2, 6)).dense(), expected)


def test_a_lookup_of_nothing():
    E = np.ones((3, 2))
    V, (gradient,) = ops.lookup(E, rows=np.zeros((0, 4), int))
    assert V.shape == (0, 8)
    np.testing.assert_array_equal(gradient(V).dense(), np.zeros((3, 2)))


@given(
    st.sampled_from([1, 3, 5]),
    st.integers(1, 5),
    st.integers(0, 6),
    st.integers(0, 2),
    st.sampled_from([np.int32, np.int64]),
)
def test_a_window_affine_is_the_affine_of_x_put_together(P, k, B, K, dtype):
    n, m = 2, 3
    rng = np.random.default_rng(P + 10 * k + 100 * B)
    V, D, W, b, dZ, another = (
        rng.normal(size=shape) for shape in ((k, n), (B, K), (P * n + K, m), (m,), (B, m), (B, m))
    )
    words = rng.integers(0, k, (B, P), dtype)
    X = np.column_stack((V[words].reshape(B, P * n), D))
    Z, (dV, dD, dW, db) = ops.window_affine(V, D, W, b, words=words)
    expected, (dX, expected_dW, expected_db) = ops.affine(X, W, b)
    np.testing.assert_allclose(Z, expected, atol=1e-12)
    for upstream in (dZ, another, dZ):  # what is kept of one is not another's
        expected_dV = np.zeros_like(V)
        np.add.at(expected_dV, words, dX(upstream)[:, : P * n].reshape(B, P, n))
        np.testing.assert_allclose(dV(upstream), expected_dV, atol=1e-12)
        np.testing.assert_allclose(dD(upstream), dX(upstream)[:, P * n :], atol=1e-12)
        np.testing.assert_allclose(dW(upstream), expected_dW(upstream), atol=1e-12)
        np.testing.assert_allclose(db(upstream), expected_db(upstream), atol=1e-12)


def test_the_batchs_gradient_is_the_sum_of_its_examples_gradients():
    rng = np.random.default_rng(0)
    X, W, b, dZ = (rng.normal(size=shape) for shape in ((6, 4), (4, 3), (3,), (6, 3)))
    dX, dW, db = (gradient(dZ) for gradient in ops.affine(X, W, b)[1])
    np.testing.assert_allclose(dX, [W @ d for d in dZ])
    np.testing.assert_allclose(dW, sum(np.outer(x, d) for x, d in zip(X, dZ, strict=True)))
    np.testing.assert_allclose(db, sum(dZ))


@pytest.mark.parametrize(
    ("op", "constants"),
    [
        (ops.squared_error, {"Y": np.array([[1.0, 0], [0, 1], [0, 0]])}),
        (ops.logistic_loss, {"Y": np.array([[1.0, 0], [0, 1], [0, 0]])}),
        (ops.softmax_cross_entropy, {"Y": np.array([[0.0, 1], [1, 0], [0.3, 0.7]])}),
    ],
)
def test_a_loss_is_a_mean_over_examples_so_that_doubling_the_batch_changes_nothing(op, constants):
    S = np.random.default_rng(0).normal(size=(3, 2))
    twice = {name: np.concatenate((value, value)) for name, value in constants.items()}
    J, (dS,) = op(S, **constants)
    J2, (dS2,) = op(np.concatenate((S, S)), **twice)
    one = np.ones_like(J)
    np.testing.assert_allclose(J2, J)
    np.testing.assert_allclose(dS2(one)[:3], dS(one) / 2)


# --- extreme scores ---------------------------------------------------------------------------

EXTREME = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [88.8, -88.8, 16.6]], np.float32)
TARGETS = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("op", "constants"),
    [
        (ops.sigmoid, {}),
        (ops.tanh, {}),
        (ops.relu, {}),
        (ops.squared_error, {"Y": TARGETS}),
        (ops.logistic_loss, {"Y": TARGETS}),
        (ops.softmax_cross_entropy, {"Y": np.eye(3, dtype=np.float32)[[1, 0, 2]]}),
    ],
)
def test_scores_of_ten_thousand_do_not_overflow_in_float32(op, constants):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, (gradient,) = op(EXTREME, **constants)
        downstream = gradient(np.ones_like(value))
    assert np.isfinite(value).all()
    assert np.isfinite(downstream).all()


def test_saturated_probabilities_are_zero_and_one():
    np.testing.assert_array_equal(ops.logistic(np.array([-1e4, 0, 1e4])), [0, 0.5, 1])


def test_logistic_is_the_logistic_function_to_the_last_bits():
    S = np.linspace(-50, 50, 1001)
    np.testing.assert_allclose(ops.logistic(S), special.expit(S), rtol=0, atol=4e-16)


def test_confidently_wrong_costs_the_score_and_confidently_right_costs_nothing():
    for s, y, expected in ((1e4, 0, 1e4), (-1e4, 1, 1e4), (1e4, 1, 0), (-1e4, 0, 0)):
        J, _ = ops.logistic_loss(np.array([[s]], np.float32), Y=np.array([[y]], np.float32))
        assert float(J) == expected


def exact_logistic_loss(S, Y):
    """−log p of the target's side, where p = 1 / (1 + exp(−score)), in extended precision."""
    side = np.where(np.asarray(Y) > 0.5, 1, -1) * np.asarray(S, np.longdouble)
    return np.log1p(np.exp(-side)).sum() / len(S)


@given(st.lists(st.tuples(st.floats(-700, 700), st.integers(0, 1)), min_size=1, max_size=20))
def test_logistic_loss_is_the_exact_minus_log_p_up_to_rounding_of_the_scores(examples):
    S = np.array([[s] for s, _ in examples])
    Y = np.array([[y] for _, y in examples])
    J, _ = ops.logistic_loss(S, Y=Y)
    np.testing.assert_allclose(float(J), float(exact_logistic_loss(S, Y)), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize(("s", "y"), [(20.0, 1), (30.0, 1), (36.0, 1), (-30.0, 0), (-600.0, 0)])
def test_the_small_loss_of_a_confidently_right_score_is_not_lost_in_rounding(s, y):
    J, _ = ops.logistic_loss(np.array([[s]]), Y=np.array([[y]]))
    assert float(J) == pytest.approx(float(exact_logistic_loss([[s]], [[y]])), rel=1e-9, abs=0)


def test_a_float32_loss_is_as_exact_as_float32_and_never_negative():
    rng = np.random.default_rng(0)
    S = rng.uniform(10, 20, (256, 4)).astype(np.float32)
    Y = rng.integers(0, 2, S.shape).astype(np.float32)
    right = np.where(Y > 0.5, S, -S)  # every score on its target's side
    J, _ = ops.logistic_loss(right, Y=Y)
    assert J >= 0
    assert float(J) == pytest.approx(float(exact_logistic_loss(right, Y)), rel=1e-4, abs=0)


def test_softmax_cross_entropy_of_two_classes_is_the_logistic_loss_of_their_difference():
    rng = np.random.default_rng(0)
    S, labels = rng.normal(0, 5, (50, 2)), rng.integers(0, 2, 50)
    softmax, _ = ops.softmax_cross_entropy(S, Y=np.eye(2)[labels])
    logistic, _ = ops.logistic_loss(S[:, 1:] - S[:, :1], Y=labels[:, None])
    np.testing.assert_allclose(softmax, logistic, rtol=1e-12)


def test_concatenated_gradients_are_the_pieces_in_order():
    parts = [np.zeros((2, 3)), np.zeros((2, 4)), np.zeros((2, 1))]
    upstream = np.arange(16.0).reshape(2, 8)
    pieces = [gradient(upstream) for gradient in ops.concatenate(*parts)[1]]
    edges = [0, 3, 7, 8]
    for piece, (a, b) in zip(pieces, pairwise(edges), strict=True):
        np.testing.assert_array_equal(piece, upstream[:, a:b])
