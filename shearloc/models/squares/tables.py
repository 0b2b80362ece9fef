"""Logarithms, powers and the start shape of errors as tables of integers, correctly rounded from `decimal`."""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...coding.decimals import digits, rounded

STEPS = 256
"""Logarithms to base 2 come in 1/256."""
POWER_BITS = 24

SHAPE_RANGE = 16
SHAPE_STEPS = 64
"""The shape's table covers [-16, 16] in steps of 1/64 ..."""
SHAPE_BITS = 32
"""... and goes from 0 to 2^32."""
ARGUMENT_BITS = 24
"""Arguments of the shape come in units of 2^-24."""


class Tables(NamedTuple):
    """logarithms int64 [256]: 256 log2(1 + k/256); powers int64 [256]: 2^24 2^(k/256); shape int64 [2049, 2]: a CDF
    and the difference to its next entry."""

    logarithms: NDArray[np.int64]
    powers: NDArray[np.int64]
    shape: NDArray[np.int64]


@cache
def tables() -> Tables:
    """The tables."""
    with digits(40):
        two = Decimal(2).ln()
        steps = [Decimal(k) / STEPS for k in range(STEPS)]
        logarithms = rounded(STEPS * (1 + k).ln() / two for k in steps)
        powers = rounded((1 << POWER_BITS) * (k * two).exp() for k in steps)
        upper = [_shape(Decimal(k) / SHAPE_STEPS) for k in range(SHAPE_RANGE * SHAPE_STEPS + 1)]
        shape = rounded(p * (1 << SHAPE_BITS) for p in [*(1 - p for p in upper[:0:-1]), *upper])
    return Tables(logarithms, powers, np.stack([shape, np.diff(shape, append=shape[-1])], 1))


def _shape(z: Decimal) -> Decimal:
    """A logistic and a normal distribution of mean error 1, half of each, at z >= 0."""
    pi = Decimal("3.14159265358979323846264338327950288419716939937510")
    logistic = 1 / (1 + (-2 * Decimal(2).ln() * z).exp())
    return (logistic + _normal(z * (2 / pi).sqrt(), pi)) / 2


def _normal(x: Decimal, pi: Decimal) -> Decimal:
    """The standard normal's CDF at x >= 0: 1/2 + phi(x) (x + x^3/3 + x^5/(3*5) + ...)."""
    term, total, k = x, x, 1
    while term > Decimal("1e-30"):
        k += 2
        term = term * x * x / k
        total += term
    return Decimal("0.5") + total * (-x * x / 2).exp() / (2 * pi).sqrt()
