"""The kernels that walk over images step by step, one for encoder and decoder alike.

A step's pixels see earlier ones, go through the network together, and are coded. Several threads each take some of a
step's lanes. Where one needs what another found, it waits.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL, PART, Apart, address, call
from ...nets import barrier, network
from ...nets.convolution import Neighbourhood
from ..wavefront.coder import Coder
from ..wavefront.context import Context
from ..wavefront.orders import step_rows
from ..wavefront.pixels import exchange_pixels, gather_pixels
from .past import Past, find_in_step
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
        gather.at(pixels, 0, 1, 0, 0, net.context, inputs, predictions, 0),
        find_in_step.at(past, 0, 0, 0, space.neighbourhood.places) if len(past.neighbours) else 0,
        network.run.at(net.network, inputs, 0, space.neighbourhood, space.buffers, sums),
        exchange.at(True, pixels, 0, 1, 0, 0, values, 0),
        code.at(True, net.symbols, coder, *[0] * 5, sums, predictions, values, space.room),
    )


@Apart
def gather(pixels, t, o, begin, end, context, inputs, predictions, at):  # type: ignore[no-untyped-def]
    """`gather_pixels`, as a kernel of its own."""
    gather_pixels(pixels, t, o, begin, end, context, inputs, predictions, at)


@Apart
def exchange(decoded, pixels, t, o, begin, end, values, at):  # type: ignore[no-untyped-def]
    """`exchange_pixels`, as a kernel of its own."""
    exchange_pixels(decoded, pixels, t, o, begin, end, values, at)


@njit(**KERNEL)
def walk_steps(kernels, decoding, begin, end, done, net, space, past, coder, share, lanes, arrived, pixels):  # type: ignore[no-untyped-def]
    """Decodes one thread's lanes of the steps begin .. end - 1 into `pixels`, or measures them.

    `pixels` uint8 [N, H, W, C]: of `blank_pixels`. `done`: pixels of all steps before. share: the thread's first lane,
    one past its last, its number, and how many threads there are; `arrived`: what they wait with, a count for each.
    """
    first_lane, last_lane, part, parts = share
    images, height, width, _ = pixels.shape
    edge = -1
    for t in range(begin, end):
        first, last = step_rows(t, height, width, past.o)
        size = images * (last - first)
        start, stop = size * first_lane // lanes, size * last_lane // lanes
        before, edge = edge, edge_row(stop, first, last, height)
        if parts > 1:
            _wait(arrived, part, parts, t - begin, kernels.find or edge != before)
        if start < stop:
            step = pixels, t, past.o, start, stop
            if not decoding:
                call(kernels.exchange, (decoding, *step, space.values, 0))
            call(kernels.gather, (*step, net.context, space.inputs, space.predictions, 0))
            if kernels.find:
                call(kernels.find, (past, t, start, stop, space.neighbourhood.places))
            call(kernels.run, (net.network, space.inputs, stop - start, space.neighbourhood, space.buffers, space.sums))
            where = (size, first_lane, last_lane, lanes, done)
            seen = (space.sums, space.predictions, space.values, space.room)
            call(kernels.code, (decoding, net.symbols, coder, *where, *seen))
            if decoding:
                call(kernels.exchange, (decoding, *step, space.values, 0))
        done += size
        if parts > 1:
            barrier.arrive(address(arrived) + 8 * barrier.APART * part)


@njit(**PART)
def edge_row(stop, first, last, height):  # type: ignore[no-untyped-def]
    """The row where a step's pixel `stop` would be, counted through all images: pixels before it are of earlier rows.

    Each image has its rows first .. last - 1 in this step, which may be none.
    """
    rows = max(last - first, 1)
    return stop // rows * height + first + stop % rows


@njit(**PART)
def _wait(arrived, part, parts, steps, all_others):  # type: ignore[no-untyped-def]
    """Waits until the threads before this one have done so many steps, or all others.

    A pixel sees its own row and those above. So a thread waits for those that have rows below its own only when its
    last row changes: it may get one that another had, and earlier pixels of that row. Convolutions see a ring of the
    last steps, in which nobody may be ahead.
    """
    for other in range(parts if all_others else part):
        if other != part:
            barrier.until(address(arrived) + 8 * barrier.APART * other, steps)
