from __future__ import annotations

import numpy  # noqa: F401  # brings a BLAS
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nerwin.engine import blas
from nerwin.engine.blas import one_thread


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
