"""Backwards through a network that learns: from the parameters' gradients to sums for all weights.

Gradients are rounded to integers by a power of two for each output, which its largest earlier gradients chose; what is
larger is cut off. All sums are exact, so nothing depends on how pixels are shared among threads.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ...kernels import PART, Apart, address, call
from ...nets.rounding import rounded
from ...nets.shorts import ADDED, PLAIN
from ...nets.sparse import BLOCK, back_through
from ...nets.transpose import transpose
from .model import GRADIENT_LIMIT, ONE
from .products import product
from .state import BACKWARD, COLS, COLUMN, EXPERT, FIXED, LEVEL, PLACE, ROOM, SCALES, WEIGHTS, WIDTH


class Pieces(NamedTuple):
    """Where the kernels are that `backwards` calls many times."""

    rounded: int
    alive: int
    pair_up: int
    transpose: int
    back_through: int


def pieces() -> Pieces:
    """Their addresses."""
    shorts, words, real = np.zeros((1, 1), np.int16), np.zeros((1, 1), np.int32), np.float32(0)
    return Pieces(
        rounded.at(True, (0, 0), real, 0, 0, 0, 0, real, (0, 0)),
        alive.at(words, shorts, 0, 0),
        pair_up.at(shorts, 0, 0, 0, np.zeros(1, np.int16), 0),
        transpose.at(*[0] * 6),
        back_through.at((0, 0), 0, (0, 0), 0, 0, 0, (0, 0)),
    )


@Apart
def alive(products, levels, n, count):  # type: ignore[no-untyped-def]
    """Of n rows of `count` products with levels' weights, those of levels that were cut off at 0 or 255 become 0."""
    for i in range(np.uint64(n)):
        there, found = levels[i], products[i]
        for j in range(np.uint64(count)):
            level = np.int32(there[j])
            found[j] = found[j] if (level > 0) & (level < 255) else np.int32(0)


@Apart
def pair_up(rows, n, begin, count, out, place):  # type: ignore[no-untyped-def]
    """Columns begin .. begin + count - 1 of two rows side by side, in `out` from `place`, as [pair, count, 2]; after an
    odd n a row of 0."""
    for pair in range((n + 1) // 2):
        here, upper = out[place + 2 * count * pair :], rows[2 * pair, begin : begin + count]
        lower = rows[min(2 * pair + 1, n - 1), begin : begin + count]
        there = np.int16(1 if 2 * pair + 1 < n else 0)
        for j in range(np.uint64(count)):
            here[np.uint64(2) * j] = upper[j]
            here[np.uint64(2) * j + np.uint64(1)] = np.int16(lower[j] * there)


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
        if k == last:
            _sum_last_layer(pieces, fixed, weights, room, n, thread, anew)
        else:
            _sum_layer(pieces, fixed, weights, room, n, k, thread, anew)
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
def _sum_last_layer(pieces, fixed, weights, room, n, thread, anew):  # type: ignore[no-untyped-def]
    """Adds n pixels' gradients of the last layer's weights to the thread's sums, [input, output]."""
    plan = fixed.plan
    last = plan.shape[0] - 1
    width, cols, pairs = plan[last, WIDTH], plan[last, COLS], (n + 1) // 2
    stride = 2 * room.turned.shape[1]
    levels = address(room.levels) + 2 * plan[last, LEVEL], 2 * room.levels.shape[1]
    call(pieces.transpose, (*levels, n, width, address(room.turned), stride))
    for pixel in range(n):
        room.turned[width, pixel] = np.int16(ONE)
    if n % 2:
        room.turned[: width + 1, n] = 0
    _pair_up(pieces, room.rounded, n, plan[last, COLUMN], cols, room.pairs)
    sums = address(weights.sums) + 4 * (thread * weights.sums.shape[1] + plan[last, PLACE])
    result, left = np.int64(PLAIN if anew else ADDED), (address(room.turned), stride)
    product(fixed, result, left, address(room.pairs), (pairs, width + 1, cols), (sums, 4 * cols), room.zeros, 0)


@njit(**PART)
def _sum_layer(pieces, fixed, weights, room, n, k, thread, anew):  # type: ignore[no-untyped-def]
    """Adds n pixels' gradients of layer k's weights to the thread's sums, [output, input], and of its biases, behind.

    Most gradients are 0: those of levels that are cut off.
    """
    plan = fixed.plan
    width, cols, pairs = plan[k, WIDTH], plan[k, COLS], (n + 1) // 2
    stride = 2 * room.turned.shape[1]
    gradients = address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1]
    call(pieces.transpose, (*gradients, n, cols, address(room.turned), stride))
    if n % 2:
        room.turned[:cols, n] = 0
    _pair_up(pieces, room.levels, n, plan[k, LEVEL], width, room.pairs)
    begin = plan[k, PLACE]
    sums = address(weights.sums) + 4 * (thread * weights.sums.shape[1] + begin)
    result, left = np.int64(PLAIN if anew else ADDED), (address(room.turned), stride)
    product(fixed, result, left, address(room.pairs), (pairs, cols, width), (sums, 4 * width), room.zeros, 0)
    biases = weights.sums[thread, begin + cols * width : begin + cols * (width + 1)]
    for j in range(cols):
        total = np.int32(0)
        for pixel in range(np.uint64(n)):
            total += np.int32(room.turned[j, pixel])
        biases[j] = np.int32(ONE) * total + (np.int32(0) if anew else biases[j])


@njit(**PART)
def _pair_up(pieces, rows, n, begin, columns, out):  # type: ignore[no-untyped-def]
    """`pair_up` of all columns, as [block of columns, pair, column, 2]."""
    for column in range(0, columns, BLOCK):
        count = min(BLOCK, columns - column)
        call(pieces.pair_up, (rows, n, begin + column, count, out, column * (n + n % 2)))


@njit(**PART)
def _through_head(pieces, fixed, weights, room, n, c):  # type: ignore[no-untyped-def]
    """Gradients of the units of channel c's head: room.products[:n]."""
    components, units, last = fixed.components, fixed.units, fixed.plan.shape[0] - 1
    column, pairs, wide = fixed.plan[last, COLUMN], weights.heads.shape[1], weights.heads.shape[2]
    first, count = components * (3 * c + c * (c - 1) // 2), (3 + c) * components
    # The parameter after an odd number belongs to another channel; its weights are 0 here.
    call(
        fixed.multiply,
        (
            *(PLAIN, address(room.rounded) + 2 * (column + first), 2 * room.rounded.shape[1], 4),
            *(address(weights.heads) + 4 * (c - 1) * pairs * wide, 4 * wide, (count + 1) // 2, n, wide),
            *(address(room.products), 4 * room.products.shape[1], address(room.zeros), 0),
        ),
    )
    call(pieces.alive, (room.products, room.units[c - 1], n, units))


@njit(**PART)
def _through_layer(pieces, fixed, weights, room, n, k):  # type: ignore[no-untyped-def]
    """Gradients of the inputs of layer k: room.products[:n]."""
    plan = fixed.plan
    left = address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1]
    right = address(weights.backward) + 2 * plan[k, BACKWARD]
    levels = address(room.levels) + 2 * plan[k, LEVEL], 2 * room.levels.shape[1]
    products = address(room.products), 4 * room.products.shape[1]
    call(pieces.back_through, (left, right, levels, n, plan[k, WIDTH], plan[k, COLS], products))
