import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nerwin.engine.rowgrad import RowGrad


@st.composite
def tables(draw, count=1):
    """The size of a table (n_rows, D), and ``count`` pairs of rows (N,) and values (N, D)."""
    n_rows, D = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pairs = []
    for _ in range(count):
        N = draw(st.integers(0, 25))
        rows = draw(st.lists(st.integers(0, n_rows - 1), min_size=N, max_size=N))
        # Whole numbers, so that sums are exact in any order.
        pairs.append((np.array(rows, np.int32), rng.integers(-9, 10, (N, D)).astype(float)))
    return (n_rows, D), pairs


def summed(shape, rows, values):
    table = np.zeros(shape)
    np.add.at(table, rows, values)
    return table


@given(tables())
def test_scatter_is_add_at(example):
    shape, [(rows, values)] = example
    gradient = RowGrad.scatter(rows, values, shape[0])
    np.testing.assert_array_equal(gradient.dense(), summed(shape, rows, values))
    assert gradient.shape == shape


@given(tables(), st.data())
def test_a_value_of_several_rows_goes_to_each(example, data):
    shape, [(rows, values)] = example
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=len(values)).map(sorted))
    starts = np.array([0, *cuts, len(rows)])
    values = np.resize(values, (len(cuts) + 1, shape[1]))
    each = np.repeat(values, np.diff(starts), axis=0)
    gradient = RowGrad.scatter(rows, values, shape[0], starts)
    np.testing.assert_array_equal(gradient.dense(), summed(shape, rows, each))


@given(tables())
def test_scatter_keeps_each_touched_row_once_in_order(example):
    shape, [(rows, values)] = example
    gradient = RowGrad.scatter(rows, values, shape[0])
    assert gradient.rows.tolist() == sorted(set(rows.tolist()))
    assert gradient.values.shape == (len(gradient.rows), shape[1])


@given(tables(count=2))
def test_the_sum_of_two_is_the_sum_of_their_tables_and_stays_sparse(example):
    shape, pairs = example
    a, b = (RowGrad.scatter(rows, values, shape[0]) for rows, values in pairs)
    added = a + b
    assert isinstance(added, RowGrad)
    assert added.rows.tolist() == sorted({*a.rows.tolist(), *b.rows.tolist()})
    np.testing.assert_array_equal(added.dense(), a.dense() + b.dense())


@given(tables())
def test_the_sum_with_an_array_is_an_array_from_both_sides(example):
    shape, [(rows, values)] = example
    gradient = RowGrad.scatter(rows, values, shape[0])
    array = np.arange(float(shape[0] * shape[1])).reshape(shape)
    array.flags.writeable = False
    expected = summed(shape, rows, values) + array
    for added in (gradient + array, array + gradient):
        assert isinstance(added, np.ndarray)
        assert added.dtype == float
        np.testing.assert_array_equal(added, expected)


def test_adding_changes_neither_of_the_two():
    a = RowGrad.scatter(np.array([1, 1]), np.ones((2, 2)), 4)
    b = RowGrad.scatter(np.array([1, 3]), np.ones((2, 2)), 4)
    before = a.dense(), b.dense()
    assert isinstance(a + b, RowGrad)
    np.testing.assert_array_equal(a.dense(), before[0])
    np.testing.assert_array_equal(b.dense(), before[1])


def test_scatter_writes_into_neither_rows_nor_values_and_needs_no_contiguous_ones():
    values = np.arange(24.0).reshape(4, 6)[::2, ::3]
    rows = np.array([2, 9, 2, 9])[:2]
    values.flags.writeable = rows.flags.writeable = False
    gradient = RowGrad.scatter(rows, values, 10)
    np.testing.assert_array_equal(gradient.dense()[[2, 9]], values)


def test_float32_stays_float32_through_scatter_sum_and_dense():
    gradient = RowGrad.scatter(np.array([0, 0, 2]), np.ones((3, 2), np.float32), 3)
    both = gradient + gradient
    assert gradient.values.dtype == both.values.dtype == both.dense().dtype == np.float32
    assert (gradient + np.ones((3, 2), np.float32)).dtype == np.float32


def test_nothing_of_the_tables_size_is_made():
    gradient = RowGrad.scatter(np.array([10**12, 3]), np.ones((2, 2)), 10**13)
    assert (gradient + gradient).shape == (10**13, 2)
