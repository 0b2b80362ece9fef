"""Lossless WebP files to pictures and back, by Pillow; lossy ones only where the caller asks for them.

Our own code reads the file's chunks, to know what Pillow may be trusted with. It also sets a mark in files whose
pictures have an alpha channel that is opaque throughout, which libwebp drops.
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from ...errors import UnsupportedImageError
from ..formats.container import MAX_SAMPLES
from . import metadata, pillow
from .picture import RGBA, Chunk, Picture, check_size

_ALPHA_IN_VP8X, _ALPHA_IN_VP8L = 0x10, 1 << 28
_IMAGES = (b"VP8 ", b"VP8L", b"ALPH")
_KEPT = (b"VP8X", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", *_IMAGES)


def is_webp(data: bytes) -> bool:
    """Whether a file begins like a WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes, max_samples: int = MAX_SAMPLES, lossy: bool = False) -> Picture:
    """The picture in a whole WebP file; with `lossy`, the decoded pixels of a lossy one.

    Raises UnsupportedImageError where it is lossy, animated, damaged, or has more than `max_samples` samples.
    """
    chunks = list(_chunks(data, 12, _end(data)))
    kinds = [kind for kind, _ in chunks]
    if kinds.count(b"ANMF") > 1:
        raise UnsupportedImageError(f"{kinds.count(b'ANMF')} frames; one image is stored: save the frames one by one")
    inside = chunks + [part for kind, content in chunks if kind == b"ANMF" for part in _frame(content)]
    if any(kind == b"VP8 " for kind, _ in inside) and not lossy:
        raise UnsupportedImageError(
            "a lossy WebP; its decoded pixels would take more space than the WebP itself: "
            "keep the WebP, or use --force (lossy=True) if you want its pixels stored"
        )
    height, width, planes = _size(chunks)
    check_size(height, width, planes, max_samples)
    if planes == 3 and any(_has_alpha(*chunk) for chunk in inside):
        raise _unreadable("its header says that there is no alpha, its image has some")
    notes = ["what follows the end of the WebP is ignored"] if len(data) > _end(data) else []
    notes += [f"a {kind.decode('latin1')!r} chunk is left out" for kind in kinds if kind not in _KEPT]
    with pillow.opened(data, "WEBP", height * width) as image:
        samples = np.array(image)
        found = _metadata(image.info)
    if samples.shape != (height, width, planes):
        raise _unreadable("its header names another size")
    return Picture(samples, chunks=found, notes=tuple(notes))


def write(file: BinaryIO, picture: Picture) -> None:
    """Write 8-bit RGB or RGBA losslessly, with profile, Exif block and XMP packet.

    Raises UnsupportedImageError where a side is over 16,383; errors of `file`.
    """
    parts = {
        "icc_profile": metadata.icc_of(picture.chunks),
        "exif": metadata.exif_of(picture.chunks),
        "xmp": metadata.xmp_of(picture.chunks),
    }
    options: dict[str, Any] = {name: content for name, content in parts.items() if content}
    buffer = BytesIO()
    try:
        pillow.image_of(picture).save(buffer, "WEBP", lossless=True, exact=True, **options)
    except (ValueError, OSError) as error:
        raise UnsupportedImageError(f".webp cannot hold this image ({error})") from error
    data = buffer.getvalue()
    file.write(_with_alpha(data) if picture.colour == RGBA else data)


def _unreadable(why: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a WebP that can be read ({why})")


def _end(data: bytes) -> int:
    """Where the file ends according to its header."""
    length: int = struct.unpack_from("<I", data, 4)[0]
    return 8 + length


def _chunks(data: bytes, at: int, end: int) -> Iterator[Chunk]:
    """Types and contents of the chunks of a RIFF file, or of part of one."""
    if end > len(data):
        raise _unreadable("it is cut short")
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise _unreadable("it is cut short")
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _frame(content: bytes) -> Iterator[Chunk]:
    """The chunks inside a frame of an animation, after its 16 bytes of position and time."""
    return _chunks(content, 16, len(content))


def _size(chunks: list[Chunk]) -> tuple[int, int, int]:
    """Height, width and planes from the first chunk."""
    kind, content = chunks[0] if chunks else (b"", b"")
    if kind == b"VP8X" and len(content) >= 10:
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (4, 7))
        return height, width, 4 if content[0] & _ALPHA_IN_VP8X else 3
    if kind == b"VP8L" and content[:1] == b"\x2f" and len(content) >= 5:
        (bits,) = struct.unpack_from("<I", content, 1)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4 if bits & _ALPHA_IN_VP8L else 3
    if kind == b"VP8 " and len(content) >= 10:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 6))
        return height, width, 3
    raise _unreadable("no image where one should be")


def _has_alpha(kind: bytes, content: bytes) -> bool:
    """Whether a chunk has alpha."""
    marked = kind == b"VP8L" and len(content) >= 5 and struct.unpack_from("<I", content, 1)[0] & _ALPHA_IN_VP8L
    return bool(marked) or kind == b"ALPH"


def _metadata(info: dict[Any, Any]) -> tuple[Chunk, ...]:
    found = []
    if info.get("icc_profile"):
        found.append(metadata.icc_chunk(info["icc_profile"]))
    if info.get("exif"):
        found.append(metadata.exif_chunk(info["exif"]))
    if info.get("xmp"):
        found.append(metadata.xmp_chunk(info["xmp"]))
    return tuple(found)


def _with_alpha(data: bytes) -> bytes:
    """The file with the bits set that say that its pixels have alpha."""
    marked, at = bytearray(data), 12
    for kind, content in _chunks(data, 12, len(data)):
        if kind == b"VP8X":
            marked[at + 8] |= _ALPHA_IN_VP8X
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 1)
            struct.pack_into("<I", marked, at + 9, bits | _ALPHA_IN_VP8L)
        at += 8 + len(content) + len(content) % 2
    return bytes(marked)
