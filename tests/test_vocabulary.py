from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text import vocabulary
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary

tokens = st.text(st.sampled_from("aAbé0#19٣İ"), max_size=4)


def form_of(words: list[str], token: str) -> tuple[str, str | None]:
    """How a token is found, and as which word: the documented order, spelled out."""
    lower = token.lower()
    zeros = "".join("0" if c in "0123456789" else c for c in lower)
    hashes = "".join("#" if c in "0123456789" else c for c in lower)
    for how, form in (("exact", token), ("lower", lower), ("digits", zeros), ("digits", hashes)):
        if form in words:
            return how, form
    return "unknown", None


@given(st.lists(tokens, unique=True, max_size=12), st.lists(tokens, max_size=12))
def test_lookup_and_coverage_follow_the_documented_order(
    words: list[str], wanted: list[str]
) -> None:
    table = Vocabulary.of(words)
    found = [form_of(words, token) for token in wanted]
    expected = [UNKNOWN if form is None else 2 + words.index(form) for _, form in found]
    assert table.rows(wanted).tolist() == expected
    ways = [how for how, _ in found]
    share = {h: ways.count(h) / max(len(ways), 1) for h in ("exact", "lower", "digits", "unknown")}
    assert table.coverage(wanted) == pytest.approx(share)


def test_each_step_of_the_lookup() -> None:
    words = ["Paris", "paris", "us", "0000", "####", "#.#", "a0"]
    table = Vocabulary.of(words)
    wanted = ["Paris", "PARIS", "US", "1996", "2.5", "A7", "0000", "12345", "rome"]
    found = [words[row - 2] if row else None for row in table.rows(wanted).tolist()]
    assert found == ["Paris", "paris", "us", "0000", "#.#", "a0", "0000", None, None]


def test_coverage_shares() -> None:
    table = Vocabulary.of(["a", "b", "0"])
    tokens = ["a", "a", "B", "7", "x", "x", "x", "0"]
    shares = {"exact": 3 / 8, "lower": 1 / 8, "digits": 1 / 8, "unknown": 3 / 8}
    assert table.coverage(tokens) == shares
    assert table.coverage(iter(tokens)) == shares
    assert set(table.coverage([]).values()) == {0}


def test_rows_are_int32_and_two_are_special() -> None:
    table = Vocabulary.of(["a"])
    assert len(table) == len(SPECIAL) + 1 == 3
    assert table.rows(["a"]).dtype == np.int32
    assert table.rows([]).shape == (0,)
    assert sorted([UNKNOWN, PADDING, *table.rows(["a"])]) == [0, 1, 2]


def test_the_names_of_special_rows_are_words_like_others() -> None:
    assert Vocabulary.of(["a"]).rows(list(SPECIAL)).tolist() == [UNKNOWN, UNKNOWN]
    assert Vocabulary.of(["<padding>", "<unknown>"]).rows(list(SPECIAL)).tolist() == [3, 2]


@given(st.lists(tokens, unique=True, max_size=12), st.lists(tokens, max_size=12))
def test_words_of_one_code_are_told_apart(words: list[str], wanted: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "crc32", lambda word: 0xFFFFFFFF - len(word) % 2)
        table = Vocabulary.of(words)
        rows = table.rows(wanted).tolist()
    forms = [form_of(words, token)[1] for token in wanted]
    assert rows == [UNKNOWN if form is None else 2 + words.index(form) for form in forms]


def test_crc_32_itself_takes_some_words_for_others() -> None:
    words = ["plumless", "buckeroo"]  # the classic pair
    assert crc32(words[0].encode()) == crc32(words[1].encode())
    assert Vocabulary.of(words).rows(words).tolist() == [2, 3]
    assert Vocabulary.of(words[:1]).rows(words).tolist() == [2, UNKNOWN]


@given(st.lists(st.text(max_size=5).filter(lambda word: "\n" not in word), unique=True))
def test_a_stored_vocabulary_is_the_same(words: list[str]) -> None:
    made = Vocabulary.of(words)
    stored = Vocabulary(made.text, made.index)
    assert stored.words == words
    assert len(stored) == 2 + len(words)
    assert stored.rows(words).tolist() == list(range(2, 2 + len(words)))


def test_half_a_surrogate_pair_and_a_line_end_are_unknown() -> None:
    assert Vocabulary.of(["a", "b"]).rows(["\ud83d", "a\nb", "a\n", "\n", ""]).tolist() == [0] * 5


def test_an_index_that_is_not_the_words_own_finds_no_wrong_word() -> None:
    made = Vocabulary.of(["a", "b"])
    for number in (0, 1, 2, 0xFFFFFFFF):
        index = (made.index >> np.uint64(32) << np.uint64(32)) | np.uint64(number)
        rows = Vocabulary(made.text, index).rows(["a", "b"]).tolist()
        assert rows == [2 if number == 0 else UNKNOWN, 3 if number == 1 else UNKNOWN]
