"""Backwards through a network that learns: from the parameters' gradients to sums for all weights.

Gradients are rounded to integers by a power of two for each output, which its largest earlier gradients chose; what is
larger is cut off. All sums are exact, so nothing depends on how pixels are shared among threads.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ...kernels import PART, Apart, address, call
from ...nets.rounding import rounded
from ...nets.shorts import ADDED, PLAIN, back_through
from ...nets.transpose import pair_up, transpose
from .model import GRADIENT_LIMIT, ONE
from .state import BACKWARD, COLS, COLUMN, EXPERT, FIXED, LEVEL, PLACE, ROOM, SCALES, WEIGHTS, WIDTH


class Pieces(NamedTuple):
    """Where the kernels are that `backwards` calls many times."""

    rounded: int
    pair_up: int
    transpose: int
    fill: int
    sum_rows: int
    back_through: int


def pieces() -> Pieces:
    """Their addresses."""
    shorts, words, real = np.zeros((1, 1), np.int16), np.zeros((1, 1), np.int32), np.float32(0)
    return Pieces(
        rounded.at(True, (0, 0), real, 0, 0, 0, 0, real, (0, 0)),
        pair_up.at(*[0] * 6),
        transpose.at(*[0] * 6),
        fill.at(shorts, 0, 0),
        sum_rows.at(shorts, 0, 0, words, 0, 0, True),
        back_through.at((0, 0), 0, (0, 0), 0, 0, 0, (0, 0)),
    )


@Apart
def fill(turned, row, n):  # type: ignore[no-untyped-def]
    """The row of n inputs that are always ONE, and a 0 after an odd n."""
    for pixel in range(n):
        turned[row, pixel] = ONE
    if n % 2:
        turned[row, n] = 0


@Apart
def sum_rows(turned, rows, n, sums, thread, begin, anew):  # type: ignore[no-untyped-def]
    """Adds rows of n gradients, times ONE, to sums[thread] from `begin` on; `anew`, to 0."""
    for row in range(rows):
        total = np.int32(0)
        for pixel in range(np.uint64(n)):
            total += np.int32(turned[row, pixel])
        before = np.int32(0) if anew else sums[thread, begin + row]
        sums[thread, begin + row] = before + np.int32(ONE) * total


@Apart
def backwards(expert, pieces, n, thread, anew):  # type: ignore[no-untyped-def]
    """From room.gradients[:n] of the parameters to a thread's sums of all weights' gradients.

    `anew`: the sums, and the largest gradients, begin at 0.
    """
    one = EXPERT(expert)
    fixed, weights, scales, room = FIXED(one.fixed), WEIGHTS(one.weights), SCALES(one.scales), ROOM(one.room)
    plan, last = fixed.plan, fixed.plan.shape[0] - 1
    if anew:
        weights.seen[thread] = 0
    if n == 0:
        if anew:
            weights.sums[thread] = 0
        return
    column, count = plan[last, COLUMN], fixed.parameters
    gradients = address(room.gradients), 4 * room.gradients.shape[1]
    _round(pieces, weights, scales, room, False, gradients, np.float32(1), n, column, count, thread)
    for c in range(1, fixed.shifts.shape[0]):
        _through_head(pieces, fixed, weights, room, n, c)
        column, count = column + count, fixed.units
        products = address(room.products), 4 * room.products.shape[1]
        _round(pieces, weights, scales, room, True, products, scales.back[last], n, column, count, thread)
    for k in range(last, -1, -1):
        _sum_up(pieces, fixed, weights, room, n, k, thread, anew)
        if k:
            _through_layer(pieces, fixed, weights, room, n, k)
            begin, products = plan[k - 1, COLUMN], (address(room.products), 4 * room.products.shape[1])
            _round(pieces, weights, scales, room, True, products, scales.back[k], n, begin, plan[k, WIDTH], thread)


@njit(**PART)
def _round(pieces, weights, scales, room, integers, values, unit, n, column, count, thread):  # type: ignore[no-untyped-def]
    """Rounds n rows of gradients (`rounding.rounded`) into room.rounded, from a column on."""
    factors = address(scales.scales) + 4 * column
    most = address(weights.seen) + 4 * (thread * weights.seen.shape[1] + column)
    out = address(room.rounded) + 2 * column, 2 * room.rounded.shape[1]
    call(pieces.rounded, (integers, values, unit, n, count, factors, most, np.float32(GRADIENT_LIMIT), out))


@njit(**PART)
def _sum_up(pieces, fixed, weights, room, n, k, thread, anew):  # type: ignore[no-untyped-def]
    """Adds n pixels' gradients of layer k's weights to the thread's sums.

    By [output, input], and then the biases': most gradients are 0, those of levels that are cut off. The last layer's
    are not, but most of its levels are: by [input, output].
    """
    plan = fixed.plan
    is_last, width, cols, pairs = k == plan.shape[0] - 1, plan[k, WIDTH], plan[k, COLS], (n + 1) // 2
    stride, turned = 2 * room.turned.shape[1], address(room.turned)
    levels = address(room.levels) + 2 * plan[k, LEVEL], 2 * room.levels.shape[1]
    gradients = address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1]
    left, right, rows, columns = (levels, gradients, width, cols) if is_last else (gradients, levels, cols, width)
    call(pieces.transpose, (*left, n, rows, turned, stride))
    call(pieces.pair_up, (*right, n, columns, address(room.zeros), address(room.pairs)))
    begin = plan[k, PLACE]
    sums, result = address(weights.sums) + 4 * (thread * weights.sums.shape[1] + begin), PLAIN if anew else ADDED
    if is_last:
        call(pieces.fill, (room.turned, width, n))
        rows = width + 1
    else:
        call(pieces.sum_rows, (room.turned, cols, n, weights.sums, thread, begin + cols * width, anew))
    target = sums, 4 * columns, address(room.zeros), 0
    call(fixed.multiply, (np.int64(result), turned, stride, address(room.pairs), pairs, rows, columns, *target))


@njit(**PART)
def _through_head(pieces, fixed, weights, room, n, c):  # type: ignore[no-untyped-def]
    """Gradients of the units of channel c's head: room.products[:n]."""
    # The parameters behind the channel's own belong to others; their weights are 0 here.
    first, wide = fixed.components * (3 * c + c * (c - 1) // 2), weights.heads.shape[2]
    left = address(room.rounded) + 2 * (fixed.plan[-1, COLUMN] + first), 2 * room.rounded.shape[1]
    right = address(weights.heads) + 2 * (c - 1) * fixed.units * wide
    stride = 2 * room.units.shape[2]
    levels = address(room.units) + (c - 1) * stride * room.units.shape[1], stride
    products = address(room.products), 4 * room.products.shape[1]
    call(pieces.back_through, (left, right, levels, n, fixed.units, wide, products))


@njit(**PART)
def _through_layer(pieces, fixed, weights, room, n, k):  # type: ignore[no-untyped-def]
    """Gradients of the inputs of layer k: room.products[:n]."""
    plan = fixed.plan
    left = address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1]
    right = address(weights.backward) + 2 * plan[k, BACKWARD]
    levels = address(room.levels) + 2 * plan[k, LEVEL], 2 * room.levels.shape[1]
    products = address(room.products), 4 * room.products.shape[1]
    call(pieces.back_through, (left, right, levels, n, plan[k, WIDTH], plan[k, COLS], products))
