"""Word vectors from files: formats, and what is wrong in them."""

from __future__ import annotations

import gc
import gzip
import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from wordvectors import MATRIX, TEXT, binary, check, saved_by_gensim

from nerwin.errors import ConfigError, DataError
from nerwin.text.vectors import load_vectors

# gensim leaves its file open where it gives up.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def files_left_open() -> Iterator[None]:
    """They are closed here, not during somebody else's test."""
    yield
    gc.collect()


# --- formats


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz", "v.vec", "v.gz"])
@pytest.mark.parametrize("header", ["", "6 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_text(load, name: str, header: str, end: str) -> None:
    check(load((header + TEXT).replace("\n", end), name))


def test_numbers_are_those_that_gensim_reads(load, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50, 7)) * 10.0 ** rng.integers(-45, 30, (50, 7))
    ways = ("{!r}", "{:.5f}", "{:e}", "{:.3g}")
    lines = [
        f"w{i} {' '.join(ways[(i + j) % 4].format(x) for j, x in enumerate(row))}\n"
        for i, row in enumerate(numbers.tolist())
    ]
    (tmp_path / "gensim.txt").write_text("".join(lines))
    keyed = KeyedVectors.load_word2vec_format(str(tmp_path / "gensim.txt"), no_header=True)
    vectors = load("".join(lines))
    assert vectors.words == keyed.index_to_key
    np.testing.assert_array_equal(vectors.matrix, keyed.vectors)


def test_text_without_a_final_newline(load) -> None:
    check(load(TEXT.rstrip("\n")))


@pytest.mark.parametrize("name", ["v.bin", "v.bin.gz"])
def test_binary_as_gensim_writes_it(tmp_path: Path, name: str) -> None:
    check(load_vectors(str(saved_by_gensim(tmp_path / name)), cache=tmp_path / "cache"))


def test_binary_as_word2vec_writes_it(load) -> None:
    check(load(binary(), "v.bin"))


def test_a_pickle_is_read_only_if_trusted(tmp_path: Path) -> None:
    path, cache = str(saved_by_gensim(tmp_path / "v.kv")), tmp_path / "cache"
    with pytest.raises(ConfigError, match=r"v.kv: .*pickle.*--unpickle"):
        load_vectors(path, cache=cache)
    check(load_vectors(path, unpickle=True, cache=cache))
    with pytest.raises(ConfigError, match="pickle"):
        load_vectors(path, cache=cache)


def test_a_pickle_under_another_name_is_not_unpickled(tmp_path: Path) -> None:
    path = saved_by_gensim(tmp_path / "v.kv").rename(tmp_path / "v.txt")
    with pytest.raises(DataError):
        load_vectors(str(path), cache=tmp_path / "cache")


def test_the_check_sum_is_that_of_the_file(load) -> None:
    assert load(TEXT).sha256 == hashlib.sha256(TEXT.encode()).hexdigest()


# --- what gensim would take in silence


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("a 1 2\nb nan 4\n", ":2: ", "NaN or infinite"),
        ("a 1 2\nb 3 -inf\nc nan 1\n", ":2: ", "NaN or infinite"),
        ("2 2\na 1 2\nb 1e999 1\n", ":3: ", "NaN or infinite"),
        ("a 1 2\nb 1e39 1\n", ":2: ", "NaN or infinite"),
        ("a 1 2 3\nb 1 2\n", ":2: ", "2 numbers where 3 are expected"),
        ("a 1 2 3\nb 1\n", ":2: ", "1 numbers where 3 are expected"),
        ("a 1 2 3\nb\n", ":2: ", "0 numbers where 3 are expected"),
        ("2 3\na 1\nb 1\n", ":2: ", "1 numbers where 3 are expected"),
        ("a 1 2\nb 1 2 3\n", ":2: ", "3 numbers where 2 are expected"),
        ("a 1 2\nb 1 x\n", ":2: ", "not a word and 2 numbers"),
        ("a 1 2\na 1 2\n\nb 1 x\n", ":4: ", "not a word and 2 numbers"),
        ("a 1 2\nb 1 2 x\n", ":2: ", ""),
        (b"a 1 2\n\xff 1 2\n", ":2: ", "not UTF-8"),
        ("3 2\na 1 2\nb 1 2\n", ":1: ", "the header promises 3 words, the file has 2"),
        ("1 2\na 1 2\nb 1 2\n", ":1: ", "the header promises 1 words, the file has 2"),
        ("2 3\na 1 2\nb 1 2\n", ":2: ", "2 numbers where 3 are expected"),
        ("hello\nworld\n", ":1: ", "not a file of word vectors"),
        ("a\t1\t2\n", ":1: ", "not a file of word vectors"),
        ("", ": ", "holds no vectors"),
        ("\n \n", ": ", "holds no vectors"),
        ("0 2\n", "", "holds no vectors"),
    ],
)
def test_damage_in_a_text_file_is_named_with_its_line(load, content, place, message) -> None:
    with pytest.raises(DataError) as caught:
        load(content)
    assert f"vectors.txt{place}" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("a 9 9", "1 repeated words left out"),
        ("at name 9 9", "1 words with a space in them left out"),
        (". . . 9 9", "1 words with a space in them left out"),
    ],
)
def test_lines_that_cannot_be_used_are_left_out_with_a_warning(
    load, caplog, header: bool, line: str, warning: str
) -> None:
    vectors = load("3 2\n" * header + f"a 1 2\n{line}\nb 3 4\n")
    assert vectors.words == ["a", "b"]
    assert vectors.matrix.tolist() == [[1, 2], [3, 4]]
    assert f"vectors.txt:{2 + header}: {warning}" in caplog.text


@pytest.mark.parametrize("content", ["a 1 2\nb 3 4\n\n", "2 2\na 1 2\n\nb 3 4\n\n\n"])
def test_blank_lines_are_left_out(load, caplog, content: str) -> None:
    vectors = load(content)
    assert (vectors.words, vectors.matrix.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_number_may_be_a_word(load) -> None:
    assert load("0.5 1\n7 2\n7 3\n1.5 4\n").words == ["0.5", "7", "1.5"]


def test_a_bom_is_no_part_of_a_file(load) -> None:
    assert load("\ufeff1 2\na 1 2\n").words == ["a"]
    assert load("\ufeffa 1 2\n").words == ["a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (binary()[:-9], "cut off or damaged"),
        (binary()[:20], "cut off or damaged"),
        (b"9" + binary()[1:], "cut off or damaged"),
        (b"hello\n", ":1: not in word2vec's binary format"),
        (b"", ":1: not in word2vec's binary format"),
        (b"a b\n", ":1: not in word2vec's binary format"),
        (os.urandom(200).replace(b"\n", b""), ":1: not in word2vec's binary format"),
        (b"0 3\n", "holds no vectors"),
        (b"1000000000000000000 9\n" + binary(), "cut off or damaged"),
        (binary(matrix=np.where(MATRIX == 0, np.float32("nan"), MATRIX)), "'Zürich' .* NaN"),
    ],
)
def test_damage_in_a_binary_file_is_named(load, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(data, "v.bin")


def test_repeated_words_in_a_binary_file_are_left_out(load, caplog) -> None:
    data = binary(["a", "b", "a"], np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    vectors = load(data, "v.bin")
    assert (vectors.words, vectors.matrix.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
    assert "v.bin: 1 repeated words left out" in caplog.text


@pytest.mark.parametrize("name", ["v.txt.gz", "v.bin.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: gzip.compress(data)[:-9],
        lambda data: gzip.compress(data)[:10] + b"\xff" * 50,
    ],
    ids=["cut", "damaged"],
)
def test_damaged_gz_files_are_named(tmp_path: Path, name: str, damage) -> None:
    path = tmp_path / name
    path.write_bytes(damage(binary() if "bin" in name else TEXT.encode()))
    with pytest.raises(DataError, match=name):
        load_vectors(str(path), cache=tmp_path / "cache")


def test_a_gz_file_that_is_none(tmp_path: Path) -> None:
    text, damaged = tmp_path / "v.txt.gz", tmp_path / "v.bin.gz"
    text.write_text(TEXT)
    damaged.write_bytes(binary())
    check(load_vectors(str(text), cache=tmp_path / "cache"))  # its first bytes tell what it is
    with pytest.raises(DataError, match=r"v\.bin\.gz"):
        load_vectors(str(damaged), cache=tmp_path / "cache")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.txt: no such file"):
        load_vectors(str(tmp_path / "none.txt"), cache=tmp_path)
    with pytest.raises(DataError, match=r"directory|folder"):
        load_vectors(str(tmp_path), cache=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators on Windows")
def test_an_array_that_is_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    path = saved_by_gensim(tmp_path / "v.kv")
    (tmp_path / "v.kv.vectors.npy").symlink_to(tmp_path / "moved.npy")
    with pytest.raises(DataError, match=r"v\.kv\.vectors\.npy: cannot be read"):
        load_vectors(str(path), unpickle=True, cache=tmp_path / "cache")
