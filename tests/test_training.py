from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import RICH, SMALL
from threadpoolctl import threadpool_info

from nerwin import modeldir
from nerwin.batches import Batches
from nerwin.classifier import parameter_nodes
from nerwin.config import load_config
from nerwin.engine.graph import backward
from nerwin.engine.rowgrad import RowGrad
from nerwin.errors import ConfigError, DataError, NerwinError
from nerwin.folds import answers, folds_of
from nerwin.manifest import read_manifest
from nerwin.model import vectors_of
from nerwin.options import Config
from nerwin.resources import shipped
from nerwin.training import Run


def config(**training: object) -> Config:
    return load_config(overrides=[*SMALL, *(("training", k, v) for k, v in training.items())])


def train(folder: Path, options: Config) -> Run:
    run = Run.start(options, folder)
    for _ in run.epochs():
        pass
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every array of a run, byte for byte."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.npy")}


def epochs(folder: Path) -> list[dict[str, object]]:
    """The epochs in metrics.jsonl without what a clock measured."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timeless = [json.loads(line) for line in lines[1:]]
    for epoch in timeless:
        del epoch["seconds"], epoch["tokens_per_second"]
    return timeless


def test_context_decides_what_an_ambiguous_name_is(tmp_path: Path) -> None:
    names = ["Paris", "Hilton", "Jordan", "Washington", "Chelsea"]
    frames = [("{} said so .", "PER"), ("they live in {} .", "LOC"), ("said Mr. {}", "PER")]
    sentences = []
    for frame, kind in frames:
        for name in names:
            words = frame.format(name).split()
            sentences.append("".join(f"{w} {f'I-{kind}' if w == name else 'O'}\n" for w in words))
    data = tmp_path / "ambiguous.conll"
    data.write_text("\n".join(sentences))
    options = [
        ("data", "train", str(data)),
        ("data", "dev", str(data)),
        ("training", "patience", 0),
    ]
    run = train(
        tmp_path / "run", load_config(overrides=[*SMALL, *options, ("training", "epochs", 200)])
    )
    assert run.finish()["dev"]["f1"] == 1.0
    losses = [epoch["loss"] for epoch in epochs(tmp_path / "run")]
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_the_same_seed_gives_the_same_bits(tmp_path: Path, optimizer: str) -> None:
    options = config(optimizer=optimizer, learning_rate=0.05)
    train(tmp_path / "a", options)
    train(tmp_path / "b", options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert epochs(tmp_path / "a") == epochs(tmp_path / "b")


def test_another_seed_gives_other_parameters(tmp_path: Path) -> None:
    one = train(tmp_path / "a", config(epochs=1, seed=1)).model.parameters
    two = train(tmp_path / "b", config(epochs=1, seed=2)).model.parameters
    assert not np.array_equal(one["W"], two["W"])


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1, "schedule": "linear"},
        {"optimizer": "adagrad", "learning_rate": 0.05, "l2": 1e-4},
        {"optimizer": "adam", "learning_rate": 0.01, "schedule": "linear"},
    ],
)
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(
    tmp_path: Path, options: dict[str, object]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, config(epochs=5, patience=0, **options))
    run = Run.start(config(epochs=5, patience=0, **options), parts)
    for epoch in run.epochs():
        if epoch.number == 2:
            break
    for epoch in (resumed := Run.resume(parts)).epochs():
        if epoch.number == 4:
            break
    assert resumed.last_epoch == 4
    for _ in Run.resume(parts).epochs():
        pass
    assert contents(whole) == contents(parts)
    assert epochs(whole) == epochs(parts)


@pytest.mark.parametrize("loss", ["logistic", "softmax", "crf"])
def test_a_rich_model_learns_resumes_and_is_read_back_to_the_bit(tmp_path: Path, loss: str) -> None:
    options = load_config(overrides=[*SMALL, *RICH, ("model", "loss", loss)])
    train(tmp_path / "whole", options)
    for _ in Run.start(options, tmp_path / "parts").epochs():
        break
    resumed = Run.resume(tmp_path / "parts")
    for _ in resumed.epochs():
        pass
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    losses = [epoch["loss"] for epoch in epochs(tmp_path / "whole")]
    assert losses[-1] < losses[0]
    gold = resumed.splits["train"]
    read_back = modeldir.load_model(tmp_path / "parts", "last")
    for documents in (gold.documents, gold.alone().documents):
        before = resumed.model.scores(gold.words, gold.starts, documents)
        assert np.array_equal(before, read_back.scores(gold.words, gold.starts, documents))
    assert "dev_sentences_alone" in resumed.finish()


TWO_PASSES = [*SMALL, *RICH, ("features", "folds", 2), ("training", "epochs", 2)]


@pytest.mark.parametrize("loss", ["logistic", "crf"])
def test_two_passes_stopped_after_every_epoch_are_the_same_to_the_bit(
    tmp_path: Path, loss: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = load_config(overrides=[*TWO_PASSES, ("model", "loss", loss)])
    run = train(whole, options)
    assert run.windows[0] == run.windows[1]
    places = []
    for epoch in Run.start(options, parts).epochs():
        places.append((epoch.fold, epoch.number))
        break
    for _ in range(20):
        for epoch in (resumed := Run.resume(parts)).epochs():
            places.append((epoch.fold, epoch.number))
            break
    assert places == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (0, 1), (0, 2)]
    assert resumed.done
    assert contents(whole) == contents(parts)
    first = [(line.get("fold", 0), line["epoch"]) for line in epochs(parts)]
    assert first == places
    read_back = modeldir.load_model(parts, "last")
    gold = resumed.splits["train"]
    before = run.model.scores(gold.words, gold.starts, gold.documents)
    assert np.array_equal(before, read_back.scores(gold.words, gold.starts, gold.documents))


def test_a_first_pass_alone_is_no_model_yet(tmp_path: Path) -> None:
    for epoch in Run.start(load_config(overrides=TWO_PASSES), tmp_path / "run").epochs():
        if epoch.fold:
            with pytest.raises(ConfigError, match=r"not trained yet.*--resume"):
                modeldir.load_model(tmp_path / "run")


def test_each_fold_is_seen_by_all_models_of_the_first_pass_but_its_own(tmp_path: Path) -> None:
    run = Run.start(load_config(overrides=TWO_PASSES), tmp_path / "run")
    train_set = run.splits["train"]
    fold_of = folds_of(train_set, 3, np.random.default_rng(0))
    assert set(fold_of) == {0, 1, 2}
    for begin, end in itertools.pairwise(train_set.documents):
        assert len(set(fold_of[begin:end])) == 1
    rng = np.random.default_rng(0)
    model, first = run.model, []
    for fold in range(3):  # a model that is sure of one label, another one for each fold
        parameters = {name: 0 * value for name, value in model.parameters.items()}
        parameters["b"] += 1
        parameters["U"][:, fold] = rng.uniform(1, 2)
        first.append(parameters)
    seen = answers(model, first, train_set, fold_of)
    tokens = np.repeat(fold_of, np.diff(train_set.starts))
    assert (seen.together.argmax(axis=1) == tokens).all()
    assert (seen.alone.argmax(axis=1) == tokens).all()


def test_folds_need_documents(tmp_path: Path) -> None:
    options = load_config(overrides=[*SMALL, ("features", "folds", 1000)])
    with pytest.raises(ConfigError, match="1000 folds of 36 documents"):
        Run.start(options, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_epoch_broken_off_half_way_leaves_no_trace(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, config())

    run = Run.start(config(), parts)
    left = run.windows[1] // 2  # of three epochs

    def stop_in_the_second_epoch(windows: int) -> None:
        nonlocal left
        left -= windows
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run.epochs(stop_in_the_second_epoch))
    assert Run.resume(parts).last_epoch == 1
    for _ in Run.resume(parts).epochs():
        pass
    assert contents(whole) == contents(parts)


def test_metrics_of_an_epoch_that_was_not_saved_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for _ in Run.start(config(), folder).epochs():
        break
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "loss": 0, "seconds": 0}\n')
    for _ in Run.resume(folder).epochs():
        pass
    assert [epoch["epoch"] for epoch in epochs(folder)] == [1, 2, 3]


def test_a_line_of_metrics_that_was_cut_off_does_not_stop_a_run_from_going_on(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    train(folder, config(patience=0))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "loss": 0.1, "lear')
    assert [epoch.number for epoch in Run.resume(folder, epochs=4).epochs()] == [4]
    assert [epoch["epoch"] for epoch in epochs(folder)] == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [("data", "train", "nowhere"), ("data", "vectors", "nowhere.txt")])
def test_a_run_is_replaced_only_when_the_new_one_can_begin(
    tmp_path: Path, bad: tuple[str, str, str]
) -> None:
    train(tmp_path / "run", config(epochs=1))
    before = contents(tmp_path / "run")
    with pytest.raises(ConfigError):
        Run.start(load_config(overrides=[*SMALL, bad]), tmp_path / "run", overwrite=True)
    assert contents(tmp_path / "run") == before
    Run.start(config(), tmp_path / "run", overwrite=True)
    assert contents(tmp_path / "run") != before


def test_a_bad_test_file_is_told_before_training(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conll"
    bad.write_text("a\tO\nb\n")
    with pytest.raises(DataError, match=r"bad\.conll:2"):
        Run.start(load_config(overrides=[*SMALL, ("data", "test", str(bad))]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_vectors_none_needs_words_that_occur_twice(tmp_path: Path) -> None:
    data = tmp_path / "short.conll"
    data.write_text("Paris\tB-LOC\nshines\tO\n")
    with pytest.raises(ConfigError, match="occurs twice"):
        Run.start(load_config(overrides=[*SMALL, ("data", "train", str(data))]), tmp_path / "run")


def test_the_callers_threads_are_left_alone_between_epochs(tmp_path: Path) -> None:
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    for _ in Run.start(config(), tmp_path / "run").epochs():
        assert threads() == before


def test_a_finished_run_goes_on_with_more_epochs_only(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, config(patience=0))
    assert not list(Run.resume(folder).epochs())
    assert [epoch.number for epoch in Run.resume(folder, epochs=5).epochs()] == [4, 5]
    assert Run.resume(folder).config.training.epochs == 5


def test_resuming_with_other_training_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "train.conll"
    shutil.copy(shipped("data/demo/dev.conll"), data)
    options = load_config(overrides=[*SMALL, ("data", "train", str(data))])
    train(tmp_path / "run", options)
    data.write_text(data.read_text() + "one\tO\n")
    with pytest.raises(NerwinError, match="not as it was"):
        Run.resume(tmp_path / "run", epochs=9)
    # And the refused resume has changed nothing.
    assert read_manifest(tmp_path / "run").config.training.epochs == 3


def test_training_stops_when_dev_f1_no_longer_rises(tmp_path: Path) -> None:
    run = train(tmp_path / "run", config(epochs=60, patience=2, learning_rate=0.2))
    f1 = [epoch["dev"]["f1"] for epoch in epochs(tmp_path / "run")]
    assert len(f1) < 60
    assert run.best_epoch == len(f1) - 2 == f1.index(max(f1)) + 1


def test_the_folder_holds_the_best_and_the_last_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = train(folder, config(epochs=60, patience=2, learning_rate=0.2))
    names = {f"epoch-{run.best_epoch}", f"epoch-{run.last_epoch}"}
    assert {path.name for path in folder.glob("epoch-*")} == names
    best, last = modeldir.load_model(folder), modeldir.load_model(folder, "last")
    assert not np.array_equal(best.parameters["E"], last.parameters["E"])
    assert np.array_equal(last.parameters["E"], run.model.parameters["E"])
    metrics = run.finish()
    assert metrics["dev"]["f1"] == max(e["dev"]["f1"] for e in epochs(folder))


def test_without_a_dev_set_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    options = load_config(overrides=[*SMALL, ("data", "dev", "")])
    run = train(tmp_path / "run", options)
    assert run.best_epoch == run.last_epoch == 3
    assert run.finish()["dev"] is None


def test_untouched_vectors_are_written_once(tmp_path: Path) -> None:
    options = load_config(
        overrides=[*SMALL, ("data", "vectors", str(shipped("data/demo/vectors.txt")))]
    )
    run = Run.start(options, tmp_path / "run")
    file = tmp_path / "run" / "untouched.npy"
    before = file.stat().st_mtime_ns
    for _ in run.epochs():
        pass
    assert file.stat().st_mtime_ns == before
    model = modeldir.load_model(tmp_path / "run")
    assert isinstance(model.untouched, np.memmap)
    words = set(run.splits["train"].words)
    words |= {word.lower() for word in words}
    unseen = next(word for word in reversed(model.lexicon.vocabulary.words) if word not in words)
    row = model.lexicon.vocabulary.rows([unseen])
    vector = vectors_of(row, model.parameters["E"], model.untouched)[0]
    text = Path(options.data.vectors).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"{unseen} "))
    assert np.array_equal(vector, np.array(line.split()[1:], np.float32))


def test_frozen_vectors_stay_as_they_are_and_trained_ones_do_not(tmp_path: Path) -> None:
    for update in (True, False):
        options = load_config(overrides=[*SMALL, ("model", "update_vectors", update)])
        run = Run.start(options, tmp_path / str(update))
        before = run.model.parameters["E"].copy()
        for _ in run.epochs():
            pass
        assert np.array_equal(before, run.model.parameters["E"]) is not update


def test_zero_padding_stays_zero(tmp_path: Path) -> None:
    options = load_config(overrides=[*SMALL, ("model", "padding", "zero")])
    run = train(tmp_path / "run", options)
    assert not run.model.parameters["E"][1].any()


def test_chosen_types_are_the_only_ones(tmp_path: Path) -> None:
    options = load_config(overrides=[*SMALL, ("model", "types", "LOC")])
    run = train(tmp_path / "run", options)
    assert run.model.types == ("LOC",)
    assert list(run.finish()["dev"]["types"]) == ["LOC"]


def test_a_step_makes_nothing_of_the_size_of_the_table(tmp_path: Path) -> None:
    run = Run.start(config(), tmp_path / "run")
    batches = Batches(run.model, run.splits["train"], run.config.training)
    batch = next(batches.epoch(np.random.default_rng(0)))
    nodes = parameter_nodes(run.model.parameters, run.model.options)
    gradient = backward(run.model.loss(nodes, batch.inputs, batch.labels))[nodes["E"]]
    assert isinstance(gradient, RowGrad)
    assert len(gradient.values) <= 32 * 5


def test_divergence_is_told_and_leaves_no_broken_checkpoint(tmp_path: Path) -> None:
    options = load_config(
        overrides=[
            *SMALL,
            ("training", "learning_rate", 1e30),
            ("model", "activation", "relu"),
            ("model", "loss", "logistic"),
        ]
    )
    run = Run.start(options, tmp_path / "run")
    with (
        np.errstate(all="ignore"),
        pytest.raises(NerwinError, match="smaller --learning-rate"),
    ):
        list(run.epochs())
    assert run.last_epoch == 0
    run.discard()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("data", "train", ""), "--train"),
        (("data", "vectors", ""), "--vectors"),
        (("data", "train", "nowhere.conll"), "nowhere.conll: no such file"),
        (("data", "test", "nowhere.conll"), "nowhere.conll: no such file"),
        (("model", "types", "LOC,TIME"), "TIME"),
        (("training", "momentum", 0.9), "momentum"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_made(
    tmp_path: Path, override: tuple[str, str, object], message: str
) -> None:
    overrides = [*SMALL, override]
    if override[1] == "momentum":
        overrides.append(("training", "optimizer", "adam"))
    with pytest.raises(ConfigError, match=message):
        Run.start(load_config(overrides=overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_needs_no_vectors_but_those_that_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = ("data", "vectors", str(shipped("data/demo/vectors.txt")))
    run = Run.start(load_config(overrides=[*SMALL, *RICH, vectors]), tmp_path / "run")
    whole, kept = np.load(tmp_path / "run" / "untouched.npy"), run.model.untouched
    some = np.arange(len(whole))[::-3]
    assert len(some) > 100
    assert np.array_equal(kept[some], whole[some])
    assert np.array_equal(kept[:], whole)

    def read() -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr(kept, "_load", read)
    assert kept[some[:0]].shape == (0, whole.shape[1])
    for _ in run.epochs():
        pass
    run.finish()
    with pytest.raises(AssertionError, match="was read"):
        kept[some]
