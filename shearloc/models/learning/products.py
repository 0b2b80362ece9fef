"""Products of a layer that learns, a block of columns after the other."""

from numba import njit

from ...kernels import PART, address, call
from ...nets.shorts import LEVELS
from ...nets.sparse import BLOCK


@njit(**PART)
def product(fixed, result, left, right, sizes, out, starts, shift):  # type: ignore[no-untyped-def]
    """sizes = (steps, rows, columns): sums of `steps` pairs' products, to `out` as `result` says (`shorts.multiply`).

    left and out: (address, bytes from row to row); right: address of [block of columns, step, column, 2]; starts: an
    array.
    """
    steps, rows, columns = sizes
    size = 2 if result == LEVELS else 4
    for column in range(0, columns, BLOCK):
        count = min(BLOCK, columns - column)
        there = right + 4 * column * steps, 4 * count
        target, begin = (out[0] + size * column, out[1]), address(starts) + 4 * column
        call(fixed.sparse, (result, *left, *there, steps, rows, count, *target, begin, shift))
