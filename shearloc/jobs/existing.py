"""What already exists under an output's name: this very image, half of it, or some other file."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import CorruptError, FormatError, UnsupportedImageError

if TYPE_CHECKING:
    from ..codec.formats.container import Header
    from ..codec.pictures.picture import Picture

Found = Literal["same", "damaged", "other"]
"""This very image and whole, a part of a file of the right kind, or anything else."""


def what_file(data: bytes, picture: "Picture") -> Found:
    """Whether `data` is a whole `.shl` file of this picture, by structure and checksums; no network runs."""
    from ..codec.formats import container

    try:
        header, _ = container.unpack(data, max_samples=1 << 63)
    except CorruptError:
        return "damaged"
    except FormatError:
        return "other" if data else "damaged"
    return "same" if holds(header, picture) else "other"


def what_image(path: Path, data: bytes) -> Found:
    """Whether the image file is the one in the `.shl` file `data`, by that file's checksum of the pixels."""
    from ..codec.formats import container
    from ..codec.pictures import files

    header, _ = container.unpack(data, max_samples=1 << 63)
    try:
        return "same" if holds(header, files.load(path)) else "other"
    except UnsupportedImageError:
        return "damaged" if _is_half_an_image(path) else "other"


def holds(header: "Header", picture: "Picture") -> bool:
    """Whether a file's header claims this picture, by the checksum of its samples; metadata is not looked at."""
    from ..codec.formats.crc32c import crc32c

    samples, chunks = picture.samples, dict(header.chunks)
    kind = (picture.colour, picture.depth, *samples.shape[:2])
    return (
        kind == (header.colour, header.depth, header.height, header.width)
        and chunks.get(b"PLTE", b"") == (b"" if picture.palette is None else picture.palette.tobytes())
        and chunks.get(b"tRNS", b"") == picture.transparency
        and crc32c(samples.astype(samples.dtype.newbyteorder("<"))) == header.pixel_crc
    )


def _is_half_an_image(path: Path) -> bool:
    """Whether the file is empty, or begins like an image and does not decode."""
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size == 0:
        return True
    try:
        with Image.open(path) as image:
            image.load()
    except UnidentifiedImageError:
        return False
    except Exception:  # Pillow's decoders raise many kinds for a damaged file
        return True
    return False
