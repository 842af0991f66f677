"""What the rest of its document tells of a word, without any label.

A sentence may leave open what a name is; another sentence of the document may not. For each word:
whether it also occurs here in lower case, capitalised in mid-sentence, or at all; the mean vectors
of its left and of its right neighbours where it occurs elsewhere; and the mean vector of the
document, its topic.
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from nerwin.text.features import Case
from nerwin.text.tags import Indices

FLAGS = 3
_BLOCK = 1 << 10  # words whose vectors are summed at once: they stay in the processor's cache
_FLAGS = np.array(list(product((0, 1), repeat=FLAGS)), np.float32)  # as bits: 000, 001, 010, …


def width(dimensions: int) -> int:
    """How many numbers ``DocumentFeatures`` has for each word."""
    return FLAGS + 3 * dimensions


class DocumentFeatures:
    """(N, 3 + 3 D): three flags, left context, right context, topic.

    words      (N,) the place of each token among the W different ones
    case       how these are written
    vectors    (W, D) their vectors
    same       (N,) see ``same_words``
    starts     (S+1,) the number of each sentence's first token, then N
    documents  (T+1,) the number of each document's first sentence, then S; none is empty
    Contexts are zero for words that are not capitalised, and where there is no other occurrence.

    ``features[batch]`` is the (B, 3 + 3 D) array for the token numbers in ``batch``, made when
    asked for: a topic is kept once for its document, contexts for the words that have one.
    """

    def __init__(
        self,
        words: Indices,
        case: Case,
        vectors: NDArray[np.float32],
        same: Indices,
        starts: Indices,
        documents: Indices,
    ) -> None:
        N, D = len(words), vectors.shape[1]
        self._flags = np.zeros(N, np.uint8)  # of each token, a row of _FLAGS
        self._context = np.zeros(N, np.int32)
        self._contexts = np.zeros((1, 2 * D), np.float32)
        opens = starts[documents]
        self._document = np.repeat(np.arange(len(documents) - 1), np.diff(opens))
        self._topics = np.zeros((0, D), np.float32)
        if not N:
            return
        times = np.bincount(same)
        first = np.zeros(N + 1, bool)
        first[starts] = True
        capital = case.capital[words]
        flags = 4 * (np.bincount(same, case.lower[words]) > 0)
        flags += 2 * (np.bincount(same, capital & ~first[:-1]) > 0)
        flags += times > 1
        self._flags = flags.astype(np.uint8)[same]

        # Of the words that occur again, those that are capitalised at least once.
        asked = np.flatnonzero((times > 1)[same] & (np.bincount(same, capital) > 0)[same])
        present = np.zeros(len(times), bool)
        present[same[asked]] = True
        few = np.min_scalar_type(len(times))  # 16 bits are sorted faster
        group = (np.cumsum(present) - 1)[same[asked]].astype(few)
        order = np.argsort(group, kind="stable")
        begins = np.flatnonzero(np.diff(group[order], prepend=-1))
        kept = np.flatnonzero(capital[asked])
        self._context[asked[kept]] = np.arange(1, 1 + len(kept))
        self._contexts = np.zeros((1 + len(kept), 2 * D), np.float32)
        others = (times[same[asked[kept]]] - 1)[:, None].astype(np.float32)
        left, right = slice(0, D), slice(D, 2 * D)
        for side, at_end, columns in ((-1, first[asked], left), (1, first[asked + 1], right)):
            beside = vectors.take(words.take(asked + side, mode="clip"), axis=0)
            beside[at_end] = 0  # there is no word on that side
            elsewhere = self._contexts[1:, columns]
            if len(order):
                sums = np.add.reduceat(beside.take(order, axis=0), begins, axis=0)
                np.subtract(sums.take(group[kept], axis=0), beside[kept], out=elsewhere)
            elsewhere /= others
        self._topics = _sums(vectors, words, opens)
        self._topics /= np.diff(opens)[:, None]

    def __len__(self) -> int:
        return len(self._document)

    def __getitem__(self, batch: Indices | slice) -> NDArray[np.float32]:
        contexts = self._contexts[self._context[batch]]
        topics = self._topics[self._document[batch]]
        return np.concatenate((_FLAGS[self._flags[batch]], contexts, topics), axis=1)

    def shared(self, block: slice) -> list[tuple[NDArray[np.float32], Indices]]:
        """``features[block]`` by what tokens share: for some columns after the others, the
        different rows there (k, c), and which of them each token has (B,); negative: zeros.
        """
        context, document = self._context[block], self._document[block]
        # Both are numbered in the order of the tokens.
        last, first = context.max(), document[0]
        begin = last + 1 - np.count_nonzero(context)
        return [
            (_FLAGS, self._flags[block]),
            (self._contexts[begin : last + 1], context - begin),
            (self._topics[first : document[-1] + 1], document - first),
        ]


def _sums(vectors: NDArray[np.float32], words: Indices, opens: Indices) -> NDArray[np.float32]:
    """(T, D): of each document, words opens[i] … opens[i+1]−1, the sum of its vectors."""
    sums = np.empty((len(opens) - 1, vectors.shape[1]), np.float32)
    first = np.flatnonzero(np.diff(opens[:-1] // _BLOCK, prepend=-1))
    for i, j in pairwise([*first.tolist(), len(sums)]):
        block = vectors.take(words[opens[i] : opens[j]], axis=0)
        np.add.reduceat(block, opens[i:j] - opens[i], axis=0, out=sums[i:j])
    return sums


def same_words(words: Indices, case: Case, starts: Indices, documents: Indices) -> Indices:
    """(N,) equal numbers, from 0 on, for equal words of one document, in lower case or not; letters
    as above.
    """
    distinct, folded = np.unique(case.folded, return_inverse=True)
    same: Indices = folded[words]
    if len(documents) > 2:
        document = np.repeat(np.arange(len(documents) - 1), np.diff(starts[documents]))
        # By word; each one's documents are in order then. 16 bits are sorted faster.
        order = np.argsort(same.astype(np.min_scalar_type(len(distinct))), kind="stable")
        word, document = same[order], document[order]
        opens = np.append(True, (word[1:] != word[:-1]) | (document[1:] != document[:-1]))
        same[order] = np.cumsum(opens) - 1
    return same
