"""PNG files to pictures and back (RFC 2083, ISO/IEC 15948): every kind of samples, and metadata chunks as they are.

This is our own reader, because Pillow reads 16-bit colour as 8 bits, does not say what depth a palette had, and does
not hand out the bytes of metadata chunks. It ignores what libpng ignores, and notes that in `Picture.notes`. It refuses
animations (APNG).
"""

import struct
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedImageError
from ...types import Samples
from ..formats.container import MAX_SAMPLES
from .picture import CHANNELS, DEPTHS, GRAY, GRAY_ALPHA, PALETTE, RGB, Chunk, Colour, Picture, check_size
from .rows import filter_rows, filtered_bytes, unfilter
from .rows import pack_rows as pack_rows
from .rows import row_bytes as row_bytes
from .rows import unpack_rows as unpack_rows

SIGNATURE = b"\x89PNG\r\n\x1a\n"

ANIMATION = (b"acTL", b"fcTL", b"fdAT")
AFTER_PALETTE = (b"bKGD", b"hIST")
"""Metadata that must follow PLTE, which is written before the first of them; their order stays as it is."""
NOT_KEPT = (b"iDOT",)
"""Apple's index into the file's own compressed data: wrong in any other file."""

LEVEL = 4
"""zlib's level for files that people get: 6 takes twice as long for photographs, for 2% of the size."""

_BEFORE_DATA = (b"PLTE", b"tRNS")
"""Chunks that say something about the samples, and must come before them."""
_ONE_FRAME = b"\0\0\0\1"

_IDAT_BYTES = 1 << 20


def read(data: bytes, max_samples: int = MAX_SAMPLES) -> Picture:
    """The picture of a whole PNG file.

    Raises UnsupportedImageError: animated, damaged, with critical chunks that the standard does not know, or of more
    than `max_samples` samples of 8 bits.
    """
    try:
        return _read(data, max_samples)
    except (struct.error, IndexError) as error:
        raise _unreadable("it is cut short") from error
    except zlib.error as error:
        raise _unreadable(str(error)) from error


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
    """The samples as in PNG's IDAT chunks, joined: filtered rows as a zlib stream of this level."""
    return b"".join(_compressed(picture, level))


def decompress(data: bytes, height: int, width: int, colour: int, depth: int) -> Samples:
    """Undo `compress`: [H, W] or [H, W, C]. zlib.error where the data is anything else."""
    return unfilter(_inflate(data, filtered_bytes(height, width, colour, depth)), height, width, colour, depth)


def _unreadable(why: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a PNG that can be read ({why})")


def _read(data: bytes, max_samples: int) -> Picture:
    chunks, behind = _chunks(data)
    notes = ["what follows the end of the PNG is ignored"] if behind else []
    height, width, colour, depth, interlace = _header(*chunks[0])
    check_size(height, width, CHANNELS[colour] * (2 if depth == 16 else 1), max_samples)
    before, body, after = _around_data(chunks[1:])
    _check_kinds([*before, *after])
    palettes = [kind for chunks in (before, after) for kind, _ in chunks if kind == b"PLTE"]
    if len(palettes) > 1 and any(kind == b"PLTE" for kind, _ in before):
        raise _unreadable("a palette comes twice")
    palette, transparency = _colours(before, colour, depth, notes)
    notes += [f"a {kind.decode()} chunk after the image data is ignored" for kind, _ in after if kind in _BEFORE_DATA]
    metadata = _metadata([*before, *after], notes)
    raw = _inflate_picture(body, filtered_bytes(height, width, colour, depth, interlace), notes)
    samples = unfilter(raw, height, width, colour, depth, interlace)
    return Picture(samples, depth, palette, transparency, metadata, tuple(notes))


def _chunks(data: bytes) -> tuple[list[Chunk], int]:
    """Types and contents up to IEND, checksums verified, and how many bytes follow."""
    if not data.startswith(SIGNATURE):
        raise _unreadable("no PNG signature")
    at = len(SIGNATURE)
    found: list[Chunk] = []
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if not kind.isalpha() or zlib.crc32(content, zlib.crc32(kind)) != crc:
            raise _unreadable(f"damaged in chunk {kind!r}")
        at += 12 + length
        if kind == b"IEND":
            return found or [(kind, content)], len(data) - at
        found.append((kind, content))


def _header(kind: bytes, content: bytes) -> tuple[int, int, int, int, int]:
    """Height, width, colour type, bit depth and interlacing from the first chunk."""
    if kind != b"IHDR":
        _check_kinds([(kind, content)])
        raise _unreadable("its header is missing")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", content)
    known = depth in DEPTHS.get(colour, ()) and (compression, filters) == (0, 0) and interlace in (0, 1)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31 and known):
        raise _unreadable("a header that PNG does not know")
    return height, width, colour, depth, interlace


def _around_data(chunks: list[Chunk]) -> tuple[list[Chunk], bytes, list[Chunk]]:
    """The chunks before the image data, the data of the first run of IDAT chunks, and the chunks after it."""
    kinds = [kind for kind, _ in chunks]
    if b"IDAT" not in kinds:
        raise _unreadable("it has no image data")
    first = kinds.index(b"IDAT")
    last = next((at for at in range(first, len(kinds)) if kinds[at] != b"IDAT"), len(kinds))
    return chunks[:first], b"".join(content for _, content in chunks[first:last]), chunks[last:]


def _check_kinds(chunks: list[Chunk]) -> None:
    """Refuse chunks that change the picture's meaning, and repeated chunks that may come only once."""
    kinds = [kind for kind, _ in chunks]
    for kind in kinds:
        if not kind[0] & 0x20 and kind not in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            what = f"a PNG with a chunk {kind.decode()} that changes its meaning"
            raise UnsupportedImageError(f"{what}: convert it first")
    if b"IHDR" in kinds:
        raise _unreadable("a header comes twice")
    if any(kind == b"acTL" and content[:4] > _ONE_FRAME for kind, content in chunks) or (
        b"acTL" in kinds and b"fdAT" in kinds
    ):
        raise UnsupportedImageError("an animated PNG; one image is stored: save the frames one by one")


def _metadata(chunks: list[Chunk], notes: list[str]) -> tuple[Chunk, ...]:
    """The ancillary chunks that describe the picture."""
    if any(kind in ANIMATION for kind, _ in chunks):
        notes.append("an animation of one frame is read as one picture")
    left_out = (*ANIMATION, *NOT_KEPT, *_BEFORE_DATA, b"IDAT")
    return tuple(chunk for chunk in chunks if chunk[0] not in left_out)


def _colours(chunks: list[Chunk], colour: int, depth: int, notes: list[str]) -> tuple[NDArray[np.uint8] | None, bytes]:
    """The palette and the transparency among the chunks before the image data, by libpng's rules."""
    palette: NDArray[np.uint8] | None = None
    transparency, decided = b"", False
    for kind, content in chunks:
        if kind == b"PLTE":
            palette = _palette(content, colour, depth, notes)
        elif kind == b"tRNS":
            if decided or not _fits(content, colour, palette):
                notes.append(
                    "a second tRNS chunk is ignored" if decided else "a tRNS chunk that does not fit is ignored"
                )
            else:
                transparency, decided = content, True
    if colour == PALETTE and palette is None:
        raise _unreadable("its palette is missing")
    return palette, transparency


def _palette(content: bytes, colour: int, depth: int, notes: list[str]) -> NDArray[np.uint8] | None:
    """uint8 [n, 3]; None where libpng ignores it."""
    if colour in (GRAY, GRAY_ALPHA):
        notes.append("a palette of gray samples is ignored")
        return None
    if len(content) % 3 or len(content) > 3 * 256:
        if colour == PALETTE:
            raise _unreadable(f"a palette of {len(content)} bytes")
        notes.append(f"a suggested palette of {len(content)} bytes is ignored")
        return None
    if not content:
        raise _unreadable("an empty palette")
    most = 1 << depth if colour == PALETTE else 256
    if len(content) > 3 * most:
        notes.append(f"a palette of {len(content) // 3} colours is cut to the {most} that {depth} bits name")
    return np.frombuffer(content, np.uint8).reshape(-1, 3)[:most]


def _fits(content: bytes, colour: int, palette: NDArray[np.uint8] | None) -> bool:
    """Whether libpng uses a tRNS chunk with this content."""
    if colour == PALETTE:
        return palette is not None and 0 < len(content) <= len(palette)
    return len(content) == {GRAY: 2, RGB: 6}.get(Colour(colour))


def _inflate(data: bytes, size: int) -> bytes:
    """Inflates a zlib stream of exactly `size` bytes; takes little more memory than there are, or than that."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, min(size + 1, sys.maxsize))
    if len(content) != size:
        raise zlib.error(f"{len(content)} bytes of samples, not {size}")
    return content


def _inflate_picture(data: bytes, size: int, notes: list[str]) -> bytes:
    """The first `size` bytes of a zlib stream, as libpng takes them: more is ignored; too few are an error."""
    stream = zlib.decompressobj(0)  # the window that the stream claims, not the largest
    content = stream.decompress(data, min(size, sys.maxsize))
    if len(content) < size:
        raise zlib.error(f"{len(content)} bytes of samples, not {size}")
    more = False
    while not stream.eof:
        try:
            extra = stream.decompress(stream.unconsumed_tail, _IDAT_BYTES)
        except zlib.error:  # after the picture, where it does no harm
            more = True
            break
        if not (extra or stream.eof):
            raise zlib.error("the image data is cut short")
        more = more or bool(extra)
    if more or stream.unused_data:
        notes.append("more image data than the picture has is ignored")
    return content


def _compressed(picture: Picture, level: int) -> Iterator[bytes]:
    """The zlib stream in pieces that each fit an IDAT chunk, none empty."""
    stream, pending = zlib.compressobj(level), bytearray()
    for band in filter_rows(picture):
        pending += stream.compress(band.data)
        while len(pending) >= _IDAT_BYTES:
            yield bytes(pending[:_IDAT_BYTES])
            del pending[:_IDAT_BYTES]
    yield bytes(pending) + stream.flush()
