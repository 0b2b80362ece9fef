"""Metadata in the form of PNG's chunks, which all pictures carry; made from Pillow's form, and turned back into it.

A profile, Exif block or XMP packet comes back byte for byte; only its wrapping is PNG's.
"""

import struct
import zlib
from collections.abc import Sequence

from .picture import Chunk

XMP_KEYWORD = b"XML:com.adobe.xmp"
EXIF_PREFIX = b"Exif\0\0"
"""Bytes that JPEG and some WebP writers put before the Exif block."""

INFLATED_LIMIT = 1 << 26
"""Largest colour profile that is taken out of its compressed chunk."""


def icc_chunk(profile: bytes) -> Chunk:
    """A colour profile."""
    return b"iCCP", b"ICC profile\0\0" + zlib.compress(profile, 9)


def icc_of(chunks: Sequence[Chunk]) -> bytes | None:
    """The colour profile; None where there is none, or where its chunk is not PNG's."""
    _, ended, rest = _content(chunks, b"iCCP").partition(b"\0")
    if not ended or rest[:1] != b"\0":
        return None
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(rest[1:], INFLATED_LIMIT)
    except zlib.error:
        return None
    return profile if stream.eof else None


def exif_chunk(block: bytes) -> Chunk:
    """An Exif block, with or without `EXIF_PREFIX`."""
    return b"eXIf", block.removeprefix(EXIF_PREFIX)


def exif_of(chunks: Sequence[Chunk]) -> bytes | None:
    """The Exif block without prefix, or None."""
    return _content(chunks, b"eXIf") or None


def xmp_chunk(packet: bytes) -> Chunk:
    """An XMP packet, uncompressed, as its specification defines it for PNG."""
    return b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + packet


def xmp_of(chunks: Sequence[Chunk]) -> bytes | None:
    """The XMP packet, or None."""
    prefix = XMP_KEYWORD + b"\0\0\0\0\0"
    return next(
        (content[len(prefix) :] for kind, content in chunks if kind == b"iTXt" and content.startswith(prefix)), None
    )


def resolution_chunk(x: float, y: float) -> Chunk:
    """Pixels a metre, rounded."""
    return b"pHYs", struct.pack(">IIB", round(x), round(y), 1)


def resolution_of(chunks: Sequence[Chunk]) -> tuple[int, int] | None:
    """Pixels a metre across and down, or None where no such unit is given."""
    content = _content(chunks, b"pHYs")
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack(">II", content[:8])
    return (x, y) if x and y else None


def _content(chunks: Sequence[Chunk], kind: bytes) -> bytes:
    return next((content for name, content in chunks if name == kind), b"")
