"""Prediction on many machines, over Dask.

Dask shares the blocks of the input out to its workers, and gives those of a lost worker to another;
``parts`` tells which blocks there are, and which are done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import fsspec
from distributed import Client, KilledWorker, LocalCluster, as_completed
from threadpoolctl import threadpool_limits

from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.parallel import Task, load
from nerwin.parts import (
    Done,
    Part,
    Plan,
    names_in,
    plan_parts,
    replaced,
    save,
    take_over,
    unreadable,
)
from nerwin.pieces import cut
from nerwin.text.files import uncompressed

log = logging.getLogger("nerwin")
_REPORTED = 10  # malformed records of a part; more are only counted
_AHEAD = 4  # blocks that wait for each thread of a worker


def run_on_cluster(
    address: str,
    task: Task,
    paths: Sequence[str],
    folder: str,
    *,
    block: int,
    workers: int,
    strict: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Make the parts of the output that are not there yet.

    address   of a Dask scheduler; local: ``workers`` processes of this machine
    paths     of the task's sources
    folder    of the output; it is on a disk or in a store that all workers can reach
    block     bytes of the input in a part, about; a multiple of 512 KiB
    progress  is told how many parts are there, of how many

    Raises ConfigError if the folder holds something else, or parts of other inputs or options;
    DataError for an input that cannot be read, NerwinError if Dask cannot do it.
    """
    fs, root = fsspec.core.url_to_fs(folder)
    plan = plan_parts(task, paths, block)
    take_over(plan, fs, root, overwrite)
    left = [part for part in plan.parts if not part.done]
    fs.makedirs(root, exist_ok=True)
    save(plan, fs, root)
    progress(len(plan.parts) - len(left), len(plan.parts))
    try:
        if left:
            with _client(address, workers) as client:
                jobs = (
                    (part, _one(task, part.source), paths[part.source], folder, strict)
                    for part in left
                )
                _share_out(client, jobs, plan, fs, root, progress)
        for name in names_in(fs, root):  # of lost workers
            if name.startswith(".part-"):
                fs.rm(f"{root}/{name}")
    finally:
        save(plan, fs, root)
    return plan


def _one(task: Task, source: int) -> Task:
    """The task for one of its files."""
    return dataclasses.replace(task, sources=[task.sources[source]])


@contextlib.contextmanager
def _client(address: str, workers: int) -> Iterator[Client]:
    # A lost worker is no news: what it did is done again.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if address == "local":
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",  # 8787 may be another's
                silence_logs=logging.CRITICAL,
            )
            client = Client(stack.enter_context(cluster))
            client.run(_leave_interrupts)
        else:
            try:
                client = Client(address, timeout=10)
            except (OSError, ValueError, TimeoutError) as error:
                raise NerwinError(f"no Dask scheduler answers at {address}: {error}") from error
            if not client.nthreads():
                log.warning("the scheduler has no worker yet; waiting for one")
        yield stack.enter_context(client)


def _share_out(
    client: Client,
    jobs: Iterator[tuple[Any, ...]],
    plan: Plan,
    fs: Any,
    root: str,
    progress: Callable[[int, int], None],
) -> None:
    """Let the workers make the parts, a few of which wait at any time."""
    of: dict[str, Part] = {}
    results = as_completed()

    def submit() -> None:
        for part, *rest in jobs:
            future = client.submit(make_part, part, *rest, pure=False)
            of[future.key] = part
            results.add(future)
            return

    for _ in range(_AHEAD * max(1, sum(client.nthreads().values()))):
        submit()
    saved, took = time.monotonic(), 0.0
    done = sum(part.done is not None for part in plan.parts)
    try:
        for future in results:
            try:
                of.pop(future.key).done = future.result()
            except KilledWorker as error:
                raise NerwinError(f"workers die of a block: {error}") from error
            done += 1
            progress(done, len(plan.parts))
            submit()
            if time.monotonic() - saved > max(5, 20 * took):
                began = time.monotonic()
                save(plan, fs, root)
                saved = time.monotonic()
                took = saved - began
    finally:
        client.cancel(results.futures)


def make_part(part: Part, task: Task, path: str, folder: str, strict: bool) -> Done:
    """Make one part; in a worker of the cluster."""
    _one_thread()
    with _on_this_worker():
        load(task.runs, task.identity)
    name, reading = task.sources[0]
    fs, root = fsspec.core.url_to_fs(folder)
    told = hashlib.sha256()
    size = lines = records = skipped = 0
    wrong: list[tuple[int, str]] = []
    with contextlib.ExitStack() as stack:
        with unreadable(path):
            file = stack.enter_context(_opened(path, part))
        sink = stack.enter_context(replaced(fs, f"{root}/{part.name}"))
        for piece in cut(file, name, reading, part.start, wait=True):
            found = task(0, piece)
            for error in found.wrong:
                if strict:
                    place = f"{name}, after byte {part.start:,}" if part.start else name
                    raise DataError(error.message, place, error.line)
                if len(wrong) < _REPORTED:
                    wrong.append((error.line or 0, error.message))
            skipped += len(found.wrong)
            records += found.records
            lines += piece.ends
            for data in found.chunk:
                sink.write(data)
                told.update(data)
                size += len(data)
    return Done(size, told.hexdigest(), lines, records, skipped, wrong)


@contextlib.contextmanager
def _opened(path: str, part: Part) -> Iterator[BinaryIO]:
    """The block of a part; a file that is not cut, uncompressed."""
    with fsspec.open(path, "rb") as file:
        if part.end:
            file.seek(part.start)
            yield io.BytesIO(file.read(part.end - part.start))
        else:
            with uncompressed(io.BufferedReader(file)) as text:
                yield text


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the process that has made this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache
def _one_thread() -> None:
    threadpool_limits(1, "blas")  # for good: the workers share the cores


@contextlib.contextmanager
def _on_this_worker() -> Iterator[None]:
    """Tell where a model is not there that should be."""
    try:
        yield
    except (NerwinError, OSError) as error:
        import socket

        raise ConfigError(f"{error} (on {socket.gethostname()}, a worker)") from error
