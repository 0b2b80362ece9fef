"""A network that learns: its weights of the moment, what it makes of contexts, and what gradients make of it.

A step of the wavefront goes through it twice. Forwards every pixel by itself, with the weights as they are. After the
step's values are known, gradients go back pixel by pixel, and each thread sums up the products of its pixels' levels
and gradients; these sums are exact. Then all threads meet, each takes some of the weights, adds up the threads' sums
and lets the optimiser (`adam`) change them. Nothing depends on how many threads there are.

Gradients are rounded to integers by a power of two for each output, that its largest gradients before have chosen
(`peaks`); what is larger than that is cut off.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .model import BACKWARD_LIMIT, GRADIENT_LIMIT, INPUT_BITS, LEVEL_BITS, ONE, Start
from .tiles import COLUMNS, levels_into, sums_into, sums_onto

WIDTH, COLS, PLACE, FORWARD, BACKWARD, COLUMN, BITS, LEVEL, LIMIT = range(9)
"""Columns of a plan, one row for each layer that learns: inputs; outputs with padding; where its numbers begin in
`weights`, in `forward`, in `backward` and among the columns; bits; where its inputs begin in a buffer of levels; what
its weights stay within."""

LOGIT_BITS, MEAN_BITS, SCALE_BITS, COEFFICIENT_BITS = 5, 10, 5, 8
"""A parameter's unit is 2^-bits of the network's output; a mean's output is in 16 grey levels."""

SETTLED = np.float32(2.0**-40)
"""A mean gradient smaller than that is 0: it would end in numbers that processors may or may not flush to 0."""

PEAK_FALL, LOWEST_PEAK = np.float32(0.75), np.float32(2.0**-20)
HIGHEST_PEAK = np.float32(2.0**20)


class Weights(NamedTuple):
    """What changes while an image is coded (Numba takes a NamedTuple), all layers' one after another.

    weights, mean, square: float32, Adam's (weights in units of the integers), by [input, output]; forward int16 as
    [input pair, output, 2], backward int16 as [output pair, input, 2], heads int16 as [parameter pair, unit, 2]: rounded.
    sums int32 [threads, as weights]; peaks float32 [columns], seen float32 [threads, columns], scales float32 [columns]:
    what a gradient is multiplied with before it is rounded; back float32 [layers]: unit of a layer's gradients' products.
    powers float64 [3]: what Adam's two means have kept of their zeros, and what makes up for that in the next step.
    """

    weights: NDArray[np.float32]
    mean: NDArray[np.float32]
    square: NDArray[np.float32]
    forward: NDArray[np.int16]
    backward: NDArray[np.int16]
    heads: NDArray[np.int16]
    sums: NDArray[np.int32]
    peaks: NDArray[np.float32]
    seen: NDArray[np.float32]
    scales: NDArray[np.float32]
    back: NDArray[np.float32]
    powers: NDArray[np.float64]


class Fixed(NamedTuple):
    """What stays: the plan; the first layer's packed weights and starts; the other layers' starts; the heads' weights.

    sizes int64: columns of the parameters, units, components, channels. learn int32 [C - 1, C - 1, U]; adjust int16
    [C - 1, U, parameters], as it is, and packed for `sums_onto` (units [C - 1, U / 2, padded parameters, 2]).
    shifts int32 [C, padded parameters]: from a parameter's sum to its unit. rates float32 [layers, 3]: of a step, of forgetting gradients, and squares; epsilon float32.
    """

    plan: NDArray[np.int64]
    first: NDArray[np.int16]
    first_starts: NDArray[np.int32]
    first_bits: int
    starts: NDArray[np.int32]
    sizes: NDArray[np.int64]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int16]
    packed: NDArray[np.int16]
    shifts: NDArray[np.int32]
    rates: NDArray[np.float32]
    epsilon: np.float32


class Space(NamedTuple):
    """One thread's room for so many pixels. levels int16: each layer's inputs [pixel, inputs + 2], ONE and 0 the last;
    gradients float32 and rounded int16 [pixel, all columns]; units int16 [C - 1, pixel, U]; pairs: levels or gradients
    of two pixels side by side."""

    inputs: NDArray[np.int16]
    levels: NDArray[np.int16]
    sums: NDArray[np.int32]
    gradients: NDArray[np.float32]
    rounded: NDArray[np.int16]
    units: NDArray[np.int16]
    level_pairs: NDArray[np.int16]
    gradient_pairs: NDArray[np.int16]
    products: NDArray[np.int32]
    zeros: NDArray[np.int32]


def _pad(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _pairs(weight: NDArray[np.int16], columns: int) -> NDArray[np.int16]:
    """[in, out] as [in / 2, columns, 2], padded with zeros."""
    inputs, outputs = weight.shape
    padded = np.pad(weight, ((0, inputs % 2), (0, columns - outputs)))
    return np.ascontiguousarray(padded.reshape(-1, 2, columns).swapaxes(1, 2))


def fixed(start: Start) -> Fixed:
    """What stays of a model."""
    plan, place, forward, backward, column, level = [], 0, 0, 0, 0, 0
    for layer, limit in zip(start.layers[1:], start.limits[1:], strict=True):
        width, cols = len(layer.weight), _pad(layer.weight.shape[1], COLUMNS)
        plan.append([width, cols, place, forward, backward, column, layer.bits, level, limit])
        place += (width + 1) * cols
        forward += (width + 2) * cols
        backward += cols * _pad(width, COLUMNS)
        column += cols
        level += width + 2
    first = start.layers[0]
    starts = [np.pad(layer.start, (0, -len(layer.start) % COLUMNS)) for layer in start.layers]
    later, units, counts = start.channels - 1, start.units, start.counts
    learn = np.zeros((later, later, units), np.int32)
    adjust = np.zeros((later, units, counts[-1] if later else 0), np.int16)
    packed = np.zeros((later, units // 2, _pad(counts[-1], COLUMNS), 2), np.int16)
    for c in range(len(start.learn)):
        learn[c, : c + 1] = start.learn[c]
        adjust[c, :, : counts[c + 1]] = start.adjust[c]
        packed[c] = _pairs(start.adjust[c], packed.shape[2])
    shifts = np.full((start.channels, packed.shape[2] if later else _pad(counts[0], COLUMNS)), 8, np.int32)
    units_of = [LOGIT_BITS, MEAN_BITS, SCALE_BITS] + later * [COEFFICIENT_BITS]
    for c, count in enumerate(counts):
        shifts[c, :count] = start.layers[-1].bits + LEVEL_BITS - np.repeat(units_of, start.components)[:count]
    steps = start.steps
    rates = [[rate * 2.0**layer.bits, steps.first, steps.second] for rate, layer in zip(steps.rates, start.layers[1:], strict=True)]
    return Fixed(
        np.array(plan, np.int64),
        _pairs(first.weight, len(starts[0])).ravel(),
        starts[0],
        first.bits + INPUT_BITS - LEVEL_BITS,
        np.concatenate(starts[1:]),
        np.array([sum(counts), units, start.components, start.channels], np.int64),
        learn,
        adjust,
        packed,
        shifts,
        np.array(rates, np.float32),
        np.float32(steps.epsilon),
    )


def begin(start: Start, threads: int) -> Weights:
    """The weights as every image begins with them."""
    plan = fixed(start).plan
    last = plan[-1]
    count = int(last[PLACE] + (last[WIDTH] + 1) * last[COLS])
    columns = int(last[COLUMN] + last[COLS])
    weights, peaks = np.zeros(count, np.float32), np.full(columns, LOWEST_PEAK)
    for layer, usual, row in zip(start.layers[1:], start.peaks, plan, strict=True):
        width, cols = int(row[WIDTH]), int(row[COLS])
        outputs = layer.weight.shape[1]
        weights[row[PLACE] :][: (width + 1) * cols].reshape(width + 1, cols)[:width, :outputs] = layer.weight
        peaks[row[COLUMN] :][:outputs] = usual
    later, units = start.channels - 1, start.units
    state = Weights(
        weights,
        np.zeros(count, np.float32),
        np.zeros(count, np.float32),
        np.zeros(int(last[FORWARD] + (last[WIDTH] + 2) * last[COLS]), np.int16),
        np.zeros(int(last[BACKWARD] + last[COLS] * _pad(int(last[WIDTH]), COLUMNS)), np.int16),
        np.zeros(max(1, later * _pad(start.counts[-1], 2) * _pad(units, COLUMNS)), np.int16),
        np.zeros((threads, count), np.int32),
        peaks,
        np.zeros((threads, columns), np.float32),
        np.ones(columns, np.float32),
        np.ones(len(plan), np.float32),
        np.ones(3, np.float64),
    )
    shape = fixed(start)
    advance(shape, state)
    rescale(shape, state)
    for layer in range(len(plan)):
        round_rows(shape, state, layer, 0, int(plan[layer][WIDTH]) + 1)
    round_backward(shape, state, 0, 1)
    return state


def space(start: Start, rows: int) -> Space:
    """Room for up to so many pixels."""
    plan, rows = fixed(start).plan, rows + rows % 2
    columns = int(plan[-1][COLUMN] + plan[-1][COLS])
    levels = np.zeros((rows, int(plan[-1][LEVEL] + plan[-1][WIDTH]) + 2), np.int16)
    for row in plan:
        levels[:, row[LEVEL] + row[WIDTH]] = ONE
    widest = max(columns, levels.shape[1], int(plan[:, COLS].max()), _pad(int(plan[:, WIDTH].max()), COLUMNS))
    features = len(start.offsets) * start.channels
    return Space(
        np.zeros((rows, features + features % 2), np.int16),
        levels,
        np.zeros((rows, int(plan[:, COLS].max())), np.int32),
        np.zeros((rows, columns), np.float32),
        np.zeros((rows, columns), np.int16),
        np.zeros((max(1, start.channels - 1), rows, max(2, start.units)), np.int16),
        np.zeros((rows // 2, widest, 2), np.int16),
        np.zeros((rows // 2, widest, 2), np.int16),
        np.zeros((rows, widest), np.int32),
        np.zeros(widest, np.int32),
    )


@njit(inline="always")
def _address(array, index):  # type: ignore[no-untyped-def]
    return np.int64(array.ctypes.data) + index * array.itemsize


@njit(cache=True, nogil=True, error_model="numpy")
def forwards(shape, state, room, n):  # type: ignore[no-untyped-def]
    """The last layer's sums, int32 room.sums[:n], of the contexts room.inputs[:n]."""
    plan, levels = shape.plan, room.levels
    inputs, stride = room.inputs, 2 * levels.shape[1]
    row = 2 * inputs.shape[1]
    levels_into(
        _address(inputs, 0), row, 4, _address(shape.first, 0), 4 * shape.first_starts.size, inputs.shape[1] // 2, n,
        shape.first_starts.size, _address(levels, plan[0, LEVEL]), stride, _address(shape.first_starts, 0), shape.first_bits,
    )  # fmt: skip
    last = plan.shape[0] - 1
    for k in range(last + 1):
        cols, pairs = plan[k, COLS], (plan[k, WIDTH] + 2) // 2
        source, weights = _address(levels, plan[k, LEVEL]), _address(state.forward, plan[k, FORWARD])
        starts = _address(shape.starts, plan[k, COLUMN])
        if k == last:
            target, wide = _address(room.sums, 0), 4 * room.sums.shape[1]
            sums_into(source, stride, 4, weights, 4 * cols, pairs, n, cols, target, wide, starts, 0)
        else:
            target = _address(levels, plan[k + 1, LEVEL])
            levels_into(source, stride, 4, weights, 4 * cols, pairs, n, cols, target, stride, starts, plan[k, BITS])


@njit(cache=True, nogil=True, error_model="numpy")
def _round_gradients(gradients, n, begin, end, scales, seen, rounded):  # type: ignore[no-untyped-def]
    """Rounds columns begin .. end - 1 of n rows, and keeps the largest magnitudes in `seen`."""
    limit, scales, seen = np.float32(GRADIENT_LIMIT), scales[begin:end], seen[begin:end]
    for i in range(n):
        values, out = gradients[i, begin:end], rounded[i, begin:end]
        for j in range(scales.size):
            value = values[j]
            seen[j] = max(seen[j], abs(value))
            out[j] = np.int16(np.int32(min(max(np.rint(value * scales[j]), -limit), limit)))


@njit(cache=True, nogil=True, error_model="numpy")
def backwards(shape, state, room, n, thread, first_of_update):  # type: ignore[no-untyped-def]
    """From the parameters' gradients room.gradients[:n] to this thread's sums of all layers' weights' gradients.

    The thread's sums begin anew with the `first_of_update`. All rows count; there is room for one more if n is odd.
    """
    plan, seen = shape.plan, state.seen[thread]
    last = plan.shape[0] - 1
    _head_gradients(shape, state, room, n, seen)
    if first_of_update and n == 0:
        state.sums[thread] = 0
    for k in range(last, -1, -1):
        column = plan[k, COLUMN]
        if k < last:
            width = plan[k + 1, WIDTH]
            _back_through(shape, state, room, n, k + 1)
            _round_gradients(room.gradients, n, column, column + width, state.scales, seen, room.rounded)
        if n:
            _sum_products(plan[k], room, n, state.sums[thread], first_of_update, room.zeros)


@njit(cache=True, nogil=True, error_model="numpy")
def _head_gradients(shape, state, room, n, seen):  # type: ignore[no-untyped-def]
    """Rounds the parameters' gradients, and finds and rounds those of the heads' units."""
    parameters, units, components, channels = shape.sizes
    last = shape.plan.shape[0] - 1
    column = shape.plan[last, COLUMN]
    _round_gradients(room.gradients, n, column, column + parameters, state.scales, seen, room.rounded)
    wide, stride = room.products.shape[1], room.rounded.shape[1]
    padded = (units + COLUMNS - 1) // COLUMNS * COLUMNS
    pairs = (shape.adjust.shape[2] + 1) // 2
    for c in range(1, channels if units else 1):
        first = components * (3 * c + c * (c - 1) // 2)
        count = ((3 + c) * components + 1) // 2
        sums_into(
            _address(room.rounded, column + first), 2 * stride, 4, _address(state.heads, (c - 1) * pairs * 2 * padded),
            4 * padded, count, n, padded, _address(room.products, 0), 4 * wide, _address(room.zeros, 0), 0,
        )  # fmt: skip
        begin = column + parameters + (c - 1) * units
        for i in range(n):
            _alive(room.products[i, :units], room.units[c - 1, i], state.back[last], room.gradients[i, begin : begin + units])
        _round_gradients(room.gradients, n, begin, begin + units, state.scales, seen, room.rounded)


@njit(cache=True, nogil=True, error_model="numpy")
def _back_through(shape, state, room, n, k):  # type: ignore[no-untyped-def]
    """Gradients of the inputs of layer k, into the columns of the layer before it."""
    plan = shape.plan
    cols, width, level = plan[k, COLS], plan[k, WIDTH], plan[k, LEVEL]
    padded = (width + COLUMNS - 1) // COLUMNS * COLUMNS
    sums_into(
        _address(room.rounded, plan[k, COLUMN]), 2 * room.rounded.shape[1], 4, _address(state.backward, plan[k, BACKWARD]),
        4 * padded, cols // 2, n, padded, _address(room.products, 0), 4 * room.products.shape[1], _address(room.zeros, 0), 0,
    )  # fmt: skip
    column, unit = plan[k - 1, COLUMN], state.back[k]
    for i in range(n):
        levels = room.levels[i, level : level + width]
        _alive(room.products[i, :width], levels, unit, room.gradients[i, column : column + width])


@njit(inline="always")
def _alive(products, levels, unit, out):  # type: ignore[no-untyped-def]
    """Gradients of levels that are between 0 and 255; of the others, which were cut off there, it is 0."""
    for j in range(out.size):
        level = np.int32(levels[j])
        product = products[j] if (level > 0) & (level < 255) else np.int32(0)
        out[j] = np.float32(product) * unit


@njit(cache=True, nogil=True, error_model="numpy")
def _pair_up(rows, n, begin, count, out):  # type: ignore[no-untyped-def]
    """Columns begin .. begin + count - 1 of two rows side by side, into [pair, count, 2]; after an odd n a row of 0."""
    flat = out.reshape(-1)
    for pair in range((n + 1) // 2):
        here = flat[2 * count * pair : 2 * count * (pair + 1)]
        upper = rows[2 * pair, begin : begin + count]
        if 2 * pair + 1 < n:
            lower = rows[2 * pair + 1, begin : begin + count]
            for j in range(count):
                here[2 * j] = upper[j]
                here[2 * j + 1] = lower[j]
        else:
            for j in range(count):
                here[2 * j] = upper[j]
                here[2 * j + 1] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_products(row, room, n, sums, anew, zeros):  # type: ignore[no-untyped-def]
    """Adds levels times gradients of n pixels to the sums of a layer; `anew`: to zeros, int32 [columns]."""
    width, cols = row[WIDTH], row[COLS]
    _pair_up(room.levels, n, row[LEVEL], width + 2, room.level_pairs)
    _pair_up(room.rounded, n, row[COLUMN], cols, room.gradient_pairs)
    if anew:
        sums_into(
            _address(room.level_pairs, 0), 4, 4 * (width + 2), _address(room.gradient_pairs, 0), 4 * cols, (n + 1) // 2,
            width + 1, cols, _address(sums, row[PLACE]), 4 * cols, _address(zeros, 0), 0,
        )  # fmt: skip
    else:
        sums_onto(
            _address(room.level_pairs, 0), 4, 4 * (width + 2), _address(room.gradient_pairs, 0), 4 * cols, (n + 1) // 2,
            width + 1, cols, _address(sums, row[PLACE]), 4 * cols, _address(zeros, 0), 0,
        )  # fmt: skip


@njit(inline="always")
def _power(value):  # type: ignore[no-untyped-def]
    """The power of two in (value / 2, value] of a positive normal float32."""
    return np.int32(np.float32(value).view(np.int32) & np.int32(0x7F800000)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def rescale(shape, state):  # type: ignore[no-untyped-def]
    """Chooses scales by the peaks: a gradient as large as its peak becomes 256 to 511."""
    for j in range(state.peaks.size):
        state.scales[j] = np.float32(256) / _power(state.peaks[j])
    for k in range(shape.plan.shape[0]):
        column, largest = shape.plan[k, COLUMN], np.float32(0)
        for j in range(column, column + shape.plan[k, COLS]):
            largest = max(largest, np.float32(1) / state.scales[j])
        # Backward weights are at most a quarter of forward ones.
        unit = np.float32(4) * largest
        state.back[k] = unit / np.float32(np.int32(1) << np.int32(shape.plan[k, BITS]))


@njit(cache=True, nogil=True, error_model="numpy")
def new_peaks(state):  # type: ignore[no-untyped-def]
    """Peaks from the threads' largest magnitudes since the last update, which begin anew."""
    for j in range(state.peaks.size):
        peak = state.peaks[j] * PEAK_FALL
        for thread in range(state.seen.shape[0]):
            peak = max(peak, state.seen[thread, j])
            state.seen[thread, j] = 0
        state.peaks[j] = min(max(peak, LOWEST_PEAK), HIGHEST_PEAK)


@njit(cache=True, nogil=True, error_model="numpy")
def advance(shape, state):  # type: ignore[no-untyped-def]
    """Before an update: Adam's means begin at 0, which the update's rate makes up for."""
    state.powers[0] *= 1.0 - np.float64(shape.rates[0, 1])
    state.powers[1] *= 1.0 - np.float64(shape.rates[0, 2])
    state.powers[2] = np.sqrt(1.0 - state.powers[1]) / (1.0 - state.powers[0])


@njit(cache=True, nogil=True, error_model="numpy")
def adam(shape, state, layer, first, last):  # type: ignore[no-untyped-def]
    """Changes a layer's weights from inputs first .. last - 1 by all threads' sums; `scales` are still the sums' own."""
    row = shape.plan[layer]
    cols, column, limit = row[COLS], row[COLUMN], np.float32(row[LIMIT])
    rate, forget, forget_square = shape.rates[layer]
    rate = np.float32(np.float64(rate) * state.powers[2])
    epsilon = shape.epsilon
    scales = state.scales[column : column + cols]
    for i in range(first, last):
        begin = row[PLACE] + i * cols
        here = slice(begin, begin + cols)
        weights, mean, square = state.weights[here], state.mean[here], state.square[here]
        sums = state.sums[0, here]
        for thread in range(1, state.sums.shape[0]):
            more = state.sums[thread, here]
            for j in range(cols):
                sums[j] += more[j]
        for j in range(cols):
            gradient = np.float32(sums[j]) * (np.float32(1) / scales[j])
            m = mean[j] + forget * (gradient - mean[j])
            m = m if abs(m) > SETTLED else np.float32(0)
            v = square[j] + forget_square * (gradient * gradient - square[j])
            mean[j], square[j] = m, v
            step = rate * (m / (np.sqrt(v) + epsilon))
            weights[j] = min(max(weights[j] - step, -limit), limit)


@njit(cache=True, nogil=True, error_model="numpy")
def round_rows(shape, state, layer, first, last):  # type: ignore[no-untyped-def]
    """Rounds a layer's weights from inputs first .. last - 1, `first` even, for the way forward."""
    row = shape.plan[layer]
    cols = row[COLS]
    for i in range(first, last, 2):
        upper = state.weights[row[PLACE] + i * cols :][:cols]
        lower = state.weights[row[PLACE] + (i + 1 if i + 1 < last else i) * cols :][:cols]
        there = np.float32(1 if i + 1 < last else 0)
        out = state.forward[row[FORWARD] + i * cols :][: 2 * cols]
        for j in range(cols):
            out[2 * j] = np.int16(np.int32(np.rint(upper[j])))
            out[2 * j + 1] = np.int16(np.int32(np.rint(lower[j] * there)))


@njit(cache=True, nogil=True, error_model="numpy")
def round_backward(shape, state, thread, threads):  # type: ignore[no-untyped-def]
    """Rounds a thread's share of the weights for the way back, each output's by what its gradients are scaled with."""
    plan, limit = shape.plan, np.float32(BACKWARD_LIMIT)
    parameters, units, components, channels = shape.sizes
    last = plan.shape[0] - 1
    for k in range(1, last + 1):
        row = plan[k]
        cols, width = row[COLS], row[WIDTH]
        padded = (width + COLUMNS - 1) // COLUMNS * COLUMNS
        unit = state.back[k] * np.float32(np.int32(1) << np.int32(row[BITS]))
        pairs = cols // 2
        for pair in range(pairs * thread // threads, pairs * (thread + 1) // threads):
            for half in range(2):
                j = 2 * pair + half
                factor = (np.float32(1) / state.scales[row[COLUMN] + j]) / unit
                for i in range(width):
                    value = np.rint(state.weights[row[PLACE] + i * cols + j] * factor)
                    state.backward[row[BACKWARD] + (pair * padded + i) * 2 + half] = np.int16(np.int32(min(max(value, -limit), limit)))
    if thread == 0:
        row = plan[last]
        padded, pairs = (units + COLUMNS - 1) // COLUMNS * COLUMNS, (shape.adjust.shape[2] + 1) // 2
        unit = state.back[last] * np.float32(np.int32(1) << np.int32(row[BITS]))
        for c in range(1, channels if units else 1):
            first = components * (3 * c + c * (c - 1) // 2)
            for j in range((3 + c) * components):
                factor = (np.float32(1) / state.scales[row[COLUMN] + first + j]) / unit
                for u in range(units):
                    value = np.rint(np.float32(shape.adjust[c - 1, u, j]) * factor)
                    state.heads[(((c - 1) * pairs + j // 2) * padded + u) * 2 + j % 2] = np.int16(np.int32(min(max(value, -limit), limit)))
