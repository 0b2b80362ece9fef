"""What a local model sees of a pixel: causal neighbours as differences to a prediction.

This is the model's input, in integers.

A context is a list of offsets (dy, dx) to earlier pixels. There are two predictors:

    MEDIAN_EDGE  for every channel, the median edge detector of LOCO-I (Weinberger, Seroussi, Sapiro 2000) predicts
                 the pixel from W, N and NW; the input is `compand(neighbour - prediction)`
    CONSTANT     the thesis's raw pixels: the prediction is always 128, the input neighbour - 128 as it is

A neighbour outside the image is a 0 to the network. Differences alone do not say how bright a place is, so the offset
(0, 0) stands for the prediction itself, with the input prediction - 128.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ...kernels import PART, address
from .runs import channel_lanes, patterned, see_run, whole_pixels

OUTSIDE_PREDICTION = 128
"""The prediction at an image's first pixel, which has no neighbours; and CONSTANT's everywhere."""

LARGEST = 255
"""Largest magnitude of a difference between levels."""

EXACT = 64
"""Largest magnitude of a difference that the median edge detector's network sees as it is."""

CONSTANT, MEDIAN_EDGE = 0, 1
PREDICTORS = {"none": CONSTANT, "med": MEDIAN_EDGE}
"""Predictors by the names that options and model files give them."""


def causal_offsets(horizon: int, reach: int, level: bool = False) -> NDArray[np.int32]:
    """Offsets (dy, dx) of a local context, nearest row first.

    `horizon` h >= 1 bounds |dy| and |dx|; `reach` R >= 0 is how far right the row above is seen. The k-th
    row above may be seen up to column k(R+1)-1 without delaying the wavefront (`orders.py`), and is, up to h.
    R = h is the thesis's context (eq. 5.4): whole rows above. With `level`, (0, 0) comes last. Returns int32 [n, 2].
    Contains W, N and NW, which the median edge detector needs.
    """
    rows = [(-k, m) for k in range(horizon + 1) for m in range(-horizon, min(horizon, k * (reach + 1) - 1) + 1)]
    return np.array(rows + [(0, 0)] * level, np.int32)


def nearest(count: int) -> NDArray[np.int32]:
    """The offsets (dy, dx) of the `count` nearest earlier pixels, at most 24: int32 [count, 2].

    By distance; of equal ones the row itself comes first, then from left to right. For `layers.Dense.convolution`.
    """
    earlier = causal_offsets(3, 3).tolist()
    return np.array(sorted(earlier, key=lambda at: (at[0] ** 2 + at[1] ** 2, -at[0], at[1]))[:count], np.int32).reshape(
        -1, 2
    )


@njit(**PART)
def predict(west: int, north: int, northwest: int) -> int:
    """Median edge detector: the median of W, N and W + N - NW (all of them inside the image)."""
    low, high = min(west, north), max(west, north)
    return max(low, min(high, west + north - northwest))


@njit(**PART)
def predict_at_edge(west: int, north: int, northwest: int) -> int:
    """`predict` where a neighbour may be outside the image (negative): W or N alone, or 128."""
    if west >= 0 and north >= 0:
        return predict(west, north, northwest)
    if west >= 0:
        return west
    if north >= 0:
        return north
    return OUTSIDE_PREDICTION


def compand(difference: int) -> int:
    """A difference in [-255, 255] as an int8: exact to EXACT, one third as steep beyond (range [-127, 127])."""
    size = abs(difference)
    size = min(size, EXACT + (size - EXACT) // 3)
    return size if difference >= 0 else -size


@cache
def shown(predictor: int) -> NDArray[np.int8]:
    """What the network sees of a level's difference to the prediction: int8 [511], by the difference + LARGEST."""
    differences = range(-LARGEST, LARGEST + 1)
    seen = [compand(d) if predictor == MEDIAN_EDGE else min(max(d, -128), 127) for d in differences]
    return np.array(seen, np.int8)


@njit(**PART)
def predict_pixel(predictor: int, west: int, north: int, northwest: int) -> int:
    """A pixel's prediction, 0 .. 255; negative neighbours are outside the image."""
    return predict_at_edge(west, north, northwest) if predictor == MEDIAN_EDGE else OUTSIDE_PREDICTION


def side_by_side(offsets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Runs of offsets whose pixels are side by side in a row: int64 [n, 3], dy, first dx, count. For `look`."""
    runs: list[list[int]] = []
    for dy, dx in offsets.tolist():
        if runs and [dy, dx] == [runs[-1][0], sum(runs[-1][1:])] != [0, 0]:
            runs[-1][2] += 1
        else:
            runs.append([dy, dx, 1])
    return np.array(runs, np.int64)


class Context(NamedTuple):
    """Arguments of `look` for Numba: `side_by_side` of the offsets, the predictor, and its `shown`.

    And of `look_along_runs`: up to which difference `shown` is exact; `runs.channel_lanes` and `runs.whole_pixels`.
    """

    runs: NDArray[np.int64]
    predictor: int
    seen: NDArray[np.int8]
    exact: int
    lanes: NDArray[np.int8]
    step: int


def context(offsets: NDArray[np.int32], predictor: int, channels: int) -> Context:
    """The context of these offsets."""
    exact = EXACT if predictor == MEDIAN_EDGE else LARGEST
    lanes = np.array(channel_lanes(channels), np.int8)
    return Context(side_by_side(offsets), predictor, shown(predictor), exact, lanes, whole_pixels(channels))


@njit(**PART)
def _prediction(pixels, here, below, channels, i, j, predictor):  # type: ignore[no-untyped-def]
    """The prediction of a channel of the pixel (i, j), whose byte would be at `here` of the flat pixels."""
    if predictor != MEDIAN_EDGE or (i == 0 and j == 0):
        return np.int64(OUTSIDE_PREDICTION)
    west = np.int64(pixels[np.uint64(here - (channels if j > 0 else below))])
    north = np.int64(pixels[np.uint64(here - below)]) if i > 0 else west
    northwest = np.int64(pixels[np.uint64(here - below - channels)]) if i > 0 and j > 0 else west
    return predict(west, north, northwest)


@njit(**PART)
def _inside(dy, dx, count, i, j, width):  # type: ignore[no-untyped-def]
    """Of a run of neighbours of pixel (i, j), the first inside an image of this width, and one past the last."""
    left = min(max(-j - dx, 0), count) if i + dy >= 0 else count
    return left, max(min(width - j - dx, count), left)


@njit(**PART)
def look(pixels, place, below, i, j, width, context, inputs, predictions, q):  # type: ignore[no-untyped-def]
    """Fills inputs[q] (int8 [n, >= features]) and predictions[:, q] (int32 [C, n]) for the pixel (i, j) of an image.

    `pixels` uint8, flat: the pixel's own C bytes would begin at `place`, those of its right neighbour follow, and those
    of the one below begin `below` bytes later. `width`: of the image; `q` is unsigned.
    """
    runs, seen = context.runs, context.seen
    channels = predictions.shape[0]
    for c in range(channels):
        here, channel = place + c, np.uint64(c)
        prediction = _prediction(pixels, here, below, channels, i, j, context.predictor)
        predictions[channel, q] = prediction
        begin, middle = c, LARGEST - prediction
        for r in range(np.uint64(runs.shape[0])):
            dy, dx, count = runs[r, np.uint64(0)], runs[r, np.uint64(1)], runs[r, np.uint64(2)]
            if dy == 0 and dx == 0:
                inputs[q, np.uint64(begin)] = prediction - OUTSIDE_PREDICTION
            else:
                left, right = _inside(dy, dx, count, i, j, width)
                first = here + dy * below + dx * channels
                for k in range(left):
                    inputs[q, np.uint64(begin + k * channels)] = 0
                for k in range(left, right):
                    level = np.int64(pixels[np.uint64(first + k * channels)])
                    inputs[q, np.uint64(begin + k * channels)] = seen[np.uint64(level + middle)]
                for k in range(right, count):
                    inputs[q, np.uint64(begin + k * channels)] = 0
            begin += count * channels


@njit(**PART)
def look_along_runs(pixels, place, below, i, j, width, context, inputs, predictions, q):  # type: ignore[no-untyped-def]
    """`look`, a vector at a time, with inputs int8 or int16: a few bytes beyond each run are read, and beyond inputs[q]
    written (`runs.see_run`).

    Neighbours outside the image, but in its rows, must have bytes, too, which mean nothing.
    """
    runs, channels = context.runs, predictions.shape[0]
    for c in range(channels):
        prediction = _prediction(pixels, place + c, below, channels, i, j, context.predictor)
        predictions[np.uint64(c), q] = prediction
    most = channels - 1
    # Channels that there are not have no lanes.
    first, second = np.int64(predictions[np.uint64(0), q]), np.int64(predictions[np.uint64(min(1, most)), q])
    third, fourth = np.int64(predictions[np.uint64(min(2, most)), q]), np.int64(predictions[np.uint64(most), q])
    pattern = patterned((first, second, third, fourth), address(context.lanes))
    begin = 0
    for r in range(np.uint64(runs.shape[0])):
        dy, dx, count = runs[r, np.uint64(0)], runs[r, np.uint64(1)], runs[r, np.uint64(2)]
        if dy == 0 and dx == 0:
            for c in range(channels):
                inputs[q, np.uint64(begin + c)] = predictions[np.uint64(c), q] - OUTSIDE_PREDICTION
        else:
            left, right = _inside(dy, dx, count, i, j, width)
            source = address(pixels) + place + dy * below + dx * channels
            target, ends = np.int64(q) * inputs.shape[1] + begin, (left * channels, right * channels)
            see_run(source, inputs, target, count * channels, context.step, pattern, ends[0], ends[1], context.exact)
        begin += count * channels
    for k in range(np.uint64(begin), np.uint64(inputs.shape[1])):
        inputs[q, k] = 0


@njit(parallel=True, cache=True)
def sample_contexts(
    pixels: NDArray[np.uint8],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    picks: NDArray[np.int64],
    offsets: NDArray[np.int32],
    predictor: int,
    seen: NDArray[np.int8],
    inputs: NDArray[np.float32],
    predictions: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Contexts of picked pixels of many images, for training.

    `pixels`: the images' bytes one after another (row, column, channel); image k starts at byte `starts[k]`.
    `picks` int64 [n, 4]: image, row, column, and 1 to mirror left and right (else 0). `seen`: of `shown`.
    Fills `inputs` [n, offsets x channels] with what the network sees, `predictions` and `values` [n, channels].
    """
    channels = values.shape[1]
    for q in prange(picks.shape[0]):
        image, i, j, mirror = picks[q]
        start, height, width = starts[image], heights[image], widths[image]
        side = -1 if mirror else 1
        for c in range(channels):
            near = np.full(3, -1, np.int64)
            for k in range(3):
                y = i - (1 if k > 0 else 0)
                x = j - (0 if k == 1 else side)
                if 0 <= y < height and 0 <= x < width:
                    near[k] = pixels[start + (y * width + x) * channels + c]
            prediction = predict_pixel(predictor, near[0], near[1], near[2])
            predictions[q, c] = prediction
            values[q, c] = pixels[start + (i * width + j) * channels + c]
            for k in range(offsets.shape[0]):
                y, x = i + offsets[k, 0], j + side * offsets[k, 1]
                shows = 0
                if offsets[k, 0] == 0 and offsets[k, 1] == 0:
                    shows = prediction - OUTSIDE_PREDICTION
                elif 0 <= y < height and 0 <= x < width:
                    shows = int(seen[LARGEST + pixels[start + (y * width + x) * channels + c] - prediction])
                inputs[q, k * channels + c] = shows
