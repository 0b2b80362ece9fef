"""Makes `.shl` one of Pillow's formats, at the cost of a dictionary entry; the code is in `pillow_format.py`.

Pillow has no entry points: a plugin is known once its code has run (`waiting.py`).
"""

from typing import IO, TYPE_CHECKING

from . import PILLOW_FORMAT, SIGNATURES
from .waiting import when_imported

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


def register() -> None:
    """Register with Pillow, now if it is imported, else as soon as it is."""
    when_imported("PIL.Image", _register)


def _register() -> None:
    from PIL import Image

    Image.register_open(PILLOW_FORMAT, _open, _accept)
    Image.register_save(PILLOW_FORMAT, _save)
    Image.register_extension(PILLOW_FORMAT, ".shl")
    Image.register_mime(PILLOW_FORMAT, "image/x-shearloc")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURES)


def _open(file: IO[bytes], name: str | bytes) -> "ImageFile":
    from . import pillow_format

    return pillow_format.open_image(file, name)


def _save(image: "Image", file: IO[bytes], name: str | bytes) -> None:
    from . import pillow_format

    pillow_format.save(image, file)
