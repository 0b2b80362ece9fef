"""The codec "shearloc" for Zarr 3, which finds it by entry point: it takes the place of the serializer.

Chunks are encoded and decoded on the threads that Zarr's pool has.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from ..errors import ShearlocError
from . import chunks


@dataclass(frozen=True)
class ShearlocCodec(ArrayBytesCodec):
    """Chunks of uint8 or uint16.

    `model`, `effort`: as in `shearloc.encode`; `channels`: which axes are a picture's (`chunks.stack_shape`).
    """

    model: str = "auto"
    effort: int = 5
    channels: str = "auto"

    is_fixed_size = False

    def __post_init__(self) -> None:
        """Check the options, which may come from an array's metadata."""
        chunks.check_options(self.model, self.effort, self.channels)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ShearlocCodec":
        """The codec of an array's metadata. ShearlocError for options of a newer version."""
        options = data.get("configuration", {})
        if unknown := sorted(set(options) - set(asdict(cls()))):
            raise ShearlocError(f"the codec shearloc has no option {', '.join(unknown)}: get a newer one")
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """The codec as it stands in an array's metadata."""
        return {"name": "shearloc", "configuration": asdict(self)}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """UnsupportedImageError, when an array is created, if its chunks could not be stored."""
        chunks.check(dtype.to_native_dtype(), getattr(chunk_grid, "chunk_shape", shape), self.channels)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """NotImplementedError: the size is unknown before encoding, as with Zarr's compressors."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        chunk: Any = chunk_data.as_numpy_array()
        data = await asyncio.to_thread(chunks.encode, chunk, self.model, self.effort, self.channels)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = np.dtype(chunk_spec.dtype.to_native_dtype())
        chunk = await asyncio.to_thread(chunks.decode_as, chunk_data.to_bytes(), dtype, chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk)
