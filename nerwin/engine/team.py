"""Threads that share the products of matrices that ``blas.product`` is asked for.

Such a product is several calls of BLAS in any case. Whoever is free takes the next one, the thread
that asked for the product or a helper: they are the same calls, so they give the same bits, however
many threads there are. Who has to wait looks again at once, since to wake a thread that sleeps
takes as long as several of the calls; and lets others have the core if it takes longer than that.

Helpers run without Python, in compiled functions (``loops.c``), which call the very function of
BLAS that NumPy calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Self

from nerwin.engine import loops
from nerwin.engine.types import Array


def gemm_of(libraries: Iterable[str]) -> int | None:
    """The address of the function that multiplies matrices of float32, if one of these files is
    the OpenBLAS that comes with NumPy.
    """
    for path in libraries:
        if Path(path).parent.name == "numpy.libs":
            function = getattr(ctypes.CDLL(path), "scipy_cblas_sgemm64_", None)
            return ctypes.cast(function, ctypes.c_void_p).value if function else None
    return None


class Team:
    """A thread and its helpers, who are there inside ``with``; see ``gemm_of``."""

    def __init__(self, threads: int, gemm: int) -> None:
        self._shared = loops.team(gemm)
        own = (self._shared,)
        self._helpers = [
            Thread(target=loops.help_team, args=own, daemon=True) for _ in range(threads - 1)
        ]

    def __enter__(self) -> Self:
        try:
            for helper in self._helpers:
                helper.start()
        except RuntimeError:  # there may be no more; it works without
            pass
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        loops.dismiss(self._shared)
        for helper in self._helpers:
            if helper.is_alive():
                helper.join()

    def multiply(self, A: Array, B: Array, out: Array, rows: int) -> int:
        """out ← A @ B, so many rows of A in a call; shapes as in ``blas.product``. How many rows
        are done: none if there is nothing to share, all but one if that would be alone.

        None too where NumPy would not call the function for the arrays as they are: if they are not
        of float32, have one row or column, or the numbers of a row (of A, or of a column) are not
        side by side; and where the shapes do not fit, which it will tell.
        """
        return loops.multiply(self._shared, A, B, out, rows) if out.flags.writeable else 0
