from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import RICH, SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin.batches import NEIGHBOURS, Batches, shuffled
from nerwin.config import load_config
from nerwin.text.tokens import runs
from nerwin.text.vocabulary import PADDING, UNKNOWN
from nerwin.training import Run


@pytest.fixture
def run(tmp_path):
    return Run.start(load_config(overrides=[*SMALL, *RICH]), tmp_path / "run")


def all_batches(run, loss="softmax", **training):
    model = replace(run.model, options=replace(run.model.options, loss=loss))
    options = replace(run.config.training, **training)
    batches = Batches(model, run.splits["train"], options)
    return batches, list(batches.epoch(np.random.default_rng(0)))


def tokens_in_order(gold):
    sentences = shuffled(np.arange(len(gold.starts) - 1), np.random.default_rng(0))
    return runs(gold.starts, sentences)[0]


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True), st.integers(0, 2**32))
def test_shuffled_keeps_neighbours_together(sentences, seed):
    rng = np.random.default_rng(seed)
    found = shuffled(np.array(sentences), rng).tolist()
    assert sorted(found) == sorted(sentences)
    follows = dict(pairwise(sentences))
    stretches = 1 + sum(follows.get(a) != b for a, b in pairwise(found))
    assert stretches <= 1 + (len(sentences) + NEIGHBOURS - 2) // NEIGHBOURS


def test_shuffled_brings_every_sentence_to_every_place_and_beside_others():
    rng = np.random.default_rng(0)
    orders = np.array([shuffled(np.arange(9), rng) for _ in range(2000)])
    assert all(set(column.tolist()) == set(range(9)) for column in orders.T)
    for a in range(8):  # three of four times as a block's neighbours, and sometimes by chance
        beside = ((orders[:, :-1] == a) & (orders[:, 1:] == a + 1)).any(axis=1).mean()
        assert 0.75 < beside < 0.95


@pytest.mark.parametrize("loss", ["softmax", "crf"])
def test_an_epoch_has_every_window_once(run, loss):
    quiet = {"word_dropout": 0.0, "document_dropout": 0.0}
    batches, made = all_batches(run, loss, **quiet)
    seen = np.concatenate([batch.inputs.rows[batch.inputs.windows] for batch in made])
    expected = batches.windows.rows[batches.windows[:]]
    assert Counter(map(bytes, seen)) == Counter(map(bytes, expected))
    labels = np.concatenate([batch.labels for batch in made])
    assert Counter(labels.tolist()) == Counter(batches.labels.tolist())


@pytest.mark.parametrize("size", [1, 64, 100, 2048, 2100, 10_000])
def test_a_batch_is_of_so_many_windows_in_sentences_that_are_shuffled(run, size):
    batches, made = all_batches(run, batch_size=size, word_dropout=0.0, document_dropout=0.0)
    sizes = [len(batch.labels) for batch in made]
    assert set(sizes[:-1]) <= {size}
    assert 0 < sizes[-1] <= size
    assert sum(sizes) == len(batches) > 2048  # more than are looked up at once
    train = run.splits["train"]
    in_order = tokens_in_order(train)
    labels = np.concatenate([batch.labels for batch in made])
    np.testing.assert_array_equal(labels, batches.labels[in_order])
    seen = np.concatenate([batch.inputs.rows[batch.inputs.windows] for batch in made])
    np.testing.assert_array_equal(seen, batches.windows.rows[batches.windows[in_order]])
    dense = np.concatenate([batch.inputs.dense for batch in made])
    np.testing.assert_array_equal(dense, batches.dense[in_order])


def test_batches_for_a_crf_are_whole_sentences_of_about_the_size(run):
    batches, made = all_batches(run, "crf", batch_size=64)
    lengths = []
    for batch in made:
        assert batch.starts[0] == 0
        assert batch.starts[-1] == len(batch.labels)
        lengths += np.diff(batch.starts).tolist()
    expected = np.diff(run.splits["train"].starts)
    assert Counter(lengths) == Counter(expected.tolist())
    assert max(len(batch.labels) for batch in made) <= 64 + 2 * expected.max()
    assert abs(len(made) - len(batches) / 64) <= 2


def test_word_dropout_makes_words_unknown_and_nothing_else(run):
    _, plain = all_batches(run, word_dropout=0.0, document_dropout=0.0)
    _, noisy = all_batches(run, word_dropout=0.3, document_dropout=0.0)
    changed = total = 0
    for a, b in zip(plain[:1], noisy[:1], strict=True):
        quiet, loud = (x.inputs.rows[x.inputs.windows] for x in (a, b))
        differs = quiet != loud
        assert not differs[..., 1:].any()
        assert (loud[differs] == UNKNOWN).all()
        words = (quiet[..., 0] != PADDING) & (quiet[..., 0] != UNKNOWN)
        changed, total = changed + differs.sum(), total + words.sum()
    assert 0.15 < changed / total < 0.45


def test_document_dropout_shows_some_words_only_their_sentence(run):
    train = run.splits["train"]
    batches, _ = all_batches(run, document_dropout=0.5)
    alone = run.model.dense(train.words, train.starts, train.alone().documents)[:]
    whole = run.model.dense(train.words, train.starts, train.documents)[:]
    order = tokens_in_order(train)
    batch = next(batches.epoch(np.random.default_rng(0)))
    mine = order[: len(batch.labels)]
    is_alone = (batch.inputs.dense == alone[mine]).all(axis=1)
    is_whole = (batch.inputs.dense == whole[mine]).all(axis=1)
    assert (is_alone | is_whole).all()
    assert is_alone.any()
    assert (~is_alone).any()
