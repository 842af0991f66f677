"""Processes that do a task for this one, each its own; none is left at the end.

They are children of this one, with a pipe to each; on Linux they are forked, so that they start at
once and share its memory. A pool of the standard library would do, but hangs when a process is
killed while it answers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nerwin.errors import NerwinError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def workers(task: Callable[..., Any], jobs: int) -> Iterator[list[Connection]]:
    """Processes that do the task with the arguments that they get, by the pipes to them: see
    ``ask`` and ``answer``.

    task  goes to each, before it does anything; it may keep what it likes between two calls
    """
    import multiprocessing

    forked = sys.platform == "linux"  # elsewhere its libraries may not bear it
    context = multiprocessing.get_context("fork" if forked else "spawn")
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            pipes.append(ours)
            args = (theirs, task, pipes if forked else [])
            process = context.Process(target=_serve, args=args, daemon=True)  # type: ignore[attr-defined]  # both have it
            with _signals_wait(), warnings.catch_warnings():  # of BLAS's threads, which bear it
                warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
                process.start()
                processes.append(process)
            theirs.close()  # so that its end is seen
        yield pipes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


def ask(worker: Connection, *arguments: Any) -> None:
    """Let a process do its task. Raises NerwinError if it is killed."""
    with _told_if_killed():
        worker.send(arguments)


def answer(worker: Connection) -> Any:
    """What a process makes of its task, once it is done; what the task raises is raised here.

    Raises NerwinError if the process is killed.
    """
    with _told_if_killed():
        made = worker.recv()
    if isinstance(made, Exception):
        raise made
    return made


@contextlib.contextmanager
def _told_if_killed() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise NerwinError(
            "a worker process was killed; if that was for want of memory, ask for fewer --jobs"
        ) from error


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and ``kill`` wait: in the midst of a fork, they would be lost."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, task: Callable[..., Any], inherited: list[Connection]) -> None:
    """Answer until the pipe is closed, or whoever had the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for other in inherited:
        other.close()  # so that the parent's end is seen
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            arguments = pipe.recv()
            made: Any
            try:
                made = task(*arguments)
            except Exception as error:
                made = error
            pipe.send(made)


def _end_with_parent() -> None:
    """End at once, not only between two tasks: there is nobody left to work for."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
