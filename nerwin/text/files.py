"""Opening text files: plain or compressed, any encoding, errors that name the line."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nerwin.errors import ConfigError, DataError

BOM = b"\xef\xbb\xbf"
COMPRESSED = (".gz", ".bz2", ".xz")
UNREADABLE = (EOFError, OSError, zlib.error, lzma.LZMAError)  # what a damaged file raises


@contextlib.contextmanager
def open_binary(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading, uncompressed if it is compressed (see ``uncompressed``).

    Raises DataError if that cannot be done.
    """
    try:
        if Path(path).is_dir():
            raise DataError("is a folder, not a file", path)
        file = open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error
    with file, uncompressed(file) as text:
        yield text


@contextlib.contextmanager
def uncompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    """The contents of a gzip, bzip2 or xz file, told by its first bytes; any other as it is.

    The file itself stays open; it need not be seekable.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]  # any file will do
    try:
        head = buffered.peek(10)
        if head.startswith(b"\x1f\x8b"):
            reader: Any = gzip.GzipFile(fileobj=buffered)
        elif head.startswith(b"BZh") and head[4:10] in {b"1AY&SY", b"\x17rE8P\x90"}:
            reader = bz2.BZ2File(buffered)
        elif head.startswith(b"\xfd7zXZ\0"):
            reader = lzma.LZMAFile(buffered)
        else:
            yield buffered
            return
        with reader:
            yield reader
    finally:
        if buffered is not file:
            buffered.detach()


def read_blocks(
    file: BinaryIO,
    path: str | Path,
    encoding: str = "utf-8",
    size: int = 1 << 18,
    *,
    escape: bool = False,
) -> Iterator[list[str]]:
    r"""The lines of a binary file as text, as many at a time as one read of ``size`` bytes gives.

    So a file comes in large blocks, and a pipe that waits gives each line at once. Lines are
    without their ends (\n, \r\n) and the file without a BOM. Only \n ends a line: U+2028, form
    feeds and the like are characters of the text.

    Raises DataError with the line's number for bytes that are not in the encoding; with
    ``escape`` they come as lone surrogates instead, for ``check_unicode`` to find.
    """
    encoding = known_encoding(encoding)
    number = 0  # lines given so far
    pieces: list[bytes] = []  # of a line whose end is still to come
    while True:
        try:
            data = file.read1(size)  # type: ignore[attr-defined]  # every binary file here has it
        except UNREADABLE as error:
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
            lines = _decode(whole, path, encoding, number, escape)
            number += len(lines)
            yield lines
        if not data:
            return


def read_lines(file: BinaryIO, path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a binary file one by one; see ``read_blocks``."""
    for block in read_blocks(file, path, encoding):
        yield from block


def _decode(data: bytes, path: str | Path, encoding: str, number: int, escape: bool) -> list[str]:
    """The lines in the data, of which ``number`` lines came before."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if not escape:
            line = number + data.count(b"\n", 0, error.start) + 1
            raise _wrong_byte(data[error.start], encoding, path, line) from error
        text = data.decode(encoding, "surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n")]


def check_unicode(text: str, path: str | Path, line: int, encoding: str = "") -> None:
    """Raise DataError for half a surrogate pair; or, in a line that was read with ``escape`` from a
    file in this encoding, for a byte that could not be decoded.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if encoding and 0xDC80 <= code <= 0xDCFF:
            raise _wrong_byte(code - 0xDC00, encoding, path, line) from None
        raise DataError(
            f"half a surrogate pair, U+{code:04X}, is no character", path, line
        ) from None


def _wrong_byte(byte: int, encoding: str, path: str | Path, line: int) -> DataError:
    hint = "if the file is in another encoding, say --encoding"
    return DataError(f"byte 0x{byte:02x} is not {encoding}; {hint}", path, line)


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
