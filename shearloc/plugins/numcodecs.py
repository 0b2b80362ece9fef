"""The codec "shearloc" for numcodecs, found by entry point; arrays of Zarr format 2 use it."""

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ndarray_copy

from ..codec.formats.container import MAX_SAMPLES
from ..errors import UnsupportedImageError
from . import chunks


class Shearloc(Codec):
    """Chunks of uint8 or uint16 (little-endian) in C order.

    `model`, `effort`: as in `shearloc.encode`; `channels`: which axes are a picture's (`chunks.stack_shape`).
    A decoded chunk has the same bytes in the same order; its axes before a picture's may have become one.
    """

    codec_id = "shearloc"

    def __init__(self, model: str = "auto", effort: int = 5, channels: str = "auto") -> None:
        chunks.check_options(model, effort, channels)
        self.model = model
        self.effort = effort
        self.channels = channels

    def encode(self, buf: Any) -> bytes:
        """A chunk to bytes. UnsupportedImageError for one that Shearloc does not store."""
        if isinstance(buf, np.ma.MaskedArray):
            raise UnsupportedImageError("the chunk is a masked array; store array.filled(value)")
        chunk = np.asarray(buf)
        if chunk.dtype == ">u2" or not chunk.flags.c_contiguous:
            raise UnsupportedImageError(
                "shearloc stores little-endian chunks in C order: make the array so (order='C', dtype '<u2' or 'u1')"
            )
        if chunk.size > MAX_SAMPLES:
            raise UnsupportedImageError(f"a chunk of {chunk.size} samples: decoding allows {MAX_SAMPLES}")
        return chunks.encode(chunk, self.model, self.effort, self.channels)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a chunk, also copied to `out` if given. Errors as `shearloc.decode`."""
        samples = chunks.decode(ensure_bytes(buf))
        return ndarray_copy(samples.astype(samples.dtype.newbyteorder("<"), copy=False), out)
