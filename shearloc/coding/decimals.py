"""Integers for tables, rounded from `decimal`, the same in every process.

A process may have a `decimal` context of its own (another rounding, fewer digits, traps). Tables must not depend on it.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
from numpy.typing import NDArray


def digits(count: int) -> AbstractContextManager[Context]:
    """A context of so many digits that inherits nothing from the caller's."""
    return localcontext(Context(count, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, capitals=1, clamp=0, flags=[], traps=[]))


def rounded(values: Iterable[Decimal]) -> NDArray[np.int64]:
    """The nearest integers, int64 [n]."""
    return np.array([int(value.to_integral_value(ROUND_HALF_EVEN)) for value in values], np.int64)
