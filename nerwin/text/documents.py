"""What the rest of its document tells of a word, without any label.

A sentence may leave open what a name is; another sentence of the document may not. For each word:
whether it also occurs here in lower case, capitalised in mid-sentence, or at all; the mean vectors
of its left and of its right neighbours where it occurs elsewhere; and the mean vector of the
document, its topic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

FLAGS = 3


def width(dimensions: int) -> int:
    """How many numbers ``document_features`` has for each word."""
    return FLAGS + 3 * dimensions


def document_features(
    words: Sequence[str], vectors: NDArray[np.float32], starts: Indices, documents: Indices
) -> NDArray[np.float32]:
    """(N, 3 + 3 D): three flags, left context, right context, topic.

    words      N tokens
    vectors    (N, D) their vectors
    starts     (S+1,) the number of each sentence's first token, then N
    documents  (T+1,) the number of each document's first sentence, then S; none is empty
    Contexts are zero for words that are not capitalised, and where there is no other occurrence.
    """
    N, D = vectors.shape
    features = np.zeros((N, width(D)), np.float32)
    if not N:
        return features
    opens = starts[documents]
    document = np.repeat(np.arange(len(documents) - 1), np.diff(opens))
    first = np.zeros(N + 1, bool)
    first[starts] = True

    # Each distinct string is looked at once; `same` numbers a document's spellings of a word.
    number = {word: i for i, word in enumerate(dict.fromkeys(words))}
    spelling = np.fromiter(map(number.__getitem__, words), np.intp, N)
    lower: dict[str, int] = {}
    lower_of = np.array([lower.setdefault(word.lower(), len(lower)) for word in number])
    is_lower = np.array([word.islower() for word in number])[spelling]
    capital = np.array([word[:1].isupper() for word in number])[spelling]
    _, same = np.unique(document * len(lower) + lower_of[spelling], return_inverse=True)
    times = np.bincount(same)

    features[:, 0] = np.bincount(same, is_lower)[same] > 0
    features[:, 1] = np.bincount(same, capital & ~first[:-1])[same] > 0
    features[:, 2] = times[same] > 1
    left, right = np.zeros_like(vectors), np.zeros_like(vectors)
    left[1:], right[:-1] = vectors[:-1], vectors[1:]
    left[first[:-1]] = 0
    right[first[1:]] = 0
    others = np.maximum(times[same] - 1, 1)[:, None]
    for i, beside in enumerate((left, right)):
        elsewhere = (_sums(beside, same)[same] - beside) / others
        features[:, FLAGS + i * D : FLAGS + (i + 1) * D] = elsewhere * capital[:, None]
    features[:, FLAGS + 2 * D :] = (_sums(vectors, document) / np.diff(opens)[:, None])[document]
    return features


def _sums(rows: NDArray[np.float32], group: Indices) -> NDArray[np.float32]:
    """The sum of the rows of each group, whose numbers leave no gap: (N, D) -> (G, D)."""
    order = np.argsort(group, kind="stable")
    _, begins = np.unique(group[order], return_index=True)
    return np.add.reduceat(rows[order], begins, axis=0)
