"""Prediction on many machines: files -> blocks -> parts in a folder, over Dask.

Each block of the input makes one file of the output, a part. Dask shares the blocks out, and gives
those of a lost worker to another; what is done here is to cut the files, and to write down which
parts are finished. Names of files may be URLs that fsspec knows, such as s3://bucket/name.

    manifest.json    the inputs, the options, the model; each part's block of the input, and if it
                     is finished, its size and checksum
    part-00000.…     the parts; one after the other, they are what one machine writes
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO

import fsspec
from distributed import Client, KilledWorker, LocalCluster, as_completed
from threadpoolctl import threadpool_limits

from nerwin import __version__
from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.formats import FORMATS
from nerwin.parallel import Task, load
from nerwin.pieces import LINES, Reading, cut
from nerwin.text.files import BLOCK, is_compressed, uncompressed

MANIFEST = "manifest.json"
_REPORTED = 10  # malformed records of a part; more are only counted
_AHEAD = 4  # blocks that wait for each thread of a worker


@dataclass(frozen=True)
class Done:
    """What is known of a finished part.

    lines, records, skipped  how many there are in its block; the last are malformed
    wrong  what is wrong with the first of those: line, from the block's first on, and message
    """

    size: int
    sha256: str
    lines: int
    records: int
    skipped: int
    wrong: list[tuple[int, str]]


@dataclass
class Part:
    """One file of the output, and the block of the input that it is made from.

    source      the number of the input
    start, end  the block, in bytes; end 0: the file is not cut
    """

    name: str
    source: int
    start: int
    end: int
    done: Done | None = None


@dataclass
class Plan:
    """The contents of the manifest.

    inputs   path, size and time of each
    options  all that the output depends on, the model included
    """

    inputs: list[dict[str, Any]]
    options: dict[str, Any]
    parts: list[Part] = field(default_factory=list)
    nerwin: str = __version__


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
    block     bytes of the input in a part, about; a multiple of 256 KiB
    progress  is told how many parts are there, of how many

    Raises ConfigError if the folder holds something else, or parts of other inputs or options;
    DataError for an input that cannot be read, NerwinError if Dask cannot do it.
    """
    fs, root = fsspec.core.url_to_fs(folder)
    plan = _plan(task, paths, block)
    _take_over(plan, fs, root, overwrite)
    left = [part for part in plan.parts if not part.done]
    fs.makedirs(root, exist_ok=True)
    _save(plan, fs, root)
    progress(len(plan.parts) - len(left), len(plan.parts))
    try:
        if left:
            with _client(address, workers) as client:
                jobs = (
                    (part, _one(task, part.source), paths[part.source], folder, strict)
                    for part in left
                )
                _share_out(client, jobs, plan, fs, root, progress)
        for name in _names(fs, root):  # of lost workers
            if name.startswith(".part-"):
                fs.rm(f"{root}/{name}")
    finally:
        _save(plan, fs, root)
    return plan


def _one(task: Task, source: int) -> Task:
    """The task for one of its files."""
    return dataclasses.replace(task, sources=[task.sources[source]])


# --- what is to be done ---------------------------------------------------------------------


def _plan(task: Task, paths: Sequence[str], block: int) -> Plan:
    inputs, parts = [], []
    for number, (path, (_, reading)) in enumerate(zip(paths, task.sources, strict=True)):
        fs, place = fsspec.core.url_to_fs(path)
        with _told(path):
            about = fs.info(place)
            changed = next((about[k] for k in ("mtime", "ETag", "LastModified") if k in about), "")
            inputs.append({"path": path, "size": about["size"], "changed": str(changed)})
            with fs.open(place, "rb", block_size=BLOCK) as file:
                ends = _ends(file, about["size"], reading, block)
        parts += [Part("", number, a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    suffix = FORMATS[task.form].suffixes[0]
    width = max(5, len(str(len(parts))))
    for i, part in enumerate(parts):
        part.name = f"part-{i:0{width}}{suffix}"
    readings = [asdict(reading) for _, reading in task.sources]
    for fields in readings:
        del fields["report"]
    options = {
        "model": list(task.runs),
        "identity": task.identity,
        "first_pass": task.first_pass,
        "format": task.form,
        "settings": task.settings,
        "min_score": task.min_score,
        "types": task.types and list(task.types),
        "block": block,
        "readings": readings,
    }
    return Plan(inputs, options, parts)


def _ends(file: BinaryIO, size: int, reading: Reading, block: int) -> list[int]:
    """Where the blocks of a file end; 0 for one that is not cut.

    A block ends where one machine ends a piece, see ``pieces.cut``: so each record is worked on
    with the same others, and the output is the same.
    """
    can_be_cut = reading.kind in (*LINES, "jsonl") and not is_compressed(file.read(10))
    if not can_be_cut or size <= block:
        return [0]
    ends = []
    at = block
    while at < size:
        first = max(at - BLOCK - 2, 0)
        file.seek(first)
        end = first + _last_end(file.read(at - first), reading.documents)
        if end > at - BLOCK:
            ends.append(end)
            at += block
        else:  # a record or a paragraph goes through this stretch
            at += BLOCK
    return [*ends, size] if not ends or ends[-1] < size else ends


def _last_end(data: bytes, documents: str) -> int:
    """Where the last record, or the last document, ends; 0 if none does."""
    if documents != "paragraph":
        return data.rfind(b"\n") + 1
    plain, dos = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, dos + 3 if dos >= 0 else 0)


def _take_over(plan: Plan, fs: Any, root: str, overwrite: bool) -> None:
    """Note what an earlier run of the same has finished, or make room for this one."""
    names = _names(fs, root)
    if not names:
        return
    if MANIFEST not in names:
        raise ConfigError(f"{root}: not empty, and not made by --cluster: give another folder")
    try:
        stored = json.loads(fs.cat_file(f"{root}/{MANIFEST}"))
        parts = [Part(**part) for part in stored["parts"]]
        for part in parts:
            part.done = part.done and Done(**part.done)  # type: ignore[arg-type]
        before = Plan(stored["inputs"], stored["options"], parts, stored["nerwin"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"damaged: {type(error).__name__}: {error}", f"{root}/{MANIFEST}"
        ) from error
    told = json.loads(json.dumps(plan.options))
    changed = [name for name, value in told.items() if before.options.get(name) != value]
    changed += ["inputs"] * (before.inputs != plan.inputs)
    changed += ["nerwin's version"] * (before.nerwin != plan.nerwin)
    if changed and not overwrite:
        raise ConfigError(
            f"{root}: has parts of another run ({', '.join(changed)} differ): "
            "give another folder, or say --overwrite"
        )
    if changed or overwrite:
        for part in parts:
            if part.name in names:
                fs.rm(f"{root}/{part.name}")
        return
    sizes = {name: fs.size(f"{root}/{name}") for name in names}
    for part, old in zip(plan.parts, before.parts, strict=True):
        if old.done and sizes.get(old.name) == old.done.size:
            part.done = old.done


def _names(fs: Any, root: str) -> list[str]:
    if not fs.exists(root):
        return []
    if not fs.isdir(root):
        raise ConfigError(f"{root}: a file, not a folder")
    fs.invalidate_cache(root)
    return [path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(root, detail=False)]


def _save(plan: Plan, fs: Any, root: str) -> None:
    """Replace the manifest, in one step where the store has such a step."""
    with _replaced(fs, f"{root}/{MANIFEST}") as file:
        file.write(json.dumps(asdict(plan), indent=1).encode())


@contextlib.contextmanager
def _replaced(fs: Any, path: str) -> Iterator[BinaryIO]:
    folder, _, name = path.rpartition("/")
    partial = (
        f"{folder}/.{name}.{uuid.uuid4().hex}.partial"  # two may be at it: one was taken for lost
    )
    try:
        with fs.open(partial, "wb") as file:
            yield file
        fs.mv(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            fs.rm(partial)
        raise


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error


# --- doing it -------------------------------------------------------------------------------


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
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            client = Client(stack.enter_context(cluster))
            client.run(_leave_interrupts)
        else:
            try:
                client = Client(address, timeout=10)
            except (OSError, ValueError, TimeoutError) as error:
                raise NerwinError(f"no Dask scheduler answers at {address}: {error}") from error
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
                _save(plan, fs, root)
                saved = time.monotonic()
                took = saved - began
    finally:
        client.cancel(results.futures)


def make_part(part: Part, task: Task, path: str, folder: str, strict: bool) -> Done:
    """Make one part; in a worker of the cluster."""
    _one_thread()
    with _on_this_worker():
        load(task.runs, task.first_pass, task.identity)
    name, reading = task.sources[0]
    fs, root = fsspec.core.url_to_fs(folder)
    told = hashlib.sha256()
    size = lines = records = skipped = 0
    wrong: list[tuple[int, str]] = []
    with _told(path), _opened(path, part) as file, _replaced(fs, f"{root}/{part.name}") as sink:
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
