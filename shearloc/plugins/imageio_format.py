"""The format `.shl` for imageio's version 3: pictures of all kinds as arrays, and archives as batches of images.

`imageio.py` has imageio import this file when it is needed.
"""

import operator
from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import Any

import numpy as np
from imageio.core.request import InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3

from ..codec import api
from ..codec.info import ArchiveInfo, Info
from ..types import Samples
from . import SIGNATURES

Index = int | EllipsisType | None


class ShearlocPlugin(PluginV3):
    """A `.shl` file. `index` is an image's number; None or `...` means all."""

    def __init__(self, request: Request) -> None:
        """InitializationError for a file to read that begins otherwise, or one to write that is not to be `.shl`."""
        super().__init__(request)
        reading = request.mode.io_mode == IOMode.read
        if reading and not request.firstbytes.startswith(SIGNATURES):
            raise InitializationError("the file is not one of Shearloc's")
        if not reading and request.extension != ".shl":
            raise InitializationError("Shearloc writes files that end in .shl")
        self._data = request.get_file().read() if reading else b""

    def read(self, *, index: Index = None, **options: Any) -> Samples:
        """An image, or several along a first axis. Options and errors are those of `shearloc.decode`."""
        is_archive, count = self._kind()
        number = _number(index, count)
        found = api.decode(self._data, **options)
        if is_archive:
            return found if number is None else found[number]
        return found[None] if index is ... else found

    def iter(self, **options: Any) -> Iterator[Samples]:
        """The images, one after another. Options and errors are those of `shearloc.decode`."""
        found = api.decode(self._data, **options)
        yield from found if self._kind()[0] else [found]

    def write(self, ndimage: Any, *, is_batch: bool = False, **options: Any) -> bytes | None:
        """Write a picture, or of a list or with `is_batch` an archive of images of 8 bits; bytes to "<bytes>".

        Options and errors are those of `shearloc.encode` and `shearloc.encode_images`.
        """
        if is_batch or isinstance(ndimage, list | tuple):
            data = api.encode_images(_batch(ndimage), **options)
        else:
            data = api.encode(np.asarray(ndimage), **options)
        self.request.get_file().write(data)
        return data if self.request.raw_uri == "<bytes>" else None

    def properties(self, index: Index = None) -> ImageProperties:
        """Of what `read` gives for this index, without decoding."""
        found = api.info(self._data)
        is_archive, count = self._kind()
        shape = _shape(found)
        batch = _number(index, count) is None and (is_archive or index is ...)
        return ImageProperties(
            shape=(count, *shape) if batch else shape,
            dtype=np.dtype(np.uint16 if found.bit_depth == 16 else np.uint8),
            n_images=count if batch else None,
            is_batch=batch,
        )

    def metadata(self, index: Index = None, exclude_applied: bool = True) -> dict[str, Any]:
        """What `shearloc.info` says of the whole file."""
        return api.info(self._data).to_dict()

    def _kind(self) -> tuple[bool, int]:
        """Whether the file is an archive, and how many images it has."""
        found = api.info(self._data)
        return (True, found.count) if isinstance(found, ArchiveInfo) else (False, 1)


def _number(index: Index, count: int) -> int | None:
    """The number of the image that is asked for, None for all. ValueError, as imageio wants it, where there is none."""
    if index is None or index is ...:
        return None
    number = operator.index(index)
    if not 0 <= number < count:
        raise ValueError(f"there is no image {number}: the file has {count}")
    return number


def _batch(images: Sequence[Any] | Samples) -> Samples:
    """Images of one size as one array."""
    return images if isinstance(images, np.ndarray) else np.stack([np.asarray(image) for image in images])


def _shape(found: Info) -> tuple[int, ...]:
    return (found.height, found.width) if found.channels == 1 else (found.height, found.width, found.channels)
