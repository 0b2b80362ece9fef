"""Other lossless codecs, by imagecodecs, as `rates` and `speed` measure them beside ours.

Not a comparison of every setting: each peer has one, its strongest usual one, and codes with one thread.
imagecodecs comes with `pip install "shearloc[bench]"`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ShearlocError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Peer:
    """A codec at one setting. `encode`: uint8 [H, W] or [H, W, 3] to a whole file; `decode`: back."""

    encode: Callable[[Pixels], bytes | bytearray]
    decode: Callable[[bytes | bytearray], Pixels]


def peers() -> dict[str, Peer]:
    """The peers by the name that tables and JSON give them. ShearlocError if imagecodecs is not installed."""
    try:
        import imagecodecs
    except ImportError as error:
        raise ShearlocError('the other codecs need imagecodecs: pip install "shearloc[bench]"') from error

    def jpeg_xl(effort: int) -> Peer:
        return Peer(
            lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True, effort=effort, numthreads=1),
            lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
        )

    return {
        "PNG level 9": Peer(lambda pixels: imagecodecs.png_encode(pixels, level=9), imagecodecs.png_decode),
        "WebP lossless method 6": Peer(
            lambda pixels: imagecodecs.webp_encode(_as_rgb(pixels), level=100, lossless=True, method=6, numthreads=1),
            imagecodecs.webp_decode,
        ),
        "JPEG XL effort 7": jpeg_xl(7),
        "JPEG XL effort 9": jpeg_xl(9),
    }


def library_versions() -> list[str]:
    """Names and versions of the libraries the peers are, such as "libjxl 0.11.2"; none without imagecodecs."""
    try:
        import imagecodecs
    except ImportError:
        return []
    return [imagecodecs.png_version(), imagecodecs.webp_version(), imagecodecs.jpegxl_version()]


def _as_rgb(pixels: Pixels) -> Pixels:
    """WebP knows no gray; it codes three equal channels at next to no cost."""
    return np.repeat(pixels[:, :, None], 3, 2) if pixels.ndim == 2 else pixels
