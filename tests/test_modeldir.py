from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

import nerwin
from nerwin import modeldir, runfiles
from nerwin.config import load_config
from nerwin.errors import ConfigError, DataError
from nerwin.manifest import read_manifest
from nerwin.text.vocabulary import Vocabulary
from nerwin.training import Run


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_a_folder_holds_json_arrays_and_words_and_nothing_else(trained: Path) -> None:
    assert {p.suffix for p in trained.rglob("*") if p.is_file()} == {
        ".json",
        ".jsonl",
        ".npy",
        ".txt",
    }
    for path in trained.rglob("*.npy"):
        np.load(path, allow_pickle=False)


def test_the_manifest_tells_what_the_model_is(trained: Path) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["format"] == "nerwin-run"
    assert manifest["version"] == 3
    assert manifest["types"] == ["LOC", "MISC", "ORG", "PER"]
    assert manifest["config"]["model"]["hidden"] == [10]
    assert manifest["provenance"]["train"]["sentences"] == 875
    assert set(manifest["checkpoints"][manifest["best"]]["parameters"]) == {"E", "W", "b", "U"}


def test_a_model_moves_with_its_folder(trained: Path, copy: Path) -> None:
    one, two = modeldir.load_model(trained), modeldir.load_model(copy)
    assert one.parameters.keys() == two.parameters.keys()
    for name, value in one.parameters.items():
        assert np.array_equal(value, two.parameters[name])
    assert one.lexicon.vocabulary.words == two.lexicon.vocabulary.words


def test_words_with_unusual_characters_survive(tmp_path: Path) -> None:
    vectors = tmp_path / "odd.txt"
    words = ["the", "a\u2028b", "c\x85d", "\x0c", "é", "e\u0301", "𝔸", "\\n", '"']
    lines = [f"{word} 1 2\n" for word in words]
    vectors.write_text("".join(lines), encoding="utf-8", newline="\n")
    options = [*SMALL, ("data", "vectors", str(vectors)), ("training", "epochs", 1)]
    for _ in Run.start(load_config(overrides=options), tmp_path / "run").epochs():
        pass
    assert sorted(modeldir.load_model(tmp_path / "run").lexicon.vocabulary.words) == sorted(words)


@pytest.mark.parametrize(
    "name", ["manifest.json", "words.txt", "index.npy", "untouched.npy", "E.npy", "W.npy"]
)
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damage_is_found_and_named(copy: Path, name: str, damage: str) -> None:
    best = json.loads((copy / "manifest.json").read_text())["best"]
    path = copy / best / name if (copy / best / name).exists() else copy / name
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(b"something else altogether")
    with pytest.raises((DataError, ConfigError)) as error:
        modeldir.load_model(copy)
    assert str(copy) in str(error.value)


def test_predicting_makes_no_list_of_the_words(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(vocabulary: Vocabulary) -> list[str]:
        raise AssertionError("the words of a large vocabulary take time and memory")

    monkeypatch.setattr(Vocabulary, "of", made)
    monkeypatch.setattr(Vocabulary, "words", property(made))
    tagger = nerwin.load(trained)
    assert isinstance(tagger.model.lexicon.vocabulary.index, np.memmap)
    assert tagger("Paris Hilton flew to Paris.").entities
    with pytest.raises(AssertionError):
        tagger.vectors  # noqa: B018  # it is made when asked for


def test_a_folder_without_an_index_says_so(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["index.npy"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: damaged: .*index\.npy"):
        modeldir.load_model(copy)


def test_a_changed_number_is_found(copy: Path) -> None:
    path = copy / read_manifest(copy).best / "U.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        modeldir.load_model(copy)


@pytest.mark.parametrize(
    ("version", "remedy"), [(99, "update nerwin"), (1, "train the model again")]
)
def test_a_folder_of_another_format_says_so_and_can_be_removed(
    copy: Path, version: int, remedy: str
) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
    with pytest.raises(DataError, match=remedy):
        modeldir.load_model(copy)
    runfiles.check_replaceable(copy)
    runfiles.put_back(copy)
    assert not copy.exists()


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        modeldir.load_model(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not a trained model"):
        modeldir.load_model(tmp_path)


def test_a_run_without_a_finished_epoch_is_told(tmp_path: Path) -> None:
    Run.start(load_config(overrides=SMALL), tmp_path / "run")
    with pytest.raises(ConfigError, match="no epoch of it was finished"):
        modeldir.load_model(tmp_path / "run")


@pytest.mark.parametrize("dies_at", ["E", "W", "manifest.json"])
def test_a_write_that_fails_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    run = Run.start(load_config(overrides=SMALL), tmp_path / "run")
    epochs = run.epochs()
    next(epochs)
    before = modeldir.load_model(tmp_path / "run")
    save_array, write = modeldir.save_array, modeldir.write_file

    def full(path: Path, content: object) -> object:
        if dies_at in {path.stem, path.name}:
            raise OSError(28, "No space left on device", str(path))
        return (save_array if path.suffix == ".npy" else write)(path, content)

    monkeypatch.setattr(modeldir, "save_array", full)
    monkeypatch.setattr("nerwin.manifest.write_file", full)
    with pytest.raises(OSError, match="No space"):
        next(epochs)
    monkeypatch.undo()
    after = modeldir.load_model(tmp_path / "run")
    assert np.array_equal(before.parameters["E"], after.parameters["E"])
    assert [epoch.number for epoch in Run.resume(tmp_path / "run").epochs()] == [2, 3]


def test_only_a_run_may_be_replaced(trained: Path, tmp_path: Path) -> None:
    runfiles.check_replaceable(trained)
    runfiles.check_replaceable(tmp_path / "nothing there")
    runfiles.check_replaceable(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="not the folder of a run"):
        runfiles.check_replaceable(tmp_path)


def test_an_unfinished_write_of_the_first_epoch_can_be_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, manifest: object) -> None:
        raise OSError(28, "No space left on device", str(folder))

    run = Run.start(load_config(overrides=SMALL), tmp_path / "run")
    monkeypatch.setattr(modeldir, "write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        next(run.epochs())
    assert run.last_epoch == 0
    run.discard()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change", [{"config": {"model": {"windw": 3}}}, {"checkpoints": {}}, {"best": 7}]
)
def test_a_manifest_that_was_tampered_with_is_told(copy: Path, change: dict[str, object]) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=r"manifest\.json"):
        modeldir.load_model(copy)


def test_what_is_not_a_runs_own_survives_its_removal_and_its_training(copy: Path) -> None:
    (copy / "epoch-1-backup").mkdir()
    (copy / "notes.txt").write_text("mine")
    run = Run.resume(copy, epochs=22)
    for _ in run.epochs():
        pass
    runfiles.empty(copy)
    assert {path.name for path in copy.iterdir()} == {"epoch-1-backup", "notes.txt"}
