"""The arrays of a network that learns, as the kernels have them: what stays, what changes, and a thread's room.

Layers that learn are padded to COLUMNS outputs and lie one after the other; a `plan` says where.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels import aligned, blank, opener
from ...nets import shorts
from ...nets.shorts import GROUP
from ...nets.transpose import SIDE
from . import model
from .model import COLUMNS, INPUT_BITS, LEVEL_BITS, ONE

WIDTH, COLS, PLACE, FORWARD, BACKWARD, COLUMN, BITS, LEVEL, LIMIT = range(9)
"""Columns of a plan, one row for each layer that learns: inputs; outputs with padding; where its numbers begin in
`weights`, in `forward`, in `backward` and among all columns; bits; where its inputs begin in a pixel's levels; what its
weights stay within."""

LOGIT_BITS, MEAN_BITS, SCALE_BITS, COEFFICIENT_BITS = 5, 10, 5, 8
"""A parameter's unit is 2^-bits of the network's output; a mean's output is in 16 grey levels."""

LOWEST_PEAK = np.float32(2.0**-20)

Shorts = NDArray[np.int16]
Words = NDArray[np.int32]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Fixed(NamedTuple):
    """What stays (Numba takes a NamedTuple). P: all channels' parameters, U: units of a head, K: components.

    plan int64 [layers, 9]. first int16 (`shorts.blocks`) and first_starts int32: the first layer, whose
    sums are shifted by first_shift. starts int32 [all columns]. learn int32 [C - 1, C - 1, padded U]; adjust int16
    [C - 1, U, parameters], and packed [C - 1, .] by `shorts.blocks`. shifts int32 [C, padded parameters]: from a
    sum to a parameter. rates float32 [layers], in units of a weight; forget float32 [2]; epsilon float32 [1].
    multiply: where `shorts.multiply` is.
    """

    plan: Annotated[Integers, 2]
    first: Annotated[Shorts, 1]
    first_starts: Annotated[Words, 1]
    first_shift: int
    starts: Annotated[Words, 1]
    parameters: int
    units: int
    components: int
    learn: Annotated[Words, 3]
    adjust: Annotated[Shorts, 3]
    packed: Annotated[Shorts, 2]
    shifts: Annotated[Words, 2]
    rates: Annotated[Floats, 1]
    forget: Annotated[Floats, 1]
    epsilon: Annotated[Floats, 1]
    multiply: int


class Weights(NamedTuple):
    """What changes while images are coded, all layers' one after another; threads share it.

    weights, mean, square: float32, Adam's, by [input, output], weights in units of the integers. Rounded, int16:
    forward as `shorts.blocks` of [input, output]; backward as [input, output]; heads [C - 1, U, padded parameters].
    sums int32 [threads, .]: an update's gradients so far, the last layer's by [input, output], others' by
    [output, input] and then the biases'. seen float32 [threads, columns]: the largest.
    """

    weights: Annotated[Floats, 1]
    mean: Annotated[Floats, 1]
    square: Annotated[Floats, 1]
    forward: Annotated[Shorts, 1]
    backward: Annotated[Shorts, 1]
    heads: Annotated[Shorts, 3]
    sums: Annotated[Words, 2]
    seen: Annotated[Floats, 2]


class Scales(NamedTuple):
    """How gradients are rounded, and how far Adam is: every thread has its own, with the same numbers.

    peaks float32 [columns]: a falling maximum of gradients. scales, units float32 [2, columns]: what a gradient is
    multiplied with before it is rounded, and 1 over that; of the sums so far, and of the next. back float32 [layers]:
    unit of a layer's weights for the way back; factors float32 [columns]: what a weight is multiplied with for it.
    powers float64 [2]: what Adam's means still have of their zeros. sums int32 [most columns]: scratch.
    """

    peaks: Annotated[Floats, 1]
    scales: Annotated[Floats, 2]
    units: Annotated[Floats, 2]
    back: Annotated[Floats, 1]
    factors: Annotated[Floats, 1]
    powers: Annotated[NDArray[np.float64], 1]
    sums: Annotated[Words, 1]


class Room(NamedTuple):
    """A thread's room for n pixels of a network. levels int16 [n, all inputs]: each layer's inputs, then ONE and 0.

    sums int32 [n, columns of a layer]; gradients float32 [n, P]; rounded int16 [n, all columns]; units int16
    [C - 1, n, padded U]; turned int16 [most numbers of a layer, n]; pairs int16 [block of columns, n / 2, column, 2];
    products int32 [n, most inputs]; zeros int32; params int32 [n, padded parameters]; masses int64 [K, 3].
    """

    levels: Annotated[Shorts, 2]
    sums: Annotated[Words, 2]
    gradients: Annotated[Floats, 2]
    rounded: Annotated[Shorts, 2]
    units: Annotated[Shorts, 3]
    turned: Annotated[Shorts, 2]
    pairs: Annotated[Shorts, 1]
    products: Annotated[Words, 2]
    zeros: Annotated[Words, 1]
    params: Annotated[Words, 2]
    masses: Annotated[Integers, 2]


class Expert(NamedTuple):
    """One network for a thread: where its bundles are. `at`: where its `components` begin among all experts'."""

    fixed: int
    weights: int
    scales: int
    room: int
    at: int
    components: int


FIXED, WEIGHTS, SCALES, ROOM, EXPERT = map(opener, (Fixed, Weights, Scales, Room, Expert))
"""Kernels get an expert's address and open what they need."""


def padded(count: int, multiple: int = COLUMNS) -> int:
    """The next multiple."""
    return -(-count // multiple) * multiple


def plan(expert: model.Expert) -> Integers:
    """Where each layer that learns has its numbers: int64 [layers, 9], columns as named above."""
    rows, place, forward, backward, column, level = [], 0, 0, 0, 0, 0
    for layer, limit in zip(expert.layers[1:], expert.limits[1:], strict=True):
        width, cols = len(layer.weight), padded(layer.weight.shape[1])
        rows.append([width, cols, place, forward, backward, column, layer.bits, level, limit])
        place += (width + 1) * cols
        forward += (width + 2) * cols
        backward += width * cols
        column += cols
        level += width + 2
    return np.array(rows, np.int64)


def parameter_shifts(expert: model.Expert) -> list[Words]:
    """From a sum to a parameter, for each channel: int32 [parameters]."""
    kinds = [LOGIT_BITS, MEAN_BITS, SCALE_BITS] + (expert.channels - 1) * [COEFFICIENT_BITS]
    shifts = expert.layers[-1].bits + LEVEL_BITS - np.repeat(kinds, expert.components)
    return [shifts[:count].astype(np.int32) for count in expert.counts]


def fixed(expert: model.Expert) -> Fixed:
    """What stays of a network."""
    first, *rest = expert.layers
    starts = [np.pad(layer.start, (0, -len(layer.start) % COLUMNS)) for layer in expert.layers]
    wide = padded(expert.counts[-1])
    adjusts = [shorts.blocks(adjust, wide) for adjust in expert.adjust]
    shifts = np.full((expert.channels, wide), LEVEL_BITS, np.int32)
    for row, found in zip(shifts, parameter_shifts(expert), strict=True):
        row[: len(found)] = found
    return Fixed(
        plan(expert),
        aligned(shorts.blocks(first.weight, len(starts[0]))),
        starts[0],
        first.bits + INPUT_BITS - LEVEL_BITS,
        np.concatenate(starts[1:]),
        sum(expert.counts),
        expert.units,
        expert.components,
        np.pad(expert.learn, ((0, 0), (0, 0), (0, padded(expert.units) - expert.units))),
        np.ascontiguousarray(expert.adjust),
        np.stack(adjusts) if adjusts else np.zeros((0, 0), np.int16),
        shifts,
        expert.rates * np.array([2.0**layer.bits for layer in rest], np.float32),
        expert.forget,
        expert.epsilon,
        shorts.multiply.at(*[0] * 11),
    )


def weights(expert: model.Expert, threads: int) -> Weights:
    """The weights as every image begins with them; `update.begin` rounds them."""
    places = plan(expert)
    width, cols, place, forward, backward, column = (int(number) for number in places[-1][:6])
    count, columns = place + (width + 1) * cols, column + cols
    real = np.zeros(count, np.float32)
    for layer, row in zip(expert.layers[1:], places, strict=True):
        inputs, outputs = layer.weight.shape
        there = real[row[PLACE] :][: (inputs + 1) * row[COLS]].reshape(inputs + 1, row[COLS])
        there[:inputs, :outputs] = layer.weight
    return Weights(
        weights=real,
        mean=np.zeros(count, np.float32),
        square=np.zeros(count, np.float32),
        forward=blank((forward + (width + 2) * cols,), np.int16),
        backward=blank((backward + width * cols,), np.int16),
        heads=blank((expert.channels - 1, expert.units, padded(expert.counts[-1])), np.int16),
        sums=np.zeros((threads, count), np.int32),
        seen=np.zeros((threads, columns), np.float32),
    )


def scales(expert: model.Expert) -> Scales:
    """As every image begins; `update.begin` fills in what follows from the peaks."""
    peaks = [np.pad(peaks, (0, -len(peaks) % COLUMNS), constant_values=LOWEST_PEAK) for peaks in expert.peaks]
    columns = sum(map(len, peaks))
    return Scales(
        peaks=np.concatenate(peaks),
        scales=np.ones((2, columns), np.float32),
        units=np.ones((2, columns), np.float32),
        back=np.ones(len(peaks), np.float32),
        factors=np.ones(columns, np.float32),
        powers=np.ones(2, np.float64),
        sums=np.zeros(max(map(len, peaks)), np.int32),
    )


def room(expert: model.Expert, rows: int) -> Room:
    """Room for up to so many pixels."""
    places, rows = plan(expert), padded(rows, SIDE)
    columns, inputs = int(places[-1][COLUMN] + places[-1][COLS]), int(places[-1][LEVEL] + places[-1][WIDTH]) + 2
    # `shorts.multiply` reads up to GROUP pairs behind a row: some arrays have rows to spare.
    levels = blank((rows + 1, padded(inputs, 2 * GROUP)), np.int16)
    for row in places:
        levels[:, row[LEVEL] + row[WIDTH]] = ONE
    most = padded(max(int(places[:, COLS].max()), int(places[:, WIDTH].max()) + 1))
    wide = padded(max(int(places[:, WIDTH].max()), expert.units))
    return Room(
        levels=levels,
        sums=np.zeros((rows + 2, int(places[-1][COLS])), np.int32),
        gradients=np.zeros((rows, sum(expert.counts)), np.float32),
        rounded=blank((rows + 2 * GROUP // COLUMNS, columns), np.int16),
        units=blank((max(1, expert.channels - 1), rows + 4, padded(max(1, expert.units))), np.int16),
        turned=blank((most + 1, padded(rows, 2 * GROUP)), np.int16),
        pairs=blank((rows * most,), np.int16),
        products=np.zeros((rows, wide), np.int32),
        zeros=np.zeros(max(most, wide), np.int32),
        params=np.zeros((rows, padded(expert.counts[-1])), np.int32),
        masses=np.zeros((expert.components, 3), np.int64),
    )
