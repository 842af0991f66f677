"""Opening text files: plain or .gz, any encoding, errors that name the line."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nerwin.errors import ConfigError, DataError

BOM = b"\xef\xbb\xbf"


def open_binary(path: str | Path) -> BinaryIO:
    """Open a file for reading, uncompressed if its name ends in .gz.

    Raises DataError if that cannot be done.
    """
    try:
        if Path(path).is_dir():
            raise DataError("is a folder, not a file", path)
        if str(path).endswith(".gz"):
            return gzip.open(path)  # type: ignore[return-value]  # it reads like any file
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error


def read_blocks(
    file: BinaryIO, path: str | Path, encoding: str = "utf-8", size: int = 1 << 18
) -> Iterator[list[str]]:
    r"""The lines of a binary file as text, as many at a time as one read of ``size`` bytes gives.

    So a file comes in large blocks, and a pipe that waits gives each line at once. Lines are
    without their ends (\n, \r\n) and the file without a BOM. Only \n ends a line: U+2028, form
    feeds and the like are characters of the text.

    Raises DataError with the line's number for bytes that are not in the encoding.
    """
    encoding = known_encoding(encoding)
    number = 0  # lines given so far
    pieces: list[bytes] = []  # of a line whose end is still to come
    while True:
        try:
            data = file.read1(size)  # type: ignore[attr-defined]  # every binary file here has it
        except (EOFError, zlib.error, OSError) as error:
            raise DataError(f"cannot be read: {error}", path, number + 1) from error
        head, newline, tail = data.rpartition(b"\n")
        if data and not newline:
            pieces.append(data)
            continue
        whole = b"".join([*pieces, head])
        pieces = [tail] if tail else []
        if number == 0:
            whole = whole.removeprefix(BOM)
        if data or whole:
            lines = _decode(whole, path, encoding, number)
            number += len(lines)
            yield lines
        if not data:
            return


def read_lines(file: BinaryIO, path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a binary file one by one; see ``read_blocks``."""
    for block in read_blocks(file, path, encoding):
        yield from block


def _decode(data: bytes, path: str | Path, encoding: str, number: int) -> list[str]:
    """The lines in the data, of which ``number`` lines came before."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = number + data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not {encoding}"
        hint = "if the file is in another encoding, say --encoding"
        raise DataError(f"{message}; {hint}", path, line) from error
    return [line.removesuffix("\r") for line in text.split("\n")]


def known_encoding(name: str) -> str:
    """An encoding by its usual name. Raises ConfigError unless ASCII stays ASCII in it."""
    try:
        encoding = codecs.lookup(name).name.removesuffix("-sig")  # a BOM is dropped in any case
        probe = rb"a \u0041 +2AA-" + b"\n"
        if "\n".encode(encoding) == b"\n" and probe.decode(encoding) == probe.decode("ascii"):
            return encoding
    except (LookupError, ValueError):
        raise ConfigError(f"unknown encoding {name!r}") from None
    raise ConfigError(f"encoding {name!r} is not supported: convert the file to UTF-8 first")
