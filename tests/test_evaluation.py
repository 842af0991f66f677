from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin import evaluation
from nerwin.decoding import Decoded, Labels
from nerwin.evaluation import Counts, Scores, evaluate, keep_types, score, scores_of
from nerwin.gold import Gold, read_gold
from nerwin.manifest import read_manifest
from nerwin.modeldir import load_model
from nerwin.options import ModelOptions
from nerwin.text.tags import Spans, detect_scheme, read_tags, without_bilou

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "ORG"))]


def compare(gold: str, predicted: str) -> Scores:
    tags = [gold.split(), predicted.split()]
    starts = np.unique([0, len(tags[0])])
    return score(*(read_tags(t, starts) for t in tags), *tags)


def numbers(counts: Counts) -> tuple[int, int, int]:
    return counts.gold, counts.predicted, counts.correct


@pytest.mark.parametrize(
    ("gold", "predicted", "overall", "types", "accuracy"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", (1, 1, 1), {"PER": (1, 1, 1)}, 1),
        ("B-PER I-PER O", "B-PER O O", (1, 1, 0), {"PER": (1, 1, 0)}, 2 / 3),
        ("B-PER I-PER O", "B-PER B-PER O", (1, 2, 0), {"PER": (1, 2, 0)}, 2 / 3),
        ("O B-PER I-PER", "B-PER I-PER I-PER", (1, 1, 0), {"PER": (1, 1, 0)}, 1 / 3),
        (
            "B-PER I-PER O B-LOC",
            "B-LOC I-LOC O B-LOC",
            (2, 2, 1),
            {"LOC": (1, 2, 1), "PER": (1, 0, 0)},
            0.5,
        ),
        ("B-PER O", "O B-LOC", (1, 1, 0), {"LOC": (0, 1, 0), "PER": (1, 0, 0)}, 0),
        ("B-PER B-LOC", "O O", (2, 0, 0), {"LOC": (1, 0, 0), "PER": (1, 0, 0)}, 0),
        ("O O", "O B-LOC", (0, 1, 0), {"LOC": (0, 1, 0)}, 0.5),
        ("O O", "O O", (0, 0, 0), {}, 1),
        ("", "", (0, 0, 0), {}, 0),
        ("I-PER I-PER", "B-PER I-PER", (1, 1, 1), {"PER": (1, 1, 1)}, 0.5),
    ],
)
def test_hand_worked_cases(gold: str, predicted: str, overall, types, accuracy: float) -> None:
    scores = compare(gold, predicted)
    assert numbers(scores.overall) == overall
    assert {name: numbers(counts) for name, counts in scores.types.items()} == types
    assert scores.accuracy == pytest.approx(accuracy)


def test_shares() -> None:
    counts = Counts(gold=8, predicted=5, correct=2)
    assert (counts.precision, counts.recall) == (0.4, 0.25)
    assert counts.f1 == pytest.approx(2 * 0.4 * 0.25 / 0.65)
    nothing = Counts(0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
    assert counts.as_dict() == {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "support": 8,
    }


def test_scores_as_plain_values() -> None:
    plain = compare("B-PER B-LOC", "B-PER O").as_dict()
    assert (plain["precision"], plain["recall"], plain["support"]) == (1, 0.5, 2)
    assert plain["types"]["LOC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert plain["accuracy"] == 0.5


def triples(spans: Spans) -> set[tuple[int, int, str]]:
    return {
        (int(start), int(end), spans.types[kind])
        for start, end, kind in zip(spans.start, spans.end, spans.type, strict=True)
    }


@given(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=20), st.data())
def test_counts_are_those_of_sets(pairs: list[tuple[str, str]], data) -> None:
    tags = [[gold for gold, _ in pairs], [predicted for _, predicted in pairs]]
    cut = data.draw(st.integers(0, len(pairs)))
    starts = np.unique([0, cut, len(pairs)])
    spans = [read_tags(t, starts) for t in tags]
    gold, predicted = map(triples, spans)
    scores = score(*spans, *tags)
    assert numbers(scores.overall) == (len(gold), len(predicted), len(gold & predicted))
    assert list(scores.types) == sorted({kind for _, _, kind in gold | predicted})
    for name, counts in scores.types.items():
        sets = [{e for e in found if e[2] == name} for found in (gold, predicted, gold & predicted)]
        assert numbers(counts) == tuple(map(len, sets))


@given(st.lists(st.sampled_from(TAGS), max_size=15), st.sets(st.sampled_from(["PER", "LOC", "X"])))
def test_kept_types_are_the_only_ones_and_complete(tags: list[str], types: set[str]) -> None:
    spans = read_tags(tags, np.unique([0, len(tags)]))
    kept = keep_types(spans, tuple(types))
    assert triples(kept) == {e for e in triples(spans) if e[2] in types}
    assert set(kept.types) <= types
    assert triples(keep_types(spans, iter(sorted(types)))) == triples(kept)


def gold_of(tags: str) -> Gold:
    listed = without_bilou(tags.split())
    starts = np.array([0, len(listed)])
    scheme = detect_scheme(listed, starts)[0]
    words = ["word"] * len(listed)
    return Gold("x", "", words, starts, np.array([0, 1]), listed, scheme, read_tags(listed, starts))


def oracle(kinds: list[int], types: tuple[str, ...], chosen: tuple[str, ...] = ()):
    """A model that is sure of the given type of each token; −1: of none."""
    labels = Labels(types, "IO")

    def decode(S, starts):
        spans = labels.decode(np.array(kinds) + 1, starts)
        return Decoded(spans, np.ones(len(spans)))

    return SimpleNamespace(
        options=ModelOptions(types=chosen),
        types=types,
        labels=labels,
        scores=lambda words, starts, documents: 0,  # decode knows without
        decode=decode,
    )


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC",
        "I-PER I-PER O I-LOC",
        "B-PER E-PER O S-LOC",
        "B-PER L-PER O U-LOC",
        "O O O O",
    ],
)
def test_a_model_that_is_right_has_full_marks_in_every_scheme(tags: str) -> None:
    gold = gold_of(tags)
    types = ("LOC", "PER")
    scores = evaluate(oracle(Labels(types, "IO").encode(gold.spans, gold.starts) - 1, types), gold)
    n = len(gold.spans)
    assert numbers(scores.overall) == (n, n, n)
    assert scores.accuracy == 1


def test_gold_types_that_a_model_was_not_made_for_count_unless_it_chose_its_types() -> None:
    gold = gold_of("B-PER I-PER O B-LOC")
    perfect = [-1, -1, -1, 0]
    whole = evaluate(oracle(perfect, ("LOC",)), gold)
    assert (numbers(whole.overall), whole.accuracy) == ((2, 1, 1), 0.5)
    chosen = evaluate(oracle(perfect, ("LOC",), ("LOC",)), gold)
    assert (numbers(chosen.overall), chosen.accuracy) == ((1, 1, 1), 1)
    assert set(chosen.types) == {"LOC"}


@pytest.mark.parametrize("tokens", [1, 100, 1 << 14])
def test_scores_are_the_same_however_many_documents_are_scored_at_once(rich, monkeypatch, tokens):
    model, config = load_model(rich), read_manifest(rich).config
    gold = read_gold(config.data.dev, config.data)
    sentences = len(gold.starts) - 1
    gold = replace(gold, documents=np.append(np.arange(0, sentences, 7), sentences))
    monkeypatch.setattr(evaluation, "_TOKENS", tokens)
    expected = model.scores(gold.words, gold.starts, gold.documents)
    np.testing.assert_allclose(scores_of(model, gold), expected, atol=1e-4)
    other = model.scores(gold.words, gold.starts, gold.alone().documents)
    assert np.abs(other - expected).max() > 0.1
