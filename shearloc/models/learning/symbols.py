"""A pixel's symbols under a model that learns: their intervals for an encoder, and popped from a message for a decoder.

The coder has the mean of the experts' mixtures: all components together, each with its share of the weight.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import tables
from ...kernels import PART, Apart, blank, opener
from ...nets.shorts import GROUP
from ..wavefront.coder import Coder, measure, pop
from ..wavefront.context import LARGEST, shown
from .edges import Edges

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


class Space(NamedTuple):
    """What a thread's experts share. inputs int16 [pixels, features, even]."""

    inputs: Annotated[NDArray[np.int16], 2]
    seen: Seen
    mixed: Mixed
    tables: Tables
    edges: Edges


SPACE, CODER = opener(Space), opener(Coder)
"""Kernels get their addresses."""


def space(
    features: int, channels: int, components: int, predictor: int, pixels: int, block: int, edges: Edges
) -> Space:
    """Room for so many pixels, and for mixtures of a block of them."""
    seen = Seen(*(np.zeros((channels, pixels), np.int32) for _ in range(4)))
    mixed = Mixed(*(np.empty((block, components), np.int64) for _ in range(4)))
    inputs = blank((pixels + GROUP, features + features % 2), np.int16)  # `shorts.multiply` reads behind a row
    return Space(inputs, seen, mixed, Tables(*tables(), shown(predictor)), edges)


@njit(**PART)
def _share(mixed, n, experts):  # type: ignore[no-untyped-def]
    """Weights of n pixels' mixtures, divided by the number of experts: mixed.shares."""
    halvings = np.uint64(experts - 1)
    for i in range(n):
        weights, shares = mixed.weights[i], mixed.shares[i]
        if experts <= 2:
            for k in range(np.uint64(shares.size)):
                shares[k] = np.int64(np.uint64(weights[k]) >> halvings)
        else:
            for k in range(np.uint64(shares.size)):
                shares[k] = np.int64(np.uint64(weights[k]) // np.uint64(experts))


@Apart
def code(decoding, coder, space, experts, channel, size, lane, stop, lanes, at, done):  # type: ignore[no-untyped-def]
    """Decodes a channel of the pixels of lanes lane .. stop - 1 of `lanes`, of a step of `size` pixels, or measures it.

    In space.seen they begin at `at`, in space.mixed at 0. The step's first pixel is the coder's pixel `done`.
    """
    opened, codes = SPACE(space), CODER(coder)
    seen, mixed, tables, edges = opened.seen, opened.mixed, opened.tables, opened.edges.places[channel]
    begin, end, c = size * lane // lanes, size * stop // lanes, np.uint64(channel)
    _share(mixed, np.uint64(end - begin), experts)
    if decoding:
        for one in range(lane, stop):
            ends, own = (size * one // lanes - begin, size * (one + 1) // lanes - begin), np.uint64(one)
            pop(codes, own, c, ends, at, seen.values, edges, mixed.shares, mixed.means, mixed.inverses, tables.sigmoid)
    else:
        n, place = end - begin, done + begin
        measure(codes, c, n, at, place, seen.values, edges, mixed.shares, mixed.means, mixed.inverses, tables.sigmoid)
    for i in range(at, at + end - begin):
        difference = np.int64(seen.values[channel, i] - seen.predictions[channel, i])
        seen.differences[channel, i] = difference
        seen.companded[channel, i] = tables.seen[np.uint64(difference + LARGEST)]
