import numpy as np

from nerwin.text.clusters import cluster


def test_directions_that_lie_together_are_one_cluster():
    rng = np.random.default_rng(0)
    centres = np.eye(4)[rng.permutation(np.repeat(range(4), 25))]
    lengths = rng.uniform(0.5, 5, (100, 1))
    vectors = (lengths * (centres + rng.normal(0, 0.05, centres.shape))).astype(np.float32)
    found = cluster(vectors, 8, rng)
    # More centres than groups may cut a group, but never join two.
    for k in range(8):
        assert len(np.unique(centres[found == k].argmax(axis=1))) <= 1


def test_every_vector_is_with_its_nearest_centre_and_a_rerun_gives_the_same():
    vectors = np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32)
    found = cluster(vectors, 7, np.random.default_rng(2))
    assert np.array_equal(found, cluster(vectors, 7, np.random.default_rng(2)))
    assert found.shape == (300,)
    assert set(found.tolist()) <= set(range(7))


def test_few_and_empty_vectors():
    vectors = np.zeros((3, 2), np.float32)
    assert len(cluster(vectors, 100, np.random.default_rng(0))) == 3
