from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from itertools import chain
from pathlib import Path
from threading import Timer

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nerwin.errors import ConfigError, DataError
from nerwin.text.files import (
    BOM,
    byte_blocks,
    check_unicode,
    decode,
    known_encoding,
    open_binary,
    read_blocks,
    read_lines,
    uncompressed,
)

texts = st.text(st.sampled_from("ab\n\r é字😀\u2028\x0c\x85\ufeff"), max_size=30)


def expected_lines(data: bytes) -> list[str]:
    lines = data.removeprefix(BOM).decode().split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


@given(texts, st.booleans(), st.integers(1, 7))
@example("a", True, 1)
@example("\n", True, 2)
@example("é\r\n字", True, 1)
@example("\n\n\n", False, 1)
def test_lines_do_not_depend_on_the_size_of_a_read(text: str, bom: bool, size: int) -> None:
    data = BOM * bom + text.encode()
    blocks = [lines for lines, _ in read_blocks(io.BytesIO(data), "x", size=size)]
    assert list(chain(*blocks)) == expected_lines(data) == list(read_lines(io.BytesIO(data), "x"))
    assert all(blocks)


@given(texts, st.booleans(), st.integers(4, 12), st.integers(1, 7))
@example("aaaaé aaaé\r\n", True, 4, 3)
@example("\ufeff" * 9, True, 4, 7)
@example("字\r\r\r\r字\r\n", False, 4, 1)
def test_the_pieces_of_long_lines_are_the_lines(
    text: str, bom: bool, longest: int, size: int
) -> None:
    data = BOM * bom + text.encode()
    lines = [""]
    for block, goes_on in read_blocks(io.BytesIO(data), "x", "utf-8", longest, size):
        assert len(block) == 1 or not goes_on
        assert all(len(line.encode()) <= longest + size + len(BOM) for line in block)
        lines[-1] += block[0]
        lines += block[1:]
        if not goes_on:
            lines.append("")
    assert lines.pop() == ""
    assert lines == expected_lines(data)


def test_long_lines_are_cut_after_white_space_or_between_characters() -> None:
    def pieces(text: str, encoding: str) -> list[str]:
        file = io.BytesIO(text.encode(encoding))
        return [block[0] for block, _ in read_blocks(file, "x", encoding, longest=7, size=3)]

    assert pieces("ab cd\tefg hi jk\n", "utf-8") == ["ab cd\t", "efg hi ", "jk"]
    for encoding in ("utf-8", "gb18030", "shift-jis"):
        assert "".join(pieces("字" * 20, encoding)) == "字" * 20


@given(st.text(st.sampled_from("ab \n\ré😀"), max_size=60), st.integers(8, 20), st.data())
def test_a_file_is_cut_at_the_same_places_wherever_the_reading_begins(
    text: str, size: int, data: st.DataObject
) -> None:
    content = text.encode()
    blocks = list(byte_blocks(io.BytesIO(content), "x", longest=8, size=size))
    ends = [i for i, (_, goes_on) in enumerate(blocks) if not goes_on]
    begin = data.draw(st.sampled_from([0, *(i + 1 for i in ends)]))
    before = b"".join(part + b"\n" * (not goes_on) for part, goes_on in blocks[:begin])
    offset = min(len(before), len(content))
    rest = byte_blocks(io.BytesIO(content[offset:]), "x", longest=8, size=size, offset=offset)
    assert list(rest) == blocks[begin:]


@given(st.lists(st.sampled_from(["a", "é", "\n", "\r\n"]), max_size=12), st.integers(1, 7))
def test_the_line_of_a_wrong_byte_does_not_depend_on_the_size_of_a_read(
    before: list[str], size: int
) -> None:
    text = "".join(before)
    with pytest.raises(DataError, match=f"^x:{text.count(chr(10)) + 1}: byte 0xff is not utf-8"):
        list(read_blocks(io.BytesIO(text.encode() + b"\xff\nmore\n"), "x", "utf-8", 5, size))


def test_a_pipe_that_stays_open_gives_each_line_at_once() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb", buffering=0) as sink:
        in_case_it_waits = Timer(10, sink.close)
        in_case_it_waits.start()
        lines = read_lines(file, "-")
        for line in ("\ufeffone", "zwei\r", "", "trois é"):
            sink.write(f"{line}\n".encode())
            assert next(lines) == line.strip("\ufeff\r")
        sink.write("half a line é".encode()[:-1])
        sink.write("é".encode()[1:])
        in_case_it_waits.cancel()
        sink.close()
        assert list(lines) == ["half a line é"]


def test_a_bom_is_dropped_once_and_only_at_the_start() -> None:
    lines = list(read_lines(io.BytesIO(BOM + BOM + b"a\n" + BOM + b"b\n"), "x"))
    assert lines == ["\ufeffa", "\ufeffb"]


PACKERS = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "plain": bytes}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", ["a.txt", "a.gz", "a"])
@pytest.mark.parametrize("data", [b"x\ny", b"", b"\x1f", b"BZh", b"BZh9 is no bzip2\n" * 999])
def test_files_are_uncompressed_by_what_is_in_them(
    tmp_path: Path, packer: str, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[packer](data))
    with open_binary(path) as file:
        assert file.read() == data


@pytest.mark.parametrize("packer", PACKERS)
def test_a_pipe_is_uncompressed_too_and_stays_open(packer: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, PACKERS[packer](b"x\ny"))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        with uncompressed(file) as text:
            assert list(read_lines(text, "-")) == ["x", "y"]
        assert not file.closed


def test_bytes_that_are_no_text_can_be_found_line_by_line() -> None:
    data = "é\nschön\n".encode() + b"no \xff\n" + "字".encode()
    lines = decode(data, "utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if number != 3:
            check_unicode(line, "x", number, "utf-8")
    assert [lines[0], lines[1], lines[3]] == ["é", "schön", "字"]
    with pytest.raises(DataError, match=r"^x:3: byte 0xff is not utf-8"):
        check_unicode(lines[2], "x", 3, "utf-8")
    with pytest.raises(DataError, match=r"^x:4: half a surrogate pair, U\+D83D"):
        check_unicode("a\ud83d", "x", 4)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.txt: cannot be read: No such file"):
        open_binary(tmp_path / "nothing.txt").__enter__()
    with pytest.raises(DataError, match="is a folder, not a file"):
        open_binary(tmp_path).__enter__()


# The names keep what pytest-xdist's processes collect alike: these bytes differ by the second.
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gzip.compress(os.urandom(5000))[:-1000], id="gzip-cut"),
        pytest.param(gzip.compress(b"a\n" * 1000)[:-5], id="gzip-cut-in-the-checksum"),
        pytest.param(gzip.compress(b"a\n" * 1000)[:-8] + bytes(8), id="gzip-wrong-checksum"),
        pytest.param(gzip.compress(b"a\n" * 1000)[:10] + b"\xff" * 50, id="gzip-no-deflate"),
        pytest.param(bz2.compress(os.urandom(5000))[:-1000], id="bz2-cut"),
        pytest.param(bz2.compress(b"a\n" * 1000)[:10] + b"\xff" * 50, id="bz2-no-block"),
        pytest.param(lzma.compress(os.urandom(5000))[:-1000], id="xz-cut"),
        pytest.param(lzma.compress(b"a\n" * 1000)[:10] + b"\xff" * 50, id="xz-no-block"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(data)
    with (
        open_binary(path) as file,
        pytest.raises(DataError, match=r"a.gz:\d+: (cannot be read|byte)"),
    ):
        list(read_lines(file, path))


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "latin-1", "cp1252", "gb18030", "shift-jis"])
def test_encodings_that_keep_line_ends(encoding: str) -> None:
    known_encoding(encoding)
    data = "a\r\n".encode(encoding) + "é字"[encoding[0].lower() in "gs" :][:1].encode(encoding)
    assert next(read_blocks(io.BytesIO(data), "x", encoding, size=1)) == (["a"], False)


@pytest.mark.parametrize("encoding", ["utf-9", "", "hex", "rot13", "ütf"])
def test_unknown_encodings(encoding: str) -> None:
    with pytest.raises(ConfigError, match="unknown encoding"):
        known_encoding(encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "cp037", "unicode_escape"])
def test_encodings_with_other_line_ends_are_refused(encoding: str) -> None:
    with pytest.raises(ConfigError, match="not supported"):
        list(read_blocks(io.BytesIO(b""), "x", encoding))


@pytest.mark.parametrize("encoding", ["undefined", "utf-8\0"])
def test_odd_names_of_encodings_are_refused_too(encoding: str) -> None:
    with pytest.raises(ConfigError):
        known_encoding(encoding)


def test_utf_8_with_a_bom_may_be_called_by_its_name() -> None:
    assert list(read_lines(io.BytesIO(BOM + b"a\nb"), "x", "utf-8-sig")) == ["a", "b"]
