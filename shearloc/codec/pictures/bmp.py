"""BMP files to pictures and back (Microsoft's BITMAPINFOHEADER, V4 and V5, and OS/2's first header).

This is our own reader, because Pillow takes palettes of few colours for gray, drops alpha masks and profiles, and
scales 16-bit colours. It reads 1, 4 and 8 bits with a palette, also run-length encoded, 24 bits, and 32 bits with whole
bytes as masks, bottom up or top down. It refuses everything else by name.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedImageError
from ...types import Samples
from ..formats.container import MAX_SAMPLES
from . import metadata
from .picture import CHANNELS, GRAY, PALETTE, RGB, RGBA, Chunk, Picture, check_size
from .rows import pack_rows, unpack_rows

MAGIC = b"BM"

_FILE_HEADER = 14
_CORE, _INFO, _V3, _V4, _V5 = 12, 40, 56, 108, 124
_HEADERS = (_CORE, 16, _INFO, 52, _V3, 64, _V4, _V5)
"""Sizes of the known headers; 16 and 64 are OS/2's second."""

_PLAIN, _RUNS_OF_BYTES, _RUNS_OF_NIBBLES, _MASKS, _ALPHA_MASKS = 0, 1, 2, 3, 6
_RUN_BITS = {_RUNS_OF_BYTES: 8, _RUNS_OF_NIBBLES: 4}
_REFUSED = {4: "a BMP with a JPEG inside", 5: "a BMP with a PNG inside"}
_END_OF_ROW, _END, _JUMP = 0, 1, 2
"""What a second byte says behind a run of none; from 3 on it is how many pixels follow as they are."""
_BYTE_MASKS = {0xFF: 0, 0xFF00: 1, 0xFF0000: 2, 0xFF000000: 3}
"""Mask -> which byte of a little-endian pixel it takes."""
_BGR, _BGRA = (2, 1, 0), (2, 1, 0, 3)

_EMBEDDED, _LINKED, _CALIBRATED, _UNSAID = b"DEBM", b"KNIL", bytes(4), b" niW"
"""Colour spaces as V4 and V5 headers name them: a profile in the file, in another file, by numbers, or none."""
_PERCEPTUAL = 4

_CONVERT = "convert it to PNG first, if that loses nothing you need"


@dataclass(frozen=True)
class _Header:
    """What a BMP says of its pixels. `pixels`: where they begin; `end`: where the header does."""

    size: int
    end: int
    pixels: int
    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    colours_used: int
    masks: tuple[int, ...]


def read(data: bytes, max_samples: int = MAX_SAMPLES) -> Picture:
    """The picture of a whole BMP file.

    Raises UnsupportedImageError: damaged, compressed, 16-bit colours, masks that are not whole bytes, or more than
    `max_samples` samples.
    """
    try:
        header = _header(data)
    except struct.error as error:
        raise _unreadable("its header is cut short") from error
    notes: list[str] = []
    channels = _channels(header)
    check_size(header.height, header.width, max(1, len(channels)), max_samples)
    chunks = _chunks(data, header, notes)
    if channels:
        samples = _coloured(_packed_rows(data, header), header, channels, notes)
        return Picture(samples, chunks=chunks, notes=tuple(notes))
    palette = _palette(data, header, notes)
    if header.compression in _RUN_BITS:
        samples = _runs(data, header)
    else:
        samples = unpack_rows(_packed_rows(data, header), header.width, GRAY, header.bits)
    is_gray = np.array_equal(palette, _gray_scale(header.bits))
    return Picture(samples, header.bits, None if is_gray else palette, chunks=chunks, notes=tuple(notes))


def write(file: BinaryIO, picture: Picture) -> None:
    """Write gray or palette images of 1, 4 or 8 bits, 8-bit RGB or RGBA, with resolution and colour profile.

    Raises UnsupportedImageError where a BMP would read back as another picture, or would be too large.
    """
    colours = _gray_scale(picture.depth) if picture.colour == GRAY else picture.palette
    if picture.colour == PALETTE and colours is not None and np.array_equal(colours, _gray_scale(picture.depth)):
        raise UnsupportedImageError(".bmp cannot hold this image (a palette that is the gray scale); use .png")
    coloured = picture.colour in (RGB, RGBA)
    table = b"" if coloured or colours is None else np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes()
    samples = picture.samples[:, :, _BGRA[: picture.samples.shape[2]]] if coloured else picture.samples
    rows = pack_rows(samples, picture.depth)
    profile = metadata.icc_of(picture.chunks) or b""
    header = _info(picture, len(table) // 4, bool(profile))
    stride = -(-rows.shape[1] // 4) * 4
    pixels = _FILE_HEADER + len(header) + len(table)
    total = pixels + stride * len(rows) + len(profile)
    if total >= 1 << 32:
        raise UnsupportedImageError(".bmp cannot hold this image (over 4 GB); use .png")
    if profile:
        header = header[:-12] + struct.pack("<III", total - len(profile) - _FILE_HEADER, len(profile), 0)
    file.write(struct.pack("<2sIHHI", MAGIC, total, 0, 0, pixels) + header + table)
    file.write(np.pad(rows[::-1], ((0, 0), (0, stride - rows.shape[1]))).tobytes() + profile)


def _unreadable(why: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a BMP that can be read ({why})")


def _header(data: bytes) -> _Header:
    """The fields of the file's and the bitmap's headers; values without a meaning are refused."""
    pixels, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise _unreadable(f"a header of {size} bytes")
    compression = used = 0
    if size == _CORE:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, planes, bits = struct.unpack_from("<iiHH", data, 18)
    if size >= _INFO:
        (compression,) = struct.unpack_from("<I", data, 30)
        (used,) = struct.unpack_from("<I", data, 46)
    if width <= 0 or height == 0 or planes != 1:
        raise _unreadable(f"a size of {width} x {height}, {planes} planes")
    if compression and size == 64 or compression in (_MASKS, _ALPHA_MASKS) and bits not in (16, 32):
        raise _unreadable(f"compression {compression} of {bits} bits")
    end = _FILE_HEADER + size
    masks: tuple[int, ...] = ()
    if compression in (_MASKS, _ALPHA_MASKS):
        count = 4 if size >= _V3 or compression == _ALPHA_MASKS else 3
        masks = struct.unpack_from(f"<{count}I", data, _FILE_HEADER + _INFO)
        end = max(end, _FILE_HEADER + _INFO + 4 * count)
    if pixels < end:
        raise _unreadable("its pixels begin inside its header")
    if pixels > len(data):
        raise _unreadable("it is cut short")
    return _Header(size, end, pixels, width, abs(height), height < 0, bits, compression, used, masks)


def _channels(header: _Header) -> tuple[int, ...]:
    """Which byte of a pixel is red, green, blue and, if there is one, alpha; () where pixels are palette entries."""
    if header.compression in _REFUSED:
        raise UnsupportedImageError(f"{_REFUSED[header.compression]}; not stored: {_CONVERT}")
    if header.compression in _RUN_BITS and (header.bits != _RUN_BITS[header.compression] or header.top_down):
        raise _unreadable(f"run lengths of {_RUN_BITS[header.compression]} bits where they cannot be")
    if header.compression not in (_PLAIN, *_RUN_BITS, _MASKS, _ALPHA_MASKS):
        raise _unreadable(f"compression {header.compression}")
    if header.bits == 16:
        raise UnsupportedImageError(f"a BMP of 5 or 6 bits a colour; not stored: {_CONVERT}")
    if header.bits in (1, 4, 8):
        return ()
    if header.bits not in (24, 32):
        raise _unreadable(f"{header.bits} bits a pixel")
    if header.compression == _PLAIN:
        return _BGR
    masks = header.masks if header.masks[3:] != (0,) else header.masks[:3]
    if len({*masks}) < len(masks) or not {*masks} <= _BYTE_MASKS.keys():
        raise UnsupportedImageError(f"a BMP whose colours are not whole bytes; not stored: {_CONVERT}")
    return tuple(_BYTE_MASKS[mask] for mask in masks)


def _packed_rows(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """uint8 [H, bytes], the top row first; the last row's padding may be missing."""
    length = (header.width * header.bits + 7) // 8
    stride = -(-length // 4) * 4
    if len(data) < header.pixels + stride * (header.height - 1) + length:
        raise _unreadable("it is cut short")
    missing = max(0, header.pixels + stride * header.height - len(data))
    source = data + bytes(missing) if missing else data
    rows = np.frombuffer(source, np.uint8, stride * header.height, header.pixels).reshape(header.height, stride)
    return (rows if header.top_down else rows[::-1])[:, :length]


def _runs(data: bytes, header: _Header) -> Samples:
    """uint8 [H, W] from run lengths, which must give every pixel, row by row."""
    rows, row, at = [], bytearray(), header.pixels
    while True:
        if at + 2 > len(data):
            raise _unreadable("it is cut short")
        count, value = data[at : at + 2]
        at += 2
        if count:
            row += _indices(bytes([value]) * count, header.bits)[:count]
        elif value > _JUMP:
            length = value if header.bits == 8 else (value + 1) // 2
            row += _indices(data[at : at + length], header.bits)[:value]
            at += length + length % 2
        elif value == _END_OF_ROW or (value == _END and row):
            rows.append(bytes(row))
            row.clear()
        if len(row) > header.width or len(rows) > header.height:
            raise _unreadable("run lengths that leave the picture")
        if not count and value in (_END, _JUMP):
            break
    if value == _JUMP or [len(row) for row in rows] != [header.width] * header.height:
        raise UnsupportedImageError(f"a BMP with run lengths that leave pixels out; not stored: {_CONVERT}")
    return np.frombuffer(b"".join(rows), np.uint8).reshape(header.height, header.width)[::-1].copy()


def _indices(packed: bytes, bits: int) -> bytes:
    """Palette indices, one a byte; of 4 bits, the high nibble first."""
    return packed if bits == 8 else bytes(index for byte in packed for index in (byte >> 4, byte & 15))


def _coloured(packed: NDArray[np.uint8], header: _Header, channels: tuple[int, ...], notes: list[str]) -> Samples:
    """uint8 [H, W, 3 or 4]."""
    pixels = packed.reshape(header.height, header.width, header.bits // 8)
    if header.bits == 32 and len(channels) == 3:
        (unused,) = {0, 1, 2, 3} - {*channels}
        byte = pixels[:, :, unused]
        if header.compression == _PLAIN and (byte != byte[0, 0]).any():
            raise UnsupportedImageError(f"a BMP whose fourth byte may be alpha, and does not say so: {_CONVERT}")
        if byte.any():
            notes.append("the fourth byte of the BMP's pixels, which it does not use, is ignored")
    return np.ascontiguousarray(pixels[:, :, channels])


def _palette(data: bytes, header: _Header, notes: list[str]) -> NDArray[np.uint8]:
    """uint8 [n, 3]."""
    most, entry = 1 << header.bits, 3 if header.size == _CORE else 4
    count = header.colours_used or most
    if header.size == _CORE:  # which does not say how many there are
        count = min(most, (header.pixels - header.end) // entry)
    if count > most:
        notes.append(f"a palette of {count} colours is cut to the {most} that {header.bits} bits name")
        count = most
    if header.end + entry * count > header.pixels or not count:
        raise _unreadable("its palette is cut short")
    table = np.frombuffer(data, np.uint8, entry * count, header.end).reshape(count, entry)
    return np.ascontiguousarray(table[:, 2::-1])


def _chunks(data: bytes, header: _Header, notes: list[str]) -> tuple[Chunk, ...]:
    """The resolution and the colour profile."""
    found = []
    if header.size >= _INFO:
        x, y = struct.unpack_from("<ii", data, 38)
        if x > 0 and y > 0:
            found.append(metadata.resolution_chunk(x, y))
    if header.size >= _V4:
        space = data[_FILE_HEADER + 56 :][:4]
        if space == _EMBEDDED and header.size == _V5:
            found.append(metadata.icc_chunk(_profile(data)))
        elif space == _LINKED:
            notes.append("a colour profile in another file is left out")
        elif space == _CALIBRATED and any(data[_FILE_HEADER + 60 : _FILE_HEADER + 108]):
            notes.append("colour endpoints and gamma are left out")
    return tuple(found)


def _profile(data: bytes) -> bytes:
    at, length = struct.unpack_from("<II", data, _FILE_HEADER + 112)
    profile = data[_FILE_HEADER + at :][:length]
    if len(profile) != length or not length:
        raise _unreadable("its colour profile is cut short")
    return profile


def _gray_scale(depth: int) -> NDArray[np.uint8]:
    """The palette [2^depth, 3] that turns indices into gray values."""
    grays = np.arange(1 << depth) * (255 // ((1 << depth) - 1))
    return np.repeat(grays[:, None].astype(np.uint8), 3, axis=1)


def _info(picture: Picture, colours: int, with_profile: bool) -> bytes:
    """The bitmap's header: 40 bytes if they say it all, else V5, whose last 12 bytes say where the profile is."""
    height, width = picture.samples.shape[:2]
    if max(height, width) >= 1 << 31:
        raise UnsupportedImageError(".bmp cannot hold this image (a side over 2,147,483,647); use .png")
    has_alpha = picture.colour == RGBA
    bits, is_long = picture.depth * CHANNELS[picture.colour], has_alpha or with_profile
    x, y = metadata.resolution_of(picture.chunks) or (0, 0)
    if max(x, y) >= 1 << 31:
        x = y = 0
    size, compression = (_V5, _MASKS if has_alpha else _PLAIN) if is_long else (_INFO, _PLAIN)
    info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, x, y, colours, 0)
    if not is_long:
        return info
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000 if has_alpha else 0)
    space = _EMBEDDED if with_profile else _UNSAID
    return info + masks + space + bytes(48) + struct.pack("<I", _PERCEPTUAL) + bytes(12)
