"""BLAS on one thread: fastest for products of this size, and the same bits again on one machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Inside, BLAS runs on one thread; outside, as before."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    """The libraries of this process; to look for them takes longer than to tag a sentence."""
    return ThreadpoolController()
