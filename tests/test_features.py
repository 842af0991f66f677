from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text import lexicon as lexicon_module
from nerwin.text.features import FEATURES, capitals, frequent_values, shape
from nerwin.text.gazetteers import EntityList
from nerwin.text.lexicon import Lexicon
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary


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


@given(st.text(max_size=8) | st.text("aAßǅª中Ⅷ²9.-") | st.text("aA9-", min_size=65))
def test_capitals_and_shapes_are_what_each_character_says(token):
    letters = [c for c in token if c.isalpha()]
    signs = ""
    for c in token:
        letter = "X" if c.isupper() else "x"
        sign = letter if c.isalpha() else "d" if c.isdigit() else c
        if signs[-2:] != 2 * sign:
            signs += sign
    assert shape(token) == signs
    digits = any(map(str.isdigit, token))
    classes = {
        "number": not letters and token.isdigit(),
        "digits": not letters and digits,
        "sign": not letters,
        "letters and digits": digits,
        "lower": all(map(str.islower, letters)),
        "one capital": len(letters) == 1 and letters[0].isupper(),
        "upper": all(map(str.isupper, letters)),
        "inner": not (token[:1].isalpha() and token[0].isupper()),
        "title": all(map(str.islower, letters[1:])),
        "mixed": True,
    }
    assert capitals(token) == next(name for name, true in classes.items() if true)


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


def rows_of(lexicon, tokens):
    numbers, rows = lexicon.rows(Tokens.of(tokens), np.array([0, len(tokens)]))
    return rows[numbers].tolist()


def test_a_token_has_a_row_in_every_table():
    lexicon = make_lexicon()
    assert lexicon.tables == {"E": slice(0, 1), "E_features": slice(1, 4)}
    assert lexicon.feature_rows == 4 + 3 + 4  # of classes of capitals, of prefixes, of clusters
    tokens = ["the", "Paris", "Rome", "XX", "the"]
    expected = [[2, 2, 4, 9], [3, 3, 6, 10], [4, 3, 4, 10], [0, 0, 4, 7], [2, 2, 4, 9]]
    assert rows_of(lexicon, tokens) == expected
    assert lexicon.words(Tokens.of(tokens)).tolist() == [2, 3, 4, 0]
    assert rows_of(lexicon, []) == []


@given(st.lists(st.lists(st.sampled_from(["the", "Paris", "x", "y", "Pa"]))))
def test_rows_do_not_depend_on_what_was_asked_before(batches):
    lexicon = make_lexicon()
    for batch in batches:
        assert rows_of(lexicon, batch) == rows_of(make_lexicon(), batch)
        numbers, rows = lexicon.rows(Tokens.of(batch), np.array([0, len(batch)]))
        assert len(set(numbers.tolist())) == len(set(batch)) == len(rows) - len(SPECIAL)
        assert rows[UNKNOWN].tolist() == [UNKNOWN, *(place + UNKNOWN for place in (0, 4, 7))]
        assert rows[PADDING].tolist() == [PADDING, *(place + PADDING for place in (0, 4, 7))]


WRITTEN = st.sampled_from(["the", "The", "THE", "iPad", "ipad", "ß", "4", ""])


@given(st.lists(st.tuples(st.lists(WRITTEN), st.booleans())), st.sampled_from([2, 99]))
def test_case_does_not_depend_on_what_was_asked_before(batches, cached):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_module, "_CACHED", cached)
        lexicon = make_lexicon()
        for batch, asked in batches:
            rows_of(lexicon, batch)  # the tokens are remembered, their case not asked for
            if asked:
                words = Tokens.of(batch).words
                case = lexicon.case(Tokens.of(batch))
                assert case.lower.tolist() == [word.islower() for word in words]
                assert case.capital.tolist() == [word[:1].isupper() for word in words]
                pairs = set(zip(case.folded.tolist(), map(str.lower, words), strict=True))
                assert len(pairs) == len({i for i, _ in pairs}) == len({w for _, w in pairs})


def test_words_that_have_one_vector_have_one_number():
    lexicon = Lexicon(Vocabulary.of(["the", "paris"]))
    tokens = Tokens.of(["Paris", "PARIS", "the", "x", "paris"])
    numbers, rows = lexicon.rows(tokens, np.array([0, 5]))
    assert rows.tolist() == [[UNKNOWN], [PADDING], [2], [3]]
    assert numbers.tolist() == [3, 3, 2, 0, 3]


def test_what_a_list_tells_parts_equal_words():
    lists = {"lists": [EntityList("a", {("york",): 0}), EntityList("b", {("new", "york"): 0})]}
    lexicon = Lexicon(Vocabulary.of(["york"]), lists=lists, buckets=9)
    tokens = Tokens.of(["new", "york", "york", "x", "york"])
    numbers, rows = lexicon.rows(tokens, np.array([0, 5]))
    known = lexicon.gazetteers
    matches = known.rows(known.numbers(tokens), np.array([0, 5]))
    in_table = rows[numbers][:, lexicon.tables["E_features"]]
    np.testing.assert_array_equal(in_table - [0, 7], matches)
    assert rows[numbers, 0].tolist() == [0, 2, 2, 0, 2]
    assert rows[numbers, 1].tolist() == [2, 3, 3, 4, 3]  # of their bags
    assert numbers[2] == numbers[4] != numbers[1]
    assert rows[PADDING].tolist() == [PADDING, PADDING, PADDING, 7 + PADDING]


ENTRIES = st.lists(st.sampled_from([("york",), ("new", "york"), ("x",), ("new",)]))


@given(
    st.lists(ENTRIES, min_size=1, max_size=40),
    st.lists(st.sampled_from(["new", "york", "x", "y"])),
    st.sampled_from([10, 1000, lexicon_module._MOST]),
)
def test_any_number_of_lists_parts_equal_words_as_they_do(entries, words, most):
    """There may be so many that no integer holds what all of them tell of a word."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_module, "_MOST", most)
        check_that_lists_part_equal_words(entries, words)


def check_that_lists_part_equal_words(entries, words):
    several = [EntityList(str(i), dict.fromkeys(one, 0)) for i, one in enumerate(entries)]
    lexicon = Lexicon(Vocabulary.of(["york"]), lists={"lists": several})
    starts = np.array([0, len(words)])
    numbers, rows = lexicon.rows(Tokens.of(words), starts)
    known = lexicon.gazetteers
    matches = known.rows(known.numbers(words), starts)
    np.testing.assert_array_equal(rows[numbers][:, 1:] - 7 * np.arange(len(entries)), matches)
    told = [(word, *row) for word, row in zip(words, matches.tolist(), strict=True)]
    assert len(set(told)) == len(set(numbers.tolist()))
    assert len(set(zip(numbers.tolist(), told, strict=True))) == len(set(told))


@pytest.mark.parametrize("where", ["_find", "_since"])
def test_words_that_were_interrupted_are_looked_up_again(where):
    lexicon = make_lexicon()
    rows_of(lexicon, ["the", "x"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon, where, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rows_of(lexicon, ["y", "the", "Paris"])
    for words in (["the", "Paris", "z"], ["y"]):
        assert rows_of(lexicon, words) == rows_of(make_lexicon(), words)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(lexicon_module, "_CACHED", 10)
    lexicon = make_lexicon()
    for i in range(50):
        assert rows_of(lexicon, [f"word{i}", "Paris"])[1] == [3, 3, 6, 10]
        assert len(lexicon._number) <= 13


def test_long_tokens_are_not_remembered_without_end(monkeypatch):
    monkeypatch.setattr(lexicon_module, "_CHARACTERS", 100)
    lexicon = make_lexicon()
    for i in range(50):
        assert rows_of(lexicon, [f"{i:040}", "Paris"]) == rows_of(make_lexicon(), ["0", "Paris"])
        assert sum(map(len, lexicon._number)) <= 100 + 45
