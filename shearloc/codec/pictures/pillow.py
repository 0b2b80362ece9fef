"""Pillow, for the formats that we do not read and write ourselves: opened with our limit instead of its own."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ShearlocError, UnsupportedImageError
from .picture import PALETTE, Picture, from_array

if TYPE_CHECKING:
    from PIL.Image import Image

_LIMIT = threading.Lock()
_thread = threading.local()


@contextmanager
def opened(data: bytes, kind: str, pixels: int) -> Iterator["Image"]:
    """The image in a file of the format that Pillow calls by this name, with at most about this many pixels.

    The caller has bounded the pixels. Turns whatever Pillow raises, here and in the caller's block, into an
    UnsupportedImageError, MemoryError aside.
    """
    from PIL import Image, UnidentifiedImageError

    name = {"WEBP": "WebP"}.get(kind, kind)
    try:
        with _own_limit(pixels), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata with too many or too few values
            with Image.open(BytesIO(data), formats=[kind]) as image:
                yield image
    except (ShearlocError, MemoryError):
        raise
    except UnidentifiedImageError as error:  # its message names a BytesIO
        raise UnsupportedImageError(f"not a {name} that can be read (Pillow says: it is damaged)") from error
    except Image.DecompressionBombError as error:  # its message is about Pillow's own limit
        raise UnsupportedImageError(f"not a {name} that can be read (its sizes contradict each other)") from error
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise UnsupportedImageError(f"not a {name} that can be read (Pillow says: {error})") from error


@contextmanager
def _own_limit(pixels: int) -> Iterator[None]:
    """Lift Pillow's limit for an image that is above it. It is the process's, so one thread at a time."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or pixels <= limit:
        yield
        return
    with _LIMIT:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def libtiff_watched() -> Iterator[None]:
    """Raise UnsupportedImageError at the end if libtiff, inside Pillow, found an error in a TIFF's data.

    By itself, libtiff prints a line to stderr, and goes on with wrong pixels if the data is a fax.
    """
    _take_errors()
    _thread.errors = []
    try:
        yield
    finally:
        errors, _thread.errors = _thread.errors, []
        if errors:
            raise UnsupportedImageError(f"not a TIFF that can be read ({errors[0]})")


@cache
def _take_errors() -> Any:
    """Send the errors of Pillow's libtiff to `_thread.errors`, where possible. Keep the returned object alive."""
    import ctypes

    from PIL import _imaging

    @ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    def report(function: bytes | None, form: bytes | None, values: Any) -> None:
        if hasattr(_thread, "errors"):
            where = (function or b"").decode(errors="replace")
            _thread.errors.append(f"libtiff finds an error in {where if where.isidentifier() else 'its data'}")

    with suppress(OSError, AttributeError):
        setter = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        setter.restype = None
        setter(report)
    return report


def picture_of(image: "Image") -> Picture:
    """The picture of a Pillow image of mode L or RGB, without metadata."""
    return from_array(np.asarray(image))


def image_of(picture: Picture) -> "Image":
    """The Pillow image of a picture for which Pillow has a mode."""
    from PIL import Image

    if picture.depth == 1 and picture.palette is None:
        return Image.fromarray(picture.samples * np.uint8(255)).convert("1", dither=Image.Dither.NONE)
    image = Image.fromarray(picture.samples)
    if picture.colour == PALETTE and picture.palette is not None:
        image.putpalette(picture.palette.tobytes())
    return image
