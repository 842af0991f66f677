import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text import documents as documents_module
from nerwin.text.documents import DocumentFeatures, same_words, width
from nerwin.text.lexicon import Lexicon
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import Vocabulary

D = 2
SPELLINGS = ["Paris", "paris", "PARIS", "in", "In", "x"]


def document_features(words, vectors, starts, documents):
    """Given a vector for each token; equal tokens have equal ones."""
    tokens = Tokens.of(words)
    of_words = np.zeros((len(tokens.words), D), np.float32)
    of_words[tokens.numbers] = vectors
    case = Lexicon(Vocabulary.of([])).case(tokens)
    same = same_words(tokens.numbers, case, starts, documents)
    return DocumentFeatures(tokens.numbers, case, of_words, same, starts, documents)


def naive(words, vectors, starts, documents):
    """Token by token, from the definition."""
    N = len(words)
    sentence = np.searchsorted(starts, np.arange(N), "right") - 1
    document = np.searchsorted(documents, sentence, "right") - 1
    rows = []
    for i, word in enumerate(words):
        here = [j for j in range(N) if document[j] == document[i]]
        same = [j for j in here if words[j].lower() == word.lower()]
        flags = [
            any(words[j].islower() for j in same),
            any(words[j][:1].isupper() and j not in starts for j in same),
            len(same) > 1,
        ]
        contexts = []
        for step in (-1, 1):
            beside = [
                vectors[j + step]
                if 0 <= j + step < N and sentence[j + step] == sentence[j]
                else np.zeros(D)
                for j in same
                if j != i
            ]
            mean = np.mean(beside, axis=0) if beside else np.zeros(D)
            contexts.append(mean if word[:1].isupper() else np.zeros(D))
        rows.append(np.concatenate([flags, *contexts, np.mean(vectors[here], axis=0)]))
    return np.array(rows).reshape(N, width(D))


@given(st.data())
def test_features_are_those_of_the_loop(data):
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    starts = np.cumsum([0, *lengths])
    inner = data.draw(st.sets(st.integers(1, len(lengths))))
    documents = np.array(sorted({0, len(lengths)} | {d for d in inner if d < len(lengths)}))
    n = int(starts[-1])
    tokens = st.sampled_from(SPELLINGS)
    words = data.draw(st.lists(tokens, min_size=n, max_size=n))
    table = np.random.default_rng(len(words)).normal(size=(6, D)).astype(np.float32)
    vectors = table[[SPELLINGS.index(word) for word in words]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents_module, "_BLOCK", data.draw(st.sampled_from([1, 3, 1024])))
        features = document_features(words, vectors, starts, documents)
    assert features[:].dtype == np.float32
    np.testing.assert_allclose(features[:], naive(words, vectors, starts, documents), atol=1e-5)
    first, last = sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2)))
    made = []
    for rows, which in features.shared(slice(first, last)):
        some = which >= 0
        made.append(np.zeros((len(which), rows.shape[1]), np.float32))
        made[-1][some] = rows[which[some]]
    np.testing.assert_array_equal(np.concatenate(made, axis=1), features[first:last])


def test_no_words():
    made = document_features([], np.zeros((0, D), np.float32), np.array([0]), np.array([0]))
    assert made[:].shape == (0, width(D))


def test_a_document_says_nothing_of_another():
    words = ["Paris", "shines", "Paris", "sings"]
    starts, vectors = np.array([0, 2, 4]), np.eye(D, dtype=np.float32)[[0, 1, 0, 1]]
    together = document_features(words, vectors, starts, np.array([0, 2]))[:]
    apart = document_features(words, vectors, starts, np.array([0, 1, 2]))[:]
    assert together[0, 2] == 1
    assert apart[0, 2] == 0
    alone = document_features(words[:2], vectors[:2], starts[:2], np.array([0, 1]))[:]
    np.testing.assert_array_equal(apart[:2], alone)
