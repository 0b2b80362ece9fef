"""Matrices of int16 laid out for products: as NumPy would, for every number of rows."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shearloc.nets.shorts import COLUMNS, blocks
from shearloc.nets.transpose import SIDE, pair_up, transpose


@given(st.integers(1, 40), st.integers(1, 6))
@example(8, 1)
@example(9, 2)
def test_the_same_as_numpy(rows: int, tiles: int) -> None:
    columns, behind = SIDE * tiles, -(-rows // SIDE) * SIDE
    source = np.random.default_rng(rows).integers(-(2**15), 2**15, (behind, columns + 3)).astype(np.int16)
    target = np.full((columns, behind + 5), 77, np.int16)
    transpose(source.ctypes.data, source.strides[0], rows, columns, target.ctypes.data, target.strides[0])
    assert np.array_equal(target[:, :rows], source[:rows, :columns].T)
    assert (target[:, behind:] == 77).all()
    assert rows % 2 == 0 or (target[:, rows] == 0).all()


@given(st.integers(1, 9), st.integers(1, 5))
def test_pairs_of_rows(rows: int, wide: int) -> None:
    columns = COLUMNS * wide
    source = np.random.default_rng(rows).integers(-(2**15), 2**15, (rows + 1, columns + 3)).astype(np.int16)
    expected = blocks(source[:rows, :columns], columns)
    zeros, target = np.zeros(columns, np.int16), np.full(expected.size + 5, 77, np.int16)
    pair_up(source.ctypes.data, source.strides[0], rows, columns, zeros.ctypes.data, target.ctypes.data)
    assert np.array_equal(target[:-5], expected)
    assert (target[-5:] == 77).all()
