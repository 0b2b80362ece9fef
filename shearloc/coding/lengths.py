"""Code lengths as integers, for choices that a file shows and for numbers that a file states.

The last digits of a sum of `np.log2` differ from machine to machine, and so might a choice based on it. These do not.
"""

from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decimals import digits, rounded
from .logistic import PRECISION

LENGTH_BITS = 16
"""A length is in units of 2^-16 bits."""

_TABLE_BITS = 12
"""Leading bits of a number that count, the first one aside: lengths are right to 2^-13 bits or so."""

_FRACTION_BITS, _EXPONENT_OF_ONE = 52, 1023
"""Of a float64 (IEEE 754)."""


def code_lengths(freqs: NDArray[Any], precision: int = PRECISION) -> NDArray[np.int64]:
    """precision - log2(freq) in 2^-16 bits, int64, for integer frequencies from 1 to 2^precision, of any shape."""
    return (precision << LENGTH_BITS) - logarithms(freqs)


def logarithms(values: NDArray[Any]) -> NDArray[np.int64]:
    """log2 in 2^-16 bits, int64, of positive integers of any shape."""
    # As float64 the same everywhere, and exact below 2^53: its bits are an exponent, and a fraction's leading bits.
    bits = values.astype(np.float64).view(np.int64)
    index = (bits >> _FRACTION_BITS - _TABLE_BITS) & ((1 << _TABLE_BITS) - 1)
    return ((bits >> _FRACTION_BITS) - _EXPONENT_OF_ONE << LENGTH_BITS) + _logarithms()[index]


@cache
def _logarithms() -> NDArray[np.int64]:
    """2^16 log2(1 + (k + 1/2) / 2^12), k from 0: the middle of what has these leading bits."""
    with digits(30):
        size = Decimal(1 << _TABLE_BITS)
        scale = (1 << LENGTH_BITS) / Decimal(2).ln()
        return rounded(scale * (1 + (k + Decimal("0.5")) / size).ln() for k in range(1 << _TABLE_BITS))
