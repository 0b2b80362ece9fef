"""The past: what coding needs of earlier pixels, in two rings.

A walk through the sheared order needs only the last few columns of the sheared images. One ring holds their pixels, for
contexts. The other holds the features that convolutions see of earlier pixels (`nets/convolution.py`): there, image row
i at time t shares its place with row i + rows and with time t + columns. A network is handed a `Neighbourhood`: the
second ring, and where in it the pixels at hand find their neighbours.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...errors import ShearlocError
from ...kernels import KERNEL, PART, Apart, blank
from ...nets.convolution import OUTSIDE_LEVEL, Neighbourhood, columns
from ..wavefront.context import Context, context, look_along_runs
from ..wavefront.orders import largest_step, pixels_before, shear, step_count, step_rows
from .model import LocalModel

MOST_BYTES = 1 << 30
"""Most bytes of the ring. Shipped models need at most a third, but a file may bring a model that needs more."""


class Past(NamedTuple):
    """Both rings and their geometry (Numba takes a NamedTuple); o is the shear.

    pixels uint8 [N, rows kept, 2 x columns kept, C]: image row i is its row origin + i. Column t of the sheared image
    is there twice, at t modulo the columns kept and as many further on, so that what a pixel looks at in a row lies in
    one piece. levels: as in `Neighbourhood`, of `rows` x `columns` places an image; none without convolutions.
    """

    pixels: NDArray[np.uint8]
    origin: int
    levels: NDArray[np.int8]
    neighbours: NDArray[np.int32]
    height: int
    width: int
    rows: int
    columns: int
    o: int


def past(model: LocalModel, images: int, height: int, width: int, o: int) -> Past:
    """The features' ring for images coded with shear o, without a ring of pixels. ShearlocError if it is too large."""
    features = columns(model.layers)[-1]
    rows, period = _extent(model, height, width, o)
    places = 1 + images * rows * period if features else 1
    check_room(places * features)
    levels = np.full((places, features), OUTSIDE_LEVEL, np.int8)
    none = np.empty((images, 0, 0, model.channels), np.uint8)
    return Past(none, 0, levels, model.neighbours, height, width, rows, period, o)


class Walk:
    """A walk over N images in the sheared order, and the past as it sees it.

    It has room for the rows of `span` steps' pixels, and for the rows above that these look at.
    """

    def __init__(self, model: LocalModel, images: int, height: int, width: int, span: int) -> None:
        o = shear(model.offsets)
        self.context: Context = context(model.offsets, model.predictor, model.channels)
        self.steps, self.images = step_count(height, width, o), images
        self.largest = images * largest_step(height, width, o)
        """Pixels of the largest step."""
        self._above, rows, kept = _ring_extent(model, height, width, o, span)
        check_room(images * rows * 2 * kept * model.channels)
        pixels = blank((images, rows, 2 * kept, model.channels), np.uint8)
        self.past = past(model, images, height, width, o)._replace(pixels=pixels, origin=self._above)
        self._size = images, height, width, o

    def before(self, t: int) -> int:
        """Pixels of all steps before t."""
        return pixels_before(t, *self._size)

    def size(self, t: int) -> int:
        """Pixels of step t."""
        return self.before(t + 1) - self.before(t)

    def move_to(self, t: int) -> None:
        """Makes room for the steps t .. t + span - 1. Call it before them, for increasing t at most a span apart."""
        pixels, origin, height = self.past.pixels, self.past.origin, self.past.height
        first, _ = step_rows(t, height, self.past.width, self.past.o)
        gone = first + origin - self._above
        rows = pixels.shape[1]
        if gone > 0 and rows < self._above + height:
            pixels[:, : rows - gone] = pixels[:, gone:].copy()
            self.past = self.past._replace(origin=origin - gone)


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


def _ring_extent(model: LocalModel, height: int, width: int, o: int, span: int) -> tuple[int, int, int]:
    """Rows above that a pixel looks at, and rows and columns of the pixels' ring of a walk, `span` steps at a time."""
    back, above = (int((-model.offsets @ np.array(step)).max()) for step in ((o, 1), (1, 0)))
    # One column more than is looked back at: it is filled while other threads still read the oldest.
    columns = 1 << (back + 1).bit_length()
    return above, above + min(height, -(-width // o) + (span + columns) // o + 2), columns


def room(model: LocalModel, images: int, height: int, width: int, span: int) -> int:
    """Bytes of memory, roughly, that coding images of one size takes with the `numba` engine, besides the images."""
    o = shear(model.offsets)
    _, rows, columns = _ring_extent(model, height, width, o, span)
    step = largest_step(height, width, o) * 4 * max(layer.weight.shape[1] for layer in model.layers)
    return images * (rows * 2 * columns * model.channels + _level_bytes(model, height, width, o) + step)


def neighbourhood(past: Past, pixels: int) -> Neighbourhood:
    """What a network sees of the past, with room for the places of `pixels` pixels; none without convolutions."""
    return Neighbourhood(past.levels, np.zeros((pixels if past.levels.size else 0, len(past.neighbours) + 1), np.int64))


@Apart
def gather(past, t, context, begin, end, at, inputs, predictions):  # type: ignore[no-untyped-def]
    """Inputs and predictions (`context.look`) of the pixels begin .. end - 1 of step t, as pixels from `at` on."""
    _, rows, columns, channels = past.pixels.shape
    first, last = step_rows(t, past.height, past.width, past.o)
    flat, half = past.pixels.reshape(-1), columns // 2
    below = (columns + past.o) * channels  # the pixel below comes o steps later
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        place = ((image * rows + past.origin + i) * columns + half + t % half) * channels
        look_along_runs(
            flat, place, below, i, t - i * past.o, past.width, context, inputs, predictions, np.uint64(at) + q
        )
        i += 1
        if i == last:
            image, i = image + 1, first


@Apart
def exchange(decoded, values, at, t, begin, end, past, pixels):  # type: ignore[no-untyped-def]
    """Puts the pixels begin .. end - 1 of step t into the pixels' ring.

    They are the `values` int32 [C, n] from `at` on, which go into `pixels` if they are decoded, else come from there.
    """
    channels = pixels.shape[3]
    first, last = step_rows(t, past.height, past.width, past.o)
    half = past.pixels.shape[2] // 2
    here, there = np.uint64(t % half), np.uint64(half + t % half)
    image, i = begin // (last - first), first + begin % (last - first)
    for q in range(np.uint64(end - begin)):
        which, row, own, column = np.uint64(image), np.uint64(i), np.uint64(past.origin + i), np.uint64(t - i * past.o)
        for c in range(np.uint64(channels)):
            value = np.uint64(at) + q
            if decoded:
                pixels[which, row, column, c] = values[c, value]
            else:
                values[c, value] = pixels[which, row, column, c]
            past.pixels[which, own, here, c] = past.pixels[which, own, there, c] = values[c, value]
        i += 1
        if i == last:
            image, i = image + 1, first


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
