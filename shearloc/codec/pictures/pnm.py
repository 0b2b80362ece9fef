"""Portable bitmaps, graymaps and pixmaps (Netpbm's PBM, PGM, PPM) to pictures and back.

Own code, because Pillow reads 16-bit colour as 8 bits and rescales other ranges. Comments are not kept.
"""

import re
from typing import BinaryIO

import numpy as np

from ...errors import UnsupportedImageError
from .picture import GRAY, Picture, Samples
from .png import pack_rows, row_bytes, unpack_rows

MAGICS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")

_NUMBER = re.compile(rb"(?:\s|#[^\n]*\n)*(\d{1,10})")
_COMMENT = re.compile(rb"#[^\n]*")


def read(data: bytes) -> Picture:
    """The picture of a whole file, plain (P1 to P3) or raw (P4 to P6).

    Raises UnsupportedImageError: damaged, several images, or samples of another range than 0 to 1, 255 or 65535.
    """
    kind = data[1] - ord("0")
    sizes, at = [], 2
    for _ in range(2 if kind in (1, 4) else 3):
        found = _NUMBER.match(data, at)
        if not found:
            raise UnsupportedImageError("not a PNM file that can be read (its header is cut short)")
        sizes.append(int(found[1]))
        at = found.end()
    width, height, top = (*sizes, 1)[:3]
    if top not in (1, 255, 65535) or (top == 1) != (kind in (1, 4)):
        raise UnsupportedImageError(f"a PNM file with samples up to {top}; 255 and 65535 are stored: rescale it first")
    depth, channels = top.bit_length(), 3 if kind in (3, 6) else 1
    samples = _plain(data[at:], kind, depth) if kind < 4 else _raw(data[at + 1 :], width, height, depth, channels)
    if not width * height or samples.size != height * width * channels:
        raise UnsupportedImageError("not a PNM file that can be read (cut short, or more than one image)")
    shape = (height, width) if channels == 1 else (height, width, channels)
    samples = samples.reshape(shape)
    return Picture(1 - samples if depth == 1 else samples, depth)  # a bitmap's 1 is black


def write(file: BinaryIO, picture: Picture) -> None:
    """Write gray of 1, 8 or 16 bits or RGB of 8 or 16 bits, raw. Errors: those of `file`."""
    height, width = picture.samples.shape[:2]
    kind = 6 if picture.colour != GRAY else 4 if picture.depth == 1 else 5
    top = b"" if kind == 4 else b"%d\n" % (2**picture.depth - 1)
    file.write(b"P%d\n%d %d\n%b" % (kind, width, height, top))
    samples = 1 - picture.samples if kind == 4 else picture.samples
    file.write(pack_rows(samples, picture.depth).tobytes())


def _plain(text: bytes, kind: int, depth: int) -> Samples:
    text = _COMMENT.sub(b"", text)
    if kind == 1:
        digits = np.frombuffer(b"".join(text.split()), np.uint8) - np.uint8(ord("0"))
        return _checked(digits, depth)
    try:
        return _checked(np.array(text.split(), np.int64), depth)
    except (ValueError, OverflowError) as error:
        raise UnsupportedImageError(f"not a PNM file that can be read ({error})") from error


def _checked(values: np.ndarray, depth: int) -> Samples:
    if values.size and not 0 <= values.min() <= values.max() < 1 << depth:
        raise UnsupportedImageError("not a PNM file that can be read (a sample out of range)")
    return values.astype(np.uint16 if depth == 16 else np.uint8)


def _raw(data: bytes, width: int, height: int, depth: int, channels: int) -> Samples:
    length = row_bytes(width * channels, GRAY, depth)
    if not length or len(data) != height * length:
        return np.empty(0, np.uint8)
    return unpack_rows(np.frombuffer(data, np.uint8).reshape(height, length), width * channels, GRAY, depth)
