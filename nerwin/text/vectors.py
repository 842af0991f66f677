"""Pretrained word vectors, read by gensim, checked, and kept in a cache.

gensim accepts much in silence: a short row is stretched over all dimensions, a repeated word
leaves an empty row at the end, NaN is a number like others, and a word with a space in it stops
the load with a message about a float. So a file is looked through first, and every complaint
names its line. What was read is kept as a plain matrix and a word list under the user's cache
folder, by the file's content, and memory-mapped from then on.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import hashlib
import logging
import math
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.text.files import open_binary

log = logging.getLogger(__name__)

_PICKLED = (".kv", ".model", ".pkl", ".pickle")
_STALE = 24 * 3600  # seconds after which a half-written cache entry is taken for abandoned


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors: ``matrix`` (V, D) float32, row i for ``words[i]``.

    sha256 is that of the file that they came from.
    """

    words: list[str]
    matrix: NDArray[np.float32]
    sha256: str


def load_vectors(source: str, *, unpickle: bool = False, cache: Path | None = None) -> WordVectors:
    """Word vectors from a file, or by the name of a set that gensim's downloader knows.

    source    GloVe or word2vec text (with or without a header, .gz or not), word2vec .bin, or a
              name such as glove-wiki-gigaword-50
    unpickle  also read what gensim saved itself (.kv, .model). That is a pickle, and a pickle
              runs whatever code its author put there: only for files that you trust
    cache     the folder for what was read; by default the user's, see ``cache_folder``

    Raises ConfigError for a source that is neither a file nor a known name, and DataError, with
    path:line where there is one, for a file that cannot be used.
    """
    path = Path(source)
    if not path.exists():
        path = _download(source)
    if path.suffix in _PICKLED and not unpickle:
        raise ConfigError(
            f"{path}: gensim's own format is a pickle, which can run code when it is read; "
            "for a file that you trust, say --unpickle"
        )
    sha256 = _digest(path)
    entry = (cache or cache_folder()) / f"vectors-{sha256}"
    kept = _from_cache(entry, sha256)
    if kept:
        return kept
    log.info("reading %s (once; afterwards it comes from %s)", path, entry)
    words, matrix = _read(path)
    try:
        _to_cache(entry, words, matrix)
    except OSError as error:
        log.warning("the vectors could not be kept in %s: %s", entry.parent, error.strerror)
        return WordVectors(words, matrix, sha256)
    return _from_cache(entry, sha256) or WordVectors(words, matrix, sha256)


def cache_folder() -> Path:
    """Where nerwin keeps what can be made again: $NERWIN_CACHE, or the platform's cache folder."""
    if chosen := os.environ.get("NERWIN_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nerwin"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "nerwin" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nerwin"


# --- reading through gensim -----------------------------------------------------------------


def _read(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    if path.suffix in _PICKLED:
        return _read_pickled(path)
    if path.name.removesuffix(".gz").endswith(".bin"):
        return _read_binary(path)
    return _read_text(path)


def _read_text(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    layout = _look_through(path)
    with contextlib.ExitStack() as stack:
        readable = path
        if layout.dropped:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nerwin-")))
            readable = folder / "vectors.txt"
            _copy_without(layout.dropped, path, readable)
        # Without a header gensim opens the file twice, and leaves closing it to Python.
        stack.enter_context(warnings.catch_warnings(action="ignore", category=ResourceWarning))
        try:
            keyed = _keyed_vectors().load_word2vec_format(
                str(readable), binary=False, no_header=not layout.header or bool(layout.dropped)
            )
        except ValueError as error:
            line = _first_line(path, _is_not_numeric, layout)
            raise DataError(f"not a word and {layout.dimensions} numbers", path, line) from error
    words, matrix = list(keyed.index_to_key), keyed.vectors
    if not np.isfinite(matrix).all():
        line = _first_line(path, _is_not_finite, layout)
        raise DataError("a number of this vector is NaN or infinite", path, line)
    return words, matrix


def _read_binary(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with open_binary(path) as file:
        header = file.readline(100).split()
    if len(header) != 2 or not all(field.isdigit() for field in header):
        raise DataError("not in word2vec's binary format: its header is two numbers", path, 1)
    try:
        keyed = _keyed_vectors().load_word2vec_format(
            str(path), binary=True, unicode_errors="replace"
        )
    except (EOFError, ValueError, AssertionError) as error:
        raise DataError(f"the file is cut off or damaged: {error}", path) from error
    repeated = int(header[0]) - len(keyed.index_to_key)
    if repeated:
        log.warning("%s: %d repeated words left out, the first of each kept", path, repeated)
    return _only_usable(path, list(keyed.index_to_key), keyed.vectors)


def _read_pickled(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        keyed: Any = _keyed_vectors().load(str(path))
        keyed = getattr(keyed, "wv", keyed)  # a whole model holds its vectors in wv
        words, matrix = keyed.index_to_key, keyed.vectors
    except Exception as error:  # a pickle may raise anything
        raise DataError(f"gensim cannot load it: {error}", path) from error
    return _only_usable(path, list(words), np.asarray(matrix, np.float32))


def _only_usable(
    path: Path, words: list[str], matrix: NDArray[np.float32]
) -> tuple[list[str], NDArray[np.float32]]:
    """Without words that a word list cannot hold; every number finite."""
    kept = [i for i, word in enumerate(words) if word and "\n" not in word]
    if len(kept) < len(words):
        log.warning("%s: %d unusable words left out", path, len(words) - len(kept))
        words, matrix = [words[i] for i in kept], matrix[kept]
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise DataError(
            f"the vector of {words[bad[0]]!r} has a number that is NaN or infinite", path
        )
    if not words:
        raise DataError("holds no vectors", path)
    return words, matrix


def _keyed_vectors() -> Any:
    """gensim's class; imported only here, because that takes most of a second."""
    logging.getLogger("gensim").addHandler(logging.NullHandler())  # it logs tracebacks otherwise
    from gensim.models import KeyedVectors

    return KeyedVectors


# --- looking through a text file --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    header: bool
    dimensions: int
    dropped: frozenset[int]  # numbers of the lines that gensim is not to see


def _look_through(path: Path) -> _Layout:
    """Find what gensim would misread. Raises DataError, or warns of lines that are left out."""
    header = None
    dimensions = 0
    seen: set[str] = set()
    spaced: list[int] = []
    repeated: list[int] = []
    empty: list[int] = []
    for number, line in _lines(path):
        fields = line.count(b" ")
        if number == 1 and fields == 1 and all(f.isdigit() for f in line.split(b" ")):
            header = int(line.split(b" ")[0]), int(line.split(b" ")[1])
            dimensions = header[1]
            continue
        if not line:
            empty.append(number)
            continue
        if not dimensions:
            dimensions = fields
            if not fields:
                raise DataError(
                    "no numbers after the word: not a file of word vectors", path, number
                )
        if fields != dimensions:
            if fields > dimensions and not _numeric(line.split(b" ")[1:]):
                spaced.append(number)
                continue
            message = f"{fields} numbers where {dimensions} are expected"
            raise DataError(message, path, number)
        try:
            word = line[: line.index(b" ")].decode()
        except UnicodeDecodeError:
            raise DataError("the word is not UTF-8", path, number) from None
        if word in seen:
            repeated.append(number)
        seen.add(word)
    if not seen:
        raise DataError("holds no vectors", path)
    rows = len(seen) + len(repeated) + len(spaced)
    if header and header[0] != rows:
        raise DataError(f"the header promises {header[0]} words, the file has {rows}", path, 1)
    for what, lines in (("words with a space in them", spaced), ("repeated words", repeated)):
        if lines:
            log.warning("%s:%d: %d %s left out", path, lines[0], len(lines), what)
    dropped = frozenset(spaced + repeated + empty)
    return _Layout(header is not None, dimensions, dropped)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with open_binary(path) as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip()
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"cannot be read: {error}", path) from error


def _copy_without(dropped: frozenset[int], path: Path, target: Path) -> None:
    """A copy without some lines and without a header, whose count would be wrong."""
    with target.open("wb") as file:
        for number, line in _lines(path):
            header = (
                number == 1
                and line.count(b" ") == 1
                and 1 not in dropped
                and _numeric(line.split(b" "))
            )
            if number not in dropped and not header:
                file.write(line + b"\n")


def _first_line(path: Path, wrong: Callable[[bytes], bool], layout: _Layout) -> int | None:
    for number, line in _lines(path):
        if number not in layout.dropped and not (layout.header and number == 1) and wrong(line):
            return number
    return None


def _numeric(fields: list[bytes]) -> bool:
    try:
        for field in fields:
            float(field)
    except ValueError:
        return False
    return True


def _is_not_numeric(line: bytes) -> bool:
    return not _numeric(line.split(b" ")[1:])


def _is_not_finite(line: bytes) -> bool:
    largest = float(np.finfo(np.float32).max)
    numbers = map(float, line.split(b" ")[1:])
    return any(math.isnan(x) or abs(x) > largest for x in numbers)


# --- gensim's downloader ----------------------------------------------------------------------


def _download(name: str) -> Path:
    """The path of a set that gensim knows by name, downloaded if it is not there yet.

    gensim's own ``load`` would run code that comes with the data; ``return_path`` does not.
    """
    if os.sep in name or "." in name:
        raise ConfigError(f"{name}: no such file")
    _keyed_vectors()
    from gensim import downloader

    try:
        with contextlib.redirect_stdout(sys.stderr):  # where its progress belongs
            known = downloader.info()["models"]
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ConfigError(f"{name}: neither a file nor vectors that gensim knows{hint}")
            return Path(downloader.load(name, return_path=True))
    except NerwinError:
        raise
    except Exception as error:  # it raises bare Exceptions, ValueErrors and network errors alike
        raise NerwinError(
            f"{name}: no such file, and gensim cannot download vectors of this name ({error}); "
            "give a file, or try again with a network"
        ) from error


# --- the cache ----------------------------------------------------------------------------------


def _digest(path: Path) -> str:
    """SHA-256 of the file, and of the array that gensim saves beside a large .kv file."""
    digest = hashlib.sha256()
    for part in (path, Path(f"{path}.vectors.npy")):
        if part == path or part.exists():
            with contextlib.closing(_open_raw(part)) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _open_raw(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from error


def _from_cache(entry: Path, sha256: str) -> WordVectors | None:
    """What is kept in the entry, or None if there is nothing, or nothing whole."""
    try:
        words = (entry / "words.txt").read_text(encoding="utf-8").split("\n")
        matrix = np.load(entry / "matrix.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return WordVectors(words, matrix, sha256) if len(words) == len(matrix) else None


def _to_cache(entry: Path, words: list[str], matrix: NDArray[np.float32]) -> None:
    """Write an entry so that others see all of it or nothing, whoever else does the same."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    for partial in entry.parent.glob("partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _STALE:
                shutil.rmtree(partial)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=entry.parent))
    try:
        (partial / "words.txt").write_text("\n".join(words), encoding="utf-8", newline="\n")
        np.save(partial / "matrix.npy", np.ascontiguousarray(matrix, np.float32))
        with contextlib.suppress(FileNotFoundError):
            if _from_cache(entry, "") is None:
                shutil.rmtree(entry)  # there, but damaged
        with contextlib.suppress(OSError):  # somebody else was faster: theirs is as good
            partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
