"""Gradients rounded to int16: as NumPy rounds them, with magnitudes that only grow; sums shifted to parameters."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numba import njit

from shearloc.kernels import address
from shearloc.nets.rounding import copied, rounded, shifted
from shearloc.nets.shorts import COLUMNS

LIMIT = np.float32(255)


@pytest.mark.parametrize("integers", [True, False])
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 40))
@example(0, 3, 8)
@example(0, 3, 7)
@example(0, 3, 33)
def test_gradients(integers: bool, seed: int, rows: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(-(2**20), 2**20, (rows, count + 2)).astype(np.int32 if integers else np.float32)
    values[draw.random(values.shape) < 0.5] = 0
    unit, most = np.float32(2.0**-7), draw.integers(0, 2**13, count).astype(np.float32)
    factors = np.float32(2) ** draw.integers(-9, 2, count).astype(np.float32)
    before, out = most.copy(), np.full((rows, count + 2), 77, np.int16)
    sides = ((array.ctypes.data, array.strides[0]) for array in (values, out))
    given, found = sides
    rounded(integers, given, unit, rows, count, factors.ctypes.data, most.ctypes.data, LIMIT, found)
    real = values[:, :count].astype(np.float32) * unit
    assert np.array_equal(out[:, :count], np.clip(np.rint(real * factors), -LIMIT, LIMIT))
    assert np.array_equal(most, np.maximum(before, np.abs(real).max(0)))
    assert (out[:, count:] == 77).all()


def test_ties_go_to_even_numbers() -> None:
    values, out = np.arange(-8, 8, dtype=np.int32)[None], np.zeros((1, 16), np.int16)
    ones, most = np.ones(16, np.float32), np.zeros(16, np.float32)
    places = ones.ctypes.data, most.ctypes.data, LIMIT
    rounded(True, (values.ctypes.data, 64), np.float32(0.5), 1, 16, *places, (out.ctypes.data, 32))
    assert out[0].tolist() == [-4, -4, -3, -2, -2, -2, -1, 0, 0, 0, 1, 2, 2, 2, 3, 4]


@njit
def shift_columns(sums, shifts, limit, out):  # type: ignore[no-untyped-def]
    copied(address(sums), address(out))
    shifted(address(out), address(out), address(shifts), limit)


@given(st.integers(0, 2**32))
def test_sums_become_parameters(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sums = draw.integers(-(2**30), 2**30, COLUMNS).astype(np.int32)
    shifts, out = draw.integers(1, 20, COLUMNS).astype(np.int32), np.zeros(COLUMNS, np.int32)
    shift_columns(sums, shifts, np.int32(1 << 15), out)
    expected = (sums.astype(np.int64) + (1 << (shifts - 1))) >> shifts
    assert np.array_equal(out, np.clip(expected, -(1 << 15), 1 << 15))
