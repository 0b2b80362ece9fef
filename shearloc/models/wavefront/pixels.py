"""A step's pixels in images as they lie in memory: what they see, and their values.

A context's rows are read where they are. Pixels of a step are a row down and a few columns to the left of each other,
so the bytes of a step's contexts lie next to those of the step before, and are in the cache.
"""

import math

import numpy as np
from numba import njit

from ...kernels import LINE, PART
from ...types import Pixels
from .context import look_along_runs
from .orders import step_rows

MARGIN = LINE
"""Bytes before and after the images that `look_along_runs` may read: what lies there is not seen."""


def blank_pixels(shape: tuple[int, ...]) -> Pixels:
    """Zeros, uint8 [N, H, W, C], as `gather_pixels` takes them: with MARGIN bytes on both sides."""
    size = math.prod(shape)
    return np.zeros(size + 2 * MARGIN, np.uint8)[MARGIN : MARGIN + size].reshape(shape)


def surrounded(pixels: Pixels) -> Pixels:
    """A copy of uint8 [N, H, W, C] as `gather_pixels` takes it."""
    copy = blank_pixels(pixels.shape)
    copy[...] = pixels
    return copy


@njit(**PART)
def gather_pixels(pixels, t, o, begin, end, context, inputs, predictions, at):  # type: ignore[no-untyped-def]
    """Inputs and predictions (`look_along_runs`) of the pixels begin .. end - 1 of step t, as pixels from `at` on.

    `pixels`: of `blank_pixels`; o is the shear.
    """
    _, height, width, channels = pixels.shape
    first, last = step_rows(t, height, width, o)
    flat, below = pixels.reshape(-1), width * channels
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        place = ((image * height + i) * width + t - i * o) * channels
        look_along_runs(flat, place, below, i, t - i * o, width, context, inputs, predictions, np.uint64(at) + q)
        i += 1
        if i == last:
            image, i = image + 1, first


@njit(**PART)
def exchange_pixels(decoded, pixels, t, o, begin, end, values, at):  # type: ignore[no-untyped-def]
    """Copies `values` int32 [C, n], from `at` on, of the pixels begin .. end - 1 of step t.

    Into `pixels` uint8 [N, H, W, C] if they are decoded, else from there; o is the shear.
    """
    _, height, width, channels = pixels.shape
    first, last = step_rows(t, height, width, o)
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        which, row, column, value = np.uint64(image), np.uint64(i), np.uint64(t - i * o), np.uint64(at) + q
        for c in range(np.uint64(channels)):
            if decoded:
                pixels[which, row, column, c] = values[c, value]
            else:
                values[c, value] = pixels[which, row, column, c]
        i += 1
        if i == last:
            image, i = image + 1, first
