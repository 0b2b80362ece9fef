"""The local models' codec in torch operations, for a CUDA device: words go up once, pixels come down once.

It gives the integers of `wavefront.py` and `gathered.py`, with everything of a time step on the device: contexts,
network, distributions, and rANS by lanes. Nothing in a step waits for the host or depends on values there, so on CUDA
a step is captured as a graph and Python only starts it. The same code runs on the CPU's tensors, which is how it is
tested; as an engine for the CPU it would be slow.

A step's pixels lie in slots of rounds x lanes: slot r L + l holds lane l's r-th pixel of the step. A round is a
slice of every tensor, and pops one symbol from each lane; lanes that have fewer pixels leave their last slots unused.

Sums that need more than int32 are int64, or products in float64 of integers below 2^53.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...coding import logistic
from ...coding.message import Message
from ...nets.layers import Dense
from ...nets.memory import OUTSIDE_LEVEL
from .context import CONSTANT, OUTSIDE_PREDICTION, compand
from .head import COEFFICIENT_LIMIT, PARAMETER_LIMIT
from .model import LocalModel
from .orders import shear, step_count, step_sizes, wavefront_positions
from .wavefront import CHUNK, Frequencies, Pixels, Progress

BATCH = 1 << 16
"""Pixels that the encoder takes at a time."""
FUSED = 1 << 24
"""Subpixels from which it is worth most of a minute to have the step compiled."""
ROWS = 32
"""Fewest rows of an int8 product: CUDA's wants more than 16."""
OUTSIDE = 512
"""A level outside the image: differences to it are out of the range of all others, and shown as 0."""
LARGEST = 255
"""Largest magnitude of a difference between levels."""


# --- The network -----------------------------------------------------------------------------------------------


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


# --- Distributions ---------------------------------------------------------------------------------------------


class Mixtures(NamedTuple):
    """Distributions of n symbols, int64 [n, K]: weights; inverse scales; and 2^30 - mean * inverse scale."""

    weights: Tensor
    inverses: Tensor
    addends: Tensor


class Tables(NamedTuple):
    """What `coding/logistic.py` computes symbol by symbol, as tables: one look-up is one operation.

    sigmoid int32 [2^19 + 1]: in 2^-22, by argument; exponential and inverse int64 as in `logistic.tables`;
    edges int64 [257]: lower edges of the levels in 1/64, so low at 0 that the sigmoid is 0;
    floors int64 [257]: the uniform's part of F in 2^-22, at 256 so much that F is cut off at 2^24.
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

    Heads are uint64 to the coder: sums and products are the same bits in int64, and what is shifted in is cut off.
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


# --- Images ----------------------------------------------------------------------------------------------------


class Canvas:
    """N images of one size, each with a margin as wide as the context: flat int16 [places + 1, C].

    A place outside the images has OUTSIDE; what is to go nowhere goes to the last place, `nowhere`. `features` int8
    [places + 1, features]: what convolutions see of every pixel.
    """

    def __init__(self, model: LocalModel, size: tuple[int, int, int], device: str) -> None:
        images, height, width = self.size = size
        offsets = model.offsets
        self.above, self.left = int(-offsets[:, 0].min()), int(-offsets[:, 1].min())
        self.stride = self.left + width + max(0, int(offsets[:, 1].max()))
        self.nowhere = images * (self.above + height) * self.stride
        self.flat = torch.full((self.nowhere + 1, model.channels), OUTSIDE, dtype=torch.int16, device=device)
        self._median_edge = model.predictor != CONSTANT
        self._offsets = torch.from_numpy(offsets @ np.array([self.stride, 1])).to(device)
        self._levels = [k for k, offset in enumerate(offsets.tolist()) if offset == [0, 0]]
        self._near = [offsets.tolist().index(offset) for offset in ([0, -1], [-1, 0], [-1, -1])]
        self._neighbours = torch.from_numpy(model.neighbours @ np.array([self.stride, 1])).to(device)
        features = sum(before.bias.size for before, layer in pairwise(model.layers) if layer.convolution)
        shape = (self.nowhere + 1 if features else 1, features)
        self.features = torch.full(shape, OUTSIDE_LEVEL, dtype=torch.int8, device=device)
        shown = np.zeros(OUTSIDE + LARGEST + 1, np.int8)
        differences = np.arange(-LARGEST, LARGEST + 1)
        kept = [compand(d) if self._median_edge else min(max(d, -128), 127) for d in differences.tolist()]
        shown[differences + LARGEST] = kept
        self._shown = torch.from_numpy(shown).to(device)

    @property
    def pixels(self) -> Tensor:
        """The images without margins, a view int16 [N, H, W, C]."""
        images, height, width = self.size
        framed = self.flat[:-1].view(images, self.above + height, self.stride, -1)
        return framed[:, self.above :, self.left : self.left + width]

    def place(self, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Where in `flat` pixels lie."""
        return (image * (self.above + self.size[1]) + self.above + row) * self.stride + self.left + column

    def shown(self, differences: Tensor) -> Tensor:
        """What the network sees of differences to the prediction, int8."""
        return self._shown[differences + LARGEST]

    def contexts(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs int8 [n, features] and predictions int64 [n, C] of the pixels at places int64 [n]."""
        levels = self.flat[places[:, None] + self._offsets].to(torch.int64)
        predictions = self._predictions(*(levels[:, k] for k in self._near))
        inputs = self.shown(levels - predictions[:, None])
        for k in self._levels:
            inputs[:, k] = (predictions - OUTSIDE_PREDICTION).to(torch.int8)
        return inputs.view(len(places), -1), predictions

    def outputs(self, layers: list[Layer], inputs: Tensor, places: Tensor, used: Tensor | None = None) -> Tensor:
        """The network's products for the contexts of the pixels at places int64 [n], those that are used being kept."""
        own = places if used is None else places.masked_fill(~used, self.nowhere)
        return network(layers, inputs, self.features, own, places[:, None] + self._neighbours)

    def _predictions(self, west: Tensor, north: Tensor, northwest: Tensor) -> Tensor:
        """The median edge detector, or 128. Where one of W and N is outside the other takes its place."""
        if not self._median_edge:
            return torch.full_like(west, OUTSIDE_PREDICTION)
        west, north = torch.where(west == OUTSIDE, north, west), torch.where(north == OUTSIDE, west, north)
        low, high = torch.minimum(west, north), torch.maximum(west, north)
        predictions = (west + north - northwest).clamp(low, high)
        return predictions.masked_fill_(low == OUTSIDE, OUTSIDE_PREDICTION)


# --- Coding ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def frequencies(
    model: LocalModel, pixels: Pixels, progress: Progress | None = None, device: str = "cuda"
) -> Frequencies:
    """As `wavefront.frequencies`: start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, pixels]."""
    images, height, width, channels = pixels.shape
    canvas = Canvas(model, (images, height, width), device)
    canvas.pixels.copy_(torch.from_numpy(np.ascontiguousarray(pixels)))
    layers, head, tables = device_layers(model.layers, device), device_head(model, device), device_tables(device)
    order = torch.from_numpy(wavefront_positions(images, height, width, shear(model.offsets))).to(device)
    found = torch.empty((2, channels, len(order)), dtype=torch.int32, device=device)
    # In raster order, so that a batch has the pixels that its convolutions see, or an earlier one had them.
    for begin in range(0, len(order), BATCH):
        part = torch.arange(begin, min(begin + BATCH, len(order)), device=device)
        places = canvas.place(part // (height * width), part // width % height, part % width)
        inputs, predictions = canvas.contexts(places)
        values = canvas.flat[places].to(torch.int64)
        differences = values - predictions
        seen = canvas.shown(differences).to(torch.float64)
        totals = canvas.outputs(layers, inputs, places)[:, : len(head.bias)] + head.bias
        for c in range(channels):
            params = parameters(head, totals, c, predictions, differences, seen)
            ends = torch.stack((values[:, c], values[:, c] + 1), 1)
            edges = cumulative(mixtures(params, head.components, tables), ends, tables)
            found[0, c, begin : begin + BATCH] = edges[:, 0]
            found[1, c, begin : begin + BATCH] = edges[:, 1] - edges[:, 0]
        if progress:
            progress(min(begin + BATCH, len(order)), len(order))
    starts, freqs = found[:, :, order].cpu().numpy().view(np.uint32)
    return starts, freqs


@torch.no_grad()
def pop_images(
    model: LocalModel,
    message: Message,
    size: tuple[int, int, int],
    progress: Progress | None = None,
    device: str = "cuda",
    sequential: bool = False,
    fused: bool | None = None,
) -> Pixels:
    """As `wavefront.pop_images`, or `gathered.pop_sequential`: uint8 [N, H, W, C].

    What progress is told is what the device has been given to do. `fused`: let
    torch.compile make few kernels of a step's many operations; by itself only on CUDA, for FUSED subpixels or more.
    """
    if fused is None:
        large = size[0] * size[1] * size[2] * model.channels >= FUSED
        fused = large and device == "cuda" and importlib.util.find_spec("triton") is not None
    decoder = _Decoder(model, message, size, device, sequential, fused)
    steps = len(decoder.sizes)
    with _launcher(decoder.step, device) as launch:
        for t, rounds in enumerate(_rounds(-(-decoder.sizes // message.lanes)).tolist()):
            launch(rounds)
            if progress and t % CHUNK == CHUNK - 1:
                progress(t, steps)
    pixels = decoder.finish(message)
    if progress:
        progress(steps, steps)
    return pixels


class _Decoder:
    """What a decoder keeps on the device; `step` decodes the next step's pixels, and changes it in place only."""

    def __init__(
        self,
        model: LocalModel,
        message: Message,
        size: tuple[int, int, int],
        device: str,
        sequential: bool,
        fused: bool,
    ) -> None:
        images, height, width = size
        # In the sequential order an image is sheared so far that a step has one pixel, and images follow one another.
        self.o = width if sequential else shear(model.offsets)
        self.together = 1 if sequential else images
        self.sizes = np.tile(step_sizes(self.together, height, width, self.o), images // self.together)
        self.canvas = Canvas(model, size, device)
        self.layers, self.head = device_layers(model.layers, device), device_head(model, device)
        self.tables = device_tables(device)
        self.heads = torch.from_numpy(message.heads.view(np.int64)).to(device, copy=True)
        self.tops = torch.from_numpy(message.tops).to(device, copy=True)
        words = np.append(message.words, np.uint32(0)).astype(np.int64)  # at least one, whatever a payload says
        self.words = torch.from_numpy(words).to(device)
        self.t = torch.zeros((), dtype=torch.int64, device=device)
        # Sums over up to 16 components are written out; else each would be a kernel of its own.
        made: Any = partial(torch.compile, options={"unroll_reductions_threshold": 16}) if fused else lambda part: part
        self.look, self.expect, self.pop = made(self._look), made(self._expect), made(pop)

    def step(self, rounds: int) -> None:
        """The next step, whose lanes have at most `rounds` pixels each."""
        lanes, channels = len(self.heads), self.canvas.flat.shape[1]
        places, used, predictions, totals = self.look(rounds)
        values = torch.zeros_like(predictions)
        for c in range(channels):
            symbols = self.expect(c, predictions, totals, values)
            for begin in range(0, rounds * lanes, lanes):
                part = slice(begin, begin + lanes)
                one = Mixtures(*(field[part] for field in symbols))
                self.pop(self.heads, self.tops, self.words, one, used[part], self.tables, values[part, c])
        self.canvas.flat[places] = values.to(torch.int16)
        self.t += 1

    def _look(self, rounds: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the step's slots: places to write to, whether they are used, predictions, and the network's outputs."""
        places, used = self._places(rounds)
        inputs, predictions = self.canvas.contexts(places)
        totals = self.canvas.outputs(self.layers, inputs, places, used)[:, : len(self.head.bias)] + self.head.bias
        return places.masked_fill(~used, self.canvas.nowhere), used, predictions, totals

    def _expect(self, channel: int, predictions: Tensor, totals: Tensor, values: Tensor) -> Mixtures:
        """A channel's distributions in all slots, given the earlier channels' values."""
        differences = values - predictions
        seen = self.canvas.shown(differences).to(torch.float64)
        params = parameters(self.head, totals, channel, predictions, differences, seen)
        return mixtures(params, self.head.components, self.tables)

    def _places(self, rounds: int) -> tuple[Tensor, Tensor]:
        """Places of the step's slots, int64 [slots], and which are used; those that are not repeat the last pixel."""
        _, height, width = self.canvas.size
        lanes, o = len(self.heads), self.o
        slots = torch.arange(rounds * lanes, device=self.t.device)
        lane, steps = slots % lanes, step_count(height, width, o)
        t, first_image = self.t % steps, self.t // steps * self.together
        first_row = ((t - width + o) // o).clamp_(min=0)
        rows = (t // o + 1).clamp_(max=height) - first_row
        count = self.together * rows
        pixel = count * lane // lanes + slots // lanes
        used = pixel < count * (lane + 1) // lanes
        pixel = torch.minimum(pixel, count - 1).clamp_(min=0)
        rows = rows.clamp(min=1)  # some steps have no pixel
        row = first_row + pixel % rows
        return self.canvas.place(first_image + pixel // rows, row, t - row * o), used

    def finish(self, message: Message) -> Pixels:
        """The pixels, after all steps; brings the message up to date."""
        message.heads[:], message.tops[:] = self.heads.cpu().numpy().view(np.uint64), self.tops.cpu().numpy()
        return self.canvas.pixels.to(torch.uint8).contiguous().cpu().numpy()


def _rounds(most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rounds for steps with at most so many pixels to a lane: the next 2^k or 3 * 2^k, so that there are few graphs."""
    powers = 1 << np.arange(63)
    kinds = np.sort(np.concatenate([powers, 3 * powers[:61]]))
    return kinds[np.searchsorted(kinds, most)]


@contextmanager
def _launcher(step: Callable[[int], None], device: str) -> Iterator[Callable[[int], None]]:
    """`step`; on CUDA as graphs, one for each argument: the first call with it runs as it is, the second is captured.

    What has run once has initialised the libraries that it uses, as a capture demands.
    """
    if device != "cuda":
        yield step
        return
    graphs: dict[int, torch.cuda.CUDAGraph | None] = {}
    pool, own, others = torch.cuda.graph_pool_handle(), torch.cuda.Stream(), torch.cuda.current_stream()

    def launch(rounds: int) -> None:
        if rounds not in graphs:
            graphs[rounds] = None
            return step(rounds)
        graph = graphs[rounds]
        if graph is None:
            graph = graphs[rounds] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool, own):
                step(rounds)
        graph.replay()

    own.wait_stream(others)
    with torch.cuda.stream(own):
        yield launch
    others.wait_stream(own)
