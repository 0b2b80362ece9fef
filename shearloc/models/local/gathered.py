"""Decoding with gathered contexts: pixel by pixel (the thesis's sNeLLoC), or a time step at a time (pNeLLoC).

Both look every context up in the image as it lies in memory; they differ only in the list of positions that they
go through. The sequential order has payloads of its own, one pixel to a step; the parallel decoder pops
what `wavefront.py` pops faster from a sheared copy.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import tables
from ...coding.message import Message
from ...nets import engines
from .context import look, repeated_predictions, side_by_side
from .model import LocalModel
from .orders import shear, step_count, step_positions
from .past import find_at, memory, past
from .symbols import pop
from .wavefront import CHUNK, Pixels, Progress, open_runner


def pop_sequential(
    model: LocalModel,
    message: Message,
    size: tuple[int, int, int],
    engine: str,
    progress: Progress | None = None,
) -> Pixels:
    """As `wavefront.pop_images`, of images that were pushed in raster order."""
    count = size[0] * size[1] * size[2]
    # Raster order is that of a shear so large that a step has one pixel.
    return _pop(model, message, size, engine, size[2], count, lambda t: np.array([t]), progress)


def pop_parallel(
    model: LocalModel,
    message: Message,
    size: tuple[int, int, int],
    engine: str,
    progress: Progress | None = None,
) -> Pixels:
    """As `wavefront.pop_images`, without the shear (thesis, algorithm 3)."""
    o = shear(model.offsets)
    steps = step_count(size[1], size[2], o)
    return _pop(model, message, size, engine, o, steps, lambda t: step_positions(t, *size, o), progress)


def _pop(
    model: LocalModel,
    message: Message,
    size: tuple[int, int, int],
    engine: str,
    o: int,
    steps: int,
    positions: Callable[[int], NDArray[np.int64]],
    progress: Progress | None,
) -> Pixels:
    pixels = np.empty((*size, model.channels), np.uint8)
    most = size[0] * min(size[1], size[2])
    ring = past(model, *size, o)
    runner = open_runner(engines.choose(engine, pixels.size), model, most, memory(ring, most))
    predictions = np.empty((model.channels, most), np.int32)
    values = np.empty_like(predictions)
    head, cdf_tables, flat = model.head, tables(), pixels.reshape(-1, model.channels)
    runs = side_by_side(model.offsets)
    for t in range(steps):
        here = positions(t)
        n = len(here)
        _gather_patches(pixels, here, runs, model.predictor, runner.inputs, predictions)
        if len(model.neighbours):
            find_at(ring, here, runner.memory.places)
        sums = runner.run(n)
        pop(head, cdf_tables, model.predictor, sums, predictions, values[:, :n], message.arrays, n, 0, message.lanes)
        flat[here] = values[:, :n].T
        if t % CHUNK == CHUNK - 1:
            if message.dry:
                break
            if progress:
                progress(t, steps)
    if progress:
        progress(steps, steps)
    return pixels


@njit(cache=True, nogil=True)
def _gather_patches(pixels, positions, runs, predictor, inputs, predictions):  # type: ignore[no-untyped-def]
    """Inputs [n, features] and predictions [C, n] of the pixels at flat positions int64 [n] of uint8 [N, H, W, C]."""
    _, height, width, channels = pixels.shape
    flat, repeated = pixels.reshape(-1), repeated_predictions(runs, channels)
    for q in range(positions.size):
        i, j = positions[q] % (height * width) // width, positions[q] % width
        place, below = positions[q] * channels, width * channels
        look(flat, place, below, i, j, width, runs, predictor, inputs, predictions, q, repeated)
