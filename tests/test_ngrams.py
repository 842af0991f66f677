from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import RICH, SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin.config import load_config
from nerwin.gold import read_gold
from nerwin.modeldir import load_model
from nerwin.text import lexicon as lexicon_module
from nerwin.text.lexicon import Lexicon
from nerwin.text.ngrams import BUCKETS, Bags, ngram_rows, ngrams
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary
from nerwin.training import Run
from nerwin.verification import trained_case


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("ab", "<ab ab> <ab>"),
        ("abc", "<ab abc bc> <abc abc>"),
        ("a", "<a>"),
        ("", "<>"),
        ("Zü", "<Zü Zü> <Zü>"),
    ],
)
def test_ngrams_are_of_three_and_four_characters_with_marks(token, expected):
    assert ngrams(token) == expected.split()


@given(st.text(st.characters(), max_size=20), st.integers(1, 50))
def test_every_token_has_ngrams_in_the_table(token, buckets):
    rows = ngram_rows(token, buckets)
    assert len(rows) == len(ngrams(token)) > 0
    assert rows.min() >= len(SPECIAL)
    assert rows.max() < len(SPECIAL) + buckets


def test_the_hash_is_the_same_for_ever():
    # CRC-32 of "<ab", "ab>" and "<ab>", as gzip has it: models on disk depend on it.
    hashes = np.array([0x0D6A9F74, 0x20FE6C8B, 0x44062D9C])
    assert ngram_rows("ab", 1 << 20).tolist() == (2 + hashes % (1 << 20)).tolist()


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1), st.data())
def test_some_bags_are_those_bags(lists, data):
    bags = Bags.of(np.array(one) for one in lists)
    which = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5))
    some = bags[np.array(which, np.intp)]
    found = [some.rows[a:b].tolist() for a, b in zip(some.starts, some.starts[1:], strict=False)]
    assert found == [lists[i] for i in which]


def bag_of(token):
    return ngram_rows(token, 20).tolist()


@given(st.lists(st.lists(st.sampled_from(["the", "Paris", "x", "y", ""]))))
def test_each_token_has_its_bag_whatever_was_asked_before(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_module, "_CACHED", 2)
        lexicon = Lexicon(Vocabulary.of(["the"]), buckets=20)
        assert list(lexicon.tables) == ["E", "E_ngrams"]
        for tokens in batches:
            bags = lexicon.bags(Tokens.of(tokens))
            numbers, rows = lexicon.rows(Tokens.of(tokens), np.array([0, len(tokens)]))
            own = rows[numbers, 1]
            found = [bags.rows[bags.starts[i] : bags.starts[i + 1]].tolist() for i in own]
            assert found == [bag_of(token) for token in tokens]
            assert len(bags.starts) - 1 == len(SPECIAL) + len(set(tokens))
            assert bags[np.array([UNKNOWN, PADDING])].rows.tolist() == [UNKNOWN, PADDING]


# --- in a model ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ngrams"
    options = [*SMALL, *RICH]
    for _ in Run.start(load_config(overrides=options), folder).epochs():
        pass
    return folder


def test_what_the_model_sees_of_a_word_is_the_mean_of_its_ngrams(folder: Path):
    """With everything else set to zero, scores are those of x put together by hand."""
    model = load_model(folder)
    E = model.parameters["E_ngrams"]
    assert E.shape == (2 + BUCKETS, 5)
    tokens, starts = ["Zzyzx", "is", "Zzyzx"], np.array([0, 2, 3])
    for name in model.parameters:
        if name[0] == "E" and name != "E_ngrams":
            model.parameters[name][:] = 0
    model.untouched = np.zeros_like(model.untouched)
    model.pretrained = np.zeros_like(model.pretrained)
    S = model.scores(tokens, starts, np.array([0, 1, 2]))
    sizes = [
        (columns.stop - columns.start) * model.parameters[name].shape[1]
        for name, columns in model.lexicon.tables.items()
    ]
    at = list(model.lexicon.tables).index("E_ngrams")
    before, after = sum(sizes[:at]), sum(sizes[at + 1 :])
    means = {token: E[ngram_rows(token, BUCKETS)].mean(axis=0) for token in tokens}
    P = model.parameters
    dense = model.dense(tokens, starts, np.array([0, 1, 2]))[:]
    for i, window in enumerate(
        [["", "", "Zzyzx", "is", ""], ["", "Zzyzx", "is", "", ""], ["", "", "Zzyzx", "", ""]]
    ):
        words = np.zeros((5, before + 5 + after), np.float32)  # E and so on, n-grams, lists
        words[:, before : before + 5] = [means[word] if word else E[PADDING] for word in window]
        x = np.append(words, dense[i])
        expected = np.maximum(x @ P["W"] + P["b"], 0) @ P["U"]
        np.testing.assert_allclose(S[i], expected, rtol=1e-4, atol=1e-5)


def test_training_moves_the_ngrams_that_occur_and_no_others(folder: Path, tmp_path: Path):
    options = [*SMALL, *RICH]
    run = Run.start(load_config(overrides=options), tmp_path / "run")
    before = run.model.parameters["E_ngrams"].copy()
    for _ in run.epochs():
        pass
    moved = (run.model.parameters["E_ngrams"] != before).any(axis=1)
    words = set(run.splits["train"].words)
    rows = {PADDING, *(row for word in words for row in ngram_rows(word, BUCKETS).tolist())}
    assert set(np.flatnonzero(moved).tolist()) == rows
    loaded = load_model(folder, "last").parameters["E_ngrams"]
    np.testing.assert_array_equal(run.model.parameters["E_ngrams"], loaded)


def test_the_gradients_of_a_trained_model_are_right(folder: Path):
    gold = read_gold(SMALL[0][2], load_config(overrides=SMALL).data)
    checks = {check.parameter: check for check in trained_case(load_model(folder), gold).check()}
    assert {"E_ngrams", "E_features"} <= set(checks)
    assert [name for name, check in checks.items() if not check.passed] == []
