"""Code lengths of many images of one size under a model, and samples of a model: no files.

Lengths come of the encoder's own kernels, chunk by chunk on all processors, and cost what encoding costs at most.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ShearlocError, UnsupportedImageError
from ..models import orientation, zoo
from ..models.family import How, Lengths, Model
from ..types import Pixels, Progress
from .archive import as_images, check_steps
from .formats.archive_header import most_images
from .threads import side_by_side

SIDE = 64
"""Height and width of samples of a model that has any size."""
MOST_SAMPLES = 1 << 28
"""Subpixels to sample at a time at most."""


def code_lengths(
    images: Pixels,
    model: str,
    *,
    steps: int = 0,
    draws: int = 1,
    engine: str = "auto",
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Bits of each image of uint8 [N, H, W] or [N, H, W, C] in 2^-16, int64 [N]. As `api.code_lengths`."""
    pixels, coder, how = prepared(images, model, steps, engine, draws)
    found = np.empty(len(pixels), np.int64)

    def keep(part: slice, lengths: Lengths) -> None:
        found[part] = lengths.images

    _measure(coder, pixels, how, keep, progress)
    return found


def length_map(image: Pixels, model: str, *, steps: int = 0, engine: str = "auto", way: int = 0) -> Lengths:
    """Code lengths of every subpixel of uint8 [H, W] or [H, W, C], as images [1, H, W, C]. Errors as `code_lengths`.

    `way`: the orientation in which it is coded.
    """
    pixels, coder, how = prepared(image[None], model, steps, engine)
    lengths = coder.lengths(orientation.laid(pixels, way), how)
    return replace(lengths, pixels=orientation.picked_up(lengths.pixels, way))


def sample(model: str, size: tuple[int, int] | None, count: int = 1, *, seed: int = 0, engine: str = "auto") -> Pixels:
    """uint8 [count, H, W, C] decoded from pseudo-random words: the same on every machine and with every engine.

    `size`: H and W; None for those that the model has, or 64 x 64. `seed` from 0 to 2^64 - 1. ValueError for another
    seed, ShearlocError for a size that the model does not have or more than 2^28 subpixels, UnknownModelError.
    """
    coder = zoo.load(model)
    height, width = coder.size or (SIDE, SIDE) if size is None else size
    samples = count * height * width * coder.channels
    if min(height, width, count) < 1 or samples > MOST_SAMPLES:
        raise ShearlocError(f"{count} samples of {height} x {width}: from 1 to {MOST_SAMPLES} subpixels can be sampled")
    return coder.sample((count, height, width), seed, How(coder.engine_for(engine, samples)))


def is_binary(model: str, shape: tuple[int, ...]) -> bool:
    """Whether a model codes images [H, W, C] of values 0 and 1 only. UnknownModelError."""
    coder = zoo.load(model)
    return coder.refuses(shape, 2) is None and coder.refuses(shape, 3) is not None


def prepared(images: Pixels, model: str, steps: int, engine: str, draws: int = 1) -> tuple[Pixels, Model, How]:
    """Images as [N, H, W, C], the model, and how to measure them.

    UnsupportedImageError for images that the model refuses, ShearlocError for steps that do nothing, ValueError for bad
    ones, UnknownModelError.
    """
    pixels, coder = as_images(images), zoo.load(model)
    check_steps(steps)
    if draws < 1:
        raise ValueError(f"the latents are drawn once or more often, not {draws} times")
    if "steps" not in coder.family.options:
        if steps:
            raise ShearlocError(f"model '{model}' has no steps of optimal inference: leave out steps (--steps)")
        if draws > 1:
            raise ShearlocError(f"model '{model}' has no latents to draw: leave out draws")
    shape = pixels.shape[1:]
    if coder.refuses(shape) and (problem := coder.refuses(shape, int(pixels.max()) + 1)):
        raise UnsupportedImageError(problem)
    return pixels, coder, How(coder.engine_for(engine, pixels.size), steps=steps, draws=draws)


def _measure(
    coder: Model, pixels: Pixels, how: How, keep: Callable[[slice, Lengths], None], progress: Progress | None
) -> None:
    """Calls `keep` with the lengths of every chunk's images."""
    count, shape = len(pixels), pixels.shape[1:]
    most = max(1, min(coder.family.chunk_samples // pixels[0].size, most_images(coder.family, shape)))
    parts = [slice(start, start + most) for start in range(0, count, most)]
    threads = coder.at_once((most, *shape[:2]), how.engine, len(parts))

    def work(k: int) -> None:
        keep(parts[k], coder.lengths(pixels[parts[k]], how))

    side_by_side(work, len(parts), threads, how.engine, progress)
