"""The int16 product: exact for every shape, up to the ends of int16, with all three kinds of result."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.nets.shorts import ADDED, COLUMNS, LEVELS, PLAIN, multiply


def product(
    result: int, left: NDArray[np.int16], right: NDArray[np.int16], starts: NDArray[np.int32], shift: int = 8
) -> NDArray[np.int64]:
    """left [n, 2 k] @ right [2 k, columns], as `result` says; left's pairs lie in rows, right's side by side."""
    pairs, columns = len(right) // 2, right.shape[1]
    packed = np.ascontiguousarray(right.reshape(pairs, 2, columns).swapaxes(1, 2))
    out = np.full((len(left), columns + 8), 77, np.int16 if result == LEVELS else np.int32)
    out[:, :columns] = 5
    source, there, place, begin = (array.ctypes.data for array in (left, packed, out, starts))
    sizes = 2 * left.shape[1], 4, there, 4 * columns, pairs, len(left), columns
    multiply(result, source, *sizes, place, out.strides[0], begin, shift)
    assert (out[:, columns:] == 77).all()
    return out[:, :columns].astype(np.int64)


@given(
    st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 40), st.integers(1, 4), st.sampled_from([3, 255, 9999])
)
@example(0, 6, 1, 1, 3)
@example(0, 7, 3, 2, 9999)
def test_exact(seed: int, rows: int, pairs: int, tiles: int, most: int) -> None:
    draw, columns = np.random.default_rng(seed), COLUMNS * tiles
    left = draw.integers(-most, most + 1, (rows, 2 * pairs)).astype(np.int16)
    right = draw.integers(-300, 301, (2 * pairs, columns)).astype(np.int16)
    starts = draw.integers(-1000, 1000, columns).astype(np.int32)
    sums = left.astype(np.int64) @ right.astype(np.int64)
    assert np.array_equal(product(PLAIN, left, right, starts), sums + starts)
    assert np.array_equal(product(ADDED, left, right, starts), sums + 5)
    for shift in (1, 8, 20):
        levels = np.clip((sums + starts + (1 << (shift - 1))) >> shift, 0, 255)
        assert np.array_equal(product(LEVELS, left, right, starts, shift), levels)


def test_largest_pairs() -> None:
    """32767 squared twice is the most that a pair may give."""
    for sign in (1, -1):
        left, right = np.full((7, 2), 32767, np.int16), np.full((2, COLUMNS), sign * 32767, np.int16)
        assert (product(PLAIN, left, right, np.zeros(COLUMNS, np.int32)) == sign * 2 * 32767**2).all()
