"""The gradient of a table of which a batch touched only a few rows.

A step of training looks up a few hundred of a table's rows. Its gradient is zero in all the
others, so it is kept as the touched rows and their values: nothing of the table's size is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nerwin.engine.kernels import numbered, sum_by_row
from nerwin.engine.types import Array, Indices


@dataclass(frozen=True, slots=True)
class RowGrad:
    """A gradient of shape (n_rows, D) that is zero outside ``rows``.

    rows    (k,) distinct row numbers, ascending
    values  (k, D) the gradient in those rows
    n_rows  the number of rows of the table
    """

    rows: Indices
    values: Array
    n_rows: int

    # NumPy must leave `array + row_grad` to __radd__ instead of adding element by element.
    __array_ufunc__ = None

    @classmethod
    def scatter(
        cls, rows: Indices, values: Array, n_rows: int, starts: Indices | None = None
    ) -> RowGrad:
        """Sum the rows of ``values`` (N, D) that belong to the same row of the table.

        rows    (N,) the row of the table that each value belongs to
        starts  (N+1,) if value i belongs to several, rows[starts[i]] … rows[starts[i+1]−1]
        """
        if starts is None and (rows[1:] > rows[:-1]).all():
            return cls(rows, values, n_rows)  # each row once, and in order
        distinct, where = _distinct(rows, n_rows)
        return cls(distinct, sum_by_row(where, values, len(distinct), starts), n_rows)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the table, which is the shape of its gradient."""
        return self.n_rows, self.values.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the values."""
        return self.values.dtype

    def dense(self) -> Array:
        """The same gradient as an array of the table's shape. For checks and small tables."""
        array = np.zeros(self.shape, dtype=self.values.dtype)
        array[self.rows] = self.values
        return array

    def __add__(self, other: RowGrad | Array) -> RowGrad | Array:
        """Sum of two branches that lead to the same table."""
        if isinstance(other, RowGrad):
            rows = np.concatenate((self.rows, other.rows))
            values = np.concatenate((self.values, other.values))
            return RowGrad.scatter(rows, values, self.n_rows)
        return self.dense() + other

    __radd__ = __add__


def _distinct(rows: Indices, n_rows: int) -> tuple[Indices, Indices]:
    """The distinct numbers, and the place of each among them: ``np.unique``, and faster unless the
    table is far larger.
    """
    if n_rows > 16 * len(rows):
        return np.unique(rows, return_inverse=True)
    return numbered(rows, np.empty(n_rows, np.intp))
