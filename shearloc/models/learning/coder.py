"""Codes images of one size with a model that learns, by every engine.

`walk.py` does it with the engine `numba`; `plain.py` does the same with NumPy or torch, step by step.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...coding import lanes as stream
from ...coding import pseudorandom
from ...coding.lengths import code_lengths
from ...coding.message import Message
from ...errors import ShearlocError
from ...nets import barrier
from ...types import Pixels, Progress, Size
from ..wavefront.coder import Coder, measuring, popping
from ..wavefront.orders import shear, step_sizes, wavefront_positions
from ..wavefront.pixels import blank_pixels, surrounded
from . import plain
from .model import LearningModel
from .walk import Walk

Frequencies = tuple[NDArray[np.uint32], NDArray[np.uint32]]

ENGINES = ("numba", "numpy", "torch")


def chosen(engine: str) -> str:
    """The engine that `engine` means. ShearlocError for one that cannot learn."""
    if engine == "auto":
        return "numba"
    if engine not in ENGINES:
        raise ShearlocError(f"a model that learns has no engine '{engine}'; use --engine numba")
    return engine


def frequencies(model: LearningModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> Frequencies:
    """start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, N * H * W] in the sheared order."""
    pixels = surrounded(pixels)
    starts, freqs = (np.empty((model.channels, pixels[..., 0].size), np.uint32) for _ in range(2))
    lanes = _lanes(pixels.shape)
    for done, steps in _walk(model, pixels, lanes, engine, False, measuring(starts, freqs)):
        if progress:
            progress(done, steps)
    return starts, freqs


def encode_images(
    model: LearningModel, pixels: Pixels, engine: str, progress: Progress | None = None
) -> tuple[bytes, int]:
    """Payload and number of lanes for uint8 [N, H, W, C]."""
    intervals = frequencies(model, pixels, engine, progress)
    images, height, width, _ = pixels.shape
    message = Message.empty(_lanes(pixels.shape), shared=False)
    stream.push(message, *intervals, step_sizes(images, height, width, shear(model.offsets)))
    return message.to_bytes(), message.lanes


def decode_images(
    model: LearningModel, payload: bytes, lanes: int, size: Size, engine: str, progress: Progress | None = None
) -> Pixels:
    """The uint8 [N, H, W, C] of size (N, H, W) that `encode_images` coded. CorruptError if the payload is another."""
    stream.check_count(lanes, size[0] * size[1])
    message = Message.from_bytes(payload, lanes, shared=False)
    pixels = _popped(model, message, size, engine, progress)
    message.check_empty()
    return pixels


def lengths(model: LearningModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> NDArray[np.int64]:
    """Code length of every subpixel of uint8 [N, H, W, C] in 2^-16 bits, int64 of the same shape.

    Each image is coded without the others: what a model learns from one would shorten the next.
    """
    images, height, width, channels = pixels.shape
    places = wavefront_positions(1, height, width, shear(model.offsets))
    found = np.empty((images, channels, height * width), np.int64)
    for number, image in enumerate(pixels):
        freqs = frequencies(model, image[None], engine)[1]
        found[number][:, places] = [code_lengths(row) for row in freqs]
        if progress:
            progress(number + 1, images)
    return np.moveaxis(found.reshape(images, channels, height, width), 1, 3)


def sample(model: LearningModel, size: Size, seed: int, engine: str, progress: Progress | None = None) -> Pixels:
    """The uint8 [N, H, W, C] of size (N, H, W) that pseudo-random words decode to. It learns from what it draws."""
    images, height, width = size
    lanes = _lanes((*size, model.channels))
    sizes = step_sizes(images, height, width, shear(model.offsets))
    counts = stream.random_words(sizes, lanes, model.channels)
    return _popped(model, pseudorandom.message(seed, counts), size, engine, progress)


def _popped(model: LearningModel, message: Message, size: Size, engine: str, progress: Progress | None) -> Pixels:
    """Images popped from a message; they mean nothing where it ends dry."""
    pixels = blank_pixels((*size, model.channels))
    for done, steps in _walk(model, pixels, message.lanes, engine, True, popping(message)):
        if message.dry:
            break
        if progress:
            progress(done, steps)
    return pixels


def _lanes(shape: tuple[int, ...]) -> int:
    return stream.lane_count(shape[0] * shape[1], int(np.prod(shape)))


def _walk(
    model: LearningModel, pixels: Pixels, lanes: int, engine: str, decoding: bool, coder: Coder
) -> Iterator[tuple[int, int]]:
    """Decodes or measures all pixels; yields the number of steps done now and then."""
    if chosen(engine) == "numba":
        return Walk(model, pixels, lanes, barrier.most_parts(lanes)).run(decoding, coder)
    return plain.walk(model, pixels, lanes, engine, decoding, coder)
