from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text.tags import (
    SCHEMES,
    Spans,
    detect_scheme,
    ill_formed,
    is_tag,
    read_tags,
    write_tags,
)

Entity = tuple[int, int, str]
TYPES = ["PER", "LOC", "creative-work"]
tags_of = st.one_of(st.just("O"), st.tuples(st.sampled_from("BIESLU"), st.sampled_from(TYPES)))
sentences_of_tags = st.lists(
    st.lists(tags_of.map(lambda t: t if t == "O" else "-".join(t)), min_size=1, max_size=8),
    max_size=6,
)


def flat(sentences: list[list[str]]) -> tuple[list[str], np.ndarray]:
    return list(chain(*sentences)), np.cumsum([0, *map(len, sentences)])


def entities(spans: Spans) -> list[Entity]:
    names = [spans.types[i] for i in spans.type]
    return list(zip(spans.start.tolist(), spans.end.tolist(), names, strict=True))


def read(*sentences: str) -> list[Entity]:
    return entities(read_tags(*flat([s.split() for s in sentences])))


def spans_of(found: list[Entity]) -> Spans:
    types = tuple(sorted({kind for _, _, kind in found}))
    numbers = [types.index(kind) for _, _, kind in found]
    start, end = [s for s, _, _ in found], [e for _, e, _ in found]
    return Spans(*(np.array(column, np.intp) for column in (start, end, numbers)), types)


# conlleval's two predicates over (previous tag, tag), with S as a chunk of its own.


def starts_chunk(before: str, tag: str, type_before: str, kind: str) -> bool:
    if tag == "O":
        return False
    if tag in "BS" or type_before != kind:
        return True
    return (before, tag) in {(b, t) for b in "OES" for t in "IE"}


def ends_chunk(before: str, tag: str, type_before: str, kind: str) -> bool:
    if before == "O":
        return False
    if before in "ES" or type_before != kind:
        return True
    return (before, tag) in {(b, t) for b in "BI" for t in "BSO"}


def conlleval(sentences: list[list[str]]) -> list[Entity]:
    found = []
    position = 0
    for sentence in sentences:
        before, type_before, start = "O", "", 0
        for i, tag in enumerate([*sentence, "O"]):
            prefix, _, kind = tag.partition("-")
            prefix = {"L": "E", "U": "S"}.get(prefix, prefix)
            if ends_chunk(before, prefix, type_before, kind):
                found.append((position + start, position + i, type_before))
            if starts_chunk(before, prefix, type_before, kind):
                start = i
            before, type_before = prefix, kind
        position += len(sentence)
    return found


@st.composite
def analyses(draw: st.DrawFn) -> tuple[list[Entity], np.ndarray]:
    """Sentences full of entities, many of them neighbours."""
    found: list[Entity] = []
    starts = [0]
    for _ in range(draw(st.integers(1, 5))):
        here = starts[-1]
        for length, kind in draw(
            st.lists(
                st.tuples(st.integers(1, 3), st.sampled_from([None, *TYPES])),
                min_size=1,
                max_size=6,
            )
        ):
            if kind:
                found.append((here, here + length, kind))
            here += length
        starts.append(here)
    return found, np.array(starts)


@given(sentences_of_tags)
def test_entities_are_those_of_conlleval(sentences: list[list[str]]) -> None:
    spans = read_tags(*flat(sentences))
    assert entities(spans) == conlleval(sentences)
    assert len(spans) == len(conlleval(sentences))


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
@given(analysis=analyses())
def test_what_is_written_is_read_back(
    scheme: str, analysis: tuple[list[Entity], np.ndarray]
) -> None:
    found, starts = analysis
    assert entities(read_tags(write_tags(spans_of(found), starts, scheme), starts)) == found


@given(analyses())
def test_io_joins_neighbours_of_one_type_within_a_sentence_and_nothing_else(
    analysis: tuple[list[Entity], np.ndarray],
) -> None:
    found, starts = analysis
    joined: list[Entity] = []
    for start, end, kind in found:
        if joined and joined[-1][1:] == (start, kind) and start not in starts:
            joined[-1] = (joined[-1][0], end, kind)
        else:
            joined.append((start, end, kind))
    assert entities(read_tags(write_tags(spans_of(found), starts, "IO"), starts)) == joined


@given(analyses())
def test_iob1_writes_b_only_between_neighbours_of_one_type(
    analysis: tuple[list[Entity], np.ndarray],
) -> None:
    found, starts = analysis
    tags = write_tags(spans_of(found), starts, "IOB1")
    glued = {
        b[0] for a, b in pairwise(found) if (a[1], a[2]) == (b[0], b[2]) and b[0] not in starts
    }
    assert {i for i, tag in enumerate(tags) if tag.startswith("B")} == glued


@pytest.mark.parametrize("scheme", SCHEMES)
@given(analysis=analyses())
def test_written_tags_are_well_formed_in_their_scheme(
    scheme: str, analysis: tuple[list[Entity], np.ndarray]
) -> None:
    found, starts = analysis
    tags = write_tags(spans_of(found), starts, scheme)
    detected, wrong = detect_scheme(tags, starts)
    assert ill_formed(tags, starts, scheme) == wrong == 0
    assert write_tags(read_tags(tags, starts), starts, detected) == tags


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IO", "I-X I-X I-X O I-Y I-Z"),
        ("IOB1", "I-X B-X I-X O I-Y I-Z"),
        ("IOB2", "B-X B-X I-X O B-Y B-Z"),
        ("BIOES", "S-X B-X E-X O S-Y S-Z"),
    ],
)
def test_each_scheme_as_it_is_known(scheme: str, tags: str) -> None:
    found = [(0, 1, "X"), (1, 3, "X"), (4, 5, "Y"), (5, 6, "Z")]
    assert write_tags(spans_of(found), np.array([0, 6]), scheme) == tags.split()


def test_only_the_schemes_that_exist_can_be_written() -> None:
    with pytest.raises(ValueError, match="unknown scheme 'IOB3'"):
        write_tags(spans_of([]), np.array([0, 1]), "IOB3")


@pytest.mark.parametrize(
    ("tags", "scheme", "wrong"),
    [
        ("O O O", "IOB2", 0),
        ("B-X I-X O B-Y", "IOB2", 0),
        ("I-X I-X O I-Y", "IOB1", 0),
        ("I-X B-X O I-Y", "IOB1", 0),
        ("S-X O B-X I-X E-X", "BIOES", 0),
        ("U-X O B-X I-X L-X", "BIOES", 0),
        ("B-X I-X O B-Y I-Y O I-X", "IOB2", 1),
        ("S-X O B-X E-X O B-Y", "BIOES", 1),
    ],
)
def test_the_scheme_is_detected(tags: str, scheme: str, wrong: int) -> None:
    assert detect_scheme(*flat([tags.split()])) == (scheme, wrong)


@pytest.mark.parametrize(
    ("scheme", "tags", "wrong"),
    [
        ("IOB2", "O I-X I-X O", 1),
        ("IOB2", "B-X I-Y I-Y", 1),
        ("IOB2", "B-X E-X", 1),
        ("IOB1", "B-X I-X O B-X", 2),
        ("IOB1", "I-X B-Y", 1),
        ("BIOES", "B-X O I-X E-X", 2),
        ("BIOES", "B-X I-X", 1),
        ("BIOES", "S-X I-X E-X", 1),
        ("IO", "I-X B-X", 1),
    ],
)
def test_ill_formed_tags_are_those_the_scheme_would_not_write(
    scheme: str, tags: str, wrong: int
) -> None:
    assert ill_formed(*flat([tags.split()]), scheme) == wrong


def test_bilou_is_bioes() -> None:
    bilou, bioes = "U-X O B-X I-X L-X L-X", "S-X O B-X I-X E-X E-X"
    assert read(bilou) == read(bioes) == [(0, 1, "X"), (2, 5, "X"), (5, 6, "X")]


def test_no_entity_crosses_a_sentence_border() -> None:
    assert read("O I-X", "I-X O") == [(1, 2, "X"), (2, 3, "X")]
    assert read("B-X", "E-X", "I-X") == [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]


def test_a_border_between_sentences_is_no_reason_for_b_in_iob1() -> None:
    found, starts = [(0, 2, "X"), (2, 3, "X")], np.array([0, 2, 3])
    assert write_tags(spans_of(found), starts, "IOB1") == ["I-X", "I-X", "I-X"]


def test_types_may_contain_hyphens() -> None:
    assert read("B-creative-work I-creative-work O I-creative") == [
        (0, 2, "creative-work"),
        (3, 4, "creative"),
    ]


@pytest.mark.parametrize("tag", ["O", "B-X", "U-a-b", "L--", "E-O", "S-組織"])
def test_tags(tag: str) -> None:
    assert is_tag(tag)


@pytest.mark.parametrize("tag", ["", "o", "B", "B-", "BX", "-X", "X-B", "b-X", "OO", "O-X", "B_X"])
def test_what_is_no_tag_is_refused_by_name(tag: str) -> None:
    assert not is_tag(tag)
    with pytest.raises(ValueError, match=f"^'{tag}' is not a tag"):
        read_tags(["O", tag], np.array([0, 2]))


def test_no_tokens_have_no_entities() -> None:
    assert read() == []
    assert write_tags(spans_of([]), np.array([0])) == []
