"""The head of a local model: from a pixel's accumulators to mixture parameters, channel by channel, in integers.

It knows nothing of the layers before it (`network.py`), nor of what a mixture's CDF is (`coding/logistic.py`).

Outputs of the network for a pixel of C channels, K components and heads of U units:

    channel 0: 3K | channel 1: 4K | ... | channel C-1: (2 + C)K | U units for channel 1 | ... | for channel C-1

where a channel's parameters are K logits, K means, K log-scales, and K coefficients for each earlier channel.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

PARAMETER_LIMIT = 1 << 15
"""Every parameter is clamped to this; it keeps a mean within 512 grey levels of the prediction (units of 1/64)."""
COEFFICIENT_LIMIT = 8
"""A coefficient stays within [-8, 8]."""
LEAST_COEFFICIENT_BITS, MOST_COEFFICIENT_BITS = 7, 12
"""Bits of a coefficient after the binary point: at least one more than a mean's, and it fits PARAMETER_LIMIT."""

VECTOR = 16
"""A head's kernels want rows of a multiple of so many integers, which fill a processor's vectors."""


class Head(NamedTuple):
    """What the last step needs, as arrays (Numba takes a NamedTuple).

    bias, multiplier, shift: int32 [outputs]. learn int32 [C-1, C-1, U]: weights of the pixel's earlier
    channels; adjust int32 [C-1, U, (2 + C) K]: weights of the head's units. Both in units of the accumulators. The last
    axis of adjust is longer than that, with zeros, up to a multiple of VECTOR.
    coefficient_bits: a coefficient's unit is 2^-coefficient_bits.
    """

    components: int
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int32]
    coefficient_bits: int


@njit(inline="always")
def _rescale(total, multiplier, shift):  # type: ignore[no-untyped-def]
    """total * multiplier / 2^shift, rounded; int64, total an int32."""
    return (np.int64(total) * multiplier + (np.int64(1) << np.int64(shift - 1))) >> np.int64(shift)


@njit(inline="always")
def _clamp(value, limit):  # type: ignore[no-untyped-def]
    return np.int32(min(max(value, -limit), limit))


@njit(cache=True, nogil=True)
def channel_parameters(head, sums, channel, predictions, differences, seen, levels, params):  # type: ignore[no-untyped-def]
    """Mixture parameters of one channel of n pixels, given the pixels' earlier channels.

    `sums` [n, >= outputs]: the network's last products (int32, or float32 holding integers). `predictions`,
    `differences`, `seen` int32 [C, n]: each channel's prediction (0 .. 255), and for the earlier channels the
    value minus it, and that as the network sees it. `levels` int32 [>= U] is scratch.
    Fills params int32 [n, >= (3 + channel) K], as wide as `head.adjust`:
    logits (1/32 nat), means (1/64 grey level, absolute), log-scales (1/32 nat), then the coefficients.
    """
    # Indices are unsigned: Numba looks whether signed ones count from the end, and LLVM then makes no vectors.
    components, count = np.uint64(head.components), np.uint64((3 + channel) * head.components)
    first = np.uint64(head.components * (3 * channel + channel * (channel - 1) // 2))
    bias, multiplier, shift = head.bias, head.multiplier, head.shift
    # Of a mean's 1/64 = 2^-6, coefficients have so many bits more.
    finer = np.int32(head.coefficient_bits - 6)
    half, limit = np.int32(1) << (finer - np.int32(1)), np.int32(COEFFICIENT_LIMIT << head.coefficient_bits)
    pixels = np.uint64(sums.shape[0])
    for i in range(pixels):
        for j in range(count):
            params[i, j] = np.int32(sums[i, first + j]) + bias[first + j]
    if channel > 0:
        _add_units(head, sums, channel, seen, levels, params)
    for i in range(pixels):
        for j in range(count):
            params[i, j] = _clamp(_rescale(params[i, j], multiplier[first + j], shift[first + j]), PARAMETER_LIMIT)
        for e in range(np.uint64(channel)):
            difference, coefficients = differences[e, i], (np.uint64(3) + e) * components
            for k in range(components):
                coefficient = _clamp(params[i, coefficients + k], limit)
                params[i, components + k] += np.int32(coefficient * difference + half) >> finer
        prediction = np.int32(64 * predictions[channel, i])
        for k in range(components):
            params[i, components + k] += prediction


@njit(cache=True, nogil=True)
def _add_units(head, sums, channel, seen, levels, params):  # type: ignore[no-untyped-def]
    """Adds what the head's units for a channel, which have seen the pixels' earlier ones, give to its params."""
    learn, adjust, bias, multiplier, shift = head.learn, head.adjust, head.bias, head.multiplier, head.shift
    later, units = np.uint64(channel - 1), np.uint64(adjust.shape[1])
    width = np.uint64(adjust.shape[2]) // np.uint64(VECTOR) * np.uint64(VECTOR)  # all of it; LLVM sees whole vectors
    base = np.uint64(bias.size - (adjust.shape[0] - channel + 1) * adjust.shape[1])
    together = units - units % np.uint64(8)
    for i in range(np.uint64(sums.shape[0])):
        for u in range(units):
            levels[u] = np.int32(sums[i, base + u]) + bias[base + u]
        for k in range(np.uint64(channel)):
            earlier = seen[k, i]
            for u in range(units):
                levels[u] += np.int32(learn[later, k, u] * earlier)
        for u in range(units):
            levels[u] = min(max(_rescale(levels[u], multiplier[base + u], shift[base + u]), 0), 255)
        # Eight at a time, so that sums are not written and read again for each.
        for u in range(np.uint64(0), together, np.uint64(8)):
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
        for u in range(together, units):
            for j in range(width):
                params[i, j] += np.int32(adjust[later, u, j] * levels[u])
