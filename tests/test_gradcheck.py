from functools import wraps

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nerwin.engine import ops
from nerwin.engine.gradcheck import error_by_step, gradcheck, weighted_total
from nerwin.engine.graph import apply, constant, topological_order
from nerwin.engine.rowgrad import RowGrad
from nerwin.verification import op_examples


def dense(gradient):
    return gradient.dense() if isinstance(gradient, RowGrad) else np.array(gradient)


def with_gradient(op, change, which=0):
    """The op, whose gradient for one input is passed through ``change``."""

    @wraps(op)
    def mutant(*inputs, **constants):
        value, gradients = op(*inputs, **constants)
        changed = list(gradients)
        changed[which] = lambda upstream: change(dense(gradients[which](upstream)))
        return value, tuple(changed)

    return mutant


def check_op(op, inputs, constants=None, **options):
    def loss(nodes):
        made = apply(op, *nodes.values(), **(constants or {}))
        return weighted_total(made, np.random.default_rng(7))

    return gradcheck(loss, {str(i): x for i, x in enumerate(inputs)}, **options)


def N(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


# --- ops that are wrong -----------------------------------------------------------------------


def mean_for_sum_total(X):
    return np.asarray(X.sum()), (lambda dJ: np.full(X.shape, dJ / X.size),)


def mean_for_sum_affine(X, W, b):
    Z, (dX, dW, _) = ops.affine(X, W, b)
    return Z, (dX, dW, lambda dZ: dZ.mean(axis=0))


def sigmoid_without_its_slope(Z):
    H, _ = ops.sigmoid(Z)
    return H, (lambda dH: dH,)


def sigmoid_with_half_its_slope(Z):
    H, _ = ops.sigmoid(Z)
    return H, (lambda dH: dH * H,)


def lookup_that_loses_repeated_rows(E, *, rows):
    def dE(dV):
        gradient = np.zeros_like(E)
        gradient[rows] += dV
        return gradient

    return E[rows], (dE,)


def affine_without_transpose(X, W, b):
    Z, (_, dW, db) = ops.affine(X, W, b)
    return Z, (lambda dZ: dZ @ W, dW, db)


def maximum_routed_to_the_smaller(X, Y):
    Z, (dX, dY) = ops.maximum(X, Y)
    return Z, (dY, dX)


def maximum_routed_to_both(X, Y):
    return np.maximum(X, Y), (lambda dZ: dZ, lambda dZ: dZ)


def multiply_that_does_not_switch(X, Y):
    Z, (dX, dY) = ops.multiply(X, Y)
    return Z, (dY, dX)


ROWS = {"rows": np.array([[0, 2, 2], [3, 2, 0]])}
MUTANTS = [
    (mean_for_sum_total, (N(3, 4),), {}),
    (mean_for_sum_affine, (N(5, 4), N(4, 3), N(3)), {}),
    (sigmoid_without_its_slope, (N(3, 4),), {}),
    (sigmoid_with_half_its_slope, (N(3, 4),), {}),
    (lookup_that_loses_repeated_rows, (N(5, 3),), ROWS),
    (affine_without_transpose, (N(5, 4), N(4, 4), N(4)), {}),
    (maximum_routed_to_the_smaller, (N(3, 4), N(4, 3).T), {}),
    (maximum_routed_to_both, (N(3, 4), N(4, 3).T), {}),
    (multiply_that_does_not_switch, (N(3, 4), N(4, 3).T), {}),
]


@pytest.mark.parametrize(
    ("op", "inputs", "constants"), MUTANTS, ids=[op.__name__ for op, _, _ in MUTANTS]
)
def test_a_wrong_op_fails(op, inputs, constants):
    assert not all(check.passed for check in check_op(op, inputs, constants))


EXAMPLES = [
    pytest.param(op, inputs, constants, which, id=f"{i}-{op.__name__}-{which}")
    for i, (op, inputs, constants) in enumerate(op_examples(np.random.default_rng(0)))
    for which in range(len(inputs))
]
each_input_of_each_op = pytest.mark.parametrize(("op", "inputs", "constants", "which"), EXAMPLES)


@each_input_of_each_op
def test_a_right_op_passes(op, inputs, constants, which):
    check = check_op(op, inputs, constants)[which]
    assert check.passed
    assert check.kinks == 0


def in_one_entry(gradient):
    wrong = gradient.copy()
    wrong.flat[abs(wrong).argmax()] *= 1.05
    return wrong


def nan_in_one_entry(gradient):
    wrong = gradient.copy()
    wrong.flat[-1] = np.nan
    return wrong


@each_input_of_each_op
@pytest.mark.parametrize(
    "change",
    [
        lambda gradient: 1234 * gradient,
        lambda gradient: -gradient,
        lambda gradient: 0 * gradient,
        lambda gradient: 1.01 * gradient,
        lambda gradient: gradient + 1,
        in_one_entry,
        nan_in_one_entry,
        lambda gradient: gradient[None],
    ],
    ids=["×1234", "sign", "zero", "×1.01", "+1", "one entry", "NaN", "shape"],
)
def test_a_gradient_changed_like_this_fails(op, inputs, constants, which, change):
    check = check_op(with_gradient(op, change, which), inputs, constants)[which]
    assert not check.passed


@each_input_of_each_op
def test_a_gradient_wrong_by_a_ten_thousandth_fails(op, inputs, constants, which):
    mutant = with_gradient(op, lambda gradient: 1.0001 * gradient, which)
    check = check_op(mutant, inputs, constants)[which]
    assert not check.passed
    assert check.kinks == 0


def test_an_infinite_gradient_fails():
    mutant = with_gradient(ops.tanh, lambda gradient: np.full_like(gradient, np.inf))
    (check,) = check_op(mutant, (N(3, 4),))
    assert not check.passed


def test_the_report_names_the_wrong_entry_and_both_derivatives():
    def change(gradient):
        gradient[1, 2] = 7
        return gradient

    (check,) = check_op(with_gradient(ops.tanh, change), (N(3, 4),))
    assert check.index == (1, 2)
    assert check.analytic == 7
    right = np.random.default_rng(7).normal(size=(3, 4))[1, 2] * (1 - np.tanh(N(3, 4)[1, 2]) ** 2)
    assert check.numeric == pytest.approx(right)
    assert (check.parameter, check.shape, check.entries) == ("0", (3, 4), 12)


# --- a backward that is wrong -----------------------------------------------------------------


def backward_that_overwrites(root):
    gradients = {root: np.ones_like(root.value)}
    for node in reversed(topological_order(root)):
        for source, local in zip(node.inputs, node.gradients, strict=True):
            if source.depends:
                gradients[source] = local(gradients[node])
    return gradients


def two_branches(nodes):
    return apply(ops.total, apply(ops.add, apply(ops.tanh, nodes["x"]), nodes["x"]))


def test_a_branch_overwritten_instead_of_summed_fails(monkeypatch):
    (right,) = gradcheck(two_branches, {"x": N(3)})
    monkeypatch.setattr("nerwin.engine.gradcheck.backward", backward_that_overwrites)
    (wrong,) = gradcheck(two_branches, {"x": N(3)})
    assert right.passed
    assert not wrong.passed


# --- kinks ------------------------------------------------------------------------------------


def test_relu_at_zero_is_a_kink_and_no_failure():
    (check,) = check_op(ops.relu, (np.array([-1.0, 0.0, 2.0, 0.0]),))
    assert check.passed
    assert (check.kinks, check.entries) == (2, 2)


def test_maximum_at_a_tie_is_a_kink_and_no_failure():
    first, second = check_op(ops.maximum, (np.array([1.0, 2.0]), np.array([1.0, -2.0])))
    for check in (first, second):
        assert check.passed
        assert (check.kinks, check.entries) == (1, 1)


def test_a_parameter_that_is_all_kinks_has_not_passed():
    (check,) = check_op(ops.relu, (np.zeros(3),))
    assert not check.passed
    assert (check.kinks, check.entries) == (3, 0)


@pytest.mark.parametrize("factor", [1234, -1, 2.5])
def test_no_slope_outside_those_of_a_kink_is_excused(factor):
    def steep_at_zero(Z):
        return np.maximum(Z, 0), (lambda dH: dH * factor,)

    (check,) = check_op(steep_at_zero, (np.zeros(2),))
    assert not check.passed


@pytest.mark.parametrize("distance", [2e-6, 1e-5, 5e-5, 9e-5])
def test_beside_a_kink_the_right_slope_passes_and_a_wrong_one_fails(distance):
    x = (np.array([distance, -distance, 1.0]),)
    assert check_op(ops.relu, x)[0].passed
    for change in (lambda g: 1.0 - g, lambda g: 0.5 * g, lambda g: -g, lambda g: 1234 * g):
        assert not check_op(with_gradient(ops.relu, change), x)[0].passed


def cube(x):
    return apply(ops.multiply, x, apply(ops.multiply, x, x))


SMOOTH = {  # the function as a graph, and its derivative
    "identity": (lambda x: x, lambda x: 1.0),
    "square": (lambda x: apply(ops.multiply, x, x), lambda x: 2 * x),
    "cube": (cube, lambda x: 3 * x**2),
    "tanh": (lambda x: apply(ops.tanh, x), lambda x: 1 - np.tanh(x) ** 2),
    "tanh of cube": (
        lambda x: apply(ops.tanh, cube(x)),
        lambda x: 3 * x**2 * (1 - np.tanh(x**3) ** 2),
    ),
    "sigmoid": (
        lambda x: apply(ops.sigmoid, x),
        lambda x: 1 / ((1 + np.exp(-x)) * (1 + np.exp(x))),
    ),
}


def check_times_factor(name, x, factor, offset=0.0):
    """Check a smooth function of one number, plus an offset, its gradient times a factor."""
    make, _ = SMOOTH[name]

    def copy(X):
        return X, (lambda upstream: factor * upstream,)

    def loss(nodes):
        return apply(ops.add, make(apply(copy, nodes["x"])), constant(np.array(offset)))

    (check,) = gradcheck(loss, {"x": np.array(x)})
    return check


points = st.floats(-2, 2) | st.sampled_from([-1.0, -0.5, 0.5, 1.0])


@settings(max_examples=200)
@given(st.sampled_from(sorted(SMOOTH)), points, st.floats(-10, 10), st.floats(-3, 3))
def test_a_wrong_derivative_at_a_smooth_point_is_never_excused_as_a_kink(name, x, factor, offset):
    assume(abs(SMOOTH[name][1](x)) > 1e-3)
    assume(abs(factor - 1) > 0.01)
    check = check_times_factor(name, x, factor, offset)
    assert not check.passed
    assert check.kinks == 0


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(SMOOTH)),
    points | st.just(0.0),
    st.floats(1e-5, 1e-2),
    st.floats(-3, 3),
)
def test_nor_is_one_that_is_wrong_by_little(name, x, excess, offset):
    assume(abs(SMOOTH[name][1](x)) > 1e-2)
    check = check_times_factor(name, x, 1 + excess, offset)
    assert not check.passed
    assert check.kinks == 0


@settings(max_examples=200)
@given(st.sampled_from(sorted(SMOOTH)), points | st.just(0.0), st.floats(-3, 3))
def test_a_right_derivative_of_a_smooth_function_passes(name, x, offset):
    assume(abs(SMOOTH[name][1](x)) > 0.02)  # else h² is not small beside it
    check = check_times_factor(name, x, 1.0, offset)
    assert check.passed


# --- derivatives of zero -----------------------------------------------------------------------


def zero_times(nodes):
    return apply(ops.total, apply(ops.multiply, nodes["x"], constant(np.zeros(3))))


def test_a_gradient_of_exactly_zero_passes():
    (check,) = gradcheck(zero_times, {"x": N(3)})
    assert (check.error, check.entries, check.kinks) == (0, 3, 0)


def test_a_parameter_without_influence_passes():
    unused, used = gradcheck(
        lambda nodes: apply(ops.total, nodes["used"]), {"unused": N(2), "used": N(3)}
    )
    assert unused.passed
    assert used.passed
    assert (unused.entries, unused.error) == (2, 0)


def test_a_gradient_where_there_should_be_none_fails():
    (check,) = check_op(
        with_gradient(ops.multiply, lambda gradient: gradient + 1e-3), (N(3), np.zeros(3))
    )[:1]
    assert not check.passed


# --- numeric derivatives ------------------------------------------------------------------------


def bent(nodes):
    return apply(ops.total, apply(ops.sigmoid, apply(ops.multiply, nodes["x"], nodes["x"])))


def test_one_sided_errors_fall_as_h_and_two_sided_as_h_squared():
    steps = np.array([1e-1, 1e-2, 1e-3])
    table = np.array(error_by_step(bent, {"x": np.array([0.4, -1.1, 0.9])}, steps.tolist()))
    np.testing.assert_array_equal(table[:, 0], steps)
    falls = np.diff(np.log10(table[:, 1:]), axis=0)
    np.testing.assert_allclose(-falls[:, 0], 1, atol=0.1)
    np.testing.assert_allclose(-falls[:, 1], 2, atol=0.1)


def test_the_numeric_derivatives_are_the_quotients():
    x, h = 0.7, 0.01
    (two,) = gradcheck(bent, {"x": np.array([x])}, h=h)
    (one,) = gradcheck(bent, {"x": np.array([x])}, h=h, one_sided=True)

    def f(x):
        return 1 / (1 + np.exp(-x * x))

    assert two.numeric == pytest.approx((f(x + h) - f(x - h)) / (2 * h), rel=1e-12)
    assert one.numeric == pytest.approx((f(x + h) - f(x)) / h, rel=1e-12)
    assert two.error < one.error


def test_parameters_are_left_alone_and_checked_in_float64():
    x = N(3).astype(np.float32)
    x.flags.writeable = False
    seen = set()

    def loss(nodes):
        seen.add(nodes["x"].value.dtype)
        return two_branches(nodes)

    (check,) = gradcheck(loss, {"x": x})
    assert check.passed
    assert seen == {np.dtype(np.float64)}


def test_only_as_many_entries_are_checked_as_asked_for_and_rng_draws_them():
    checks = [
        check_op(ops.tanh, (N(6, 7),), entries=5, rng=np.random.default_rng(seed))[0]
        for seed in (0, 0, 1)
    ]
    assert [check.entries for check in checks] == [5, 5, 5]
    assert checks[0] == checks[1]
    assert checks[0] != checks[2]


def test_a_scalar_parameter_can_be_checked():
    (check,) = gradcheck(lambda nodes: apply(ops.tanh, nodes["x"]), {"x": np.array(0.5)})
    assert check.passed
    assert (check.index, check.entries) == ((), 1)


def test_weighted_total_tells_elements_apart():
    """With a plain sum, a transposed gradient of an elementwise op would pass."""
    mutant = with_gradient(ops.add, lambda gradient: gradient.T.copy())
    first, _ = check_op(mutant, (N(3, 3), N(3, 3)))
    assert not first.passed
