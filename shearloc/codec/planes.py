"""Image files to 8-bit planes and back, by Pillow, and files that appear only when complete.

Modes L and RGB of 8 bits only. Nothing is converted: an image that would lose anything on the way in is refused.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import UnsupportedImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_WRITERS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    ".png": ("PNG", {}, (1, 3)),
    ".ppm": ("PPM", {}, (3,)),
    ".pgm": ("PPM", {}, (1,)),
    ".tif": ("TIFF", {}, (1, 3)),
    ".tiff": ("TIFF", {}, (1, 3)),
    ".bmp": ("BMP", {}, (1, 3)),
    ".webp": ("WEBP", {"lossless": True, "exact": True}, (3,)),
}
"""Suffix -> (Pillow's format, options, channel counts that come back as they went in)."""

_BITS_PER_SAMPLE = 258
"""TIFF tag."""

_CONVERT = "convert it to 8-bit gray or RGB first, if that loses nothing you need"


def load_image(path: str | os.PathLike[str]) -> "NDArray[np.uint8]":
    """The pixels of an image file as Pillow reads them: uint8 [H, W] (gray) or [H, W, 3] (RGB).

    Pixels only: colour profiles, Exif and other metadata are not read. Raises UnsupportedImageError for
    JPEG, several frames, transparency, palettes, more than 8 bits, or a file Pillow cannot read;
    OSError where the file cannot be opened.
    """
    import numpy as np
    from PIL import Image

    with open(path, "rb") as file:
        try:
            with Image.open(file) as image:
                _refuse_what_would_lose(image, path)
                return np.array(image)
        except UnsupportedImageError:
            raise
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            raise UnsupportedImageError(f"{path}: not an image that Pillow can read ({error})") from error


def save_image(path: str | os.PathLike[str], pixels: "NDArray[np.uint8]") -> None:
    """Write uint8 [H, W] or [H, W, 3] losslessly, in the format of the suffix; complete or not at all.

    Raises UnsupportedImageError as `output_format` does, or where the format cannot hold the image;
    OSError where the file cannot be written.
    """
    from PIL import Image

    name, options = output_format(path, 1 if pixels.ndim == 2 else pixels.shape[2])
    with replacing(path) as file:
        try:
            Image.fromarray(pixels).save(file, name, **options)
        except OSError:
            raise
        except Exception as error:
            raise UnsupportedImageError(f"{path}: {name} cannot hold this image ({error})") from error


def output_format(path: str | os.PathLike[str], channels: int) -> tuple[str, dict[str, Any]]:
    """Pillow's name and options of the lossless format that a path's suffix asks for.

    Raises UnsupportedImageError for any other suffix, and for one that does not hold `channels` as they are.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise UnsupportedImageError(f"{path}: write to one of {' '.join(_WRITERS)}, which lose nothing")
    name, options, held = _WRITERS[suffix]
    if channels not in held:
        raise UnsupportedImageError(f"{path}: {suffix} does not keep {channels}-channel images; use .png")
    return name, options


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that appears complete or not at all. Raises OSError."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the place of `path` at the end if no error occurs.

    Its content is on the disk before it has that name, so that not even a power cut leaves half a file there. A
    process that is killed leaves a `.shearloc-….part` in the folder, which nothing reads.

    Raises OSError: no such folder, or the path is there and is not a regular file.
    """
    target = Path(os.path.realpath(path))  # through a symbolic link, as open() would write
    check_writable(target)
    part = target.with_name(f".shearloc-{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Put the folder's new entry on the disk, where the system allows it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError where `path` is a directory, a device or the like, or its folder does not exist."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        # os.replace would remove the device
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))


def _refuse_what_would_lose(image: "Image", path: str | os.PathLike[str]) -> None:
    """UnsupportedImageError, with the way out, for what 8-bit L or RGB pixels cannot hold."""
    if image.format in ("JPEG", "MPO"):
        raise UnsupportedImageError(
            f"{path}: a JPEG; its decoded pixels would take more space than the JPEG itself: "
            "keep the JPEG, or convert it to PNG first if you want its pixels stored"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise UnsupportedImageError(
            f"{path}: {getattr(image, 'n_frames', 1)} frames; one image is stored: save the frames one by one"
        )
    if image.mode not in ("L", "RGB"):
        raise UnsupportedImageError(f"{path}: mode {image.mode}; only L and RGB are stored yet: {_CONVERT}")
    if "transparency" in image.info:
        raise UnsupportedImageError(f"{path}: a transparent colour; not stored yet: {_CONVERT}")
    if image.format not in {name for name, _, _ in _WRITERS.values()}:
        raise UnsupportedImageError(f"{path}: {image.format} files are not read: convert it to PNG first")
    if _drops_samples(image):
        raise UnsupportedImageError(f"{path}: more than 8 bits or more channels; not stored yet: {_CONVERT}")


def _drops_samples(image: "Image") -> bool:
    """Whether Pillow reads less than the file has: 16-bit RGB and RGB with a spare channel both open as RGB."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))
        return max(bits) > 8 or len(bits) > len(image.getbands())
    decoding = [tile[3] for tile in getattr(image, "tile", [])]
    if image.format == "PPM":
        return any(not isinstance(raw, str) and raw[1] > 255 for raw in decoding)
    return image.format == "PNG" and any(";16" in raw for raw in decoding)
