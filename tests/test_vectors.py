from __future__ import annotations

import gc
import gzip
import hashlib
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import dedent
from urllib.error import URLError

import gensim.downloader
import numpy as np
import pytest
from gensim.models import KeyedVectors

from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.text import vectors
from nerwin.text.vectors import WordVectors, cache_folder, load_vectors

# gensim leaves its file open where it gives up.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

WORDS = ["the", "Zürich", "a\u00a0b", "c\u2028", "字", "."]
MATRIX = np.arange(18, dtype=np.float32).reshape(6, 3) / 4 - 1
TEXT = "".join(f"{w} {' '.join(map(str, row))}\n" for w, row in zip(WORDS, MATRIX, strict=True))


@pytest.fixture(scope="module", autouse=True)
def files_left_open() -> Iterator[None]:
    """They are closed here, not during somebody else's test."""
    yield
    gc.collect()


@pytest.fixture
def load(tmp_path: Path):
    def load(data: bytes | str, name: str = "vectors.txt", **options: bool) -> WordVectors:
        data = data.encode() if isinstance(data, str) else data
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return load_vectors(str(path), cache=tmp_path / "cache", **options)

    return load


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        def fail(*_: object, **__: object) -> None:
            raise AssertionError("gensim was called")

        monkeypatch.setattr(KeyedVectors, "load_word2vec_format", fail)

    return refuse


def binary(words: list[str] = WORDS, matrix: np.ndarray = MATRIX) -> bytes:
    rows = zip(words, matrix, strict=True)
    header = f"{len(words)} {matrix.shape[1]}\n".encode()
    return header + b"".join(f"{w} ".encode() + row.tobytes() + b"\n" for w, row in rows)


def saved_by_gensim(path: Path) -> Path:
    keyed = KeyedVectors(3)
    keyed.add_vectors(WORDS, MATRIX)
    if path.name.removesuffix(".gz").endswith(".kv"):
        keyed.save(str(path))
    else:
        keyed.save_word2vec_format(str(path), binary=True)
    return path


def check(vectors: WordVectors) -> None:
    assert vectors.words == WORDS
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, MATRIX)


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


# --- the cache


def entry_of(cache: Path) -> Path:
    (entry,) = cache.iterdir()
    return entry


@pytest.mark.parametrize("extra", ["", "a\rb 1 2 3\n"])
def test_the_second_load_comes_memory_mapped_from_the_cache(load, no_reading, extra: str) -> None:
    first = load(TEXT + extra)
    no_reading()
    second = load(TEXT + extra)
    assert isinstance(second.matrix, np.memmap)
    assert not second.matrix.flags.writeable
    assert (second.words, second.sha256) == (first.words, first.sha256)
    np.testing.assert_array_equal(second.matrix, first.matrix)


def test_a_copy_comes_from_the_same_entry_and_a_change_makes_another(
    load, no_reading, tmp_path: Path
) -> None:
    load(TEXT)
    load(TEXT.replace("the", "THE"))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    no_reading()
    check(load(TEXT, "copy.txt"))


@pytest.mark.parametrize("file", ["words.txt", "matrix.npy"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-12]),
        lambda path: path.write_bytes(b"\xff" * 100),
    ],
    ids=["gone", "empty", "cut", "other"],
)
def test_a_damaged_entry_is_rebuilt(load, no_reading, tmp_path: Path, file: str, damage) -> None:
    load(TEXT)
    damage(entry_of(tmp_path / "cache") / file)
    check(load(TEXT))
    no_reading()
    check(load(TEXT))


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (48, False)])
def test_an_abandoned_partial_entry_is_removed_when_it_is_old(
    load, tmp_path: Path, hours: int, stays: bool
) -> None:
    partial_entry = tmp_path / "cache" / "partial-abc"
    partial_entry.mkdir(parents=True)
    (partial_entry / "words.txt").touch()
    then = time.time() - hours * 3600
    os.utime(partial_entry, (then, then))
    load(TEXT)
    assert partial_entry.exists() == stays
    assert len(list((tmp_path / "cache").glob("partial-*"))) == stays


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read to be hashed."""
    files: list[Path] = []
    opened = vectors._open_raw
    monkeypatch.setattr(vectors, "_open_raw", lambda path: files.append(path) or opened(path))
    return files


def test_a_file_is_hashed_again_only_if_it_changed(
    load, hashed: list[Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(vectors, "_SETTLED", -60)  # as if it had been there for a while
    first, path = load(TEXT), tmp_path / "vectors.txt"
    again = partial(load_vectors, str(path), cache=tmp_path / "cache")
    assert again().sha256 == first.sha256
    assert hashed == [path]
    before = path.stat()
    path.write_text(TEXT.replace("the", "thy"))  # as long as it was, and as old, it seems
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert again().words[0] == "thy"
    assert hashed == [path, path]
    for note in (tmp_path / "cache").glob("sha256-*"):
        note.write_text(first.sha256[:60])
    assert again().words[0] == "thy"
    assert len(hashed) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators on Windows")
def test_an_array_that_is_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    path = saved_by_gensim(tmp_path / "v.kv")
    (tmp_path / "v.kv.vectors.npy").symlink_to(tmp_path / "moved.npy")
    with pytest.raises(DataError, match=r"v\.kv\.vectors\.npy: cannot be read"):
        load_vectors(str(path), unpickle=True, cache=tmp_path / "cache")


def test_a_file_that_has_just_been_changed_is_hashed_again(
    load, hashed: list[Path], tmp_path: Path
) -> None:
    load(TEXT)
    load_vectors(str(tmp_path / "vectors.txt"), cache=tmp_path / "cache")
    assert len(hashed) == 2
    assert not list((tmp_path / "cache").glob("sha256-*"))


def test_several_processes_at_once_all_succeed(tmp_path: Path) -> None:
    path, cache = tmp_path / "v.txt", tmp_path / "cache"
    path.write_text(TEXT, encoding="utf-8")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for vectors in pool.map(partial(load_vectors, cache=cache), [str(path)] * 4, chunksize=2):
            check(vectors)
    assert entry_of(cache).name.startswith("vectors-")


def test_another_process_may_be_faster(load, tmp_path: Path, monkeypatch) -> None:
    read = KeyedVectors.load_word2vec_format

    def read_while_another_does_too(*args: object, **options: object) -> object:
        monkeypatch.setattr(KeyedVectors, "load_word2vec_format", read)
        load(TEXT)
        return read(*args, **options)

    monkeypatch.setattr(KeyedVectors, "load_word2vec_format", read_while_another_does_too)
    check(load(TEXT))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_an_unwritable_cache_is_no_obstacle(tmp_path: Path, caplog) -> None:
    path = tmp_path / "v.txt"
    path.write_text(TEXT, encoding="utf-8")
    check(load_vectors(str(path), cache=path / "below" / "a-file"))
    assert "the vectors could not be kept in" in caplog.text


def test_the_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NERWIN_CACHE", str(tmp_path / "mine"))
    (tmp_path / "v.txt").write_text(TEXT, encoding="utf-8")
    check(load_vectors(str(tmp_path / "v.txt")))
    assert entry_of(tmp_path / "mine").is_dir()
    monkeypatch.delenv("NERWIN_CACHE")
    assert cache_folder().is_relative_to(Path.home()) or "XDG_CACHE_HOME" in os.environ


# --- gensim's downloader


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server of files, for gensim's downloader; called with the data of one set."""

    def serve(name: str, data: bytes, **information: object) -> Path:
        server, home = tmp_path / "server", tmp_path / "home"
        (server / name).mkdir(parents=True)
        (server / name / "__init__.py").write_text("raise SystemExit('code was run')")
        (server / name / f"{name}.gz").write_bytes(data)
        model = {
            "file_name": f"{name}.gz",
            "checksum": hashlib.md5(data).hexdigest(),
            "parts": 1,
            **information,
        }
        listing = {"corpora": {}, "models": {name: model}}
        (server / "list.json").write_text(json.dumps(listing))
        url = (server / "list.json").as_uri()
        monkeypatch.setattr(gensim.downloader, "DATA_LIST_URL", url)
        info = partial(gensim.downloader._load_info, url)
        monkeypatch.setattr(gensim.downloader, "_load_info", info)
        monkeypatch.setattr(gensim.downloader, "DOWNLOAD_BASE_URL", server.as_uri())
        monkeypatch.setattr(gensim.downloader, "BASE_DIR", str(home))
        return home

    return serve


def test_a_known_name_is_downloaded_once_and_its_code_not_run(
    downloads, tmp_path: Path, capsys, monkeypatch
) -> None:
    home = downloads("glove-tiny-3", gzip.compress(TEXT.encode()))
    check(load_vectors("glove-tiny-3", cache=tmp_path / "cache"))
    assert (home / "glove-tiny-3" / "glove-tiny-3.gz").exists()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(gensim.downloader, "DOWNLOAD_BASE_URL", "file:///nowhere")
    check(load_vectors("glove-tiny-3", cache=tmp_path / "cache"))


def test_a_download_may_be_binary_without_saying_so(downloads, tmp_path: Path) -> None:
    """As word2vec-google-news-300.gz is."""
    downloads("word2vec-tiny-3", gzip.compress(binary()))
    check(load_vectors("word2vec-tiny-3", cache=tmp_path / "cache"))


def test_an_unknown_name_gets_a_suggestion(downloads, tmp_path: Path) -> None:
    downloads("glove-tiny-3", b"")
    with pytest.raises(ConfigError, match=r"neither a file nor .*; did you mean 'glove-tiny-3'"):
        load_vectors("glove-tiny-4", cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"that gensim knows; there are glove-tiny-3$"):
        load_vectors("xyz", cache=tmp_path / "cache")


def test_a_damaged_download_is_an_error_and_not_kept(downloads, tmp_path: Path) -> None:
    home = downloads("glove-tiny-3", gzip.compress(TEXT.encode()), checksum="0")
    with pytest.raises(NerwinError, match=r"glove-tiny-3: .*Checksum"):
        load_vectors("glove-tiny-3", cache=tmp_path / "cache")
    assert not (home / "glove-tiny-3").exists()


@pytest.mark.parametrize("name", ["no/such/file", "vectors.txt", "no.vec.gz"])
def test_what_looks_like_a_file_is_not_looked_for_in_the_network(name: str, monkeypatch) -> None:
    monkeypatch.setattr(gensim.downloader, "_load_info", lambda: pytest.fail("looked"))
    with pytest.raises(ConfigError, match=f"^{name}: no such file$"):
        load_vectors(name)


def test_without_a_network_there_is_one_clear_error(tmp_path: Path, monkeypatch, capfd) -> None:
    def no_network(*_: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(gensim.downloader, "urlopen", no_network)
    monkeypatch.setattr(gensim.downloader, "BASE_DIR", str(tmp_path / "home"))
    with pytest.raises(NerwinError) as caught:
        load_vectors("glove-wiki-gigaword-50", cache=tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith("glove-wiki-gigaword-50: ")
    assert "network" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_without_a_network_no_traceback_is_shown(tmp_path: Path) -> None:
    code = """
        from gensim import downloader
        from nerwin.errors import NerwinError
        from nerwin.text.vectors import load_vectors
        downloader._load_info.__defaults__ = ("file:///nowhere", "utf-8")
        try:
            load_vectors("glove-wiki-gigaword-50")
        except NerwinError:
            print("one clear error")
    """
    environment = os.environ | {"GENSIM_DATA_DIR": str(tmp_path / "home")}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("one clear error\n", "")
