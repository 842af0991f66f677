"""Word vectors by a name or from a file, kept in the cache."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from textwrap import dedent
from urllib.error import URLError

import gensim.downloader
import numpy as np
import pytest
from gensim.models import KeyedVectors
from wordvectors import TEXT, binary, check

from nerwin.errors import ConfigError, NerwinError
from nerwin.text import vectors
from nerwin.text.vectors import cache_folder, load_vectors


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        def fail(*_: object, **__: object) -> None:
            raise AssertionError("gensim was called")

        monkeypatch.setattr(KeyedVectors, "load_word2vec_format", fail)

    return refuse


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
