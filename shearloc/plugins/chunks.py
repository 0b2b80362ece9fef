"""Encodes chunks of arrays as `.shl` files and archives, for `numcodecs.py` and `zarr.py`.

It decides which axes of a chunk are a picture's, and imports neither library.
"""

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import api, archive
from ..codec.formats.container import MAX_SAMPLES
from ..codec.parts import EFFORTS
from ..errors import CorruptError, ShearlocError, UnsupportedImageError
from ..models import defaults, zoo

CHANNELS = ("auto", "last", "none")
_LAST_OF = {"auto": (1, 3, 4), "last": (1, 2, 3, 4), "none": ()}
"""Lengths of a last axis that is taken for channels."""


def check_options(model: Any, effort: Any, channels: Any) -> None:
    """ShearlocError for options that no chunk can be coded with."""
    if not isinstance(model, str):
        raise ShearlocError(f"model is a name that `shearloc models` lists, a file's path, or 'auto', not {model!r}")
    if model.endswith(zoo.SUFFIX):
        zoo.lend(model)  # chunks that were coded with it are decoded with it
    if effort not in EFFORTS:
        raise ShearlocError(f"effort is a whole number from 1 to 9, not {effort!r}")
    if channels not in CHANNELS:
        raise ShearlocError(f"channels is one of {', '.join(CHANNELS)}, not {channels!r}")


def check(dtype: np.dtype[Any], shape: tuple[int, ...], channels: str) -> None:
    """UnsupportedImageError for chunks that the codec does not take."""
    if dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnsupportedImageError(f"chunks of {dtype} are not stored by shearloc: use uint8 or uint16")
    stack_shape(shape, channels)


def stack_shape(shape: tuple[int, ...], channels: str) -> tuple[int, int, int, int]:
    """A chunk's shape as images, height, width, channels: the last axes are a picture's, all others count images.

    `channels` says whether the last axis is one of channels: "none", never; "last", always; "auto", if its length is
    1, 3 or 4 and two other axes come before it. UnsupportedImageError where that does not fit.
    """
    coloured = len(shape) > 2 and shape[-1] in _LAST_OF[channels]
    if len(shape) < 2 or (channels == "last" and not coloured):
        wanted = "at least 3 axes, the last one of 1 to 4 channels" if channels == "last" else "at least 2 axes"
        raise UnsupportedImageError(f"chunks of shape {shape} are not stored by shearloc: they need {wanted}")
    *images, height, width, depth = shape if coloured else (*shape, 1)
    return math.prod(images), height, width, depth


def encode(chunk: NDArray[Any], model: str, effort: int, channels: str) -> bytes:
    """A chunk, uint8 or uint16 of any shape that `stack_shape` takes, as a `.shl` file or, for several 8-bit images, an
    archive. Several images of 16 bits, or with alpha, are one picture, one below the other.

    Errors as `check` and `api.encode`.
    """
    check(chunk.dtype, chunk.shape, channels)
    count, height, width, depth = stack_shape(chunk.shape, channels)
    native = np.ascontiguousarray(chunk, chunk.dtype.newbyteorder("="))
    with _alone():
        if count > 1 and native.dtype == np.uint8 and depth in defaults.STATIC:
            name = defaults.STATIC[depth] if model == "auto" else model
            return archive.encode_images(native.reshape(count, height, width, depth), model=name, effort=effort)
        shape = (count * height, width) if depth == 1 else (count * height, width, depth)
        return api.encode(native.reshape(shape), model=model, effort=effort)


def decode(data: bytes, max_samples: int = MAX_SAMPLES) -> NDArray[Any]:
    """The samples of a chunk, C-contiguous, in the shape that `encode` coded. Errors as `api.decode`."""
    with _alone():
        if archive.is_archive(data):
            return archive.decode_images(data, max_samples=max_samples)[0]
        return np.ascontiguousarray(api.decode(data, max_samples=max_samples))


def decode_as(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`decode`, as an array of that type and shape. CorruptError for a chunk of another."""
    samples = decode(data, math.prod(shape) * dtype.itemsize)
    if samples.size != math.prod(shape) or samples.dtype != dtype.newbyteorder("="):
        raise CorruptError(
            f"the chunk holds {samples.size} samples of {samples.dtype}, not {math.prod(shape)} of {dtype}"
        )
    return samples.reshape(shape).astype(dtype, copy=False)


def _alone() -> AbstractContextManager[None]:
    """Limits a chunk to one processor: those who read many chunks have a thread for each."""
    from ..nets.engines import at_most

    return at_most(1)
