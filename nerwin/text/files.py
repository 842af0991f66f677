"""Opening text files: plain or .gz, any encoding, errors that name the line."""

from __future__ import annotations

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
        file: BinaryIO = gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")  # type: ignore[assignment]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error
    return file


def read_lines(file: BinaryIO, path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    r"""The lines of a binary file as text, without their ends (\n, \r\n) and without a BOM.

    Only \n ends a line: U+2028, form feeds and the like are characters of the text.
    Raises DataError with the line's number for bytes that are not in the encoding.
    """
    check_encoding(encoding)
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if number == 1 and line.startswith(BOM):
                line = line[len(BOM) :]
            yield line.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        message = f"byte 0x{byte:02x} is not {encoding}; if the file is in another encoding, say --encoding"
        raise DataError(message, path, number) from error
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(f"cannot be read: {error}", path, number + 1) from error


def check_encoding(encoding: str) -> None:
    """Raise ConfigError unless the encoding exists and keeps ASCII's line ends."""
    try:
        if "\n".encode(encoding) == b"\n":
            return
    except LookupError:
        raise ConfigError(f"unknown encoding {encoding!r}") from None
    raise ConfigError(f"encoding {encoding!r} is not supported: convert the file to UTF-8 first")
