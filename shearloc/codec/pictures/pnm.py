"""Portable bitmaps, graymaps and pixmaps (Netpbm's PBM, PGM, PPM) to pictures and back.

This is our own reader, because Pillow reads 16-bit colour as 8 bits and rescales other ranges. Comments are not kept.
"""

import re
from typing import BinaryIO

import numpy as np

from ...errors import UnsupportedImageError
from ...types import Samples
from ..formats.container import MAX_SAMPLES
from .picture import GRAY, Picture, check_size
from .rows import pack_rows, row_bytes, unpack_rows

MAGICS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")

_NUMBER = re.compile(rb"(?:\s|#[^\n]*\n)*(\d{1,10})")
_SPACES = b" \t\n\v\f\r"
_COMMENT = re.compile(rb"#[^\n]*")


def read(data: bytes, max_samples: int = MAX_SAMPLES) -> Picture:
    """The picture in a whole file, plain (P1 to P3) or raw (P4 to P6).

    What follows the picture is ignored, and noted. Raises UnsupportedImageError for damage, a second image after the
    first, samples of another range than 0 to 1, 255 or 65535, or more than `max_samples` of 8 bits.
    """
    kind = data[1] - ord("0")
    width, height, top, at = _header(data, kind)
    if top not in (1, 255, 65535) or (top == 1) != (kind in (1, 4)):
        raise UnsupportedImageError(f"a PNM file with samples up to {top}; 255 and 65535 are stored: rescale it first")
    depth, channels = top.bit_length(), 3 if kind in (3, 6) else 1
    check_size(height, width, channels * (2 if depth == 16 else 1), max_samples)
    if kind < 4:
        samples, behind = _plain(data[at:], kind, depth, height * width * channels)
    else:
        samples, behind = _raw(data[at + 1 :], height, width * channels, depth)
    if behind.lstrip()[:2] in MAGICS:
        raise UnsupportedImageError("a PNM file of more than one image; save the images one by one")
    shape = (height, width) if channels == 1 else (height, width, channels)
    samples = samples.reshape(shape)
    notes = ["what follows the picture is ignored"] if behind.strip() else []
    notes += ["comments are left out"] if b"#" in data[:at] else []
    return Picture(1 - samples if depth == 1 else samples, depth, notes=tuple(notes))  # a bitmap's 1 is black


def _header(data: bytes, kind: int) -> tuple[int, int, int, int]:
    """Width, height, largest sample, and where the header ends."""
    numbers, at = [], 2
    for _ in range(2 if kind in (1, 4) else 3):
        found = _NUMBER.match(data, at)
        if not found:
            raise _unreadable("its header is cut short")
        numbers.append(int(found[1]))
        at = found.end()
    width, height, top = (*numbers, 1)[:3]
    if not (width and height):
        raise _unreadable(f"a size of {width} x {height}")
    return width, height, top, at


def _unreadable(why: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a PNM file that can be read ({why})")


def write(file: BinaryIO, picture: Picture) -> None:
    """Write gray of 1, 8 or 16 bits or RGB of 8 or 16 bits, raw. Errors: those of `file`."""
    height, width = picture.samples.shape[:2]
    kind = 6 if picture.colour != GRAY else 4 if picture.depth == 1 else 5
    top = b"" if kind == 4 else b"%d\n" % (2**picture.depth - 1)
    file.write(b"P%d\n%d %d\n%b" % (kind, width, height, top))
    samples = 1 - picture.samples if kind == 4 else picture.samples
    file.write(pack_rows(samples, picture.depth).tobytes())


def _plain(text: bytes, kind: int, depth: int, count: int) -> tuple[Samples, bytes]:
    """`count` samples written as digits, and the text that follows them."""
    text = _COMMENT.sub(b"", text)
    if kind == 1:  # bits need no space between them
        marks = np.frombuffer(text, np.uint8)
        solid = np.flatnonzero(~np.isin(marks, np.frombuffer(_SPACES, np.uint8)))[: count + 1]
        bits = marks[solid[:count]] - np.uint8(ord("0"))
        return _checked(bits, depth, count), text[solid[count] :] if len(solid) > count else b""
    words = text.split(None, count)
    try:
        values = np.array(words[:count], np.int64)
    except (ValueError, OverflowError) as error:
        raise _unreadable("a sample that is no number") from error
    return _checked(values, depth, count), b"".join(words[count:])


def _checked(values: np.ndarray, depth: int, count: int) -> Samples:
    if len(values) < count:
        raise _unreadable("it is cut short")
    if not 0 <= values.min() <= values.max() < 1 << depth:
        raise _unreadable("a sample out of range")
    return values.astype(np.uint16 if depth == 16 else np.uint8)


def _raw(data: bytes, height: int, across: int, depth: int) -> tuple[Samples, bytes]:
    """Packed rows of `across` samples each, and the bytes that follow them."""
    length = row_bytes(across, GRAY, depth)
    if len(data) < height * length:
        raise _unreadable("it is cut short")
    packed = np.frombuffer(data, np.uint8, height * length).reshape(height, length)
    return unpack_rows(packed, across, GRAY, depth), data[height * length :]
