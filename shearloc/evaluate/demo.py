"""Draws the picture of `shearloc demo`, and measures other codecs on it."""

import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .peers import peers, same_pixels

HEIGHT, WIDTH = 256, 384
SHOWN = ("PNG level 9", "WebP lossless method 6", "JPEG XL effort 7")
"""Other codecs, as `peers.peers` calls them."""


def picture() -> NDArray[np.uint8]:
    """uint8 [256, 384, 3]: hills under a sky, with the texture and the noise of a photograph."""
    draw = np.random.default_rng(7)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    sky = np.stack([150 - 0.25 * y, 180 - 0.18 * y, 225 - 0.1 * y], axis=2)
    sky += 30 * (_clouds(draw, 4) - 0.5)[..., None]
    for k, colour in enumerate(((96, 108, 104), (74, 88, 62), (52, 66, 38))):
        ridge = 90 + 45 * k + 22 * np.sin(x[0] / (31 - 6 * k) + 2 * k) + 12 * np.sin(x[0] / (11 + k))
        grass = _blurred(draw.normal(0, 0.3, (HEIGHT, WIDTH)), 1)
        light = 0.65 + 0.7 * _clouds(draw, 6) * (y / HEIGHT) + grass
        hill = np.array(colour) * light[..., None]
        cover = 1 / (1 + np.exp(np.clip(ridge - y, -30, 30)))[..., None]
        sky = cover * hill + (1 - cover) * sky
    noise = _blurred(0.7 * draw.normal(0, 1, (HEIGHT, WIDTH, 1)) + 0.3 * draw.normal(0, 1, sky.shape), 2)
    pixels: NDArray[np.uint8] = np.rint(sky + noise / noise.std()).clip(0, 255).astype(np.uint8)
    return pixels


def compare(pixels: NDArray[np.uint8]) -> list[tuple[str, int, float, float]]:
    """Name, bytes, and seconds to encode and decode, of each installed codec that gives the picture back."""
    found = []
    for name, codec in peers().items():
        if name.removesuffix(" (Pillow)") in SHOWN:
            start = time.perf_counter()
            data = codec.encode(pixels)
            middle = time.perf_counter()
            if same_pixels(codec.decode(data), pixels):
                found.append((name, len(data), middle - start, time.perf_counter() - middle))
    return found


def _blurred(values: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Mixes each place with its neighbours, as in a sensor's colours."""
    for _ in range(times):
        for axis in (0, 1):
            values = (np.roll(values, 1, axis) + 2 * values + np.roll(values, -1, axis)) / 4
    return values


def _clouds(draw: np.random.Generator, octaves: int) -> NDArray[np.float64]:
    """Noise of several scales, about 0 to 1, [HEIGHT, WIDTH]."""
    total = np.zeros((HEIGHT, WIDTH))
    for k in range(octaves):
        small = draw.random((2 << k, 3 << k)).astype(np.float32)
        total += np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 2**k
    return total / 2
