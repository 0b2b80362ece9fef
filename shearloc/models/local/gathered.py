"""Decoding with gathered contexts: pixel by pixel (the thesis's sNeLLoC), or a time step at a time (pNeLLoC).

Both look every context up in the image as it is in memory, and differ only in the list of positions. The sequential
order has payloads of its own, one pixel to a step. The parallel decoder reads the payloads of `wavefront.py`, which is
faster because it walks a sheared copy.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.message import Message
from ...kernels import KERNEL
from ...nets import engines
from ...types import Pixels, Progress
from ..wavefront.coder import popping
from ..wavefront.context import context, look
from ..wavefront.orders import shear, step_count, step_positions
from . import symbols
from .model import LocalModel
from .past import find_at, neighbourhood, past
from .wavefront import CHUNK, open_runner


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
    ring, coder = past(model, *size, o), popping(message)
    runner = open_runner(engines.choose(engine, pixels.size), model, most, neighbourhood(ring, most))
    predictions = np.empty((model.channels, most), np.int32)
    values = np.empty_like(predictions)
    said, flat = symbols.symbols(model), pixels.reshape(-1, model.channels)
    room = symbols.room(said.head, most)
    seen = context(model.offsets, model.predictor, model.channels)
    lanes = message.lanes
    for t in range(steps):
        here = positions(t)
        n = len(here)
        _gather_patches(pixels, here, seen, runner.inputs, predictions)
        if model.stepwise:
            find_at(ring, here, runner.neighbourhood.places)
        symbols.code(True, said, coder, n, 0, lanes, lanes, 0, runner.run(n), predictions, values, room)
        flat[here] = values[:, :n].T
        if t % CHUNK == CHUNK - 1:
            if message.dry:
                break
            if progress:
                progress(t, steps)
    if progress:
        progress(steps, steps)
    return pixels


@njit(**KERNEL)
def _gather_patches(pixels, positions, context, inputs, predictions):  # type: ignore[no-untyped-def]
    """Inputs [n, features] and predictions [C, n] of the pixels at flat positions int64 [n] of uint8 [N, H, W, C]."""
    _, height, width, channels = pixels.shape
    flat, below = pixels.reshape(-1), width * channels
    for q in range(np.uint64(positions.size)):
        place = positions[q]
        i, j = place % (height * width) // width, place % width
        look(flat, place * channels, below, i, j, width, context, inputs, predictions, q)
