"""From an autoencoder's outputs to the integer distributions of `coding`: this family's scaling, and its pixels.

Outputs are `model.py`'s: integers held in float64, units of 2^-16. Latents are the equal-mass bins of `coding/bins.py`,
binary pixels Bernoulli at 22 bits. A colour pixel's channels are discretised logistics at 24 bits, each mean linear in
the channels before it; the last channel is pushed first, so that the first is popped first.
"""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from ...coding.bins import SIGMA_HIGH, SIGMA_LOW, UNIT_BITS, bin_cdf, bin_search
from ...coding.logistic import (
    EDGES,
    MIXTURE_TOTAL,
    SCALE_HIGH,
    SCALE_LOW,
    SIGMOID_BITS,
    SIGMOID_RANGE,
    SIGMOID_STEPS,
    mixture_cdf,
    mixture_search,
)
from ...coding.loops import kernels

BERNOULLI_PRECISION = SIGMOID_BITS

_SIGMA_SHIFT = UNIT_BITS - 6
_LOGIT_SHIFT = UNIT_BITS - 6
_SCALE_SHIFT = UNIT_BITS - 5
_SCALE_OFFSET = 2 * 32
"""A log-scale output of 0 means e^2 grey levels (`vae_float.LOG_SCALE_OFFSET`), in 1/32 nat."""
_MEAN_OFFSET = 64 * 128
"""A mean output of 0 means grey level 128, one of 1 another 128 (`vae_float.MEAN_GAIN`); in 1/64 grey level."""


@njit(inline="always")
def sigma_index(log_sigma):  # type: ignore[no-untyped-def]
    """Index into the tables by sigma of `coding/bins.py`, for a log standard deviation in 2^-16 (any number type)."""
    index = (np.int64(log_sigma) + (1 << _SIGMA_SHIFT - 1)) >> _SIGMA_SHIFT
    return min(max(index - SIGMA_LOW, np.int64(0)), np.int64(SIGMA_HIGH - SIGMA_LOW))


@register_jitable(inline="always")
def _latent_interval(k, values, parameters, scratch):  # type: ignore[no-untyped-def]
    means, log_sigmas, inverses, edges, phi = parameters
    mean, inverse = np.int64(means[k]), inverses[sigma_index(log_sigmas[k])]
    start = bin_cdf(np.int64(values[k]), mean, inverse, edges, phi)
    return start, bin_cdf(np.int64(values[k]) + 1, mean, inverse, edges, phi) - start


@register_jitable(inline="always")
def _latent_search(k, target, values, parameters, scratch):  # type: ignore[no-untyped-def]
    means, log_sigmas, inverses, edges, phi = parameters
    return bin_search(target, np.int64(means[k]), inverses[sigma_index(log_sigmas[k])], edges, phi)


LATENTS = kernels(_latent_interval, _latent_search)
"""Parameters: means and log standard deviations float64 [n], and the tables of inverse sigmas, edges and Phi."""


@njit(inline="always")
def probability_of_one(logit, sigmoid):  # type: ignore[no-untyped-def]
    """Probability of value 1 in 2^-22: 1 .. 2^22 - 1."""
    index = ((np.int64(logit) + (1 << _LOGIT_SHIFT - 1)) >> _LOGIT_SHIFT) + SIGMOID_RANGE * SIGMOID_STEPS
    index = min(max(index, np.int64(0)), np.int64(2 * SIGMOID_RANGE * SIGMOID_STEPS))
    return min(max(sigmoid[np.uint64(index), 0], 1), (1 << BERNOULLI_PRECISION) - 1)


@register_jitable(inline="always")
def _binary_interval(k, values, parameters, scratch):  # type: ignore[no-untyped-def]
    logits, sigmoid = parameters
    ones = probability_of_one(logits[k], sigmoid)
    zeros = (1 << BERNOULLI_PRECISION) - ones
    return zeros if values[k] else np.int64(0), ones if values[k] else zeros


@register_jitable(inline="always")
def _binary_search(k, target, values, parameters, scratch):  # type: ignore[no-untyped-def]
    logits, sigmoid = parameters
    ones = probability_of_one(logits[k], sigmoid)
    zeros = (1 << BERNOULLI_PRECISION) - ones
    # A branch: most pixels are as expected, and the next one need not wait.
    one = target >= zeros
    start, freq = (zeros, ones) if one else (np.int64(0), zeros)
    return one, start, freq


BINARY = kernels(_binary_interval, _binary_search)
"""Parameters: logits float64 [pixels], the table of the sigmoid."""


@njit(inline="always")
def scale_index(output):  # type: ignore[no-untyped-def]
    """Index into `logistic.tables()`'s inverse scales for a log-scale output in 2^-16."""
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


@register_jitable(inline="always")
def _channel(k, values, parameters, scratch):  # type: ignore[no-untyped-def]
    """Weight, mean and inverse scale, int64 [1] each, of symbol k of pixels whose channels come last first."""
    outputs, _, inverses, channels = parameters
    weight, mean, inverse = scratch[0:1], scratch[1:2], scratch[2:3]
    pixel, back = k, 0
    if channels > 1:  # of one channel there is nothing to divide
        pixel = np.int64(np.uint64(k) // np.uint64(channels))
        back = k - pixel * channels
    channel = channels - 1 - back
    levels = values[pixel * channels : (pixel + 1) * channels][::-1]
    weight[0] = MIXTURE_TOTAL
    mean[0] = channel_mean(outputs[pixel], levels, channel, channels)
    inverse[0] = inverses[scale_index(outputs[pixel, channels + channel])]
    return weight, mean, inverse


@register_jitable(inline="always")
def _logistic_interval(k, values, parameters, scratch):  # type: ignore[no-untyped-def]
    weight, mean, inverse = _channel(k, values, parameters, scratch)
    value = np.int64(values[k])
    start = mixture_cdf(value, EDGES, weight, mean, inverse, parameters[1])
    return start, mixture_cdf(value + 1, EDGES, weight, mean, inverse, parameters[1]) - start


@register_jitable(inline="always")
def _logistic_search(k, target, values, parameters, scratch):  # type: ignore[no-untyped-def]
    weight, mean, inverse = _channel(k, values, parameters, scratch)
    return mixture_search(target, EDGES, weight, mean, inverse, parameters[1])


LOGISTIC = kernels(_logistic_interval, _logistic_search)
"""Parameters: outputs float64 [pixels, outputs], tables of the sigmoid and of inverse scales, channels. Scratch: 3."""
