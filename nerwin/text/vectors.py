"""Pretrained word vectors by file or name, kept in a cache.

What was read (see ``vectorfiles``) is kept as a plain matrix and a word list under the user's cache
folder, by the file's content, and memory-mapped from then on.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerwin.errors import ConfigError, DataError, NerwinError, did_you_mean
from nerwin.text.vectorfiles import PICKLED, import_gensim, read_vectors

log = logging.getLogger(__name__)

_READER = 1  # raised when the rules of reading change, so that no old entry is used
_SETTLED = 5  # seconds since a file was changed after which it would get another time
_STALE = 24 * 3600  # seconds after which a half-written cache entry is taken for abandoned


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors: ``matrix`` (V, D) float32, row i for ``words[i]``.

    sha256 is that of the file that they came from.
    """

    words: list[str]
    matrix: NDArray[np.float32]
    sha256: str


def load_vectors(source: str, *, unpickle: bool = False, cache: Path | None = None) -> WordVectors:
    """Word vectors from a file, or by the name of a set that gensim's downloader knows.

    source    GloVe or word2vec text (with or without a header, .gz or not), word2vec .bin, or a
              name such as glove-wiki-gigaword-50
    unpickle  also read what gensim saved itself (.kv, .model). That is a pickle, and a pickle
              runs whatever code its author put there: only for files that you trust
    cache     the folder for what was read; by default the user's, see ``cache_folder``

    Raises ConfigError for a source that is neither a file nor a known name, and DataError, with
    path:line where there is one, for a file that cannot be used.
    """
    path = Path(source)
    if not path.exists():
        path = _download(source)
    if path.suffix in PICKLED and not unpickle:
        raise ConfigError(
            f"{path}: gensim's own format is a pickle, which can run code when it is read; "
            "for a file that you trust, say --unpickle"
        )
    folder = cache or cache_folder()
    sha256 = _digest(path, folder)
    entry = folder / f"vectors-{_READER}-{sha256}"
    kept = _from_cache(entry, sha256)
    if kept:
        return kept
    log.info("reading %s (once; afterwards it comes from %s)", path, entry)
    words, matrix = read_vectors(path)
    try:
        _to_cache(entry, words, matrix)
    except OSError as error:
        reason = error.strerror or "is the disk full?"
        log.warning("the vectors could not be kept in %s: %s", entry.parent, reason)
        return WordVectors(words, matrix, sha256)
    return _from_cache(entry, sha256) or WordVectors(words, matrix, sha256)


def cache_folder() -> Path:
    """Where nerwin keeps what can be made again: $NERWIN_CACHE, or the platform's cache folder."""
    if chosen := os.environ.get("NERWIN_CACHE"):
        return Path(chosen)
    try:
        Path.home()
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / "nerwin"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nerwin"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "nerwin" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nerwin"


# --- gensim's downloader ----------------------------------------------------------------------


def _download(name: str) -> Path:
    """The path of a set that gensim knows by name, downloaded if it is not there yet.

    gensim's own ``load`` would run code that comes with the data; ``return_path`` does not.
    """
    if os.sep in name or "." in name:
        raise ConfigError(f"{name}: no such file")
    import_gensim()
    from gensim import downloader

    try:
        with contextlib.redirect_stdout(sys.stderr):  # where its progress belongs
            known = downloader.info()["models"]
            if name not in known:
                hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
                raise ConfigError(f"{name}: neither a file nor vectors that gensim knows; {hint}")
            return Path(downloader.load(name, return_path=True))
    except NerwinError:
        raise
    except Exception as error:  # it raises bare Exceptions, ValueErrors and network errors alike
        raise NerwinError(
            f"{name}: no such file, and gensim cannot download vectors of this name ({error}); "
            "give a file, or try again with a network"
        ) from error


# --- the cache ----------------------------------------------------------------------------------


def _digest(path: Path, folder: Path) -> str:
    """SHA-256 of the file, and of the arrays that gensim saves beside a large file of its own.

    It is noted in the folder, and believed as long as the system tells the same of the files: where
    they are, their sizes, and when they were last changed. Files that have just been changed could
    change again within the same tick of its clock; of them nothing is noted.
    """
    now = time.time()
    parts = (path, *sorted(path.parent.glob(f"{glob.escape(path.name)}.*npy")))
    try:
        stats = [part.stat() for part in parts]
    except OSError as error:  # an array may be a link to nowhere
        raise DataError(f"cannot be read: {error.strerror}", error.filename) from error
    told = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats]
    state = repr((os.path.realpath(path), told))
    note = folder / f"sha256-{hashlib.sha256(os.fsencode(state)).hexdigest()}"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{64}", known := note.read_text(encoding="ascii")):
            return known
    digest = hashlib.sha256()
    for part in parts:
        with contextlib.closing(_open_raw(part)) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    found = digest.hexdigest()
    if all(now - max(s.st_mtime, s.st_ctime) > _SETTLED for s in stats):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            note.write_text(found, encoding="ascii")
    return found


def _open_raw(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from error


def _from_cache(entry: Path, sha256: str) -> WordVectors | None:
    """What is kept in the entry, or None if there is nothing, or nothing whole."""
    try:
        words = (entry / "words.txt").read_bytes().decode().split("\n")
        matrix = np.load(entry / "matrix.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return WordVectors(words, matrix, sha256) if len(words) == len(matrix) else None


def _to_cache(entry: Path, words: list[str], matrix: NDArray[np.float32]) -> None:
    """Write an entry so that others see all of it or nothing, whoever else does the same."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    for partial in entry.parent.glob("partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _STALE:
                shutil.rmtree(partial)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=entry.parent))
    try:
        (partial / "words.txt").write_bytes("\n".join(words).encode())
        np.save(partial / "matrix.npy", np.ascontiguousarray(matrix, np.float32))
        with contextlib.suppress(FileNotFoundError):
            if _from_cache(entry, "") is None:
                shutil.rmtree(entry)  # there, but damaged
        with contextlib.suppress(OSError):  # somebody else was faster: theirs is as good
            partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
