"""What a local model sees of a pixel: causal neighbours as differences to a prediction.

This is the model's input, in integers. It is not an order of coding: that is `models/local/orders.py`.

A context is a list of offsets (dy, dx) to earlier pixels. There are two predictors:

    MEDIAN_EDGE  for every channel, the median edge detector of LOCO-I (Weinberger, Seroussi, Sapiro 2000) predicts
                 the pixel from W, N and NW; the input is `compand(neighbour - prediction)`
    CONSTANT     the thesis's raw pixels: the prediction is always 128, the input neighbour - 128 as it is

A neighbour outside the image is a 0 to the network. Differences alone do not tell how bright a place is: the offset
(0, 0) stands for the prediction itself, and its input is prediction - 128.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

OUTSIDE_PREDICTION = 128
"""Prediction of a channel at the first pixel of an image, which has no neighbours; and CONSTANT's everywhere."""

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


@njit(inline="always")
def predict(west: int, north: int, northwest: int) -> int:
    """Median edge detector: the median of W, N and W + N - NW (all of them inside the image)."""
    low, high = min(west, north), max(west, north)
    return max(low, min(high, west + north - northwest))


@njit(inline="always")
def predict_at_edge(west: int, north: int, northwest: int) -> int:
    """`predict` where a neighbour may be outside the image (negative): W or N alone, or 128."""
    if west >= 0 and north >= 0:
        return predict(west, north, northwest)
    if west >= 0:
        return west
    if north >= 0:
        return north
    return OUTSIDE_PREDICTION


@njit(inline="always")
def compand(difference):  # type: ignore[no-untyped-def]
    """A difference in [-255, 255] as an int8: exact to 64, one third as steep beyond (range [-127, 127])."""
    size = np.int32(abs(difference))
    # 64 + (size - 64) // 3 where that is less, as 171 / 512 does for such numbers, in 32 bits for vectors' sake.
    size = min(size, np.int32(np.int32(np.int32(size + np.int32(128)) * np.int32(171)) >> np.int32(9)))
    return size if difference >= 0 else np.int32(-size)


@njit(inline="always")
def predict_pixel(predictor: int, west: int, north: int, northwest: int) -> int:
    """A pixel's prediction, 0 .. 255; negative neighbours are outside the image."""
    return predict_at_edge(west, north, northwest) if predictor == MEDIAN_EDGE else OUTSIDE_PREDICTION


@njit(inline="always")
def shown(predictor, difference):  # type: ignore[no-untyped-def]
    """A level's difference to the prediction as the int8 that the network sees."""
    return compand(difference) if predictor == MEDIAN_EDGE else difference


def side_by_side(offsets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Runs of offsets whose pixels lie side by side in a row: int64 [n, 3], dy, first dx, how many. For `look`."""
    runs: list[list[int]] = []
    for dy, dx in offsets.tolist():
        if runs and [dy, dx] == [runs[-1][0], sum(runs[-1][1:])] != [0, 0]:
            runs[-1][2] += 1
        else:
            runs.append([dy, dx, 1])
    return np.array(runs, np.int64)


@njit(inline="always")
def repeated_predictions(runs, channels):  # type: ignore[no-untyped-def]
    """Room for a pixel's predictions as often as the longest run wants them, int32. For `look`."""
    return np.empty(runs[:, 2].max() * channels, np.int32)


@njit(inline="always")
def look(pixels, place, below, i, j, width, runs, predictor, inputs, predictions, q, repeated):  # type: ignore[no-untyped-def]
    """Fills inputs[q] (int8 or float32) and predictions[:, q] (int32 [C, n]) for the pixel (i, j) of an image.

    `pixels` uint8, flat: the pixel's own C bytes would begin at `place`, those of its right neighbour follow, and those
    of the one below begin `below` bytes later. `width`: of the image; `runs`: `side_by_side` of the offsets;
    `repeated`: scratch of `repeated_predictions`.
    """
    channels = predictions.shape[0]
    for c in range(channels):
        west = int(pixels[place - channels + c]) if j > 0 else -1
        north = int(pixels[place - below + c]) if i > 0 else -1
        northwest = int(pixels[place - below - channels + c]) if i > 0 and j > 0 else -1
        predictions[c, q] = predict_pixel(predictor, west, north, northwest)
        for k in range(c, repeated.size, channels):
            repeated[k] = predictions[c, q]
    begin = 0
    for r in range(runs.shape[0]):
        dy, dx, count = runs[r, 0], runs[r, 1], runs[r, 2]
        end = begin + count * channels
        if dy == 0 and dx == 0:
            for c in range(channels):
                inputs[q, begin + c] = predictions[c, q] - OUTSIDE_PREDICTION
        else:
            # How many of them are left, or right, of the image.
            left = min(max(-j - dx, 0), count) if i + dy >= 0 else count
            right = min(max(j + dx + count - width, 0), count - left)
            inputs[q, begin:end] = 0
            # Slices, because LLVM makes vectors only where it sees that no index is negative.
            seen = inputs[q, begin + left * channels : end - right * channels]
            levels = pixels[place + dy * below + (dx + left) * channels :]
            for k in range(seen.size):
                seen[k] = shown(predictor, np.int32(np.int32(levels[k]) - repeated[k]))
        begin = end


@njit(parallel=True, cache=True)
def sample_contexts(
    pixels: NDArray[np.uint8],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    picks: NDArray[np.int64],
    offsets: NDArray[np.int32],
    predictor: int,
    inputs: NDArray[np.float32],
    predictions: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Contexts of picked pixels of many images, for training.

    `pixels`: the images' bytes one after another (row, column, channel); image k starts at byte `starts[k]`.
    `picks` int64 [n, 4]: image, row, column, and 1 to mirror left and right (else 0).
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
                    shows = shown(predictor, pixels[start + (y * width + x) * channels + c] - prediction)
                inputs[q, k * channels + c] = shows
