"""Draws where an image's bits go: the picture, and beside it the bits of every pixel, dark few and light many."""

import numpy as np
from numpy.typing import NDArray

from ..types import Pixels

COLOURS = np.array([(0, 0, 0), (44, 17, 95), (143, 41, 129), (231, 82, 100), (254, 176, 120), (252, 253, 191)])
"""Of the fewest bits, and on to the most; between two of them, a straight line."""
GAP = 4
"""White columns between the two pictures."""
LIGHTEST_SHARE = 0.995
"""The lightest colour is the bits that this share of the pixels does not reach."""


def beside(image: Pixels, bits: NDArray[np.float64]) -> tuple[Pixels, float]:
    """uint8 [H, 2 W + GAP, 3] of an image uint8 [H, W, C] and its pixels' bits [H, W]; and the lightest's bits."""
    most = float(np.quantile(bits, LIGHTEST_SHARE, method="higher"))
    height, width = bits.shape
    drawn = np.full((height, 2 * width + GAP, 3), 255, np.uint8)
    drawn[:, :width] = image
    drawn[:, width + GAP :] = _coloured(np.clip(bits / most, 0, 1) if most else np.zeros_like(bits))
    return drawn, most


def _coloured(shares: NDArray[np.float64]) -> Pixels:
    """uint8 [..., 3] of shares from 0 to 1."""
    places = shares * (len(COLOURS) - 1)
    return np.stack([np.interp(places, range(len(COLOURS)), row) for row in COLOURS.T], -1).round().astype(np.uint8)


def sheet(images: Pixels) -> Pixels:
    """One image uint8 [rows (H + 1) - 1, columns (W + 1) - 1, C] of uint8 [N, H, W, C], row by row, white between."""
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height + 1, width + 1, channels), 255, np.uint8)
    cells[:count, :-1, :-1] = images
    whole = cells.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    return np.ascontiguousarray(whole.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1])
