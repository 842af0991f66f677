import itertools

import numpy as np
import pytest

from nerwin.engine.crf import crf_loss, marginals, viterbi
from nerwin.engine.gradcheck import gradcheck
from nerwin.engine.graph import apply

LENGTHS = [3, 1, 4, 2]
STARTS = np.cumsum([0, *LENGTHS])
N, K = int(STARTS[-1]), 3


@pytest.fixture(params=range(3))
def rng(request):
    return np.random.default_rng(request.param)


def random_scores(rng, forbid=True):
    S, A, a, z = (rng.normal(size=shape) for shape in ((N, K), (K, K), K, K))
    if forbid:
        A[0, 2] = a[1] = z[0] = -np.inf
    return S, A, a, z


def all_paths(S, A, a, z):
    """For each sentence, every sequence of labels and its score: by brute force."""
    for first, last in itertools.pairwise(STARTS):
        paths = list(itertools.product(range(K), repeat=last - first))
        scores = [
            a[path[0]]
            + z[path[-1]]
            + sum(S[first + i, k] for i, k in enumerate(path))
            + sum(A[step] for step in itertools.pairwise(path))
            for path in paths
        ]
        yield first, paths, np.array(scores)


def test_the_best_path_is_the_best_of_all_paths(rng):
    scores = random_scores(rng)
    labels = viterbi(*scores, STARTS)
    for first, paths, values in all_paths(*scores):
        best = paths[values.argmax()]
        assert tuple(labels[first : first + len(best)]) == best


def test_the_loss_is_that_of_the_sum_over_all_paths(rng):
    scores = random_scores(rng)
    labels = viterbi(*scores, STARTS)
    expected = 0
    for first, paths, values in all_paths(*scores):
        right = paths.index(tuple(labels[first : first + len(paths[0])]))
        expected += np.log(np.exp(values).sum()) - values[right]
    J, _ = crf_loss(*scores, labels=labels, starts=STARTS)
    assert float(J) == pytest.approx(expected / N)


def test_marginals_are_those_of_all_paths(rng):
    scores = random_scores(rng)
    expected = np.zeros((N, K))
    for first, paths, values in all_paths(*scores):
        p = np.exp(values - values.max())
        for path, share in zip(paths, p / p.sum(), strict=True):
            for i, k in enumerate(path):
                expected[first + i, k] += share
    np.testing.assert_allclose(marginals(*scores, STARTS), expected, atol=1e-12)


def test_every_derivative_is_the_numeric_one(rng):
    labels = rng.integers(K, size=N)
    parameters = dict(zip("SAaz", random_scores(rng, forbid=False), strict=True))

    def loss(nodes):
        return apply(crf_loss, *(nodes[name] for name in "SAaz"), labels=labels, starts=STARTS)

    assert all(check.passed for check in gradcheck(loss, parameters))


def test_large_scores_neither_overflow_nor_lose_float32():
    rng = np.random.default_rng(0)
    S, A, a, z = (x.astype(np.float32) for x in random_scores(rng, forbid=False))
    labels = viterbi(S * 1000, A, a, z, STARTS)
    J, gradients = crf_loss(S * 1000, A, a, z, labels=labels, starts=STARTS)
    assert 0 <= J < 1e-3
    for value, gradient in zip((S, A, a, z), gradients, strict=True):
        made = gradient(np.ones_like(J))
        assert made.dtype == np.float32
        assert made.shape == value.shape
        assert np.isfinite(made).all()


def test_inputs_are_left_alone():
    inputs = random_scores(np.random.default_rng(0))
    for array in inputs:
        array.setflags(write=False)
    labels = viterbi(*inputs, STARTS)
    _, gradients = crf_loss(*inputs, labels=labels, starts=STARTS)
    for gradient in gradients:
        gradient(np.asarray(1.0))
