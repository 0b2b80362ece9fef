"""TIFF and BMP files made byte by byte from known samples, with no help from the code under test."""

import struct
import zlib
from typing import Any

import numpy as np


def packed(samples: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Rows of samples [H, anything], the first in the high bits, each row filled up to whole bytes."""
    flat = samples.reshape(len(samples), -1)
    if bits == 16:
        return flat.astype(f"{order}u2").tobytes()
    digits = (flat[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(len(flat), -1).astype(np.uint8), axis=1).tobytes()


def tiff_bytes(
    samples: np.ndarray,
    *,
    photometric: int,
    bits: int = 8,
    order: str = "<",
    big: bool = False,
    extra: tuple[int, ...] = (),
    planar: bool = False,
    deflate: bool = False,
    rows: int | None = None,
    tile: int = 0,
    reverse: bool = False,
    palette: np.ndarray | None = None,
    tags: tuple[tuple[int, int, tuple[int, ...]], ...] = (),
) -> bytes:
    """A TIFF of [H, W] or [H, W, C]; `rows` a strip, or tiles of side `tile`; `tags`: more (tag, type, values)."""
    stack = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = stack.shape
    planes = [stack[:, :, c : c + 1] for c in range(channels)] if planar else [stack]
    parts = []
    for plane in planes:
        if tile:
            full = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            for i in range(0, height, tile):
                parts += [full[i : i + tile, j : j + tile] for j in range(0, width, tile)]
        else:
            parts += [plane[i : i + (rows or height)] for i in range(0, height, rows or height)]
    data = [packed(part, bits, order) for part in parts]
    data = [zlib.compress(part) for part in data] if deflate else data
    if reverse:
        data = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in part) for part in data]
    starts = 322 if tile else 273
    known = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (bits,) * channels), 259: (3, (8 if deflate else 1,)),
        262: (3, (photometric,)), 277: (3, (channels,)), 284: (3, (2 if planar else 1,)),
        **({266: (3, (2,))} if reverse else {}), **({338: (3, extra)} if extra else {}),
        **({320: (3, tuple(int(value) * 257 for value in palette.T.ravel()))} if palette is not None else {}),
        **({322: (4, (tile,)), 323: (4, (tile,))} if tile else {278: (4, (rows or height,))}),
        (325 if tile else 279): (4, tuple(map(len, data))),
        **{tag: (kind, values) for tag, kind, values in tags},
    }  # fmt: skip
    return _with_directory(known, 324 if tile else starts, data, order, big)


def _with_directory(known: dict[int, Any], starts: int, data: list[bytes], order: str, big: bool) -> bytes:
    """Header, samples, long values, directory."""
    head = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    body = (b"II" if order == "<" else b"MM") + head
    places = []
    for part in data:
        places.append(len(body))
        body += part + bytes(len(part) % 2)
    entries, room = b"", 8 if big else 4
    for tag, (kind, values) in sorted({**known, starts: (4, tuple(places))}.items()):
        content = struct.pack(f"{order}{len(values)}{ {1: 'B', 2: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
        if len(content) > room:
            place = struct.pack(order + ("Q" if big else "I"), len(body))
            body += content + bytes(len(content) % 2)
            content = place
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + content.ljust(room, b"\0")
    at = struct.pack(order + ("Q" if big else "I"), len(body))
    count = struct.pack(order + ("Q" if big else "H"), len(known) + 1)
    first = 8 if big else 4
    return body[:first] + at + body[first + room :] + count + entries + bytes(room)


def run_bytes(samples: np.ndarray, bits: int, seed: int = 0) -> bytes:
    """The run lengths of a BMP's rows, bottom up: runs of one or two pixels, and pixels as they are, at random."""
    rng, out = np.random.default_rng(seed), bytearray()
    for row in samples[::-1].tolist():
        at = 0
        while at < len(row):
            count = int(rng.integers(1, 9))
            part = row[at : at + count]
            if len(part) > 2 and rng.random() < 0.5:
                content = packed(np.array([part]), bits)
                out += bytes([0, len(part)]) + content + bytes(len(content) % 2)
            else:
                part = part[: 1 + (part[:2] == part[:1] * 2)]
                out += bytes([len(part), part[0] if bits == 8 else part[0] << 4 | part[-1]])
            at += len(part)
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def bmp_bytes(
    samples: np.ndarray,
    bits: int,
    *,
    palette: np.ndarray | None = None,
    used: int = 0,
    size: int = 40,
    top_down: bool = False,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    runs: bytes = b"",
) -> bytes:
    """A BMP of palette indices [H, W], or of pixels [H, W, bytes] in file order; `runs` instead of its rows."""
    height, width = samples.shape[:2]
    rows = [packed(row[None], bits if samples.ndim == 2 else 8) for row in (samples if top_down else samples[::-1])]
    body = runs or b"".join(row + bytes(-len(row) % 4) for row in rows)
    entry = 3 if size == 12 else 4
    table = b"" if palette is None else b"".join(bytes([b, g, r, 0][:entry]) for r, g, b in palette.tolist())
    if size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_down else height
        info = struct.pack("<IiiHHIIiiII", size, width, signed, 1, bits, compression, 0, 0, 0, used, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info += bytes(max(0, size - len(info)))
    start = 14 + len(info) + len(table)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + table + body
