"""Pictures, as jobs use them: from the bytes of image files, to files, and through the codec."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnsupportedImageError
from . import inout
from .options import Decoding, Encoding, Progress

if TYPE_CHECKING:
    from ..codec.pictures.picture import Picture


def describe(picture: "Picture") -> str:
    """Width, height and kind."""
    height, width = picture.samples.shape[:2]
    return f"{width} x {height} {picture.mode}"


def load(data: bytes, strip: bool) -> "Picture":
    """The picture in the bytes of an image file, without its metadata if `strip`."""
    from ..codec import archive
    from ..codec.formats import container
    from ..codec.pictures import files

    if not data:
        raise UnsupportedImageError("the file is empty")
    if data.startswith((container.MAGIC, archive.MAGIC)):
        raise UnsupportedImageError("is encoded already; `shearloc decode` restores what is in it")
    picture = files.parse(data)
    return picture.stripped() if strip else picture


def save(path: Path, picture: "Picture", suffix: str, source: Path, keep_time: bool = False) -> None:
    """Write an image file in the format of a suffix, complete or not at all, with the permissions of its source."""
    from ..codec.pictures import files

    with inout.writing(path, [source], keep_time) as file:
        files.write(file, picture, suffix)


def encode(picture: "Picture", how: Encoding, progress: Progress | None) -> bytes:
    """The bytes of a `.shl` file."""
    from ..codec import api

    return api.encode_picture(
        picture,
        model=how.model,
        effort=how.effort,
        engine=how.engine,
        order=how.order,
        embed=how.embed,
        progress=progress,
    )


def decode(data: bytes, how: Decoding, progress: Progress | None) -> "Picture":
    """The picture in the bytes of a `.shl` file."""
    from ..codec import api

    limit = how.max_samples or api.MAX_SAMPLES
    return api.decode_picture(data, engine=how.engine, order=how.order, max_samples=limit, progress=progress)
