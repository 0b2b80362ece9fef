"""A pixel's symbols under a local model: their intervals for an encoder, and popped from a message for a decoder.

Both go through a step's pixels channel by channel, because a channel's distributions depend on those before it.
`wavefront.py` and `gathered.py` choose the pixels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...coding.logistic import EDGES, mixture, tables
from ...kernels import Apart, call
from ..wavefront.coder import BLOCK, block_stop, measure, pop
from ..wavefront.context import LARGEST, shown
from .head import PackedHead, channel_parameters, packed_head
from .model import LocalModel

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
    [2, units]; params int32 [n, parameters]; weights, means, inverses int64 [n, K]; where `channel_parameters` is."""

    differences: NDArray[np.int32]
    seen: NDArray[np.int32]
    levels: NDArray[np.int32]
    params: NDArray[np.int32]
    weights: Numbers
    means: Numbers
    inverses: Numbers
    parameters: int


def symbols(model: LocalModel) -> Symbols:
    """The tables behind a model's symbols."""
    return Symbols(packed_head(model.head, model.channels), *tables(), shown(model.predictor))


def room(head: PackedHead, pixels: int) -> Room:
    """Scratch for steps whose lanes have at most so many pixels each."""
    n = max(BLOCK, pixels)
    pair = [np.empty((head.first.size, n), np.int32) for _ in range(2)]
    levels, params = np.empty((2, head.units.shape[2]), np.int32), np.empty((n, head.outputs.shape[2]), np.int32)
    weights, means, inverses = (np.empty((n, head.components), np.int64) for _ in range(3))
    place = channel_parameters.at(head, params, 0, 0, 0, pair[0], *pair, levels, params)
    return Room(pair[0], pair[1], levels, params, weights, means, inverses, place)


@Apart
def code(decoding, symbols, coder, size, first, last, lanes, done, sums, predictions, values, room):  # type: ignore[no-untyped-def]
    """Decodes the pixels of lanes first .. last - 1 of `lanes`, of a step of `size` pixels, or measures their values.

    `sums` (`head.channel_parameters`), `predictions` and `values` int32 [C, n] begin with lane `first`. A decoder pops
    from the coder's message into `values`; an encoder writes the intervals of `values`, whose step's first pixel is the
    coder's pixel `done`.
    """
    offset, lane = size * first // lanes, first
    while lane < last:
        stop = block_stop(size, lane, last, lanes)
        begin, end = size * lane // lanes, size * stop // lanes
        for channel in range(predictions.shape[0]):
            known = predictions, room.differences, room.seen, room.levels, room.params
            call(room.parameters, (symbols.head, sums, begin - offset, end - begin, channel, *known))
            for i in range(np.uint64(end - begin)):
                mixed = room.weights[i], room.means[i], room.inverses[i]
                mixture(room.params[i], symbols.exponential, symbols.inverse, mixed[0], mixed[1], mixed[2])
            c, at = np.uint64(channel), begin - offset
            if decoding:
                for one in range(lane, stop):
                    ends, own = (size * one // lanes - begin, size * (one + 1) // lanes - begin), np.uint64(one)
                    mixed = room.weights, room.means, room.inverses
                    pop(coder, own, c, ends, at, values, EDGES, mixed[0], mixed[1], mixed[2], symbols.sigmoid)
            else:
                n, place = end - begin, done + begin
                mixed = room.weights, room.means, room.inverses
                measure(coder, c, n, at, place, values, EDGES, mixed[0], mixed[1], mixed[2], symbols.sigmoid)
            for i in range(np.uint64(end - begin)):
                difference = np.int64(values[c, np.uint64(at) + i] - predictions[c, np.uint64(at) + i])
                room.differences[c, i] = difference
                room.seen[c, i] = symbols.seen[np.uint64(difference + LARGEST)]
        lane = stop
