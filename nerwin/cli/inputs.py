"""Which files ``nerwin predict`` reads, of which kind each is, and which files it writes."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.text.files import COMPRESSED

if TYPE_CHECKING:
    from nerwin.pieces import Piece, Reading

# The kind of a file by its suffix; of a folder, files with these suffixes are read.
KIND_OF = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".conll": "conll",
    ".iob": "conll",
    ".bio": "conll",
}


@dataclass(frozen=True)
class Input:
    """A file to read, or standard input, whose path is "-".

    kind  of ``records.KINDS``
    name  what its output is named after, with the folders that it was found in
    """

    path: str
    kind: str
    name: Path

    @property
    def shown(self) -> str:
        """What messages call it."""
        return "standard input" if self.path == "-" else self.path


def find_inputs(names: Sequence[str], kind: str | None) -> list[Input]:
    """The files that are named, in order: files, folders, patterns, - for standard input.

    Raises ConfigError for a name that leads to no file.
    """
    return [found for name in names for found in _find(name, kind)]


def _find(name: str, kind: str | None) -> Iterator[Input]:
    if name == "-":
        if sys.stdin is None:
            raise ConfigError("standard input is closed; name a FILE")
        yield Input("-", kind or "text", Path("stdin"))
        return
    if is_url(name):
        yield from _find_remote(name, kind)
        return
    if os.path.isdir(name):
        paths = _in_folder(name)
        root = name
        if not paths:
            suffixes = ", ".join(KIND_OF)
            raise ConfigError(f"{name}: no file to read in this folder (they end in {suffixes})")
    elif os.path.exists(name):
        paths = [name]
        root = os.path.dirname(name)
    elif glob.has_magic(name):
        paths = sorted(path for path in glob.iglob(name, recursive=True) if os.path.isfile(path))
        root = _fixed_part(name)
        if not paths:
            raise ConfigError(f"{name}: no file has such a name")
    else:
        raise ConfigError(f"{name}: no such file")
    for path in paths:
        stem, suffix = os.path.splitext(_uncompressed(os.path.relpath(path, root or ".")))
        known = KIND_OF.get(suffix.lower())
        yield Input(path, kind or known or "text", Path(stem if known else stem + suffix))


def is_url(name: str) -> bool:
    """Whether it is a file's or a folder's URL."""
    return "://" in name


def _find_remote(name: str, kind: str | None) -> Iterator[Input]:
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError(f"{name}: URLs need fsspec: pip install 'nerwin[cluster]'") from error
    try:
        fs, place = fsspec.core.url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error
    with in_store(name):
        if fs.isdir(place):
            paths = sorted(path for path in fs.find(place) if _suffix(path) in KIND_OF)
        elif glob.has_magic(place):
            paths = sorted(fs.glob(place))
        else:
            paths = [place] if fs.exists(place) else []
    if not paths:
        raise ConfigError(f"{name}: no such file")
    for path in paths:
        yield Input(fs.unstrip_protocol(path), kind or KIND_OF.get(_suffix(path), "text"), Path())


@contextlib.contextmanager
def in_store(name: str) -> Iterator[None]:
    """Tell in one line what the library of a store raises, which may be of any class."""
    try:
        yield
    except NerwinError:
        raise
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        raise NerwinError(f"{name}: {type(error).__name__}: {line}") from error


def _suffix(path: str) -> str:
    """What tells the kind of a file, compressed or not."""
    return os.path.splitext(_uncompressed(path))[1].lower()


def _in_folder(folder: str) -> list[str]:
    """The files with known suffixes in a folder and its folders, without hidden ones."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = (n for n in files if _suffix(n) in KIND_OF and not n.startswith("."))
        found += [os.path.join(place, name) for name in names]
    return sorted(found, key=lambda path: Path(path).parts)


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern before the first that varies."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern


def _uncompressed(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in COMPRESSED else name


@contextlib.contextmanager
def open_input(item: Input) -> Iterator[BinaryIO]:
    """Open a file, or standard input, uncompressed. Raises DataError if that cannot be done."""
    from nerwin.text.files import open_binary, uncompressed

    # Standard input stays open: it may be named twice.
    with uncompressed(sys.stdin.buffer) if item.path == "-" else open_binary(item.path) as file:
        yield file


class Stream:
    """The pieces of inputs, one input after the other, each piece with its input's number; what
    makes an input unreadable, or None at its end.
    """

    def __init__(self, inputs: Sequence[Input], readings: Sequence[Reading]) -> None:
        self._inputs = list(zip(inputs, readings, strict=True))
        self._file: BinaryIO | None = None

    def __iter__(self) -> Iterator[tuple[int, Piece | NerwinError | None]]:
        from nerwin.pieces import cut

        for number, (item, reading) in enumerate(self._inputs):
            end = None
            try:
                with open_input(item) as self._file:
                    for piece in cut(self._file, item.shown, reading):
                        yield number, piece
            except DataError as error:
                end = error
            self._file = None
            yield number, end

    def waits(self) -> bool:
        """Whether there is no more to read now, but may be later."""
        from nerwin.text.files import would_wait

        return self._file is not None and would_wait(self._file)


def is_folder(output: str) -> bool:
    """Whether -o names a folder: it ends like one, or is one."""
    return output.endswith(("/", os.sep)) or os.path.isdir(output)


def plan_outputs(
    inputs: Sequence[Input], folder: Path, suffixes: Sequence[str], *, overwrite: bool
) -> list[list[Path]]:
    """The files to write for each input, none of which is there already, unless it may be.

    Raises ConfigError if two inputs have one output, or an output is an input.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: a file, not a folder")
    plan = []
    source_of: dict[Path, str] = {}
    sources = {os.path.realpath(item.path) for item in inputs}
    for item in inputs:
        outputs = [folder / f"{item.name}{suffix}" for suffix in suffixes]
        for path in outputs:
            if path in source_of:
                before = source_of[path]
                apart = os.path.dirname(before) != os.path.dirname(item.shown)
                hint = "give their folder as input, or each" if apart else "give each"
                raise ConfigError(
                    f"{path} would be written for {before} and for {item.shown}; "
                    f"{hint} an output of its own"
                )
            source_of[path] = item.shown
            if os.path.realpath(path) in sources:
                raise ConfigError(f"{path} is an input too; give another folder to --output")
            if path.exists() and not overwrite:
                raise ConfigError(f"{path}: exists already; say --overwrite to replace it")
        plan.append(outputs)
    return plan
