"""Float likelihoods in torch, for training and for measuring ideal code lengths.

These are the real-valued twins of the integer CDFs of `codec/cdf.py`; no value from here reaches a coder.
"""

import torch
from torch import Tensor

from .quantize import LOG_SCALE_MAX, LOG_SCALE_MIN, UNIFORM_WEIGHT


def logistic_mixture_bits(logits: Tensor, means: Tensor, log_scales: Tensor, values: Tensor) -> Tensor:
    """Bits of 8-bit values under the discretised logistic-uniform mixture (thesis, eq. 5.7).

    `logits`, `means` (grey levels), `log_scales` (natural log of grey levels): float [..., K];
    `values`: float [...] holding integers 0 .. 255, whose end bins take the tails. Returns float [...], bits.
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
