"""The past: the features that convolutions see of earlier pixels, in a ring.

A walk through the sheared order needs only the last few columns of the sheared images (`nets/convolution.py`). In the
ring, image row i at time t shares its place with row i + rows and with time t + columns. A network is handed a
`Neighbourhood`: the ring, and where in it the pixels at hand find their neighbours.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...errors import ShearlocError
from ...kernels import KERNEL, PART, Apart
from ...nets.convolution import OUTSIDE_LEVEL, Neighbourhood, columns
from ..wavefront.context import Context, context
from ..wavefront.orders import largest_step, pixels_before, shear, step_count, step_rows
from .model import LocalModel

MOST_BYTES = 1 << 30
"""Most bytes of the ring. A file may bring a model that would need more."""


class Past(NamedTuple):
    """The ring and its geometry (Numba takes a NamedTuple); o is the shear.

    levels: as in `Neighbourhood`, of `rows` x `columns` places an image; none without convolutions.
    """

    levels: NDArray[np.int8]
    neighbours: NDArray[np.int32]
    height: int
    width: int
    rows: int
    columns: int
    o: int


def past(model: LocalModel, images: int, height: int, width: int, o: int) -> Past:
    """The ring for images coded with shear o. ShearlocError if it is too large."""
    features = columns(model.layers)[-1]
    rows, period = _extent(model, height, width, o)
    places = 1 + images * rows * period if features else 1
    check_room(places * features)
    levels = np.full((places, features), OUTSIDE_LEVEL, np.int8)
    return Past(levels, model.neighbours, height, width, rows, period, o)


class Walk:
    """A walk over N images of one size in the sheared order: its steps, and what their pixels see."""

    def __init__(self, model: LocalModel, size: tuple[int, int, int]) -> None:
        o, (images, height, width) = shear(model.offsets), size
        self.context: Context = context(model.offsets, model.predictor, model.channels)
        self.steps = step_count(height, width, o)
        self.largest = images * largest_step(height, width, o)
        """Pixels of the largest step."""
        self.past = past(model, *size, o)
        self._size = *size, o

    def before(self, t: int) -> int:
        """Pixels of all steps before t."""
        return pixels_before(t, *self._size)

    def size(self, t: int) -> int:
        """Pixels of step t."""
        return self.before(t + 1) - self.before(t)


def _level_bytes(model: LocalModel, height: int, width: int, o: int) -> int:
    """Bytes of the features' ring, for each image."""
    return columns(model.layers)[-1] * math.prod(_extent(model, height, width, o))


def _extent(model: LocalModel, height: int, width: int, o: int) -> tuple[int, int]:
    """Rows and columns of the features' ring."""
    above, back = (int((-model.neighbours @ np.array(step)).max(initial=0)) for step in ((1, 0), (o, 1)))
    # A row more than is seen or coded at a time, and a column: other threads may be one step further.
    return min(height, above + -(-width // o) + 1), back + 2


def check_room(size: int) -> None:
    """ShearlocError if a ring of this many bytes is too large."""
    if size > MOST_BYTES:
        raise ShearlocError(f"the model would keep {size >> 20} MiB of earlier pixels, more than {MOST_BYTES >> 20}")


def room(model: LocalModel, images: int, height: int, width: int) -> int:
    """Bytes of memory, roughly, that coding images of one size takes with the `numba` engine, besides the images."""
    o = shear(model.offsets)
    step = largest_step(height, width, o) * 4 * max(layer.weight.shape[1] for layer in model.layers)
    return images * (_level_bytes(model, height, width, o) + step)


def neighbourhood(past: Past, pixels: int) -> Neighbourhood:
    """What a network sees of the past, with room for the places of `pixels` pixels; none without convolutions."""
    return Neighbourhood(past.levels, np.zeros((pixels if past.levels.size else 0, len(past.neighbours) + 1), np.int64))


@njit(**PART)
def _find(past, image, i, j, row, column, places, q):  # type: ignore[no-untyped-def]
    """Fills places[q] int64 [neighbours + 1]: the neighbours', 0 outside the image, and last the pixel's own.

    The ring has pixel (i, j) in `row` and `column`.
    """
    begin = 1 + image * past.rows * past.columns
    count = np.uint64(past.neighbours.shape[0])
    for k in range(count):
        dy, dx = np.int64(past.neighbours[k, np.uint64(0)]), np.int64(past.neighbours[k, np.uint64(1)])
        inside = i + dy >= 0 and 0 <= j + dx < past.width
        # Both lie less than once around before the pixel's own.
        above, before = row + dy, column + dx + dy * past.o
        above, before = above if above >= 0 else above + past.rows, before if before >= 0 else before + past.columns
        places[q, k] = begin + above * past.columns + before if inside else 0
    places[q, count] = begin + row * past.columns + column


@Apart
def find_in_step(past, t, begin, end, places):  # type: ignore[no-untyped-def]
    """Fills places[: end - begin] for the pixels begin .. end - 1 of step t; nothing of models without convolutions."""
    if places.shape[0]:
        first, last = step_rows(t, past.height, past.width, past.o)
        image, i = begin // (last - first), first + begin % (last - first)
        row, column = i % past.rows, t % past.columns
        for q in range(np.uint64(end - begin)):
            _find(past, image, i, t - i * past.o, row, column, places, q)
            i, row = i + 1, row + 1
            if i == last:
                image, i, row = image + 1, first, first % past.rows
            elif row == past.rows:
                row = 0


@njit(**KERNEL)
def find_at(past, positions, places):  # type: ignore[no-untyped-def]
    """The same for pixels at flat positions int64 [n] of [N, H, W]."""
    area = past.height * past.width
    if places.shape[0]:
        for q in range(np.uint64(positions.size)):
            place = positions[q]
            i, j = place % area // past.width, place % past.width
            _find(past, place // area, i, j, i % past.rows, (j + i * past.o) % past.columns, places, q)
