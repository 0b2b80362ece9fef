"""Products of int16 that skip zeros: the same sums as NumPy's for every share of zeros, and nothing more written."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.kernels import blank
from shearloc.nets.shorts import ADDED, COLUMNS, GROUP, LEVELS, PLAIN, back_through, blocks, multiply

SHARES = st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0])


def scattered(draw: np.random.Generator, shape: tuple[int, ...], most: int, share: float) -> NDArray[np.int16]:
    """Numbers within +- most, about this share of them not 0."""
    values = draw.integers(-most, most + 1, shape) * (draw.random(shape) < share)
    return values.astype(np.int16)


def product(
    result: int, left: NDArray[np.int16], right: NDArray[np.int16], starts: NDArray[np.int32], shift: int = 8
) -> NDArray[np.int64]:
    """left [n, 2 k] @ right [2 k, columns], as `result` says. Behind each row of the left side other numbers follow."""
    pairs, columns = len(right) // 2, right.shape[1]
    rows = blank((len(left) + 1, 2 * (pairs + GROUP)), np.int16)
    rows[:-1] = 99
    rows[:-1, : 2 * pairs] = left
    out = np.full((len(left), columns + 8), 77, np.int16 if result == LEVELS else np.int32)
    out[:, :columns] = 5
    packed = blocks(right, columns)
    source, there, place, begin = (array.ctypes.data for array in (rows, packed, out, starts))
    multiply(result, source, rows.strides[0], there, pairs, len(left), columns, place, out.strides[0], begin, shift)
    assert (out[:, columns:] == 77).all()
    return out[:, :columns].astype(np.int64)


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 200), st.integers(1, 5), SHARES)
@example(0, 3, GROUP, 2, 0.3)
@example(0, 3, GROUP + 1, 1, 0.3)
@example(0, 3, 2 * GROUP, 3, 0.02)
def test_the_same_sums(seed: int, rows: int, pairs: int, wide: int, share: float) -> None:
    draw, columns = np.random.default_rng(seed), COLUMNS * wide
    left, right = scattered(draw, (rows, 2 * pairs), 255, share), scattered(draw, (2 * pairs, columns), 300, 1)
    starts = draw.integers(-1000, 1000, columns).astype(np.int32)
    sums = left.astype(np.int64) @ right.astype(np.int64)
    assert np.array_equal(product(PLAIN, left, right, starts), sums + starts)
    assert np.array_equal(product(ADDED, left, right, starts), sums + 5)
    for shift in (1, 8, 20):
        levels = np.clip((sums + starts + (1 << (shift - 1))) >> shift, 0, 255)
        assert np.array_equal(product(LEVELS, left, right, starts, shift), levels)


@pytest.mark.parametrize("sign", [1, -1])
def test_largest_pairs(sign: int) -> None:
    left, right = np.full((7, 2), 32767, np.int16), np.full((2, COLUMNS), sign * 32767, np.int16)
    assert (product(PLAIN, left, right, np.zeros(COLUMNS, np.int32)) == sign * 2 * 32767**2).all()


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), SHARES)
@example(0, 2, 2, 3, 1.0)
def test_back_through_levels_that_are_not_cut_off(seed: int, rows: int, wide: int, deep: int, share: float) -> None:
    draw, width, columns = np.random.default_rng(seed), COLUMNS * wide, COLUMNS * deep
    gradients, weights = scattered(draw, (rows, columns), 255, 1), scattered(draw, (width, columns), 900, 1)
    levels = blank((rows + 1, width + 2 * GROUP), np.int16)
    levels[...] = 100  # those behind a row are not looked at
    levels[:rows, :width] = draw.choice([0, 1, 254, 255], (rows, width), p=[1 - share, share / 3, share / 3, share / 3])
    products = np.full((rows, width + 4), 77, np.int32)
    sides = ((array.ctypes.data, array.strides[0]) for array in (gradients, levels, products))
    left, seen, out = sides
    back_through(left, weights.ctypes.data, seen, rows, width, columns, out)
    expected = gradients.astype(np.int64) @ weights.astype(np.int64).T
    found = levels[:rows, :width]
    assert np.array_equal(products[:, :width], np.where((found > 0) & (found < 255), expected, 0))
    assert (products[:, width:] == 77).all()
