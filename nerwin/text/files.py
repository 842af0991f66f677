"""Opening text files: plain or compressed, any encoding, errors that name the line."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import select
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nerwin.errors import ConfigError, DataError

BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 19  # bytes that are read at a time
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
        opener = _opener(buffered.peek(10))
        if opener is None:
            yield buffered
            return
        with opener(buffered) as reader:
            yield reader
    finally:
        if buffered is not file:
            buffered.detach()


def is_compressed(head: bytes) -> bool:
    """Whether these are the first ten bytes of a compressed file."""
    return _opener(head) is not None


def _opener(head: bytes) -> Any:
    """What uncompresses a file that begins so, if it is compressed."""
    if head.startswith(b"\x1f\x8b"):
        return lambda file: gzip.GzipFile(fileobj=file)
    if head.startswith(b"BZh") and head[4:10] in {b"1AY&SY", b"\x17rE8P\x90"}:
        return bz2.BZ2File
    return lzma.LZMAFile if head.startswith(b"\xfd7zXZ\0") else None


def read_blocks(
    file: BinaryIO,
    path: str | Path,
    encoding: str = "utf-8",
    longest: int = sys.maxsize,
    size: int = BLOCK,
) -> Iterator[tuple[list[str], bool]]:
    """The lines of ``byte_blocks`` as text, without their ends.

    Raises DataError with the line's number for bytes that are not in the encoding.
    """
    encoding = known_encoding(encoding)
    number = 0  # lines whose end was met
    for data, goes_on in byte_blocks(file, path, encoding, longest, size):
        text = _decode(data, path, encoding, number)
        lines = [text] if goes_on else split_lines(text)
        number += len(lines) - goes_on
        yield lines, goes_on


def byte_blocks(
    file: BinaryIO,
    path: str | Path,
    encoding: str = "utf-8",
    longest: int = sys.maxsize,
    size: int = BLOCK,
    *,
    offset: int = 0,
    wait: bool = False,
) -> Iterator[tuple[bytes, bool]]:
    """The lines of a binary file, as many at a time as end in one stretch of ``size`` bytes, and
    without the last one's end; the file without a BOM.

    A file is cut at the same places each time, wherever in it the reading begins: ``offset`` is
    where that is. A pipe that has no more to give now is not waited for, unless ``wait``: it gives
    each line at once.

    A line of more than ``longest`` bytes, of ``size`` at least, comes in pieces that together are
    the line, cut after white space if there is any. With the lines comes whether the last one is
    a piece and goes on; then it is the only one.

    Raises DataError for a file that cannot be read.
    """
    number = 0  # lines whose end was met
    held: list[bytes] = []  # of a line whose end is still to come
    length = 0  # bytes in them
    began = offset > 0
    goes_on = False
    while True:
        try:
            data = _read(file, size - offset % size, wait)
        except UNREADABLE as error:
            raise DataError(f"cannot be read: {error}", path, number + 1) from error
        offset += len(data)
        head, newline, tail = data.rpartition(b"\n")
        ended = bool(newline) or not data
        if not ended:
            head, tail = data, b""
        held.append(head if ended else data)
        length += len(held[-1])
        if not ended and length <= longest:
            continue
        whole = b"".join(held)
        if not began:
            whole = whole.removeprefix(BOM)
        began = True
        # Only the first line can be as long: any other began in what was read last.
        while _first_line(whole) > longest:
            cut = _cut(whole[:longest], encoding)
            yield whole[:cut], True
            goes_on = True
            whole = whole[cut:]
        if ended:
            if data or whole or goes_on:
                yield whole, False
            number += whole.count(b"\n") + 1
            goes_on = False
            whole = tail
        held = [whole]
        length = len(whole)
        if not data:
            return


def _read(file: BinaryIO, size: int, wait: bool) -> bytes:
    """``size`` bytes, or what is left; what there is if there is no more now, unless ``wait``."""
    try:
        wait = wait or stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, AttributeError):  # no file of the system's
        return file.read(size) if wait else file.read1(size)  # type: ignore[attr-defined]  # every file here has it
    if wait:
        return file.read(size)
    data: bytes = file.read1(size)  # type: ignore[attr-defined]  # as above
    more = data
    while more and len(data) < size and not would_wait(file):
        more = file.read1(size - len(data))  # type: ignore[attr-defined]  # as above
        data += more
    return data


def would_wait(file: BinaryIO) -> bool:
    """Whether a read would wait for whoever writes into a pipe, as far as that can be told."""
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return False
        return not select.select([file], [], [], 0)[0]
    except OSError:  # no file of the system's; or a pipe of Windows, which cannot be asked
        return os.name == "nt"


def _first_line(data: bytes) -> int:
    """The length of the first line."""
    end = data.find(b"\n")
    return len(data) if end < 0 else end


def _cut(line: bytes, encoding: str) -> int:
    """Where to cut a line: after white space, else where a character ends."""
    cut = max(line.rfind(b" "), line.rfind(b"\t")) + 1
    if cut:
        return cut
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    decoder.decode(line)
    rest, _ = decoder.getstate()
    line = line.removesuffix(rest)
    return len(line.removesuffix(b"\r")) or len(line)


def read_lines(file: BinaryIO, path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a binary file one by one; see ``read_blocks``."""
    for lines, _ in read_blocks(file, path, encoding):
        yield from lines


def _decode(data: bytes, path: str | Path, encoding: str, number: int) -> str:
    """The data as text, of which ``number`` lines came before."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = number + data.count(b"\n", 0, error.start) + 1
        raise _wrong_byte(data[error.start], encoding, path, line) from error


def decode(data: bytes, encoding: str) -> str:
    """The data as text, with lone surrogates for bytes that are not in the encoding; see
    ``check_unicode``.
    """
    return data.decode(known_encoding(encoding), "surrogateescape")


def split_lines(text: str) -> list[str]:
    r"""Lines without their ends, \n or \r\n. U+2028, form feeds and the like are characters of the
    text.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def check_unicode(text: str, path: str | Path, line: int, encoding: str = "") -> None:
    """Raise DataError for half a surrogate pair; or, in a line of a file in this encoding that
    ``decode`` has read, for a byte that is not in it.
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
