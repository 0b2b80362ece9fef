"""Transposes of int16: those of NumPy, for rows that are no multiple of eight, too."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shearloc.nets.transpose import SIDE, transpose


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
