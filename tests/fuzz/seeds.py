"""Sound small `.shl` files to start from: the golden ones, or some made here where there are none."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shearloc.codec import api, container
from shearloc.codec.crc32c import crc32c
from shearloc.models import zoo

GOLDEN = Path(__file__).parents[1] / "golden"

MAX_SAMPLES = 1 << 12
"""Larger golden files are left out: a case should take milliseconds."""


@dataclass(frozen=True)
class Seed:
    """A sound file and its name."""

    name: str
    data: bytes


def seeds() -> list[Seed]:
    """The golden files that are small, or made ones; always the same, in the same order."""
    return _golden() or _made()


def _golden() -> list[Seed]:
    files = [Seed(path.name, path.read_bytes()) for path in sorted(GOLDEN.glob("*.shl"))]
    return [seed for seed in files if container.unpack_header(seed.data)[0].samples <= MAX_SAMPLES]


def _made() -> list[Seed]:
    """Every method, both models, adapted biases, metadata chunks; sizes from 1x1 on."""
    rgb, gray = _picture(9, 11, 3), _picture(12, 10, 1)
    noise = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    plain = api.encode(rgb, engine="numpy")
    header, payload = container.unpack(plain)
    chunks = ((b"iCCP", bytes(range(40))), (b"eXIf", b""))
    return [
        Seed("gray", api.encode(gray, engine="numpy")),
        Seed("gray 1x1", api.encode(gray[:1, :1], engine="numpy")),
        Seed("rgb", plain),
        Seed("rgb 1x1", api.encode(rgb[:1, :1], engine="numpy")),
        Seed("rgb 1x40", api.encode(_picture(1, 40, 3), engine="numpy")),
        Seed("rgb 40x1", api.encode(_picture(40, 1, 3), engine="numpy")),
        Seed("rgb 24x24", api.encode(_picture(24, 24, 3), engine="numpy")),
        Seed("raw", api._encode_raw(noise)),
        Seed("raw gray", api._encode_raw(gray[:, :, None])),
        Seed("webp", _webp(rgb)),
        Seed("webp gray", _webp(gray[:, :, None])),
        Seed("chunks", container.pack(replace(header, chunks=chunks), payload)),
        Seed("adapted", _adapted("photo", rgb)),
        Seed("adapted gray", _adapted("gray", gray[:, :, None])),
    ]


def _picture(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Smooth with a little noise, so that a model beats raw pixels."""
    y, x, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng([height, width, channels]).integers(-1, 2, y.shape)
    pixels = (96 + 64 * np.sin(x / 9 + c) + 64 * np.cos(y / 7) + noise).clip(0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def _webp(pixels: NDArray[np.uint8]) -> bytes:
    height, width, channels = pixels.shape
    stream = io.BytesIO()
    Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy()).save(stream, "WEBP", lossless=True, exact=True)
    header = container.Header(height, width, channels, container.WEBP, crc32c(pixels))
    return container.pack(header, stream.getvalue())


def _adapted(name: str, pixels: NDArray[np.uint8]) -> bytes:
    model = zoo.load(name)
    adjustments = np.random.default_rng(2).integers(-2, 3, model.bias_count).astype(np.int8)
    return api._encode_local(model, pixels, "numpy", None, adjustments)
