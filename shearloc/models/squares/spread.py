"""How far a sample may be from its prediction: a scale by what is around, and a shape learned while coding.

The scale is 2 to a sum of logarithms, whose weights descend along the gradient of the Laplace distribution's code
length, times the mean ratio of errors to scales at scales like it. The shape is a CDF over 32 bins of equal mass under
the table of `tables.py`; each class of scales learns its own.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL
from .experts import REACH
from .tables import ARGUMENT_BITS, POWER_BITS, SHAPE_BITS, SHAPE_RANGE, STEPS, tables

FEATURES = 7
PRECISION = 26
"""Bits of a frequency."""
BINS = 32
_BIN_BITS = SHAPE_BITS - 5
CLASSES = 20
LOWEST_LOG, HIGHEST_LOG = -4.0, 16.0
"""Of a scale."""
BUCKETS = 20 * 8
"""Eight for each power of two."""
SHARE_BITS = 16
FLATS = 4

LEAST_SCALE = 2.0**-6
_EARLY, _EARLY_COUNT = 8000.0, 1000.0
_RATE = 3 * 2.0**-14
_CENTRE = 2.0**-9
_FRACTION = ARGUMENT_BITS - 6

_TABLES = tables()
_LOGARITHMS, _POWERS, _SHAPE = _TABLES.logarithms, _TABLES.powers, _TABLES.shape
_TWOS = 2.0 ** np.arange(-4, 17)


class State(NamedTuple):
    """What is learned of a channel: weights float64 [7] and centres [3] of the features; ratios float64 [160, 2]: sums
    of ratios of errors to scales, and counts; shapes int64 [20, 33], counts int64 [21] (of classes, and of all);
    flats int64 [4]: chances in 2^-16 that a sample is as its neighbours, which are all equal. Channels come first.
    The others are scratch."""

    weights: NDArray[np.float64]
    centres: NDArray[np.float64]
    ratios: NDArray[np.float64]
    shapes: NDArray[np.int64]
    counts: NDArray[np.int64]
    flats: NDArray[np.int64]
    features: NDArray[np.float64]


def state(channels: int, weights: NDArray[np.int32], shapes: NDArray[np.int32]) -> State:
    """What is known before the first sample; weights in 2^-16."""
    return State(
        np.tile(weights / 65536.0, (channels, 1)),
        np.zeros((channels, 3)),
        np.full((channels, BUCKETS, 2), 20.0),
        np.tile(shapes.astype(np.int64), (channels, 1, 1)),
        np.zeros((channels, CLASSES + 1), np.int64),
        np.full((channels, FLATS), 1 << SHARE_BITS - 1, np.int64),
        np.zeros(FEATURES),
    )


@njit(**KERNEL)
def logarithm(value):  # type: ignore[no-untyped-def]
    """log2 of value + 1/4, for a value from 0 to 2^30; in 1/256, rounded down about."""
    number = np.int64(value * 1024.0) + 256
    bits = 0
    while number >> bits > 511:
        bits += 1
    return (np.float64(bits) * STEPS + _LOGARITHMS[(number >> bits) - 256]) / STEPS - 2.0


@njit(**KERNEL)
def as_flat(values, x):  # type: ignore[no-untyped-def]
    """The value of W, N, NW and NE, if they are equal; -1 otherwise."""
    at = x + REACH
    west = values[REACH, at - 1]
    equal = west == values[2, at] and west == values[2, at - 1] and west == values[2, at + 1]
    return np.int64(west) if equal else np.int64(-1)


@njit(**KERNEL)
def flat_kind(values, x):  # type: ignore[no-untyped-def]
    """0 to 3, by whether WW and NN equal W."""
    at = x + REACH
    west = values[REACH, at - 1]
    return 2 * np.int64(west == values[REACH, at - 2]) + np.int64(west == values[1, at])


@njit(**KERNEL)
def edges(values, x):  # type: ignore[no-untyped-def]
    """The mean difference between neighbours: W and NW, N and NE, N and NW."""
    at = x + REACH
    west, north, corner = values[REACH, at - 1], values[2, at], values[2, at - 1]
    return (abs(west - corner) + abs(north - values[2, at + 1]) + abs(north - corner)) / 3.0


@njit(**KERNEL)
def scale_of(state, channel, near, middle, far, apart, edges, together):  # type: ignore[no-untyped-def]
    """(scale, bucket, scale without its bucket's ratio)."""
    features, centres = state.features, state.centres[channel]
    features[0] = 1.0
    features[1] = logarithm(0.6 * near + 0.25 * middle + 0.15 * far)
    features[2] = logarithm(0.6 * middle + 0.4 * far)
    features[3] = logarithm(0.2 * middle + 0.8 * far)
    features[4] = logarithm(apart)
    features[5] = logarithm(edges)
    features[6] = 0.5 * logarithm(together)
    total = 0.0
    for k in range(FEATURES):
        if k > 3:
            features[k] -= centres[k - 4]
            centres[k - 4] += _CENTRE * features[k]
        total += state.weights[channel, k] * features[k]
    if not total > LOWEST_LOG:
        total = LOWEST_LOG
    if total > HIGHEST_LOG - 1.0 / STEPS:
        total = HIGHEST_LOG - 1.0 / STEPS
    steps = np.int64((total - LOWEST_LOG) * STEPS)
    bucket = steps >> 5
    raw = _TWOS[steps >> 8] * (np.float64(_POWERS[steps & 255]) / (1 << POWER_BITS))
    ratio = state.ratios[channel, bucket]
    scale = raw * (ratio[0] / ratio[1])
    if not scale > LEAST_SCALE:
        scale = LEAST_SCALE
    return scale, bucket, raw


@njit(**KERNEL)
def shape_at(edge, together, inverse):  # type: ignore[no-untyped-def]
    """The table's CDF at an edge between two values, 0 to 2^32; `inverse` is 1 over the scale."""
    z = (edge - together) * inverse
    if z > 16.0:
        z = 16.0
    if z < -16.0:
        z = -16.0
    argument = np.int64(z * (1 << ARGUMENT_BITS)) + (SHAPE_RANGE << ARGUMENT_BITS)
    index, fraction = argument >> _FRACTION, argument & ((1 << _FRACTION) - 1)
    return _SHAPE[index, 0] + (_SHAPE[index, 1] * fraction >> _FRACTION)


@njit(**KERNEL)
def cdf(value, levels, together, inverse, shape):  # type: ignore[no-untyped-def]
    """F(value) for a value from 0 to `levels`: from 0 to 2^26, each value with at least one count."""
    if value <= 0:
        return np.int64(0)
    if value >= levels:
        return np.int64(1 << PRECISION)
    u = shape_at(np.float64(value) - 0.5, together, inverse)
    k = min(u >> _BIN_BITS, BINS - 1)
    inside = shape[k] + ((shape[k + 1] - shape[k]) * (u - (k << _BIN_BITS)) >> _BIN_BITS)
    return (inside * ((1 << PRECISION) - levels) >> PRECISION) + value


@njit(**KERNEL)
def search(target, levels, together, inverse, shape):  # type: ignore[no-untyped-def]
    """The value with F(value) <= target < F(value + 1)."""
    low, high = np.int64(0), np.int64(levels)
    step = np.int64(1.0 / inverse) + 1
    middle = min(max(np.int64(together + 0.5), np.int64(1)), levels - 1)
    while high - low > 1:
        middle = min(max(middle, low + 1), high - 1)
        if cdf(middle, levels, together, inverse, shape) <= target:
            low = middle
            middle = middle + step if high == levels else (low + high) >> 1
        else:
            high = middle
            middle = middle - step if low == 0 else (low + high) >> 1
        step *= 2
    return low


@njit(**KERNEL)
def learn(state, channel, value, together, inverse, raw, bucket) -> None:  # type: ignore[no-untyped-def]
    """Take in a sample."""
    error = abs(np.float64(value) - together)
    ratio = state.ratios[channel, bucket]
    ratio[0] += error / raw
    ratio[1] += 1.0
    if ratio[1] > 1000.0:
        ratio[0] *= 0.5
        ratio[1] *= 0.5
    counts = state.counts[channel]
    counts[CLASSES] += 1
    beyond = error / raw
    if beyond > 4.0:
        beyond = 4.0
    step = _RATE * (1.0 + _EARLY / (np.float64(counts[CLASSES]) + _EARLY_COUNT)) * (beyond - 1.0)
    for k in range(FEATURES):
        state.weights[channel, k] += step * state.features[k]
    kind = bucket >> 3
    counts[kind] += 1
    _reshape(state.shapes[channel, kind], counts[kind], np.float64(value), together, inverse)


@njit(**KERNEL)
def _reshape(shape, count, value, together, inverse) -> None:  # type: ignore[no-untyped-def]
    """Draw a class's shape towards a sample's place in it, a ramp a bin wider on both sides."""
    low = shape_at(value - 0.5, together, inverse) - (1 << _BIN_BITS)
    wide = shape_at(value + 0.5, together, inverse) + (1 << _BIN_BITS) - low
    rate = 6 + (count > 128) + (count > 512) + (count > 2048) + (count > 8192)
    slope = (1 << 2 * PRECISION - 10) // (wide >> 10)
    for k in range(1, BINS):
        ramp = ((k << _BIN_BITS) - low) * slope >> PRECISION
        goal = min(max(ramp, 0), 1 << PRECISION)
        shape[k] += (goal - shape[k]) >> rate
