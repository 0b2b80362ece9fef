"""The discretised Gaussian in bins of equal mass, in integers: for latents and their posteriors.

Bin i of 2^16 lies between edges E[i] and E[i+1] with Phi(E[i]) = i / 2^16, so the prior N(0, 1) is uniform over bins.
N(mean, sigma^2) gives them 28-bit frequencies:

    F(i) = floor((2^28 - 2^16) * Phi((E[i] - mean) / sigma)) + i,    F(0) = 0,  F(2^16) = 2^28

Phi is a table with linear interpolation, correctly rounded from `decimal`; nothing here is a float.
"""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .decimals import digits, rounded

BIN_BITS = 16
"""Bins of the prior's mass 2^-16 each."""
BINS = 1 << BIN_BITS

PRECISION = 28
"""Bits of a frequency: 2^16 bins of at least one count cost 0.0004 bits a value."""

UNIT_BITS = 16
"""Means, and the numbers that bins stand for, come in units of 2^-16 ..."""
MEAN_LIMIT = 1 << 24
"""... from -256 to 256."""

SIGMA_STEPS = 64
"""Log standard deviations come in 1/64 nat ..."""
SIGMA_LOW, SIGMA_HIGH = -6 * SIGMA_STEPS, 2 * SIGMA_STEPS
"""... from -6 to 2."""

PHI_RANGE = 8
PHI_STEPS = 256
PHI_BITS = 40
"""The table of Phi covers [-8, 8] in steps of 1/256, scaled by 2^40 - 2^28."""
EDGE_BITS = 24
"""Bin edges, and arguments of Phi, come in units of 2^-24."""
_FRACTION = EDGE_BITS - 8
_SCALE = (1 << PHI_BITS) - (1 << PHI_BITS + BIN_BITS - PRECISION)

Integers = NDArray[np.int64]


class Tables(NamedTuple):
    """halves int64 [2^17 + 1] in 2^-24: edges and medians of the bins in turn, the ends unused; edges int64 [2^16 + 1],
    every second of them; phi int64 [4097, 2]: value and difference to the next; inverse int64 [513]: 2^16 / sigma;
    sigma int64 [513] in 2^-16, both by log sigma from SIGMA_LOW on."""

    halves: Integers
    edges: Integers
    phi: Integers
    inverse: Integers
    sigma: Integers


@cache
def tables() -> Tables:
    """The tables, every entry correctly rounded from `decimal` except the edges, which are integer interpolations."""
    with digits(40):
        density = 1 / (2 * Decimal("3.14159265358979323846264338327950288419716939937510")).sqrt()
        upper = [_phi(Decimal(k) / PHI_STEPS, density) for k in range(PHI_RANGE * PHI_STEPS + 1)]
        values = [1 - p for p in upper[:0:-1]] + upper
        phi = rounded(p * _SCALE for p in values)
        logs = [Decimal(k) / SIGMA_STEPS for k in range(SIGMA_LOW, SIGMA_HIGH + 1)]
        inverse, sigma = (rounded((sign * k).exp() * (1 << 16) for k in logs) for sign in (-1, 1))
    pairs = np.stack([phi, np.diff(phi, append=phi[-1])], 1)
    halves = _edges(phi, 2 * BINS)
    return Tables(halves, np.ascontiguousarray(halves[::2]), np.ascontiguousarray(pairs), inverse, sigma)


def _phi(x: Decimal, density: Decimal) -> Decimal:
    """The standard normal's CDF at x >= 0: 1/2 + phi(x) (x + x^3/3 + x^5/(3*5) + ...)."""
    term, total, k = x, x, 1
    while term > Decimal("1e-25"):
        k += 2
        term = term * x * x / k
        total += term
    return Decimal("0.5") + density * (-x * x / 2).exp() * total


def _edges(phi: Integers, bins: int) -> Integers:
    """Where the table of Phi, read with linear interpolation, reaches i / bins; in 2^-24."""
    targets = np.arange(1, bins) * (_SCALE // bins)
    place = np.searchsorted(phi, targets, "right") - 1
    fractions = (targets - phi[place] << _FRACTION) // (phi[place + 1] - phi[place])
    inner = (place - PHI_RANGE * PHI_STEPS << _FRACTION) + fractions
    return np.concatenate([[0], inner, [0]])


def centres(bins: NDArray[np.int32], bits: int = BIN_BITS) -> Integers:
    """The medians of bins of mass 2^-bits (at most 2^16 bins) in 2^-16; int64, the shape of `bins`."""
    halves = tables().halves[(2 * bins.astype(np.int64) + 1) << (BIN_BITS - bits)]
    return (halves + (1 << EDGE_BITS - UNIT_BITS - 1)) >> (EDGE_BITS - UNIT_BITS)


def bins_of(numbers: Integers, bits: int = BIN_BITS) -> NDArray[np.int32]:
    """The bins of mass 2^-bits that hold these numbers, in 2^-16; int32, the shape of `numbers`."""
    fine = np.searchsorted(tables().edges[1:BINS], numbers << (EDGE_BITS - UNIT_BITS), "right")
    return (fine >> (BIN_BITS - bits)).astype(np.int32)


def inverses(log_sigmas: Integers) -> Integers:
    """2^16 / sigma of log standard deviations in 1/64 nat."""
    return tables().inverse[log_sigmas - SIGMA_LOW]


@njit(inline="always")
def bin_cdf(i, mean, inverse, edges, phi):  # type: ignore[no-untyped-def]
    """F(i) for i from 0 to 2^16; `mean` int64 in 2^-16, `inverse` 2^16 / sigma."""
    if i <= 0:
        return np.int64(0)
    if i >= BINS:
        return np.int64(1 << PRECISION)
    distance = edges[i] - (mean << (EDGE_BITS - UNIT_BITS))
    argument = (distance * inverse >> 16) + (PHI_RANGE << EDGE_BITS)
    argument = min(max(argument, 0), 2 * PHI_RANGE << EDGE_BITS)
    index = np.uint64(argument) >> np.uint64(_FRACTION)
    fraction = argument & ((1 << _FRACTION) - 1)
    value = phi[index, 0] + (phi[index, 1] * fraction >> _FRACTION)
    return (value >> (PHI_BITS - PRECISION)) + i


@njit(inline="always")
def bin_search(target, mean, inverse, edges, phi):  # type: ignore[no-untyped-def]
    """The i with F(i) <= target < F(i + 1): (i, F(i), F(i + 1) - F(i))."""
    low, high = np.int64(0), np.int64(BINS)
    start, end = np.int64(0), np.int64(1 << PRECISION)
    while high - low > 1:
        middle = (low + high) >> 1
        value = bin_cdf(middle, mean, inverse, edges, phi)
        if value <= target:
            low, start = middle, value
        else:
            high, end = middle, value
    return low, start, end - start
