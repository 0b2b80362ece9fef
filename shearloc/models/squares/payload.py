"""A payload's bytes: which values a picture has, what lies around its tiles, and the tiles' words; and back.

Values become ranks: less the least value, or, where the picture uses only some of the values in its range, their
numbers in a table.
"""

import io
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...coding.fields import string, take, take_string, take_varint, varint
from ...errors import CorruptError
from ...inflate import inflate
from ...types import Samples
from .experts import MOST_CHANNELS

VALUES = 1 << 16
TILE = 1024
"""A tile's sides are at least so long, where the picture's are, and less than twice as long."""


class Head(NamedTuple):
    """values: uint16 [levels], rising: what each rank stands for. starts: int64 [C, 2], value (a rank) and error that
    are taken for what lies around a tile."""

    values: NDArray[np.uint16]
    starts: NDArray[np.int64]

    @property
    def levels(self) -> int:
        """Ranks are below it."""
        return len(self.values)


class Tile(NamedTuple):
    """Rows and columns of a tile."""

    rows: slice
    columns: slice


def tiles_of(height: int, width: int) -> list[Tile]:
    """The tiles of a picture, row by row: as many as have sides of TILE or more, of nearly equal size."""
    rows, columns = (_cuts(side) for side in (height, width))
    return [Tile(row, column) for row in rows for column in columns]


def _cuts(side: int) -> list[slice]:
    count = max(1, side // TILE)
    return [slice(side * k // count, side * (k + 1) // count) for k in range(count)]


def ranked(samples: Samples) -> tuple[Head, Samples]:
    """The head of a picture uint16 [H, W, C], and the samples' ranks, uint16."""
    used = np.bincount(samples.ravel(), minlength=VALUES) > 0
    found = np.flatnonzero(used)
    least, span = int(found[0]), int(found[-1] - found[0]) + 1
    saved = samples.size * (span.bit_length() - len(found).bit_length())  # bits, about
    if 2 * len(found) <= span and saved > 8 * len(_bitmap(found)):
        ranks = (np.cumsum(used) - 1).astype(np.uint16)[samples]
    else:
        found, ranks = np.arange(least, least + span), (samples - np.uint16(least)).astype(np.uint16)
    return Head(found.astype(np.uint16), _starts(ranks)), ranks


def _starts(ranks: Samples) -> NDArray[np.int64]:
    """Each channel's mean, and mean difference between a sample and the next of its row."""
    wide = ranks.astype(np.int64)
    means = wide.sum((0, 1)) // (wide.shape[0] * wide.shape[1])
    steps = np.abs(np.diff(wide, axis=1))
    errors = steps.sum((0, 1)) // max(1, steps.shape[0] * steps.shape[1]) + 1
    return np.stack([means, np.minimum(errors, VALUES - 1)], 1)


def unranked(head: Head, ranks: Samples) -> Samples:
    """The samples, uint16, of ranks below `head.levels`."""
    return head.values[ranks]


def _bitmap(values: NDArray[np.int64]) -> bytes:
    used = np.zeros(VALUES, np.uint8)
    used[values] = 1
    return zlib.compress(np.packbits(used).tobytes(), 9)


def pack(head: Head, words: Sequence[NDArray[np.uint32]]) -> bytes:
    """The payload; `words` of each tile."""
    least, last = int(head.values[0]), int(head.values[-1])
    table = _bitmap(head.values.astype(np.int64)) if last - least + 1 > head.levels else b""
    fields = bytes([len(head.starts)]) + varint(0 if table else least) + varint(head.levels) + string(table)
    starts = b"".join(varint(int(number)) for number in head.starts.ravel())
    lengths = b"".join(varint(tile.size) for tile in words[:-1])
    return b"".join([fields, starts, lengths, *(tile.astype("<u4").tobytes() for tile in words)])


def unpack(payload: bytes, tiles: int) -> tuple[Head, list[NDArray[np.uint32]]]:
    """The inverse of `pack` for so many tiles. CorruptError."""
    stream = io.BytesIO(payload)
    channels = take(stream, 1)[0]
    least, levels, table = take_varint(stream), take_varint(stream), take_string(stream)
    if not 1 <= channels <= MOST_CHANNELS or not 1 <= levels <= VALUES - least or (table and least):
        raise CorruptError("the file's values are not those of 16 bits")
    values = _values(table, levels) if table else np.arange(least, least + levels).astype(np.uint16)
    starts = np.array([[take_varint(stream), take_varint(stream)] for _ in range(channels)], np.int64)
    if (starts >= [levels, VALUES]).any():
        raise CorruptError("the file has no such values")
    if not 1 <= tiles <= len(payload):
        raise CorruptError("the file has fewer tiles than it says")
    lengths = [take_varint(stream) for _ in range(tiles - 1)]
    rest = payload[stream.tell() :]
    last = len(rest) // 4 - sum(lengths)
    if len(rest) % 4 or last < 0:
        raise CorruptError("the file's tiles are longer or shorter than they say")
    words = np.frombuffer(rest, "<u4").astype(np.uint32)
    return Head(values, starts), np.split(words, np.cumsum(lengths, dtype=np.int64))


def _values(table: bytes, levels: int) -> NDArray[np.uint16]:
    bits = np.frombuffer(inflate(table, VALUES // 8, "the values"), np.uint8)
    values = np.flatnonzero(np.unpackbits(bits)) if bits.size == VALUES // 8 else np.empty(0, np.int64)
    if len(values) != levels or values[-1] - values[0] + 1 == levels:
        raise CorruptError("the file's table of values is not one of its levels")
    return values.astype(np.uint16)
