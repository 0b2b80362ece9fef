"""PNG files to pictures and back (RFC 2083, ISO/IEC 15948): every kind of samples, and metadata chunks as they are.

Own code, because Pillow reads 16-bit colour as 8 bits, does not say which depth a palette had, and does not hand out
the bytes of metadata chunks. Animations (APNG) are refused.
"""

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedImageError
from .picture import CHANNELS, DEPTHS, GRAY, GRAY_ALPHA, PALETTE, Chunk, Picture, Samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"

ANIMATION = (b"acTL", b"fcTL", b"fdAT")
AFTER_PALETTE = (b"bKGD", b"hIST")
"""Metadata that PNG wants behind PLTE, which is written before the first of them; the order stays as it was."""
NOT_KEPT = (b"iDOT",)
"""Apple's index into the file's own compressed data: wrong in any other file."""

LEVEL = 6
"""zlib's, for files that people get: 9 takes three times longer for 1% of size."""

_IDAT_BYTES = 1 << 20
_BAND_BYTES = 1 << 20
"""Rows are filtered about this many bytes at a time."""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""Adam7: first row, row step, first column, column step of each pass."""

Rows = NDArray[np.uint8]


def read(data: bytes) -> Picture:
    """The picture of a whole PNG file; what follows its end is ignored.

    Raises UnsupportedImageError: animated, damaged, or with critical chunks that the standard does not know.
    """
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise UnsupportedImageError("not a PNG that can be read (it is cut short)") from error
    except (zlib.error, KeyError) as error:
        raise UnsupportedImageError(f"not a PNG that can be read ({error})") from error


def write(file: BinaryIO, picture: Picture) -> None:
    """Write a picture, not interlaced. Errors: those of `file`."""
    height, width = picture.samples.shape[:2]
    put_opening(file, height, width, picture.colour, picture.depth)
    late = next((at for at, (kind, _) in enumerate(picture.chunks) if kind in AFTER_PALETTE), len(picture.chunks))
    palette = [] if picture.palette is None else [(b"PLTE", picture.palette.tobytes())]
    transparency = [(b"tRNS", picture.transparency)] if picture.transparency else []
    for kind, content in [*picture.chunks[:late], *palette, *transparency, *picture.chunks[late:]]:
        put_chunk(file, kind, content)
    for part in _compressed(picture, LEVEL):
        put_chunk(file, b"IDAT", part)
    put_chunk(file, b"IEND", b"")


def put_opening(file: BinaryIO, height: int, width: int, colour: int, depth: int) -> None:
    """Write the signature and IHDR."""
    file.write(SIGNATURE)
    put_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def put_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write one chunk."""
    file.write(struct.pack(">I", len(content)) + kind + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def compress(picture: Picture, level: int) -> bytes:
    """The samples as PNG's IDAT chunks hold them, joined: filtered rows as a zlib stream of that level."""
    return b"".join(_compressed(picture, level))


def decompress(data: bytes, height: int, width: int, colour: int, depth: int) -> Samples:
    """Undo `compress`: [H, W] or [H, W, C]. zlib.error where the data is anything else."""
    raw = _inflate(data, height * (1 + row_bytes(width, colour, depth)))
    return unpack_rows(_unfiltered(raw, height, colour, depth), width, colour, depth)


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
    """Undo `pack_rows`: [H, W] or [H, W, C], not always a copy. Bits that pad a row are dropped."""
    channels = CHANNELS[colour]
    shape = (len(rows), width) if channels == 1 else (len(rows), width, channels)
    if depth == 16:
        return np.ascontiguousarray(rows).view(">u2").astype(np.uint16).reshape(shape)
    if depth == 8:
        return rows.reshape(shape)
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    spread = (rows[:, :, None] >> shifts) & np.uint8(2**depth - 1)
    return np.ascontiguousarray(spread.reshape(len(rows), -1)[:, :width])


def _read(data: bytes) -> Picture:
    chunks = _chunks(data)
    kind, header = next(chunks, (b"", b""))
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", header)
    if kind != b"IHDR" or not (width and height) or depth not in DEPTHS[colour] or (compression, filters) != (0, 0):
        raise UnsupportedImageError("not a PNG that can be read (a header that PNG does not know)")
    palette, transparency, metadata, body = None, b"", [], []
    for kind, content in chunks:
        if kind == b"IDAT":
            body.append(content)
        elif kind == b"PLTE":
            # Gray has none; like libpng, a reader ignores it there.
            palette = None if colour in (GRAY, GRAY_ALPHA) else _palette(content)
        elif kind == b"tRNS":
            transparency = content
        elif kind in ANIMATION:
            raise UnsupportedImageError("an animated PNG; one image is stored: save the frames one by one")
        elif not kind[0] & 0x20:
            raise UnsupportedImageError(f"a PNG with a chunk {kind!r} that changes its meaning: convert it first")
        elif kind not in NOT_KEPT:
            metadata.append((kind, content))
    samples = _samples(b"".join(body), height, width, colour, depth, interlace)
    if colour == PALETTE and palette is None:
        raise UnsupportedImageError("not a PNG that can be read (its palette is missing)")
    return Picture(samples, depth, palette, transparency, tuple(metadata))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Types and contents up to IEND, checksums verified."""
    if not data.startswith(SIGNATURE):
        raise UnsupportedImageError("not a PNG that can be read (no PNG signature)")
    at = len(SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if not kind.isalpha() or zlib.crc32(content, zlib.crc32(kind)) != crc:
            raise UnsupportedImageError(f"not a PNG that can be read (damaged in chunk {kind!r})")
        if kind == b"IEND":
            return
        yield kind, content
        at += 12 + length


def _palette(content: bytes) -> NDArray[np.uint8]:
    if len(content) % 3:
        raise UnsupportedImageError("not a PNG that can be read (a palette that is cut short)")
    return np.frombuffer(content, np.uint8).reshape(-1, 3)


def _samples(body: bytes, height: int, width: int, colour: int, depth: int, interlace: int) -> Samples:
    if interlace == 0:
        return decompress(body, height, width, colour, depth)
    shapes = [(len(range(y, height, dy)), len(range(x, width, dx))) for y, dy, x, dx in _PASSES]
    sizes = [rows * (1 + row_bytes(columns, colour, depth)) if columns else 0 for rows, columns in shapes]
    raw, at = _inflate(body, sum(sizes)), 0
    shape = (height, width) if CHANNELS[colour] == 1 else (height, width, CHANNELS[colour])
    samples: Samples = np.zeros(shape, np.uint16 if depth == 16 else np.uint8)
    for (y, dy, x, dx), (rows, columns), size in zip(_PASSES, shapes, sizes, strict=True):
        if size:
            packed = _unfiltered(raw[at : at + size], rows, colour, depth)
            samples[y::dy, x::dx] = unpack_rows(packed, columns, colour, depth)
        at += size
    return samples


def _inflate(data: bytes, size: int) -> bytes:
    """A zlib stream of exactly `size` bytes; allocates little more than there are, or than that."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, min(size + 1, sys.maxsize))
    if len(content) != size:
        raise zlib.error(f"{len(content)} bytes of samples, not {size}")
    return content


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
    """The kernel, compiled or taken from Numba's cache on disk; only here is Numba imported."""
    from numba import njit

    compiled: Callable[..., Any] = njit(cache=True, nogil=True)(_unfilter)
    return compiled


def _unfilter(rows: Any, out: Any, step: Any) -> None:
    """Undo PNG's five filters; `step` is the bytes from a sample to the one on its left."""
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


def _compressed(picture: Picture, level: int) -> Iterator[bytes]:
    """The zlib stream in pieces that fit an IDAT chunk, none empty."""
    stream, pending = zlib.compressobj(level), bytearray()
    for band in _filtered(picture):
        pending += stream.compress(band.data)
        while len(pending) >= _IDAT_BYTES:
            yield bytes(pending[:_IDAT_BYTES])
            del pending[:_IDAT_BYTES]
    yield bytes(pending) + stream.flush()


def _filtered(picture: Picture) -> Iterator[Rows]:
    """Bands of rows, each row behind the number of its filter."""
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
    """Filter every row in the way that leaves the smallest sum of absolute differences (the standard's heuristic)."""
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
