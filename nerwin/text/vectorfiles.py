"""Files of word vectors -> words and a matrix, through gensim, which is not to be trusted blindly.

gensim accepts much in silence: a short row is stretched over all dimensions, a repeated word
leaves an empty row at the end, NaN is a number like others, and a word with a space in it stops
the load with a message about a float. So a text file is looked through first, what came of a binary
one afterwards, and every complaint names its line where there is one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerwin.errors import DataError
from nerwin.text.files import BOM, UNREADABLE, open_binary

log = logging.getLogger(__name__)

PICKLED = (".kv", ".model", ".pkl", ".pickle")


def read_vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """The words of a file and their vectors (V, D).

    gensim's own formats (``PICKLED``) can run code when they are read. Raises DataError, with
    path:line where there is one, for a file that cannot be used.
    """
    if path.suffix in PICKLED:
        return _read_pickled(path)
    return _read_binary(path) if _is_binary(path) else _read_text(path)


def import_gensim() -> Any:
    """gensim's KeyedVectors; imported only here, because that takes most of a second."""
    logger = logging.getLogger("gensim")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else its tracebacks would be shown
    from gensim.models import KeyedVectors

    return KeyedVectors


def _read_text(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    layout = _look_through(path)
    with tempfile.TemporaryDirectory(prefix="nerwin-") as folder:
        binary = Path(folder) / "vectors.bin"
        try:
            _to_binary(path, layout, binary)
        except OSError as error:
            reason = error.strerror or "is the disk full?"
            raise DataError(f"cannot be written: {reason}", binary) from error
        keyed = import_gensim().load_word2vec_format(str(binary), binary=True)
    words, matrix = list(keyed.index_to_key), keyed.vectors
    if not np.isfinite(matrix).all():
        lines = _vector_lines(path, layout)
        number = next((number for number, line in lines if _is_infinite(line)), None)
        raise DataError("a number of this vector is NaN or infinite", path, number)
    return words, matrix


def _to_binary(path: Path, layout: _Layout, target: Path) -> None:
    """Write the usable lines in word2vec's binary format, which gensim reads eight times as fast as
    its text. Raises DataError for a line without numbers.
    """
    with target.open("wb") as file:
        file.write(b"%d %d\n" % (layout.rows, layout.dimensions))
        for number, line in _vector_lines(path, layout):
            word, *fields = line.split(b" ")
            try:
                vector = np.fromiter(map(float, fields), np.float64, len(fields))
            except ValueError:
                message = f"not a word and {layout.dimensions} numbers"
                raise DataError(message, path, number) from None
            with np.errstate(over="ignore"):  # infinite numbers are found later
                file.write(word + b" " + vector.astype(np.float32).tobytes())


def _is_binary(path: Path) -> bool:
    """word2vec's binary format, by the name, or by what no text holds (in a download's .gz)."""
    if path.name.removesuffix(".gz").endswith(".bin"):
        return True
    with _reading(path), open_binary(path) as file:
        return b"\0" in file.read(1 << 16)


def _read_binary(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with _reading(path), open_binary(path) as file:
        header = file.readline(100).split()
    if len(header) != 2 or not all(field.isdigit() for field in header):
        raise DataError("not in word2vec's binary format: its header is two numbers", path, 1)
    with _reading(path):
        try:
            keyed = import_gensim().load_word2vec_format(
                str(path), binary=True, unicode_errors="replace"
            )
        except (EOFError, ValueError, AssertionError, MemoryError, OverflowError) as error:
            raise DataError(f"the file is cut off or damaged: {error}", path) from error
    words = [word for word in keyed.index_to_key if word is not None]
    repeated = len(keyed.index_to_key) - len(words)  # gensim leaves their rows empty, at the end
    if repeated:
        log.warning("%s: %d repeated words left out, the first of each kept", path, repeated)
    return _only_usable(path, words, keyed.vectors[: len(words)])


def _read_pickled(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        keyed: Any = import_gensim().load(str(path))
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
        raise DataError(f"the vector of {words[bad[0]]!r} holds NaN or infinity", path)
    if not words:
        raise DataError("holds no vectors", path)
    return words, matrix


# --- looking through a text file --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    header: bool
    rows: int
    dimensions: int
    dropped: frozenset[int]  # numbers of the lines that gensim is not to see


def _look_through(path: Path) -> _Layout:
    """Find what gensim would misread. Raises DataError, or warns of lines that are left out."""
    promised = None  # words, by the header
    dimensions = 0
    seen: set[str] = set()
    spaced: list[int] = []
    repeated: list[int] = []
    empty: list[int] = []
    for number, line in _lines(path):
        fields = line.count(b" ")
        if number == 1 and fields == 1 and all(f.isdigit() for f in line.split(b" ")):
            promised, dimensions = map(int, line.split(b" "))
            if not dimensions:
                raise DataError("the header promises vectors of no dimensions", path, number)
            continue
        if not line:
            empty.append(number)
            continue
        if not dimensions:
            dimensions = fields
            if not fields:
                message = "no numbers after the word: not a file of word vectors"
                raise DataError(message, path, number)
        if fields != dimensions:
            parts = line.split(b" ")
            if fields > dimensions and not _numeric(parts[1:]) and _numeric(parts[-dimensions:]):
                spaced.append(number)
                continue
            message = f"{fields} numbers where {dimensions} are expected"
            raise DataError(message, path, number)
        try:
            word = line[: line.index(b" ")].decode()
        except UnicodeDecodeError:
            raise DataError("the word is not UTF-8", path, number) from None
        if not word:
            raise DataError("no word before the numbers", path, number)
        if word in seen:
            repeated.append(number)
        seen.add(word)
    if not seen:
        raise DataError("holds no vectors", path)
    rows = len(seen) + len(repeated) + len(spaced)
    if promised is not None and promised != rows:
        raise DataError(f"the header promises {promised} words, the file has {rows}", path, 1)
    for what, lines in (("words with a space in them", spaced), ("repeated words", repeated)):
        if lines:
            log.warning("%s:%d: %d %s left out", path, lines[0], len(lines), what)
    dropped = frozenset(spaced + repeated + empty)
    return _Layout(promised is not None, len(seen), dimensions, dropped)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with _reading(path), open_binary(path) as file:
        for number, line in enumerate(file, 1):
            yield number, (line.removeprefix(BOM) if number == 1 else line).rstrip()


def _vector_lines(path: Path, layout: _Layout) -> Iterator[tuple[int, bytes]]:
    """The lines that gensim is to read, without the header."""
    for number, line in _lines(path):
        if number not in layout.dropped and not (layout.header and number == 1):
            yield number, line


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise DataError(f"cannot be read: {error}", path) from error


def _numeric(fields: list[bytes]) -> bool:
    try:
        for field in fields:
            float(field)
    except ValueError:
        return False
    return True


def _is_infinite(line: bytes) -> bool:
    largest = float(np.finfo(np.float32).max)
    numbers = map(float, line.split(b" ")[1:])
    return any(math.isnan(x) or abs(x) > largest for x in numbers)
