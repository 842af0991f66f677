from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text.windows import Windows

PADDING = 1


def naive(sentences: list[list[int]], size: int) -> list[list[int]]:
    windows = []
    for sentence in sentences:
        for i in range(len(sentence)):
            places = range(i - size, i + size + 1)
            windows.append([sentence[j] if 0 <= j < len(sentence) else PADDING for j in places])
    return windows


class OneTable(Windows):
    """Windows of the rows of a single table, one word a row."""

    def __getitem__(self, batch):
        return self.rows[super().__getitem__(batch), 0]


def make(sentences: list[list[int]], size: int) -> Windows:
    numbers = np.array(list(chain(*sentences)), np.intp)
    rows = np.arange(100, dtype=np.int32)[:, None]
    return OneTable(numbers, rows, np.cumsum([0, *map(len, sentences)]), size, PADDING)


@given(st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=6), st.integers(0, 4), st.data())
def test_windows_are_those_of_a_loop(sentences: list[list[int]], size: int, data) -> None:
    windows = make(sentences, size)
    expected = np.array(naive(sentences, size), np.int32).reshape(-1, 2 * size + 1)
    assert len(windows) == len(expected)
    np.testing.assert_array_equal(windows[:], expected)
    if len(expected):
        batch = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=5))
        picked = windows[np.array(batch, int)]
        assert picked.dtype == np.int32
        np.testing.assert_array_equal(picked, expected[batch])


def test_a_run_of_tokens_has_the_windows_of_their_numbers() -> None:
    windows = make([[7, 8, 7], [9], [8, 2]], 1)
    np.testing.assert_array_equal(windows[2:5], windows[np.array([2, 3, 4])])


def test_rows_of_all_tables_come_with_a_word() -> None:
    rows = np.array([[0, 0], [1, 1], [5, 4], [5, 3]], np.int32)
    windows = Windows(np.array([3, 2, 3]), rows, np.array([0, 2, 3]), 1, PADDING)
    expected = [[[5, 3], [5, 4], [1, 1]], [[1, 1], [5, 3], [1, 1]]]
    assert windows.rows[windows[1:]].tolist() == expected


def test_words_that_are_met_again_most_frequent_first() -> None:
    windows = make([[7, 8, 7], [9, 7], [8, 2]], 0)
    assert windows.often(9).tolist() == [7, 8]
    assert windows.often(1).tolist() == [7]
    assert make([], 2).often(9).tolist() == [PADDING]
    assert make([], 0).often(9).tolist() == []


def test_a_sentence_shorter_than_the_window_sees_no_other_sentence() -> None:
    windows = make([[7], [8, 9]], 2)
    assert windows[:].tolist() == [[1, 1, 7, 1, 1], [1, 1, 8, 9, 1], [1, 8, 9, 1, 1]]


def test_without_words_on_the_sides_a_window_is_the_word() -> None:
    assert make([[7], [8, 9]], 0)[1:].tolist() == [[8], [9]]


def test_no_tokens_have_no_windows() -> None:
    assert make([], 2)[:].shape == (0, 5)


def test_what_is_given_is_not_shared() -> None:
    windows = make([[7, 8]], 1)
    windows[:][0, 1] = 99
    assert windows[:].tolist() == [[1, 7, 8], [7, 8, 1]]
