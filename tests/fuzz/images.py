"""Image files changed: as any bytes, in the numbers of their headers, and PNG in its chunks, with their CRCs right."""

import re
import struct
from random import Random

from tests.codec.pictures.against_libpng import joined

from .damage import NUMBERS, damage
from .shl import repacked

SIGNATURE = 8
"""Bytes of PNG's."""
KINDS = b"IHDR PLTE IDAT IEND tRNS acTL fcTL fdAT iCCP eXIf iTXt zTXt tEXt pHYs sBIT bKGD hIST iDOT CgBI".split()
"""Types of PNG's chunks."""

Chunk = tuple[bytes, bytes]


def change(kind: str, data: bytes, other: bytes, draw: Random, story: list[str]) -> bytes:
    """One to four changes to a file of a kind; `other` is what a splice takes its second half from."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if kind == "PNG" and draw.random() < 0.7:
            data = _change_chunks(data, draw, story)
        elif draw.random() < 0.4:
            data = damage(data, other, draw, story)
        else:
            data = _with_digits(data, draw) if kind == "PNM" else _with_number(data, draw)
            story.append("number")
    return data


def _with_number(data: bytes, draw: Random) -> bytes:
    """Another number of 1, 2, 4 or 8 bytes, mostly where headers and directories are: near the start or the end."""
    size = draw.choice((1, 2, 2, 4, 4, 8))
    reach = draw.choice((40, 160, len(data)))
    at = draw.randrange(max(1, min(reach, len(data) - size)))
    at = draw.choice((at, at, max(0, len(data) - size - at)))
    at -= draw.choice((0, at % 2))
    number = draw.choice(NUMBERS) & (1 << 8 * size) - 1
    return data[:at] + number.to_bytes(size, draw.choice(("little", "big"))) + data[at + size :]


def _with_digits(data: bytes, draw: Random) -> bytes:
    """Another decimal number, or something that is none."""
    found = list(re.finditer(rb"\d+", data[:60]))
    if not found:
        return _with_number(data, draw)
    place = draw.choice(found)
    text = draw.choice((str(draw.choice(NUMBERS)).encode(), b"-1", b"#1\n2", b"1e9", b"\xb2", b"0" * 5000, b"9" * 5000))
    return data[: place.start()] + text + data[place.end() :]


def _change_chunks(data: bytes, draw: Random, story: list[str]) -> bytes:
    """A PNG with one chunk changed, moved, repeated or left out, and every CRC right."""
    chunks = _chunks(data)
    kind = draw.choice(("content", "content", "header", "header", "repack", "repack", "type", "move", "repeat", "drop"))
    story.append(f"chunk {kind}")
    at = draw.randrange(len(chunks) or 1)
    if kind == "repack" or not chunks:
        chunks = [(name, repacked(content, draw) if name == b"IDAT" else content) for name, content in chunks]
    elif kind == "header":
        chunks[0] = (chunks[0][0], _with_number(chunks[0][1], draw))
    elif kind == "content":
        chunks[at] = (chunks[at][0], damage(chunks[at][1], data, draw, story))
    elif kind == "type":
        chunks[at] = (draw.choice((*KINDS, draw.randbytes(4))), chunks[at][1])
    elif kind == "move":
        chunks.insert(draw.randrange(len(chunks)), chunks.pop(at))
    elif kind == "repeat":
        chunks[at:at] = [chunks[at]] * draw.choice((1, 1, 2, 1000))
    else:
        del chunks[at]
    return joined(chunks)


def _chunks(data: bytes) -> list[Chunk]:
    """Types and contents, as far as the file has whole ones."""
    found, at = [], SIGNATURE
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found
