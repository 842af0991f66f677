"""Which files in a folder are a run's: to know a run, to replace it, to remove it.

Whatever else is in the folder is left alone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from nerwin.errors import ConfigError
from nerwin.manifest import CHECKPOINT, FORMAT, MANIFEST, REPLACED, Manifest

_FILES = (
    *("words.txt", "features.json", "gazetteers.json", "metrics.json", "metrics.jsonl"),
    *("index.npy", "untouched.npy", "pretrained.npy", "cluster[0-9]*.npy"),
    MANIFEST,  # last: as long as it is there, the rest is known to be a run's
)


def is_free(folder: Path) -> bool:
    """Whether there is nothing in the folder's place, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def check_replaceable(folder: Path) -> None:
    """Raise ConfigError if there is something in the folder's place that is not a run."""
    if not (is_free(folder) or _is_run(folder) or _is_run(folder / REPLACED)):
        raise ConfigError(f"{folder}: not the folder of a run, so it is not overwritten")


def _is_run(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((folder / MANIFEST).read_bytes())
        if isinstance(about, dict) and about.get("format") == FORMAT:
            return True
    # Killed before its first epoch was finished; or its manifest is damaged.
    return all((folder / name).exists() for name in ("words.txt", "index.npy"))


def set_aside(folder: Path) -> None:
    """Make room for a run; one that is there, and has a model, is kept until the new one has."""
    aside = folder / REPLACED
    if (folder / MANIFEST).exists():
        if (aside / MANIFEST).exists():
            drop_replaced(folder)
        aside.mkdir(exist_ok=True)
        try:
            _move(folder, aside)
        except BaseException:
            _move(aside, folder)
            raise
    empty(folder)


def put_back(folder: Path) -> None:
    """Remove a run that has no model yet, and its folder if nothing else is in it; or the run that
    was there before is there again.
    """
    empty(folder)
    _move(folder / REPLACED, folder)
    drop_replaced(folder)
    with contextlib.suppress(OSError):
        folder.rmdir()


def drop_replaced(folder: Path) -> None:
    """Remove the run that was kept."""
    empty(folder / REPLACED)
    with contextlib.suppress(OSError):
        (folder / REPLACED).rmdir()


def _move(run: Path, folder: Path) -> None:
    for path in _paths(run):
        path.rename(folder / path.name)


def empty(folder: Path) -> None:
    """Remove a run's files."""
    for path in _paths(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _paths(folder: Path) -> list[Path]:
    """A run's files and checkpoints, the manifest last; it may be damaged, and is not asked."""
    there = folder.iterdir() if folder.is_dir() else ()
    found = [path for path in there if CHECKPOINT.fullmatch(path.name)]
    for pattern in _FILES:
        found += [*folder.glob(f"{pattern}.partial"), *folder.glob(pattern)]
    return found


def remove_unnamed(folder: Path, manifest: Manifest) -> None:
    """Remove the checkpoints that the manifest does not name: what a killed process may leave."""
    named = {*manifest.checkpoints, *(fold["folder"] for fold in manifest.folds)}
    for path in folder.iterdir():
        if CHECKPOINT.fullmatch(path.name) and path.name not in named:
            shutil.rmtree(path, ignore_errors=True)
