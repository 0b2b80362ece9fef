"""A pixel's symbols under a local model: their intervals for an encoder, and popped from a message for a decoder.

Both go through a step's pixels channel by channel, because a channel's distributions depend on those before it.
`wavefront.py` and `gathered.py` choose the pixels.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import PRECISION, mixture, mixture_interval, mixture_search, tables
from ...coding.message import Message
from ...coding.rans import pop_advance, pop_target
from ...kernels import PART, Apart, call
from ..wavefront.context import LARGEST, shown
from .head import PackedHead, channel_parameters, packed_head
from .model import LocalModel

BLOCK = 256
"""Pixels whose parameters are computed at a time (or one lane's, if it has more), to fit into the nearest caches."""

Numbers = NDArray[np.int64]


class Symbols(NamedTuple):
    """The tables behind a model's symbols, for Numba. sigmoid, exponential, inverse: `logistic.tables`; seen:
    `context.shown`."""

    head: PackedHead
    sigmoid: Numbers
    exponential: Numbers
    inverse: Numbers
    seen: NDArray[np.int8]


class Room(NamedTuple):
    """Scratch of `code` for blocks of n pixels, of a thread's own: differences, seen int32 [C, n]; levels int32
    [units]; params int32 [n, parameters]; weights, means, inverses int64 [n, K]; and where `channel_parameters` is."""

    differences: NDArray[np.int32]
    seen: NDArray[np.int32]
    levels: NDArray[np.int32]
    params: NDArray[np.int32]
    weights: Numbers
    means: Numbers
    inverses: Numbers
    parameters: int


class Coder(NamedTuple):
    """Where `code` pops symbols from, or writes their intervals to; the arrays of the other are empty.

    heads uint64, words uint32, tops int64: of a message with a tail a lane; starts, freqs uint32 [C, pixels].
    """

    heads: NDArray[np.uint64]
    words: NDArray[np.uint32]
    tops: Numbers
    starts: NDArray[np.uint32]
    freqs: NDArray[np.uint32]


def symbols(model: LocalModel) -> Symbols:
    """The tables behind a model's symbols."""
    return Symbols(packed_head(model.head, model.channels), *tables(), shown(model.predictor))


def room(model: LocalModel, pixels: int) -> Room:
    """Scratch for steps whose lanes have at most `most` pixels each."""
    n, head = max(BLOCK, pixels), packed_head(model.head, model.channels)
    pair = [np.empty((model.channels, n), np.int32) for _ in range(2)]
    levels, params = np.empty(head.units.shape[2], np.int32), np.empty((n, head.outputs.shape[2]), np.int32)
    weights, means, inverses = (np.empty((n, model.components), np.int64) for _ in range(3))
    place = channel_parameters.at(head, params, 0, 0, 0, pair[0], *pair, levels, params)
    return Room(pair[0], pair[1], levels, params, weights, means, inverses, place)


def popping(message: Message) -> Coder:
    """A coder that decodes from a message whose lanes have tails of their own."""
    return Coder(*message.arrays, *(np.empty((0, 0), np.uint32) for _ in range(2)))


def measuring(starts: NDArray[np.uint32], freqs: NDArray[np.uint32]) -> Coder:
    """A coder that fills starts and freqs."""
    return Coder(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.int64), starts, freqs)


@Apart
def code(decoding, symbols, coder, size, first, last, lanes, done, sums, predictions, values, room):  # type: ignore[no-untyped-def]
    """Decodes the pixels of lanes first .. last - 1 of `lanes`, of a step of `size` pixels, or measures their values.

    `sums` (`head.channel_parameters`), `predictions` and `values` int32 [C, n] begin with lane `first`. A decoder pops
    from the coder's message into `values`; an encoder writes the intervals of `values`, whose step's first pixel is the
    coder's pixel `done`.
    """
    offset, lane = size * first // lanes, first
    while lane < last:
        begin, stop = size * lane // lanes, lane + 1
        while stop < last and size * (stop + 1) // lanes - begin <= BLOCK:
            stop += 1
        end = size * stop // lanes
        for channel in range(predictions.shape[0]):
            known = predictions, room.differences, room.seen, room.levels, room.params
            call(room.parameters, (symbols.head, sums, begin - offset, end - begin, channel, *known))
            for i in range(np.uint64(end - begin)):
                mixed = room.weights[i], room.means[i], room.inverses[i]
                mixture(room.params[i], symbols.exponential, symbols.inverse, mixed[0], mixed[1], mixed[2])
            c, at = np.uint64(channel), begin - offset
            if decoding:
                for one in range(lane, stop):
                    ends = size * one // lanes - begin, size * (one + 1) // lanes - begin
                    _pop(coder, np.uint64(one), c, ends, at, values, symbols.sigmoid, room)
            else:
                _measure(coder, c, end - begin, at, done + begin, values, symbols.sigmoid, room)
            for i in range(np.uint64(end - begin)):
                difference = np.int64(values[c, np.uint64(at) + i] - predictions[c, np.uint64(at) + i])
                room.differences[c, i] = difference
                room.seen[c, i] = symbols.seen[np.uint64(difference + LARGEST)]
        lane = stop


@njit(**PART)
def _pop(coder, lane, c, ends, at, values, sigmoid, room):  # type: ignore[no-untyped-def]
    """Pops a lane's values of a channel: of the block's pixels ends[0] .. ends[1] - 1; `values` has these from `at`."""
    state, top = coder.heads[lane], coder.tops[lane]
    for i in range(np.uint64(ends[0]), np.uint64(ends[1])):
        target = pop_target(state, PRECISION)
        value, start, freq = mixture_search(target, room.weights[i], room.means[i], room.inverses[i], sigmoid)
        # A lane that runs dry reads on in its neighbour's words; `Message.dry` tells afterwards.
        state, top = pop_advance(state, coder.words, top, start, freq, PRECISION)
        values[c, np.uint64(at) + i] = value
    coder.heads[lane], coder.tops[lane] = state, top


@njit(**PART)
def _measure(coder, c, n, at, place, values, sigmoid, room):  # type: ignore[no-untyped-def]
    """Intervals of a channel of n pixels, which `values` has from `at` and the coder from `place`."""
    for i in range(np.uint64(n)):
        value = np.int64(values[c, np.uint64(at) + i])
        start, freq = mixture_interval(value, room.weights[i], room.means[i], room.inverses[i], sigmoid)
        coder.starts[c, np.uint64(place) + i], coder.freqs[c, np.uint64(place) + i] = start, freq
