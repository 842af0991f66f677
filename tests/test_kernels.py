"""The compiled loops, against the NumPy that they stand in for: bit by bit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin.config import load_config
from nerwin.engine import kernels, ops
from nerwin.engine.optim import SGD, Adam, Optimizer
from nerwin.engine.rowgrad import RowGrad
from nerwin.resources import shipped
from nerwin.training import Run

compiled = pytest.mark.skipif(kernels.compiled() is None, reason="built without a C compiler")
dtypes = st.sampled_from([np.float32, np.float64])
indices = st.sampled_from([np.int32, np.int64])
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_loops_are_compiled() -> None:
    """Else NumPy would stand in for them, and the other tests be left out."""
    assert kernels.compiled()


@compiled
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (np.zeros((2, 3)), 1),
        (np.zeros(3),),
        (np.zeros((2, 3), np.float16),),
        (np.zeros((2, 3), np.int64),),
        (np.zeros((2, 3), "2f4"),),
        (np.zeros((2, 6))[:, ::2],),
        (np.broadcast_to(np.zeros(3), (2, 3)),),
        ([[1.0]],),
        (None,),
    ],
)
def test_what_a_loop_cannot_take_it_refuses(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, ValueError, BufferError)):
        kernels.compiled().halve_above(*arguments)


@compiled
def test_arrays_of_two_kinds_are_refused_and_let_go() -> None:
    loops, half, single = kernels.compiled(), np.zeros((2, 3)), np.zeros((2, 3), np.float32)
    before = sys.getrefcount(half), sys.getrefcount(single)
    for _ in range(3):
        with pytest.raises(TypeError, match="argument 1: 2 dimensions of format f"):
            loops.logistic_losses(half, single, half)
        with pytest.raises(TypeError, match="number"):
            loops.logistic_slopes(half, half, "share")
    assert before == (sys.getrefcount(half), sys.getrefcount(single))


def in_numpy(work: Callable[[], np.ndarray]) -> np.ndarray:
    with patch.object(kernels, "compiled", return_value=None):
        return work()


def assert_same_bits(work: Callable[[], np.ndarray]) -> None:
    plain, looped = in_numpy(work), work()
    assert plain.dtype == looped.dtype
    assert plain.shape == looped.shape
    assert plain.tobytes() == looped.tobytes()


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Of very different sizes, so that another order of a sum is another sum; and zeros, whose
    sign shows what a sum began with.
    """
    made = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([0.0, -0.0], shape), made).astype(dtype)


@compiled
@given(
    seeds,
    st.lists(st.integers(0, 4), max_size=20),
    st.integers(1, 6),
    st.integers(0, 40),
    dtypes,
    indices,
)
def test_the_sum_by_row(
    seed: int, sizes: list[int], n_rows: int, D: int, dtype: type, index: type
) -> None:
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes])
    values = numbers(rng, (len(sizes), D), dtype)
    rows = rng.integers(0, n_rows, starts[-1]).astype(index)
    assert_same_bits(lambda: kernels.sum_by_row(rows, values, n_rows, starts))
    alone = rng.integers(0, n_rows, len(sizes)).astype(index)
    assert_same_bits(lambda: kernels.sum_by_row(alone, values, n_rows))


@compiled
@given(seeds, st.integers(0, 3), st.integers(0, 20), st.integers(0, 40), dtypes)
def test_turned_matrices(seed: int, P: int, n: int, m: int, dtype: type) -> None:
    A = numbers(np.random.default_rng(seed), (P, n, m), dtype)
    assert_same_bits(lambda: kernels.turned(A))
    assert_same_bits(lambda: kernels.turned(A[:, ::-1]))


@compiled
@given(
    seeds,
    st.integers(0, 20),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(0, 40),
    dtypes,
    indices,
)
def test_sums_over_and_by_place(
    seed: int, B: int, P: int, k: int, m: int, dtype: type, index: type
) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, k, (B, P)).astype(index)
    A, dZ, b = (numbers(rng, shape, dtype) for shape in ((P, k, m), (B, m), (m,)))
    assert_same_bits(lambda: kernels.sum_over_places(A, words, b))
    with patch.object(kernels, "_BLOCK", 100):
        assert_same_bits(lambda: kernels.sum_over_places(A, words, b))
    assert_same_bits(lambda: kernels.sum_by_place(dZ, words, k))
    assert_same_bits(lambda: kernels.sum_by_place(dZ[:, ::-1], words, k))
    dA = np.full((P, k, m), np.nan, dtype)  # there may be anything
    kernels.compiled().sum_by_place(dZ, words.astype(np.int64), dA)
    assert dA.tobytes() == in_numpy(lambda: kernels.sum_by_place(dZ, words, k)).tobytes()


@compiled
@given(seeds, st.integers(0, 20), st.integers(1, 9), st.integers(0, 40), dtypes, indices)
def test_added_rows(seed: int, B: int, k: int, m: int, dtype: type, index: type) -> None:
    rng = np.random.default_rng(seed)
    A, Z = numbers(rng, (k, m), dtype), numbers(rng, (B, m), dtype)

    def added(which: np.ndarray) -> np.ndarray:
        sums = Z.copy()
        kernels.add_rows(sums, A, which)
        return sums

    for least in (-2, 0):
        which = rng.integers(least, k, B).astype(index)
        assert_same_bits(lambda which=which: added(which))
        one_by_one = [z + A[i] if i >= 0 else z for z, i in zip(Z, which, strict=True)]
        assert added(which).tobytes() == np.array(one_by_one, dtype).reshape(B, m).tobytes()


@compiled
@given(seeds, st.sampled_from([(), (7,), (20, 30), (2, 0)]), dtypes)
def test_the_logistic_function(seed: int, shape: tuple[int, ...], dtype: type) -> None:
    S = numbers(np.random.default_rng(seed), shape, dtype)
    assert_same_bits(lambda: ops.logistic(S))
    assert_same_bits(lambda: ops.logistic(S.T))


@given(seeds, st.sampled_from([(0,), (1,), (30,), (0, 5), (8, 5), (3, 2, 2)]), indices)
def test_numbers_among_some(seed: int, shape: tuple[int, ...], index: type) -> None:
    items = np.random.default_rng(seed).integers(0, 20, shape).astype(index)
    for work in (in_numpy, lambda work: work()):
        different, places = work(lambda: kernels.numbered(items, np.empty(20, np.intp)))
        assert different.dtype == index
        assert different.tolist() == sorted(set(items.ravel().tolist()))
        assert places.shape == shape
        assert (different[places] == items).all()


@compiled
@given(
    seeds,
    st.sampled_from([(7,), (5, 3), (3, 2, 4), (400, 120), (0, 3)]),
    dtypes,
    st.sampled_from([0.0, 0.01]),
    st.sampled_from(
        [
            lambda l2: SGD(0.0, l2),
            lambda l2: SGD(0.9, l2),
            *(partial(Adam, beta1=a, beta2=b) for a, b in [(0.9, 0.999), (0.1, 0.2), (0.0, 0.0)]),
        ]
    ),
)
def test_optimizers(
    seed: int,
    shape: tuple[int, ...],
    dtype: type,
    l2: float,
    make: Callable[[float], Optimizer],
) -> None:
    def work() -> np.ndarray:
        rng = np.random.default_rng(seed)
        theta, optimizer = numbers(rng, shape, dtype), make(l2)
        table = numbers(rng, (9, 4), dtype)
        for _ in range(30):
            optimizer.update("theta", theta, numbers(rng, shape, dtype), 0.1)
            rows = np.flatnonzero(rng.random(9) < 0.5)
            gradient = numbers(rng, (len(rows), 4), dtype)
            optimizer.update("table", table, RowGrad(rows, gradient, 9), 0.1)
        states = [array for state in optimizer.state.values() for array in state.values()]
        return np.concatenate([array.ravel() for array in (theta, table, *states)])

    assert_same_bits(work)


@compiled
@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_parameter_that_is_not_in_one_piece(make: type[Optimizer]) -> None:
    def work() -> np.ndarray:
        rng = np.random.default_rng(0)
        theta, optimizer = rng.normal(size=(6, 8))[:, ::2], make()
        for _ in range(3):
            optimizer.update("theta", theta, rng.normal(size=(6, 4)), 0.1)
        return theta.copy()

    assert_same_bits(work)


@compiled
@pytest.mark.parametrize("name", ["conll2003", "lecture"])
@pytest.mark.parametrize("hidden", [(8,), (1,)])
def test_a_run_that_was_stopped_without_the_loops_goes_on_with_them(
    name: str, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    own = [("model", "hidden", hidden), ("training", "optimizer", "adam")]
    config = load_config(shipped(f"configs/{name}.toml"), [*SMALL, *own])

    def train(folder: str) -> bytes:
        run = Run.start(config, tmp_path / folder)
        with patch.object(kernels, "compiled", return_value=None):
            next(run.epochs())
        for _ in Run.resume(tmp_path / folder).epochs():
            pass
        (last,) = (tmp_path / folder).glob("epoch-3")
        return b"".join(path.read_bytes() for path in sorted(last.rglob("*.npy")))

    with_them = train("mixed")
    assert with_them == in_numpy(lambda: train("plain"))


HIDDEN = "import os; os.environ['NERWIN_COMPILED'] = '0'"
ABSENT = "sys.modules['nerwin.engine.loops'] = None"
ADDS = """
from nerwin.engine import kernels
import numpy as np
assert kernels.sum_by_row(np.array([1, 1]), np.ones((2, 3)), 2).tolist() == [[0, 0, 0], [2, 2, 2]]
"""


@pytest.mark.parametrize("how", [HIDDEN, ABSENT], ids=["hidden", "absent"])
def test_without_the_loops_there_is_numpy(how: str) -> None:
    code = f"import sys; {how}\n{ADDS}\nassert not kernels.compiled()"
    subprocess.run([sys.executable, "-c", code], check=True)
