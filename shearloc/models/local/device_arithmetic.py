"""A local model's integers in torch operations: its layers, its head, and its distributions.

Tensors stay where they are, on a GPU or not. Sums that need more than int32 are int64, or products in float64 of
integers below 2^53. `device.py` decides which pixels they belong to.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...coding import logistic
from ...nets.layers import Dense
from .head import COEFFICIENT_LIMIT, PARAMETER_LIMIT
from .model import LocalModel

ROWS = 32
"""Fewest rows of an int8 product: CUDA's wants more than 16."""


class Layer(NamedTuple):
    """A layer on the device: its skip, how many features a convolution sees of a pixel (else 0), weight int8 [out, in],
    both multiples of 8, and int32 [out]: multiplier, addend = bias * multiplier + 2^(shift - 1), and shift."""

    skip: int
    features: int
    weight: Tensor
    multiplier: Tensor
    addend: Tensor
    shift: Tensor


def device_layers(layers: tuple[Dense, ...], device: str) -> list[Layer]:
    """The layers padded with zeros to CUDA's multiples of 8, on the device."""
    found: list[Layer] = []
    for k, layer in enumerate(layers):
        features = layers[k - 1].bias.size if layer.convolution else 0
        rows, columns = layer.weight.shape
        weight = np.pad(layer.weight, ((0, -rows % 8), (0, -columns % 8)))
        fields = (layer.bias, layer.multiplier, layer.shift)
        bias, multiplier, shift = (np.pad(field, (0, -columns % 8), constant_values=1) for field in fields)
        addend = bias * multiplier + (np.int32(1) << (shift - 1))
        arrays = (weight.T.copy(), multiplier, addend, shift)
        found.append(Layer(layer.skip, features, *(torch.from_numpy(array).to(device) for array in arrays)))
    return found


def network(layers: list[Layer], inputs: Tensor, levels: Tensor, own: Tensor, near: Tensor) -> Tensor:
    """The last layer's products int32 [n, padded out], its bias not yet added, for int8 inputs [n, in].

    Convolutions keep what they see in `levels` int8 [places, features]: of the pixels themselves at `own` int64 [n],
    of their neighbours at `near` int64 [n, neighbours].
    """
    n, first = len(inputs), 0
    values = _padded(inputs, layers[0], n)
    earlier: list[Tensor] = []
    for layer in layers[:-1]:
        if layer.features:
            seen, part = values[:n, : layer.features], slice(first, first + layer.features)
            levels[own, part] = seen
            values = _padded(torch.cat((levels[near, part].flatten(1), seen), 1), layer, n)
            first += layer.features
        scaled = torch.addcmul(layer.addend, torch._int_mm(values, layer.weight.T), layer.multiplier)
        given = (scaled >> layer.shift).clamp_(0, 255)
        if layer.skip:
            values = torch.add(given, earlier[len(earlier) - layer.skip]).clamp_(max=127).to(torch.int8)
        else:
            values = given.sub_(128).to(torch.int8)
        earlier.append(values)
    return torch._int_mm(values, layers[-1].weight.T)[:n]


def _padded(inputs: Tensor, layer: Layer, n: int) -> Tensor:
    """Inputs int8 [n, in] with zeros up to the size that the layer's product wants."""
    return torch.nn.functional.pad(inputs, (0, layer.weight.shape[1] - inputs.shape[1], 0, max(0, ROWS - n)))


class Mixtures(NamedTuple):
    """Distributions of n symbols, int64 [n, K]: weights; inverse scales; and 2^30 - mean * inverse scale."""

    weights: Tensor
    inverses: Tensor
    addends: Tensor


class Tables(NamedTuple):
    """The functions of `coding/logistic.py` as tables: one look-up is one operation.

    sigmoid int32 [2^19 + 1]: in 2^-22, by argument; exponential and inverse int64 as in `logistic.tables`;
    edges int64 [257]: lower edges of the levels in 1/64, at 0 low enough that the sigmoid is 0;
    floors int64 [257]: the uniform's part of F in 2^-22, at 256 large enough that F is cut off at 2^24.
    """

    sigmoid: Tensor
    exponential: Tensor
    inverse: Tensor
    edges: Tensor
    floors: Tensor


def device_tables(device: str) -> Tables:
    """The tables on the device."""
    pairs, exponential, inverse = logistic.tables()
    arguments = np.arange(((len(pairs) - 1) << logistic.FRACTION_BITS) + 1)
    index, fraction = arguments >> logistic.FRACTION_BITS, arguments & ((1 << logistic.FRACTION_BITS) - 1)
    sigmoid = pairs[index, 0] + (pairs[index, 1] * fraction >> logistic.FRACTION_BITS)
    levels = np.arange(logistic.LEVELS + 1)
    edges = logistic.MEAN_STEPS * levels - logistic.MEAN_STEPS // 2
    edges[0] = -(1 << 30)
    floors = logistic.FLOOR * levels << logistic.SIGMOID_BITS
    floors[-1] = 1 << logistic.PRECISION + logistic.SIGMOID_BITS
    arrays = (sigmoid.astype(np.int32), exponential, inverse, edges, floors)
    return Tables(*(torch.from_numpy(array).to(device) for array in arrays))


def mixtures(params: Tensor, components: int, tables: Tables) -> Mixtures:
    """`logistic.mixture` for int64 params [n, >= 3K]: logits, means, log-scales."""
    logits, means, scales = (params[:, k * components : (k + 1) * components] for k in range(3))
    below = (logits.amax(1, keepdim=True) - logits).clamp(max=logistic.LOGIT_RANGE * logistic.LOGIT_STEPS)
    shares = tables.exponential[below]
    weights = shares * logistic.MIXTURE_TOTAL // shares.sum(1, keepdim=True)
    inverses = tables.inverse[scales.clamp(logistic.SCALE_LOW, logistic.SCALE_HIGH) - logistic.SCALE_LOW]
    limit = logistic.ARGUMENT_LIMIT << logistic.ARGUMENT_SHIFT
    return Mixtures(weights, inverses, limit - means * inverses)


def cumulative(mixture: Mixtures, x: Tensor, tables: Tables) -> Tensor:
    """F(x) for int64 x [n or 1, p] in 0 .. 256: int64 [n, p]."""
    products = torch.addcmul(mixture.addends[:, None], tables.edges[x][:, :, None], mixture.inverses[:, None])
    arguments = (products >> logistic.ARGUMENT_SHIFT).clamp_(0, 2 * logistic.ARGUMENT_LIMIT)
    totals = (tables.sigmoid[arguments] * mixture.weights[:, None]).sum(2)
    return (totals.add_(tables.floors[x]) >> logistic.SIGMOID_BITS).clamp_(max=1 << logistic.PRECISION)


def search(mixture: Mixtures, targets: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
    """The x with F(x) <= target < F(x + 1), F(x) and F(x + 1), int64 [n] each, for targets int64 [n]."""
    low, start, end = (
        torch.zeros_like(targets),
        torch.zeros_like(targets),
        torch.full_like(targets, 1 << logistic.PRECISION),
    )
    half = logistic.LEVELS >> 1
    while half:
        middle = low + half
        value = cumulative(mixture, middle[:, None], tables)[:, 0]
        below = value <= targets
        low, start, end = (
            torch.where(below, middle, low),
            torch.where(below, value, start),
            torch.where(below, end, value),
        )
        half >>= 1
    return low, start, end


def pop(
    heads: Tensor, tops: Tensor, words: Tensor, symbols: Mixtures, used: Tensor, tables: Tables, values: Tensor
) -> None:
    """Pops one symbol from every lane that is used: changes heads and tops, and fills `values`, int64 [lanes] each.

    The coder's heads are uint64; in int64, sums and products have the same bits, and shifted-in bits are cut off.
    """
    targets = heads & ((1 << logistic.PRECISION) - 1)
    found, starts, ends = search(symbols, targets, tables)
    high = (heads >> logistic.PRECISION) & ((1 << 64 - logistic.PRECISION) - 1)
    popped = torch.addcmul(targets - starts, ends - starts, high)
    short = (popped >> 32) == 0
    # A lane that has run dry reads on below its words, in the end again and again the first of all.
    popped = torch.where(short, popped << 32 | words[(tops - 1).clamp(min=0)], popped)
    values.copy_(found)
    heads.copy_(torch.where(used, popped, heads))
    tops.sub_((short & used).to(torch.int64))


class Outputs(NamedTuple):
    """Some of the network's outputs: where they begin and end; multiplier, half = 2^(shift - 1), shift int64."""

    begin: int
    end: int
    multiplier: Tensor
    half: Tensor
    shift: Tensor

    def rescaled(self, totals: Tensor) -> Tensor:
        """Accumulators float64 [n, outputs] times multiplier / 2^shift, rounded: int64."""
        return torch.addcmul(self.half, totals.to(torch.int64), self.multiplier) >> self.shift


class Head(NamedTuple):
    """`local.Head` on the device: bias, learn and adjust float64; where every channel's outputs and units are."""

    components: int
    bias: Tensor
    parameters: list[Outputs]
    units: list[Outputs]
    learn: Tensor
    adjust: Tensor
    coefficient_bits: int


def device_head(model: LocalModel, device: str) -> Head:
    """The model's head on the device."""
    head = model.head
    multiplier, shift = (torch.from_numpy(v.astype(np.int64)).to(device) for v in (head.multiplier, head.shift))
    counts = [(3 + c) * head.components for c in range(model.channels)] + [head.adjust.shape[1]] * (model.channels - 1)
    ends = np.cumsum(counts).tolist()
    outputs = []
    for begin, end in zip([0, *ends], ends, strict=False):
        part = slice(begin, end)
        outputs.append(
            Outputs(begin, end, multiplier[part], torch.ones_like(shift[part]) << shift[part] - 1, shift[part])
        )
    bias, learn, adjust = (
        torch.from_numpy(v.astype(np.float64)).to(device) for v in (head.bias, head.learn, head.adjust)
    )
    own, units = outputs[: model.channels], outputs[model.channels :]
    return Head(head.components, bias, own, units, learn, adjust, head.coefficient_bits)


def parameters(
    head: Head, totals: Tensor, channel: int, predictions: Tensor, differences: Tensor, seen: Tensor
) -> Tensor:
    """`head.channel_parameters`: int64 [n, (3 + channel) K].

    `totals` float64 [n, out]: the network's products and the bias; `predictions` int64 [n, C]; `differences` int64
    and `seen` float64 [n, >= channel]: of the pixel's earlier channels.
    """
    own, components = head.parameters[channel], head.components
    found = totals[:, own.begin : own.end]
    if channel and head.adjust.shape[1]:
        units = head.units[channel - 1]
        learnt = torch.addmm(totals[:, units.begin : units.end], seen[:, :channel], head.learn[channel - 1, :channel])
        levels = units.rescaled(learnt).clamp_(0, 255).to(torch.float64)
        found = torch.addmm(found, levels, head.adjust[channel - 1, :, : own.end - own.begin])
    found = own.rescaled(found).clamp_(-PARAMETER_LIMIT, PARAMETER_LIMIT)
    means = found[:, components : 2 * components]
    if channel:
        coefficients = found[:, 3 * components :].view(-1, channel, components)
        limit, finer = COEFFICIENT_LIMIT << head.coefficient_bits, head.coefficient_bits - 6
        products = coefficients.clamp(-limit, limit) * differences[:, :channel, None]
        means += (products.add_(1 << finer - 1) >> finer).sum(1)
    means += logistic.MEAN_STEPS * predictions[:, channel, None]
    return found
