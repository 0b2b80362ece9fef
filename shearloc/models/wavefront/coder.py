"""Where a wavefront's kernels pop values from, or write their intervals to: by mixtures of logistic distributions."""

from typing import Annotated, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import PRECISION, mixture_interval, mixture_search
from ...coding.message import Message
from ...coding.rans import pop_advance, pop_target
from ...kernels import PART

BLOCK = 256
"""Pixels whose parameters are computed at a time (or one lane's, if it has more), to fit into the nearest caches."""


class Coder(NamedTuple):
    """A message to pop from, or intervals to fill; the arrays of the other are empty.

    heads uint64, words uint32, tops int64: of a message with a tail a lane; starts, freqs uint32 [C, pixels].
    """

    heads: Annotated[NDArray[np.uint64], 1]
    words: Annotated[NDArray[np.uint32], 1]
    tops: Annotated[NDArray[np.int64], 1]
    starts: Annotated[NDArray[np.uint32], 2]
    freqs: Annotated[NDArray[np.uint32], 2]


def popping(message: Message) -> Coder:
    """A coder that decodes from a message whose lanes have tails of their own."""
    return Coder(*message.arrays, *(np.empty((0, 0), np.uint32) for _ in range(2)))


def measuring(starts: NDArray[np.uint32], freqs: NDArray[np.uint32]) -> Coder:
    """A coder that fills starts and freqs."""
    return Coder(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.int64), starts, freqs)


@njit(**PART)
def block_stop(size, lane, last, lanes):  # type: ignore[no-untyped-def]
    """One past the last of the lanes, from `lane` on, that are coded together: those of BLOCK pixels, or one."""
    begin, stop = size * lane // lanes, lane + 1
    while stop < last and size * (stop + 1) // lanes - begin <= BLOCK:
        stop += 1
    return stop


@njit(**PART)
def pop(coder, lane, c, ends, at, values, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """Pops a lane's values of a channel: of the block's pixels ends[0] .. ends[1] - 1; `values` has these from `at`.

    edges int64 [257]: of the channel's levels; weights, means, inverses int64 [pixels, K]: the block's mixtures.
    """
    state, top = coder.heads[lane], coder.tops[lane]
    for i in range(np.uint64(ends[0]), np.uint64(ends[1])):
        target = pop_target(state, PRECISION)
        value, start, freq = mixture_search(target, edges, weights[i], means[i], inverses[i], sigmoid)
        # A lane that runs dry reads on in its neighbour's words; `Message.dry` tells afterwards.
        state, top = pop_advance(state, coder.words, top, start, freq, PRECISION)
        values[c, np.uint64(at) + i] = value
    coder.heads[lane], coder.tops[lane] = state, top


@njit(**PART)
def measure(coder, c, n, at, place, values, edges, weights, means, inverses, sigmoid):  # type: ignore[no-untyped-def]
    """Intervals of a channel of n pixels, which `values` has from `at` and the coder from `place`."""
    for i in range(np.uint64(n)):
        value = np.int64(values[c, np.uint64(at) + i])
        start, freq = mixture_interval(value, edges, weights[i], means[i], inverses[i], sigmoid)
        coder.starts[c, np.uint64(place) + i], coder.freqs[c, np.uint64(place) + i] = start, freq
