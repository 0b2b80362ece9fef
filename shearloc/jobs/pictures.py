"""Pictures, as jobs use them: from the bytes of image files, to files, and through the codec."""

from pathlib import Path
from typing import TYPE_CHECKING

from . import inout
from .options import Decoding, Encoding, Progress

if TYPE_CHECKING:
    from ..codec.pictures.picture import Picture


def describe(picture: "Picture") -> str:
    """Width, height and kind."""
    height, width = picture.samples.shape[:2]
    return f"{width} x {height} {picture.mode}"


def load(data: bytes, how: Encoding, lossy: bool = False) -> "Picture":
    """The picture in the bytes of an image file, without its metadata if `how.strip`.

    `lossy`: take the decoded pixels of a lossy WebP, too, which take many times its space.
    """
    from ..codec.pictures import files

    picture = files.parse(data, max_samples=how.max_samples or files.MAX_SAMPLES, lossy=lossy)
    return picture.stripped() if how.strip else picture


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
