"""Files that are whole or not there: arrays with checksums, texts replaced in one step.

Raises DataError for what is missing, damaged, or cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nerwin.engine.types import Array, Indices
from nerwin.errors import ConfigError, DataError, NerwinError

_ROWS = 1 << 14  # written at once
_locked: dict[tuple[int, int], int] = {}  # folders' numbers -> open files, which hold the locks


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """What a damaged manifest can raise, told as such."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"damaged: {type(error).__name__}: {error}", path) from error


@contextlib.contextmanager
def locking(folder: Path) -> Iterator[None]:
    """Keep the folder to this process until it unlocks it, ends, or fails in here.

    Raises NerwinError if another process has it. Where the system has no such locks, or there is no
    such folder, nothing is locked.
    """
    _lock(folder)
    try:
        yield
    except BaseException:
        unlock(folder)
        raise


def _lock(folder: Path) -> None:
    try:
        import fcntl

        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (ImportError, OSError):
        return
    about = os.fstat(file)
    if (about.st_dev, about.st_ino) in _locked:
        os.close(file)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        told = f"{folder}: another process trains this run; wait for it, or stop it"
        raise NerwinError(told) from None
    except OSError:  # some network's file system
        os.close(file)
        return
    _locked[about.st_dev, about.st_ino] = file


def unlock(folder: Path) -> None:
    """Let other processes have the folder, or what was in its place."""
    about = os.stat(folder) if folder.exists() else None
    for key, file in [*_locked.items()]:
        if (about and key == (about.st_dev, about.st_ino)) or not os.fstat(file).st_nlink:
            os.close(_locked.pop(key))


class Picked:
    """Rows of an array, copied when asked for: ``Picked(a, rows)[i]`` is ``a[rows[i]]``."""

    def __init__(self, array: Array, rows: Indices) -> None:
        self._array = array
        self._rows = rows
        self.shape = len(rows), *array.shape[1:]
        self.dtype = array.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: Indices | slice) -> Array:
        picked: Array = self._array[self._rows[which]]
        return picked


class Kept:
    """An array of which some rows are in memory; for all others its file is mapped when asked.

    array  which is given up
    rows   (k,) numbers of those that are kept, ascending
    load   gives the array again
    """

    def __init__(self, array: Vectors, rows: Indices, load: Callable[[], Array]) -> None:
        self._rows = rows
        self._values = array[rows]
        self._load = load
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Indices | slice) -> Array:
        if not isinstance(which, slice):
            place = self._rows.searchsorted(which)
            if (np.append(self._rows, -1)[place] == which).all():
                return self._values[place]
        read: Array = self._load()[which]
        return read


Vectors = Array | Picked | Kept


def save_array(path: Path, array: Vectors) -> dict[str, Any]:
    """Write an array as .npy, some rows at a time; its description for the manifest."""
    about = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with _writing(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for start in range(0, len(array), _ROWS):
            file.write(np.ascontiguousarray(array[start : start + _ROWS]).data)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256}


def load_array(path: Path, about: Mapping[str, Any], *, mapped: bool = False) -> Array:
    """The array that ``save_array`` wrote; a mapped one is checked for its size alone."""
    try:
        if not mapped:
            read(path, about["sha256"])
        array: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read: {error}", path) from error
    if list(array.shape) != about["shape"] or str(array.dtype) != about["dtype"]:
        raise DataError(f"has shape {array.shape}, the manifest says {about['shape']}", path)
    return array


def read(path: Path, sha256: str) -> bytes:
    """The bytes of a file, whose checksum must be right."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError("damaged: its checksum is not the one in the manifest", path)
    return content


def write_file(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old one or the new one, whole."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with _writing(partial, "wb") as file:
            file.write(text.encode())
        partial.replace(path)
    except DataError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise DataError(error.message, path) from error


def add_line(path: Path, line: str) -> None:
    """Add a line to a file."""
    with _writing(path, "ab") as file:
        file.write(f"{line}\n".encode())


@contextlib.contextmanager
def _writing(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """A file whose contents are on the disk at the end."""
    try:
        with path.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # NumPy tells neither the file nor the reason
        reason = error.strerror or "is the disk full?"
        raise DataError(f"cannot be written: {reason}", path) from error
