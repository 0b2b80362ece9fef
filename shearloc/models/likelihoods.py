"""Float likelihoods in torch, for training and for measuring ideal code lengths.

These are the real-valued twins of the integer CDFs of `codec/cdf.py`; no value from here reaches a coder.
`linear_mixture_bits` is one Numba pass for value and gradient, many times as fast as torch's element-wise operations
on so few components; `linear_mixture_bits_plain` says the same in torch.
"""

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from .quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, LOG_SCALE_OFFSET, UNIFORM_WEIGHT


def channel_counts(channels: int, components: int) -> list[int]:
    """Parameters of each channel of a pixel: K logits, means, log-scales, and K coefficients per earlier channel."""
    return [(3 + c) * components for c in range(channels)]


def logistic_mixture_bits_plain(logits: Tensor, means: Tensor, log_scales: Tensor, values: Tensor) -> Tensor:
    """Bits of 8-bit values under the discretised logistic-uniform mixture (thesis, eq. 5.7).

    `logits`, `means` (grey levels), `log_scales` (natural log of grey levels): float [..., K]; `values`: float [...]
    holding integers 0 .. 255, whose end bins take the tails. Returns float [...], bits.
    """
    inverse = torch.exp(-log_scales.clamp(LOG_SCALE_MIN, LOG_SCALE_MAX))
    values = values.unsqueeze(-1)
    distance = values - means
    # The bin is symmetric, so both edges may be mirrored to the side where the sigmoid keeps its precision.
    near = -distance.abs()
    inner = torch.sigmoid((near + 0.5) * inverse) - torch.sigmoid((near - 0.5) * inverse)
    lowest = torch.sigmoid((distance + 0.5) * inverse)
    highest = torch.sigmoid((0.5 - distance) * inverse)
    bins = torch.where(values == 0, lowest, torch.where(values == 255, highest, inner))
    mixture = (torch.softmax(logits, -1) * bins).sum(-1)
    return -torch.log2(mixture * (1 - UNIFORM_WEIGHT) + UNIFORM_WEIGHT / 256)


def linear_mixture_bits_plain(params: Tensor, predictions: Tensor, values: Tensor, gain: float) -> Tensor:
    """`linear_mixture_bits` in torch alone: the twin it is tested against, of any float dtype."""
    channels = values.shape[1]
    components = params.shape[1] // sum(channel_counts(channels, 1))
    differences, bits = values - predictions, []
    for c, p in enumerate(params.split(channel_counts(channels, components), 1)):
        logits, means, log_scales, *coefficients = p.split(components, 1)
        means = means * gain + predictions[:, c, None]
        for e, coefficient in enumerate(coefficients):
            means = means + coefficient * differences[:, e, None]
        bits.append(logistic_mixture_bits_plain(logits, means, log_scales + LOG_SCALE_OFFSET, values[:, c]))
    return torch.stack(bits, 1)


def linear_mixture_bits(params: Tensor, predictions: Tensor, values: Tensor, gain: float) -> Tensor:
    """Bits of each channel of n pixels, float32 [n, C], under mixtures whose means the earlier channels shift.

    `params` float [n, sum of `channel_counts`]: a network's outputs. Channel c's means are `gain` times its mean
    outputs, plus its prediction, plus each earlier channel's coefficient times that channel's value minus prediction;
    its log-scales its log-scale outputs plus LOG_SCALE_OFFSET. `predictions`, `values` float32 [n, C], grey levels.
    """
    bits: Tensor = _LinearMixtureBits.apply(params.float(), predictions, values, gain)
    return bits


class _LinearMixtureBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, params, predictions, values, gain):  # type: ignore[no-untyped-def]
        arrays = [t.detach().float().contiguous().numpy() for t in (params, predictions, values)]
        bits, gradients = np.empty(arrays[2].shape, np.float32), np.empty(arrays[0].shape, np.float32)
        _bits_and_gradients(arrays[0], arrays[1], arrays[2], np.float32(gain), bits, gradients)
        ctx.save_for_backward(torch.from_numpy(gradients))
        return torch.from_numpy(bits)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (gradients,) = ctx.saved_tensors
        out = torch.empty_like(gradients)
        _scale_gradients(gradients.numpy(), grad.contiguous().numpy(), out.numpy())
        return out, None, None, None


@njit(inline="always")
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return np.float32(1) / (np.float32(1) + np.exp(-x))


@njit(parallel=True, cache=True)
def _scale_gradients(gradients, factors, out):  # type: ignore[no-untyped-def]
    """Multiplies each channel's gradients by its factor, float32 [n, C]."""
    channels = factors.shape[1]
    components = gradients.shape[1] // (3 * channels + channels * (channels - 1) // 2)
    for row in prange(gradients.shape[0]):
        first = 0
        for c in range(channels):
            last = first + (3 + c) * components
            for k in range(first, last):
                out[row, k] = gradients[row, k] * factors[row, c]
            first = last


@njit(parallel=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _bits_and_gradients(params, predictions, values, gain, bits, gradients):  # type: ignore[no-untyped-def]
    """Fills `bits` [n, C] and `gradients`, as `params`, of each channel's bits. All as in `linear_mixture_bits`."""
    channels = values.shape[1]
    components = params.shape[1] // (3 * channels + channels * (channels - 1) // 2)
    for row in prange(values.shape[0]):
        first = 0
        for c in range(channels):
            last = first + (3 + c) * components
            bits[row, c] = _channel(
                params[row, first:last], predictions[row], values[row], c, components, gain, gradients[row, first:last]
            )
            first = last


@njit(inline="always")
def _channel(params, predictions, values, c, components, gain, gradients):  # type: ignore[no-untyped-def]
    """Bits of one value; fills the gradients of its parameters."""
    one, half = np.float32(1), np.float32(0.5)
    value, top, total, mixture = values[c], params[0], np.float32(0), np.float32(0)
    for k in range(1, components):
        top = max(top, params[k])
    for k in range(components):
        weight = np.exp(params[k] - top)
        total += weight
        raw = params[2 * components + k] + np.float32(LOG_SCALE_OFFSET)
        inverse = np.exp(-min(max(raw, np.float32(LOG_SCALE_MIN)), np.float32(LOG_SCALE_MAX)))
        distance = value - predictions[c] - gain * params[components + k]
        for e in range(c):
            distance -= params[(3 + e) * components + k] * (values[e] - predictions[e])
        # Edges mirrored to the left of the mean, where the sigmoid keeps its precision.
        side = one if distance < 0 else -one
        upper, lower = (distance * side + half) * inverse, (distance * side - half) * inverse
        above, below = _sigmoid(upper), _sigmoid(lower)
        slope_above, slope_below = above * (one - above), below * (one - below)
        if value == 0:
            side, upper, lower = one, (distance + half) * inverse, np.float32(0)
            above, below = _sigmoid(upper), np.float32(0)
            slope_above, slope_below = above * (one - above), np.float32(0)
        elif value == 255:
            side, upper, lower = -one, (half - distance) * inverse, np.float32(0)
            above, below = _sigmoid(upper), np.float32(0)
            slope_above, slope_below = above * (one - above), np.float32(0)
        mass = above - below
        mixture += weight * mass
        inside = one if LOG_SCALE_MIN <= raw <= LOG_SCALE_MAX else np.float32(0)
        gradients[k] = mass
        gradients[components + k] = -side * (slope_above - slope_below) * inverse * weight
        gradients[2 * components + k] = -(upper * slope_above - lower * slope_below) * inside * weight
    mixture /= total
    probability = mixture * np.float32(1 - UNIFORM_WEIGHT) + np.float32(UNIFORM_WEIGHT / 256)
    factor = np.float32((UNIFORM_WEIGHT - 1) / math.log(2)) / (probability * total)
    for k in range(components):
        gradients[k] = factor * np.exp(params[k] - top) * (gradients[k] - mixture)
        gradients[2 * components + k] *= factor
        mean = gradients[components + k] * factor
        gradients[components + k] = mean * gain
        for e in range(c):
            gradients[(3 + e) * components + k] = mean * (values[e] - predictions[e])
    return -np.log2(probability)
