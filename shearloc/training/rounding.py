"""Rounds a trained float network's weights to int8 so that each layer's outputs change least on real inputs.

Rounding each weight to the nearest ignores that inputs are correlated: neighbouring pixels, and the units that see
them. Here the columns of a layer's weights are rounded one after another, and each time the columns to come take up
the error (GPTQ: Frantar, Ashkboos, Hoefler, Alistarh 2023, arXiv:2210.17323; after Hassibi and Stork's Optimal Brain
Surgeon). It replaces a quantisation-aware finish; `export.py` comes next. Needs torch.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..nets.quantize import WEIGHT_MAX
from .local_float import LocalNet, linears, weight_scale

ROUNDING_PIXELS = 200_000
"""Pixels in the sample that `round_weights` uses."""

BATCH_PIXELS = 16384
"""Pixels that the network sees at a time."""

DAMPING = 1e-3
"""The part of the mean variance that is added to each input's: one that hardly varies in the sample may in an image."""


def round_weights(
    net: LocalNet, sample: Tensor, adapt: Callable[[int], None] = lambda rounded: None
) -> dict[nn.Linear, Tensor]:
    """Rounds the weights of `net.first`, `net.out` and `net.hidden` in place, and shifts the biases by the mean error.

    `sample`: what the network sees of many pixels, as the first of what `LocalNet.draw` has. The first layer, which
    `round_first` may have rounded already, the last and the one before it lose most, so they come first. `adapt` is
    called after each layer but the last one to be rounded, with the number of layers rounded so far, to train what
    still takes a gradient: other weights, and the biases. Activations are rounded from here on: what was trained with
    that needs it. Returns each layer's scales, float [out], for `export`: its weights are multiples of them, at most
    127 times.
    """
    net.rounded_activations = True
    round_first(net, sample)
    scales = {net.first: net.first_scale}
    for layer in (net.out, *reversed(linears(net.hidden))):
        adapt(len(scales))
        scales[layer] = _round_layer(net, layer, sample)
    net.requires_grad_(True)
    return scales


def round_first(net: LocalNet, sample: Tensor) -> None:
    """Rounds the weights of the first layer, as `round_weights`, and freezes them; `net.first_scale` has the scales.

    Does nothing if they are rounded already.
    """
    if not net.first_scale.any():
        net.first_scale.copy_(_round_layer(net, net.first, sample))
    net.first.weight.requires_grad_(False)


def inputs_of(net: LocalNet, layer: nn.Linear, sample: Tensor) -> Tensor:
    """What a layer sees of the sample, float [n, in]."""
    found = []
    net.watch = lambda which, inputs: found.append(inputs.flatten(0, -2)) if which is layer else None
    pixels = sample[0, ..., 0].numel()
    for part in sample.split(max(1, BATCH_PIXELS // pixels)):
        net.outputs(part, part.new_zeros(len(part) * pixels, net.shape.channels))
    net.watch = None
    return torch.cat(found)


@torch.no_grad()
def _round_layer(net: LocalNet, layer: nn.Linear, sample: Tensor) -> Tensor:
    """Rounds a layer's weight for its inputs from the sample, and freezes it; returns its scales, float [out]."""
    x, scale = inputs_of(net, layer, sample), weight_scale(layer.weight)
    weight, mean = layer.weight.double(), x.double().mean(0)
    covariance = torch.cov(x.double().T)
    # The least is for layers whose inputs are all dead.
    damping = (DAMPING * covariance.diagonal().mean()).clamp_min(1e-9)
    covariance += damping * torch.eye(len(covariance), dtype=torch.float64)
    order = covariance.diagonal().argsort(descending=True)
    # Row i of the factor says how the error of column i spreads over the columns after it.
    inverse = torch.linalg.inv(covariance[order][:, order])
    factor = torch.linalg.cholesky(inverse, upper=True)
    rest, step = weight[:, order].clone(), scale.double()
    rounded = torch.empty_like(rest)
    for i in range(len(order)):
        rounded[:, i] = (rest[:, i] / step).round().clamp(-WEIGHT_MAX, WEIGHT_MAX) * step
        error = (rest[:, i] - rounded[:, i]) / factor[i, i]
        rest[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    back = rounded[:, order.argsort()]
    layer.bias.add_(((weight - back) @ mean).float())
    layer.weight.copy_(back)
    layer.weight.requires_grad_(False)
    return scale
