"""Images to the streams of a shard: small images of one shape together as archives, others as `.shl` files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ShearlocError
from . import models
from .options import Encoding
from .sources import Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codec.pictures.picture import Picture

ARCHIVE_SAMPLES = 64 * 28 * 28
"""Subpixels of an archive at most: 64 images of MNIST, 16 of CIFAR-10. More would save up to 1% of the bytes (an
autoencoder's; 0.2% a local model's), but one image takes the decoding of all: 40 ms here, on one core."""
SMALL = ARCHIVE_SAMPLES // 2
"""An image of more subpixels is a stream of its own."""
QUICK_EFFORT = 4
"""Most images of a shape that are coded singly, too, to see what is smaller."""

_ALONE = ""
"""Stands for a model's name where images of this shape are smaller as streams of their own."""


class Failures:
    """Images that are missing, by the reason."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, item: Item, error: Exception) -> None:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "not enough memory"
        # A reason that names the file does not name it twice.
        self._names.setdefault(" ".join(text.removeprefix(f"{item.path}: ").split()), []).append(
            item.path if item.kind == "file" else f"{item.path} '{item.name}'"
        )

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{span(names)}: {reason}" for reason, names in self._names.items())


def span(names: list[str]) -> str:
    """The first of several and the last, and how many there are."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names):,} images)"


@dataclass(frozen=True)
class _Image:
    item: Item
    picture: "Picture"


class Packer:
    """Codes images as they come: small ones of one shape together, all others by themselves."""

    def __init__(self, how: Encoding, failures: Failures) -> None:
        self.images = 0
        self._how = how
        self._failures = failures
        self._waiting: dict[tuple[int, ...], list[_Image]] = {}
        self._models: dict[tuple[int, ...], str] = {}

    def add(self, item: Item, picture: "Picture") -> Iterator[tuple[list[str], bytes]]:
        """Takes an image. Returns the streams that it completes: names and bytes."""
        image, shape = _Image(item, picture), picture.samples.shape
        if picture.mode not in ("8-bit gray", "8-bit RGB") or picture.chunks or picture.samples.size > SMALL:
            yield from self._single(image)
            return
        waiting = self._waiting.setdefault(shape, [])
        waiting.append(image)
        if len(waiting) == ARCHIVE_SAMPLES // picture.samples.size:
            yield from self._archive(self._waiting.pop(shape))

    def finish(self) -> Iterator[tuple[list[str], bytes]]:
        """The streams of the images that still wait for others."""
        while self._waiting:
            yield from self._archive(self._waiting.popitem()[1])

    def _single(self, image: _Image) -> Iterator[tuple[list[str], bytes]]:
        try:
            data = encode_single(image.picture, self._how)
        except (ShearlocError, OSError, MemoryError) as error:
            self._failures.add(image.item, error)
            return
        yield self._done([image], data)

    def _archive(self, images: list[_Image]) -> Iterator[tuple[list[str], bytes]]:
        import numpy as np

        pixels = np.stack([image.picture.samples for image in images])
        shape = pixels.shape[1:]
        try:
            if shape not in self._models:
                self._models[shape] = _choose(pixels, self._how)
            alone = self._models[shape] == _ALONE
            data = b"" if alone else _encode_archive(pixels, self._models[shape], self._how)
        except (ShearlocError, MemoryError) as error:
            for image in images:
                self._failures.add(image.item, error)
            return
        if alone:
            for image in images:
                yield from self._single(image)
        else:
            yield self._done(images, data)

    def _done(self, images: list[_Image], data: bytes) -> tuple[list[str], bytes]:
        self.images += len(images)
        return [image.item.name for image in images], data


def encode_single(picture: "Picture", how: Encoding) -> bytes:
    """A `.shl` file, verified as `how` says."""
    from ..codec import api

    # Some models are for archives only.
    model = "auto" if how.model == "raw" or models.makes_archives(how.model) else how.model
    data = api.encode_picture(picture, model=model, effort=how.effort, engine=how.engine)
    if how.verify:
        decode = partial(api.decode_picture, data, engine=how.verify, max_samples=picture.samples.nbytes)
        models.check(lambda: decode() == picture, "stream", "image", how.verify)
    return data


def _encode_archive(images: "NDArray[np.uint8]", model: str, how: Encoding) -> bytes:
    """An archive without names, verified as `how` says."""
    import numpy as np

    from ..codec import archive

    data = archive.encode_images(images, model=model, effort=how.effort, engine=how.engine)
    if how.verify:
        decode = partial(archive.decode_images, data, engine=how.verify)
        models.check(lambda: np.array_equal(decode()[0], images), "archive", "images", how.verify)
    return data


def _choose(images: "NDArray[np.uint8]", how: Encoding) -> str:
    """The model for archives of a shape, judged by its first images; `_ALONE` where `.shl` files are smaller."""
    from ..codec import archive
    from ..codec.info import archive_info

    if how.model != "auto":
        return how.model
    if len(images) == 1:
        return _ALONE
    together = archive.encode_images(images, engine=how.engine)
    quick = replace(how, effort=min(how.effort, QUICK_EFFORT), verify=None)
    if sum(len(encode_single(_picture(image), quick)) for image in images) < len(together):
        return _ALONE
    return archive_info(together).model or "raw"


def _picture(image: "NDArray[Any]") -> "Picture":
    from ..codec.pictures.picture import from_array

    return from_array(image)
