"""Other lossless codecs as pairs of one kind, encode and decode, for `bench` to measure beside ours.

Each has the settings that people use when they want few bytes, and codes with one thread. They come from imagecodecs
(`pip install imagecodecs`) or, without it, from Pillow as far as Pillow has them. Nothing here promises that a codec
is lossless: `bench` compares the pixels.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..types import Pixels

INSTALL = "pip install imagecodecs"


@dataclass(frozen=True)
class Codec:
    """`encode`: uint8 [H, W] or [H, W, 3] to a whole file; `decode`: back. Codecs without gray give [H, W, 3]."""

    encode: Callable[[Pixels], bytes | bytearray]
    decode: Callable[[bytes | bytearray], Pixels]


JPEG_XL_EFFORTS = (1, 3, 5, 7, 9)
NAMES = (
    "PNG level 9",
    "QOI",
    "WebP lossless method 6",
    "JPEG-LS",
    "JPEG 2000",
    "AVIF lossless",
    *(f"JPEG XL effort {effort}" for effort in JPEG_XL_EFFORTS),
)
"""The codecs of a full installation."""


def peers() -> dict[str, Codec]:
    """The installed codecs by the names of `NAMES`, with " (Pillow)" added to Pillow's."""
    found = _of_imagecodecs()
    others = {name: codec for name, codec in _of_pillow().items() if name not in found}
    return found | {f"{name} (Pillow)": codec for name, codec in others.items()}


def missing_peers() -> list[str]:
    """Those of `NAMES` that are not installed at all."""
    here = {name.removesuffix(" (Pillow)") for name in peers()}
    return [name for name in NAMES if name not in here]


def same_pixels(back: Pixels, pixels: Pixels) -> bool:
    """Whether decoding gave the image back: gray as three equal channels counts, any other difference does not."""
    if pixels.ndim == 2 and back.ndim == 3:
        pixels = _as_rgb(pixels)
    return np.array_equal(back, pixels)


def library_versions() -> list[str]:
    """Names and versions of the libraries behind imagecodecs, such as "libjxl 0.11.2"; none without it."""
    codecs = _imagecodecs()
    names = ("png", "webp", "jpegxl", "jpegls", "jpeg2k", "avif", "qoi")
    return [str(getattr(codecs, f"{name}_version")()) for name in names if codecs and _has(codecs, name)]


def _imagecodecs() -> ModuleType | None:
    try:
        import imagecodecs
    except ImportError:
        return None
    module: ModuleType = imagecodecs
    return module


def _has(codecs: ModuleType, name: str) -> bool:
    """Whether this build of imagecodecs has a codec."""
    return bool(getattr(getattr(codecs, name.upper(), None), "available", False))


def _of_imagecodecs() -> dict[str, Codec]:
    codecs = _imagecodecs()
    if codecs is None:
        return {}

    def pair(name: str, colour_only: bool = False, threads: bool = False, **settings: Any) -> Codec:
        encode, decode = getattr(codecs, f"{name}_encode"), getattr(codecs, f"{name}_decode")
        one = {"numthreads": 1} if threads else {}
        prepare = _as_rgb if colour_only else np.ascontiguousarray
        return Codec(lambda pixels: encode(prepare(pixels), **settings, **one), lambda data: decode(data, **one))

    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "PNG level 9": ("png", {"level": 9}),
        "QOI": ("qoi", {"colour_only": True}),
        "WebP lossless method 6": ("webp", {"colour_only": True, "level": 100, "lossless": True, "method": 6}),
        "JPEG-LS": ("jpegls", {"level": 0}),
        "JPEG 2000": ("jpeg2k", {"threads": True, "reversible": True, "mct": True}),
        "AVIF lossless": ("avif", {"threads": True, "level": 100, "pixelformat": "444", "speed": 6}),
    }
    for effort in JPEG_XL_EFFORTS:
        settings[f"JPEG XL effort {effort}"] = ("jpegxl", {"threads": True, "lossless": True, "effort": effort})
    return {name: pair(codec, **how) for name, (codec, how) in settings.items() if _has(codecs, codec)}


def _of_pillow() -> dict[str, Codec]:
    from PIL import Image, features

    def pair(kind: str, **settings: Any) -> Codec:
        def encode(pixels: Pixels) -> bytes:
            with io.BytesIO() as file:
                Image.fromarray(pixels).save(file, kind, **settings)
                return file.getvalue()

        def decode(data: bytes | bytearray) -> Pixels:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image)

        return Codec(encode, decode)

    found = {"PNG level 9": pair("PNG", compress_level=9)}
    if features.check("webp"):
        found["WebP lossless method 6"] = pair("WEBP", lossless=True, quality=100, method=6)
    if features.check("jpg_2000"):
        found["JPEG 2000"] = pair("JPEG2000", irreversible=False)
    return found  # no AVIF: Pillow codes that in YCbCr only, which loses a little of most colours


def _as_rgb(pixels: Pixels) -> Pixels:
    """Gray as three equal channels, which cost next to nothing."""
    return np.ascontiguousarray(np.repeat(pixels[:, :, None], 3, 2) if pixels.ndim == 2 else pixels)
