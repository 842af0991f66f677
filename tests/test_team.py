"""Threads that share products: whatever they are asked for, the bits are those of one thread."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from conftest import RICH, SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin.config import load_config
from nerwin.engine import blas
from nerwin.engine.blas import one_thread, product, shared, sum_of_products, teams
from nerwin.training import Run

pytestmark = pytest.mark.skipif(
    not teams(), reason="it takes compiled loops, and NumPy from a wheel with OpenBLAS"
)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def alone(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    with one_thread():
        return product(A, B)


def in_bytes(A: np.ndarray, row: int) -> np.ndarray:
    """A in memory where each row is so many bytes away from the next."""
    made = np.lib.stride_tricks.as_strided(
        np.zeros(row * len(A), np.uint8)[:4].view(np.float32), A.shape, (row, 4)
    )
    made[:] = A
    return made


def read_only(A: np.ndarray) -> np.ndarray:
    A.flags.writeable = False
    return A


def helpers() -> list[threading.Thread]:
    return [] if blas._own.team is None else blas._own.team._helpers


sizes = st.integers(1, 40) | st.sampled_from([65, 100, 166, 201, 257, 300])


@given(
    seed=st.integers(0, 99),
    P=st.integers(1, 5),
    k=sizes,
    n=sizes,
    m=sizes,
    threads=st.integers(2, 4),
    ours=st.booleans(),
    layout=st.sampled_from(["rows", "columns", "one for each", "a part", "every other column"]),
    given_out=st.booleans(),
)
def test_a_shared_product_is_the_product(
    seed: int,
    P: int,
    k: int,
    n: int,
    m: int,
    threads: int,
    ours: bool,
    layout: str,
    given_out: bool,
) -> None:
    A, B = drawn(seed, k, n), drawn(seed + 1, P, n, m)
    if layout == "columns":
        A = drawn(seed, n, k).T
    elif layout == "one for each":
        A = drawn(seed, P, k, n)
    elif layout == "a part":
        A = drawn(seed, k, n + 3)[:, 1 : n + 1]
    elif layout == "every other column":
        A = drawn(seed, k, 2 * n)[:, ::2]
    same = ours and blas._ours_are_the_same()
    with patch.object(blas, "_ours_are_the_same", lambda: same):
        expected = alone(A, B)
        room = np.full((P, k + 2, m), np.nan, np.float32)
        out = room[:, 1:-1] if given_out else None
        with shared(threads):
            made = product(A, B, out)
            summed = sum_of_products(A, B)
    assert made.tobytes() == expected.tobytes()
    assert summed.tobytes() == expected.sum(axis=0).tobytes()
    if given_out:
        assert made is out
        assert np.isnan(room[:, [0, -1]]).all()


@pytest.mark.parametrize(
    ("A", "B"),
    [
        (drawn(0, 166, 50), drawn(1, 5, 50, 100)),
        (drawn(0, 50, 166).T, drawn(1, 5, 50, 100)),
        (drawn(0, 5, 166, 100), drawn(1, 5, 100, 50)),
        (read_only(drawn(0, 166, 50)), read_only(drawn(1, 5, 50, 100))),
    ],
)
def test_what_is_shared(A: np.ndarray, B: np.ndarray, by_numpy: list[object]) -> None:
    expected = alone(A, B)
    by_numpy.clear()
    with shared(2):
        assert product(A, B).tobytes() == expected.tobytes()
    assert not by_numpy


@pytest.mark.parametrize(
    ("A", "B"),
    [
        (drawn(0, 40, 70), drawn(1, 70, 200)),  # one call
        (drawn(0, 1, 50), drawn(1, 5, 50, 100)),
        (drawn(0, 40, 50), drawn(1, 5, 50, 1)),
        (drawn(0, 40, 1), drawn(1, 5, 1, 50)),
        (drawn(0, 40, 50).astype(float), drawn(1, 5, 50, 100)),
        (drawn(0, 40, 100)[:, ::2], drawn(1, 5, 50, 100)),
        (np.broadcast_to(drawn(0, 50), (40, 50)), drawn(1, 5, 50, 100)),
        (in_bytes(drawn(0, 40, 50), 202), drawn(1, 5, 50, 100)),
        (drawn(0, 5, 40, 50), drawn(0, 5, 40, 50).transpose(0, 2, 1)),
        (drawn(0, 0, 50), drawn(1, 5, 50, 100)),
        (drawn(0, 40, 0), drawn(1, 5, 0, 100)),
    ],
)
def test_what_is_not(A: np.ndarray, B: np.ndarray, by_numpy: list[object]) -> None:
    expected = alone(A, B)
    by_numpy.clear()
    with shared(2):
        made = product(A, B)
    assert by_numpy == [A.shape]
    assert made.dtype == expected.dtype
    assert made.tobytes() == expected.tobytes()


def test_a_product_of_itself_is_what_numpy_makes_of_it() -> None:
    X = drawn(0, 5, 40, 50)  # by another function, whose sums are others on some processors
    expected = alone(X.transpose(0, 2, 1), X)
    with shared(2):
        assert product(X.transpose(0, 2, 1), X).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("A", "B", "out"),
    [
        ((166, 50), (5, 49, 100), None),
        ((166, 49), (5, 50, 100), None),
        ((4, 166, 50), (5, 50, 100), None),
        ((166, 50), (5, 50, 100), (5, 160, 100)),
        ((166, 50), (5, 50, 100), (4, 166, 100)),
        ((166, 50), (5, 50, 100), (5, 166, 99)),
    ],
)
def test_shapes_that_do_not_fit_are_told(
    A: tuple[int, ...], B: tuple[int, ...], out: tuple[int, ...] | None
) -> None:
    room = None if out is None else np.zeros(out, np.float32)
    with shared(2), pytest.raises(ValueError, match=r"matmul|broadcast"):
        product(drawn(0, *A), drawn(1, *B), room)
    assert room is None or not room.any()


def test_one_product_after_another_never_mixes() -> None:
    """Some thousands, of changing sizes, each of which needs what the one before it made."""
    rng = np.random.default_rng(0)
    W = drawn(0, 5, 50, 50) / 20
    lengths = rng.integers(2, 70, 3000)

    def chain() -> np.ndarray:
        V = drawn(1, 70, 50)
        for k in lengths:
            V[:k] = np.tanh(product(V[:k], W)).sum(axis=0)
        return V

    with one_thread():
        expected = chain()
    with shared(3):
        assert chain().tobytes() == expected.tobytes()


def shared_counts(team: Any) -> tuple[ctypes.c_int64, ctypes.c_int64]:
    """How many calls nobody has taken, and how many are not done: each in a cache line."""
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    first = address(team.shared, b"nerwin team")
    return ctypes.c_int64.from_address(first), ctypes.c_int64.from_address(first + 64)


def test_helpers_do_what_is_left_for_them() -> None:
    A, B = drawn(0, 30, 100), drawn(1, 5, 100, 300)
    expected, made = alone(A, B), np.empty((5, 30, 300), np.float32)
    with shared(2):
        team = blas._own.team
        assert team
        assert product(A, B, made) is made  # what the calls are stays written there
        made[:] = np.nan
        waiting, left = shared_counts(team)
        left.value = 5
        waiting.value = 5
        wait_until(lambda: left.value == 0)
    assert made.tobytes() == expected.tobytes()


def test_no_helper_is_left_and_none_helps_another_thread() -> None:
    before = threading.active_count()
    A, B = drawn(0, 40, 50), drawn(1, 5, 50, 100)
    with shared(3):
        assert len(helpers()) == 2
        assert threading.active_count() == before + 2
        with ThreadPoolExecutor(1) as other:
            assert other.submit(helpers).result() == []
            assert other.submit(alone, A, B).result().tobytes() == product(A, B).tobytes()
    assert helpers() == []
    assert threading.active_count() == before
    with pytest.raises(KeyError), shared(3):
        raise KeyError
    assert helpers() == []
    assert threading.active_count() == before
    with shared(3):
        with shared(1):
            assert helpers() == []
        assert len(helpers()) == 2


@pytest.mark.parametrize("started", [0, 1])
def test_it_works_with_as_many_helpers_as_may_be_started(
    started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    A, B = drawn(0, 166, 50), drawn(1, 5, 50, 300)
    expected, before = alone(A, B), threading.active_count()
    start = threading.Thread.start

    def start_one(thread: threading.Thread) -> None:
        if sum(helper.is_alive() for helper in threading.enumerate()) >= before + started:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with shared(3):
        assert threading.active_count() == before + started
        assert product(A, B).tobytes() == expected.tobytes()
    assert threading.active_count() == before


def test_a_stop_while_helpers_start_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), shared(2):
        pytest.fail("it began")
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded")  # to fork with threads is the test
def test_a_forked_process_has_no_helpers_and_needs_none() -> None:
    A, B = drawn(0, 166, 50), drawn(1, 5, 50, 300)
    expected = alone(A, B)
    pid = 0
    try:
        with shared(2):
            pid = os.fork()
            same = product(A, B).tobytes() == expected.tobytes()
    finally:
        if not pid:
            os._exit(0 if same else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert same


@pytest.mark.parametrize("rich", [False, True])
def test_a_run_is_the_same_on_one_core_and_on_three(
    rich: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerwin.descent.usable_cores", lambda: 3)
    multiplied = []
    multiply = blas.shared

    def noted(threads: int) -> object:
        multiplied.append(threads)
        return multiply(threads)

    monkeypatch.setattr("nerwin.descent.shared", noted)
    settings = [*SMALL, *(RICH if rich else []), ("training", "epochs", 2)]
    made = []
    for jobs in (1, 3):
        run = Run.start(load_config(overrides=settings), tmp_path / str(jobs))
        for _ in run.epochs(jobs=jobs):
            pass
        files = run.folder.rglob("*.npy")
        made.append({path.relative_to(run.folder): path.read_bytes() for path in files})
    assert multiplied == [1, 1, 3, 3]
    assert made[0] == made[1]


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(1, 4, 1), (2, 4, 2), (9, 4, 4), (9, 9, 5)])
def test_there_are_no_more_threads_than_have_something_to_do(
    cores: int, jobs: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nerwin.descent.usable_cores", lambda: cores)
    run = Run.start(load_config(overrides=SMALL), tmp_path / "run")
    seen = []

    def progress(_: int) -> None:
        seen.append(1 + len(helpers()))

    next(run.epochs(progress, jobs))
    assert set(seen) == {threads}


@pytest.mark.parametrize("without", ["compiled loops", "NumPy's OpenBLAS"])
def test_where_there_can_be_no_helpers_that_is_told_once(
    without: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without == "compiled loops":
        monkeypatch.setattr("nerwin.engine.kernels.compiled", lambda: None)
    else:
        monkeypatch.setattr("nerwin.engine.team.gemm_of", lambda _: None)
    run = Run.start(load_config(overrides=[*SMALL, ("training", "epochs", 2)]), tmp_path / "run")
    assert len(list(run.epochs(jobs=2))) == 2
    (told,) = [record.message for record in caplog.records]
    assert told.startswith("one thread trains a model; several take compiled loops")


def wait_until(done: Callable[[], object]) -> None:
    for _ in range(1000):
        if done():
            return
        time.sleep(0.01)
    pytest.fail("it took more than 10 s")
