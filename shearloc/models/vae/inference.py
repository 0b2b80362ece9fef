"""K-step optimal inference (thesis, algorithm 2): gradient steps on one image's posterior, in integers.

Encoder and decoder both know the image when they need its posterior, so both take the same steps from the encoder
network's mean and log standard deviation, and arrive at the same integers on every machine.

A step looks at z = mean +- sigma * e, e a fixed vector of signs that differs from step to step. Half the sum and half
the difference of the gradients of -ln p(x|z) there estimate those to mean and log sigma (to second order without
noise). With the divergence's own gradient they make a natural-gradient step:

    mean      -= sigma^2 * d(-ELBO)/d(mean) / 2^MEAN_SHIFT
    log sigma -=           d(-ELBO)/d(log sigma) / 2^SIGMA_SHIFT

It codes nothing; `models/vae/model.py` has the networks' passes. Gradients are in nats per unit, in 2^-14.
"""

from decimal import Decimal
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding import bins
from ...coding.bins import UNIT_BITS
from ...coding.decimals import digits, rounded
from ...coding.logistic import (
    INVERSE_BITS,
    MEAN_STEPS,
    SCALE_HIGH,
    SCALE_LOW,
    SCALE_STEPS,
    SIGMOID_BITS,
    sigmoid_at,
    tables,
)
from ...nets.fixed_point import LIMIT, Numbers, Product
from ...types import Pixels
from .distributions import channel_mean, probability_of_one, scale_index, sigma_index
from .model import LOG_SIGMA_RANGE, VaeModel, latent_gradient, likelihood_and_tape
from .shape import BERNOULLI

GRADIENT_BITS = 14
MEAN_SHIFT = 1
SIGMA_SHIFT = 3
"""Step sizes, chosen on training images (docs/DECISIONS.md)."""

_LARGEST = int(LIMIT)


def refine(
    model: VaeModel, images: Pixels, means: Numbers, log_sigmas: Numbers, steps: int, product: Product
) -> tuple[Numbers, Numbers]:
    """Mean and log standard deviation [n, latents] after `steps` steps, from those given (not changed); in 2^-16."""
    means, log_sigmas = means.copy(), log_sigmas.copy()
    for start in range(0, len(images), model.batch):
        part = slice(start, start + model.batch)
        for step in range(steps):
            _step(model, images[part], means[part], log_sigmas[part], _signs(step, model.shape.latents), product)
    return means, log_sigmas


def _step(
    model: VaeModel, images: Pixels, means: Numbers, log_sigmas: Numbers, signs: NDArray[np.int64], product: Product
) -> None:
    """One step for a batch, in place."""
    offsets = signs * sigmas(log_sigmas)
    above, below = (_gradient_at(model, images, means + side * offsets, product) for side in (1, -1))
    _update(means, log_sigmas, above, below, signs, bins.tables().sigma)


def _gradient_at(model: VaeModel, images: Pixels, z: Numbers, product: Product) -> Numbers:
    """The gradient of -ln p(x|z) with respect to z [n, latents], in 2^-14."""
    outputs, tape = likelihood_and_tape(model, np.clip(z, -LIMIT, LIMIT), product)
    gradient = np.empty(outputs.shape)
    sigmoid, _, inverses = tables()
    if model.shape.likelihood == BERNOULLI:
        _bernoulli_gradient(outputs.reshape(-1), images.reshape(-1), sigmoid, gradient.reshape(-1))
    else:
        pixels = images.reshape(-1, model.shape.channels)
        rows = outputs.reshape(len(pixels), -1)
        _logistic_gradient(rows, pixels, sigmoid, inverses, _width_slopes(), gradient.reshape(rows.shape))
    return latent_gradient(model, tape, gradient, product)


def sigmas(log_sigmas: Numbers) -> NDArray[np.int64]:
    """Standard deviations in 2^-16."""
    out = np.empty(log_sigmas.shape, np.int64)
    _fill_sigmas(log_sigmas.reshape(-1), bins.tables().sigma, out.reshape(-1))
    return out


@cache
def _signs(step: int, latents: int) -> NDArray[np.int64]:
    """+1 or -1 for every latent: the top bit of splitmix64 of step * 2^20 + latent."""
    with np.errstate(over="ignore"):
        x = (np.arange(latents, dtype=np.uint64) + np.uint64(step << 20)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return 2 * (x >> np.uint64(63)).astype(np.int64) - 1


@cache
def _width_slopes() -> NDArray[np.int64]:
    """d / (e^d - 1) in 2^-14 for d = 1 / scale, by scale index, correctly rounded; int64 [305]."""
    with digits(30):
        widths = [(-Decimal(k) / SCALE_STEPS).exp() for k in range(SCALE_LOW, SCALE_HIGH + 1)]
        return rounded((1 << GRADIENT_BITS) * d / (d.exp() - 1) for d in widths)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_sigmas(log_sigmas, table, out) -> None:  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = table[sigma_index(log_sigmas[k])]


@njit(cache=True, nogil=True, error_model="numpy")
def _update(means, log_sigmas, above, below, signs, table) -> None:  # type: ignore[no-untyped-def]
    """The step of the docstring above, in place; `above`, `below`: the gradients at mean +- sigma * signs."""
    half = 1 << UNIT_BITS - 1
    for i in range(means.shape[0]):
        for j in range(means.shape[1]):
            plus, minus = np.int64(above[i, j]), np.int64(below[i, j])
            sigma = table[sigma_index(log_sigmas[i, j])]
            variance = (sigma * sigma + half) >> UNIT_BITS
            # Twice the gradients, in 2^-14.
            slope = plus + minus + (np.int64(means[i, j]) >> (UNIT_BITS - GRADIENT_BITS - 1))
            move = (variance * slope) >> (GRADIENT_BITS + 1 + MEAN_SHIFT)
            # A step is at most one sigma.
            means[i, j] -= min(max(move, -sigma), sigma)
            bend = ((plus - minus) * signs[j] * sigma) >> (GRADIENT_BITS + 1)
            bend = (bend + variance - (1 << UNIT_BITS)) >> SIGMA_SHIFT
            bend = min(max(bend, -(1 << UNIT_BITS - 2)), 1 << UNIT_BITS - 2)
            log_sigmas[i, j] = min(max(log_sigmas[i, j] - bend, LOG_SIGMA_RANGE[0]), LOG_SIGMA_RANGE[1])


@njit(cache=True, nogil=True, error_model="numpy")
def _bernoulli_gradient(logits, pixels, sigmoid, out) -> None:  # type: ignore[no-untyped-def]
    """p(1) - x."""
    for k in range(pixels.size):
        error = probability_of_one(logits[k], sigmoid) - (np.int64(pixels[k]) << SIGMOID_BITS)
        out[k] = (error + (1 << SIGMOID_BITS - GRADIENT_BITS - 1)) >> (SIGMOID_BITS - GRADIENT_BITS)


@njit(cache=True, nogil=True, error_model="numpy")
def _logistic_gradient(outputs, pixels, sigmoid, inverses, width_slopes, out) -> None:  # type: ignore[no-untyped-def]
    """With upper and lower edge u, l of the pixel's bin, in scales from the mean, and s the sigmoid:

    -ln(s(u) - s(l)) = -ln s(u) - ln s(-l) - ln(1 - e^(l-u)), whose derivatives need no quotient. At value 0 only the
    first term is left, at 255 only the second.
    """
    channels, one = pixels.shape[1], np.int64(1) << SIGMOID_BITS
    for k in range(pixels.shape[0]):
        for j in range(outputs.shape[1]):
            out[k, j] = 0
        for c in range(channels):
            place = scale_index(outputs[k, channels + c])
            inverse = inverses[place]
            distance = MEAN_STEPS * np.int64(pixels[k, c]) - channel_mean(outputs[k], pixels[k], c, channels)
            upper, above = sigmoid_at((distance + MEAN_STEPS // 2) * inverse, sigmoid)
            lower, below = sigmoid_at((distance - MEAN_STEPS // 2) * inverse, sigmoid)
            width = width_slopes[place]
            if pixels[k, c] == 0:
                lower, below, width = np.int64(0), np.int64(0), np.int64(0)
            elif pixels[k, c] == 255:
                upper, above, width = np.int64(0), one, np.int64(0)
            # Per grey level, in 2^-42; a mean output's unit is 2^7 grey levels.
            slope = (one - above - below) * inverse
            out[k, c] = _limited(slope >> (SIGMOID_BITS + INVERSE_BITS - 7 - GRADIENT_BITS))
            bend = ((upper * (one - above) - lower * below) >> SIGMOID_BITS) + width
            out[k, channels + c] = _limited(bend)
            first = 2 * channels + c * (c - 1) // 2
            for e in range(c):
                centred = np.int64(pixels[k, e]) - 128
                out[k, first + e] = _limited(
                    (slope >> 14) * centred >> (SIGMOID_BITS + INVERSE_BITS - 14 - GRADIENT_BITS)
                )


@njit(inline="always")
def _limited(value):  # type: ignore[no-untyped-def]
    return min(max(value, -_LARGEST), _LARGEST)
