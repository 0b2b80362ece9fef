"""Float likelihoods in torch, for training and for measuring ideal code lengths.

These are the real-valued twins of the integer CDFs of `codec/cdf.py`; no value from here reaches a coder.
`logistic_mixture_bits` is one Numba pass for value and gradient, several times as fast as torch's
element-wise operations on so few components; `logistic_mixture_bits_plain` says the same in torch.
"""

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from .quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, UNIFORM_WEIGHT


def logistic_mixture_bits_plain(logits: Tensor, means: Tensor, log_scales: Tensor, values: Tensor) -> Tensor:
    """`logistic_mixture_bits` in torch alone: the twin it is tested against, of any float dtype."""
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


def logistic_mixture_bits(logits: Tensor, means: Tensor, log_scales: Tensor, values: Tensor) -> Tensor:
    """Bits of 8-bit values under the discretised logistic-uniform mixture (thesis, eq. 5.7).

    `logits`, `means` (grey levels), `log_scales` (natural log of grey levels): float32 [..., K];
    `values`: float32 [...] holding integers 0 .. 255, whose end bins take the tails. Returns float32 [...], bits.
    """
    bits: Tensor = _MixtureBits.apply(logits, means, log_scales, values)
    return bits


class _MixtureBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, means, log_scales, values):  # type: ignore[no-untyped-def]
        parts = (logits, means, log_scales)
        pi, mu, log_s = (t.detach().float().reshape(-1, t.shape[-1]).contiguous().numpy() for t in parts)
        x = values.detach().float().reshape(-1).contiguous().numpy()
        bits, gradients = np.empty(len(x), np.float32), np.empty((3, *pi.shape), np.float32)
        _bits_and_gradients(pi, mu, log_s, x, bits, gradients[0], gradients[1], gradients[2])
        ctx.save_for_backward(*(torch.from_numpy(g).view(logits.shape) for g in gradients))
        return torch.from_numpy(bits).view(values.shape)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        grad = grad.unsqueeze(-1)
        return *(grad * gradient for gradient in ctx.saved_tensors), None


@njit(inline="always")
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return np.float32(1) / (np.float32(1) + np.exp(-x))


@njit(parallel=True, cache=True, error_model="numpy")
def _bits_and_gradients(logits, means, log_scales, values, bits, d_logits, d_means, d_log_scales):  # type: ignore[no-untyped-def]
    """Fills `bits` [m] and gradients [m, K] of each row's bits; float32, arguments as in `logistic_mixture_bits`."""
    components = logits.shape[1]
    one, half = np.float32(1), np.float32(0.5)
    for row in prange(logits.shape[0]):
        value, top, total, mixture = values[row], logits[row, 0], np.float32(0), np.float32(0)
        for k in range(1, components):
            top = max(top, logits[row, k])
        for k in range(components):
            weight = np.exp(logits[row, k] - top)
            total += weight
            raw = log_scales[row, k]
            inverse = np.exp(-min(max(raw, np.float32(LOG_SCALE_MIN)), np.float32(LOG_SCALE_MAX)))
            distance = value - means[row, k]
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
            d_logits[row, k] = mass
            d_means[row, k] = -side * (slope_above - slope_below) * inverse
            d_log_scales[row, k] = -(upper * slope_above - lower * slope_below) * inside
        mixture /= total
        probability = mixture * np.float32(1 - UNIFORM_WEIGHT) + np.float32(UNIFORM_WEIGHT / 256)
        bits[row] = -np.log2(probability)
        factor = np.float32((UNIFORM_WEIGHT - 1) / math.log(2)) / probability
        for k in range(components):
            share = factor * np.exp(logits[row, k] - top) / total
            d_logits[row, k] = share * (d_logits[row, k] - mixture)
            d_means[row, k] *= share
            d_log_scales[row, k] *= share
