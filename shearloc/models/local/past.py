"""Where a model's convolutions find what they see of earlier pixels: the features' places in a ring.

A convolution (`nets/layers.py`) wants what the layer before it gave for a pixel's neighbours. They were coded at most
some columns of the sheared image ago, in one of some rows above, so only these are kept: image row i and time t have
the place of row i + rows and time t + columns. What the features are is not known here, nor how pixels are coded.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...errors import ShearlocError
from ...nets.memory import OUTSIDE_LEVEL, Memory, columns
from .model import LocalModel
from .orders import step_rows

MOST_BYTES = 1 << 30
"""The largest ring. Shipped models need a third of it at most, but a small file may bring a model that wants more."""


class Past(NamedTuple):
    """The ring and its geometry (Numba takes a NamedTuple). levels: as in `memory.Memory`; o: the shear."""

    levels: NDArray[np.int8]
    neighbours: NDArray[np.int32]
    height: int
    width: int
    rows: int
    columns: int
    o: int


def past(model: LocalModel, images: int, height: int, width: int, o: int) -> Past:
    """A ring for images of one size that are coded with shear o, together or one after the other. ShearlocError."""
    features = columns(model.layers)[-1]
    rows, period = _extent(model, height, width, o)
    places = 1 + images * rows * period if features else 1
    check_room(places * features)
    levels = np.full((places, features), OUTSIDE_LEVEL, np.int8)
    return Past(levels, model.neighbours, height, width, rows, period, o)


def image_bytes(model: LocalModel, height: int, width: int, o: int) -> int:
    """Bytes of the ring for each image."""
    return columns(model.layers)[-1] * math.prod(_extent(model, height, width, o))


def _extent(model: LocalModel, height: int, width: int, o: int) -> tuple[int, int]:
    """Rows and columns of the ring."""
    above, back = (int((-model.neighbours @ np.array(step)).max(initial=0)) for step in ((1, 0), (o, 1)))
    # A row more than is seen or coded at a time, and a column: other threads may be one step further.
    return min(height, above + -(-width // o) + 1), back + 2


def check_room(size: int) -> None:
    """ShearlocError for a ring of so many bytes that is too large."""
    if size > MOST_BYTES:
        raise ShearlocError(f"the model would keep {size >> 20} MiB of earlier pixels, more than {MOST_BYTES >> 20}")


def memory(ring: Past, pixels: int) -> Memory:
    """The ring as a network sees it, with room for the places of so many pixels; of a model with convolutions only."""
    return Memory(ring.levels, np.zeros((pixels if ring.levels.size else 0, len(ring.neighbours) + 1), np.int64))


@njit(inline="always")
def _find(ring, image, i, j, places):  # type: ignore[no-untyped-def]
    """Fills places int64 [neighbours + 1]: the neighbours', 0 outside the image, and the pixel's own."""
    begin, row, column = 1 + image * ring.rows * ring.columns, i % ring.rows, (j + i * ring.o) % ring.columns
    for k in range(ring.neighbours.shape[0]):
        dy, dx = ring.neighbours[k]
        inside = i + dy >= 0 and 0 <= j + dx < ring.width
        # Both lie less than once around before the pixel's own.
        above, before = row + dy, column + dx + dy * ring.o
        above, before = above if above >= 0 else above + ring.rows, before if before >= 0 else before + ring.columns
        places[k] = begin + above * ring.columns + before if inside else 0
    places[ring.neighbours.shape[0]] = begin + row * ring.columns + column


@njit(cache=True, nogil=True)
def find_in_step(ring, t, begin, end, places):  # type: ignore[no-untyped-def]
    """Fills places[: end - begin] for the pixels begin .. end - 1 of step t; nothing of models without convolutions."""
    first, last = step_rows(t, ring.height, ring.width, ring.o)
    for q in range(begin, end if places.shape[0] else begin):
        i = first + q % (last - first)
        _find(ring, q // (last - first), i, t - i * ring.o, places[q - begin])


@njit(cache=True, nogil=True)
def find_at(ring, positions, places):  # type: ignore[no-untyped-def]
    """The same for pixels at flat positions int64 [n] of [N, H, W]."""
    area = ring.height * ring.width
    for q in range(positions.size if places.shape[0] else 0):
        _find(ring, positions[q] // area, positions[q] % area // ring.width, positions[q] % ring.width, places[q])
