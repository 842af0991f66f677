"""A run's folder on disk: JSON and .npy files, nothing that can run code.

    manifest.json    what the folder is: format version, options, types, provenance, checkpoints
    words.txt        the words of the vector table, one a line; line i is row i + 1 (from 1)
    index.npy        where each of them stands, see ``Vocabulary``; memory-mapped
    untouched.npy    vectors of the words that training never touches: written once, memory-mapped
    features.json, gazetteers.json, cluster….npy, pretrained.npy    values, lists and rows of a
                     richer x, if there is one
    epoch-7/         a checkpoint: one .npy per parameter (E, W, b, U)
    fold-1-epoch-12/ the same of a model of the first pass
    epoch-7/optimizer/  the optimizer's state, in the last checkpoint only: what resuming needs; of
                     a first pass, in the last one of each model that is not finished
    metrics.jsonl, metrics.json    see ``metrics`` and ``training``
    replaced/        the run that was here before, until the first checkpoint is written

The manifest names the best and the last checkpoint, with the shape, dtype and SHA-256 of every
file. A checkpoint is written whole, then the manifest is replaced, in one step, then what it no
longer names is removed: once an epoch is finished, the folder holds a model, whenever the
process is killed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerwin.classifier import Parameters
from nerwin.decoding import Calibration, Decision
from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError
from nerwin.manifest import (
    MANIFEST,
    Manifest,
    model_number,
    read_manifest,
    write_manifest,
)
from nerwin.model import Model
from nerwin.runfiles import drop_replaced
from nerwin.storage import Kept, damage, load_array, read, save_array, write_file
from nerwin.text.gazetteers import EntityList
from nerwin.text.lexicon import Lexicon
from nerwin.text.vocabulary import SPECIAL, Vocabulary

if TYPE_CHECKING:
    from nerwin.engine.optim import State


def create(folder: Path, model: Model, manifest: Manifest) -> None:
    """Write what never changes into the folder; the manifest gets to know of it, but is not written
    before there is a checkpoint.
    """
    lexicon = model.lexicon
    texts = {"words.txt": lexicon.vocabulary.text.decode()}
    arrays = {"index.npy": lexicon.vocabulary.index, "untouched.npy": model.untouched}
    if lexicon.values:
        texts["features.json"] = json.dumps(lexicon.values, ensure_ascii=False)
    if groups := lexicon.gazetteers.groups:
        lists = {name: [one.as_dict() for one in several] for name, several in groups.items()}
        texts["gazetteers.json"] = json.dumps(lists, ensure_ascii=False)
    for name, rows in lexicon.clusters.items():
        arrays[f"{name}.npy"] = rows.astype(np.int16)
    if len(model.pretrained):
        arrays["pretrained.npy"] = model.pretrained
    for name, text in texts.items():
        write_file(folder / name, text)
        manifest.files[name] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    for name, array in arrays.items():
        manifest.files[name] = save_array(folder / name, array)


def write_checkpoint(
    folder: Path,
    name: str,
    *,
    epoch: int,
    dev_f1: float | None,
    parameters: Parameters,
    optimizer: Mapping[str, State],
) -> dict[str, Any]:
    """Write a checkpoint's files; what the manifest is to tell of it."""
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)  # left by a killed process
    target.mkdir()
    state = {
        f"{p}.{key}": array for p, arrays in optimizer.items() for key, array in arrays.items()
    }
    if state:
        (target / "optimizer").mkdir()
    try:
        return {
            "epoch": epoch,
            "dev_f1": dev_f1,
            "parameters": {p: save_array(target / f"{p}.npy", a) for p, a in parameters.items()},
            "optimizer": {
                p: save_array(target / "optimizer" / f"{p}.npy", a) for p, a in state.items()
            },
        }
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def add_checkpoint(
    folder: Path, manifest: Manifest, name: str, checkpoint: dict[str, Any], *, best: bool
) -> Manifest:
    """Note a checkpoint that is written as the last one, and the best one too if it is; drop what
    is neither.

    Returns the new manifest; the old one is left as it was, in case writing fails.
    """
    best_name = name if best else manifest.best
    kept = {name: checkpoint}
    if not best:
        kept[best_name] = manifest.checkpoints[best_name] | {"optimizer": {}}
    before = manifest
    manifest = replace(before, checkpoints=kept, best=best_name, last=name)
    # From here on the manifest on disk may name the checkpoint, whatever happens.
    write_manifest(folder, manifest)
    for old in before.checkpoints.keys() - kept.keys():
        shutil.rmtree(folder / old, ignore_errors=True)
    drop_replaced(folder)
    if not best:
        shutil.rmtree(folder / best_name / "optimizer", ignore_errors=True)
    return manifest


def add_of_first_pass(
    folder: Path, manifest: Manifest, name: str, checkpoint: dict[str, Any], *, finished: bool
) -> Manifest:
    """Note a checkpoint of a model of the first pass instead of its last one; the new manifest."""
    number = model_number(name)
    before, folds = manifest.begun.get(number, name), manifest.folds
    kept = {held: about for held, about in manifest.checkpoints.items() if held != before}
    if finished:
        fold = {"folder": name} | {key: checkpoint[key] for key in ("epoch", "parameters")}
        folds = sorted([*folds, fold], key=lambda fold: model_number(fold["folder"]))
    else:
        kept[name] = checkpoint
    manifest = replace(manifest, folds=folds, checkpoints=kept, best="", last="")
    write_manifest(folder, manifest)
    if before != name:
        shutil.rmtree(folder / before, ignore_errors=True)
    drop_replaced(folder)
    if finished:
        shutil.rmtree(folder / name / "optimizer", ignore_errors=True)
    return manifest


def save_tuning(folder: Path, manifest: Manifest, model: Model) -> Manifest:
    """Add what was tuned on dev for the best checkpoint; the new manifest."""
    best = manifest.checkpoints[manifest.best] | {
        "decision": asdict(model.decision),
        "calibration": asdict(model.calibration),
    }
    manifest = replace(manifest, checkpoints=manifest.checkpoints | {manifest.best: best})
    write_manifest(folder, manifest)
    return manifest


def load_model(folder: Path, checkpoint: str = "best") -> Model:
    """The model of the best or the last checkpoint.

    The vectors of words that training did not touch, and the vocabulary's index, are memory-mapped,
    and checked for their size alone; everything else is checked against its SHA-256. Raises
    ConfigError if the folder is not a run's, DataError if a file in it is missing or damaged.
    """
    manifest = read_manifest(folder)
    first_done = not manifest.missing
    if checkpoint == "best" and not (first_done and manifest.checkpoints):
        passed = "only its first pass" if first_done else "only some of its first pass"
        raise ConfigError(
            f"{folder}: not trained yet, {passed} is; to go on: nerwin train --resume {folder}"
        )
    name = manifest.best if checkpoint == "best" else manifest.last
    with damage(folder / MANIFEST):
        latest = _load_fold(folder, manifest.folds[-1]) if manifest.folds else None
        name = name or next(iter(manifest.checkpoints), "")  # in a first pass any one will do
        chosen = manifest.checkpoints[name] if name else {}
        parameters = _load_parameters(folder / name, chosen["parameters"]) if name else latest or {}
        files = manifest.files
        vocabulary = Vocabulary(
            read(folder / "words.txt", files["words.txt"]["sha256"]),
            load_array(folder / "index.npy", files["index.npy"], mapped=True),
        )
        values = {}
        if "features.json" in files:
            values = json.loads(read(folder / "features.json", files["features.json"]["sha256"]))
        lists: dict[str, list[EntityList]] = {}
        if "gazetteers.json" in files:
            stored = read(folder / "gazetteers.json", files["gazetteers.json"]["sha256"])
            for name, several in json.loads(stored).items():
                lists[name] = [EntityList.from_dict(one) for one in several]
        clusters = {
            name.removesuffix(".npy"): load_array(folder / name, about)
            for name, about in files.items()
            if name.startswith("cluster")
        }
        untouched = load_array(folder / "untouched.npy", files["untouched.npy"], mapped=True)
        pretrained = parameters["E"][:0]
        if "pretrained.npy" in files:
            pretrained = load_array(folder / "pretrained.npy", files["pretrained.npy"])
        buckets = len(parameters["E_ngrams"]) - len(SPECIAL) if "E_ngrams" in parameters else 0
        lexicon = Lexicon(vocabulary, values, clusters, lists, buckets)
        types = tuple(manifest.types)
        return Model(
            manifest.config.model,
            types,
            lexicon,
            parameters,
            untouched,
            pretrained,
            latest if first_done else None,  # the one of all documents
            *_tuned(chosen),
        )


def keep_vectors(folder: Path, manifest: Manifest, model: Model, tokens: Sequence[str]) -> None:
    """Keep the vectors of these tokens in memory. Mapped from their file they would bring along
    their neighbours, who are nearly all.
    """
    rows = np.unique(model.lexicon.vocabulary.rows(tokens)) - len(model.parameters["E"])
    rows = rows[rows >= 0]
    about = manifest.files["untouched.npy"]
    load = partial(load_array, folder / "untouched.npy", about, mapped=True)
    model.untouched = Kept(model.untouched, rows, load)


def load_models(runs: Sequence[str | Path]) -> Model | Ensemble:
    """The best model of a run, or those of several runs as one."""
    models = [load_model(Path(folder)) for folder in runs]
    return models[0] if len(models) == 1 else Ensemble(models)


def _tuned(checkpoint: Mapping[str, Any]) -> tuple[Decision, Calibration]:
    """What was tuned on dev for a checkpoint, if it was."""
    decision = Decision(**checkpoint.get("decision", {}))
    calibration = Calibration(**checkpoint.get("calibration", {}))
    numbers = [*decision.thresholds.values(), decision.transitions, *asdict(calibration).values()]
    if not all(isinstance(x, int | float) for x in numbers):
        raise TypeError("what was tuned is not all numbers")
    return decision, calibration


def load_checkpoint(
    folder: Path, manifest: Manifest, name: str
) -> tuple[Parameters, dict[str, State]]:
    """What training goes on with: the parameters, and the optimizer's state for each, by key."""
    state: dict[str, State] = {}
    with damage(folder / MANIFEST):
        checkpoint = manifest.checkpoints[name]
        for file, about in checkpoint["optimizer"].items():
            parameter, key = file.rsplit(".", 1)
            path = folder / name / "optimizer" / f"{file}.npy"
            state.setdefault(parameter, {})[key] = load_array(path, about)
        return _load_parameters(folder / name, checkpoint["parameters"]), state


def load_first(folder: Path, manifest: Manifest) -> list[Parameters]:
    """The finished models of the first pass."""
    with damage(folder / MANIFEST):
        return [_load_fold(folder, fold) for fold in manifest.folds]


def _load_fold(folder: Path, fold: Mapping[str, Any]) -> Parameters:
    return _load_parameters(folder / fold["folder"], fold["parameters"])


def _load_parameters(folder: Path, held: Mapping[str, Any]) -> Parameters:
    return {name: load_array(folder / f"{name}.npy", about) for name, about in held.items()}
