"""The head of a local model: from a pixel's accumulators to mixture parameters, channel by channel, in integers.

The layers before it are in `nets/network.py`, a mixture's CDF in `coding/logistic.py`.

Outputs of the network for a pixel of C channels, K components and heads of U units:

    channel 0: 3K | channel 1: 4K | ... | channel C-1: (2 + C)K | U units for channel 1 | ... | for channel C-1

where a channel's parameters are K logits, K means, K log-scales, and K coefficients for each earlier channel.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import PART, VECTOR, Apart
from ...nets.layers import INT32_MAX

TOP_LEVEL = 255
"""Largest level of a unit."""
PARAMETER_LIMIT = 1 << 15
"""Every parameter is clamped to this, which keeps a mean within 512 grey levels of the prediction (units of 1/64)."""
COEFFICIENT_LIMIT = 8
"""A coefficient stays within [-8, 8]."""
LEAST_COEFFICIENT_BITS, MOST_COEFFICIENT_BITS = 7, 12
"""Bits of a coefficient after the binary point: at least one more than a mean's, and it fits PARAMETER_LIMIT."""


class Head(NamedTuple):
    """The head's arrays.

    bias, multiplier, shift: int32 [outputs]. learn int32 [C-1, C-1, U]: weights of the pixel's earlier
    channels; adjust int32 [C-1, U, (2 + C) K]: weights of the head's units. Both in units of the accumulators.
    coefficient_bits: a coefficient's unit is 2^-coefficient_bits.
    """

    components: int
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int32]
    coefficient_bits: int


BIAS, LIMIT, MULTIPLIER, SHIFT = (np.uint64(k) for k in range(4))
"""Rows of scales int32 [4, rows, W], by which int32 totals become parameters or levels: with their bias added,
(total * multiplier + 2^(shift - 1)) >> shift. Totals beyond the limit give, once clamped, what those at it give."""


class PackedHead(NamedTuple):
    """A head for kernels. first, first_unit int64 [C]: where in the network's outputs a channel's begin, and its
    units'; outputs int32 [4, C, W], units int32 [4, C-1, U]: their scales, padded to whole vectors; learn int32
    [C-1, C-1, U], adjust int32 [C-1, U, W]: as in `Head`, padded with zeros."""

    components: int
    coefficient_bits: int
    first: NDArray[np.int64]
    first_unit: NDArray[np.int64]
    outputs: NDArray[np.int32]
    units: NDArray[np.int32]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int32]


def packed_head(head: Head, channels: int) -> PackedHead:
    """The head of a model of this many channels, for kernels."""
    components, units = head.components, head.adjust.shape[1]
    counts = [(3 + c) * components for c in range(channels)]
    ends = np.cumsum([0, *counts, *[units] * (channels - 1)])
    width = _whole(counts[-1])
    learn = np.pad(head.learn, ((0, 0), (0, 0), (0, _whole(units) - units)))
    adjust = np.pad(head.adjust, ((0, 0), (0, _whole(units) - units), (0, width - head.adjust.shape[2])))
    return PackedHead(
        components,
        head.coefficient_bits,
        ends[:channels],
        ends[channels - 1 : 2 * channels - 1],
        _scales(head, ends[:channels], counts, width, PARAMETER_LIMIT),
        _scales(head, ends[channels : 2 * channels - 1], [units] * (channels - 1), _whole(units), TOP_LEVEL),
        learn,
        adjust,
    )


def _whole(count: int) -> int:
    return -(-count // VECTOR) * VECTOR


def _scales(head: Head, begins: NDArray[np.int64], counts: list[int], width: int, most: int) -> NDArray[np.int32]:
    """Scales of the outputs that begin at each start, clamped to `most`."""
    scales = np.zeros((4, len(counts), width), np.int32)
    scales[MULTIPLIER], scales[SHIFT] = 1, 1
    for row, (begin, count) in enumerate(zip(begins.tolist(), counts, strict=True)):
        part = slice(begin, begin + count)
        scales[BIAS, row, :count], scales[MULTIPLIER, row, :count] = head.bias[part], head.multiplier[part]
        scales[SHIFT, row, :count] = head.shift[part]
    reached = (most + 1 << scales[SHIFT].astype(np.int64)) - 1
    scales[LIMIT] = np.minimum(reached // scales[MULTIPLIER] + 1, INT32_MAX)
    return scales


@njit(**PART)
def _rescaled(total, scales, row, j):  # type: ignore[no-untyped-def]
    """An int32 total times its multiplier / 2^shift, rounded, int32."""
    limit, shift = scales[LIMIT, row, j], np.uint64(np.uint32(scales[SHIFT, row, j]))
    total = total if total < limit else limit
    total = total if total > -limit else np.int32(-limit)
    product = np.int64(total) * np.int64(scales[MULTIPLIER, row, j]) + (np.int64(1) << (shift - np.uint64(1)))
    # The result fits an int32, so its low bits are right however the sign is shifted in; AVX2 shifts in only zeros.
    return np.int32(np.uint64(product) >> shift)


@njit(**PART)
def _clamp(value, low, high):  # type: ignore[no-untyped-def]
    value = value if value > low else low
    return value if value < high else high


@Apart
def channel_parameters(head, sums, begin, count, channel, predictions, differences, seen, levels, params):  # type: ignore[no-untyped-def]
    """Mixture parameters of one channel of the pixels begin .. begin + count - 1, given the pixels' earlier channels.

    `sums` int32 [> begin, >= outputs + VECTOR]: the network's last products, and anything behind them.
    `predictions` int32 [C, > begin]: each channel's prediction (0 .. 255). `differences`, `seen` int32 [C, count]: of
    the earlier channels the value minus it, and that as the network sees it. `levels` int32 [>= padded U] is scratch.
    Fills params int32 [count, padded (2 + C) K]:
    logits (1/32 nat), means (1/64 grey level, absolute), log-scales (1/32 nat), then the coefficients.
    """
    row, components, used = np.uint64(channel), head.components, (3 + channel) * head.components
    # Whole vectors, and LLVM sees it.
    width = np.uint64((used + VECTOR - 1) // VECTOR * VECTOR)
    first, low, high = np.uint64(head.first[row]), np.int32(-PARAMETER_LIMIT), np.int32(PARAMETER_LIMIT)
    scales = head.outputs
    for i in range(np.uint64(count)):
        pixel = np.uint64(begin) + i
        for j in range(width):
            params[i, j] = sums[pixel, first + j] + scales[BIAS, row, j]
        if channel > 0:
            _add_units(head, sums, pixel, row, seen, i, levels, params)
        for j in range(width):
            params[i, j] = _clamp(_rescaled(params[i, j], scales, row, j), low, high)
        _shift_means(head, row, np.uint64(components), np.int32(predictions[row, pixel]), differences, i, params)


@njit(**PART)
def _shift_means(head, channel, components, prediction, differences, i, params):  # type: ignore[no-untyped-def]
    """Makes a pixel's means absolute: adds the prediction, and the terms of the earlier channels' differences."""
    # Coefficients have this many bits more than a mean's 1/64 = 2^-6.
    finer = np.int32(head.coefficient_bits - 6)
    half, limit = np.int32(1) << (finer - np.int32(1)), np.int32(COEFFICIENT_LIMIT << head.coefficient_bits)
    for k in range(components):
        params[i, components + k] += np.int32(64) * prediction
    for e in range(channel):
        difference, coefficients = differences[e, i], (np.uint64(3) + e) * components
        for k in range(components):
            coefficient = _clamp(params[i, coefficients + k], np.int32(-limit), limit)
            params[i, components + k] += np.int32(coefficient * difference + half) >> finer


@njit(**PART)
def _add_units(head, sums, pixel, channel, seen, i, levels, params):  # type: ignore[no-untyped-def]
    """Adds to a channel's params what the head's units make of the pixel's earlier channels."""
    learn, adjust, scales = head.learn, head.adjust, head.units
    later, first = channel - np.uint64(1), np.uint64(head.first_unit[channel])
    units = np.uint64(adjust.shape[1]) // np.uint64(VECTOR) * np.uint64(VECTOR)  # all of them; LLVM sees whole vectors
    width = np.uint64(adjust.shape[2]) // np.uint64(VECTOR) * np.uint64(VECTOR)
    for u in range(units):
        levels[u] = sums[pixel, first + u] + scales[BIAS, later, u]
    for k in range(channel):
        earlier = seen[k, i]
        for u in range(units):
            levels[u] += np.int32(learn[later, k, u] * earlier)
    for u in range(units):
        levels[u] = _clamp(_rescaled(levels[u], scales, later, u), np.int32(0), np.int32(TOP_LEVEL))
    # Eight at a time, so that sums are not written and read again for each.
    for u in range(np.uint64(0), units, np.uint64(8)):
        u1, u2, u3, u4 = u + np.uint64(1), u + np.uint64(2), u + np.uint64(3), u + np.uint64(4)
        u5, u6, u7 = u + np.uint64(5), u + np.uint64(6), u + np.uint64(7)
        a, b, c, d = levels[u], levels[u1], levels[u2], levels[u3]
        e, f, g, h = levels[u4], levels[u5], levels[u6], levels[u7]
        for j in range(width):
            s0 = np.int32(adjust[later, u, j] * a) + np.int32(adjust[later, u1, j] * b)
            s1 = np.int32(adjust[later, u2, j] * c) + np.int32(adjust[later, u3, j] * d)
            s2 = np.int32(adjust[later, u4, j] * e) + np.int32(adjust[later, u5, j] * f)
            s3 = np.int32(adjust[later, u6, j] * g) + np.int32(adjust[later, u7, j] * h)
            params[i, j] += np.int32(np.int32(s0 + s1) + np.int32(s2 + s3))
