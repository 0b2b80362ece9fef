"""Walks images of one size with networks that learn, one time step of the sheared order after another, on all threads.

At each step a thread does its lanes' pixels: contexts, forwards, channel by channel the distributions and the values,
their gradients, backwards; then its share of the weights. It waits for the other threads' pixels, sums and weights only
when it needs them, and meanwhile begins with the next step: contexts, and the first layer, which does not learn.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL, PART, Apart, address, call, keep
from ...nets import barrier
from ...types import Pixels
from ..wavefront.coder import BLOCK, Coder, block_stop
from ..wavefront.context import Context, context
from ..wavefront.orders import largest_step, pixels_before, shear, step_count, step_rows
from ..wavefront.pixels import exchange_pixels, gather_pixels
from . import backward, state, symbols
from . import edges as levels
from .forward import first_layer, forwards, head_units, mixtures, parameters
from .gradient import gradients
from .model import MOST_PIXELS, LearningModel
from .symbols import SPACE
from .update import update, update_edges

CHUNK = 64
"""Updates between two checks whether the payload ran dry: a multiple of `edges.EVERY`."""
LEAST = 16
"""Pixels of the largest step that justify a thread of their own."""
COUNTS = 3
"""What threads wait for: others' pixels, sums, and weights."""


class Kernels(NamedTuple):
    """Addresses of the kernels that a walk calls."""

    gather: int
    exchange: int
    first_layer: int
    forwards: int
    units: int
    parameters: int
    mixtures: int
    code: int
    gradients: int
    backwards: int
    update: int
    edges: int
    pieces: backward.Pieces


def kernels(pixels: Pixels, where: Context) -> Kernels:
    """The kernels of a walk over these pixels."""
    pieces = backward.pieces()
    return Kernels(
        gather.at(0, pixels, where, 0, 0, 0, 0),
        exchange.at(0, True, pixels, 0, 0, 0, 0),
        first_layer.at(0, 0, 0),
        forwards.at(0, 0),
        head_units.at(*[0] * 5),
        parameters.at(*[0] * 6),
        mixtures.at(0, 0, 0),
        symbols.code.at(True, *[0] * 10),
        gradients.at(*[0] * 5),
        backward.backwards.at(0, pieces, 0, 0, True),
        update.at(0, 0, 0, True),
        update_edges.at(0, True),
        pieces,
    )


class Walk:
    """The threads' walk over pixels (`blank_pixels`, filled or to be decoded), with what they share and what each has.

    `starts`: weights that the experts begin with (`state.Weights.weights`), if not the model's.
    """

    def __init__(
        self,
        model: LearningModel,
        pixels: Pixels,
        lanes: int,
        threads: int,
        starts: Sequence[NDArray[np.float32]] = (),
    ) -> None:
        images, height, width, _ = pixels.shape
        self.o, self.every = shear(model.offsets), model.every
        self.steps = step_count(height, width, self.o)
        self._size = images, height, width, self.o
        most = images * largest_step(height, width, self.o)
        self.parts = max(1, min(lanes, threads, most // LEAST))
        shares = [lanes * part // self.parts for part in range(self.parts + 1)]
        self.shares = [(part, *shares[part : part + 2], self.parts) for part in range(self.parts)]
        self._pixels, self._lanes = pixels, lanes
        self._context = context(model.offsets, model.predictor, model.channels)
        rows = max(most * (last - first) // lanes + 1 for _, first, last, _ in self.shares)
        self._kept: list[Any] = []
        shared, block = levels.sums(model.channels, self.parts), max(BLOCK, most // lanes + 1)
        self._spaces = [self._space(model, rows, block, shared, part) for part in range(self.parts)]
        self.weights = [state.weights(expert, self.parts) for expert in model.experts]
        """Every expert's, of the moment."""
        for own, start in zip(self.weights, starts, strict=False):
            own.weights[...] = start
        self._experts = self._all_experts(model, max(rows, BLOCK))

    def _keep(self, bundle: Any) -> int:
        """The address of a bundle, which lives as long as the walk."""
        memory = keep(bundle)
        self._kept += [bundle, memory]
        return memory.ctypes.data

    def _space(self, model: LearningModel, rows: int, block: int, shared: NDArray[np.int64], part: int) -> int:
        components = sum(expert.components for expert in model.experts)
        sizes = model.features, model.channels, components, model.predictor
        return self._keep(symbols.space(*sizes, rows, block, levels.edges(model.edges, shared, part)))

    def _all_experts(self, model: LearningModel, rows: int) -> NDArray[np.int64]:
        """Addresses of every thread's experts, int64 [threads, experts]. Threads share the weights."""
        found, at = np.empty((self.parts, len(model.experts)), np.int64), 0
        for number, expert in enumerate(model.experts):
            shared = self._keep(state.fixed(expert)), self._keep(self.weights[number])
            for part in range(self.parts):
                own = self._keep(state.scales(expert)), self._keep(state.room(expert, rows))
                found[part, number] = self._keep(state.Expert(*shared, *own, at, expert.components))
                update(int(found[part, number]), 0, 1, True)
            at += expert.components
        return found

    def run(self, decoding: bool, coder: Coder) -> Iterator[tuple[int, int]]:
        """Decodes all pixels, or measures them; yields the number of steps done now and then."""
        calls, place = kernels(self._pixels, self._context), self._keep(coder)
        with barrier.together(self.parts, COUNTS) as run:
            for first in range(0, self.steps, CHUNK * self.every):
                last = min(first + CHUNK * self.every, self.steps)
                where = first, last, pixels_before(first, *self._size), self.o, self.every

                def chunk(part: int, arrived: NDArray[np.int64], where: tuple[Any, ...] = where) -> None:
                    own = self._experts[part], self._spaces[part]
                    share = self.shares[part], self._lanes
                    walk_steps(calls, decoding, where, *share, self._context, *own, place, arrived, self._pixels)

                run(chunk)
                yield last, self.steps


@Apart
def gather(space, pixels, context, t, o, begin, end):  # type: ignore[no-untyped-def]
    """Inputs and predictions (`look_along_runs`) of the pixels begin .. end - 1 of step t."""
    opened = SPACE(space)
    gather_pixels(pixels, t, o, begin, end, context, opened.inputs, opened.seen.predictions, 0)


@Apart
def exchange(space, decoded, pixels, t, o, begin, end):  # type: ignore[no-untyped-def]
    """Copies the values of the pixels begin .. end - 1 of step t into `pixels`, if they are decoded, or from there."""
    exchange_pixels(decoded, pixels, t, o, begin, end, SPACE(space).seen.values, 0)


@njit(**KERNEL)
def walk_steps(kernels, decoding, where, share, lanes, context, experts, space, coder, arrived, pixels):  # type: ignore[no-untyped-def]
    """One thread's lanes of some steps: (first step, one past the last, pixels before, shear, steps to an update).

    share: the thread's number, its first lane, one past its last, and how many threads there are; they wait by
    `arrived` (`barrier.together`). experts int64 [experts], space and coder: addresses. An update's gradients come from
    its first MOST_PIXELS pixels.
    """
    first_step, last_step, done, o, every = where
    part, first_lane, last_lane, parts = share
    updates, used = 0, 0
    of_pixels = address(arrived)
    of_sums, of_weights = of_pixels + 8 * barrier.APART, of_pixels + 16 * barrier.APART
    step, size = _share_of(first_step, o, share, lanes, pixels)
    _gather(kernels, step, context, space, pixels)
    _first_layers(kernels, step, experts, space)
    for t in range(first_step, last_step):
        if (t - first_step) % (levels.EVERY * every) == 0:
            call(kernels.edges, (space, True))
        if step[2] < step[3]:
            lanes_of = (size, first_lane, last_lane, lanes, done)
            _code_pixels(kernels, decoding, step, lanes_of, experts, space, coder, pixels)
        barrier.arrive(of_pixels)
        anew, ends = (t - first_step) % every == 0, (t - first_step) % every == every - 1 or t == last_step - 1
        used = 0 if anew else used
        counting = min(max(MOST_PIXELS - used - step[2], 0), step[3] - step[2])
        used = min(used + size, MOST_PIXELS)
        for expert in experts:
            call(kernels.backwards, (expert, kernels.pieces, counting, part, anew))
        done += size
        if ends:
            barrier.arrive(of_sums)
        if t + 1 < last_step:
            barrier.until(of_pixels, parts * (t + 1 - first_step))
            step, size = _share_of(t + 1, o, share, lanes, pixels)
            _gather(kernels, step, context, space, pixels)
        if ends:
            updates += 1
            barrier.until(of_sums, parts * updates)
            for expert in experts:
                call(kernels.update, (expert, part, parts, False))
            if updates % levels.EVERY == 0:
                call(kernels.edges, (space, False))
            barrier.arrive(of_weights)
        if t + 1 < last_step:
            _first_layers(kernels, step, experts, space)
        if ends:
            barrier.until(of_weights, parts * updates)


@njit(**PART)
def _share_of(t, o, share, lanes, pixels):  # type: ignore[no-untyped-def]
    """A thread's share of step t, as (t, shear, first pixel, one past the last); and the step's size."""
    images, height, width, _ = pixels.shape
    first, last = step_rows(t, height, width, o)
    size = images * (last - first)
    return (t, o, size * share[1] // lanes, size * share[2] // lanes), size


@njit(**PART)
def _gather(kernels, step, context, space, pixels):  # type: ignore[no-untyped-def]
    if step[2] < step[3]:
        call(kernels.gather, (space, pixels, context, *step))


@njit(**PART)
def _first_layers(kernels, step, experts, space):  # type: ignore[no-untyped-def]
    for expert in experts:
        call(kernels.first_layer, (expert, space, step[3] - step[2]))


@njit(**PART)
def _code_pixels(kernels, decoding, step, lanes_of, experts, space, coder, pixels):  # type: ignore[no-untyped-def]
    """Codes a thread's pixels of a step, a block of lanes after the other; leaves the parameters' gradients.

    step: its number, the shear, the thread's first pixel and one past its last. lanes_of: the step's pixels, the
    thread's first lane and one past its last, all lanes, pixels of all steps before.
    """
    _, _, start, stop = step
    size, first_lane, last_lane, lanes, done = lanes_of
    if not decoding:
        call(kernels.exchange, (space, decoding, pixels, *step))
    for expert in experts:
        call(kernels.forwards, (expert, stop - start))
    lane = first_lane
    while lane < last_lane:
        lane_stop = block_stop(size, lane, last_lane, lanes)
        begin, n = size * lane // lanes - start, size * lane_stop // lanes - size * lane // lanes
        for c in range(pixels.shape[3]):
            for expert in experts:
                call(kernels.parameters, (expert, space, kernels.units, c, begin, n))
                call(kernels.mixtures, (expert, space, n))
            pixels_of = (c, size, lane, lane_stop, lanes, begin, done)
            call(kernels.code, (decoding, coder, space, experts.size, *pixels_of))
            for expert in experts:
                call(kernels.gradients, (expert, space, c, begin, n))
        lane = lane_stop
    if decoding:
        call(kernels.exchange, (space, decoding, pixels, *step))
