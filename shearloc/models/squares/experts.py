"""Three linear predictors that learn while coding, and what they say together, one sample at a time.

Two solve least squares anew for every sample: over samples near it, all around but for the future. The third solves
them now and then, over all that came before. Each predicts the sample's difference from the mean of its neighbours
W, N, NW and NE by those of other neighbours, and at the same place by those of channels that are coded already.
Errors count the less, the larger errors nearby are. The better an expert was nearby, the more its word counts.

Source: B. Meyer and P. Tischer, "GLICBAWLS: Grey Level Image Compression by Adaptive Weighted Least Squares", DCC 2001.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...kernels import KERNEL
from .equations import add, dot, solve

OWN = np.array(
    [
        (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1),
        (0, -3), (-3, 0), (-2, -2), (-2, 2), (-1, 3), (-1, -3), (-2, 3), (-2, -3), (-3, -1), (-3, 1),
    ],
    np.int64,
)  # fmt: skip
"""(rows, columns) from a sample to its neighbours in its own channel ..."""
OTHER = np.array([(0, 0), (0, -1), (-1, 0), (-1, 1)], np.int64)
"""... and in each channel coded before."""

EXPERTS = 3
OWN_COUNTS = np.array([8, 14, 20], np.int64)
"""How many of OWN each expert sees ..."""
OTHER_COUNTS = np.array([2, 3, 4], np.int64)
"""... and of OTHER."""
DECAYS = np.array([0.65625, 0.890625, 1 - 2.0**-12])
"""How much less a sample counts for each step from it; to the third expert, for each sample since."""
EVERY = 32
"""Samples of a channel from one solution of the third expert to the next."""

REACH = 3
"""Rows and columns that neighbours are away at most."""
ROWS = REACH + 1

MOST_CHANNELS = 4
MOST_INPUTS = 20 + 4 * (MOST_CHANNELS - 1)
MOST_SUMS = MOST_INPUTS * (MOST_INPUTS + 3) // 2
NEAR_INPUTS = 14 + 3 * (MOST_CHANNELS - 1)


def inputs(expert: int, channel: int) -> int:
    """How many inputs an expert has for a channel."""
    return int(OWN_COUNTS[expert] + channel * OTHER_COUNTS[expert])


class Room(NamedTuple):
    """What the experts keep of a tile of `width` columns; channels come first.

    values, errors float64 [C, 4, width + 6]: the row and the three above it, with three cells on both sides; samples,
    and how far the prediction was off. squares float64 [C, 3, 4, width + 6]: each expert's squared error. above, along
    float64 [2, C, width, sums]: sums of the rows above, and of this row from the left up to each column. left float64
    [2, C, sums]. all float64 [C, sums]: the third's, with weights float64 [C, inputs] and counts int64 [C]. The others
    are scratch.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    squares: NDArray[np.float64]
    above: NDArray[np.float64]
    along: NDArray[np.float64]
    left: NDArray[np.float64]
    all: NDArray[np.float64]
    weights: NDArray[np.float64]
    counts: NDArray[np.int64]
    inputs: NDArray[np.float64]
    work: NDArray[np.float64]
    solution: NDArray[np.float64]
    said: NDArray[np.float64]
    zeros: NDArray[np.float64]


def room(channels: int, width: int) -> Room:
    """Room for a tile, as before its first sample."""
    sums = max(count * (count + 3) // 2 for count in (inputs(1, channels - 1),))
    weights = np.zeros((channels, MOST_INPUTS))
    weights[:, :2] = 0.5
    return Room(
        np.zeros((channels, ROWS, width + 2 * REACH)),
        np.zeros((channels, ROWS, width + 2 * REACH)),
        np.zeros((channels, EXPERTS, ROWS, width + 2 * REACH)),
        np.zeros((2, channels, width, sums)),
        np.zeros((2, channels, width, sums)),
        np.zeros((2, channels, sums)),
        np.zeros((channels, MOST_SUMS)),
        weights,
        np.zeros(channels, np.int64),
        np.zeros((EXPERTS, MOST_INPUTS + 1)),
        np.zeros((MOST_INPUTS, (MOST_INPUTS + 8) // 8 * 8)),
        np.zeros(MOST_INPUTS),
        np.zeros(EXPERTS),
        np.zeros(MOST_SUMS),
    )


@njit(**KERNEL)
def mean_of_four(values, x):  # type: ignore[no-untyped-def]
    """The mean of W, N, NW and NE of a channel's column x in [ROWS, width + 6]."""
    at = x + REACH
    return 0.25 * (
        values[REACH, at - 1] + values[REACH - 1, at] + values[REACH - 1, at - 1] + values[REACH - 1, at + 1]
    )


@njit(**KERNEL)
def around(field, x):  # type: ignore[no-untyped-def]
    """(near, middle, far): means of `field` at 2, 4 and 8 neighbours of column x, by their distance."""
    at = x + REACH
    near = 0.5 * (field[3, at - 1] + field[2, at])
    middle = 0.25 * (field[2, at - 1] + field[2, at + 1] + field[3, at - 2] + field[1, at])
    far = field[2, at - 2] + field[2, at + 2] + field[1, at - 1] + field[1, at + 1]
    far = 0.125 * (far + field[1, at - 2] + field[1, at + 2] + field[3, at - 3] + field[0, at])
    return near, middle, far


@njit(**KERNEL)
def gather(room, channel, x, base) -> None:  # type: ignore[no-untyped-def]
    """Fill each expert's inputs for a channel's column x."""
    for k in range(OWN.shape[0]):
        value = room.values[channel, REACH + OWN[k, 0], x + REACH + OWN[k, 1]] - base
        for expert in range(EXPERTS):
            if k < OWN_COUNTS[expert]:
                room.inputs[expert, k] = value
    for other in range(channel):
        mean = mean_of_four(room.values[other], x)
        for k in range(OTHER.shape[0]):
            value = room.values[other, REACH + OTHER[k, 0], x + REACH + OTHER[k, 1]] - mean
            for expert in range(EXPERTS):
                if k < OTHER_COUNTS[expert]:
                    room.inputs[expert, OWN_COUNTS[expert] + other * OTHER_COUNTS[expert] + k] = value


@njit(**KERNEL)
def predict(room, channel, x, base, top):  # type: ignore[no-untyped-def]
    """(what the experts say together, how far they are apart) of a channel's column x; from 0 to `top`."""
    gather(room, channel, x, base)
    total, weights = 0.0, 0.0
    for expert in range(EXPERTS):
        count = OWN_COUNTS[expert] + channel * OTHER_COUNTS[expert]
        if expert < 2:
            solve(room.left[expert, channel], room.above[expert, channel, x], count, room.work, room.solution)
            said = base + dot(room.solution, room.inputs[expert], count)
        else:
            if room.counts[channel] == EVERY:
                room.counts[channel] = 0
                solve(room.all[channel], room.zeros, count, room.work, room.weights[channel])
            said = base + dot(room.weights[channel], room.inputs[expert], count)
        if not said > 0.0:  # nor a number
            said = 0.0
        if said > top:
            said = top
        room.said[expert] = said
        near, middle, far = around(room.squares[channel, expert], x)
        square = 4.0 * near + 4.0 * middle + 4.0 * far + 1.0
        weight = 1.0 / (square * square)
        total += weight * said
        weights += weight
    together = total / weights
    apart = 0.0
    for expert in range(EXPERTS):
        apart += abs(room.said[expert] - together)
    return together, apart / 3.0


@njit(**KERNEL)
def learn(room, channel, x, base, value, together) -> None:  # type: ignore[no-untyped-def]
    """Take in the sample of a channel's column x, which `predict` was asked for."""
    at = x + REACH
    near, middle, _ = around(room.errors[channel], x)
    spread = (2.0 * near + 4.0 * middle) / 6.0
    weight = 1.0 / (spread * spread + 1.0)
    room.values[channel, REACH, at] = value
    room.errors[channel, REACH, at] = abs(value - together)
    for expert in range(EXPERTS):
        error = value - room.said[expert]
        room.squares[channel, expert, REACH, at] = error * error
        count = OWN_COUNTS[expert] + channel * OTHER_COUNTS[expert]
        room.inputs[expert, count] = value - base
        if expert < 2:
            sums = room.left[expert, channel]
            add(sums, DECAYS[expert], weight, room.inputs[expert], count)
            for k in range(count * (count + 3) // 2):
                room.along[expert, channel, x, k] = sums[k]
        else:
            add(room.all[channel], DECAYS[expert], weight, room.inputs[expert], count)
    room.counts[channel] += 1


@njit(**KERNEL)
def surround(room, starts) -> None:  # type: ignore[no-untyped-def]
    """Fill what lies around a tile with each channel's start value and error, int64 [C, 2]."""
    for channel in range(len(starts)):
        value, error = np.float64(starts[channel, 0]), np.float64(starts[channel, 1])
        room.values[channel, :, :] = value
        room.errors[channel, :, :] = error
        room.squares[channel, :, :, :] = error * error


@njit(**KERNEL)
def begin_row(room, first) -> None:  # type: ignore[no-untyped-def]
    """Move the rows up, and give the row and those above it three cells more at both ends, equal to the last."""
    for field in (room.values, room.errors):
        for channel in range(len(field)):
            _move_up(field[channel], first)
    for channel in range(len(room.squares)):
        for expert in range(EXPERTS):
            _move_up(room.squares[channel, expert], first)
    room.left[...] = 0.0


@njit(**KERNEL)
def _move_up(field, first) -> None:  # type: ignore[no-untyped-def]
    width = field.shape[1]
    for row in range(REACH):
        for k in range(width):
            field[row, k] = field[row + 1, k]
    for k in range(REACH):
        field[REACH, k] = field[REACH - 1, REACH]
        if not first:
            field[REACH - 1, width - 1 - k] = field[REACH - 1, width - 1 - REACH]


@njit(**KERNEL)
def end_row(room) -> None:  # type: ignore[no-untyped-def]
    """Carry the row's sums into those of the rows above the next: each column has its own row's from both sides."""
    for expert in range(2):
        decay = DECAYS[expert]
        for channel in range(room.left.shape[1]):
            above, along, right = room.above[expert, channel], room.along[expert, channel], room.left[expert, channel]
            right[:] = 0.0
            for x in range(len(above) - 1, -1, -1):
                for k in range(right.size):
                    before = decay * along[x - 1, k] if x > 0 else 0.0
                    above[x, k] = decay * (above[x, k] + along[x, k] + right[k])
                    right[k] = decay * (right[k] + (along[x, k] - before))
