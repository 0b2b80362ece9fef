"""A collection as people read it: any image by name or number, decoded when asked for.

`archive.py` and `api.py` decode the streams; `jobs/` decides which images go into which shard, and packs them.
"""

import operator
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np

from ...errors import CorruptError, FormatError, ShearlocError
from ...models import zoo
from ...types import Samples
from .. import api, archive
from ..formats.container import MAX_SAMPLES
from ..pictures.picture import Picture, from_array
from .cache import Cache
from .index import Entry, Index
from .names import shown
from .places import open_file, read_at
from .shards import Stream, read_shard, shard_name, stream_checksum

CACHE_BYTES = 1 << 26
"""Bytes of decoded images that a `Collection` keeps by default."""

Default = TypeVar("Default")


class Collection:
    """The images of a folder that `shearloc pack` wrote, read one at a time: `collection[name]`, `collection[number]`.

    Images are numbered in the order of their names' code points; negative numbers and slices work as in a list. To read
    one image, the collection decodes its stream (a few dozen small images, or one large one) and keeps up to
    `cache_bytes` of decoded images. Files are open only while they are read, so a collection may be pickled, forked and
    used by several threads.

    Iterating yields the images in order, `items()` names and images. `in` and `keys()` are about names, as in a
    dictionary, so that `dict(collection)` works.

    `model`: the file of a model that the images need and that is not installed. `engine` and `max_samples` as in
    `shearloc.decode`. Raises OSError, FormatError, CorruptError; ValueError for `cache_bytes` below 0.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        max_samples: int = MAX_SAMPLES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the head of the index."""
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes is 0 or more, not {cache_bytes}")
        self.path = Path(path)
        self._options = (model, engine, max_samples, cache_bytes)
        if model is not None:
            zoo.lend(os.fspath(model))
        self._index = Index(self.path)
        self._decoded: Cache[Stream, Any] = Cache(cache_bytes, _bytes_of)
        self._lock = threading.Lock()
        self._sound: dict[int, bool] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles where it is and how it is read; nothing that is open or cached."""
        return _reopen, (self.path, *self._options)

    def __repr__(self) -> str:
        """Where it is, and how many images it has."""
        return f"Collection('{self.path}', {len(self):,} image{'s' if len(self) != 1 else ''})"

    def __len__(self) -> int:
        """How many images there are."""
        return self._index.images

    def __iter__(self) -> Iterator[Samples]:
        """The images, in the order of their names."""
        return (self[k] for k in range(len(self)))

    def __reversed__(self) -> Iterator[Samples]:
        """The images, last name first."""
        return (self[k] for k in reversed(range(len(self))))

    def __contains__(self, name: object) -> bool:
        """Whether there is an image of this name."""
        if not isinstance(name, str):
            return False
        try:
            self._index.entry(name)
        except KeyError:
            return False
        return True

    @overload
    def __getitem__(self, key: str | SupportsIndex) -> Samples: ...

    @overload
    def __getitem__(self, key: slice) -> list[Samples]: ...

    def __getitem__(self, key: str | SupportsIndex | slice) -> Samples | list[Samples]:
        """An image by name or number, as an array of its own: uint8 or uint16 [H, W] or [H, W, C]; for a slice, a list.

        Raises KeyError for an unknown name, IndexError for a number out of range, OSError, CorruptError,
        UnknownModelError.
        """
        if isinstance(key, slice):
            return self.read_many(range(*key.indices(len(self))))
        return self._array(self.entry(key))

    def get(self, name: str, default: Default | None = None) -> Samples | Default | None:
        """The image of a name, or `default` if there is none. Otherwise raises as `[]`."""
        try:
            return self[name]
        except KeyError:
            return default

    def read_many(self, keys: Iterable[str | SupportsIndex]) -> list[Samples]:
        """The images of these names or numbers, in this order; each stream is decoded once. Raises as `[]`."""
        entries = [self.entry(key) for key in keys]
        order = sorted(range(len(entries)), key=lambda k: (entries[k].stream.shard, entries[k].stream.offset))
        images: dict[int, Samples] = {k: self._array(entries[k]) for k in order}
        return [images[k] for k in range(len(entries))]

    def picture(self, key: str | SupportsIndex | Entry) -> Picture:
        """The image of a name, number or entry with its palette and metadata. Raises as `[]`."""
        entry = key if isinstance(key, Entry) else self.entry(key)
        found: Picture = _image_of(self._images_of(entry), entry.position, array=False)
        return replace(found, samples=found.samples.copy())  # the decoded images are kept for the next one

    @property
    def names(self) -> list[str]:
        """The names of all images, in order."""
        return [name for number in range(self._index.block_count) for name in self._index.block(number).names]

    def keys(self) -> list[str]:
        """The names of all images, in order: what a dictionary calls its keys."""
        return self.names

    def values(self) -> Iterator[Samples]:
        """The images, in the order of their names."""
        return iter(self)

    def items(self) -> Iterator[tuple[str, Samples]]:
        """Names and images, in the order of the names."""
        return ((entry.name, self._array(entry)) for entry in self.entries())

    def entries(self) -> Iterator[Entry]:
        """All entries of the index, by name."""
        return self._index.entries()

    def entry(self, key: str | SupportsIndex) -> Entry:
        """The index's entry for an image's name or number. Raises KeyError, IndexError, CorruptError."""
        if isinstance(key, str):
            return self._index.entry(key)
        number = operator.index(key)
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.path} has {len(self)} images, none is number {number}")
        return self._index.entry(number % len(self))

    def _array(self, entry: Entry) -> Samples:
        return np.array(_image_of(self._images_of(entry), entry.position, array=True))

    def _images_of(self, entry: Entry) -> Any:
        """All images of an entry's stream: uint8 [N, H, W] or [N, H, W, 3], or a Picture.

        Raises OSError, CorruptError, UnknownModelError, UnsupportedImageError.
        """
        try:
            return self._decoded.get(entry.stream, lambda: self._decode(entry.stream))
        except (CorruptError, FormatError) as error:
            path = self.path / shard_name(entry.stream.shard)
            raise CorruptError(f"{path}: image {shown(entry.name)} cannot be read: {error}") from error

    def _decode(self, stream: Stream) -> Any:
        _, engine, max_samples, _ = self._options
        data = self._bytes_in(stream)
        if archive.is_archive(data):
            return archive.decode_images(data, engine=engine, max_samples=max_samples)[0]
        return api.decode_picture(data, engine=engine, max_samples=max_samples)

    def _bytes_in(self, stream: Stream) -> bytes:
        path = self.path / shard_name(stream.shard)
        try:
            with open_file(path) as file:
                data = read_at(file, stream.offset, stream.length)
        except FileNotFoundError:
            raise CorruptError("the shard is missing") from None
        if len(data) == stream.length and stream_checksum(data) == stream.checksum:
            return data
        with self._lock:
            if stream.shard not in self._sound:
                self._sound[stream.shard] = _is_sound(path)
            sound = self._sound[stream.shard]
        if not sound:
            raise CorruptError(f"the shard is {'cut short' if len(data) < stream.length else 'damaged'}")
        raise CorruptError(
            f"the index disagrees with the shard, which is sound; `shearloc reindex {self.path}` makes a new index"
        )


def _reopen(
    path: Path, model: str | os.PathLike[str] | None, engine: str, max_samples: int, cache_bytes: int
) -> Collection:
    return Collection(path, model=model, engine=engine, max_samples=max_samples, cache_bytes=cache_bytes)


def _is_sound(path: Path) -> bool:
    try:
        return not read_shard(path).problems
    except ShearlocError:
        return False


def _image_of(images: Any, position: int, array: bool) -> Any:
    """One of a stream's images, as an array or as a picture."""
    count = 1 if isinstance(images, Picture) else len(images)
    if not 0 <= position < count:
        raise CorruptError(f"the index disagrees with a shard: image {position} of a stream that has {count}")
    if isinstance(images, Picture):
        return images.array() if array else images
    return images[position] if array else from_array(images[position])


def _bytes_of(images: Any) -> int:
    return int(images.samples.nbytes if isinstance(images, Picture) else images.nbytes)
