"""Where grey levels begin and end, learnt while coding: a picture's tone curve may have made some wider than others.

A picture whose levels were stretched has combs in its histogram: a mixture of smooth distributions does not see them.
Here each edge between two levels descends along the gradient of the code length, by about one observation's share:
2 / (what the model begins with + the sum of squared gradients). It starts where levels are equally wide.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import EDGES, LEVELS, MEAN_STEPS
from ...kernels import PART, clamp, rint

USUAL = 1024
"""Observations that a model's edges begin with, chosen on held-out photographs and screenshots."""
UNIT = 4096.0
"""Gradients are summed as integers, in units of 1 / UNIT: their sums do not depend on the order of pixels."""
LARGEST_SLOPE = 8.0
STEP = 2.0
EVERY = 4
"""Updates of the weights to one of the edges."""
FARTHEST, NARROWEST = 2.0, 1 / 32
"""Grey levels: an edge stays that close to where it began, and a level is that wide."""


class Edges(NamedTuple):
    """A thread's edges; every thread has the same numbers, but for its sums.

    places int64 [C, 257], centres int32 [C, 256]: edges and middles of levels, 1/64 grey level. real float64 [C, 257]:
    edges in grey levels. seen float64 [C, 257]: squared gradients so far. sums int64 [threads, 2, C, 257], shared:
    gradients, and their squares, since the last update. thread: whose. prior: observations that a model begins with; of
    0, edges stay.
    """

    places: Annotated[NDArray[np.int64], 2]
    centres: Annotated[NDArray[np.int32], 2]
    real: Annotated[NDArray[np.float64], 2]
    seen: Annotated[NDArray[np.float64], 2]
    sums: Annotated[NDArray[np.int64], 4]
    thread: int
    prior: int


def sums(channels: int, threads: int) -> NDArray[np.int64]:
    """What the threads share."""
    return np.zeros((threads, 2, channels, LEVELS + 1), np.int64)


def edges(prior: int, shared: NDArray[np.int64], thread: int) -> Edges:
    """As every image begins."""
    channels = shared.shape[2]
    places = np.tile(EDGES, (channels, 1))
    centres = np.tile(MEAN_STEPS * np.arange(LEVELS, dtype=np.int32), (channels, 1))
    return Edges(places, centres, places / MEAN_STEPS, np.zeros(places.shape), shared, thread, prior)


@njit(**PART)
def observe(edges, c, x, lower, upper):  # type: ignore[no-untyped-def]
    """Adds what a value x of channel c says of its level's edges: how -ln p(x) falls as they move apart, both >= 0.

    The outer two edges do not move: there it is 0.
    """
    gradients, squares = edges.sums[edges.thread, 0, c], edges.sums[edges.thread, 1, c]
    low, high = min(lower, LARGEST_SLOPE), min(upper, LARGEST_SLOPE)
    gradients[x] += np.int64(low * UNIT)
    squares[x] += np.int64(low * low * UNIT)
    gradients[x + 1] -= np.int64(high * UNIT)
    squares[x + 1] += np.int64(high * high * UNIT)


@njit(**PART)
def move(edges):  # type: ignore[no-untyped-def]
    """Moves all edges by all threads' sums."""
    for c in range(edges.places.shape[0]):
        real, seen = edges.real[c], edges.seen[c]
        for x in range(1, LEVELS):
            gradient, square = np.int64(0), np.int64(0)
            for thread in range(edges.sums.shape[0]):
                gradient += edges.sums[thread, 0, c, x]
                square += edges.sums[thread, 1, c, x]
            if square > 0:
                seen[x] += np.float64(square) / UNIT
                step = STEP * (np.float64(gradient) / UNIT) / (np.float64(edges.prior) + seen[x])
                begin = np.float64(x) - 0.5
                real[x] = clamp(real[x] - step, begin - FARTHEST, begin + FARTHEST)
        places, centres = edges.places[c], edges.centres[c]
        for x in range(1, LEVELS + 1):
            real[x] = max(real[x], real[x - 1] + NARROWEST)
            places[x] = np.int64(rint(real[x] * MEAN_STEPS))
            centres[x - 1] = np.int32((places[x - 1] + places[x]) >> 1)


@njit(**PART)
def forget(edges):  # type: ignore[no-untyped-def]
    """The thread's sums begin at 0."""
    edges.sums[edges.thread] = 0
