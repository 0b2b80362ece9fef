"""The local model as a float network in torch, for training only.

It has the shape of the integer network that it becomes (`models/local`): every activation is clamped to the
range of the grid from the start, and `quantized=True` rounds weights and activations to the grid with
straight-through gradients (quantisation-aware training); `rounded_activations` does the activations alone. Files are
never coded with it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ShearlocError
from ..models.wavefront.context import MEDIAN_EDGE, PREDICTORS, causal_offsets, nearest
from ..nets.quantize import (
    ACTIVATION_MAX,
    ACTIVATION_STEP,
    COEFFICIENT_BITS,
    INPUT_STEP,
    MEAN_GAIN,
    RAW_COEFFICIENT_BITS,
    RAW_INPUT_STEP,
    RAW_MEAN_GAIN,
    WEIGHT_MAX,
)
from .convolution import Offsets, gathered, masked_convolution
from .images import Batch, PixelSet
from .likelihoods import channel_counts, linear_mixture_bits

WINDOW = 64
"""Side of the windows that a net with neighbours is trained on; beyond their edges it sees pixels, but no features."""

GROWN_SHARE = 0.1
"""What a grown network's new blocks add, so that it starts about as good as the one it grew from (`grown`)."""


class Hidden(NamedTuple):
    """A layer after the first: numbers in and out; `skip` and `convolution`: see `layers.Dense`."""

    inputs: int
    outputs: int
    skip: int = 0
    convolution: bool = False


@dataclass(frozen=True)
class Shape:
    """The shape of a local model. `horizon` and `reach`: see `context.causal_offsets`; `layers`: hidden ones
    of `width` x `width` after the first and the residual blocks; `components`: K.

    `predictor`: see `context.PREDICTORS`. `blocks`: residual blocks of three layers each (thesis, algorithm 5).
    `shared_logits`: all channels' mixtures have the first one's weights. `level`: the context has the predictions, too.
    `neighbours`: if not 0, the blocks are width -> `narrow` -> `narrow` -> width, and the layer in the middle is a
    masked convolution over the pixel and this many others (`context.nearest`).

    The thesis's NeLLoC with r residual blocks and horizon h is reach=h, width=256, layers=1, head_width=0,
    components=10, predictor="none", blocks=r, shared_logits=True.
    """

    channels: int = 3
    horizon: int = 3
    reach: int = 1
    width: int = 256
    layers: int = 2
    head_width: int = 32
    components: int = 5
    predictor: str = "med"
    blocks: int = 0
    shared_logits: bool = False
    level: bool = False
    neighbours: int = 0
    narrow: int = 64

    def __post_init__(self) -> None:
        seen = {(dy, dx) for dy, dx in self.offsets.tolist()}
        if not {(dy, dx) for dy, dx in nearest(self.neighbours).tolist()} <= seen:
            raise ShearlocError(
                f"{self.neighbours} neighbours do not lie in a context of horizon {self.horizon} and reach {self.reach}"
            )

    @property
    def offsets(self) -> NDArray[np.int32]:
        """The context, as `context.causal_offsets`."""
        return causal_offsets(self.horizon, self.reach, self.level)

    @property
    def input_step(self) -> float:
        """Real value of one unit of a network input."""
        return INPUT_STEP if PREDICTORS[self.predictor] == MEDIAN_EDGE else RAW_INPUT_STEP

    @property
    def coefficient_bits(self) -> int:
        """Bits of an integer coefficient after the binary point."""
        return COEFFICIENT_BITS if PREDICTORS[self.predictor] == MEDIAN_EDGE else RAW_COEFFICIENT_BITS

    @property
    def mean_gain(self) -> float:
        """Grey levels per unit of the network's mean output."""
        return MEAN_GAIN if PREDICTORS[self.predictor] == MEDIAN_EDGE else RAW_MEAN_GAIN

    @property
    def hidden(self) -> list[Hidden]:
        """The layers between the first and the last."""
        width, narrow, places = self.width, self.narrow, self.neighbours + 1
        plain, thesis = Hidden(width, width), [Hidden(width, width, skip) for skip in (0, 0, 3)]
        enter, leave = Hidden(width, narrow), Hidden(narrow, width, skip=3)
        block = [enter, Hidden(places * narrow, narrow, convolution=True), leave] if self.neighbours else thesis
        return block * self.blocks + [plain] * self.layers


def nelloc(blocks: int, channels: int = 3, horizon: int = 3) -> Shape:
    """The thesis's NeLLoC, with this many residual blocks: raw pixels, K = 10, linear coefficients, shared weights."""
    return Shape(channels, horizon, horizon, 256, 1, 0, 10, "none", blocks, shared_logits=channels > 1)


def weight_scale(weight: Tensor) -> Tensor:
    """Scale of each output's int8 weights, multiplier * 2^-shift >= max|w| / 127. Float [out, in] -> [out]."""
    smallest = weight.detach().float().abs().amax(1).clamp_min(1e-6) / WEIGHT_MAX
    unit = torch.exp2(torch.floor(torch.log2(smallest)) - 6)
    return torch.ceil(smallest / unit) * unit


def _round_through(value: Tensor, step: Tensor | float) -> Tensor:
    """Rounds to multiples of `step`; the gradient passes straight through."""
    return value + (torch.round(value / step) * step - value).detach()


def linears(layers: nn.ModuleList) -> list[nn.Linear]:
    """The layers of a list, with the type that `nn.ModuleList` forgets."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


class LocalNet(nn.Module):
    """Contexts in, bits out. The channels of a pixel are coded in turn, each seeing the ones before it.

    One matrix product gives, for every pixel, the parameters of all channels as far as the context knows,
    and hidden units of a small head for each later channel, which then see the pixel's earlier channels.
    Channel c has (3 + c) K parameters: logits, means, log-scales, and a coefficient per earlier channel
    by which its difference to its prediction shifts the means. With shared logits, `out` holds them once, for the
    first channel, and `last` repeats them.

    `means` has every layer's mean input in the last batch with gradients (`fitting.centred`). `watch` is called with
    each layer and its inputs (`rounding.py`). `first_scale`, float [width], has zeros and, once the first layer's
    weights are rounded for good, their scales.
    """

    watch: Callable[[nn.Linear, Tensor], None] | None = None
    first_scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.quantized = self.rounded_activations = False
        self.means: dict[nn.Linear, Tensor] = {}
        width, self.heads = shape.width, range(1, shape.channels if shape.head_width else 1)
        self.predictor = PREDICTORS[shape.predictor]
        self.offsets = shape.offsets
        self.counts = channel_counts(shape.channels, shape.components)
        self.counts += [shape.head_width for _ in self.heads]
        self.first = nn.Linear(len(self.offsets) * shape.channels, width)
        self.register_buffer("first_scale", torch.zeros(width))
        self.hidden = nn.ModuleList(nn.Linear(kind.inputs, kind.outputs) for kind in shape.hidden)
        self.kernel = [*((dy, dx) for dy, dx in nearest(shape.neighbours).tolist()), (0, 0)]
        self.rows = output_rows(shape.channels, shape.components, shape.shared_logits)
        units = torch.arange(len(self.heads) * shape.head_width) + self.rows.max() + 1
        self.rows = torch.cat([self.rows, units])
        self.out = nn.Linear(width, int(self.rows.max()) + 1)
        self.learn = nn.ModuleList(nn.Linear(c, shape.head_width, bias=False) for c in self.heads)
        self.adjust = nn.ModuleList(nn.Linear(shape.head_width, self.counts[c], bias=False) for c in self.heads)
        nn.init.normal_(self.out.weight, std=0.02)
        if self.predictor != MEDIAN_EDGE:
            spread_components(self.out.bias, self.rows, shape.channels, shape.components)
        for weight in self.adjust.parameters():
            nn.init.zeros_(weight)

    def trunk(self) -> list[Tensor]:
        """The matrices between the first activations and the last."""
        return [self.first.weight, *(layer.weight for layer in linears(self.hidden))]

    def draw(self, pixels: PixelSet, rng: np.random.Generator, count: int) -> Batch:
        """A batch for `forward`: pixels drawn evenly, half of them mirrored; for a net with neighbours windows."""
        if not self.shape.neighbours:
            return pixels.sample(rng, count, self.offsets, self.predictor)
        size = pixels.window(WINDOW)
        picks = pixels.random_windows(rng, max(1, count // math.prod(size)), size)
        return pixels.windows(picks, size, self.offsets, self.predictor)

    def batches(self, pixels: PixelSet, count: int) -> Iterator[Batch]:
        """`count` evenly spaced pixels, or windows of as many pixels in all, in batches for `forward`."""
        if self.shape.neighbours:
            size = pixels.window(WINDOW)
            picks = pixels.spread_windows(-(-count // math.prod(size)), size)
            for part in np.array_split(picks, -(-len(picks) * math.prod(size) // 16384)):
                yield pixels.windows(part, size, self.offsets, self.predictor)
            return
        index = np.linspace(0, int(pixels.ends[-1]) - 1, count).astype(np.int64)
        for part in np.array_split(index, -(-count // 16384)):
            yield pixels.contexts(part, np.zeros_like(part), self.offsets, self.predictor)

    def last(self) -> tuple[Tensor, Tensor]:
        """Weight [outputs, width] and bias of the last layer, shared logits repeated."""
        if not self.shape.shared_logits:
            return self.out.weight, self.out.bias
        return self.out.weight[self.rows], self.out.bias[self.rows]

    def _linear(self, inputs: Tensor, layer: nn.Linear, kernel: Offsets | None = None) -> Tensor:
        """The layer's outputs for its inputs; of a convolution, for those of the pixels at its offsets."""
        seen = gathered(inputs, kernel) if kernel else inputs
        if torch.is_grad_enabled():
            self.means[layer] = mean_of(seen.detach().flatten(0, -2))
        weight, bias = self.last() if layer is self.out else (layer.weight, layer.bias)
        if self.quantized:
            weight = _round_through(weight, weight_scale(weight)[:, None])
        if self.watch:
            self.watch(layer, seen)
        # Weights that are rounded for good would be rounded again, to bfloat16.
        exact = not layer.weight.requires_grad
        with torch.autocast("cpu", enabled=False) if exact else nullcontext():
            if exact:
                inputs, seen = inputs.to(weight.dtype), seen.to(weight.dtype)
            if kernel:
                return masked_convolution(inputs, seen, weight, bias, kernel)
            return nn.functional.linear(seen, weight, bias)

    def _activate(self, value: Tensor) -> Tensor:
        # hardtanh is clamp with a backward pass ten times as fast in bfloat16.
        value = nn.functional.hardtanh(value, 0, ACTIVATION_MAX)
        rounded = self.quantized or self.rounded_activations
        return _round_through(value, ACTIVATION_STEP) if rounded else value

    def outputs(self, inputs: Tensor, differences: Tensor) -> Tensor:
        """All channels' parameters one after another, float [n, sum of (3 + c) K].

        `inputs` float [n, features], or [N, H, W, features] of a net with neighbours, and `differences` float
        [n, channels] of the pixel itself to its prediction (of which channel c sees those before it): both as
        `context.shown`.
        """
        x = self._activate(self._linear(inputs * self.shape.input_step, self.first))
        levels = [x]
        for layer, kind in zip(linears(self.hidden), self.shape.hidden, strict=True):
            x = self._activate(self._linear(x, layer, self.kernel if kind.convolution else None))
            if kind.skip:
                x = nn.functional.hardtanh(x + levels[-kind.skip], 0, ACTIVATION_MAX)
            levels.append(x)
        out = self._linear(x, self.out).flatten(0, -2)
        if not self.heads:
            return out
        params = list(out.split(self.counts, 1))
        channels, learn, adjust = self.shape.channels, linears(self.learn), linears(self.adjust)
        for c in self.heads:
            seen = learn[c - 1](differences[:, :c] * self.shape.input_step)
            params[c] = params[c] + adjust[c - 1](self._activate(params[channels + c - 1] + seen))
        return torch.cat(params[:channels], 1)

    def forward(self, inputs: Tensor, predictions: Tensor, values: Tensor) -> Tensor:
        """Bits of each subpixel, float32 [n, channels], from what `context.sample_contexts` fills."""
        differences = values - predictions
        seen = compand(differences) if self.predictor == MEDIAN_EDGE else differences
        return linear_mixture_bits(self.outputs(inputs, seen), predictions, values, self.shape.mean_gain)


def image_bits(net: LocalNet, image: NDArray[np.uint8]) -> float:
    """Bits of all of a uint8 [H, W, C] image, in float32: what an ideal coder would need."""
    pixels = PixelSet.of([image])
    batches = net.batches(pixels, int(pixels.ends[-1]))
    if net.shape.neighbours:
        whole = pixels.windows(np.zeros((1, 4), np.int64), image.shape[:2], net.offsets, net.predictor)
        batches = iter([whole])
    with torch.no_grad():
        return sum(float(net(*map(torch.from_numpy, batch)).double().sum()) for batch in batches)


def grown(net: LocalNet, blocks: int, shared_logits: bool) -> LocalNet:
    """`net` with `blocks` residual blocks, at least its own, and with shared logits if its own are all equal.

    New blocks come after the old ones and start at random, adding GROWN_SHARE of what a block of a new network adds.
    Blocks that start by adding nothing can end up with units that never do.
    """
    new = LocalNet(replace(net.shape, blocks=blocks, shared_logits=shared_logits))
    kept = 3 * net.shape.blocks
    old_hidden, hidden = linears(net.hidden), linears(new.hidden)
    sources = [net.first, *old_hidden, *linears(net.learn), *linears(net.adjust)]
    targets = [new.first, *hidden[:kept], *hidden[3 * blocks :], *linears(new.learn), *linears(new.adjust)]
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            target.load_state_dict(source.state_dict())
        new.out.weight[new.rows], new.out.bias[new.rows] = net.last()
        for last in hidden[kept + 2 : 3 * blocks : 3]:
            last.weight.mul_(GROWN_SHARE)
            last.bias.mul_(GROWN_SHARE)
    return new


def revive(net: LocalNet, inputs: Tensor) -> int:
    """Gives hidden units that are 0 on all `inputs`, float [n, features], random weights; returns how many.

    For these inputs the outputs stay the same: the next layer ignores the units at first. Units whose activations a
    residual block adds to others', or a convolution sees, are left alone.
    """
    net.outputs(inputs, torch.zeros(inputs[..., 0].numel(), net.shape.channels))
    layers = [net.first, *linears(net.hidden), net.out]
    added = [*range(0, 3 * net.shape.blocks + 1, 3)] if net.shape.blocks else []
    added += [k for k, kind in enumerate(net.shape.hidden) if kind.convolution]
    revived = 0
    with torch.no_grad():
        for k, (layer, after) in enumerate(pairwise(layers)):
            dead = net.means[after] == 0
            if k not in added and dead.any():
                fresh = nn.Linear(layer.in_features, layer.out_features).weight[dead]
                layer.weight[dead], layer.bias[dead] = fresh, -(fresh @ net.means[layer])
                after.weight[:, dead] = 0
                revived += int(dead.sum())
    return revived


def with_horizon(net: LocalNet, horizon: int) -> LocalNet:
    """`net` with this horizon and reach: pixels further off are dropped, new ones start with weight 0."""
    new = LocalNet(replace(net.shape, horizon=horizon, reach=horizon))
    channels = net.shape.channels
    columns = {tuple(offset): k * channels for k, offset in enumerate(net.offsets.tolist())}
    weights = net.state_dict()
    first = torch.zeros_like(new.first.weight)
    for k, offset in enumerate(new.offsets.tolist()):
        if (column := columns.get(tuple(offset))) is not None:
            part = slice(k * channels, (k + 1) * channels)
            first[:, part] = weights["first.weight"][:, column : column + channels]
    new.load_state_dict(weights | {"first.weight": first, "first_scale": new.first_scale})
    return new


def mean_of(rows: Tensor) -> Tensor:
    """Mean over rows, float [n, k] to float32 [k], as a product with ones: in bfloat16 8 times as fast as `mean`."""
    return (rows.new_ones(1, len(rows)) @ rows)[0].float() / len(rows)


def output_rows(channels: int, components: int, shared: bool) -> Tensor:
    """Which of a network's outputs each parameter of `linear_mixture_bits` is: int64 [sum of `channel_counts`].

    `shared`: every channel's logits are the first one's.
    """
    rows, size = [], 0
    for c, count in enumerate(channel_counts(channels, components)):
        logits = components if shared and c else 0
        rows += [*range(logits), *range(size, size + count - logits)]
        size += count - logits
    return torch.tensor(rows)


def spread_components(bias: Tensor, rows: Tensor, channels: int, components: int) -> None:
    """Starts raw-pixel mixtures with means all over the grey levels and wide scales: 128 is no prediction.

    Changes the last layer's bias in place; `rows` as `output_rows` gives them.
    """
    counts = channel_counts(channels, components)
    with torch.no_grad():
        for c in range(channels):
            means, log_scales = rows[sum(counts[:c]) + components :][: 2 * components].split(components)
            bias[means] = torch.linspace(-100, 100, components) / RAW_MEAN_GAIN
            bias[log_scales] = 1.5


def compand(differences: Tensor) -> Tensor:
    """`context.compand` on a float tensor of integers."""
    size = differences.abs()
    return torch.sign(differences) * torch.where(size > 64, 64 + torch.floor((size - 64) / 3), size)
