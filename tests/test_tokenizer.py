from __future__ import annotations

import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nerwin.text.tokenizer import (
    offsets,
    sentence_starts,
    split_sentences,
    split_words,
    tokenize,
)

PIECES = [
    *["n't", "'s", "’", "U.S.", "Mr.", "1,0", "http://", "a@b.c", ".", "-", "_", "#", "n"],
    *["é", "e\u0301", "字", "😀", "J. ", " ", "\u00a0", "\u200b", "\n", "\x00", "\x85"],
]
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
)


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tokenize(text)]


def sentences(text: str) -> list[str]:
    tokens = tokenize(text)
    starts = split_sentences(text, tokens)
    pairs = pairwise(starts)
    return [text[tokens[a][0] : tokens[b - 1][1]] for a, b in pairs]


@given(texts)
@example("\x1c\x1d\x1e\x1f\u2028\u2029\u3000\ufeff")
def test_tokens_are_in_order_and_leave_out_only_space_and_control_characters(text: str) -> None:
    outside = list(text)
    last = 0
    for start, end in tokenize(text):
        assert last <= start < end
        assert not any(c.isspace() for c in text[start:end])
        outside[start:end] = [""] * (end - start)
        last = end
    assert all(c.isspace() or unicodedata.category(c) == "Cc" for c in "".join(outside))


@given(texts)
def test_sentences_partition_the_tokens(text: str) -> None:
    tokens = tokenize(text)
    starts = split_sentences(text, tokens)
    assert starts[0] == 0
    assert starts[-1] == len(tokens)
    assert starts == sorted(set(starts))


@given(
    st.characters(categories=["L"]),
    st.text(st.characters(categories=["L", "Nd", "Mn", "Mc"]), max_size=20),
)
def test_letters_digits_and_marks_of_any_script_make_one_word(first: str, rest: str) -> None:
    assert words(f"«{first}{rest}»") == ["«", first + rest, "»"]


@pytest.mark.parametrize(
    "text",
    [
        "I do|n't ca|n't wo|n't do|n’t",
        "I|'m they|'ve we|'re he|'d she|'ll it|'s",
        "Hilton|'s Hilton|’s the dogs|' bones",
        "O'Neill l'Oréal O’Brien",
        "Mr. Smith met Dr. No in St. Louis|, Jan. 5",
        "the U.S. and the U.N.",
        "J. K. Rowling met J. Smith|.",
        "plan A|.",
        "1,000.5 1996-08-22 6-3 10:30 7/8 -5 +3 4th 1990s",
        "won 6-3|, 4-6|.",
        "3.5|% $|5 €|1,000",
        "see http://x.org/a?b=c|, https://a.b/#c|. (|www.x.org|)",
        "write to first.last+tag@mail.example.org|.",
        "@name|, #tag|!",
        '"|Hello|,|" he said|.',
        "``|quoted|'' '|x|'",
        "“|Hello|” ‘|x|’ «|oui|»",
        "ok|😀 👍",
        "New York-based AT&T and/or",
        "end|... -- a|--|b",
        "¿|Qué tal|?",
        "日本語です|。",
        "Привет|, мир|!",
        "हिन्दी भाषा",
        "مرحبا|، بالعالم",
        "यह है|।",
        "a 3-year-old 12th-century 10,000-strong",
        "1.5m 2,000km",
        "e\u0301te\u0301 naïve",
        "a\u00a0b\u3000c\td\ne",
        "x\x00|y",
    ],
)
def test_tokens_as_in_the_conll_corpora(text: str) -> None:
    """A bar parts tokens that have no space between them."""
    expected = text.replace("|", " ").replace("\x00", " ").split()
    assert words(text.replace("|", "")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I am Mr. Smith.|You go!|Ok?|Yes.",
        '"Yes."|He said (no.)|Then',
        "Wait!! what... next.|Next",
        "J. K. Rowling wrote.|She did.",
        "The U.S. Army came.",
        "日本。|中国。",
        "He left.|5 came.",
        "approx. 5",
        "no full stop",
    ],
)
def test_sentences(text: str) -> None:
    assert sentences(text.replace("|", " ")) == text.split("|")


def test_no_text_has_no_tokens_and_no_sentences() -> None:
    for text in ("", " \n\t "):
        assert tokenize(text) == []
        assert split_sentences(text, []) == [0]


@pytest.mark.parametrize(
    "piece",
    [
        *["a", ".", "-.", "@", "'", "1.", "http://", "n't", "é", "1,", "a@", "www.", "#", "+"],
        *["_'", "Mr", "n'", "e\u0301", "1-", "--`", "J. "],
    ],
)
def test_no_text_takes_quadratic_time(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    start = time.perf_counter()
    split_sentences(text, tokenize(text))
    assert time.perf_counter() - start < 2


@settings(max_examples=30)
@given(st.lists(st.sampled_from("aén't’1.,-@_#:/&s "), min_size=1, max_size=5).map("".join))
def test_no_repeated_text_takes_quadratic_time(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    start = time.perf_counter()
    tokenize(text)
    assert time.perf_counter() - start < 0.5


@given(st.text())
def test_words_and_their_offsets_are_the_tokens(text):
    words = split_words(text)
    tokens = tokenize(text)
    assert words == [text[start:end] for start, end in tokens]
    assert offsets(text, words) == tokens
    assert sentence_starts(text, words) == split_sentences(text, tokens)


@pytest.mark.parametrize("text", ["One. Two", '"Go!" he said. "No." Then...', "a . b . c", "... x"])
def test_sentence_starts_of_words_are_those_of_tokens(text):
    assert sentence_starts(text, split_words(text)) == split_sentences(text, tokenize(text))
