import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text import lexicon as lexicon_module
from nerwin.text.features import FEATURES, capitals, frequent_values, shape
from nerwin.text.lexicon import Lexicon
from nerwin.text.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("Paris", "title"),
        ("paris", "lower"),
        ("NATO", "upper"),
        ("A", "one capital"),
        ("U.S.", "upper"),
        ("McDonald", "mixed"),
        ("iPhone", "inner"),
        ("1996", "number"),
        ("1996-08-22", "digits"),
        ("$", "sign"),
        ("F16", "letters and digits"),
        ("O'Brien", "mixed"),
        ("", "sign"),
        ("北京", "inner"),
    ],
)
def test_classes_of_capitalisation(token, expected):
    assert capitals(token) == expected


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("Paris", "Xxx"),
        ("U.S.", "X.X."),
        ("1996-08-22", "dd-dd-dd"),
        ("McDonald", "XxXxx"),
        ("....", ".."),
        ("", ""),
    ],
)
def test_shapes(token, expected):
    assert shape(token) == expected


@given(st.text(max_size=12))
def test_every_feature_has_a_value_for_every_token(token):
    values = {name: feature(token) for name, feature in FEATURES.items()}
    assert all(isinstance(value, str) for value in values.values())
    assert token.startswith(values["prefix3"])
    assert token.endswith(values["suffix4"])
    assert values["cased"] == token


def test_only_values_that_occur_twice_are_kept():
    tokens = ["Paris", "paris", "Paris", "Rome", "parts"]
    assert frequent_values("cased", tokens) == ["Paris"]
    assert frequent_values("prefix3", tokens) == ["Par", "par"]


def make_lexicon():
    words = ["the", "paris", "rome"]
    clusters = {"cluster2": np.array([0, 1, 2, 3, 3])}
    return Lexicon(
        Vocabulary.of(words), {"capitals": ["lower", "title"], "prefix2": ["Pa"]}, clusters
    )


def test_a_token_has_a_row_in_every_table():
    lexicon = make_lexicon()
    assert list(lexicon.tables) == ["E", "E_capitals", "E_prefix2", "E_cluster2"]
    tokens = ["the", "Paris", "Rome", "XX", "the"]
    expected = [[2, 2, 0, 2], [3, 3, 2, 3], [4, 3, 0, 3], [0, 0, 0, 0], [2, 2, 0, 2]]
    assert lexicon.rows(tokens)[0].tolist() == expected
    assert lexicon.rows([])[0].shape == (0, 4)


@given(st.lists(st.lists(st.sampled_from(["the", "Paris", "x", "y", "Pa"]))))
def test_rows_do_not_depend_on_what_was_asked_before(batches):
    lexicon = make_lexicon()
    for batch in batches:
        rows, same = lexicon.rows(batch)
        np.testing.assert_array_equal(rows, make_lexicon().rows(batch)[0])
        assert len(set(same.tolist())) == len(set(batch))


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(lexicon_module, "_CACHED", 10)
    lexicon = make_lexicon()
    for i in range(50):
        assert lexicon.rows([f"word{i}", "Paris"])[0][1].tolist() == [3, 3, 2, 3]
        assert len(lexicon._number) <= 13
