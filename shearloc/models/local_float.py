"""The local model as a float network in torch, for training only.

It has the shape of the integer network it will become (`local.py`): every activation is clamped to the
range of the grid from the start, and `quantized=True` rounds weights and activations to the grid with
straight-through gradients (quantisation-aware training). Files are never coded with it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .context import causal_offsets
from .likelihoods import logistic_mixture_bits
from .quantize import (
    ACTIVATION_MAX,
    ACTIVATION_STEP,
    INPUT_STEP,
    LOG_SCALE_OFFSET,
    MEAN_GAIN,
    WEIGHT_MAX,
)


@dataclass(frozen=True)
class Shape:
    """The shape of a local model. `horizon` and `reach`: see `context.causal_offsets`; `layers`: hidden ones
    of `width` x `width` after the first; `components`: K."""

    channels: int = 3
    horizon: int = 3
    reach: int = 1
    width: int = 256
    layers: int = 2
    head_width: int = 32
    components: int = 5


def weight_scale(weight: Tensor) -> Tensor:
    """Scale of each output's int8 weights, multiplier * 2^-shift >= max|w| / 127. Float [out, in] -> [out]."""
    smallest = weight.detach().float().abs().amax(1).clamp_min(1e-6) / WEIGHT_MAX
    unit = torch.exp2(torch.floor(torch.log2(smallest)) - 6)
    return torch.ceil(smallest / unit) * unit


def _round_through(value: Tensor, step: Tensor | float) -> Tensor:
    """Rounds to multiples of `step`; the gradient passes as if nothing had been rounded."""
    return value + (torch.round(value / step) * step - value).detach()


def linears(layers: nn.ModuleList) -> list[nn.Linear]:
    """The layers of a list, with the type that `nn.ModuleList` forgets."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


class LocalNet(nn.Module):
    """Contexts in, bits out. The channels of a pixel are coded in turn, each seeing the ones before it.

    One matrix product gives, for every pixel, the parameters of all channels as far as the context tells,
    and hidden units of a small head per later channel, which then learn the pixel's earlier channels.
    Channel c has (3 + c) K parameters: logits, means, log-scales, and a coefficient per earlier channel
    by which its difference to its prediction shifts the means.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.quantized = False
        features = len(causal_offsets(shape.horizon, shape.reach)) * shape.channels
        width, later = shape.width, range(1, shape.channels)
        self.counts = [(3 + c) * shape.components for c in range(shape.channels)]
        self.counts += [shape.head_width for _ in later]
        self.first = nn.Linear(features, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.layers))
        self.out = nn.Linear(width, sum(self.counts))
        self.learn = nn.ModuleList(nn.Linear(c, shape.head_width, bias=False) for c in later)
        self.adjust = nn.ModuleList(nn.Linear(shape.head_width, self.counts[c], bias=False) for c in later)
        nn.init.normal_(self.out.weight, std=0.02)
        for weight in self.adjust.parameters():
            nn.init.zeros_(weight)

    def _linear(self, layer: nn.Linear, inputs: Tensor) -> Tensor:
        weight = layer.weight
        if self.quantized:
            weight = _round_through(weight, weight_scale(weight)[:, None])
        return nn.functional.linear(inputs, weight, layer.bias)

    def _activate(self, value: Tensor) -> Tensor:
        # hardtanh is clamp with a backward pass ten times as fast in bfloat16.
        value = nn.functional.hardtanh(value, 0, ACTIVATION_MAX)
        return _round_through(value, ACTIVATION_STEP) if self.quantized else value

    def outputs(self, inputs: Tensor, differences: Tensor) -> list[Tensor]:
        """Each channel's parameters, float [n, 3 + c, K].

        `inputs` float [n, features]: companded differences; `differences` float [n, channels]: companded
        differences of the pixel itself to its prediction (of which channel c sees those before it).
        """
        x = self._activate(self._linear(self.first, inputs * INPUT_STEP))
        for layer in linears(self.hidden):
            x = self._activate(self._linear(layer, x))
        params = list(self._linear(self.out, x).split(self.counts, 1))
        channels, learn, adjust = self.shape.channels, linears(self.learn), linears(self.adjust)
        for c in range(1, channels):
            seen = learn[c - 1](differences[:, :c] * INPUT_STEP)
            params[c] = params[c] + adjust[c - 1](self._activate(params[channels + c - 1] + seen))
        return [p.float().view(len(p), -1, self.shape.components) for p in params[:channels]]

    def forward(self, inputs: Tensor, predictions: Tensor, values: Tensor) -> Tensor:
        """Bits of each subpixel, float [n, channels], from what `context.sample_contexts` fills."""
        differences = values - predictions
        params = self.outputs(inputs, compand(differences))
        means = [
            p[:, 1] * MEAN_GAIN + predictions[:, c, None] + (p[:, 3:] * differences[:, :c, None]).sum(1)
            for c, p in enumerate(params)
        ]
        logits = torch.stack([p[:, 0] for p in params], 1)
        log_scales = torch.stack([p[:, 2] for p in params], 1) + LOG_SCALE_OFFSET
        return logistic_mixture_bits(logits, torch.stack(means, 1), log_scales, values)


def compand(differences: Tensor) -> Tensor:
    """`context.compand` on a float tensor of integers."""
    size = differences.abs()
    return torch.sign(differences) * torch.where(size > 64, 64 + torch.floor((size - 64) / 3), size)
