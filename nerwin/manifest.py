"""What a run's folder is: its manifest.json, read, checked and replaced in one step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from nerwin import __version__
from nerwin.classifier import layer_names
from nerwin.config import from_dict
from nerwin.errors import ConfigError, DataError
from nerwin.options import Config
from nerwin.storage import write_file

MANIFEST = "manifest.json"
FORMAT = "nerwin-run"
VERSION = 3
REPLACED = "replaced"  # the folder in a run's folder of the run that it is to replace
CHECKPOINT = re.compile(r"(?:fold-(\d+)-)?epoch-\d+")  # the name of one's folder


@dataclass
class Manifest:
    """The contents of manifest.json.

    files        what is written once, words.txt and so on: name -> shape, dtype, sha256
    folds        the finished models of the first pass, by number: {"folder", "epoch",
                 "parameters"}; each was trained without one fold of the documents, the last one
                 with all
    checkpoints  folder -> {"epoch", "dev_f1", "parameters": {name: file}, "optimizer": {…}}, and
                 {"decision", "calibration"} if it was tuned on dev; in a first pass the last one of
                 each of its models that is begun
    best, last   names of checkpoints; "" in a first pass
    """

    config: Config
    types: list[str]
    provenance: dict[str, Any]
    files: dict[str, Any] = field(default_factory=dict)
    folds: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: dict[str, Any] = field(default_factory=dict)
    best: str = ""
    last: str = ""
    format: str = FORMAT
    version: int = VERSION
    nerwin: str = __version__

    @property
    def missing(self) -> list[int]:
        """The numbers of the models of the first pass that are not finished, from 1."""
        finished = {model_number(fold["folder"]) for fold in self.folds}
        numbers = range(1, self.config.features.first_models + 1)
        return [number for number in numbers if number not in finished]

    @property
    def begun(self) -> dict[int, str]:
        """The checkpoint of each of them that is begun, by number."""
        numbered = ((model_number(name), name) for name in self.checkpoints)
        return {number: name for number, name in numbered if number}

    @property
    def saved(self) -> dict[int, int]:
        """The last epoch of each model of the first pass, by number, and of the model itself, 0."""
        epochs = [(fold["folder"], fold["epoch"]) for fold in self.folds]
        epochs += [(name, checkpoint["epoch"]) for name, checkpoint in self.checkpoints.items()]
        saved: dict[int, int] = {}
        for name, epoch in epochs:
            number = model_number(name)
            saved[number] = max(epoch, saved.get(number, 0))
        return saved


def checkpoint_name(number: int, epoch: int) -> str:
    """The folder of a checkpoint of a model of the first pass, or of the model itself, number 0."""
    return f"fold-{number}-epoch-{epoch}" if number else f"epoch-{epoch}"


def model_number(checkpoint: str) -> int:
    """The number of the model that a checkpoint is of."""
    found = CHECKPOINT.fullmatch(checkpoint)
    if not found:
        raise ValueError(f"{checkpoint!r} is not the name of a checkpoint")
    return int(found[1] or 0)


def read_manifest(folder: Path) -> Manifest:
    """Raises ConfigError if the folder is not a run's, DataError if its manifest is damaged."""
    path = folder / MANIFEST
    if not folder.is_dir():
        what = "a file, not a run's folder" if folder.exists() else "no such folder"
        raise ConfigError(f"{folder}: {what}")
    if not path.exists():
        unfinished = (folder / "words.txt").exists()
        reason = "no epoch of it was finished" if unfinished else f"it has no {MANIFEST}"
        if (folder / REPLACED / MANIFEST).exists():
            reason += f"; the run that was there before is in {folder / REPLACED}"
        raise ConfigError(f"{folder}: not a trained model: {reason}")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["format"] != FORMAT:
            raise DataError(f"not a nerwin run: its format is {fields['format']!r}", path)
        if fields["version"] != VERSION:
            message = f"written by nerwin {fields['nerwin']} in format {fields['version']}"
            message += f"; this is {__version__}, format {VERSION}: "
            remedy = "update nerwin" if fields["version"] > VERSION else "train the model again"
            raise DataError(message + remedy, path)
        fields["config"] = from_dict(fields["config"])
        manifest = Manifest(**fields)
        held = {fold["folder"]: fold["parameters"] for fold in manifest.folds}
        held |= {name: each["parameters"] for name, each in manifest.checkpoints.items()}
        if not held or 0 in manifest.saved:
            for name in (manifest.best, manifest.last):
                held[name] = manifest.checkpoints[name]["parameters"]
        for name, parameters in held.items():
            expected = {"E", "U", *chain(*layer_names(len(manifest.config.model.hidden)))}
            if not parameters.keys() >= expected:
                raise DataError(f"{name} does not hold {', '.join(sorted(expected))}", path)
        return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"damaged: {type(error).__name__}: {error}", path) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace manifest.json, in one step."""
    write_file(folder / MANIFEST, json.dumps(asdict(manifest), indent=2))


def identities(folders: Iterable[str]) -> dict[str, str]:
    """What tells one run's state from another's, by folder: the SHA-256 of its manifest."""
    found = {}
    for folder in folders:
        read_manifest(Path(folder))
        found[folder] = hashlib.sha256(Path(folder, MANIFEST).read_bytes()).hexdigest()
    return found
