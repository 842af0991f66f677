"""The lecture's network as one op, against the four that it stands for and numeric derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.engine import kernels, ops
from nerwin.engine.fused import window_network
from nerwin.engine.gradcheck import gradcheck
from nerwin.engine.graph import Node, apply, backward, constant, parameter

pytestmark = pytest.mark.skipif(kernels.compiled() is None, reason="built without a C compiler")

Arrays = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


def example(rng: np.random.Generator, B: int, P: int, m: int, T: int, dtype: type) -> Arrays:
    """Parameters, words and Y; words occur several times, or not at all."""
    k, n = 1 + B, 3
    shapes = {"V": (k, n), "W": (P * n, m), "b": (m,), "U": (m, T)}
    parameters = {name: (2 * rng.normal(size=s)).astype(dtype) for name, s in shapes.items()}
    Y = rng.random((B, T))
    Y[::2] = Y[::2].round()  # some say yes or no, some a probability, as teachers do
    return parameters, rng.integers(0, k, (B, P)), Y.astype(dtype)


def one(nodes: dict[str, Node], words: np.ndarray, Y: np.ndarray) -> Node:
    return apply(window_network, *nodes.values(), words=words, Y=Y)


def four(nodes: dict[str, Node], words: np.ndarray, Y: np.ndarray) -> Node:
    V, W, b, U = nodes.values()
    D = constant(np.zeros((len(Y), 0), V.value.dtype))
    H = apply(ops.sigmoid, apply(ops.window_affine, V, D, W, b, words=words))
    return apply(ops.logistic_loss, apply(ops.scores, H, U), Y=Y)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 5]),
    st.integers(2, 20),
    st.integers(1, 5),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
)
def test_it_has_the_bits_of_the_four(
    seed: int, B: int, P: int, m: int, T: int, dtype: type, compiled: bool
) -> None:
    """Also of the four without the loops, which is what trains where there was no C compiler."""
    parameters, words, Y = example(np.random.default_rng(seed), B, P, m, T, dtype)
    nodes = {name: parameter(value) for name, value in parameters.items()}

    def bits(J: Node) -> list[bytes]:
        gradients = backward(J)
        return [J.value.tobytes(), *(gradients[node].tobytes() for node in nodes.values())]

    as_one = bits(one(nodes, words, Y))
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(kernels, "compiled", lambda: None)
        assert as_one == bits(four(nodes, words, Y))


@pytest.mark.parametrize("form", [one, four])
def test_its_derivatives_are_right(form: Callable[..., Node]) -> None:
    parameters, words, Y = example(np.random.default_rng(0), 12, 5, 4, 3, np.float64)
    checks = gradcheck(lambda nodes: form(nodes, words, Y), parameters)
    assert all(check.passed for check in checks)


def test_an_upstream_gradient_goes_into_all() -> None:
    parameters, words, Y = example(np.random.default_rng(0), 12, 5, 4, 3, np.float64)
    _, gradients = window_network(*parameters.values(), words=words, Y=Y)
    for local in gradients:
        np.testing.assert_allclose(local(np.float64(3)), 3 * local(np.float64(1)))


def test_what_is_given_stays_as_it_is() -> None:
    parameters, words, Y = example(np.random.default_rng(0), 12, 5, 4, 3, np.float32)
    for array in (*parameters.values(), words, Y):
        array.flags.writeable = False
    _, gradients = window_network(*parameters.values(), words=words, Y=Y)
    for local in gradients:
        local(np.ones((), np.float32))
