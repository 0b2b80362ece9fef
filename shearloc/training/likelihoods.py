"""Float likelihoods in torch, for training and for measuring ideal code lengths.

These are the real-valued twins of the integer CDFs in `coding/logistic.py`; no value from here reaches a coder.
`linear_mixture_bits` computes value and gradient in one Numba pass, many times as fast as torch's element-wise
operations on so few components; `linear_mixture_bits_plain` is the same in torch.
"""

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from ..nets.quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, LOG_SCALE_OFFSET, UNIFORM_WEIGHT

BLOCK = 64
"""Pixels that the kernel takes at a time, so that their parameters and gradients stay in the first-level cache."""


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
    """`linear_mixture_bits` in plain torch, of any float dtype; tests compare the two."""
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


@njit(parallel=True, cache=True)
def _bits_and_gradients(params, predictions, values, gain, bits, gradients):  # type: ignore[no-untyped-def]
    """Fills `bits` [n, C] and `gradients`, as `params`, of each channel's bits. All as in `linear_mixture_bits`.

    Pixels are the innermost loop, a block of them at a time with the parameters as rows, because compilers make
    vectors of that and not of K components.
    """
    pixels, channels = values.shape
    outputs = params.shape[1]
    components = outputs // (3 * channels + channels * (channels - 1) // 2)
    for block in prange(-(-pixels // BLOCK)):
        start = block * BLOCK
        n = min(BLOCK, pixels - start)
        columns, differences = np.empty((outputs, n), np.float32), np.empty((channels, n), np.float32)
        scratch, ends = np.empty((components + 3, n), np.float32), np.empty(n, np.float32)
        for i in range(n):
            for j in range(outputs):
                columns[j, i] = params[start + i, j]
            for c in range(channels):
                differences[c, i] = values[start + i, c] - predictions[start + i, c]
        first = 0
        for c in range(channels):
            last = first + (3 + c) * components
            for i in range(n):
                value = values[start + i, c]
                ends[i] = np.float32(value == 0) - np.float32(value == 255)
            _channel(columns[first:last], differences, ends, c, components, gain, scratch)
            for i in range(n):
                bits[start + i, c] = scratch[0, i]
            first = last
        for i in range(n):
            for j in range(outputs):
                gradients[start + i, j] = columns[j, i]


@njit(inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """e^x of a float32, to a few units of the last place; unlike `np.exp` it becomes vector code."""
    power = min(max(x, np.float32(-87)), np.float32(87)) * np.float32(1 / math.log(2))
    whole = np.floor(power + np.float32(0.5))
    rest = power - whole
    value = np.float32(0.0013333558)
    for coefficient in (0.0096181291, 0.0555041087, 0.2402265070, 0.6931471806, 1.0):
        value = value * rest + np.float32(coefficient)
    return value * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _channel(columns, differences, ends, c, components, gain, scratch):  # type: ignore[no-untyped-def]
    """Replaces one channel's parameters, float32 [(3 + c) K, n], by the gradients of its bits, and fills scratch[0].

    `ends` is 1 where the value is 0, -1 where it is 255, and else 0; scratch float32 [K + 3, n].
    """
    one, half, low, high = np.float32(1), np.float32(0.5), np.float32(LOG_SCALE_MIN), np.float32(LOG_SCALE_MAX)
    n = columns.shape[1]
    top, total, mixture, masses = scratch[0], scratch[1], scratch[2], scratch[3:]
    top[:], total[:], mixture[:] = columns[0], 0, 0
    for k in range(1, components):
        for i in range(n):
            top[i] = max(top[i], columns[k, i])
    for k in range(components):
        means, log_scales, mass = columns[components + k], columns[2 * components + k], masses[k]
        for i in range(n):
            means[i] = differences[c, i] - gain * means[i]
        for e in range(c):
            for i in range(n):
                means[i] -= columns[(3 + e) * components + k, i] * differences[e, i]
        for i in range(n):
            weight = _exp(columns[k, i] - top[i])
            raw = log_scales[i] + np.float32(LOG_SCALE_OFFSET)
            inverse, distance = _exp(-min(max(raw, low), high)), means[i]
            # Edges mirrored to the left of the mean, where the sigmoid keeps its precision; an end bin has one edge.
            side = one if distance < 0 else -one
            side, inner = (side, one) if ends[i] == 0 else (ends[i], np.float32(0))
            upper, lower = (distance * side + half) * inverse, (distance * side - half) * inverse
            above, below = one / (one + _exp(-upper)), inner / (one + _exp(-lower))
            slope_above, slope_below = above * (one - above), below * (one - below)
            inside = weight if low <= raw <= high else np.float32(0)
            columns[k, i], mass[i] = weight, above - below
            total[i] += weight
            mixture[i] += weight * mass[i]
            means[i] = -side * (slope_above - slope_below) * inverse * weight
            log_scales[i] = -(upper * slope_above - lower * slope_below) * inside
    factors, bits = total, top
    for i in range(n):
        mixture[i] /= total[i]
        probability = mixture[i] * np.float32(1 - UNIFORM_WEIGHT) + np.float32(UNIFORM_WEIGHT / 256)
        factors[i] = np.float32((UNIFORM_WEIGHT - 1) / math.log(2)) / (probability * total[i])
        bits[i] = -np.log2(probability)
    for k in range(components):
        for i in range(n):
            columns[k, i] *= factors[i] * (masses[k, i] - mixture[i])
            columns[2 * components + k, i] *= factors[i]
            mean = columns[components + k, i] * factors[i]
            columns[components + k, i] = mean * gain
            for e in range(c):
                columns[(3 + e) * components + k, i] = mean * differences[e, i]
