"""Rows of samples as PNG packs and filters them (RFC 2083, sections 2.3, 2.4 and 6), and back."""

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...types import Samples
from .picture import CHANNELS, PALETTE, Picture

Rows = NDArray[np.uint8]

_BAND_BYTES = 1 << 20
"""Bytes of rows, roughly, that are filtered at a time."""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""Adam7: first row, row step, first column, column step of each pass."""


def row_bytes(width: int, colour: int, depth: int) -> int:
    """Bytes of a packed row."""
    return (width * CHANNELS[colour] * depth + 7) // 8


def pack_rows(samples: Samples, depth: int) -> Rows:
    """Rows as PNG packs them: uint8 [H, bytes]. 16 bits big-endian; below 8 bits, the first sample in the high bits."""
    flat = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        return flat.astype(">u2").view(np.uint8)
    if depth == 8:
        return flat
    per_byte = 8 // depth
    padded = np.zeros((flat.shape[0], -(-flat.shape[1] // per_byte) * per_byte), np.uint8)
    padded[:, : flat.shape[1]] = flat
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    packed: Rows = np.bitwise_or.reduce(padded.reshape(flat.shape[0], -1, per_byte) << shifts, axis=2)
    return packed


def unpack_rows(rows: Rows, width: int, colour: int, depth: int) -> Samples:
    """The inverse of `pack_rows`: [H, W] or [H, W, C], not always a copy. Bits that pad a row are dropped."""
    channels = CHANNELS[colour]
    shape = (len(rows), width) if channels == 1 else (len(rows), width, channels)
    if depth == 16:
        return np.ascontiguousarray(rows).view(">u2").astype(np.uint16).reshape(shape)
    if depth == 8:
        return rows.reshape(shape)
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    spread = (rows[:, :, None] >> shifts) & np.uint8(2**depth - 1)
    return np.ascontiguousarray(spread.reshape(len(rows), -1)[:, :width])


def filtered_bytes(height: int, width: int, colour: int, depth: int, interlace: int = 0) -> int:
    """Bytes of all filtered rows, of all passes."""
    return sum(_pass_bytes(*shape, colour, depth) for shape in _pass_shapes(height, width, interlace))


def unfilter(raw: bytes, height: int, width: int, colour: int, depth: int, interlace: int = 0) -> Samples:
    """The samples, [H, W] or [H, W, C], of `filtered_bytes` bytes. zlib.error for a filter that PNG does not know."""
    if not interlace:
        return unpack_rows(_unfiltered(raw, height, colour, depth), width, colour, depth)
    shape = (height, width) if CHANNELS[colour] == 1 else (height, width, CHANNELS[colour])
    samples: Samples = np.zeros(shape, np.uint16 if depth == 16 else np.uint8)
    at = 0
    for (y, dy, x, dx), (rows, columns) in zip(_PASSES, _pass_shapes(height, width, interlace), strict=True):
        size = _pass_bytes(rows, columns, colour, depth)
        if size:
            packed = _unfiltered(raw[at : at + size], rows, colour, depth)
            samples[y::dy, x::dx] = unpack_rows(packed, columns, colour, depth)
        at += size
    return samples


def _pass_shapes(height: int, width: int, interlace: int) -> list[tuple[int, int]]:
    """Rows and columns of each pass."""
    if not interlace:
        return [(height, width)]
    return [(len(range(y, height, dy)), len(range(x, width, dx))) for y, dy, x, dx in _PASSES]


def _pass_bytes(rows: int, columns: int, colour: int, depth: int) -> int:
    return rows * (1 + row_bytes(columns, colour, depth)) if columns else 0


def _unfiltered(raw: bytes, height: int, colour: int, depth: int) -> Rows:
    rows = np.frombuffer(raw, np.uint8).reshape(height, -1)
    if not rows[:, 0].any():
        return rows[:, 1:].copy()
    if rows[:, 0].max() > 4:
        raise zlib.error("a row with a filter that PNG does not know")
    out = np.empty((height, rows.shape[1] - 1), np.uint8)
    _kernel()(rows, out, max(1, CHANNELS[colour] * depth // 8))
    return out


@cache
def _kernel() -> Callable[..., Any]:
    """The kernel, compiled or taken from Numba's cache on disk. Numba is imported only here."""
    from numba import njit

    from ...kernels import KERNEL

    compiled: Callable[..., Any] = njit(**KERNEL)(_unfilter)
    return compiled


def _unfilter(rows: Any, out: Any, step: Any) -> None:
    """Undo PNG's five filters; `step` is the number of bytes from a sample to the one on its left."""
    for i in range(out.shape[0]):
        kind = rows[i, 0]
        for j in range(out.shape[1]):
            left = out[i, j - step] + 0 if j >= step else 0  # + 0: no longer one byte
            up = out[i - 1, j] + 0 if i else 0
            corner = out[i - 1, j - step] + 0 if i and j >= step else 0
            if kind == 0:
                guess = 0
            elif kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) >> 1
            else:
                to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                guess = corner
                if to_left <= to_up and to_left <= to_corner:
                    guess = left
                elif to_up <= to_corner:
                    guess = up
            out[i, j] = (rows[i, 1 + j] + guess) & 255


def filter_rows(picture: Picture) -> Iterator[Rows]:
    """A picture's rows in bands, uint8 [rows, 1 + bytes]: each row after the number of its filter."""
    samples, depth = picture.samples, picture.depth
    height, width = samples.shape[:2]
    length = row_bytes(width, picture.colour, depth)
    band = max(1, _BAND_BYTES // length)
    above = np.zeros((1, length), np.uint8)
    for first in range(0, height, band):
        rows = pack_rows(samples[first : first + band], depth)
        if depth < 8 or picture.colour == PALETTE:  # neighbouring numbers mean nothing there
            yield np.hstack([np.zeros((len(rows), 1), np.uint8), rows])
        else:
            yield _best_filters(rows, np.vstack([above, rows[:-1]]), CHANNELS[picture.colour] * depth // 8)
        above = rows[-1:]


def _best_filters(rows: Rows, above: Rows, step: int) -> Rows:
    """Filter every row by the filter with the smallest sum of absolute differences (the standard's heuristic)."""
    best = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    costs = np.full(len(rows), np.iinfo(np.int64).max)
    for kind, guess in enumerate(_guesses(rows, above, step)):
        differences = rows - guess
        cost = np.minimum(differences, -differences).sum(axis=1, dtype=np.int64)
        better = cost < costs
        costs[better] = cost[better]
        best[better, 0], best[better, 1:] = kind, differences[better]
    return best


def _guesses(rows: Rows, above: Rows, step: int) -> Iterator[Rows]:
    """What filters 0 to 4 subtract: nothing, left, up, their mean, Paeth's choice."""
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], corner[:, step:] = rows[:, :-step], above[:, :-step]
    yield np.zeros_like(rows)
    yield left
    yield above
    yield (left >> 1) + (above >> 1) + (left & above & 1)
    to_left = above.astype(np.int16) - corner
    to_up = left.astype(np.int16) - corner
    to_corner = np.abs(to_left + to_up)
    to_left, to_up = np.abs(to_left), np.abs(to_up)
    near = np.where(to_up <= to_corner, above, corner)
    yield np.where((to_left <= to_up) & (to_left <= to_corner), left, near)
