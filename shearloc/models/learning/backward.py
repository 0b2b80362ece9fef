"""Backwards through a network that learns: from the parameters' gradients to sums for all weights.

Gradients are rounded to integers by a power of two for each output, which its largest earlier gradients chose; what is
larger is cut off. All sums are exact, so nothing depends on how pixels are shared among threads.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ...kernels import PART, Apart, address, call, clamp, rint
from ...nets.shorts import ADDED, PLAIN
from .model import COLUMNS, GRADIENT_LIMIT
from .state import BACKWARD, COLS, COLUMN, EXPERT, FIXED, LEVEL, PLACE, ROOM, SCALES, WEIGHTS, WIDTH


class Pieces(NamedTuple):
    """Where the kernels are that `backwards` calls many times."""

    rounded: int
    alive: int
    pair_up: int


def pieces() -> Pieces:
    """Their addresses."""
    shorts, floats, words = np.zeros((1, 1), np.int16), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int32)
    return Pieces(
        rounded.at(floats, shorts, 0, 0, 0, floats, floats, 0),
        alive.at(words, shorts, floats, 0, 0, 0, 0, np.float32(0)),
        pair_up.at(shorts, 0, 0, 0, np.zeros((1, 1, 2), np.int16)),
    )


@Apart
def rounded(gradients, out, n, begin, end, scales, seen, thread):  # type: ignore[no-untyped-def]
    """Rounds columns begin .. end - 1 of n gradients; keeps their largest magnitudes in seen[thread]."""
    limit, factors, most = np.float32(GRADIENT_LIMIT), scales[0, begin:end], seen[thread, begin:end]
    for i in range(np.uint64(n)):
        values, whole = gradients[i, begin:end], out[i, begin:end]
        for j in range(np.uint64(end - begin)):
            value = values[j]
            most[j] = max(most[j], abs(value))
            whole[j] = np.int16(np.int32(clamp(rint(value * factors[j]), -limit, limit)))


@Apart
def alive(products, levels, gradients, n, count, level, column, unit):  # type: ignore[no-untyped-def]
    """Gradients of levels between 0 and 255, from their products; that of others, which were cut off there, is 0.

    Those of n rows: `count` columns, of the levels from `level` on, of the gradients from `column` on.
    """
    for i in range(np.uint64(n)):
        there, out = levels[i, level : level + count], gradients[i, column : column + count]
        for j in range(np.uint64(count)):
            found = np.int32(there[j])
            product = products[i, j] if (found > 0) & (found < 255) else np.int32(0)
            out[j] = np.float32(product) * unit


@Apart
def pair_up(rows, n, begin, count, out):  # type: ignore[no-untyped-def]
    """Columns begin .. begin + count - 1 of two rows side by side, as [pair, count, 2]; after an odd n a row of 0."""
    flat = out.reshape(-1)
    for pair in range((n + 1) // 2):
        here, upper = flat[2 * count * pair : 2 * count * (pair + 1)], rows[2 * pair, begin : begin + count]
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
    own = (scales.scales, weights.seen, thread)
    begin, end = plan[last, COLUMN], plan[last, COLUMN] + fixed.parameters
    call(pieces.rounded, (room.gradients, room.rounded, n, begin, end, *own))
    for c in range(1, fixed.shifts.shape[0]):
        _through_head(pieces, fixed, weights, scales, room, n, c)
        begin, end = end, end + fixed.units
        call(pieces.rounded, (room.gradients, room.rounded, n, begin, end, *own))
    for k in range(last, -1, -1):
        column, width, cols = plan[k, COLUMN], plan[k, WIDTH], plan[k, COLS]
        call(pieces.pair_up, (room.levels, n, plan[k, LEVEL], width + 2, room.level_pairs))
        call(pieces.pair_up, (room.rounded, n, column, cols, room.gradient_pairs))
        result = PLAIN if anew else ADDED
        sums = address(weights.sums) + 4 * (thread * weights.sums.shape[1] + plan[k, PLACE])
        call(
            fixed.multiply,
            (
                *(np.int64(result), address(room.level_pairs), 4, 4 * (width + 2)),
                *(address(room.gradient_pairs), 4 * cols, (n + 1) // 2, width + 1, cols),
                *(sums, 4 * cols, address(room.zeros), 0),
            ),
        )
        if k:
            _through_layer(pieces, fixed, weights, scales, room, n, k)
            begin = plan[k - 1, COLUMN]
            call(pieces.rounded, (room.gradients, room.rounded, n, begin, begin + width, *own))


@njit(**PART)
def _through_head(pieces, fixed, weights, scales, room, n, c):  # type: ignore[no-untyped-def]
    """Gradients of the units of channel c's head, into their columns."""
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
    begin, unit = column + fixed.parameters + (c - 1) * units, scales.back[last]
    call(pieces.alive, (room.products, room.units[c - 1], room.gradients, n, units, 0, begin, unit))


@njit(**PART)
def _through_layer(pieces, fixed, weights, scales, room, n, k):  # type: ignore[no-untyped-def]
    """Gradients of the inputs of layer k, into the columns of the layer before it."""
    plan = fixed.plan
    cols, width, column = plan[k, COLS], plan[k, WIDTH], plan[k - 1, COLUMN]
    wide = (width + COLUMNS - 1) // COLUMNS * COLUMNS
    call(
        fixed.multiply,
        (
            *(PLAIN, address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1], 4),
            *(address(weights.backward) + 4 * plan[k, BACKWARD], 4 * wide, cols // 2, n, wide),
            *(address(room.products), 4 * room.products.shape[1], address(room.zeros), 0),
        ),
    )
    call(pieces.alive, (room.products, room.levels, room.gradients, n, width, plan[k, LEVEL], column, scales.back[k]))
