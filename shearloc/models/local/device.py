"""The local models' codec in torch operations, for a CUDA device: words go up once, pixels come down once.

It gives the integers of `wavefront.py` and `gathered.py`, with everything of a time step on the device: contexts,
network, distributions, and rANS by lanes. Nothing in a step waits for the host or depends on values there, so on CUDA
a step is captured as a graph and Python only starts it. The same code runs on CPU tensors, for tests; as an engine for
the CPU it would be slow.

A step's pixels lie in slots of rounds x lanes: slot r L + l holds lane l's r-th pixel of the step. A round is a
slice of every tensor, and pops one symbol from each lane; lanes that have fewer pixels leave their last slots unused.

`device_arithmetic.py` has the arithmetic.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...coding.message import Message
from ...nets.convolution import OUTSIDE_LEVEL
from ...types import Pixels, Progress
from ..wavefront.context import CONSTANT, LARGEST, OUTSIDE_PREDICTION, shown
from ..wavefront.orders import shear, step_count, step_sizes, wavefront_positions
from .device_arithmetic import (
    Layer,
    Mixtures,
    cumulative,
    device_head,
    device_layers,
    device_tables,
    mixtures,
    network,
    parameters,
    pop,
)
from .model import LocalModel
from .wavefront import CHUNK, Frequencies

BATCH = 1 << 16
"""Pixels that the encoder takes at a time."""
FUSED = 1 << 24
"""Subpixels from which compiling the step is worth most of a minute."""
OUTSIDE = 512
"""The level outside the image: its differences are outside the range of all others, and enter as 0."""


class Canvas:
    """N images of one size, each with a margin as wide as the context: flat int16 [places + 1, C].

    A place outside the images has OUTSIDE. The last place, `nowhere`, takes what is discarded. `features` int8
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
        # Of differences to pixels outside, zeros.
        seen = np.pad(shown(model.predictor), (0, OUTSIDE - LARGEST))
        self._shown = torch.from_numpy(seen).to(device)

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
        """The network's products for the contexts of pixels at places int64 [n]; features of used pixels are kept."""
        own = places if used is None else places.masked_fill(~used, self.nowhere)
        return network(layers, inputs, self.features, own, places[:, None] + self._neighbours)

    def _predictions(self, west: Tensor, north: Tensor, northwest: Tensor) -> Tensor:
        """The median edge detector, or 128. Where one of W and N is outside, the other replaces it."""
        if not self._median_edge:
            return torch.full_like(west, OUTSIDE_PREDICTION)
        west, north = torch.where(west == OUTSIDE, north, west), torch.where(north == OUTSIDE, west, north)
        low, high = torch.minimum(west, north), torch.maximum(west, north)
        predictions = (west + north - northwest).clamp(low, high)
        return predictions.masked_fill_(low == OUTSIDE, OUTSIDE_PREDICTION)


def check_device() -> None:
    """RuntimeError or AssertionError, as torch has it, where there is no CUDA device."""
    torch.empty(1, device="cuda")


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

    Progress counts the work given to the device. `fused`: torch.compile makes few kernels of a step's many operations;
    by default only on CUDA, for FUSED subpixels or more.
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
    """A decoder's state on the device; `step` decodes the next step's pixels and changes the state in place only."""

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
        """For the step's slots: places to write to, whether they are used, predictions, and the network's outputs."""
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
        """The pixels, after all steps; also updates the message."""
        message.heads[:], message.tops[:] = self.heads.cpu().numpy().view(np.uint64), self.tops.cpu().numpy()
        return self.canvas.pixels.to(torch.uint8).contiguous().cpu().numpy()


def _rounds(most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rounds for steps with at most this many pixels to a lane: the next 2^k or 3 * 2^k, so that few graphs exist."""
    powers = 1 << np.arange(63)
    kinds = np.sort(np.concatenate([powers, 3 * powers[:61]]))
    return kinds[np.searchsorted(kinds, most)]


@contextmanager
def _launcher(step: Callable[[int], None], device: str) -> Iterator[Callable[[int], None]]:
    """`step`; on CUDA as graphs, one for each argument: the first call with it runs as it is, the second is captured.

    A first run initialises the libraries in use, as a capture requires.
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
