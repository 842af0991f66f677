from functools import wraps

import numpy as np
import pytest

from nerwin.engine import ops
from nerwin.engine.graph import apply, backward, constant, parameter, topological_order
from nerwin.engine.rowgrad import RowGrad
from nerwin.verification import worked_example


def scalar(value, name=""):
    return parameter(np.array(float(value)), name)


def counting(op, calls):
    """The op, which notes in ``calls`` which of its local gradients are computed."""

    @wraps(op)
    def counted(*inputs, **constants):
        value, gradients = op(*inputs, **constants)
        number = calls["nodes"] = calls.get("nodes", 0) + 1

        def note(i, gradient):
            def local(upstream):
                calls[number, i] = calls.get((number, i), 0) + 1
                return gradient(upstream)

            return local

        return value, tuple(note(i, gradient) for i, gradient in enumerate(gradients))

    return counted


# --- the lecture's example, and branches ----------------------------------------------------------


def test_the_lectures_worked_example():
    nodes = {name: scalar(value) for name, value in (("x", 1), ("y", 2), ("z", 0))}
    f = worked_example(nodes)
    gradients = backward(f)
    assert f.value == 6
    assert [gradients[nodes[name]] for name in "xyz"] == [2, 5, 0]


def test_inner_nodes_have_the_lectures_gradients_too():
    x, y, z = scalar(1), scalar(2), scalar(0)
    a, b = apply(ops.add, x, y), apply(ops.maximum, y, z)
    f = apply(ops.multiply, a, b)
    gradients = backward(f)
    assert (gradients[f], gradients[a], gradients[b]) == (1, 2, 3)


def test_a_value_used_twice_gets_the_sum_of_both_branches():
    x = scalar(0.3)
    f = apply(ops.add, apply(ops.tanh, x), apply(ops.sigmoid, x))
    p = 1 / (1 + np.exp(-0.3))
    assert backward(f)[x] == pytest.approx(1 - np.tanh(0.3) ** 2 + p * (1 - p))


def test_a_value_used_three_times_gets_the_sum_of_all_three():
    x, y, z = scalar(3), scalar(5), scalar(7)
    products = [apply(ops.multiply, x, other) for other in (y, z, x)]
    f = apply(ops.add, apply(ops.add, products[0], products[1]), products[2])
    assert backward(f)[x] == 5 + 7 + 2 * 3


def test_one_node_as_both_inputs_of_one_op():
    x = scalar(3)
    assert backward(apply(ops.multiply, x, x))[x] == 6
    assert backward(apply(ops.add, x, x))[x] == 2


def test_branches_of_different_lengths_meet():
    x = scalar(2)
    squared = apply(ops.multiply, x, x)
    fourth = apply(ops.multiply, squared, squared)
    f = apply(ops.add, apply(ops.multiply, fourth, x), apply(ops.add, squared, x))
    assert backward(f)[x] == 5 * 2**4 + 2 * 2 + 1


def test_a_table_used_by_lookup_and_as_a_whole_sums_sparse_and_dense_branches():
    E = parameter(np.arange(8.0).reshape(4, 2))
    looked_up = apply(ops.total, apply(ops.lookup, E, rows=np.array([[1], [1], [3]])))
    whole = apply(ops.total, apply(ops.multiply, E, E))
    expected = 2 * E.value
    np.add.at(expected, [1, 1, 3], 1)
    for f in (apply(ops.add, looked_up, whole), apply(ops.add, whole, looked_up)):
        np.testing.assert_array_equal(backward(f)[E], expected)


def test_two_lookups_in_one_table_sum_and_stay_sparse():
    E = parameter(np.zeros((1000, 2)))
    a = apply(ops.total, apply(ops.lookup, E, rows=np.array([[5], [7]])))
    b = apply(ops.total, apply(ops.lookup, E, rows=np.array([[7], [9]])))
    gradient = backward(apply(ops.add, a, b))[E]
    assert isinstance(gradient, RowGrad)
    np.testing.assert_array_equal(gradient.rows, [5, 7, 9])
    np.testing.assert_array_equal(gradient.values, [[1, 1], [2, 2], [1, 1]])


# --- order and cost ---------------------------------------------------------------------------


def test_inputs_stand_before_the_nodes_they_feed_and_each_node_once():
    rng = np.random.default_rng(0)
    nodes = [scalar(1), scalar(2), constant(np.array(3.0))]
    for _ in range(200):
        a, b = rng.integers(len(nodes), size=2)
        nodes.append(apply(ops.maximum, nodes[a], nodes[b]))
    root = nodes[2]
    for node in nodes:
        root = apply(ops.add, root, node)
    order = topological_order(root)
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert order[-1] is root
    assert set(order) == {node for node in order if node.depends}
    for node in order:
        assert all(place[source] < place[node] for source in node.inputs if source.depends)


def test_a_chain_of_20_000_nodes_needs_no_recursion():
    x, one = scalar(0), constant(np.array(1.0))
    node = x
    for _ in range(20_000):
        node = apply(ops.add, node, one)
    assert node.value == 20_000
    assert backward(node)[x] == 1


def test_each_local_gradient_is_computed_once_though_there_are_2_to_the_60_paths():
    calls = {}
    double = counting(ops.add, calls)
    tanh = counting(ops.tanh, calls)
    x = scalar(1e-30)  # where tanh is the identity
    node = x
    for _ in range(60):
        node = apply(double, apply(tanh, node), apply(tanh, node))
    gradient = backward(node)[x]
    assert calls.pop("nodes") == 180
    assert gradient == 2.0**60
    assert len(calls) == 60 * 4  # two edges into each of two tanh, and two into each sum
    assert set(calls.values()) == {1}


def test_a_constant_gets_no_gradient_and_its_local_gradient_is_never_computed():
    calls = {}
    multiply, tanh = counting(ops.multiply, calls), counting(ops.tanh, calls)
    c, x = constant(np.array(2.0)), scalar(3)
    made_of_constants = apply(tanh, c)  # node 1
    f = apply(multiply, made_of_constants, x)  # node 2
    gradients = backward(f)
    assert set(gradients) == {x, f}
    assert calls == {"nodes": 2, (2, 1): 1}


def test_a_parameter_that_the_root_does_not_depend_on_has_no_gradient():
    x, y = scalar(1), scalar(2)
    assert y not in backward(apply(ops.tanh, x))


# --- backward as a function -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (2, 3), (0,)])
def test_backward_starts_at_a_scalar_only(shape):
    x = parameter(np.zeros(shape))
    with pytest.raises(ValueError, match="scalar"):
        backward(apply(ops.tanh, x))


def test_two_calls_of_backward_give_equal_results():
    rng = np.random.default_rng(0)
    X, W, b = (parameter(rng.normal(size=shape)) for shape in ((4, 3), (3, 2), (2,)))
    H = apply(ops.sigmoid, apply(ops.affine, X, W, b))
    J = apply(ops.total, apply(ops.multiply, H, H))
    first, second = backward(J), backward(J)
    assert first.keys() == second.keys()
    for node, gradient in first.items():
        np.testing.assert_array_equal(gradient, second[node])


def test_backward_leaves_the_values_alone():
    rng = np.random.default_rng(0)
    X, W, b = (parameter(rng.normal(size=shape)) for shape in ((4, 3), (3, 2), (2,)))
    nodes = [X, W, b]
    nodes.append(apply(ops.affine, *nodes))
    nodes.append(apply(ops.relu, nodes[-1]))
    nodes.append(apply(ops.total, apply(ops.add, nodes[-1], nodes[-2])))
    before = [np.array(node.value) for node in nodes]
    backward(nodes[-1])
    for node, value in zip(nodes, before, strict=True):
        np.testing.assert_array_equal(node.value, value)


def test_the_root_alone_has_gradient_one():
    x = scalar(5)
    assert backward(x) == {x: 1}


# --- a multi-layer perceptron ---------------------------------------------------------------------

LAYERS = ((6, 5), (5, 4), (4, 3))


def mlp_parameters(rng):
    parameters = {"U": rng.normal(size=(3, 2))}
    for i, (n, m) in enumerate(LAYERS):
        parameters |= {f"W{i}": rng.normal(size=(n, m)), f"b{i}": rng.normal(size=m)}
    return parameters


def mlp(nodes, X, Y):
    H = constant(X)
    for i in range(len(LAYERS)):
        H = apply(ops.sigmoid, apply(ops.affine, H, nodes[f"W{i}"], nodes[f"b{i}"]))
    return apply(ops.logistic_loss, apply(ops.scores, H, nodes["U"]), Y=Y)


def one_examples_gradients(parameters, x, y):
    """The lecture's derivation for one column x: δ goes down, W ← δᵀxᵀ. No batch, no graph."""
    hs = [x]
    for i in range(len(LAYERS)):
        z = parameters[f"W{i}"].T @ hs[-1] + parameters[f"b{i}"]
        hs.append(1 / (1 + np.exp(-z)))
    ds = 1 / (1 + np.exp(-(parameters["U"].T @ hs[-1]))) - y
    gradients = {"U": np.outer(hs[-1], ds)}
    dh = parameters["U"] @ ds
    for i in reversed(range(len(LAYERS))):
        delta = dh * hs[i + 1] * (1 - hs[i + 1])
        gradients |= {f"W{i}": np.outer(hs[i], delta), f"b{i}": delta}
        dh = parameters[f"W{i}"] @ delta
    return gradients


def test_a_mini_batchs_gradient_is_the_mean_of_per_example_gradients_by_hand():
    rng = np.random.default_rng(0)
    parameters = mlp_parameters(rng)
    X, Y = rng.normal(size=(8, 6)), rng.integers(0, 2, (8, 2))
    nodes = {name: parameter(value, name) for name, value in parameters.items()}
    gradients = backward(mlp(nodes, X, Y))
    one_by_one = [one_examples_gradients(parameters, x, y) for x, y in zip(X, Y, strict=True)]
    for name, node in nodes.items():
        expected = sum(gradient[name] for gradient in one_by_one) / len(X)
        np.testing.assert_allclose(gradients[node], expected, rtol=1e-10, atol=1e-14)


class Counted(np.ndarray):
    """An array that counts the matrix products it takes part in."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        Counted.products += ufunc is np.matmul
        if out:
            options["out"] = tuple(np.asarray(array) for array in out)
        result = getattr(ufunc, method)(*(np.asarray(x) for x in inputs), **options)
        return np.asarray(result).view(Counted)


@pytest.mark.parametrize("batch", [1, 64])
def test_backward_makes_twice_the_matrix_products_of_forward_but_for_the_input(batch):
    rng = np.random.default_rng(0)
    nodes = {
        name: parameter(value.view(Counted), name) for name, value in mlp_parameters(rng).items()
    }
    X, Y = rng.normal(size=(batch, 6)), rng.integers(0, 2, (batch, 2))
    Counted.products = 0
    J = mlp(nodes, X.view(Counted), Y)
    assert Counted.products == 4  # three layers and the scores
    backward(J)
    assert Counted.products - 4 == 2 * 4 - 1  # no gradient for X, which is given
