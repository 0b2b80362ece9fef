"""Backwards through a network that learns: from the parameters' gradients to sums for all weights.

Gradients are rounded to integers by a power of two for each output, which its largest earlier gradients chose; what is
larger is cut off. All sums are exact, so nothing depends on how pixels are shared among threads.
"""

import numpy as np
from numba import njit

from ...kernels import PART, Apart, address, call
from ...nets.shorts import ADDED, PLAIN
from .model import COLUMNS, GRADIENT_LIMIT
from .state import BACKWARD, COLS, COLUMN, LEVEL, PLACE, WIDTH


@njit(**PART)
def _rounded(room, n, begin, end, scales, seen):  # type: ignore[no-untyped-def]
    """Rounds columns begin .. end - 1 of n gradients; keeps their largest magnitudes in `seen`."""
    limit, factors, most = np.float32(GRADIENT_LIMIT), scales.scales[0, begin:end], seen[begin:end]
    for i in range(n):
        values, out = room.gradients[i, begin:end], room.rounded[i, begin:end]
        for j in range(np.uint64(end - begin)):
            value = values[j]
            most[j] = max(most[j], abs(value))
            out[j] = np.int16(np.int32(min(max(np.rint(value * factors[j]), -limit), limit)))


@njit(**PART)
def _alive(products, levels, unit, out):  # type: ignore[no-untyped-def]
    """Gradients of levels between 0 and 255; that of others, which were cut off there, is 0."""
    for j in range(np.uint64(out.size)):
        level = np.int32(levels[j])
        product = products[j] if (level > 0) & (level < 255) else np.int32(0)
        out[j] = np.float32(product) * unit


@Apart
def backwards(fixed, weights, scales, room, n, thread, anew):  # type: ignore[no-untyped-def]
    """From room.gradients[:n] of the parameters to a thread's sums of all weights' gradients.

    `anew`: the sums, and the largest gradients, begin at 0.
    """
    plan, seen = fixed.plan, weights.seen[thread]
    last = plan.shape[0] - 1
    if anew:
        seen[:] = 0
    if n == 0:
        if anew:
            weights.sums[thread] = 0
        return
    _head_gradients(fixed, weights, scales, room, n, seen)
    for k in range(last, -1, -1):
        column, width = plan[k, COLUMN], plan[k, WIDTH]
        if k < last:
            _back_through(fixed, weights, scales, room, n, k + 1)
            _rounded(room, n, column, column + plan[k + 1, WIDTH], scales, seen)
        cols = plan[k, COLS]
        _pair_up(room.levels, n, plan[k, LEVEL], width + 2, room.level_pairs)
        _pair_up(room.rounded, n, column, cols, room.gradient_pairs)
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


@njit(**PART)
def _head_gradients(fixed, weights, scales, room, n, seen):  # type: ignore[no-untyped-def]
    """Rounds the parameters' gradients, and finds and rounds those of the heads' units."""
    parameters, units, components = fixed.parameters, fixed.units, fixed.components
    last = fixed.plan.shape[0] - 1
    column = fixed.plan[last, COLUMN]
    _rounded(room, n, column, column + parameters, scales, seen)
    pairs, wide = weights.heads.shape[1], weights.heads.shape[2]
    for c in range(1, fixed.shifts.shape[0]):
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
        begin = column + parameters + (c - 1) * units
        for i in range(n):
            out = room.gradients[i, begin : begin + units]
            _alive(room.products[i, :units], room.units[c - 1, i], scales.back[last], out)
        _rounded(room, n, begin, begin + units, scales, seen)


@njit(**PART)
def _back_through(fixed, weights, scales, room, n, k):  # type: ignore[no-untyped-def]
    """Gradients of the inputs of layer k, into the columns of the layer before it."""
    plan = fixed.plan
    cols, width, level = plan[k, COLS], plan[k, WIDTH], plan[k, LEVEL]
    wide = (width + COLUMNS - 1) // COLUMNS * COLUMNS
    call(
        fixed.multiply,
        (
            *(PLAIN, address(room.rounded) + 2 * plan[k, COLUMN], 2 * room.rounded.shape[1], 4),
            *(address(weights.backward) + 4 * plan[k, BACKWARD], 4 * wide, cols // 2, n, wide),
            *(address(room.products), 4 * room.products.shape[1], address(room.zeros), 0),
        ),
    )
    column, unit = plan[k - 1, COLUMN], scales.back[k]
    for i in range(n):
        levels, out = room.levels[i, level : level + width], room.gradients[i, column : column + width]
        _alive(room.products[i, :width], levels, unit, out)


@njit(**PART)
def _pair_up(rows, n, begin, count, out):  # type: ignore[no-untyped-def]
    """Columns begin .. begin + count - 1 of two rows side by side, as [pair, count, 2]; after an odd n a row of 0."""
    flat = out.reshape(-1)
    for pair in range(n // 2):
        here = flat[2 * count * pair : 2 * count * (pair + 1)]
        upper, lower = rows[2 * pair, begin : begin + count], rows[2 * pair + 1, begin : begin + count]
        for j in range(np.uint64(count)):
            here[np.uint64(2) * j] = upper[j]
            here[np.uint64(2) * j + np.uint64(1)] = lower[j]
    if n % 2:
        here, upper = flat[count * (n - 1) : count * (n + 1)], rows[n - 1, begin : begin + count]
        for j in range(np.uint64(count)):
            here[np.uint64(2) * j] = upper[j]
            here[np.uint64(2) * j + np.uint64(1)] = 0
