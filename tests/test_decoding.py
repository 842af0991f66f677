from itertools import pairwise

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nerwin.decoding import Labels, best_labels, to_entities
from nerwin.engine.crf import viterbi
from nerwin.text.tags import read_tags

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
    labels = Labels(types, "IO")
    outside = np.zeros((len(P), 1), P.dtype)
    best = best_labels(np.hstack((outside, P - P.dtype.type(0.5))), labels, starts)
    decoded = to_entities(best, np.hstack((outside, P))[best > 0], labels, starts)
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


@settings(max_examples=300)
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


# --- labels ---------------------------------------------------------------------------------------


@st.composite
def entities_in_sentences(draw):
    """Spans that stay within their sentences, and where those start."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    starts = np.cumsum([0, *lengths])
    tags = []
    for length in lengths:
        tags += draw(st.lists(st.sampled_from(TAGS), min_size=length, max_size=length))
    return read_tags(tags, starts), starts


TAGS = ["O", *(f"{prefix}-{name}" for prefix in "BI" for name in TYPES)]


@given(entities_in_sentences())
def test_bioes_labels_say_all_that_entities_are(example):
    spans, starts = example
    labels = Labels(TYPES, "BIOES")
    coded = labels.encode(spans, starts)
    again = labels.decode(coded, starts)
    names = [[s.types[k] for k in s.type] for s in (spans, again)]
    assert names[0] == names[1]
    assert spans.start.tolist() == again.start.tolist()
    assert spans.end.tolist() == again.end.tolist()
    # And every step of theirs is allowed.
    A, a, z = labels.transitions()
    for first, last in pairwise(starts):
        path = coded[first:last]
        assert a[path[0]] == z[path[-1]] == 0
        assert not A[path[:-1], path[1:]].any()


@given(entities_in_sentences())
def test_io_labels_say_which_type_each_word_has(example):
    spans, starts = example
    coded = Labels(TYPES, "IO").encode(spans, starts)
    expected = [0] * starts[-1]
    for start, end, kind in zip(spans.start, spans.end, spans.type, strict=True):
        expected[start:end] = [1 + TYPES.index(spans.types[kind])] * (end - start)
    assert coded.tolist() == expected


def test_entities_of_other_types_are_outside():
    starts = np.array([0, 3])
    spans = read_tags(["B-PER", "B-LOC", "I-LOC"], starts)
    assert Labels(("LOC",), "IO").encode(spans, starts).tolist() == [0, 1, 1]
    assert Labels(("LOC",), "BIOES").encode(spans, starts).tolist() == [0, 1, 3]


@given(st.data())
def test_the_best_bioes_path_is_well_formed_whatever_the_scores(data):
    labels = Labels(TYPES, "BIOES")
    starts = np.cumsum([0, *data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))])
    seed = data.draw(st.integers(0, 10_000))
    S = np.random.default_rng(seed).normal(0, 5, (starts[-1], len(labels))).astype(np.float32)
    best = best_labels(S, labels, starts)
    spans = labels.decode(best, starts)
    assert labels.encode(spans, starts).tolist() == best.tolist()


@given(st.data())
def test_the_best_labels_are_the_best_path_whether_or_not_words_agree(data):
    labels = Labels(TYPES, "BIOES")
    starts = np.cumsum([0, *data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))])
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    S = rng.normal(0, 1, (starts[-1], len(labels)))
    S[:, 0] += data.draw(st.sampled_from([0, 2, 9]))  # the more, the more words agree on outside
    words = S.argmax(axis=1)
    best = best_labels(S, labels, starts)
    event(f"words agree: {np.array_equal(best, words)}")
    full = starts[np.append(True, np.diff(starts) > 0)]
    np.testing.assert_array_equal(best, viterbi(S, *labels.transitions(), full))
