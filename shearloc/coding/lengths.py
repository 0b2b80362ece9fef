"""Code lengths as integers, for choices that an encoder makes by them and a file shows.

A sum of `np.log2` differs from machine to machine in its last digits, and with it could what is chosen; these do not.
How long a message really is, is `rans.py`'s business.
"""

from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .decimals import digits, rounded
from .logistic import PRECISION

LENGTH_BITS = 16
"""A length is in units of 2^-16 bits."""

_TABLE_BITS = 12
"""Leading bits of a frequency that count, the first one aside: lengths are right to 2^-13 bits or so."""


def code_lengths(freqs: NDArray[np.uint32]) -> NDArray[np.int64]:
    """PRECISION - log2(freq) in 2^-16 bits, int64, of frequencies from 1 to 2^PRECISION, uint32 of any shape."""
    fractions, exponents = np.frexp(freqs.astype(np.float64))  # exact: freq = fraction * 2^exponent, 1/2 <= fraction
    index = ((2 * fractions - 1) * (1 << _TABLE_BITS)).astype(np.int64)
    return ((PRECISION + 1 - exponents.astype(np.int64)) << LENGTH_BITS) - _logarithms()[index]


@cache
def _logarithms() -> NDArray[np.int64]:
    """2^16 log2(1 + (k + 1/2) / 2^12), k from 0: the middle of what has these leading bits."""
    with digits(30):
        size = Decimal(1 << _TABLE_BITS)
        scale = (1 << LENGTH_BITS) / Decimal(2).ln()
        return rounded(scale * (1 + (k + Decimal("0.5")) / size).ln() for k in range(1 << _TABLE_BITS))
