from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nerwin.engine import blas
from nerwin.engine.blas import one_thread, product


@pytest.fixture(autouse=True)
def all_libraries() -> Iterator[None]:
    """Those of SciPy too, which tests before may have loaded after NumPy's were looked for."""
    found = blas._libraries, blas._for_avx512
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


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("in_pieces", [False, True])
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
    ],
)
def test_a_product_in_pieces_is_the_product(
    A: np.ndarray,
    B: np.ndarray,
    in_pieces: bool,
    given: bool,
    pieces: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = np.einsum("...kn,...nm->...km", A.astype(float), B.astype(float))
    out = np.full(expected.shape, np.nan, np.float32) if given else None
    monkeypatch.setattr(blas, "_faster_in_pieces", lambda: in_pieces)
    made = product(A, B, out)
    assert made is out or (not given and made.dtype == np.result_type(A, B))
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    assert sum(shape[-2] for shape in pieces) == A.shape[-2]
    if in_pieces:
        assert max(rows * n * B.shape[-1] for *_, rows, n in pieces) <= 100**3
    else:
        assert len(pieces) == 1


def test_a_large_product_is_not_cut_into_crumbs(
    pieces: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "_faster_in_pieces", lambda: True)
    product(drawn(400, 300), drawn(1, 300, 300))
    assert pieces == [(400, 300)]


@pytest.mark.parametrize("architecture", ["SkylakeX", "Haswell"])
def test_products_are_cut_for_one_thread_with_avx_512(
    architecture: str, pieces: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SimpleNamespace(architecture=architecture, num_threads=2)
    found = SimpleNamespace(lib_controllers=[SimpleNamespace(num_threads=1), library])
    monkeypatch.setattr(blas, "_libraries", lambda: found)
    for library.num_threads in (2, 1):
        pieces.clear()
        product(drawn(201, 50), drawn(5, 50, 100))
        cut = architecture == "SkylakeX" and library.num_threads == 1
        assert len(pieces) == (2 if cut else 1)
