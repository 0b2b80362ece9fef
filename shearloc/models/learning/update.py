"""The optimiser: Adam, element by element in float32, and the weights rounded for both ways; and the levels' edges.

Every operation is one of IEEE 754's, rounded to nearest, in the order written. Threads share the rows of weights; all
compute the same scales.
"""

import math

import numpy as np
from numba import njit

from ...kernels import PART, Apart, clamp, rint
from ...nets.shorts import BLOCK
from .edges import forget, move
from .model import BACKWARD_LIMIT
from .state import BACKWARD, BITS, COLS, COLUMN, EXPERT, FIXED, FORWARD, LIMIT, PLACE, SCALES, WEIGHTS, WIDTH
from .symbols import SPACE

SETTLED = np.float32(2.0**-40)
"""A mean gradient smaller than that is 0: it would end in numbers that processors may or may not flush to 0."""
PEAK_FALL, LOWEST_PEAK, HIGHEST_PEAK = np.float32(0.75), np.float32(2.0**-20), np.float32(2.0**20)
LARGEST_ROUNDED = np.float32(256)
"""A gradient as large as its peak becomes that to twice that."""


@njit(**PART)
def _power(value):  # type: ignore[no-untyped-def]
    """The power of two in (value / 2, value] of a positive normal float32."""
    return np.int32(np.float32(value).view(np.int32) & np.int32(0x7F800000)).view(np.float32)


@njit(**PART)
def _rescale(fixed, scales):  # type: ignore[no-untyped-def]
    """The next scales, by the peaks, and the unit of each layer's weights for the way back."""
    for j in range(np.uint64(scales.peaks.size)):
        scale = LARGEST_ROUNDED / _power(scales.peaks[j])
        scales.scales[1, j], scales.units[1, j] = scale, np.float32(1) / scale
    for k in range(fixed.plan.shape[0]):
        column, largest = fixed.plan[k, COLUMN], np.float32(0)
        for j in range(column, column + fixed.plan[k, COLS]):
            largest = max(largest, scales.units[1, j])
        # Backward weights are at most a quarter of forward ones.
        unit = np.float32(4) * largest
        scales.back[k] = unit / np.float32(np.int32(1) << np.int32(fixed.plan[k, BITS]))
        for j in range(column, column + fixed.plan[k, COLS]):
            scales.factors[j] = scales.units[1, j] / unit


@njit(**PART)
def _new_peaks(weights, scales):  # type: ignore[no-untyped-def]
    """Peaks from all threads' largest gradients since the last update."""
    for j in range(np.uint64(scales.peaks.size)):
        peak = scales.peaks[j] * PEAK_FALL
        for thread in range(weights.seen.shape[0]):
            peak = max(peak, weights.seen[thread, j])
        scales.peaks[j] = clamp(peak, LOWEST_PEAK, HIGHEST_PEAK)


@njit(**PART)
def _whole_sums(fixed, weights, scales, k, i):  # type: ignore[no-untyped-def]
    """All threads' gradients of layer k's weights from input i: scales.sums[: outputs]."""
    row = fixed.plan[k]
    cols, width, sums = row[COLS], row[WIDTH], scales.sums
    begin, step = row[PLACE] + i * cols, np.uint64(1)
    if k < fixed.plan.shape[0] - 1 and i < width:
        begin, step = row[PLACE] + i, np.uint64(width)
    for thread in range(weights.sums.shape[0]):
        own = weights.sums[thread, begin:]
        for j in range(np.uint64(cols)):
            sums[j] = own[step * j] + (sums[j] if thread else np.int32(0))
    return sums


@njit(**PART)
def _adam(fixed, weights, scales, k, first, last):  # type: ignore[no-untyped-def]
    """Changes layer k's weights from inputs first .. last - 1 by all threads' sums and the scales that these have."""
    row = fixed.plan[k]
    cols, column, limit = row[COLS], row[COLUMN], np.float32(row[LIMIT])
    correction = math.sqrt(1.0 - scales.powers[1]) / (1.0 - scales.powers[0])
    rate, epsilon = np.float32(np.float64(fixed.rates[k]) * correction), fixed.epsilon[0]
    forget, forget_square = fixed.forget[0], fixed.forget[1]
    units = scales.units[0, column : column + cols]
    for i in range(first, last):
        begin = row[PLACE] + i * cols
        end = begin + cols
        real, mean, square = weights.weights[begin:end], weights.mean[begin:end], weights.square[begin:end]
        sums = _whole_sums(fixed, weights, scales, k, i)
        for j in range(np.uint64(cols)):
            gradient = np.float32(sums[j]) * units[j]
            m = mean[j] + forget * (gradient - mean[j])
            m = m if abs(m) > SETTLED else np.float32(0)
            v = square[j] + forget_square * (gradient * gradient - square[j])
            mean[j], square[j] = m, v
            real[j] = clamp(real[j] - rate * (m / (math.sqrt(v) + epsilon)), -limit, limit)


@njit(**PART)
def _round_forward(fixed, weights, k, first, last):  # type: ignore[no-untyped-def]
    """Rounds layer k's weights from inputs first .. last - 1, `first` even, for the way forward."""
    row = fixed.plan[k]
    cols, inputs = row[COLS], row[WIDTH] + 2
    for i in range(first, last, 2):
        begin = row[PLACE] + i * cols
        both = i + 1 < last
        there = np.float32(1 if both else 0)
        for column in range(0, cols, BLOCK):
            count = min(BLOCK, cols - column)
            upper = weights.weights[begin + column : begin + column + count]
            lower = weights.weights[begin + column + cols * both : begin + column + cols * both + count]
            place = row[FORWARD] + column * inputs + i * count
            out = weights.forward[place : place + 2 * count]
            for j in range(np.uint64(count)):
                out[np.uint64(2) * j] = np.int16(np.int32(rint(upper[j])))
                out[np.uint64(2) * j + np.uint64(1)] = np.int16(np.int32(rint(lower[j] * there)))


@njit(**PART)
def _backward(real, factor):  # type: ignore[no-untyped-def]
    """A weight for the way back."""
    limit = np.float32(BACKWARD_LIMIT)
    return np.int32(clamp(rint(real * factor), -limit, limit))


@njit(**PART)
def _round_backward(fixed, weights, scales, k, first, last):  # type: ignore[no-untyped-def]
    """Rounds layer k's weights from inputs first .. last - 1 for the way back, each output's by its gradients' unit."""
    row = fixed.plan[k]
    cols, column = row[COLS], row[COLUMN]
    factors = scales.factors[column : column + cols]
    for i in range(first, min(last, row[WIDTH])):
        begin, place = row[PLACE] + i * cols, row[BACKWARD] + i * cols
        real, out = weights.weights[begin : begin + cols], weights.backward[place : place + cols]
        for j in range(np.uint64(cols)):
            out[j] = np.int16(_backward(real[j], factors[j]))


@njit(**PART)
def _round_heads(fixed, weights, scales):  # type: ignore[no-untyped-def]
    """Rounds the heads' weights for the way back, likewise."""
    for c in range(1, fixed.shifts.shape[0]):
        first, count = fixed.components * (3 * c + c * (c - 1) // 2), (3 + c) * fixed.components
        factors = scales.factors[fixed.plan[-1, COLUMN] + first :]
        for u in range(fixed.units):
            for j in range(count):
                real = np.float32(fixed.adjust[c - 1, u, j])
                weights.heads[c - 1, u, j] = np.int16(_backward(real, factors[j]))


@njit(**PART)
def _even(number):  # type: ignore[no-untyped-def]
    return number // 2 * 2


@Apart
def update(expert, part, parts, begin):  # type: ignore[no-untyped-def]
    """A thread's share of an update. All threads begin it together, and nobody uses the weights before all are done.

    `begin`: the weights and peaks are the start's; only what follows from them is computed.
    """
    one = EXPERT(expert)
    fixed, weights, scales = FIXED(one.fixed), WEIGHTS(one.weights), SCALES(one.scales)
    if not begin:
        scales.powers[0] *= 1.0 - np.float64(fixed.forget[0])
        scales.powers[1] *= 1.0 - np.float64(fixed.forget[1])
        _new_peaks(weights, scales)
    _rescale(fixed, scales)
    for k in range(fixed.plan.shape[0]):
        inputs = fixed.plan[k, WIDTH] + 1
        first = _even(inputs * part // parts)
        last = _even(inputs * (part + 1) // parts) if part < parts - 1 else inputs
        if not begin:
            _adam(fixed, weights, scales, k, first, last)
        _round_forward(fixed, weights, k, first, last)
        if k:
            _round_backward(fixed, weights, scales, k, first, last)
    if part == 0:
        _round_heads(fixed, weights, scales)
    for j in range(np.uint64(scales.peaks.size)):
        scales.scales[0, j], scales.units[0, j] = scales.scales[1, j], scales.units[1, j]


@Apart
def update_edges(space, anew):  # type: ignore[no-untyped-def]
    """A thread's update of its edges, where they learn. `anew`: after all threads' updates, its sums begin at 0."""
    edges = SPACE(space).edges
    if edges.prior > 0:
        if anew:
            forget(edges)
        else:
            move(edges)
