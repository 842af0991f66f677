from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nerwin.engine import blas
from nerwin.engine.blas import one_thread, product


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


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(("k", "n", "m"), [(0, 3, 4), (1, 50, 100), (201, 50, 100), (700, 99, 200)])
def test_a_product_in_pieces_is_the_product(
    k: int, n: int, m: int, in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []

    def matmul(A: np.ndarray, B: np.ndarray, out: np.ndarray) -> None:
        pieces.append(len(A))
        np.matmul(A, B, out=out)

    monkeypatch.setattr(blas, "_small_as_they_are", lambda: in_pieces)
    monkeypatch.setattr(blas, "np", SimpleNamespace(matmul=matmul))
    rng = np.random.default_rng(0)
    A, B = rng.random((k, n), np.float32), rng.random((5, n, m), np.float32)
    out = np.empty((5, k, m), np.float32)
    product(A, B, out)
    np.testing.assert_allclose(out, A @ B, rtol=1e-5)
    assert sum(pieces) == k
    assert not in_pieces or max(pieces) * n * m <= 100**3
    assert in_pieces or len(pieces) == 1


def test_a_large_product_is_not_cut_into_crumbs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_small_as_they_are", lambda: True)
    pieces: list[int] = []
    monkeypatch.setattr(blas, "np", SimpleNamespace(matmul=lambda A, B, out: pieces.append(len(A))))
    product(np.empty((400, 300)), np.empty((1, 300, 300)), np.empty((1, 400, 300)))
    assert pieces == [400]
