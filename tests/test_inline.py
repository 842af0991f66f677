from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text.inline import Marked, mark, parse

pieces = st.text(st.sampled_from("ab []()\\\n é😀") | st.characters(), max_size=8)
types = st.text(st.sampled_from("PERé-_\\[]."), min_size=1, max_size=6)


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, list[Marked]]:
    text, entities = draw(pieces), []
    for _ in range(draw(st.integers(0, 4))):
        entity = draw(pieces.filter(bool))
        entities.append((len(text), len(text) + len(entity), draw(types)))
        text += entity + draw(pieces)
    return text, entities


@given(marked())
def test_parse_undoes_mark(example: tuple[str, list[Marked]]) -> None:
    assert parse(mark(*example)) == example


@given(st.text(st.sampled_from("ab []()\\"), max_size=12))
def test_mark_undoes_parse_of_whatever_can_be_parsed(line: str) -> None:
    try:
        parsed = parse(line)
    except ValueError:
        return
    assert mark(*parsed) == line


def test_a_marked_line() -> None:
    text, entities = parse("[Paris Hilton](PER) flew to [Paris](LOC).")
    assert text == "Paris Hilton flew to Paris."
    assert [(text[a:b], kind) for a, b, kind in entities] == [
        ("Paris Hilton", "PER"),
        ("Paris", "LOC"),
    ]


def test_escaped_characters_are_text() -> None:
    assert parse(r"\[a\](b) \\ [c\]\\](X)") == ("[a](b) \\ c]\\", [(9, 12, "X")])


def test_parentheses_alone_mean_nothing() -> None:
    assert parse("f(x) [a](X)(y)") == ("f(x) a(y)", [(5, 6, "X")])


@pytest.mark.parametrize(
    ("line", "column", "sign"),
    [
        ("ab]", 3, "]"),
        ("[a", 1, "["),
        ("[a]", 1, "["),
        ("[a](", 1, "["),
        ("[a]()", 1, "["),
        ("[a](X Y)", 1, "["),
        ("[a] (X)", 1, "["),
        ("[](X)", 1, "["),
        ("[[a](X)](Y)", 1, "["),
        ("[ok](X) [a", 9, "["),
        ("[ok](X) \\]]", 11, "]"),
        ("ab\\", 3, r"\\"),
        ("a\\b", 2, r"\\"),
    ],
)
def test_what_marks_nothing_is_named_with_its_column(line: str, column: int, sign: str) -> None:
    with pytest.raises(ValueError, match="marks nothing") as caught:
        parse(line)
    assert str(caught.value).startswith(f"column {column}: '{sign}' marks nothing")
