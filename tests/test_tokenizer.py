from __future__ import annotations

import re
import sys
import time
import unicodedata
from itertools import accumulate, chain, pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nerwin.text.tokenizer import offsets, split_sentences, split_words, tokenize
from nerwin.text.tokens import Tokens

PIECES = [
    *["n't", "'s", "’", "U.S.", "Mr.", "1,0", "http://", "a@b.c", ".", "-", "_", "#", "n"],
    *["é", "e\u0301", "字", "か", "カ", "😀", "J. ", " ", "\u00a0", "\u200b", "\n", "\x00", "\x85"],
    *["\u200d", "\ufe0f", "🏽", "🇫", "\xad", "。", "...", '"', "”", "?"],
    *["A", "1. ", "\u2029", "\r\n"],
]
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
)


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tokenize(text)]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


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
    rest = "".join(outside)
    assert all(c.isspace() or unicodedata.category(c) in {"Cc", "Cf"} for c in rest)


@given(texts)
def test_sentences_leave_out_only_space_and_hold_whole_tokens(text: str) -> None:
    last = 0
    pieces = []
    for start, end in split_sentences(text):
        assert not text[last:start].strip()
        assert text[start:end].strip() == text[start:end] != ""
        pieces.append([token for token in tokenize(text) if start <= token[0] and token[1] <= end])
        last = end
    assert not text[last:].strip()
    assert [token for piece in pieces for token in piece] == tokenize(text)
    numbers = [0, *accumulate(len(piece) for piece in pieces if piece)]
    assert split_words(text) == (words(text), numbers)


@given(
    st.characters(categories=["L"]),
    st.text(st.characters(categories=["L", "Nd", "Mn", "Mc"]), max_size=20),
)
def test_letters_digits_and_marks_of_most_scripts_make_one_word(first: str, rest: str) -> None:
    assume(not any(map(is_written_without_spaces, first + rest)))
    assert words(f"«{first}{rest}»") == ["«", first + rest, "»"]


def test_no_letter_digit_or_mark_of_them_is_forgotten() -> None:
    marks = [c for c in map(chr, range(sys.maxunicode + 1)) if is_of_words(c)]
    assert len(marks) > 30_000
    assert [c for c in marks if words(f"«A{c}»") != ["«", f"A{c}", "»"]] == []


def is_of_words(c: str) -> bool:
    category = unicodedata.category(c)
    of_words = category[0] == "L" or category in {"Nd", "Mn", "Mc"}
    return of_words and not is_written_without_spaces(c)


def is_written_without_spaces(c: str) -> bool:
    scripts = "CJK|HIRAGANA|KATAKANA|IDEOGRAPHIC|HENTAIGANA|VERTICAL KANA"
    return bool(re.search(scripts, unicodedata.name(c, "")))


@pytest.mark.parametrize(
    "text",
    [
        "I do|n't ca|n't wo|n't do|n’t could|n't|'ve CA|N'T",
        "I|'m they|'ve we|'re he|'d she|'ll it|'s IT|'S",
        "Hilton|'s Hilton|’s the dogs|' bones the 1990|'s U.S.|'s @bbc|'s",
        "O'Neill l'Oréal O’Brien o'clock gov't rock'n'roll ma'am 'em ’tis",
        "'|s|' |'|96 the '|90s",
        "Mr. Smith met Dr. No in St. Louis|, Jan. 5|, Sen. Dole|.",
        "in Menlo Park|, Calif. (|Ill.-based|)|; Acme Inc.|, etc.|, said Corp. news",
        "No. 5 but no|. Then Vol. 3|, pp. 5-7 in Sept|. he",
        "the U.S. and the U.N. at 5 p.m. Monday|, U.S.-led Iraq-U.N. m.p.h. Ph.D. J.-P.",
        "J. K. Rowling met J.K. Rowling and J. Smith|.",
        "plan A|.",
        "She works for Acme Inc|.",
        "in the U.S.",
        "1,000.5 1996-08-22 6-3 10:30 7/8 -5 −5 +3 4th 1990s .333 +44-171-542 2:29.34",
        "won 6-3|, 4-6|.",
        "3.5|% $|5 €|1,000 $|1.5m £|3bn 50|% US$|5 C$|1.2 million NZ$ A|$|AP 5|€",
        "km² 1½ C++ AA+ AT&T S&P Q3 F1 3M",
        "on www.x.org|'s site http://x.org/it's_a|’s end",
        "see http://x.org/a?b=c|, https://a.b/#c|. (|www.x.org|) ftp://x/y|;",
        "(|https://en.wikipedia.org/wiki/A_(b)|)|. youtu.be/x-Y bbc.co.uk/news|. example.com|.",
        "write to first.last+tag@mail.example.org|. 007@mi6.uk|!",
        "@name|, #tag|! #été @a_b|: #1",
        '"|Hello|,|" he said|.',
        "``|quoted|'' '|x|'",
        "“|Hello|” ‘|x|’ «|oui|» „|ja|“",
        "ok|😀 👍|👍🏽 👩‍👩‍👧|❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇫🇷|🇩🇪 5️⃣ *️⃣",
        "lol :) ;-) :/ <3 !!! ?!",
        "New York-based AT&T and|/|or US|/|UK",
        "end|... -- a|--|b – c|—|d *** ====",
        "¿|Qué tal|?",
        "日|本|語|です|。|東|京|タワー|に|5|月|が",
        "한국어 문장",
        "สวัสดีครับ ราคา",
        "Привет|, мир|!",
        "हिन्दी भाषा",
        "مرحبا|، بالعالم می‌خواهم",
        "यह है|।",
        "a 3-year-old 12th-century 10,000-strong 4x100 10am",
        "1.5m 2,000km",
        "e\u0301te\u0301 naïve co\u00adop",
        "a\u00a0b\u3000c\td\ne\r\nf\u2009g\u202fh",
        "x\x00|y\u200b|z\ufeff|\u200eא\u200f",
    ],
)
def test_tokens_as_in_the_conll_corpora(text: str) -> None:
    """A bar parts tokens that have no space between them."""
    expected = re.sub("[|\x00\u200b\u200e\u200f\ufeff]", " ", text).split()
    assert words(text.replace("|", "")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I am Mr. Smith. |You go! |Ok? |Yes.",
        '"Yes." |He said (no.) |Then "no". |So',
        "“Go.” |She did. |‘No.’ |«Oui.» |(He left.) |[She too.] |He said.[12] |It",
        '"Go!" he said. |"Why?" she asked. |"Then..."',
        "Wait!! what... next. |Next... |Then… and. |So... I do.",
        "He met J. K. Rowling. |She left.",
        "J. K. Rowling wrote. |She did. |J.K. Rowling and J. -P. Dupont",
        "The U.S. Army came to the U.S. |He left the U.S. |\"It's",
        "Acme Inc. said. |Acme Inc. |The Acme Corp. Ltd. unit",
        "at 5 p.m. Monday at 5 p.m. |They left.",
        "Yahoo! shares fell. |It rose! |The end.",
        "No. 5 won on Oct. 12. |She came in Oct. |Ships sank.",
        "1. Smith |2. Jones".replace(" |", "\n"),
        "Done. |2. Do it. |A. So",
        "Sen. The, St. Louis, Gov. Weld, Roe v. Wade, c. 1950, Jr. Smith",
        "approx. 5. |iPhone sales. |eBay fell. |- No. |– Yes. |• What",
        "He left. – and came. (but no) . . . then",
        "日本。|中国！|「はい。」|で",
        "यह है। |वह ؟ |ب۔ |ن",
        "Mind the Yahoo!, the 3.5 and x.y.z.",
        "no full stop",
        "a headline\n\n|The text\ngoes on. \r\n \r\n|Here\u2029|and there.\u00a0|End",
    ],
)
def test_sentences(text: str) -> None:
    assert sentences(text.replace("|", "")) == [piece.strip() for piece in text.split("|")]


def test_no_text_has_no_tokens_and_no_sentences() -> None:
    for text in ("", " \n\t ", "\x00", "\n\n"):
        assert tokenize(text) == []
        assert split_words(text) == ([], [0])


@pytest.mark.parametrize(
    "piece",
    [
        *["a", "a.", ".", "-", "-.", "@", "'", "1.", "http://", "http://(", "www.a(", "n't", "é"],
        *["1,", "a@", "a@b.", "#", "+", "_'", "Mr", "Mr. ", "n'", "e\u0301", "1-", "--`", "J. "],
        *["No.   ", 'Inc."', ". (", '." ', "A.-", ". 1. ", "[1", "\n ", "\n.", "👍\u200d", "US$"],
        *["a.com/", "\u200d", "\x00", "中", ",", "a-", "(", "... ", "\u2029"],
    ],
)
def test_no_text_takes_quadratic_time(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    start = time.process_time()
    split_words(text)
    assert time.process_time() - start < 2


@settings(max_examples=30)
@given(st.lists(st.sampled_from("aén't’1.,-@_#:/&s \n\"(A"), min_size=1, max_size=5).map("".join))
def test_no_repeated_text_takes_quadratic_time(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    start = time.process_time()
    split_words(text)
    assert time.process_time() - start < 0.5


@given(st.lists(texts, max_size=6))
@example(["a\u200db c", "", " ", "a\xadb", "x", "\ud800\U0001f600 é"])
def test_words_and_their_offsets_are_the_tokens(several: list[str]) -> None:
    cut = [split_words(text)[0] for text in several]
    bounds = np.cumsum([0, *map(len, cut)])
    start, end = offsets(several, Tokens.of(list(chain.from_iterable(cut))), bounds)
    found = list(zip(start.tolist(), end.tolist(), strict=True))
    for text, words, (i, j) in zip(several, cut, pairwise(bounds), strict=True):
        assert words == [text[a:b] for a, b in found[i:j]]
        assert tokenize(text) == found[i:j]
