"""Rounds a trained float network's weights to int8 so that each layer's outputs change least on real inputs.

Rounding each weight to the nearest ignores that inputs are correlated: neighbouring pixels, and the units that see
them. Here one column of a layer's weights is rounded after the other, and each time the columns still to come take up
the error (GPTQ: Frantar, Ashkboos, Hoefler, Alistarh 2023, arXiv:2210.17323; after Hassibi and Stork's Optimal Brain
Surgeon). Where there is no quantisation-aware finish this takes its place, and `export.py` follows. Needs torch.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .local_float import Hidden, LocalNet, linears, neighbourhood, weight_scale
from .quantize import ACTIVATION_MAX, ACTIVATION_STEP, WEIGHT_MAX

DAMPING = 1e-3
"""Of the mean variance, added to each input's: inputs that hardly vary in the sample may in an image."""


def round_weights(
    net: LocalNet, inputs: Tensor, adapt: Callable[[int], None] = lambda rounded: None
) -> dict[nn.Linear, Tensor]:
    """Rounds all weights of `net.first`, `net.hidden` and `net.out` in place, and shifts the biases by the mean error.

    `inputs`: what the network sees of many pixels, as `LocalNet.draw` has them. `adapt` is called after each
    layer but the last, with the number of layers rounded so far, to train what still takes a gradient: the layers after
    it. Returns each layer's scales, float [out], for `export`: its weights are multiples of them, at most 127 times.
    """
    scales = {}
    levels: list[Tensor] = []
    x = inputs * net.shape.input_step
    plain = Hidden(0, 0)
    for layer, kind in zip((net.first, *linears(net.hidden), net.out), (plain, *net.shape.hidden, plain), strict=True):
        with torch.no_grad():
            x = neighbourhood(x, net.kernel) if kind.convolution else x
            scales[layer] = weight_scale(layer.weight)
            _round_layer(layer, x.flatten(0, -2), scales[layer])
            x = nn.functional.linear(x, layer.weight, layer.bias).clamp(0, ACTIVATION_MAX)
            x = torch.round(x / ACTIVATION_STEP) * ACTIVATION_STEP
            if kind.skip:
                x = (x + levels[-kind.skip]).clamp(0, ACTIVATION_MAX)
            levels.append(x)
        layer.requires_grad_(False)
        if layer is not net.out:
            adapt(len(scales))
    net.requires_grad_(True)
    return scales


def _round_layer(layer: nn.Linear, x: Tensor, scale: Tensor) -> None:
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
