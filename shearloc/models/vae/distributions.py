"""Integer distributions of an autoencoder: Gaussian latents in equal-mass bins, Bernoulli and logistic pixels.

Beside `cdf.py`, whose tables and logistic it uses. Inputs are `models/vae/model.py`'s: integers held in float64, units
2^-16. Nothing here is computed in floating point but their conversion to integers. Kernels fill intervals for `rans`
or pop from a message; each pair of them describes the same distribution.

**Latents.** Bin i of 2^16 lies between edges E[i] and E[i+1] with Phi(E[i]) = i / 2^16, so the prior N(0, 1) is uniform
over bins. The posterior N(mean, sigma^2) gives them 28-bit frequencies:

    F(i) = floor((2^28 - 2^16) * Phi((E[i] - mean) / sigma)) + i,    F(0) = 0,  F(2^16) = 2^28

**Pixels.** Bernoulli at 22 bits, value 0 below value 1. The logistic is `cdf.mixture_cdf` with one component, at 24
bits. A pixel's last channel is pushed first, so that its first is popped first.
"""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.decimals import digits, rounded
from ...coding.logistic import (
    MIXTURE_TOTAL,
    PRECISION,
    SCALE_HIGH,
    SCALE_LOW,
    SIGMOID_BITS,
    SIGMOID_RANGE,
    SIGMOID_STEPS,
    mixture_cdf,
    mixture_search,
)
from ...coding.rans import EMPTY, KERNEL, pop_advance, pop_target

Numbers = NDArray[np.float64]
Frequencies = NDArray[np.uint32]

UNIT_BITS = 16
"""Parameters come in units of 2^-16."""

BIN_BITS = 16
"""The prior's bins, each of mass 2^-16."""
BINS = 1 << BIN_BITS

LATENT_PRECISION = 28
"""Bits of a latent's posterior frequency: 2^16 bins of at least one count cost 0.0004 bits a latent."""

BERNOULLI_PRECISION = SIGMOID_BITS

PHI_RANGE = 8
PHI_STEPS = 256
PHI_BITS = 40
"""The table of Phi covers [-8, 8] in steps of 1/256, scaled by 2^40 - 2^28."""
EDGE_BITS = 24
"""Bin edges, and arguments of Phi, come in units of 2^-24."""
_FRACTION = EDGE_BITS - 8
_SCALE = (1 << PHI_BITS) - (1 << PHI_BITS + BIN_BITS - LATENT_PRECISION)

SIGMA_STEPS = 64
"""A posterior's log standard deviation is rounded to 1/64 nat ..."""
SIGMA_LOW, SIGMA_HIGH = -6 * SIGMA_STEPS, 2 * SIGMA_STEPS
"""... from -6 to 2."""

_SIGMA_SHIFT = UNIT_BITS - 6
_LOGIT_SHIFT = UNIT_BITS - 6
_SCALE_SHIFT = UNIT_BITS - 5
_SCALE_OFFSET = 2 * 32
"""A log-scale output of 0 means e^2 grey levels (`vae_float.LOG_SCALE_OFFSET`), in 1/32 nat."""
_MEAN_OFFSET = 64 * 128
"""A mean output of 0 means grey level 128, one of 1 another 128 (`vae_float.MEAN_GAIN`); in 1/64 grey level."""


class LatentTables(NamedTuple):
    """halves int64 [2^17 + 1] in 2^-24: edges and medians of the bins in turn, the ends unused; edges int64 [2^16 + 1],
    every second of them; phi int64 [4097, 2]: value and difference to the next; inverse int64 [513]: 2^16 / sigma;
    sigma int64 [513] in 2^-16, both by rounded log sigma."""

    halves: NDArray[np.int64]
    edges: NDArray[np.int64]
    phi: NDArray[np.int64]
    inverse: NDArray[np.int64]
    sigma: NDArray[np.int64]


@cache
def latent_tables() -> LatentTables:
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
    return LatentTables(halves, np.ascontiguousarray(halves[::2]), np.ascontiguousarray(pairs), inverse, sigma)


def _phi(x: Decimal, density: Decimal) -> Decimal:
    """The standard normal's CDF at x >= 0: 1/2 + phi(x) (x + x^3/3 + x^5/(3*5) + ...)."""
    term, total, k = x, x, 1
    while term > Decimal("1e-25"):
        k += 2
        term = term * x * x / k
        total += term
    return Decimal("0.5") + density * (-x * x / 2).exp() * total


def _edges(phi: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """Where the table of Phi, read with linear interpolation, reaches i / bins; in 2^-24."""
    targets = np.arange(1, bins) * (_SCALE // bins)
    place = np.searchsorted(phi, targets, "right") - 1
    fractions = (targets - phi[place] << _FRACTION) // (phi[place + 1] - phi[place])
    inner = (place - PHI_RANGE * PHI_STEPS << _FRACTION) + fractions
    return np.concatenate([[0], inner, [0]])


def centres(bins: NDArray[np.int32], bits: int) -> Numbers:
    """The medians of bins of 2^-bits (at most 2^16 bins) as latents in 2^-16; float64, the shape of `bins`."""
    halves = latent_tables().halves[(2 * bins.astype(np.int64) + 1) << (BIN_BITS - bits)]
    return ((halves + (1 << EDGE_BITS - UNIT_BITS - 1)) >> (EDGE_BITS - UNIT_BITS)).astype(np.float64)


def latent_cdf(means: Numbers, log_sigmas: Numbers, places: NDArray[np.int32]) -> NDArray[np.int64]:
    """F at places 0 .. 2^16, int64 [n], under N(mean, sigma^2); all [n]."""
    latents = latent_tables()
    out = np.empty(places.size, np.int64)
    _fill_cdf(means, log_sigmas, places, latents.edges, latents.phi, latents.inverse, out)
    return out


# --- Latents --------------------------------------------------------------------------------------------------


@njit(inline="always")
def sigma_index(log_sigma):  # type: ignore[no-untyped-def]
    """Index into the tables by sigma, for a log standard deviation in 2^-16 (any number type)."""
    index = (np.int64(log_sigma) + (1 << _SIGMA_SHIFT - 1)) >> _SIGMA_SHIFT
    return min(max(index - SIGMA_LOW, np.int64(0)), np.int64(SIGMA_HIGH - SIGMA_LOW))


@njit(inline="always")
def _latent_cdf(i, mean, inverse, edges, phi):  # type: ignore[no-untyped-def]
    """F(i) for i in 0 .. 2^16; `mean` int64 in 2^-24, `inverse` 2^16 / sigma."""
    if i <= 0:
        return np.int64(0)
    if i >= BINS:
        return np.int64(1 << LATENT_PRECISION)
    argument = ((edges[i] - mean) * inverse >> 16) + (PHI_RANGE << EDGE_BITS)
    argument = min(max(argument, 0), 2 * PHI_RANGE << EDGE_BITS)
    index = np.uint64(argument) >> np.uint64(_FRACTION)
    fraction = argument & ((1 << _FRACTION) - 1)
    value = phi[index, 0] + (phi[index, 1] * fraction >> _FRACTION)
    return (value >> (PHI_BITS - LATENT_PRECISION)) + i


@njit(inline="always")
def _latent_mean(mean):  # type: ignore[no-untyped-def]
    return np.int64(mean) << (EDGE_BITS - UNIT_BITS)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_cdf(means, log_sigmas, places, edges, phi, inverses, out) -> None:  # type: ignore[no-untyped-def]
    for k in range(places.size):
        inverse = inverses[sigma_index(log_sigmas[k])]
        out[k] = _latent_cdf(np.int64(places[k]), _latent_mean(means[k]), inverse, edges, phi)


@njit(cache=True, nogil=True, error_model="numpy")
def latent_intervals(means, log_sigmas, bins, edges, phi, inverses, starts, freqs) -> None:  # type: ignore[no-untyped-def]
    """start and freq (uint32 [n], 28 bits) of bins int32 [n] under N(mean, sigma^2); means, log_sigmas float64 [n]."""
    for k in range(bins.size):
        mean, inverse = _latent_mean(means[k]), inverses[sigma_index(log_sigmas[k])]
        start = _latent_cdf(np.int64(bins[k]), mean, inverse, edges, phi)
        starts[k] = start
        freqs[k] = _latent_cdf(np.int64(bins[k]) + 1, mean, inverse, edges, phi) - start


@njit(**KERNEL)
def pop_latents(heads, words, size, means, log_sigmas, edges, phi, inverses, bins) -> int:  # type: ignore[no-untyped-def]
    """Pops bins int32 [n] whose intervals are `latent_intervals`'; returns the tail's size, or EMPTY."""
    lane = (bins.size - 1) % heads.size
    for k in range(bins.size - 1, -1, -1):
        mean, inverse = _latent_mean(means[k]), inverses[sigma_index(log_sigmas[k])]
        target = pop_target(heads[lane], LATENT_PRECISION)
        low, high = np.int64(0), np.int64(BINS)
        start, end = np.int64(0), np.int64(1 << LATENT_PRECISION)
        while high - low > 1:
            middle = (low + high) >> 1
            value = _latent_cdf(middle, mean, inverse, edges, phi)
            if value <= target:
                low, start = middle, value
            else:
                high, end = middle, value
        heads[lane], size = pop_advance(heads[lane], words, size, start, end - start, LATENT_PRECISION)
        if size < 0:
            return EMPTY
        bins[k] = low
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


@njit(**KERNEL)
def pop_uniform(heads, words, size, bits, bins) -> int:  # type: ignore[no-untyped-def]
    """Pops int32 [n], each uniform in [0, 2^bits); returns the tail's size, or EMPTY."""
    lane = (bins.size - 1) % heads.size
    for k in range(bins.size - 1, -1, -1):
        bins[k] = pop_target(heads[lane], bits)
        heads[lane], size = pop_advance(heads[lane], words, size, bins[k], 1, bits)
        if size < 0:
            return EMPTY
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


# --- Bernoulli pixels -----------------------------------------------------------------------------------------


@njit(inline="always")
def probability_of_one(logit, sigmoid):  # type: ignore[no-untyped-def]
    """Probability of value 1 in 2^-22: 1 .. 2^22 - 1."""
    index = ((np.int64(logit) + (1 << _LOGIT_SHIFT - 1)) >> _LOGIT_SHIFT) + SIGMOID_RANGE * SIGMOID_STEPS
    index = min(max(index, np.int64(0)), np.int64(2 * SIGMOID_RANGE * SIGMOID_STEPS))
    return min(max(sigmoid[np.uint64(index), 0], 1), (1 << BERNOULLI_PRECISION) - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def bernoulli_intervals(logits, pixels, sigmoid, starts, freqs) -> None:  # type: ignore[no-untyped-def]
    """start and freq (uint32 [n], 22 bits) of pixels uint8 [n], 0 or 1, for logits float64 [n]."""
    for k in range(pixels.size):
        ones = probability_of_one(logits[k], sigmoid)
        zeros = (1 << BERNOULLI_PRECISION) - ones
        starts[k] = zeros if pixels[k] else 0
        freqs[k] = ones if pixels[k] else zeros


@njit(**KERNEL)
def pop_bernoulli(heads, words, size, logits, sigmoid, pixels) -> int:  # type: ignore[no-untyped-def]
    """Pops pixels uint8 [n]; returns the tail's size, or EMPTY."""
    lane = (pixels.size - 1) % heads.size
    for k in range(pixels.size - 1, -1, -1):
        ones = probability_of_one(logits[k], sigmoid)
        zeros = (1 << BERNOULLI_PRECISION) - ones
        one = pop_target(heads[lane], BERNOULLI_PRECISION) >= zeros
        start, freq = (zeros, ones) if one else (np.int64(0), zeros)
        heads[lane], size = pop_advance(heads[lane], words, size, start, freq, BERNOULLI_PRECISION)
        if size < 0:
            return EMPTY
        pixels[k] = one
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


# --- Logistic pixels ------------------------------------------------------------------------------------------


@njit(inline="always")
def scale_index(output):  # type: ignore[no-untyped-def]
    """Index into `cdf.tables()`'s inverse scales for a log-scale output in 2^-16."""
    index = ((np.int64(output) + (1 << _SCALE_SHIFT - 1)) >> _SCALE_SHIFT) + _SCALE_OFFSET
    return min(max(index - SCALE_LOW, np.int64(0)), np.int64(SCALE_HIGH - SCALE_LOW))


@njit(inline="always")
def channel_mean(outputs, pixel, channel, channels):  # type: ignore[no-untyped-def]
    """Mean in 1/64 grey level of a channel, given the earlier ones of `pixel` [channels]; `outputs` [outputs].

    The coefficients of channel c for channels 0 .. c-1 begin at output 2 * channels + c (c - 1) / 2.
    """
    mean = ((np.int64(outputs[channel]) + 4) >> 3) + _MEAN_OFFSET
    first = 2 * channels + channel * (channel - 1) // 2
    for e in range(channel):
        product = np.int64(outputs[first + e]) * (np.int64(pixel[e]) - 128)
        mean += (product + (1 << UNIT_BITS - 7)) >> (UNIT_BITS - 6)
    return mean


@njit(cache=True, nogil=True, error_model="numpy")
def logistic_intervals(outputs, pixels, sigmoid, inverses, starts, freqs) -> None:  # type: ignore[no-untyped-def]
    """start and freq (uint32 [n * C], 24 bits) of pixels uint8 [n, C] for outputs float64 [n, outputs].

    Of a pixel the last channel comes first.
    """
    channels = pixels.shape[1]
    weight = np.full(1, MIXTURE_TOTAL, np.int64)
    mean, inverse = np.empty(1, np.int64), np.empty(1, np.int64)
    for k in range(pixels.shape[0]):
        for c in range(channels):
            mean[0] = channel_mean(outputs[k], pixels[k], c, channels)
            inverse[0] = inverses[scale_index(outputs[k, channels + c])]
            value = np.int64(pixels[k, c])
            start = mixture_cdf(value, weight, mean, inverse, sigmoid)
            n = k * channels + channels - 1 - c
            starts[n] = start
            freqs[n] = mixture_cdf(value + 1, weight, mean, inverse, sigmoid) - start


@njit(cache=True, nogil=True, error_model="numpy")
def pop_logistic(heads, words, size, outputs, sigmoid, inverses, pixels) -> int:  # type: ignore[no-untyped-def]
    """Pops pixels uint8 [n, C]; returns the tail's size, or EMPTY."""
    channels = pixels.shape[1]
    weight = np.full(1, MIXTURE_TOTAL, np.int64)
    mean, inverse = np.empty(1, np.int64), np.empty(1, np.int64)
    lane = (pixels.size - 1) % heads.size
    for k in range(pixels.shape[0] - 1, -1, -1):
        for c in range(channels):
            mean[0] = channel_mean(outputs[k], pixels[k], c, channels)
            inverse[0] = inverses[scale_index(outputs[k, channels + c])]
            target = pop_target(heads[lane], PRECISION)
            value, start, freq = mixture_search(target, weight, mean, inverse, sigmoid)
            heads[lane], size = pop_advance(heads[lane], words, size, start, freq, PRECISION)
            if size < 0:
                return EMPTY
            pixels[k, c] = value
            lane = lane - 1 if lane > 0 else heads.size - 1
    return size
