"""Opening text files: plain or compressed, any encoding, errors that name the line."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import sys
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
    longest: int = sys.maxsize,
    size: int = 1 << 18,
    *,
    escape: bool = False,
) -> Iterator[tuple[list[str], bool]]:
    r"""The lines of a binary file as text, as many at a time as one read of ``size`` bytes gives.

    So a file comes in large blocks, and a pipe that waits gives each line at once. Lines are
    without their ends (\n, \r\n) and the file without a BOM. Only \n ends a line: U+2028, form
    feeds and the like are characters of the text.

    A line of more than ``longest`` bytes, or little more, comes in pieces that together are the
    line, cut after white space if there is any. With the lines comes whether the last one is a
    piece and goes on.

    Raises DataError with the line's number for bytes that are not in the encoding; with
    ``escape`` they come as lone surrogates instead, for ``check_unicode`` to find.
    """
    encoding = known_encoding(encoding)
    number = 0  # lines whose end was met
    pieces: list[bytes] = []  # of a line whose end is still to come
    held = 0  # bytes in them
    began = goes_on = False
    while True:
        try:
            data = file.read1(size)  # type: ignore[attr-defined]  # every binary file here has it
        except UNREADABLE as error:
            raise DataError(f"cannot be read: {error}", path, number + 1) from error
        went_on = goes_on
        head, newline, tail = data.rpartition(b"\n")
        goes_on = bool(data) and not newline
        if goes_on:
            pieces.append(data)
            held += len(data)
            if held <= longest:
                goes_on = went_on
                continue
            whole = b"".join(pieces)
            cut = _cut(whole, encoding)
            whole, tail = whole[:cut], whole[cut:]
        else:
            whole = b"".join([*pieces, head])
        pieces = [tail] if tail else []
        held = len(tail)
        if not began:
            whole = whole.removeprefix(BOM)
        began = True
        if data or whole or went_on:
            lines = _decode(whole, path, encoding, number, escape).split("\n")
            number += len(lines) - goes_on
            yield lines if goes_on else [line.removesuffix("\r") for line in lines], goes_on
        if not data:
            return


def _cut(line: bytes, encoding: str) -> int:
    """Where to cut a line: after white space, else where a character ends."""
    cut = max(line.rfind(b" "), line.rfind(b"\t")) + 1
    if cut:
        return cut
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    decoder.decode(line)
    rest, _ = decoder.getstate()
    return len(line.removesuffix(rest).removesuffix(b"\r"))


def read_lines(file: BinaryIO, path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a binary file one by one; see ``read_blocks``."""
    for lines, _ in read_blocks(file, path, encoding):
        yield from lines


def _decode(data: bytes, path: str | Path, encoding: str, number: int, escape: bool) -> str:
    """The data as text, of which ``number`` lines came before."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if escape:
            return data.decode(encoding, "surrogateescape")
        line = number + data.count(b"\n", 0, error.start) + 1
        raise _wrong_byte(data[error.start], encoding, path, line) from error


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
