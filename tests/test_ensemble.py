import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import RICH, SMALL

from nerwin import modeldir
from nerwin.cli import main
from nerwin.config import load_config
from nerwin.ensemble import Ensemble
from nerwin.errors import ConfigError, NerwinError
from nerwin.evaluation import evaluate
from nerwin.gold import read_gold
from nerwin.manifest import Manifest, read_manifest, write_manifest
from nerwin.resources import shipped
from nerwin.training import Run


def test_an_ensemble_answers_the_mean_of_its_models(rich: Path, trained: Path) -> None:
    model = modeldir.load_model(rich)
    other = replace(
        model, parameters={name: 0.5 * value for name, value in model.parameters.items()}
    )
    gold = read_gold(read_manifest(rich).config.data.dev, load_config().data)
    asked = gold.words, gold.starts, gold.documents
    P, Q = model.probabilities(*asked), other.probabilities(*asked)
    both = Ensemble([model, other])
    np.testing.assert_allclose(both.probabilities(*asked), (P + Q) / 2, atol=1e-6)
    np.testing.assert_allclose(both.probabilities(*asked).sum(axis=1), 1, atol=1e-5)
    alone = Ensemble([model, model])
    assert evaluate(alone, gold).overall == evaluate(model, gold).overall
    found = both.predict(*asked)
    for start, end, score in zip(found.spans.start, found.spans.end, found.scores, strict=True):
        assert score <= ((P + Q) / 2)[start:end].max(axis=1).min() + 1e-6


def test_models_of_other_tags_do_not_fit(rich: Path, trained: Path) -> None:
    with pytest.raises(ConfigError, match=r"different types or tags.*BIOES.*IO"):
        Ensemble([modeldir.load_model(rich), modeldir.load_model(trained)])


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_a_pupil_learns_what_its_teachers_say(rich: Path, tmp_path: Path, loss: str) -> None:
    """Taught alone by teachers that know nothing but one wrong answer, it gives that answer."""
    teacher = modeldir.load_model(rich)
    manifest = read_manifest(rich)
    for value in teacher.parameters.values():
        value[:] = 0
    teacher.parameters["b"] += 1
    teacher.parameters["U"][:, 4] = 1  # a single word that is a place
    folder = tmp_path / "teacher"
    blank = Manifest(manifest.config, manifest.types, manifest.provenance)
    folder.mkdir()
    modeldir.create(folder, teacher, blank)
    written = modeldir.write_checkpoint(
        folder, "epoch-1", epoch=1, dev_f1=0.1, parameters=teacher.parameters, optimizer={}
    )
    modeldir.add_checkpoint(folder, blank, "epoch-1", written, best=True)
    taught = [("training", "teachers", str(folder)), ("training", "teaching", 1.0)]
    options = load_config(overrides=[*SMALL, *RICH, ("model", "loss", loss), *taught])
    run = Run.start(options, tmp_path / "pupil")
    for _ in run.epochs():
        break
    resumed = Run.resume(tmp_path / "pupil")
    for _ in resumed.epochs():
        pass
    write_manifest(folder, replace(read_manifest(folder), nerwin="0.0"))
    with pytest.raises(NerwinError, match="teacher is not as it was"):
        Run.resume(tmp_path / "pupil")
    gold = resumed.splits["dev"]
    labels = resumed.model.probabilities(gold.words, gold.starts, gold.documents).argmax(axis=1)
    assert (labels == 4).mean() > 0.99


def test_teachers_must_fit(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CRF"):
        load_config(overrides=[("training", "teachers", "x"), ("model", "loss", "crf")])
    taught = ("training", "teachers", str(trained))
    with pytest.raises(ConfigError, match="different types or tags"):
        Run.start(load_config(overrides=[*SMALL, *RICH, taught]), tmp_path / "run")
    taught = ("training", "teachers", str(tmp_path / "nobody"))
    with pytest.raises(ConfigError, match="nobody: no such folder"):
        Run.start(load_config(overrides=[*SMALL, *RICH, taught]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def asked(*words: object, input: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, words)], input=input, prog_name="nerwin")


def test_several_runs_on_the_command_line(rich: Path, trained: Path, tmp_path: Path) -> None:
    dev = str(shipped("data/demo/test.conll"))
    alone = json.loads(asked("evaluate", rich, dev, "--json").stdout)
    same = json.loads(asked("evaluate", rich, dev, "--json", "--with", rich).stdout)
    assert {same[key] for key in ("f1", "precision")} == {alone[key] for key in ("f1", "precision")}
    text = "Last night, Paris Hilton met Kofi Annan in New York."
    one = asked("predict", rich, "-", input=text)
    assert asked("predict", rich, "-", "--with", rich, input=text).stdout == one.stdout
    refused = asked("predict", rich, "-", "--with", trained, input=text)
    assert refused.exit_code == 2
    assert "different types or tags" in refused.stderr
    refused = asked("evaluate", dev, "--with", rich)
    assert refused.exit_code == 2
    assert "name its RUN first" in refused.stderr


def test_the_first_pass_of_a_finished_run_is_the_model_of_all_documents(tmp_path: Path) -> None:
    folds = [("features", "folds", 3), ("training", "epochs", 1)]
    folder = tmp_path / "run"
    run = Run.start(load_config(overrides=[*SMALL, *RICH, *folds]), folder)
    for _ in run.epochs():
        pass
    run.finish()
    manifest = read_manifest(folder)
    *_, of_all = modeldir.load_first(folder, manifest)
    assert len(manifest.folds) == 4
    model = modeldir.load_model(folder)
    assert model.first is not None
    assert all(np.array_equal(model.first[name], of_all[name]) for name in of_all)
    for fold in manifest.folds[:-1]:  # in prediction nobody asks for them
        shutil.rmtree(folder / fold["folder"])
    gold = run.splits["dev"]
    assert evaluate(modeldir.load_model(folder), gold) == evaluate(model, gold)
    assert asked("predict", folder, "-", input="Paris Hilton sings.").exit_code == 0
    assert asked("gradcheck", folder).exit_code == 0


def test_a_run_of_two_passes_goes_on(tmp_path: Path) -> None:
    folds = [("features", "folds", 2), ("training", "epochs", 1)]
    run = Run.start(load_config(overrides=[*SMALL, *RICH, *folds]), tmp_path / "run")
    for _ in run.epochs():
        pass
    run.finish()
    resumed = asked("train", "--resume", tmp_path / "run", "--epochs", 2)
    assert resumed.exit_code == 0, resumed.output
    assert "after epoch 1" in resumed.stdout


def test_the_command_line_tells_of_both_passes(tmp_path: Path) -> None:
    settings = [f"{section}.{key}={json.dumps(value)}" for section, key, value in [*SMALL, *RICH]]
    words = [word for setting in settings for word in ("--set", setting)]
    result = asked("train", *words, "--folds", 2, "--epochs", 1, "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    first, second = lines.index("first pass"), lines.index("second pass")
    told = [re.split("  +", line)[-1] for line in lines[first + 1 : second]]
    assert told == ["without fold 1 of 2", "without fold 2 of 2", "all documents"]
    assert lines[second + 1].endswith("best")
