"""Thresholds, the weight of transitions and calibration, against slow and plain ways."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import LONGER, SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin import modeldir, tuning
from nerwin.config import load_config
from nerwin.decoding import Calibration, Decision, Labels
from nerwin.errors import DataError
from nerwin.evaluation import evaluate, expected_calibration_error
from nerwin.gold import Gold
from nerwin.manifest import read_manifest
from nerwin.model import TRANSITIONS, Model
from nerwin.options import ModelOptions
from nerwin.text.lexicon import Lexicon
from nerwin.text.tags import Spans, write_tags
from nerwin.text.vocabulary import Vocabulary
from nerwin.training import Run

TYPES = ("LOC", "PER")


def model_of(labels: Labels, loss: str, **parameters: np.ndarray) -> Model:
    options = ModelOptions(tags=labels.scheme, loss=loss, tune=True)
    empty = np.zeros((0, 1), np.float32)
    return Model(options, labels.types, Lexicon(Vocabulary.of([])), parameters, empty, empty)


def gold_of(spans: Spans, starts: np.ndarray) -> Gold:
    tags = write_tags(spans, starts)
    words = ["word"] * len(tags)
    return Gold("x", "", words, starts, np.array([0, len(starts) - 1]), tags, "IOB2", spans)


def example(seed: int, scheme: str = "IO", sentences: int = 60, noise: float = 1.0):
    """Random entities, and scores of labels that know of them through noise."""
    rng = np.random.default_rng(seed)
    labels = Labels(TYPES, scheme)
    starts = np.cumsum([0, *rng.integers(1, 8, sentences)])
    S = rng.normal(0, 2, (starts[-1], len(labels))).astype(np.float32)
    S[:, 0] += 1
    coded = model_of(labels, "softmax").decide(S, starts)
    S += rng.normal(0, noise, S.shape).astype(np.float32)
    return labels, gold_of(labels.decode(coded, starts), starts), S


def with_transitions(model: Model, gold: Gold) -> Model:
    coded = model.labels.encode(gold.spans, gold.starts)
    counted = model.labels.counted_transitions(coded, gold.starts)
    return replace(model, parameters=dict(zip(TRANSITIONS, counted, strict=True)))


# --- transitions ----------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=5))
def test_transitions_are_counted_as_one_does_by_hand(sentences: list[list[int]]) -> None:
    labels = Labels(TYPES, "IO")
    starts = np.cumsum([0, *map(len, sentences)])
    A, a, z = labels.counted_transitions(np.concatenate(sentences), starts)
    pairs = [pair for s in sentences for pair in itertools.pairwise(["|", *s, "|"])]
    symbols = [0, 1, 2, "|"]

    def expected(i: object, j: object) -> float:
        after = [pair for pair in pairs if pair[0] == i]
        p = (after.count((i, j)) + 1) / (len(after) + 4)
        prior = (sum(pair[1] == j for pair in pairs) + 4) / (len(pairs) + 16)
        return float(np.log(p / prior))

    # Between two sentences stands one border: the pair of the last and the first is not counted.
    for i, j in itertools.product(symbols, symbols):
        if (i, j) != ("|", "|"):
            got = a[j] if i == "|" else z[i] if j == "|" else A[i, j]
            assert got == pytest.approx(expected(i, j), abs=1e-5)


def test_forbidden_transitions_stay_forbidden_whatever_their_weight() -> None:
    labels, gold, S = example(0, "BIOES")
    model = with_transitions(model_of(labels, "softmax"), gold)
    for weight in (0.25, 1.0, 30.0):
        coded = replace(model, decision=Decision({}, weight)).decide(S, gold.starts)
        again = labels.encode(labels.decode(coded, gold.starts), gold.starts)
        assert again.tolist() == coded.tolist()


def test_no_weight_and_no_thresholds_change_nothing() -> None:
    for scheme in ("IO", "BIOES"):
        labels, gold, S = example(1, scheme)
        plain = model_of(labels, "logistic")
        counted = replace(
            with_transitions(plain, gold), decision=Decision(dict.fromkeys(TYPES, 0.0), 0.0)
        )
        assert np.array_equal(plain.decide(S, gold.starts), counted.decide(S, gold.starts))


# --- thresholds -----------------------------------------------------------------------------------


def test_a_type_must_exceed_its_threshold() -> None:
    S = np.array([[0, 0.4, 0.2], [0, 0.6, 0.7], [0, -0.1, -5]], np.float32)
    model = model_of(Labels(TYPES, "IO"), "logistic")
    decided = [
        replace(model, decision=Decision(thresholds)).decide(S, np.array([0, 3])).tolist()
        for thresholds in ({}, {"LOC": 0.5}, {"LOC": 0.5, "PER": 0.8}, {"LOC": -0.2})
    ]
    assert decided == [[1, 2, 0], [2, 2, 0], [0, 1, 0], [1, 1, 1]]


def f1s(model: Model, gold: Gold, S: np.ndarray) -> tuple[float, ...]:
    """F1 of the whole file and of each half of its sentences, with sets."""
    spans = model.labels.decode(model.decide(S, gold.starts), gold.starts)
    middle = int(gold.starts[len(gold.starts) // 2])
    both = []
    for s in (gold.spans, spans):
        names = [s.types[k] for k in s.type.tolist()]
        both.append(set(zip(s.start.tolist(), s.end.tolist(), names, strict=True)))
    results = []
    for first, last in ((0, len(gold.words)), (0, middle), (middle, len(gold.words))):
        right, found = ({e for e in one if first <= e[0] < last} for one in both)
        results.append(2 * len(right & found) / max(len(right) + len(found), 1))
    return tuple(results)


@pytest.mark.parametrize("scheme", ["IO", "BIOES"])
@pytest.mark.parametrize("seed", range(4))
def test_no_single_change_on_the_grid_would_be_taken_any_more(scheme: str, seed: int) -> None:
    labels, gold, S = example(seed, scheme)
    S[:, 1] -= 1.5  # lean to precision in one type
    model = with_transitions(model_of(labels, "softmax"), gold)
    thresholds, weights = (-1.0, 1.0), (0.5, 1.0)
    decision = tuning.tune(model, gold, S, thresholds, weights)
    best = f1s(replace(model, decision=decision), gold, S)
    assert best >= f1s(model, gold, S)
    changes = [Decision(decision.thresholds, weight) for weight in (0.0, *weights)]
    changes += [
        Decision({**decision.thresholds, name: value}, decision.transitions)
        for name in TYPES
        for value in (0.0, *thresholds)
    ]
    for change in changes:
        other = f1s(replace(model, decision=change), gold, S)
        assert other[0] <= best[0] or min(a - b for a, b in zip(other, best, strict=True)) < 0


def test_the_best_on_a_grid_is_found_where_the_scores_were_shifted() -> None:
    labels, gold, S = example(2, noise=0.0)
    S -= labels.thresholds(Decision({"LOC": 1.5, "PER": -0.75}))
    model = model_of(labels, "softmax")
    grid = (-1.5, -0.75, 0.75, 1.5)
    tried = {
        pair: f1s(replace(model, decision=Decision(dict(zip(TYPES, pair, strict=True)))), gold, S)[
            0
        ]
        for pair in itertools.product((0.0, *grid), repeat=2)
    }
    assert max(tried, key=tried.__getitem__) == (-1.5, 0.75)
    found = tuning.tune(model, gold, S, grid)
    assert found == Decision({"LOC": -1.5, "PER": 0.75}, 0.0)
    assert f1s(replace(model, decision=found), gold, S)[0] == 1.0


@pytest.mark.parametrize("loss", ["logistic", "crf"])
def test_a_crf_keeps_the_weight_that_it_has_learned(loss: str) -> None:
    labels, gold, S = example(3, "BIOES")
    model = with_transitions(model_of(labels, loss), gold)
    decided = [
        replace(model, decision=Decision({}, weight)).decide(S, gold.starts) for weight in (0, 1)
    ]
    assert np.array_equal(*decided) == (loss == "crf")
    if loss == "crf":
        assert tuning.tune(model, gold, S).transitions == 0.0


# --- calibration ----------------------------------------------------------------------------------


def slow_error(p: list[float], right: list[bool]) -> float:
    total = 0.0
    for b in range(10):
        inside = [i for i in range(len(p)) if b / 10 < p[i] <= (b + 1) / 10 or p[i] == b == 0]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            confidence = sum(p[i] for i in inside) / len(inside)
            total += len(inside) / len(p) * abs(accuracy - confidence)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
def test_the_calibration_error_is_that_of_plain_loops(pairs: list[tuple[float, bool]]) -> None:
    # On a border of two bins, b/10 and p·10 can round to different sides.
    pairs = [(p, r) for p, r in pairs if abs(p * 10 - round(p * 10)) > 1e-9 or p in {0, 0.5, 1}]
    p, right = [p for p, _ in pairs], [r for _, r in pairs]
    got = expected_calibration_error(np.array(p), np.array(right, bool))
    assert got == pytest.approx(slow_error(p, right), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_the_plain_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.999, 300)
    right = rng.uniform(size=300) < p ** rng.uniform(0.5, 3)
    good, bad = right.sum(), (~right).sum()

    def loss(parameters: np.ndarray) -> float:
        total = 0.0
        for score, y in zip(p, right, strict=True):
            q = 1 / (1 + np.exp(-parameters[0] * np.log(score / (1 - score)) - parameters[1]))
            t = (good + 1) / (good + 2) if y else 1 / (bad + 2)
            total -= t * np.log(q) + (1 - t) * np.log(1 - q)
        return total

    found = tuning.calibrate(p, right)
    best = np.array([found.slope, found.intercept])
    # The loss is convex: where its slope is 0, two-sided and numeric, there is no lower place.
    for step in 1e-4 * np.eye(2):
        assert loss(best + step) > loss(best) < loss(best - step)
        assert loss(best + step) - loss(best - step) == pytest.approx(0, abs=1e-6)


def test_scores_that_were_distorted_are_put_right() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.05, 0.99, 4000)
    right = rng.uniform(size=4000) < true
    distorted = Calibration(3.0, -1.0).apply(true)
    fit = tuning.calibrate(distorted, right)
    assert expected_calibration_error(distorted, right) > 0.1
    assert expected_calibration_error(fit.apply(distorted), right) < 0.03
    assert fit.slope == pytest.approx(1 / 3, rel=0.1)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.floats(0.01, 20),
    st.floats(-20, 20),
)
def test_calibrated_scores_are_probabilities_in_the_same_order(
    p: list[float], slope: float, intercept: float
) -> None:
    ordered = np.sort(np.array(p, np.float32))
    q = Calibration(slope, intercept).apply(ordered)
    assert ((q >= 0) & (q <= 1)).all()
    assert (np.diff(q) >= 0).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("a", [1, 20])
@pytest.mark.parametrize("ranked", ["well", "by chance", "the wrong way"])
def test_no_slope_above_the_flattest_fits_better(seed: int, a: int, ranked: str) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(a, 1, 300)
    right = rng.uniform(size=300) < {"well": p, "by chance": 0.5, "the wrong way": 1 - p}[ranked]
    targets = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(slope: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        z = slope[..., None] * np.log(p / (1 - p)) + intercept[..., None]
        return (np.logaddexp(0, z) - targets * z).mean(axis=-1)

    fit = tuning.calibrate(p, right)
    assert fit.slope >= 0.01
    grid = loss(*np.meshgrid(np.geomspace(0.01, 4, 40), np.linspace(-4, 4, 80)))
    assert loss(np.array(fit.slope), np.array(fit.intercept)) <= grid.min()


def test_scores_that_are_all_the_same_are_as_often_right_as_they_say() -> None:
    right = np.arange(100) < 30
    fit = tuning.calibrate(np.full(100, 0.99), right)
    assert fit.apply(np.array([0.99])) == pytest.approx(0.3, abs=0.01)


def test_scores_that_rank_the_wrong_way_are_flattened_not_turned() -> None:
    p = np.linspace(0.1, 0.9, 100)
    fit = tuning.calibrate(p, p < 0.5)
    assert 0 < fit.slope < 0.1


@pytest.mark.parametrize("right", [[], [True], [True, False] * 9, [True] * 50, [False] * 50])
def test_of_few_entities_or_of_one_kind_nothing_is_learned(right: list[bool]) -> None:
    p = np.full(len(right), 0.7, np.float32)
    assert tuning.calibrate(p, np.array(right, bool)) == Calibration()


def test_certainty_does_not_break_the_fit() -> None:
    p = np.array([0.0, 1.0] * 30, np.float32)
    fit = tuning.calibrate(p, np.array([False, True, True, True] * 15))
    assert np.isfinite([fit.slope, fit.intercept]).all()
    assert np.isfinite(fit.apply(p)).all()


def test_without_a_fit_scores_stay_to_the_bit() -> None:
    p = np.random.default_rng(0).random(50).astype(np.float32)
    assert Calibration().apply(p) is p


# --- in a run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run whose dev file was tuned on. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    run = Run.start(load_config(overrides=[*SMALL, *LONGER, ("model", "tune", True)]), folder)
    for _ in run.epochs():
        pass
    run.finish()
    return folder


def test_what_was_tuned_is_stored_and_used(tuned: Path) -> None:
    metrics = json.loads((tuned / "metrics.json").read_text())
    assert metrics["dev"]["f1"] > metrics["dev_as_trained"]["f1"]
    model = modeldir.load_model(tuned)
    assert model.decision != Decision()
    assert model.calibration != Calibration()
    dev = Run.resume(tuned).splits["dev"]
    assert evaluate(model, dev).as_dict() == metrics["dev"]
    assert evaluate(model.as_trained(), dev).as_dict() == metrics["dev_as_trained"]
    best = read_manifest(tuned).checkpoints[read_manifest(tuned).best]
    assert metrics["dev_as_trained"]["f1"] == best["dev_f1"]


def test_finishing_again_gives_the_same(tuned: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "copy"))
    metrics = Run.resume(copy).finish()
    assert metrics == json.loads((tuned / "metrics.json").read_text())
    assert (copy / "manifest.json").read_bytes() == (tuned / "manifest.json").read_bytes()


def test_a_tuned_run_goes_on_as_if_it_had_not_been(tuned: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "copy"))
    run = Run.resume(copy, epochs=21)
    assert run.model.decision == Decision()
    dev = [epoch.dev for epoch in run.epochs()]
    assert dev == [evaluate(run.model.as_trained(), run.splits["dev"])]


def test_tuning_does_not_touch_parameters(tuned: Path, trained: Path) -> None:
    one, two = (modeldir.load_model(path, "last").parameters for path in (tuned, trained))
    assert one.keys() - two.keys() == set(TRANSITIONS)
    for name, value in two.items():
        assert np.array_equal(value, one[name])


def test_thresholds_are_tuned_only_where_it_is_asked_for(trained: Path) -> None:
    model = modeldir.load_model(trained)
    assert model.decision == Decision()
    assert model.calibration != Calibration()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["dev"]["f1"] == metrics["dev_as_trained"]["f1"]
    assert metrics["dev"]["calibration_error"] < metrics["dev_as_trained"]["calibration_error"]


def test_a_manifest_of_before_there_was_any_of_this_still_loads(
    tuned: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    for checkpoint in manifest["checkpoints"].values():
        for key in ("decision", "calibration"):
            checkpoint.pop(key, None)
    del manifest["config"]["model"]["tune"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    model = modeldir.load_model(copy)
    assert (model.decision, model.calibration) == (Decision(), Calibration())


@pytest.mark.parametrize(
    "bad",
    [
        {"decision": {"thresholds": {"LOC": "high"}, "transitions": 0}},
        {"decision": {"limits": {}}},
        {"decision": {"thresholds": [1], "transitions": 0}},
        {"calibration": {"slope": None, "intercept": 0}},
        {"calibration": 3},
    ],
)
def test_a_manifest_that_was_tampered_with_is_told(
    tuned: Path, tmp_path: Path, bad: dict[str, object]
) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["checkpoints"][manifest["best"]] |= bad
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json"):
        modeldir.load_model(copy)


def test_without_dev_nothing_is_tuned_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [*SMALL, ("data", "dev", ""), ("model", "tune", True), ("training", "epochs", 1)]
    run = Run.start(load_config(overrides=options), tmp_path / "run")
    assert "no dev file, so nothing is tuned" in caplog.text
    for _ in run.epochs():
        pass
    assert run.finish()["dev_as_trained"] is None
    assert modeldir.load_model(tmp_path / "run").calibration == Calibration()
