"""Computes the tables of `logistic.py`, correctly rounded, and writes them: `python -m shearloc.coding.tables`."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from .decimals import digits, rounded
from .logistic import (
    FILE,
    INVERSE_BITS,
    LOG_ODDS_BITS,
    LOGIT_RANGE,
    LOGIT_STEPS,
    ODDS_SHIFT,
    PRECISION,
    SCALE_HIGH,
    SCALE_LOW,
    SCALE_STEPS,
    SIGMOID_BITS,
    SIGMOID_RANGE,
    SIGMOID_STEPS,
)


def computed() -> NDArray[np.int32]:
    """What the file holds, int32 [n]: sigmoid, exponential, inverse scale, log-odds."""
    with digits(30):
        one, count = Decimal(1), 2 * SIGMOID_RANGE * SIGMOID_STEPS
        arguments = [Decimal(k) / SIGMOID_STEPS - SIGMOID_RANGE for k in range(count + 1)]
        sigmoid = [(1 << SIGMOID_BITS) / (one + (-a).exp()) for a in arguments]
        exponential = [
            (1 << PRECISION) * (-Decimal(k) / LOGIT_STEPS).exp() for k in range(LOGIT_RANGE * LOGIT_STEPS + 1)
        ]
        scales = range(SCALE_LOW, SCALE_HIGH + 1)
        inverse = [(1 << INVERSE_BITS) * (-Decimal(k) / SCALE_STEPS).exp() for k in scales]
        found = [rounded(sigmoid), rounded(exponential), rounded(inverse), _log_odds()]
    return np.concatenate(found).astype(np.int32)


def _log_odds() -> NDArray[np.int64]:
    half = 1 << PRECISION - ODDS_SHIFT - 1
    with digits(9):
        upper = rounded(
            [(1 << LOG_ODDS_BITS) * (Decimal(2 * (half + k) + 1) / (2 * (half - k) - 1)).ln() for k in range(half)]
        )
    return np.concatenate([-upper[::-1], upper])


if __name__ == "__main__":
    np.save(FILE, computed())
