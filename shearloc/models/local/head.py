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

from ...kernels import PART, VECTOR, Apart, address, clamp
from ...nets.layers import INT32_MAX
from .head_tiles import BIAS, HALF, HIGH_BITS, LIMIT, MULTIPLIER, ROWS, SHIFT, TILE, parameters, unit_levels

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


class PackedHead(NamedTuple):
    """A head for kernels. first, first_unit int64 [C]: where in the network's outputs a channel's begin, and its
    units'; outputs int32 [C, 5, W], units int32 [C-1, 5, U]: their scales (`head_tiles`), padded to whole vectors;
    wide_outputs, wide_units int64 [C]: whether products with the multipliers may leave an int32; learn int32
    [C-1, C-1, U]: as in `Head`, padded with zeros; highs, lows int16 [C-1, W / VECTOR, U / 2, VECTOR, 2]: `adjust` for
    tiles and pairs of units, in two parts; no pairs in `highs` where these are all 0."""

    components: int
    coefficient_bits: int
    first: NDArray[np.int64]
    first_unit: NDArray[np.int64]
    outputs: NDArray[np.int32]
    units: NDArray[np.int32]
    wide_outputs: NDArray[np.int64]
    wide_units: NDArray[np.int64]
    learn: NDArray[np.int32]
    highs: NDArray[np.int16]
    lows: NDArray[np.int16]


def packed_head(head: Head, channels: int) -> PackedHead:
    """The head of a model of this many channels, for kernels."""
    components, units = head.components, head.adjust.shape[1]
    counts = [(3 + c) * components for c in range(channels)]
    ends = np.cumsum([0, *counts, *[units] * (channels - 1)])
    width = _whole(counts[-1])
    padding = _whole(units) - units
    learn = np.pad(head.learn, ((0, 0), (0, 0), (0, padding)))
    adjust = np.pad(head.adjust, ((0, 0), (0, padding), (0, width - head.adjust.shape[2])))
    highs = (adjust + (1 << HIGH_BITS - 1)) >> HIGH_BITS
    outputs = _scales(head, ends[:channels], counts, width, PARAMETER_LIMIT)
    levels = _scales(head, ends[channels : 2 * channels - 1], [units] * (channels - 1), _whole(units), TOP_LEVEL)
    return PackedHead(
        components,
        head.coefficient_bits,
        ends[:channels],
        ends[channels - 1 : 2 * channels - 1],
        outputs,
        levels,
        _wide(outputs),
        _wide(levels),
        learn,
        _pairs(highs)[:, :, : None if highs.any() else 0].copy(),
        _pairs(adjust - (highs << HIGH_BITS)),
    )


def _whole(count: int) -> int:
    return -(-count // VECTOR) * VECTOR


def _pairs(weights: NDArray[np.int32]) -> NDArray[np.int16]:
    """Weights [C-1, U, W] as int16 [C-1, W / VECTOR, U / 2, VECTOR, 2]."""
    later, units, width = weights.shape
    parts = weights.reshape(later, units // 2, 2, width // VECTOR, VECTOR)
    return np.ascontiguousarray(parts.transpose(0, 3, 1, 4, 2), np.int16)


def _scales(head: Head, begins: NDArray[np.int64], counts: list[int], width: int, most: int) -> NDArray[np.int32]:
    """Scales of the outputs that begin at each start, clamped to `most`."""
    scales = np.zeros((len(counts), ROWS, width), np.int32)
    scales[:, [MULTIPLIER, SHIFT]] = 1
    for row, (begin, count) in enumerate(zip(begins.tolist(), counts, strict=True)):
        part = slice(begin, begin + count)
        for kind, values in ((BIAS, head.bias), (MULTIPLIER, head.multiplier), (SHIFT, head.shift)):
            scales[row, kind, :count] = values[part]
    shift = scales[:, SHIFT].astype(np.int64)
    reached = (most + 1 << shift) - 1
    scales[:, LIMIT] = np.minimum(reached // scales[:, MULTIPLIER] + 1, INT32_MAX)
    scales[:, HALF] = 1 << shift - 1
    return scales


def _wide(scales: NDArray[np.int32]) -> NDArray[np.int64]:
    """Of each channel's scales, whether products of totals may leave an int32: 0 or 1."""
    limit, multiplier, half = (scales[:, row].astype(np.int64) for row in (LIMIT, MULTIPLIER, HALF))
    return np.array((limit * multiplier + half).max(1, initial=0) > INT32_MAX, np.int64)


@Apart
def channel_parameters(head, sums, begin, count, channel, predictions, differences, seen, levels, params):  # type: ignore[no-untyped-def]
    """Mixture parameters of one channel of the pixels begin .. begin + count - 1, given the pixels' earlier channels.

    `sums` int32 [> begin, >= outputs + VECTOR]: the network's last products, and anything behind them.
    `predictions` int32 [C, > begin]: each channel's prediction (0 .. 255). `differences`, `seen` int32 [C, count]: of
    the earlier channels the value minus it, and that as the network sees it. `levels` int32 [2, padded U] is scratch.
    Fills params int32 [count, padded (2 + C) K]:
    logits (1/32 nat), means (1/64 grey level, absolute), log-scales (1/32 nat), then the coefficients.
    """
    row, components, wide = np.uint64(channel), head.components, head.wide_outputs[np.uint64(channel)]
    tiles = ((3 + channel) * components + VECTOR - 1) // VECTOR
    first, width, pairs = 4 * head.first[row], 4 * head.outputs.shape[2], address(levels) + 4 * levels.shape[1]
    scales, (highs, lows) = address(head.outputs) + channel * ROWS * width, _weights(head, channel)
    high, low = (head.highs.shape[2], head.lows.shape[2]) if channel > 0 else (0, 0)
    for i in range(np.uint64(count)):
        pixel = begin + np.int64(i)
        place, out = address(sums) + pixel * 4 * sums.shape[1], address(params) + np.int64(i) * 4 * params.shape[1]
        if channel > 0:
            _unit_levels(head, place, row, seen, i, levels, pairs)
        for tile in range(tiles):
            at = TILE * tile
            sources = place + first + at, scales + at, width, wide, PARAMETER_LIMIT
            parameters(*sources, pairs, high, highs + at * high, low, lows + at * low, out + at)
        prediction = np.int32(predictions[row, np.uint64(pixel)])
        _shift_means(head, row, np.uint64(components), prediction, differences, i, params)


@njit(**PART)
def _weights(head, channel):  # type: ignore[no-untyped-def]
    """Where the high weights of a channel's units begin, and the low ones."""
    highs, lows, later = head.highs, head.lows, channel - 1
    size = TILE * head.lows.shape[1] * later
    return address(highs) + size * highs.shape[2], address(lows) + size * lows.shape[2]


@njit(**PART)
def _unit_levels(head, sums, channel, seen, i, levels, out):  # type: ignore[no-untyped-def]
    """Levels int16 of a channel's units, for the pixel whose sums begin at an address, given its earlier channels."""
    later, count = channel - np.uint64(1), levels.shape[1]
    units = np.uint64(count // VECTOR * VECTOR)  # all of them; LLVM sees whole vectors
    total, first = levels[0], sums + 4 * head.first_unit[channel]
    scales, wide = address(head.units) + np.int64(later) * ROWS * 4 * count, head.wide_units[later]
    for u in range(units):
        total[u] = head.learn[later, np.uint64(0), u] * seen[0, i]
    for k in range(np.uint64(1), channel):
        for u in range(units):
            total[u] += np.int32(head.learn[later, k, u] * seen[k, i])
    for u in range(0, count, VECTOR):
        unit_levels(first + 4 * u, address(levels) + 4 * u, scales + 4 * u, 4 * count, wide, TOP_LEVEL, out + 2 * u)


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
            coefficient = clamp(params[i, coefficients + k], np.int32(-limit), limit)
            params[i, components + k] += np.int32(coefficient * difference + half) >> finer
