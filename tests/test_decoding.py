import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nerwin.decoding import decode

TYPES = ("LOC", "ORG", "PER")


def naive(P, starts):
    """(start, end, type, score) of each entity, word by word."""
    entities, open_ = [], None
    for i, probabilities in enumerate(P.tolist()):
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        p = probabilities[best]
        if open_ and (i in starts or p <= 0.5 or open_[2] != best):
            entities.append(tuple(open_))
            open_ = None
        if p > 0.5:
            if open_:
                open_[1], open_[3] = i + 1, min(open_[3], p)
            else:
                open_ = [i, i + 1, best, p]
    return [*entities, tuple(open_)] if open_ else entities


def found(P, starts, types=TYPES):
    decoded = decode(P, starts, types)
    spans = decoded.spans
    assert spans.types == types
    columns = (spans.start, spans.end, spans.type, decoded.scores)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@st.composite
def probabilities_and_sentences(draw):
    lengths = draw(st.lists(st.integers(0, 6), max_size=6))
    starts = np.cumsum([0, *lengths])
    T = draw(st.integers(1, 3))
    # Few values, so that ties, thresholds and long entities are met often.
    values = st.sampled_from([0.0, 0.25, 0.5, 0.625, 0.75, 1.0])
    n = int(starts[-1])
    flat = draw(st.lists(values, min_size=n * T, max_size=n * T))
    return np.array(flat, np.float32).reshape(n, T), starts


@settings(deadline=None, max_examples=300)
@given(probabilities_and_sentences())
def test_entities_and_scores_are_those_of_the_loop(example):
    P, starts = example
    assert found(P, starts, TYPES[: P.shape[1]]) == naive(P, set(starts.tolist()))


def test_neighbours_of_one_type_join_and_of_two_types_do_not():
    P = np.array([[0.9, 0, 0], [0.6, 0.5, 0], [0, 0.8, 0.7], [0, 0.2, 0.1], [0, 0, 0.75]])
    assert found(P, np.array([0, 5])) == [(0, 2, 0, 0.6), (2, 3, 1, 0.8), (4, 5, 2, 0.75)]


def test_no_entity_crosses_the_end_of_a_sentence():
    P = np.full((4, 1), 0.75)
    assert found(P, np.array([0, 1, 4]), ("PER",)) == [(0, 1, 0, 0.75), (1, 4, 0, 0.75)]


def test_even_odds_are_no_entity():
    assert found(np.full((2, 3), 0.5), np.array([0, 2])) == []


def test_a_tie_of_types_goes_to_the_first():
    assert found(np.array([[0.6, 0.8, 0.8]]), np.array([0, 1])) == [(0, 1, 1, 0.8)]


def test_an_entitys_score_is_that_of_its_least_certain_word():
    P = np.array([[0.9], [0.55], [0.8]])
    assert found(P, np.array([0, 3]), ("PER",)) == [(0, 3, 0, 0.55)]


def test_no_words_and_empty_sentences_give_no_entities():
    for starts in ([0], [0, 0], [0, 0, 0]):
        assert found(np.empty((0, 3), np.float32), np.array(starts)) == []
