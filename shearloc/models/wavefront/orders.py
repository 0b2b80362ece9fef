"""Orders of coding: the shear, and which pixels one time step holds (thesis, section 5.5).

With shear o, pixel (i, j) is coded at time t = j + i * o. Written into a *sheared* image, where row i starts
o columns further right than row i - 1, one time step is one column, and a context's offset (dy, dx) always points
`-(dx + dy * o)` columns back:

    t       0  1  2  3  4  5  6  7            o = 2
    row 0   a  b  c  d
    row 1         e  f  g  h                  pixels of one column do not see each other
    row 2               i  j  k  l

Images of one size share their steps: a step holds the pixels of the first image, then those of the second, and so on,
each from the top down.
"""

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from ...kernels import KERNEL


def shear(offsets: NDArray[np.int32]) -> int:
    """Smallest o >= 1 that puts every offset (dy, dx) of int32 [n, 2] but (0, 0) into the past: dx + dy * o < 0.

    For the thesis's horizon h, whose rows above reach h to the right, o = h + 1.
    """
    above = [dx // -dy + 1 for dy, dx in offsets.tolist() if dy < 0]
    return max([1, *above])


def step_count(height: int, width: int, o: int) -> int:
    """Time steps of an image: W + (H - 1) o."""
    return width + (height - 1) * o


@register_jitable  # Python calls it, too: `njit` would compile it in every process that does
def step_rows(t: int, height: int, width: int, o: int) -> tuple[int, int]:
    """First and one past the last row that has a pixel at time t; its column is t - row * o."""
    first = max(0, (t - width + o) // o)
    return first, min(height, t // o + 1)


def step_sizes(images: int, height: int, width: int, o: int) -> NDArray[np.int64]:
    """Pixels of every step, of all images together. int64 [steps]."""
    t = np.arange(step_count(height, width, o), dtype=np.int64)
    first = np.maximum(0, (t - width + o) // o)
    return images * (np.minimum(height, t // o + 1) - first)


def pixels_before(t: int, images: int, height: int, width: int, o: int) -> int:
    """Pixels of all images before step t, without a list of the steps: an image may have 2^28 of them."""

    def reached(u: int) -> int:
        """Pixels before time u, if rows did not end."""
        rows = max(0, min(height, -(-u // o)))
        return rows * u - o * (rows * (rows - 1) // 2)

    return images * (reached(t) - reached(t - width))


def largest_step(height: int, width: int, o: int) -> int:
    """Pixels of an image in its largest step."""
    return min(height, -(-width // o))


def step_positions(t: int, images: int, height: int, width: int, o: int) -> NDArray[np.int64]:
    """Where the pixels of step t of [images, height, width] lie, as flat indices. int64 [pixels of the step]."""
    rows = np.arange(*step_rows(t, height, width, o))
    return (np.arange(images)[:, None] * (height * width) + rows * width + t - rows * o).ravel()


def wavefront_positions(images: int, height: int, width: int, o: int) -> NDArray[np.int64]:
    """Where every pixel of [images, height, width] lies, as a flat index, in the order of coding. int64 [pixels]."""
    positions = np.empty(images * height * width, np.int64)
    _fill_positions(images, height, width, o, positions)
    return positions


@njit(**KERNEL)
def _fill_positions(images, height, width, o, positions):  # type: ignore[no-untyped-def]
    done = 0
    for t in range(width + (height - 1) * o):
        first, last = step_rows(t, height, width, o)
        for image in range(images):
            for i in range(first, last):
                positions[done] = (image * height + i) * width + t - i * o
                done += 1
