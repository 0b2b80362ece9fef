"""How a coded value's code length changes with its mixture's parameters: the gradient that the network learns from.

It is the gradient of -ln F'(x), of the very distribution that the coder had (`codec/cdf.py`): its weights, its sigmoid's
table. Sums and products of integers are exact; quotients and what follows are float64, each operation rounded as IEEE
754 says, in the order written here; the results are rounded to float32. The float twin is `models/likelihoods.py`.
"""

import numpy as np
from numba import njit
from shearloc.codec.cdf import (
    FLOOR,
    LEVELS,
    MEAN_STEPS,
    MIXTURE_TOTAL,
    SCALE_HIGH,
    SCALE_LOW,
    SIGMOID_BITS,
    sigmoid_at,
)

MEAN_GAIN = 16
"""Grey levels per unit of a network's mean output."""

ONE = np.int64(1) << SIGMOID_BITS
FLOOR_MASS = float(FLOOR << SIGMOID_BITS)
PRIOR = 1.0 / MIXTURE_TOTAL
SLOPE_UNIT = 2.0**-SIGMOID_BITS
MEAN_UNIT = 2.0 ** -(SIGMOID_BITS + 20) * MEAN_GAIN
SCALE_UNIT = 2.0 ** -(SIGMOID_BITS + 14)


@njit(inline="always")
def mixture_gradient(x, log_scales, weights, means, inverses, sigmoid, masses, out):  # type: ignore[no-untyped-def]
    """Fills out float32 [3K] with the derivatives of -ln p(x) by logits, means and log-scales, in the network's units.

    `weights`, `means`, `inverses` int64 [K] as `cdf.mixture` gives them; `log_scales` int32 [K]: the parameters
    before they are clamped. `masses` int64 [K, 3] is scratch.
    """
    components = weights.size
    edge = MEAN_STEPS * x - MEAN_STEPS // 2
    total = np.int64(0)
    for k in range(components):
        low_at, low, high_at, high = np.int64(0), np.int64(0), np.int64(0), ONE
        if x > 0:
            low_at, low = sigmoid_at((edge - means[k]) * inverses[k], sigmoid)
        if x < LEVELS - 1:
            high_at, high = sigmoid_at((edge + MEAN_STEPS - means[k]) * inverses[k], sigmoid)
        low_slope, high_slope = low * (ONE - low), high * (ONE - high)
        masses[k, 0] = high - low
        masses[k, 1] = high_slope - low_slope
        masses[k, 2] = high_at * high_slope - low_at * low_slope
        total += weights[k] * masses[k, 0]
    share = 1.0 / (np.float64(total) + FLOOR_MASS)
    known = 1.0 - FLOOR_MASS * share
    for k in range(components):
        weight = np.float64(weights[k])
        part = weight * share
        out[k] = np.float32(weight * PRIOR * known - part * np.float64(masses[k, 0]))
        out[components + k] = np.float32(part * np.float64(masses[k, 1]) * (np.float64(inverses[k]) * MEAN_UNIT))
        inside = SCALE_LOW <= log_scales[k] <= SCALE_HIGH
        slope = part * np.float64(masses[k, 2]) * SCALE_UNIT
        out[2 * components + k] = np.float32(slope if inside else 0.0)
