"""Threads that share the products of matrices that ``blas.product`` is asked for.

Such a product is several calls: of BLAS, one for a matrix, or of our own, each for some rows or
columns, which do not matter to one another. Whoever is free takes the next one, the thread that
asked for the product or a helper: they give the same bits, however many threads there are. Who has
to wait looks again at once, since to wake a thread that sleeps takes as long as several of the
calls; and lets others have the core if it takes longer than that.

Helpers run without Python, in compiled functions (``loops.c``), which call the very function of
BLAS that NumPy calls.
"""

from __future__ import annotations

import ctypes
from threading import Thread
from typing import Self

from nerwin.engine import loops


def gemm_of(library: str) -> int | None:
    """The address of the function that multiplies matrices of float32 in this file, the OpenBLAS
    that comes with NumPy; None if it has another name there.
    """
    function = getattr(ctypes.CDLL(library), "scipy_cblas_sgemm64_", None)
    return ctypes.cast(function, ctypes.c_void_p).value if function else None


class Team:
    """A thread and its helpers, who are there inside ``with``; see ``gemm_of``.

    shared  what ``loops.multiply`` is told the team by
    """

    def __init__(self, threads: int, gemm: int) -> None:
        self.shared = loops.team(gemm)
        own = (self.shared,)
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
        loops.dismiss(self.shared)
        for helper in self._helpers:
            if helper.is_alive():
                helper.join()
