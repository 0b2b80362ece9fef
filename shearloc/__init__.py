"""Shearloc: a lossless image codec whose probability model is a small neural network.

It exports the functions most people need, and the errors. Importing it is cheap: NumPy, Numba and torch are imported
by the first function that needs them. Pillow and imageio, where they are used, read and write `.shl` files from then
on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import CorruptError, FormatError, ShearlocError, UnknownModelError, UnsupportedImageError
from .plugins import imageio as _imageio
from .plugins import pillow as _pillow

if TYPE_CHECKING:
    from .codec.api import code_lengths, decode, encode, encode_images, info, read, write
    from .codec.collections.collection import Collection
    from .codec.info import ArchiveInfo, Info, PictureInfo

__version__ = "0.1.0"

__all__ = [
    "ArchiveInfo",
    "Collection",
    "CorruptError",
    "FormatError",
    "Info",
    "PictureInfo",
    "ShearlocError",
    "UnknownModelError",
    "UnsupportedImageError",
    "__version__",
    "code_lengths",
    "coding",
    "decode",
    "encode",
    "encode_images",
    "info",
    "read",
    "write",
]

_HOMES = {
    "ArchiveInfo": ".codec.info",
    "Collection": ".codec.collections.collection",
    "Info": ".codec.info",
    "PictureInfo": ".codec.info",
}

_pillow.register()
_imageio.register()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "coding":
        return import_module(".coding", __name__)
    return getattr(import_module(_HOMES.get(name, ".codec.api"), __name__), name)


def __dir__() -> list[str]:
    return __all__
