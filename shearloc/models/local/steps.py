"""The kernels that walk over images step by step, one for encoder and decoder alike.

A step's pixels have their contexts in the past (`past.py`), go through the network together, and are coded; then they
are part of the past for later steps. Several threads each take some of a step's lanes, and meet after the step.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL, call
from ...nets import barrier, network
from ...nets.convolution import Neighbourhood
from ..wavefront.coder import Coder
from ..wavefront.context import Context
from ..wavefront.orders import step_rows
from .past import Past, exchange, find_in_step, gather
from .symbols import Room, Symbols, code


class Net(NamedTuple):
    """A model for the walk (Numba takes a NamedTuple)."""

    network: network.Network
    context: Context
    symbols: Symbols


class Space(NamedTuple):
    """A thread's buffers for up to n pixels of its own: inputs int8 [n, features]; predictions and values int32
    [C, n]; sums int32 [n, outputs and more]."""

    inputs: NDArray[np.int8]
    predictions: NDArray[np.int32]
    values: NDArray[np.int32]
    sums: NDArray[np.int32]
    neighbourhood: Neighbourhood
    buffers: network.Buffers
    room: Room


class Kernels(NamedTuple):
    """Addresses of the kernels that a walk calls; find is 0 for models without convolutions."""

    gather: int
    find: int
    run: int
    exchange: int
    code: int


def kernels(net: Net, space: Space, past: Past, coder: Coder, pixels: NDArray[np.uint8]) -> Kernels:
    """The kernels of a walk with these."""
    inputs, predictions, values, sums = space[:4]
    return Kernels(
        gather.at(past, 0, net.context, 0, 0, 0, inputs, predictions),
        find_in_step.at(past, 0, 0, 0, space.neighbourhood.places) if len(past.neighbours) else 0,
        network.run.at(net.network, inputs, 0, space.neighbourhood, space.buffers, sums),
        exchange.at(True, values, 0, 0, 0, 0, past, pixels),
        code.at(True, net.symbols, coder, *[0] * 5, sums, predictions, values, space.room),
    )


@njit(**KERNEL)
def walk_steps(kernels, decoding, begin, end, done, net, space, past, coder, share, lanes, arrived, pixels):  # type: ignore[no-untyped-def]
    """Decodes one thread's lanes of the steps begin .. end - 1 into `pixels` uint8 [N, H, W, C], or measures them.

    `done`: pixels of all steps before. share: the thread's first lane, one past its last, and how many threads there
    are; `arrived` int64 [1]: what they wait with.
    """
    first_lane, last_lane, parts = share
    images, height, width, _ = pixels.shape
    for t in range(begin, end):
        first, last = step_rows(t, height, width, past.o)
        size = images * (last - first)
        start, stop = size * first_lane // lanes, size * last_lane // lanes
        if start < stop:
            own = (decoding, space.values, 0, t, start, stop, past, pixels)
            if not decoding:
                call(kernels.exchange, own)
            call(kernels.gather, (past, t, net.context, start, stop, 0, space.inputs, space.predictions))
            if kernels.find:
                call(kernels.find, (past, t, start, stop, space.neighbourhood.places))
            call(kernels.run, (net.network, space.inputs, stop - start, space.neighbourhood, space.buffers, space.sums))
            where = (size, first_lane, last_lane, lanes, done)
            seen = (space.sums, space.predictions, space.values, space.room)
            call(kernels.code, (decoding, net.symbols, coder, *where, *seen))
            if decoding:
                call(kernels.exchange, own)
        done += size
        if parts > 1:
            barrier.wait(arrived, parts * (t - begin + 1))
