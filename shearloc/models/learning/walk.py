"""Walks images of one size with networks that learn, one time step of the sheared order after another, on all threads.

At each step a thread does its lanes' pixels: contexts, forwards, channel by channel the distributions and the values,
their gradients, backwards. Then the threads meet, change the weights together, and meet again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL, Apart, call
from ...nets import barrier
from ...types import Pixels
from ..local.context import Context, context, look
from ..local.orders import largest_step, shear, step_count, step_rows, step_sizes
from . import backward, forward, gradient, state, symbols
from .model import MOST_PIXELS, LearningModel
from .symbols import Coder, Mixed, Seen, Tables
from .update import update

CHUNK = 64
"""Updates between two checks whether the payload ran dry."""
LEAST = 16
"""Pixels of the largest step that justify a thread of their own."""
BLOCK = 256
"""Pixels whose mixtures are computed at a time (or one lane's, if it has more), to fit into the nearest caches."""


class Expert(NamedTuple):
    """One network for the kernels. `at`: where its components begin among all."""

    fixed: state.Fixed
    weights: state.Weights
    scales: state.Scales
    room: state.Room
    at: int


class Space(NamedTuple):
    """What a thread's experts share: inputs int16 [pixels, features, even]; what is known of pixels; a block's mixtures."""

    inputs: NDArray[np.int16]
    seen: Seen
    mixed: Mixed
    block: int


class Kernels(NamedTuple):
    """Addresses of the kernels that a walk calls."""

    gather: int
    exchange: int
    forwards: int
    units: int
    parameters: int
    mixtures: int
    code: int
    gradients: int
    backwards: int
    update: int
    pieces: backward.Pieces


class Walk:
    """The threads' walk over uint8 pixels [N, H, W, C], with what they share and what each has."""

    def __init__(self, model: LearningModel, pixels: Pixels, lanes: int, threads: int) -> None:
        images, height, width, _ = pixels.shape
        self.o, self.every = shear(model.offsets), model.every
        self.steps = step_count(height, width, self.o)
        self.sizes = step_sizes(images, height, width, self.o)
        most = images * largest_step(height, width, self.o)
        self.parts = max(1, min(lanes, threads, most // LEAST))
        shares = [lanes * part // self.parts for part in range(self.parts + 1)]
        self.shares = [(part, *shares[part : part + 2], self.parts) for part in range(self.parts)]
        self._model, self._pixels, self._lanes = model, pixels, lanes
        self._context, self._tables = context(model.offsets, model.predictor), symbols.symbol_tables(model.predictor)
        rows = max(most * (last - first) // lanes + 1 for _, first, last, _ in self.shares)
        self._spaces = [self._space(rows, most // lanes + 1) for _ in self.shares]
        self._experts = list(zip(*(self._expert(number, rows) for number in range(len(model.experts))), strict=True))

    def _space(self, rows: int, most: int) -> Space:
        block, features = max(BLOCK, most), state.padded(self._model.features, 2)
        components = sum(expert.components for expert in self._model.experts)
        seen = symbols.known(self._model.channels, rows)
        return Space(np.zeros((rows, features), np.int16), seen, symbols.mixed(block, components), BLOCK)

    def _expert(self, number: int, rows: int) -> list[Expert]:
        """An expert, as each thread has it."""
        expert = self._model.experts[number]
        fixed, weights = state.fixed(expert), state.weights(expert, self.parts)
        found = []
        for _ in self.shares:
            scales, room = state.scales(expert), state.room(expert, max(rows, BLOCK))
            update(fixed, weights, scales, 0, 1, True)
            at = sum(earlier.components for earlier in self._model.experts[:number])
            found.append(Expert(fixed, weights, scales, room, at))
        return found

    def _kernels(self, coder: Coder) -> Kernels:
        one, space, tables = self._experts[0][0], self._spaces[0], self._tables
        seen, inputs = space.seen, space.inputs
        fixed, room, sizes, pieces = one.fixed, one.room, (0, 0, 0), backward.pieces()
        units = forward.head_units.at(fixed, room, *sizes, seen.companded)
        known = seen.predictions, seen.differences, seen.companded
        return Kernels(
            gather.at(self._pixels, self._context, 0, 0, 0, 0, inputs, seen.predictions),
            exchange.at(True, self._pixels, 0, 0, 0, 0, seen.values),
            forward.forwards.at(fixed, one.weights, room, inputs, 0),
            units,
            forward.parameters.at(fixed, room, units, *sizes, *known),
            forward.mixtures.at(room.params, *sizes, tables.exponential, tables.inverse, space.mixed),
            symbols.code.at(True, coder, tables, *[0] * 8, seen, space.mixed),
            gradient.gradients.at(fixed, room, *sizes, 0, seen.values, seen.differences, space.mixed, tables.sigmoid),
            backward.backwards.at(pieces, fixed, one.weights, one.scales, room, 0, 0, True),
            update.at(fixed, one.weights, one.scales, 0, 1, False),
            pieces,
        )

    def run(self, decoding: bool, coder: Coder) -> Iterator[tuple[int, int]]:
        """Decodes all pixels, or measures them; yields the number of steps done now and then."""
        kernels, ends = self._kernels(coder), np.cumsum([0, *self.sizes])
        with barrier.together(self.parts) as run:
            for first in range(0, self.steps, CHUNK * self.every):
                last = min(first + CHUNK * self.every, self.steps)
                where = first, last, int(ends[first]), self.o, self.every

                def chunk(part: int, arrived: NDArray[np.int64], where: tuple[Any, ...] = where) -> None:
                    known = self._context, self._tables, self._experts[part], self._spaces[part]
                    walk_steps(kernels, decoding, where, self.shares[part], self._lanes, *known, coder, arrived, self._pixels)

                run(chunk)
                yield last, self.steps


@Apart
def gather(pixels, context, t, o, begin, end, inputs, predictions):  # type: ignore[no-untyped-def]
    """Inputs and predictions (`context.look`) of the pixels begin .. end - 1 of step t."""
    _, height, width, channels = pixels.shape
    first, last = step_rows(t, height, width, o)
    flat, below = pixels.reshape(-1), width * channels
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        place = ((image * height + i) * width + t - i * o) * channels
        look(flat, place, below, i, t - i * o, width, context, inputs, predictions, q)
        i += 1
        if i == last:
            image, i = image + 1, first


@Apart
def exchange(decoded, pixels, t, o, begin, end, values):  # type: ignore[no-untyped-def]
    """Copies the values int32 [C, n] of the pixels begin .. end - 1 of step t into `pixels`, if decoded, or from there."""
    _, height, width, channels = pixels.shape
    first, last = step_rows(t, height, width, o)
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        which, row, column = np.uint64(image), np.uint64(i), np.uint64(t - i * o)
        for c in range(np.uint64(channels)):
            if decoded:
                pixels[which, row, column, c] = values[c, q]
            else:
                values[c, q] = pixels[which, row, column, c]
        i += 1
        if i == last:
            image, i = image + 1, first


@njit(**KERNEL)
def walk_steps(kernels, decoding, where, share, lanes, context, tables, experts, space, coder, arrived, pixels):  # type: ignore[no-untyped-def]
    """One thread's lanes of some steps: (first step, one past the last, pixels before, shear, steps to an update).

    share: the thread's number, its first lane, one past its last, and how many threads there are; they wait with
    `arrived` int64 [1]. An update's gradients come from its first MOST_PIXELS pixels.
    """
    first_step, last_step, done, o, every = where
    part, first_lane, last_lane, parts = share
    images, height, width, _ = pixels.shape
    meetings, used = 0, 0
    for t in range(first_step, last_step):
        first, last = step_rows(t, height, width, o)
        size = images * (last - first)
        start, stop = size * first_lane // lanes, size * last_lane // lanes
        if start < stop:
            step = (t, o, start, stop)
            if not decoding:
                call(kernels.exchange, (decoding, pixels, *step, space.seen.values))
            call(kernels.gather, (pixels, context, *step, space.inputs, space.seen.predictions))
            for expert in experts:
                call(kernels.forwards, (expert.fixed, expert.weights, expert.room, space.inputs, stop - start))
            _code(kernels, decoding, experts, tables, space, coder, (size, first_lane, last_lane, lanes, start, done))
            if decoding:
                call(kernels.exchange, (decoding, pixels, *step, space.seen.values))
        anew, ends = (t - first_step) % every == 0, (t - first_step) % every == every - 1 or t == last_step - 1
        used = 0 if anew else used
        counting = min(max(MOST_PIXELS - used - start, 0), stop - start)
        used = min(used + size, MOST_PIXELS)
        for expert in experts:
            own = (expert.fixed, expert.weights, expert.scales, expert.room)
            call(kernels.backwards, (kernels.pieces, *own, counting, part, anew))
        meetings += 1
        if parts > 1:
            barrier.wait(arrived, parts * meetings)
        if ends:
            for expert in experts:
                call(kernels.update, (expert.fixed, expert.weights, expert.scales, part, parts, False))
            meetings += 1
            if parts > 1:
                barrier.wait(arrived, parts * meetings)
        done += size


@njit(nogil=True, error_model="numpy", _nrt=False, inline="always")
def _code(kernels, decoding, experts, tables, space, coder, where):  # type: ignore[no-untyped-def]
    """Codes a thread's pixels of a step, a block of lanes after the other; leaves the parameters' gradients."""
    size, first_lane, last_lane, lanes, start, done = where
    seen, mixed = space.seen, space.mixed
    lane = first_lane
    while lane < last_lane:
        begin, stop = size * lane // lanes, lane + 1
        while stop < last_lane and size * (stop + 1) // lanes - begin <= space.block:
            stop += 1
        n, at = size * stop // lanes - begin, begin - start
        for c in range(seen.values.shape[0]):
            block = (c, at, n)
            for expert in experts:
                known = (seen.predictions, seen.differences, seen.companded)
                call(kernels.parameters, (expert.fixed, expert.room, kernels.units, *block, *known))
                places = (n, expert.at, expert.fixed.components, tables.exponential, tables.inverse)
                call(kernels.mixtures, (expert.room.params, *places, mixed))
            lanes_of = (c, size, lane, stop, lanes, at, done)
            call(kernels.code, (decoding, coder, tables, len(experts), *lanes_of, seen, mixed))
            for expert in experts:
                pixels_of = (*block, expert.at, seen.values, seen.differences, mixed, tables.sigmoid)
                call(kernels.gradients, (expert.fixed, expert.room, *pixels_of))
        lane = stop
