"""Image files to pictures and back, and files that appear only when complete.

Nothing is converted: an image that would lose anything on the way in is refused, and so is a file format that cannot
hold a picture as it is. PNG and PNM are read by own code, TIFF, BMP and WebP in `imaging.py`.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import UnsupportedImageError
from .picture import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GRAYS = ("8-bit gray", "16-bit gray")
_COLOURS = ("8-bit RGB", "16-bit RGB")
_TIFF = ("1-bit gray", *_GRAYS, "8-bit gray+alpha", *_COLOURS, "8-bit RGBA", "16-bit RGBA")
_HOLDS: dict[str, tuple[str, ...]] = {
    ".png": (),
    ".pbm": ("1-bit gray",),
    ".pgm": _GRAYS,
    ".ppm": _COLOURS,
    ".tif": (*_TIFF, "8-bit palette"),
    ".tiff": (*_TIFF, "8-bit palette"),
    ".bmp": ("1-bit gray", "8-bit gray", "8-bit palette", "8-bit RGB"),
    ".webp": ("8-bit RGB", "8-bit RGBA"),
}
"""Suffix -> modes (`Picture.mode`) that come back as they went in; none named means all."""


def load(path: str | os.PathLike[str]) -> Picture:
    """The picture of a PNG, PNM, TIFF, BMP or WebP file, metadata included.

    Raises UnsupportedImageError for JPEG, several frames, a file that cannot be read or that would not come back as it
    is; OSError where the file cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return parse(data)
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{path}: {error}") from error


def parse(data: bytes) -> Picture:
    """As `load`, from a file's bytes. Raises UnsupportedImageError."""
    from . import imaging, png, pnm

    reader = png.read if data.startswith(png.SIGNATURE) else pnm.read if data[:2] in pnm.MAGICS else imaging.read
    return reader(data)


def load_image(path: str | os.PathLike[str]) -> "NDArray[np.uint8]":
    """The pixels of an 8-bit gray or RGB image file: uint8 [H, W] or [H, W, 3]; metadata is left out.

    Raises as `load`, and UnsupportedImageError for any other kind.
    """
    picture = load(path)
    if picture.mode not in ("8-bit gray", "8-bit RGB"):
        raise UnsupportedImageError(f"{path}: {picture.mode}; only 8-bit gray and RGB are used here")
    return picture.samples


def save(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture losslessly, in the format of the suffix; complete or not at all.

    Metadata goes along as far as the format holds it (docs/FORMAT.md). Raises UnsupportedImageError as `check_output`;
    OSError where the file cannot be written.
    """
    check_output(path, picture.mode)
    with replacing(path) as file:
        write(file, picture, Path(path).suffix)


def write(file: BinaryIO, picture: Picture, suffix: str) -> None:
    """Write a picture to an open file in the format of a suffix, which `check_output` must have accepted."""
    from . import imaging, png, pnm

    suffix = suffix.lower()
    writer = png.write if suffix == ".png" else pnm.write if suffix in (".pbm", ".pgm", ".ppm") else None
    if writer:
        writer(file, picture)
    else:
        imaging.write(file, picture, suffix)


def check_output(path: str | os.PathLike[str], mode: str) -> None:
    """Whether the format of a path's suffix holds pictures of a mode (`Picture.mode`, `Info.mode`) as they are.

    Raises UnsupportedImageError where not, or where a library that it takes is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _HOLDS:
        raise UnsupportedImageError(f"{path}: write to one of {' '.join(_HOLDS)}, which lose nothing")
    if _HOLDS[suffix] and mode not in _HOLDS[suffix]:
        raise UnsupportedImageError(f"{path}: {suffix} does not keep {mode} as it is; use .png")
    if suffix in (".tif", ".tiff"):
        from . import imaging

        imaging.check_tiff(mode)


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
    part = target.with_name(f".shearloc-{os.urandom(8).hex()}.part")
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
