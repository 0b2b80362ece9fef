"""The full PixelCNN of the thesis (algorithms 5 and 6), the baseline that local models are compared with.

A float network for likelihoods only: nothing here codes. `fitting.py` trains it. A `local_float.Shape` with neighbours
is the network with masked convolutions that can code.

A masked convolution is a matrix product over the earlier neighbours only (`neighbourhood`): the same numbers without
the masked half of the work. As in the authors' code, masks are of pixels, not of colours: the
mixture's linear coefficients tie a pixel's channels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..models.wavefront.context import OUTSIDE_PREDICTION, causal_offsets
from ..nets.quantize import ACTIVATION_MAX, RAW_INPUT_STEP, RAW_MEAN_GAIN
from .convolution import neighbourhood
from .images import PixelSet
from .likelihoods import linear_mixture_bits
from .local_float import LocalNet, linears, mean_of, output_rows, spread_components


@dataclass(frozen=True)
class CnnShape:
    """The shape of a PixelCNN. The thesis has horizon 3 and 5 blocks for gray, horizon 4 and 10 blocks for RGB.

    `ceiling`: largest activation; the thesis has none.
    """

    channels: int = 3
    horizon: int = 4
    width: int = 256
    blocks: int = 10
    components: int = 10
    ceiling: float = math.inf


class Block(nn.Module):
    """Algorithm 5 with kernels 1x1, 3x3, 1x1: float [n, H, W, width] to the same."""

    def __init__(self, width: int, offsets: list[tuple[int, int]], ceiling: float) -> None:
        super().__init__()
        self.offsets = offsets
        self.ceiling = ceiling
        self.layers = nn.ModuleList([nn.Linear(width * k, width) for k in (1, len(offsets), 1)])

    def forward(self, x: Tensor) -> Tensor:
        """x plus the branch."""
        enter, mix, leave = linears(self.layers)
        h = self.activate(mix(neighbourhood(self.activate(enter(x)), self.offsets)))
        return self.activate(x + self.activate(leave(h)))

    def activate(self, x: Tensor) -> Tensor:
        """A ReLU with the ceiling."""
        return nn.functional.hardtanh(x, 0, self.ceiling)


class PixelCNN(nn.Module):
    """Whole images in, bits out. Algorithm 6 with mixtures of `linear_mixture_bits`, as the local models have."""

    quantized = False

    def __init__(self, shape: CnnShape) -> None:
        super().__init__()
        self.shape = shape
        self.offsets = [(dy, dx) for dy, dx in causal_offsets(shape.horizon, shape.horizon).tolist()]
        near = [*((dy, dx) for dy, dx in causal_offsets(1, 1).tolist()), (0, 0)]
        self.first = nn.Linear(len(self.offsets) * shape.channels, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, near, shape.ceiling) for _ in range(shape.blocks))
        self.hidden = nn.Linear(shape.width, shape.width)
        self.rows = output_rows(shape.channels, shape.components, shared=True)
        self.out = nn.Linear(shape.width, int(self.rows.max()) + 1)
        nn.init.normal_(self.out.weight, std=0.02)
        spread_components(self.out.bias, self.rows, shape.channels, shape.components)
        self.means: dict[nn.Linear, Tensor] = {}
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_pre_hook(self._see)

    def _see(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        """Keeps the mean of a layer's inputs, for `fitting.centred`."""
        if torch.is_grad_enabled() and isinstance(layer, nn.Linear):
            self.means[layer] = mean_of(inputs[0].detach().flatten(0, -2))

    def forward(self, images: Tensor) -> Tensor:
        """Bits of every subpixel, float32 [n, H, W, C], of images float32 [n, H, W, C] in grey levels."""
        x = neighbourhood((images - OUTSIDE_PREDICTION) * RAW_INPUT_STEP, self.offsets)
        x = nn.functional.hardtanh(self.first(x), 0, self.shape.ceiling)
        for block in self.blocks:
            x = block(x)
        x = nn.functional.hardtanh(self.hidden(x), 0, self.shape.ceiling)
        out = self.out(x).flatten(0, 2)
        values = images.flatten(0, 2)
        predictions = torch.full_like(values, OUTSIDE_PREDICTION)
        bits = linear_mixture_bits(out[:, self.rows], predictions, values, RAW_MEAN_GAIN)
        return bits.view(images.shape)

    def trunk(self) -> list[Tensor]:
        """The matrices between the first activations and the last."""
        blocks = [layer.weight for block in self.blocks for layer in block.modules() if isinstance(layer, nn.Linear)]
        return [self.first.weight, *blocks, self.hidden.weight]

    def draw(self, pixels: PixelSet, rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
        """A batch for `forward`: images drawn evenly, half of them mirrored, of about `count` pixels in all."""
        images = pixels.images()
        chosen = images[rng.integers(0, len(images), max(1, count // images[0, :, :, 0].size))].astype(np.float32)
        mirrored = rng.random(len(chosen)) < 0.5
        chosen[mirrored] = chosen[mirrored, :, ::-1]
        return (chosen,)

    def batches(self, pixels: PixelSet, count: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Evenly spaced images of at least `count` pixels in all, in batches for `forward`."""
        images = pixels.images()
        number = min(len(images), -(-count // images[0, :, :, 0].size))
        for index in np.array_split(np.linspace(0, len(images) - 1, number).astype(np.int64), -(-number // 16)):
            yield (images[index].astype(np.float32),)


def from_local(net: LocalNet, blocks: int) -> PixelCNN:
    """A PixelCNN of `blocks` blocks, at least the local one's, that starts as that local model (as `nelloc` makes it).

    Their first layers and outputs are the same, and a local block is one whose middle kernel sees its own pixel alone.
    The blocks after those start as almost nothing added. Activations keep the local model's ceiling.
    """
    shape = net.shape
    new = PixelCNN(CnnShape(shape.channels, shape.horizon, shape.width, blocks, shape.components, ACTIVATION_MAX))
    hidden = linears(net.hidden)
    sources, targets = [net.first, hidden[-1]], [new.first, new.hidden]
    with torch.no_grad():
        for k, block in enumerate(block for block in new.blocks if isinstance(block, Block)):
            enter, mix, leave = linears(block.layers)
            if k < shape.blocks:
                sources += [hidden[3 * k], hidden[3 * k + 2]]
                targets += [enter, leave]
                mix.weight.zero_()
                mix.weight[:, -shape.width :] = hidden[3 * k + 1].weight
                mix.bias.copy_(hidden[3 * k + 1].bias)
            else:
                leave.weight.normal_(std=1e-3)
                leave.bias.zero_()
        for source, target in zip(sources, targets, strict=True):
            target.load_state_dict(source.state_dict())
        new.out.weight[new.rows], new.out.bias[new.rows] = net.last()
    return new
