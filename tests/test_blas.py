from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from nerwin.engine import blas
from nerwin.engine.blas import add_product, one_thread, product, shared, sum_of_products


@pytest.fixture(autouse=True)
def all_libraries() -> Iterator[None]:
    """Those of SciPy too, which tests before may have loaded after NumPy's were looked for."""
    found = blas._libraries, blas._ours_are_the_same
    for cached in found:
        cached.cache_clear()
    yield
    for cached in found:
        cached.cache_clear()


def threads() -> set[int]:
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@pytest.mark.parametrize("before", [1, 2])
def test_one_thread_inside_and_the_callers_number_outside(before: int) -> None:
    with threadpool_limits(before, "blas"):
        for _ in range(2):  # whatever the callers' number was at the first use
            with one_thread():
                assert threads() == {1}
            assert threads() == {before}
        with threadpool_limits(3 - before, "blas"):
            with pytest.raises(KeyError), one_thread():
                raise KeyError
            assert threads() == {3 - before}


def test_the_libraries_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_thread():
        pass
    monkeypatch.setattr(blas, "ThreadpoolController", lambda: pytest.fail("looked again"))
    with one_thread():
        assert threads() == {1}


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("given_out", [False, True])
@pytest.mark.parametrize(
    ("A", "B"),
    [
        (drawn(0, 3), drawn(5, 3, 4)),
        (drawn(4, 0), drawn(0, 3)),
        (drawn(1, 50), drawn(5, 50, 100)),
        (drawn(201, 50), drawn(5, 50, 100)),
        (drawn(700, 99), drawn(5, 99, 140)),
        (drawn(5, 166, 300), drawn(5, 300, 50)),
        (drawn(166, 200).T, drawn(5, 166, 60)),
        (drawn(500, 70), drawn(70, 200)),
        (drawn(500, 70), drawn(70, 200).astype(float)),
        (drawn(1024, 300), drawn(300, 4)),  # some rows at a time
        (drawn(1024, 300).T, drawn(2, 1024, 15)),
        (drawn(2, 700, 800), drawn(2, 800, 2)),
    ],
)
def test_a_product_is_the_product(A: np.ndarray, B: np.ndarray, given_out: bool) -> None:
    expected = np.einsum("...kn,...nm->...km", A.astype(float), B.astype(float))
    out = np.full(expected.shape, np.nan, np.float32) if given_out else None
    made = product(A, B, out)
    assert made is out or (not given_out and made.dtype == np.result_type(A, B))
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    if A.ndim == 3:
        np.testing.assert_allclose(sum_of_products(A, B), expected.sum(axis=0), rtol=1e-5)
    if B.ndim == 2:
        Z = np.ones(expected.shape, made.dtype)
        add_product(Z, A, B)
        np.testing.assert_allclose(Z, expected + 1, rtol=1e-5)


ours = pytest.mark.skipif(
    not blas._ours_are_the_same(), reason="it takes NumPy from a wheel, and AVX-512"
)
lengths = st.integers(2, 40) | st.sampled_from([50, 100, 140, 166, 300]) | st.integers(40, 700)
in_common = lengths | st.sampled_from([448, 449, 895, 896, 897, 1344, 1345, 1800])
LAYOUTS = ["rows", "columns", "one for each", "part"]


@ours
@given(
    seed=st.integers(0, 99),
    P=st.integers(1, 5),
    k=lengths,
    n=in_common,
    m=lengths.filter(lambda m: m >= blas._NARROW),
    layout=st.sampled_from(LAYOUTS),
    values=st.sampled_from(["common", "tiny", "some infinite"]),
    threads=st.integers(1, 3),
)
def test_ours_have_numpys_bits(
    seed: int, P: int, k: int, n: int, m: int, layout: str, values: str, threads: int
) -> None:
    k = max(k, 1 + blas._SMALL // (n * m))
    rng = np.random.default_rng(seed)
    A, B = numbers(rng, values, k, n), numbers(rng, values, P, n, m)
    if layout == "columns":
        A = numbers(rng, values, n, k).T
    elif layout == "one for each":
        A = numbers(rng, values, P, k, n)
    elif layout == "part":
        A, B = numbers(rng, values, k, n + 3)[:, 1:-2], numbers(rng, values, P, n, m + 2)[..., 2:]
    room = np.full((P, k + 2, m + 1), 7, np.float32)
    with np.errstate(all="ignore"), shared(threads):
        expected = np.matmul(A, B)
        with patch.object(np, "matmul", lambda *_, **__: pytest.fail("by NumPy")):
            made = product(A, B, room[:, 1:-1, :-1])
        # Sums that OpenBLAS cuts are not added to others before they are whole.
        by_product = product if n > 448 else lambda *_: pytest.fail("spread out")
        Z = numbers(rng, values, k, m)
        added = Z + expected[0]
        with patch.object(blas, "product", by_product):
            summed = sum_of_products(A, B)
            add_product(Z, A[0] if A.ndim == 3 else A, B[0])
        np.testing.assert_array_equal(summed, expected.sum(axis=0))
        np.testing.assert_array_equal(Z, added)
    np.testing.assert_array_equal(made, expected)  # which says that nan is nan
    assert (np.signbit(made) == np.signbit(expected))[~np.isnan(expected)].all()
    assert (room[:, [0, -1]] == 7).all()
    assert (room[..., -1] == 7).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("m", [2, 4, 15, 16, 17, 100])
def test_the_bits_are_the_same_without_the_loops(m: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((3, 701, 900), np.float32)
    B = rng.standard_normal((3, 900, m), np.float32)

    def bits() -> list[bytes]:
        Z = np.ones((701, m), np.float32)
        add_product(Z, A[0][:, :440], B[0][:440])
        summed = sum_of_products(A[..., :440], B[:, :440])
        return [part.tobytes() for part in (product(A, B), summed, Z)]

    with shared(threads):
        made = bits()
    with one_thread(), patch("nerwin.engine.kernels.compiled", lambda: None):
        assert made == bits()


def numbers(rng: np.random.Generator, values: str, *shape: int) -> np.ndarray:
    drawn = rng.standard_normal(shape, np.float32)
    if values == "tiny":  # products are 0, -0 or less than float32 has in full
        drawn *= np.float32(10) ** rng.integers(-26, -18, shape).astype(np.float32)
    elif values == "some infinite":
        drawn[rng.random(shape) < 0.001] = np.inf
        drawn[rng.random(shape) < 0.001] = np.nan
    return drawn


@ours
@pytest.mark.parametrize(
    ("A", "B"),
    [
        (drawn(100, 100), drawn(100, 100)),  # a million multiplications
        (drawn(101, 100).astype(float), drawn(100, 100)),
        (drawn(101, 200)[:, ::2], drawn(100, 100)),
        (drawn(101, 100), drawn(100, 200)[:, ::2]),
        (drawn(1, 1001), drawn(1001, 1000)),
    ],
)
def test_what_numpy_does_itself(
    A: np.ndarray, B: np.ndarray, by_numpy: list[tuple[int, ...]]
) -> None:
    assert product(A, B).tobytes() == (A @ B).tobytes()
    assert by_numpy == [A.shape]


def test_a_product_of_itself_is_what_numpy_makes_of_it() -> None:
    X = drawn(5, 140, 150)  # by another function, whose sums are others on some processors
    assert product(X.transpose(0, 2, 1), X).tobytes() == (X.transpose(0, 2, 1) @ X).tobytes()


@pytest.mark.parametrize(
    ("architecture", "folder", "processor", "same"),
    [
        ("SkylakeX", "numpy.libs", True, True),
        ("SkylakeX", "numpy.libs", False, False),
        ("SkylakeX", "lib", True, False),
        ("Haswell", "numpy.libs", True, False),
    ],
)
def test_ours_are_taken_where_numpys_are_the_same(
    architecture: str, folder: str, processor: bool, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SimpleNamespace(architecture=architecture, filepath=f"/site/{folder}/openblas.so")
    other = SimpleNamespace(filepath="/usr/lib/libgomp.so")
    found = SimpleNamespace(lib_controllers=[other, library])
    loops = SimpleNamespace(can_multiply=lambda: processor)
    monkeypatch.setattr(blas, "_libraries", lambda: found)
    monkeypatch.setattr("nerwin.engine.kernels.compiled", lambda: loops)
    assert blas._ours_are_the_same() == same
