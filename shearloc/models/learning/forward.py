"""Forwards through a network that learns: from contexts to the mixtures of a pixel's channels."""

import numpy as np

from ...coding.logistic import mixture
from ...kernels import Apart, address, call, clamp
from ...nets.rounding import copied, leveled, scaled, shifted
from ...nets.shorts import ADDED, COLUMNS, LEVELS, PLAIN
from .state import BITS, COEFFICIENT_BITS, COLS, COLUMN, EXPERT, FIXED, FORWARD, LEVEL, ROOM, WEIGHTS, WIDTH
from .symbols import SPACE

PARAMETER_LIMIT = 1 << 15
COEFFICIENT_LIMIT = 8 << COEFFICIENT_BITS


@Apart
def first_layer(expert, space, n):  # type: ignore[no-untyped-def]
    """The levels of the first layer, which does not learn, of the contexts space.inputs[:n]."""
    one = EXPERT(expert)
    fixed, levels, inputs = FIXED(one.fixed), ROOM(one.room).levels, SPACE(space).inputs
    features, columns = inputs.shape[1], fixed.first_starts.size
    target, stride = address(levels) + 2 * fixed.plan[0, LEVEL], 2 * levels.shape[1]
    call(
        fixed.multiply,
        (
            *(LEVELS, address(inputs), 2 * features, address(fixed.first), features // 2, n, columns),
            *(target, stride, address(fixed.first_starts), np.int64(fixed.first_shift)),
        ),
    )


@Apart
def forwards(expert, n):  # type: ignore[no-untyped-def]
    """The last layer's sums, int32 room.sums[:n], of the first layer's levels; room.levels keeps all levels."""
    one = EXPERT(expert)
    fixed, weights, room = FIXED(one.fixed), WEIGHTS(one.weights), ROOM(one.room)
    plan, levels = fixed.plan, room.levels
    stride = 2 * levels.shape[1]
    last = plan.shape[0] - 1
    for k in range(last + 1):
        if k == last:
            result, target, wide = PLAIN, address(room.sums), 4 * room.sums.shape[1]
        else:
            result, target, wide = LEVELS, address(levels) + 2 * plan[k + 1, LEVEL], stride
        starts, sizes = address(fixed.starts) + 4 * plan[k, COLUMN], ((plan[k, WIDTH] + 2) // 2, n, plan[k, COLS])
        sides = address(levels) + 2 * plan[k, LEVEL], stride, address(weights.forward) + 2 * plan[k, FORWARD]
        call(fixed.multiply, (np.int64(result), *sides, *sizes, target, np.int64(wide), starts, plan[k, BITS]))


@Apart
def head_units(expert, space, c, begin, n):  # type: ignore[no-untyped-def]
    """Levels of the units of channel c's head, which see earlier channels, for the pixels begin .. begin + n - 1."""
    one = EXPERT(expert)
    fixed, room, seen = FIXED(one.fixed), ROOM(one.room), SPACE(space).seen.companded
    base, wide = fixed.parameters + (c - 1) * fixed.units, fixed.learn.shape[2]
    bits, sums = np.int32(fixed.plan[fixed.plan.shape[0] - 1, BITS]), address(room.products)
    learn = address(fixed.learn) + 4 * wide * (c - 1) * fixed.learn.shape[1]
    for i in range(begin, begin + n):
        # What follows the units there means nothing.
        source = address(room.sums) + 4 * (i * room.sums.shape[1] + base)
        levels = address(room.units) + 2 * wide * ((c - 1) * room.units.shape[1] + i)
        for u in range(0, wide, COLUMNS):
            scaled(source + 4 * u, learn + 4 * u, seen[0, i], sums + 4 * u)
            for e in range(1, c):
                scaled(sums + 4 * u, learn + 4 * (e * wide + u), seen[e, i], sums + 4 * u)
            leveled(sums + 4 * u, bits, levels + 2 * u)


@Apart
def parameters(expert, space, units, c, begin, n):  # type: ignore[no-untyped-def]
    """Parameters int32 room.params[:n] of channel c of the pixels begin .. begin + n - 1, given earlier channels.

    `units`: where `head_units` is.
    """
    one = EXPERT(expert)
    fixed, room, opened = FIXED(one.fixed), ROOM(one.room), SPACE(space)
    seen, centres = opened.seen, opened.edges.centres[c]
    components, predictions, differences = fixed.components, seen.predictions, seen.differences
    first = components * (3 * c + c * (c - 1) // 2)
    params, sums, padded = room.params, room.sums, room.params.shape[1]
    for i in range(n):
        # What follows the channel's parameters there means nothing.
        source, target = address(sums) + 4 * ((begin + i) * sums.shape[1] + first), address(params) + 4 * i * padded
        for j in range(0, padded, COLUMNS):
            copied(source + 4 * j, target + 4 * j)
    if c > 0:
        call(units, (expert, space, c, begin, n))
        width = room.units.shape[2]
        source = address(room.units) + 2 * width * ((c - 1) * room.units.shape[1] + begin)
        packed = address(fixed.packed) + 2 * (c - 1) * fixed.packed.shape[1]
        sides, target = (source, 2 * width, packed), (address(params), 4 * padded)
        call(fixed.multiply, (ADDED, *sides, fixed.units // 2, n, padded, *target, 0, 0))
    shifts, limit = fixed.shifts[c], np.int32(PARAMETER_LIMIT)
    for i in range(n):
        row, target = params[i], address(params) + 4 * i * padded
        for j in range(0, padded, COLUMNS):
            shifted(target + 4 * j, target + 4 * j, address(shifts) + 4 * j, limit)
        means, prediction = row[components : 2 * components], centres[np.uint64(predictions[c, begin + i])]
        for j in range(components):
            means[j] += prediction
        for e in range(c):
            difference, coefficients = differences[e, begin + i], row[(3 + e) * components : (4 + e) * components]
            for j in range(components):
                coefficient = clamp(coefficients[j], -COEFFICIENT_LIMIT, COEFFICIENT_LIMIT)
                means[j] += np.int32(np.int32(coefficient * difference) + np.int32(2)) >> np.int32(2)


@Apart
def mixtures(expert, space, n):  # type: ignore[no-untyped-def]
    """The expert's mixtures of the parameters room.params[:n], into its columns of space.mixed[:n]."""
    one = EXPERT(expert)
    params, opened = ROOM(one.room).params, SPACE(space)
    mixed, tables, begin, end = opened.mixed, opened.tables, one.at, one.at + one.components
    for i in range(np.uint64(n)):
        weights, means, inverses = mixed.weights[i, begin:end], mixed.means[i, begin:end], mixed.inverses[i, begin:end]
        mixture(params[i], tables.exponential, tables.inverse, weights, means, inverses)
