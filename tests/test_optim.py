import math

import numpy as np
import pytest

from nerwin.engine.optim import SGD, AdaGrad, Adam, clipped, linear_decay
from nerwin.engine.rowgrad import RowGrad

RATE = 0.1


# --- the textbook, one number at a time -------------------------------------------------------


def textbook_sgd(theta, gradients, momentum=0.0, l2=0.0):
    velocity = 0.0
    for g in gradients:
        velocity = momentum * velocity + g + l2 * theta
        theta -= RATE * velocity
    return theta


def textbook_adagrad(theta, gradients, l2=0.0, epsilon=1e-8):
    squares = 0.0
    for raw in gradients:
        g = raw + l2 * theta
        squares += g**2
        theta -= RATE * g / (math.sqrt(squares) + epsilon)
    return theta


def textbook_adam(theta, gradients, l2=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8):
    m = v = 0.0
    for t, raw in enumerate(gradients, 1):
        g = raw + l2 * theta
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        theta -= RATE * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + epsilon)
    return theta


CASES = {
    "sgd": (SGD, textbook_sgd, {}),
    "sgd, l2": (SGD, textbook_sgd, {"l2": 0.3}),
    "sgd, momentum": (SGD, textbook_sgd, {"momentum": 0.9}),
    "sgd, momentum, l2": (SGD, textbook_sgd, {"momentum": 0.5, "l2": 0.3}),
    "adagrad": (AdaGrad, textbook_adagrad, {}),
    "adagrad, l2, epsilon": (AdaGrad, textbook_adagrad, {"l2": 0.3, "epsilon": 0.01}),
    "adam": (Adam, textbook_adam, {}),
    "adam, l2": (Adam, textbook_adam, {"l2": 0.3}),
    "adam, no memory": (Adam, textbook_adam, {"beta1": 0.0, "beta2": 0.0, "epsilon": 0.01}),
    "adam, hardly any memory": (Adam, textbook_adam, {"beta1": 0.001, "beta2": 0.002}),
    "adam, all": (Adam, textbook_adam, {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.01}),
}
each_case = pytest.mark.parametrize(
    ("optimizer", "textbook", "options"), CASES.values(), ids=CASES.keys()
)


def example(shape=(4, 3), steps=12):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(steps, *shape))
    gradients.flags.writeable = False
    return rng.normal(size=shape), gradients


@each_case
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 2)])
def test_dense_updates_are_the_textbooks(optimizer, textbook, options, shape):
    theta, gradients = example(shape)
    expected = [
        textbook(theta[place], [g[place] for g in gradients], **options)
        for place in np.ndindex(shape)
    ]
    rule = optimizer(**options)
    for gradient in gradients:
        rule.update("theta", theta, gradient, RATE)
    np.testing.assert_allclose(theta.ravel(), expected, rtol=1e-11)


@each_case
def test_row_updates_of_all_rows_are_dense_updates(optimizer, textbook, options):
    by_rows, gradients = example()
    dense = by_rows.copy()
    one, other = optimizer(**options), optimizer(**options)
    for gradient in gradients:
        one.update("E", by_rows, RowGrad(np.arange(4), gradient, 4), RATE)
        other.update("E", dense, gradient, RATE)
    np.testing.assert_allclose(by_rows, dense, rtol=1e-13)


@each_case
def test_a_row_goes_its_own_way_whichever_rows_others_touch(optimizer, textbook, options):
    table, gradients = example(shape=(5, 3), steps=20)
    start = table.copy()
    rng = np.random.default_rng(1)
    rule = optimizer(**options)
    met = [[] for _ in table]
    for gradient in gradients:
        rows = np.flatnonzero(rng.random(5) < [0.9, 0.5, 0.5, 0.2, 0])
        rule.update("E", table, RowGrad(rows, gradient[rows], 5), RATE)
        for row in rows:
            met[row].append(gradient[row])
    for row, own in enumerate(met):
        expected = [
            textbook(start[row, j], [g[j] for g in own], **options) for j in range(table.shape[1])
        ]
        np.testing.assert_allclose(table[row], expected, rtol=1e-11)


@each_case
def test_untouched_rows_and_their_state_stay_the_same_bits(optimizer, textbook, options):
    table, gradients = example()
    rule = optimizer(**options)
    rule.update("E", table, RowGrad(np.arange(4), gradients[0], 4), RATE)  # a state other than 0
    everything = [table, *rule.state.get("E", {}).values()]
    before = [array.tobytes() for array in (array[[0, 3]] for array in everything)]
    for gradient in gradients[1:]:
        rule.update("E", table, RowGrad(np.array([1, 2]), gradient[1:3], 4), RATE)
    assert [array[[0, 3]].tobytes() for array in everything] == before
    assert not np.array_equal(table[1:3], example()[0][1:3])


@each_case
@pytest.mark.parametrize("sparse", [False, True])
def test_a_float32_parameter_is_changed_in_place_and_stays_float32(
    optimizer, textbook, options, sparse
):
    table = np.ones((4, 3), np.float32)
    seen_elsewhere = table[:]
    gradient = np.ones((4, 3), np.float32)
    gradient.flags.writeable = False
    rule = optimizer(**options)
    for _ in range(2):
        rule.update("E", table, RowGrad(np.arange(4), gradient, 4) if sparse else gradient, RATE)
    assert table.dtype == np.float32
    assert (seen_elsewhere != 1).all()
    assert {array.dtype for array in rule.state.get("E", {}).values()} <= {np.dtype(np.float32)}


@each_case
def test_every_parameter_has_a_state_of_its_own(optimizer, textbook, options):
    theta, gradients = example()
    together, alone = theta.copy(), theta.copy()
    shared, own = optimizer(**options), optimizer(**options)
    for gradient in gradients:
        shared.update("other", theta, 100 * gradient, RATE)
        shared.update("theta", together, gradient, RATE)
        own.update("theta", alone, gradient, RATE)
    np.testing.assert_array_equal(together, alone)


@each_case
def test_no_row_touched_changes_nothing(optimizer, textbook, options):
    table, _ = example()
    before = table.copy()
    nothing = RowGrad(np.array([], np.int64), np.empty((0, 3)), 4)
    optimizer(**options).update("E", table, nothing, RATE)
    np.testing.assert_array_equal(table, before)


# --- single rules -----------------------------------------------------------------------------


def test_l2_alone_shrinks_what_is_touched():
    table = np.ones((3, 2))
    SGD(l2=0.5).update("E", table, RowGrad(np.array([1]), np.zeros((1, 2)), 3), RATE)
    np.testing.assert_array_equal(table, [[1, 1], [1 - 0.5 * RATE] * 2, [1, 1]])


@pytest.mark.parametrize("optimizer", [AdaGrad, Adam])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_first_step_of_a_rare_row_has_about_the_size_of_the_rate(optimizer, size):
    table = np.zeros((2, 1), np.float32)
    rule = optimizer()
    for _ in range(2000):
        rule.update("E", table, RowGrad(np.array([0]), np.full((1, 1), size, "f"), 2), RATE)
    rule.update("E", table, RowGrad(np.array([1]), np.full((1, 1), -size, "f"), 2), RATE)
    assert table[1, 0] == pytest.approx(RATE, rel=1e-3)


def test_momentum_is_none_unless_asked_for():
    rule = SGD()
    rule.update("W", np.ones(3), np.ones(3), RATE)
    assert rule.state == {"W": {}}


def test_the_rate_decays_linearly_from_all_of_it_towards_none():
    assert [linear_decay(step / 4) for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("limit", "share"), [(100.0, 1.0), (13.0, 1.0), (6.5, 0.5), (1e-6, 1e-6 / 13)]
)
def test_gradients_are_clipped_by_their_common_length(limit, share):
    table = RowGrad(np.array([1, 4]), np.array([[3.0, 0.0], [0.0, 4.0]]), 6)
    gradients = {"E": table, "W": np.full((2, 2), 6.0)}  # 9 + 16 + 144 = 13²
    short = clipped(gradients, limit)
    np.testing.assert_allclose(short["E"].dense(), share * table.dense())
    np.testing.assert_allclose(short["W"], share * gradients["W"])
    assert table.values[0, 0] == 3  # what was given is as it was
