import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nerwin.consistency import evidence
from nerwin.decoding import Labels, best_labels
from nerwin.text.documents import same_words
from nerwin.text.lexicon import Lexicon
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import Vocabulary

TYPES = ("LOC", "PER")
K = 1 + len(TYPES)


def evidence_of(P, labels, words, starts, documents):
    tokens = Tokens.of(words)
    case = Lexicon(Vocabulary.of([])).case(tokens)
    return evidence(P, labels, same_words(tokens.numbers, case, starts, documents), starts)


def told(values):
    """Whether there are any, their mean and maximum."""
    if not values:
        return np.zeros(1 + 2 * K)
    return np.concatenate([[1], np.mean(values, axis=0), np.max(values, axis=0)])


def naive(P, labels, words, starts, documents):
    """Token by token, from the definition."""
    N = len(words)
    sentence = np.searchsorted(starts, np.arange(N), "right") - 1
    document = np.searchsorted(documents, sentence, "right") - 1
    types = np.stack([P[:, 0], P[:, 1:5].sum(1), P[:, 5:9].sum(1)], axis=1)
    spans = labels.decode(best_labels(np.log(P + 1e-6), labels, starts), starts)
    entities = [
        (int(s), int(e), types[s:e].mean(axis=0))
        for s, e in zip(spans.start, spans.end, strict=True)
    ]

    def text(start, end):
        return (document[start], *(word.lower() for word in words[start:end]))

    # What stands here, word for word, as an entity elsewhere: the longest, then the first.
    same = np.zeros((N, 4 + 1 + 2 * K))
    taken = [False] * N
    for length in range(6, 0, -1):
        begins = []
        for i in range(N - length + 1):
            if sentence[i] != sentence[i + length - 1]:
                continue
            others = [
                q
                for s, e, q in entities
                if text(s, e) == text(i, i + length) and (s, e) != (i, i + length)
            ]
            if others and not taken[i] and not taken[i + length - 1]:
                begins.append((i, others))
        last = -length
        for i, others in begins:
            if i - last >= length:
                for j in range(i, i + length):
                    place = 3 if length == 1 else 0 if j == i else 2 if j == i + length - 1 else 1
                    same[j, place] = 1
                    same[j, 4:] = told(others)
                    taken[j] = True
            last = i
    rows = []
    for i in range(N):
        beside = [
            types[i + d] if 0 <= i + d < N and sentence[i + d] == sentence[i] else np.zeros(K)
            for d in (-2, -1, 1, 2)
        ]
        word = [types[j] for j in range(N) if j != i and text(j, j + 1) == text(i, i + 1)]
        holding = [
            q
            for s, e, q in entities
            for j in range(s, e)
            if j != i and text(j, j + 1) == text(i, i + 1)
        ]
        rows.append(np.concatenate([P[i], *beside, told(word), told(holding), same[i]]))
    return np.array(rows)


@settings(max_examples=150)
@given(st.data())
def test_evidence_is_that_of_the_loop(data):
    lengths = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    starts = np.cumsum([0, *lengths])
    inner = data.draw(st.sets(st.integers(1, len(lengths))))
    documents = np.array(sorted({0, len(lengths)} | {d for d in inner if d < len(lengths)}))
    n = int(starts[-1])
    tokens = st.sampled_from(["New", "new", "York", "Hilton", "in"])
    words = data.draw(st.lists(tokens, min_size=n, max_size=n))
    labels = Labels(TYPES, "BIOES")
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    S = 3 * rng.normal(size=(n, len(labels)))
    P = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    if data.draw(st.booleans()):
        P = P[rng.integers(0, min(n, 2), n)]  # the same answers at several places
    P = P.astype(np.float32)
    made = evidence_of(P, labels, words, starts, documents)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, naive(P, labels, words, starts, documents), atol=2e-6)


def test_no_words():
    labels = Labels(TYPES, "IO")
    nothing = evidence_of(np.zeros((0, 3), np.float32), labels, [], np.array([0]), np.array([0]))
    assert nothing.shape == (0, 3 + 4 * K + 2 * (1 + 2 * K) + 4 + 1 + 2 * K)


def test_what_is_said_elsewhere_is_heard():
    words = ["Paris", "Hilton", "sings", "Hilton", "sings"]
    labels = Labels(TYPES, "IO")
    P = np.full((5, 3), 0.1, np.float32)
    P[[0, 1], 2] = 0.8  # PER
    P[[2, 3, 4], 0] = 0.8  # outside, Hilton too
    starts = np.array([0, 3, 5])
    together = evidence_of(P, labels, words, starts, np.array([0, 2]))[3]
    apart = evidence_of(P, labels, words, starts, np.array([0, 1, 2]))[3]
    start = 3 + 4 * K
    word, entity = together[start : start + 7], together[start + 7 : start + 14]
    np.testing.assert_allclose(word, [1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.8], rtol=1e-6)
    np.testing.assert_allclose(entity, [1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.8], rtol=1e-6)
    assert not apart[start:].any()
