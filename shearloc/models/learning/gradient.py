"""How a value's code length changes with its mixture's parameters: the gradient that a network learns from.

It is the gradient of -ln p(x) under the very distribution that the coder has (`coding/logistic.py`). Sums and products
of integers are exact; quotients and what follows are float64, each operation rounded as IEEE 754 says, in the order
written here. Results are rounded to float32. The float twin is `training/likelihoods.py`.
"""

import numpy as np
from numba import njit

from ...coding.logistic import (
    FLOOR,
    LEVELS,
    MIXTURE_TOTAL,
    SCALE_HIGH,
    SCALE_LOW,
    SIGMOID_BITS,
    sigmoid_at,
)
from ...kernels import PART, Apart
from .edges import observe
from .state import EXPERT, ROOM
from .symbols import SPACE

MEAN_GAIN = 16
"""Grey levels per unit of a network's mean output."""

WHOLE = np.int64(1) << SIGMOID_BITS
FLOOR_MASS = float(FLOOR << SIGMOID_BITS)
PRIOR = 1.0 / MIXTURE_TOTAL
MEAN_UNIT = 2.0 ** -(SIGMOID_BITS + 20) * MEAN_GAIN
EDGE_UNIT = 2.0 ** -(SIGMOID_BITS + 20)
SCALE_UNIT = 2.0 ** -(SIGMOID_BITS + 14)
ZERO, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
COEFFICIENT_UNIT = np.float32(1 / MEAN_GAIN)


@njit(**PART)
def mixture_gradient(x, edges, log_scales, weights, means, inverses, sigmoid, masses, out):  # type: ignore[no-untyped-def]
    """Fills out float32 [3K] with the derivatives of -ln p(x) by logits, means and log-scales, in the network's units.

    `edges` int64 [257]: of levels. `weights`, `means`, `inverses` int64 [K] as `logistic.mixture` gives them;
    `log_scales` int32 [K]: the parameters before they are clamped. `masses` int64 [K, 3] is scratch. Returns how
    -ln p(x) falls as the level's lower edge sinks, and as its upper one rises; in grey levels.
    """
    components, has_lower, has_upper = np.uint64(weights.size), x > 0, x < LEVELS - 1
    edge, wide, total = edges[x], edges[x + 1] - edges[x], np.int64(0)
    lower, upper = 0.0, 0.0
    for k in range(components):
        product = (edge - means[k]) * inverses[k]
        low_at, low = sigmoid_at(product, sigmoid)
        high_at, high = sigmoid_at(product + wide * inverses[k], sigmoid)
        # Branches here would take a third of the time.
        low_at, low = low_at if has_lower else np.int64(0), low if has_lower else np.int64(0)
        high_at, high = high_at if has_upper else np.int64(0), high if has_upper else WHOLE
        low_slope, high_slope = low * (WHOLE - low), high * (WHOLE - high)
        masses[k, ZERO] = high - low
        masses[k, ONE] = high_slope - low_slope
        masses[k, TWO] = high_at * high_slope - low_at * low_slope
        total += weights[k] * masses[k, ZERO]
        lower += np.float64(weights[k]) * np.float64(low_slope) * np.float64(inverses[k])
        upper += np.float64(weights[k]) * np.float64(high_slope) * np.float64(inverses[k])
    share = 1.0 / (np.float64(total) + FLOOR_MASS)
    known = 1.0 - FLOOR_MASS * share
    for k in range(components):
        weight = np.float64(weights[k])
        part = weight * share
        out[k] = np.float32(weight * PRIOR * known - part * np.float64(masses[k, ZERO]))
        out[components + k] = np.float32(part * np.float64(masses[k, ONE]) * (np.float64(inverses[k]) * MEAN_UNIT))
        inside = SCALE_LOW <= log_scales[k] <= SCALE_HIGH
        slope = part * np.float64(masses[k, TWO]) * SCALE_UNIT
        out[TWO * components + k] = np.float32(slope if inside else 0.0)
    density = share * EDGE_UNIT
    return lower * density, upper * density


@Apart
def gradients(expert, space, c, begin, n):  # type: ignore[no-untyped-def]
    """Gradients of the expert's parameters of channel c of the pixels begin .. begin + n - 1, into room.gradients.

    space.mixed has the pixels' mixtures in its rows [:n]. The coefficients shift the means: their gradients are the
    means' times the differences. Edges that learn observe the values.
    """
    one, opened = EXPERT(expert), SPACE(space)
    room, mixed, seen = ROOM(one.room), opened.mixed, opened.seen
    edges = opened.edges
    components, first, end = one.components, one.at, one.at + one.components
    base = components * (3 * c + c * (c - 1) // 2)
    channel, k_of, sigmoid = np.uint64(c), np.uint64(components), opened.tables.sigmoid
    for row in range(np.uint64(n)):
        pixel = np.uint64(begin) + row
        params, out = room.params[row, 2 * components : 3 * components], room.gradients[pixel, base:]
        weights, means = mixed.weights[row, first:end], mixed.means[row, first:end]
        inverses, value = mixed.inverses[row, first:end], np.int64(seen.values[channel, pixel])
        places = edges.places[channel]
        lower, upper = mixture_gradient(value, places, params, weights, means, inverses, sigmoid, room.masses, out)
        if edges.prior > 0:
            observe(edges, channel, value, lower, upper)
        for e in range(channel):
            difference = np.float32(seen.differences[e, pixel])
            for k in range(k_of):
                out[(np.uint64(3) + e) * k_of + k] = out[k_of + k] * COEFFICIENT_UNIT * difference
