"""Words grouped by their vectors: spherical k-means (Dhillon and Modha, 2001)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

_ROUNDS = 15
_SAMPLE = 100_000  # the first words are the most frequent: enough to place the centres
_BLOCK = 1_000


def cluster(vectors: NDArray[np.float32], k: int, rng: np.random.Generator) -> Indices:
    """The number of each vector's cluster, 0 … k−1: (V, D) -> (V,).

    Each vector belongs to the centre at the smallest angle, each centre is the direction of its
    vectors' mean.
    """
    sample = vectors[:_SAMPLE]
    lengths = np.linalg.norm(sample, axis=1, keepdims=True)
    sample = sample / np.maximum(lengths, np.finfo(np.float32).tiny)
    k = min(k, len(sample))
    centres = sample[np.sort(rng.permutation(len(sample))[:k])]
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        present, begins = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], begins, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = centres.copy()  # a centre that lost all its vectors stays where it is
        centres[present] = sums / np.maximum(norms, np.finfo(np.float32).tiny)
    return _nearest(vectors, centres)


def _nearest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> Indices:
    """The centre at the smallest angle, whatever a vector's length."""
    columns = np.ascontiguousarray(centres.T)
    blocks = (vectors[i : i + _BLOCK] for i in range(0, len(vectors), _BLOCK))
    return np.concatenate([(block @ columns).argmax(axis=1) for block in blocks])
