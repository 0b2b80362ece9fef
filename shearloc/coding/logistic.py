"""The logistic mixture as an integer CDF. Nothing here is a float.

The discretised logistic-uniform mixture (thesis, eq. 5.7) over the grey levels 0 .. 255, at 24 bits:

    F(x) = sum_k weight_k * sigmoid((edge_x - mean_k) / scale_k) / 2^22 + 6 x,    F(0) = 0, F(256) = 2^24

Level x lies between edge_x and edge_(x + 1): 64 x - 32 and 64 x + 32, if nothing has moved them. `weight_k` sum to at
most 2^24 - 6 * 256; `sigmoid` is a table of 22-bit integers read with linear interpolation. Six counts of every level
are the uniform's, so F is strictly increasing.

    0 ........ F(x) ====== F(x + 1) ........ 2^24        start = F(x), freq = F(x + 1) - F(x)

The tables are correctly rounded from `decimal`, which is the same everywhere, unlike a libm's `exp`.
The float twin is `training/likelihoods.py`.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..kernels import PART, address, entry

PRECISION = 24
"""Bits of a cumulative frequency."""

LEVELS = 256
FLOOR = 6
"""Counts of 2^24 that every level has at least."""

MIXTURE_TOTAL = (1 << PRECISION) - FLOOR * LEVELS

SIGMOID_BITS = 22
SIGMOID_RANGE = 16
"""The sigmoid table covers [-16, 16] ..."""
SIGMOID_STEPS = 64
"""... with so many entries per unit."""
FRACTION_BITS = 8
"""Bits of an argument beyond the table's resolution."""

LOGIT_STEPS = 32
"""Mixture logits come in 1/32 nat."""
LOGIT_RANGE = 16
"""A component further below the largest (in nats) gets the weight of e^-16."""

SCALE_STEPS = 32
"""Log-scales come in 1/32 nat ..."""
SCALE_LOW, SCALE_HIGH = -112, 192
"""... from -3.5 to 6."""
INVERSE_BITS = 20

MEAN_STEPS = 64
"""Means and edges come in 1/64 grey level."""

EDGES = MEAN_STEPS * np.arange(LEVELS + 1) - MEAN_STEPS // 2
"""Where levels begin and end, int64 [257]: the edges of levels that are equally wide. The outer two mean nothing."""

ARGUMENT_SHIFT = INVERSE_BITS + 6 - 6 - FRACTION_BITS
ARGUMENT_LIMIT = SIGMOID_RANGE * SIGMOID_STEPS << FRACTION_BITS

SHARE_BITS = np.uint64(39)
"""Bits of 1 over the sum of all weights; with 24 of a weight they fit 64, and a quotient is at most one too small."""

ODDS_SHIFT = PRECISION - 10
"""A search looks up log-odds by the first 10 bits of a probability ..."""
LOG_ODDS_BITS = 8
"""... in 2^-8 nat. They say where it looks, not what it finds."""
LOOKS = 6
"""Newton steps of a search before it goes on by halves."""


ENTRIES = (2 * SIGMOID_RANGE * SIGMOID_STEPS + 1, LOGIT_RANGE * LOGIT_STEPS + 1, SCALE_HIGH - SCALE_LOW + 1, 1024)
"""Of the sigmoid, the exponential of logits, the inverse scale and the log-odds."""
FILE = Path(__file__).with_suffix(".npy")
"""All tables, int32, one after another. `tables.py` computes them, which takes longer than loading them."""


@cache
def _loaded() -> list[NDArray[np.int64]]:
    return np.split(np.load(FILE).astype(np.int64), np.cumsum(ENTRIES)[:-1])


@cache
def tables() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The tables: sigmoid int64 [2049, 2], exponential of logits int64 [513], inverse scale int64 [305].

    sigmoid[k] = 2^22 / (1 + e^(16 - k/64)) and its difference to the next (0 at the end);
    exponential[k] = 2^24 e^(-k/32); inverse[k] = 2^20 e^(3.5 - k/32). All rounded to the nearest integer.
    """
    values, exponential, inverse, _ = _loaded()
    pairs = np.stack([values, np.diff(values, append=values[-1])], 1)
    return np.ascontiguousarray(pairs), exponential, inverse


_LOG_ODDS = _loaded()[3]
"""2^8 ln(p / (1 - p)) in the middles p of 1024 intervals of [0, 1]."""


@njit(**PART)
def mixture(params, exponential, inverse, weights, means, inverses) -> None:  # type: ignore[no-untyped-def]
    """Unpacks int32 params [>= 3K] (logits, means, log-scales) into int64 [K] each:

    weights with a sum in (MIXTURE_TOTAL - K, MIXTURE_TOTAL], means as they are (1/64 grey level),
    inverses 2^20 / scale, the log-scale clamped to [-3.5, 6] nats. `exponential`, `inverse`: from `tables`.
    """
    components = np.uint64(weights.size)
    largest, total = params[np.uint64(0)], np.int64(0)
    for k in range(np.uint64(1), components):
        largest = params[k] if params[k] > largest else largest
    for k in range(components):
        below = min(np.int64(largest - params[k]), np.int64(LOGIT_RANGE * LOGIT_STEPS))
        weights[k] = exponential[np.uint64(below)]
        total += weights[k]
        means[k] = params[components + k]
        scale = min(max(np.int64(params[np.uint64(2) * components + k]), np.int64(SCALE_LOW)), np.int64(SCALE_HIGH))
        inverses[k] = inverse[np.uint64(scale - SCALE_LOW)]
    # Of one division for all: weight * whole / total, rounded down, or one less, which the remainder tells.
    whole, sum_of_all = np.uint64(MIXTURE_TOTAL), np.uint64(total)
    share = (whole << SHARE_BITS) // sum_of_all
    for k in range(components):
        weight = np.uint64(weights[k])
        quotient = weight * share >> SHARE_BITS
        remainder = weight * whole - quotient * sum_of_all
        weights[k] = np.int64(quotient) + np.int64(remainder >= sum_of_all)


@njit(**PART)
def _sigmoid_and_step(product, sigmoid):  # type: ignore[no-untyped-def]
    """`sigmoid_at`, and the difference between the table's entries on both sides."""
    argument = (product >> ARGUMENT_SHIFT) + ARGUMENT_LIMIT
    argument = max(np.int64(0), min(argument, np.int64(2 * ARGUMENT_LIMIT)))
    # An unsigned index spares Numba's test for indices from the end; the search takes a third of the time.
    index = np.uint64(argument) >> np.uint64(FRACTION_BITS)
    place = address(sigmoid) + 16 * np.int64(index)
    fraction, value, step = argument & ((1 << FRACTION_BITS) - 1), entry(place), entry(place + 8)
    return argument - ARGUMENT_LIMIT, value + (step * fraction >> FRACTION_BITS), step


@njit(**PART)
def sigmoid_at(product, sigmoid):  # type: ignore[no-untyped-def]
    """(argument, value) of the sigmoid at `product`, a distance in 1/64 grey level times an inverse scale of 2^-20.

    The argument in 2^-14, limited to [-16, 16]; the value in 2^-22. `sigmoid`: `tables()[0]`.
    """
    argument, value, _ = _sigmoid_and_step(product, sigmoid)
    return argument, value


@njit(**PART)
def _cdf_and_slope(x, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """F(x) for x in 1 .. 255, and about how much it grows to the next level, at least FLOOR."""
    edge, total, slope = edges[np.uint64(x)], np.int64(0), np.int64(0)
    for k in range(np.uint64(weights.size)):
        _, value, step = _sigmoid_and_step((edge - means[k]) * inverses[k], sigmoid)
        total += weights[k] * value
        # A level is inverse / 2^14 steps of the table: 36 bits too many with the sigmoid's 22, 16 of them gone here.
        slope += (weights[k] * step >> 16) * inverses[k]
    return (total >> SIGMOID_BITS) + FLOOR * x, (slope >> 20) + FLOOR


@njit(**PART)
def mixture_cdf(x, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """F(x) for x in 0 .. 256, int. `edges` (int64 [257]) and `means`: 1/64 grey level; `sigmoid`: `tables()[0]`."""
    if x <= 0:
        return np.int64(0)
    if x >= LEVELS:
        return np.int64(1 << PRECISION)
    return _cdf_and_slope(x, edges, weights, means, inverses, sigmoid)[0]


@njit(**PART)
def mixture_interval(x, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """F(x) and F(x + 1) - F(x) for x in 0 .. 255."""
    edge, low, high = edges[np.uint64(x)], np.int64(0), np.int64(0)
    wide = edges[np.uint64(x + 1)] - edge
    for k in range(np.uint64(weights.size)):
        product, level = (edge - means[k]) * inverses[k], wide * inverses[k]
        for upper in range(2):
            share = weights[k] * sigmoid_at(product + upper * level, sigmoid)[1]
            low, high = low if upper else low + share, high + share if upper else high
    start = (low >> SIGMOID_BITS) + FLOOR * x if x > 0 else np.int64(0)
    end = (high >> SIGMOID_BITS) + FLOOR * (x + 1) if x < LEVELS - 1 else np.int64(1 << PRECISION)
    return start, end - start


@njit(**PART)
def mixture_search(target, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """The x with F(x) <= target < F(x + 1): (x, F(x), F(x + 1) - F(x)), for a target in 0 .. 2^24 - 1.

    Newton's method, as if F were the sigmoid of a line: from where the heaviest component alone has the target, by F
    and its slope. That needs little more than two looks at F. Where it does not converge, what is left is halved.
    """
    heaviest: Any = np.uint64(0)
    for k in range(np.uint64(1), np.uint64(weights.size)):
        if weights[k] > weights[heaviest]:
            heaviest = k
    goal = _LOG_ODDS[np.uint64(target) >> np.uint64(ODDS_SHIFT)]
    scale = np.uint64(MEAN_STEPS << INVERSE_BITS) // np.uint64(inverses[heaviest])  # 1/64 grey level, as means are
    x = (means[heaviest] + (np.int64(scale) * goal >> LOG_ODDS_BITS) + MEAN_STEPS // 2) // MEAN_STEPS
    low, high = np.int64(0), np.int64(LEVELS)
    start, end = np.int64(0), np.int64(1 << PRECISION)
    looks = 0
    while True:
        x = min(max(x, low + 1), high - 1) if looks < LOOKS else (low + high) >> 1
        value, slope = _cdf_and_slope(x, edges, weights, means, inverses, sigmoid)
        if value <= target:
            low, start = x, value
        else:
            high, end = x, value
        if high - low == 1:
            return low, start, end - start
        x += _newton_step(goal, value, slope)
        looks += 1


@njit(**PART)
def _newton_step(goal, value, slope):  # type: ignore[no-untyped-def]
    """Levels from where F has a value and a slope to below where its log-odds are `goal`."""
    share = value >> PRECISION // 2
    rise = share * ((1 << PRECISION // 2) - share) * (goal - _LOG_ODDS[np.uint64(value) >> np.uint64(ODDS_SHIFT)])
    # Unsigned, because a signed division also looks for a quotient below 0.
    levels = np.int64(np.uint64(abs(rise)) // np.uint64(slope << LOG_ODDS_BITS))
    return levels if rise >= 0 else -levels - 1
