"""Sound small `.shl` files to start from: the golden ones, or some made here where there are none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shearloc.codec import api, container, parts
from shearloc.codec.crc32c import crc32c
from shearloc.codec.picture import Picture
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
    """Every method, both models, every kind of picture, metadata; sizes from 1x1 on."""
    rgb, gray = _picture(9, 11, 3), _picture(12, 10, 1)
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (5, 6, 3), np.uint8)
    deep = draw.integers(0, 1 << 16, (6, 7, 3)).astype(np.uint16)
    bits = (gray > 128).astype(np.uint8)
    colours = draw.integers(0, 256, (4, 3), np.uint8)
    chunks = ((b"iCCP", bytes(range(40))), (b"eXIf", b"MM" * 30), (b"tEXt", b"Title\0a title"))
    made = {
        "rgb 1x1": Picture(rgb[:1, :1]),
        "gray 1x1": Picture(gray[:1, :1]),
        "noise": Picture(noise),
        "chunks": Picture(rgb, chunks=chunks),
        "gray+alpha": Picture(np.dstack([gray, gray[::-1]])),
        "rgba": Picture(np.dstack([rgb, rgb[:, ::-1, 0]])),
        "16 bits": Picture(deep, 16),
        "16 bits gray, twice the byte": Picture(gray * np.uint16(257), 16),
        "1 bit": Picture(bits, 1),
        "palette": Picture(gray // 64, 2, colours, b"\x00\x80"),
        "transparent colour": Picture(gray, 8, transparency=b"\0\x60"),
        "flat": Picture(np.full((20, 30, 3), 7, np.uint8)),
    }
    seeds = [Seed(name, api.encode_picture(picture, engine="numpy")) for name, picture in made.items()]
    for name, picture in {"gray": gray, "rgb 1x40": _picture(1, 40, 3), "rgb 40x1": _picture(40, 1, 3)}.items():
        model = "gray" if picture.ndim == 2 else "photo"
        seeds.append(Seed(f"local {name}", api.encode(picture, model=model, engine="numpy")))
    seeds.append(Seed("local rgba", api.encode_picture(made["rgba"], model="photo", engine="numpy")))
    return [*seeds, _webp(rgb), _adapted("photo", rgb), _adapted("gray", gray[:, :, None])]


def _picture(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Smooth with a little noise, so that a model beats raw pixels."""
    y, x, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng([height, width, channels]).integers(-1, 2, y.shape)
    pixels = (96 + 64 * np.sin(x / 9 + c) + 64 * np.cos(y / 7) + noise).clip(0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def _webp(pixels: NDArray[np.uint8]) -> Seed:
    return _seed("webp", pixels, container.Part(3, container.WEBP), parts.webp(pixels, 4, 75))


def _adapted(name: str, pixels: NDArray[np.uint8]) -> Seed:
    model = zoo.load(name)
    adjustments = np.random.default_rng(2).integers(-2, 3, model.bias_count).astype(np.int8)
    coded = parts._encode_local(model, pixels, parts.Options(name, 5, "numpy", "sheared"), adjustments)
    return _seed(f"adapted {name}", pixels, coded.part, coded.payload)


def _seed(name: str, pixels: NDArray[np.uint8], part: container.Part, payload: bytes) -> Seed:
    height, width, channels = pixels.shape
    header = container.Header(height, width, 2 if channels == 3 else 0, 8, (part,), crc32c(pixels))
    return Seed(name, container.pack(header, [payload]))
