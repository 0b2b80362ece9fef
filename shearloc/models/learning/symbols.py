"""A pixel's symbols under a model that learns: their intervals for an encoder, and popped from a message for a decoder.

The coder has the mean of the experts' mixtures: all components together, each with its share of the weight.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import PRECISION, mixture_interval, mixture_search, tables
from ...coding.message import Message
from ...coding.rans import pop_advance, pop_target
from ...kernels import PART, Apart, opener
from ..wavefront.context import LARGEST, shown

Integers = NDArray[np.int64]


class Mixed(NamedTuple):
    """Mixtures of a block's pixels: int64 [pixels, components of all experts]. shares: the weights over the number of
    experts, rounded down."""

    weights: Annotated[Integers, 2]
    means: Annotated[Integers, 2]
    inverses: Annotated[Integers, 2]
    shares: Annotated[Integers, 2]


class Tables(NamedTuple):
    """sigmoid, exponential, inverse: `logistic.tables`; seen: `context.shown`."""

    sigmoid: Annotated[Integers, 2]
    exponential: Annotated[Integers, 1]
    inverse: Annotated[Integers, 1]
    seen: Annotated[NDArray[np.int8], 1]


class Seen(NamedTuple):
    """What is known of a step's pixels, int32 [C, pixels]: predictions, values, their differences, these companded."""

    predictions: Annotated[NDArray[np.int32], 2]
    values: Annotated[NDArray[np.int32], 2]
    differences: Annotated[NDArray[np.int32], 2]
    companded: Annotated[NDArray[np.int32], 2]


class Coder(NamedTuple):
    """Where `code` pops symbols from, or writes their intervals to; the arrays of the other are empty.

    heads uint64, words uint32, tops int64: of a message with a tail a lane; starts, freqs uint32 [C, pixels].
    """

    heads: Annotated[NDArray[np.uint64], 1]
    words: Annotated[NDArray[np.uint32], 1]
    tops: Annotated[Integers, 1]
    starts: Annotated[NDArray[np.uint32], 2]
    freqs: Annotated[NDArray[np.uint32], 2]


class Space(NamedTuple):
    """What a thread's experts share. inputs int16 [pixels, features, even]."""

    inputs: Annotated[NDArray[np.int16], 2]
    seen: Seen
    mixed: Mixed
    tables: Tables


SPACE, CODER = opener(Space), opener(Coder)
"""Kernels get their addresses."""


def space(features: int, channels: int, components: int, predictor: int, pixels: int, block: int) -> Space:
    """Room for so many pixels, and for mixtures of a block of them."""
    seen = Seen(*(np.zeros((channels, pixels), np.int32) for _ in range(4)))
    mixed = Mixed(*(np.empty((block, components), np.int64) for _ in range(4)))
    inputs = np.zeros((pixels, features + features % 2), np.int16)
    return Space(inputs, seen, mixed, Tables(*tables(), shown(predictor)))


def popping(message: Message) -> Coder:
    """A coder that decodes from a message whose lanes have tails of their own."""
    return Coder(*message.arrays, *(np.empty((0, 0), np.uint32) for _ in range(2)))


def measuring(starts: NDArray[np.uint32], freqs: NDArray[np.uint32]) -> Coder:
    """A coder that fills starts and freqs."""
    return Coder(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.int64), starts, freqs)


@Apart
def code(decoding, coder, space, experts, channel, size, lane, stop, lanes, at, done):  # type: ignore[no-untyped-def]
    """Decodes a channel of the pixels of lanes lane .. stop - 1 of `lanes`, of a step of `size` pixels, or measures it.

    In space.seen they begin at `at`, in space.mixed at 0. The step's first pixel is the coder's pixel `done`.
    """
    opened, codes = SPACE(space), CODER(coder)
    seen, mixed, tables = opened.seen, opened.mixed, opened.tables
    begin, end = size * lane // lanes, size * stop // lanes
    for i in range(np.uint64(end - begin)):
        for k in range(np.uint64(mixed.shares.shape[1])):
            mixed.shares[i, k] = np.int64(np.uint64(mixed.weights[i, k]) // np.uint64(experts))
    if decoding:
        for one in range(lane, stop):
            ends = size * one // lanes - begin, size * (one + 1) // lanes - begin
            _pop(codes, np.uint64(one), np.uint64(channel), ends, at, seen.values, tables.sigmoid, mixed)
    else:
        _measure(codes, np.uint64(channel), end - begin, at, done + begin, seen.values, tables.sigmoid, mixed)
    for i in range(at, at + end - begin):
        difference = np.int64(seen.values[channel, i] - seen.predictions[channel, i])
        seen.differences[channel, i] = difference
        seen.companded[channel, i] = tables.seen[np.uint64(difference + LARGEST)]


@njit(**PART)
def _pop(coder, lane, c, ends, at, values, sigmoid, mixed):  # type: ignore[no-untyped-def]
    """Pops a lane's values of a channel: of the block's pixels ends[0] .. ends[1] - 1; `values` has these from `at`."""
    state, top = coder.heads[lane], coder.tops[lane]
    for i in range(np.uint64(ends[0]), np.uint64(ends[1])):
        target = pop_target(state, PRECISION)
        value, start, freq = mixture_search(target, mixed.shares[i], mixed.means[i], mixed.inverses[i], sigmoid)
        # A lane that runs dry reads on in its neighbour's words; `Message.dry` tells afterwards.
        state, top = pop_advance(state, coder.words, top, start, freq, PRECISION)
        values[c, np.uint64(at) + i] = value
    coder.heads[lane], coder.tops[lane] = state, top


@njit(**PART)
def _measure(coder, c, n, at, place, values, sigmoid, mixed):  # type: ignore[no-untyped-def]
    """Intervals of a channel of n pixels, which `values` has from `at` and the coder from `place`."""
    for i in range(np.uint64(n)):
        value = np.int64(values[c, np.uint64(at) + i])
        start, freq = mixture_interval(value, mixed.shares[i], mixed.means[i], mixed.inverses[i], sigmoid)
        coder.starts[c, np.uint64(place) + i], coder.freqs[c, np.uint64(place) + i] = start, freq
