"""The walk of `walk.py` step by step in NumPy, for the engines `numpy` and `torch`: the same bits, by other code.

Products of integers are float64 matrix products, exact because no partial sum exceeds 2^53. Contexts and symbols come
from the same kernels as there.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...coding.logistic import MEAN_STEPS
from ...kernels import keep
from ...nets import engines
from ...types import Pixels
from ..wavefront.coder import Coder
from ..wavefront.context import context
from ..wavefront.orders import largest_step, shear, step_count, step_sizes
from . import edges, state, symbols
from .forward import COEFFICIENT_LIMIT, PARAMETER_LIMIT, mixtures
from .gradient import gradients
from .model import BACKWARD_LIMIT, GRADIENT_LIMIT, INPUT_BITS, LEVEL_BITS, MOST_PIXELS, ONE, Expert, LearningModel
from .state import Floats
from .symbols import Seen
from .update import HIGHEST_PEAK, LARGEST_ROUNDED, LOWEST_PEAK, PEAK_FALL, SETTLED
from .walk import CHUNK, exchange, gather

Integers = NDArray[np.int64]


def walk(
    model: LearningModel, pixels: Pixels, lanes: int, engine: str, decoding: bool, coder: Coder
) -> Iterator[tuple[int, int]]:
    """Decodes or measures uint8 pixels [N, H, W, C]; yields the number of steps done now and then."""
    images, height, width, channels = pixels.shape
    o = shear(model.offsets)
    steps, most = step_count(height, width, o), images * largest_step(height, width, o)
    components = [expert.components for expert in model.experts]
    levels = _Levels(model.edges, channels)
    opened = symbols.space(model.features, channels, sum(components), model.predictor, most, most, levels.edges)
    kept = keep(opened), keep(coder)
    space, codes = (memory.ctypes.data for memory in kept)
    places = np.cumsum([0, *components]).tolist()
    networks = [
        _Network(expert, most, at, engines.integer_product(engine))
        for expert, at in zip(model.experts, places, strict=False)
    ]
    where, done, used, updates = context(model.offsets, model.predictor, model.channels), 0, 0, 0
    for t, n in enumerate(map(int, step_sizes(images, height, width, o))):
        if not decoding:
            exchange(space, False, pixels, t, o, 0, n)
        gather(space, pixels, where, t, o, 0, n)
        for network in networks:
            network.forwards(opened.inputs[:n, : model.features])
        for c in range(channels):
            for network in networks:
                network.parameters(c, opened.seen, levels.edges.centres)
                mixtures(network.place, space, n)
            symbols.code(decoding, codes, space, len(networks), c, n, 0, lanes, lanes, 0, done)
            for network in networks:
                gradients(network.place, space, c, 0, n)
        if decoding:
            exchange(space, True, pixels, t, o, 0, n)
        counting = max(0, min(n, MOST_PIXELS - used))
        ends = t % model.every == model.every - 1 or t == steps - 1
        used, done = 0 if ends else used + counting, done + n
        for network in networks:
            network.backwards(counting)
            if ends:
                network.update()
        updates += ends
        if ends and updates % edges.EVERY == 0:
            levels.update()
        if t % (CHUNK * model.every) == CHUNK * model.every - 1 or t == steps - 1:
            yield t + 1, steps


class _Levels:
    """The edges of grey levels."""

    def __init__(self, prior: int, channels: int) -> None:
        self.edges = edges.edges(prior, edges.sums(channels, 1), 0)

    def update(self) -> None:
        """Edges descend along their gradients' sums, which begin anew."""
        own = self.edges
        if own.prior == 0:
            return
        inner = slice(1, -1)
        gradients, squares = (numbers[:, inner] / edges.UNIT for numbers in own.sums[0])
        own.seen[:, inner] += squares
        steps = edges.STEP * gradients / (own.prior + own.seen[:, inner])
        moved = own.real[:, inner] - np.where(squares > 0, steps, 0.0)
        begin = np.arange(1, moved.shape[1] + 1) - 0.5
        own.real[:, inner] = np.clip(moved, begin - edges.FARTHEST, begin + edges.FARTHEST)
        for x in range(1, own.real.shape[1]):
            own.real[:, x] = np.maximum(own.real[:, x], own.real[:, x - 1] + edges.NARROWEST)
        own.places[:, 1:] = np.rint(own.real[:, 1:] * MEAN_STEPS)
        own.centres[...] = own.places[:, :-1] + own.places[:, 1:] >> 1
        own.sums[...] = 0


class _Network:
    """One expert: its weights of the moment, what it makes of contexts, and what gradients make of it."""

    def __init__(self, expert: Expert, rows: int, at: int, product: engines.Product) -> None:
        self.fixed, self.room = state.fixed(expert), state.room(expert, rows)
        self._memory = keep(self.fixed), keep(self.room)
        fixed, room = (memory.ctypes.data for memory in self._memory)
        self._own = keep(state.Expert(fixed, 0, 0, room, at, expert.components))
        self.place = self._own.ctypes.data
        self._expert, self._product, self._layers = expert, product, expert.layers[1:]
        self._weights = [np.pad(layer.weight, ((0, 1), (0, 0))).astype(np.float32) for layer in self._layers]
        self._mean, self._square = ([np.zeros_like(weight) for weight in self._weights] for _ in range(2))
        self._peaks = [peaks.copy() for peaks in expert.peaks]
        self._seen = [np.zeros_like(peaks) for peaks in self._peaks]
        self._powers = [1.0, 1.0]
        self._shifts = state.parameter_shifts(expert)
        self._round()

    def _round(self) -> None:
        """Weights rounded for both ways by the peaks, and sums of gradients at 0."""
        self._scales = [LARGEST_ROUNDED / _power(peaks) for peaks in self._peaks]
        self._units = [np.float32(1) / scales for scales in self._scales]
        self._back_units = [np.float32(4) * units.max() for units in self._units]
        self._forward = [np.rint(weight).astype(np.int64) for weight in self._weights]
        self._sums = [np.zeros(weight.shape, np.int64) for weight in self._weights]
        factors = [units / unit for units, unit in zip(self._units, self._back_units, strict=True)]
        pairs = zip(self._weights, factors, strict=True)
        self._backward = [_rounded(weight[:-1] * factor, BACKWARD_LIMIT) for weight, factor in pairs]
        self._heads, first = [], self._expert.counts[0]
        for adjust, count in zip(self._expert.adjust, self._expert.counts[1:], strict=True):
            factor = factors[-1][first : first + count]
            self._heads.append(_rounded(adjust[:, :count].astype(np.float32) * factor, BACKWARD_LIMIT))
            first += count

    def forwards(self, inputs: NDArray[np.int16]) -> None:
        """The last layer's sums of contexts [n, features]."""
        first = self._expert.layers[0]
        levels = rounded_levels(self._product(inputs, first.weight) + first.start, first.bits + INPUT_BITS - LEVEL_BITS)
        self._levels = [_with_one(levels)]
        for weight, layer in zip(self._forward, self._layers, strict=True):
            self._outputs = self._product(self._levels[-1], weight) + layer.start
            self._levels.append(_with_one(rounded_levels(self._outputs, layer.bits)))
        self._head_levels: list[Integers] = []

    def parameters(self, c: int, seen: Seen, centres: NDArray[np.int32]) -> None:
        """Parameters of channel c, given earlier ones, into room.params."""
        expert, n = self._expert, len(self._outputs)
        k = expert.components
        first, count = sum(expert.counts[:c]), expert.counts[c]
        params = self._outputs[:, first : first + count]
        if c:
            base = sum(expert.counts) + (c - 1) * expert.units
            shown = self._product(seen.companded[:c, :n].T, expert.learn[c - 1, :c])
            sums = self._outputs[:, base : base + expert.units] + shown
            self._head_levels.append(rounded_levels(sums, self._layers[-1].bits))
            params = params + self._product(self._head_levels[-1], expert.adjust[c - 1, :, :count])
        shifts = self._shifts[c]
        params = np.clip((params + (1 << (shifts - 1))) >> shifts, -PARAMETER_LIMIT, PARAMETER_LIMIT)
        params[:, k : 2 * k] += centres[c, seen.predictions[c, :n], None]
        for e in range(c):
            coefficients = np.clip(params[:, (3 + e) * k : (4 + e) * k], -COEFFICIENT_LIMIT, COEFFICIENT_LIMIT)
            params[:, k : 2 * k] += (coefficients * seen.differences[e, :n, None] + 2) >> 2
        self.room.params[:n, :count] = params

    def backwards(self, keep: int) -> None:
        """Adds the products of the first `keep` pixels' levels and gradients to the sums."""
        expert, last = self._expert, len(self._layers) - 1
        parameters, real = sum(expert.counts), self.room.gradients[:keep]
        columns, first = [self._rounded(last, real, 0)], expert.counts[0]
        for c, levels in enumerate(self._head_levels):
            count = expert.counts[c + 1]
            products = self._product(columns[0][:, first : first + count], self._heads[c].T)
            real = self._alive(last, products, levels[:keep])
            columns.append(self._rounded(last, real, parameters + c * expert.units))
            first += count
        gradients_ = np.hstack(columns)
        for k in range(last, -1, -1):
            levels = self._levels[k][:keep]
            self._sums[k] += self._product(levels.T, gradients_)
            if k:
                real = self._alive(k, self._product(gradients_, self._backward[k].T), levels[:, :-1])
                gradients_ = self._rounded(k - 1, real, 0)

    def _alive(self, k: int, products: Integers, levels: Integers) -> Floats:
        """Gradients of layer k's inputs whose levels are between 0 and 255; of others 0."""
        unit = self._back_units[k] / np.float32(1 << self._layers[k].bits)
        return np.where((levels > 0) & (levels < 255), products, 0).astype(np.float32) * unit

    def _rounded(self, k: int, real: Floats, begin: int) -> Integers:
        """Gradients of outputs of layer k from `begin` on, as integers; their largest magnitudes are kept."""
        here = slice(begin, begin + real.shape[1])
        self._seen[k][here] = np.maximum(self._seen[k][here], np.abs(real).max(0, initial=0))
        return _rounded(real * self._scales[k][here], GRADIENT_LIMIT)

    def update(self) -> None:
        """Adam, by the scales that the sums have; then new peaks, and all weights rounded."""
        forget, forget_square = self._expert.forget
        self._powers = [self._powers[0] * (1.0 - float(forget)), self._powers[1] * (1.0 - float(forget_square))]
        correction = np.sqrt(1.0 - self._powers[1]) / (1.0 - self._powers[0])
        for k, limit in enumerate(self._expert.limits[1:]):
            rate = np.float32(np.float64(self.fixed.rates[k]) * correction)
            gradient = self._sums[k].astype(np.float32) * self._units[k]
            mean = self._mean[k] + forget * (gradient - self._mean[k])
            mean = np.where(np.abs(mean) > SETTLED, mean, np.float32(0))
            square = self._square[k] + forget_square * (gradient * gradient - self._square[k])
            self._mean[k], self._square[k] = mean, square
            changed = self._weights[k] - rate * (mean / (np.sqrt(square) + self._expert.epsilon[0]))
            self._weights[k] = np.clip(changed, np.float32(-limit), np.float32(limit))
            peaks = np.maximum(self._peaks[k] * PEAK_FALL, self._seen[k])
            self._peaks[k] = np.clip(peaks, LOWEST_PEAK, HIGHEST_PEAK)
            self._seen[k][:] = 0
        self._round()


def _power(values: Floats) -> Floats:
    """The powers of two in (value / 2, value]."""
    return (values.view(np.int32) & np.int32(0x7F800000)).view(np.float32)


def _rounded(real: Floats, limit: int) -> Integers:
    return np.clip(np.rint(real), -limit, limit).astype(np.int64)


def rounded_levels(sums: Integers, shift: int) -> Integers:
    """clamp((sum + 2^(shift - 1)) >> shift, 0, 255)."""
    return np.clip((sums + (1 << (shift - 1))) >> shift, 0, 255)


def _with_one(levels: Integers) -> Integers:
    """Levels and the input that is always there."""
    return np.pad(levels, ((0, 0), (0, 1)), constant_values=ONE)
