from __future__ import annotations

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
    table = Vocabulary(words)
    found = [form_of(words, token) for token in wanted]
    expected = [UNKNOWN if form is None else 2 + words.index(form) for _, form in found]
    assert table.rows(wanted).tolist() == expected
    ways = [how for how, _ in found]
    share = {h: ways.count(h) / max(len(ways), 1) for h in ("exact", "lower", "digits", "unknown")}
    assert table.coverage(wanted) == pytest.approx(share)


def test_each_step_of_the_lookup() -> None:
    words = ["Paris", "paris", "us", "0000", "####", "#.#", "a0"]
    table = Vocabulary(words)
    wanted = ["Paris", "PARIS", "US", "1996", "2.5", "A7", "0000", "12345", "rome"]
    found = [words[row - 2] if row else None for row in table.rows(wanted).tolist()]
    assert found == ["Paris", "paris", "us", "0000", "#.#", "a0", "0000", None, None]


def test_coverage_shares() -> None:
    table = Vocabulary(["a", "b", "0"])
    tokens = ["a", "a", "B", "7", "x", "x", "x", "0"]
    shares = {"exact": 3 / 8, "lower": 1 / 8, "digits": 1 / 8, "unknown": 3 / 8}
    assert table.coverage(tokens) == shares
    assert table.coverage(iter(tokens)) == shares
    assert set(table.coverage([]).values()) == {0}


def test_rows_are_int32_and_two_are_special() -> None:
    table = Vocabulary(["a"])
    assert len(table) == len(SPECIAL) + 1 == 3
    assert table.rows(["a"]).dtype == np.int32
    assert table.rows([]).shape == (0,)
    assert sorted([UNKNOWN, PADDING, *table.rows(["a"])]) == [0, 1, 2]
    assert "a" in table
    assert "b" not in table


def test_the_names_of_special_rows_are_words_like_others() -> None:
    assert Vocabulary(["a"]).rows(list(SPECIAL)).tolist() == [UNKNOWN, UNKNOWN]
    assert "<padding>" not in Vocabulary(["a"])
    assert Vocabulary(["<padding>", "<unknown>"]).rows(list(SPECIAL)).tolist() == [3, 2]


def test_a_long_stream_of_new_tokens_does_not_grow_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(vocabulary, "_CACHED", 10)
    table = Vocabulary(["a"])
    for i in range(100):
        assert table.rows([f"word{i}", "A"]).tolist() == [0, 2]
        assert len(table._cache) <= 12
