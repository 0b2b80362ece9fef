"""Image files to pictures and back, and files that appear only when complete.

Nothing is converted: an image that would lose anything on the way in is refused, and so is a file format that cannot
hold a picture as it is. A file's first bytes choose its reader, not its suffix.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import UnsupportedImageError
from ..formats.container import MAX_SAMPLES
from .picture import Picture, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GRAYS = ("8-bit gray", "16-bit gray")
_COLOURS = ("8-bit RGB", "16-bit RGB")
_TIFF = ("1-bit gray", *_GRAYS, "8-bit gray+alpha", *_COLOURS, "8-bit RGBA", "16-bit RGBA")
_BMP_GRAYS = ("1-bit gray", "4-bit gray", "8-bit gray")
_HOLDS: dict[str, tuple[str, ...]] = {
    ".png": (),
    ".pbm": ("1-bit gray",),
    ".pgm": _GRAYS,
    ".ppm": _COLOURS,
    ".tif": (*_TIFF, "8-bit palette"),
    ".tiff": (*_TIFF, "8-bit palette"),
    ".bmp": (*_BMP_GRAYS, "1-bit palette", "4-bit palette", "8-bit palette", "8-bit RGB", "8-bit RGBA"),
    ".webp": ("8-bit RGB", "8-bit RGBA"),
}
"""Suffix -> modes (`Picture.mode`) that come back as they went in; none named means all."""


_JPEG = b"\xff\xd8\xff"
_OTHERS = {
    b"GIF8": "GIF", b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL", b"8BPS": "Photoshop", b"qoif": "QOI", b"P7\n": "PAM", b"\0\0\1\0": "icon",
    b"v/1\1": "OpenEXR", b"\x93NUMPY": "NumPy", b"BA": "OS/2 bitmap array", b"FLIF": "FLIF",
}  # fmt: skip
"""First bytes of other formats."""


def load(path: str | os.PathLike[str], *, max_samples: int = MAX_SAMPLES, lossy: bool = False) -> Picture:
    """The picture in a PNG, PNM, TIFF, BMP or WebP file, metadata included. `Picture.notes` says what is left out.

    `max_samples`: limit on its samples of 8 bits (16 bits count twice), checked before any memory is taken. `lossy`:
    take the decoded pixels of a lossy WebP. Raises UnsupportedImageError for JPEG, several frames, and files that
    cannot be read or would not come back as they are; OSError where the file cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return parse(data, max_samples=max_samples, lossy=lossy)
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{path}: {error}") from error


def parse(data: bytes, *, max_samples: int = MAX_SAMPLES, lossy: bool = False) -> Picture:
    """Like `load`, from a file's bytes. Raises UnsupportedImageError."""
    from . import bmp, directories, png, pnm, tiff, webp

    check_kind(data)
    if data.startswith(png.SIGNATURE):
        return png.read(data, max_samples)
    if data[:2] in pnm.MAGICS:
        return pnm.read(data, max_samples)
    if data.startswith(directories.MAGICS):
        return tiff.read(data, max_samples)
    if data.startswith(bmp.MAGIC):
        return bmp.read(data, max_samples)
    return webp.read(data, max_samples, lossy)


def pixels(data: bytes, *, max_samples: int = MAX_SAMPLES) -> Picture:
    """Like `parse`, but also the decoded pixels of a JPEG, gray or RGB, or a lossy WebP: to measure, not to store."""
    if not data.startswith(_JPEG):
        return parse(data, max_samples=max_samples, lossy=True)
    from . import pillow

    with pillow.opened(data, "JPEG", max_samples) as image:
        if image.mode not in ("L", "RGB"):
            raise UnsupportedImageError(f"a JPEG of the mode {image.mode}; only gray and RGB are measured")
        check_size(image.height, image.width, len(image.mode), max_samples)
        return pillow.picture_of(image)


def is_read(data: bytes) -> bool:
    """Whether a file that begins with these bytes, 12 or more, has a format that is read."""
    from . import bmp, directories, png, pnm, webp

    return data.startswith((png.SIGNATURE, *pnm.MAGICS, *directories.MAGICS, bmp.MAGIC)) or webp.is_webp(data)


def check_kind(data: bytes) -> None:
    """UnsupportedImageError, which names the format, where `is_read` says no."""
    if not data:
        raise UnsupportedImageError("the file is empty")
    if not is_read(data):
        raise UnsupportedImageError(_not_read(data))


def _not_read(data: bytes) -> str:
    """Why a file of another format cannot be read."""
    if data.startswith(_JPEG):
        return (
            "a JPEG; its decoded pixels would take more space than the JPEG itself: "
            "keep the JPEG, or convert it to PNG first if you want its pixels stored"
        )
    if data.startswith((b"PF", b"Pf")):
        return "a PFM file; floats are not stored: convert it to PNG first, if that loses nothing you need"
    if data.startswith(b"\x89SH"):
        return "a Shearloc file already: decode it"
    name = next((name for start, name in _OTHERS.items() if data.startswith(start)), "")
    name = "AVIF or HEIF" if data[4:8] == b"ftyp" else name
    if name:
        return f"{name} files are not read: convert it to PNG first"
    return "not an image that is read: PNG, PNM, TIFF, BMP and WebP are"


def load_image(path: str | os.PathLike[str]) -> "NDArray[np.uint8]":
    """The pixels of an 8-bit gray or RGB image file, uint8 [H, W] or [H, W, 3], without metadata.

    Raises as `load`, and UnsupportedImageError for any other kind.
    """
    picture = load(path)
    if picture.mode not in ("8-bit gray", "8-bit RGB"):
        raise UnsupportedImageError(f"{path}: {picture.mode}; only 8-bit gray and RGB are used here")
    return picture.samples


def save(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture losslessly, in the format of the suffix; complete or not at all.

    Metadata is kept as far as the format can hold it (docs/FORMAT.md). Raises UnsupportedImageError as `check_output`;
    OSError where the file cannot be written.
    """
    check_output(path, picture.mode)
    with replacing(path) as file:
        write(file, picture, Path(path).suffix)


def write(file: BinaryIO, picture: Picture, suffix: str) -> None:
    """Write a picture losslessly to an open file, which need not be seekable, in the format of a suffix (".png").

    Raises UnsupportedImageError as `check_output`, and where the format cannot hold the image; errors of `file`.
    """
    from . import bmp, png, pnm, tiff, webp

    suffix = suffix.lower()
    _check_suffix(suffix, picture.mode)
    if suffix == ".png":
        png.write(file, picture)
    elif suffix in (".pbm", ".pgm", ".ppm"):
        pnm.write(file, picture)
    elif suffix == ".bmp":
        bmp.write(file, picture)
    elif suffix == ".webp":
        webp.write(file, picture)
    else:
        tiff.write(file, picture)


def check_output(path: str | os.PathLike[str], mode: str) -> None:
    """Check that the format of a path's suffix holds pictures of a mode (`Picture.mode`, `Info.mode`) as they are.

    Raises UnsupportedImageError where it does not, or where it needs a library that is not installed.
    """
    try:
        _check_suffix(Path(path).suffix.lower(), mode)
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{path}: {error}") from error


def _check_suffix(suffix: str, mode: str) -> None:
    if suffix not in _HOLDS:
        raise UnsupportedImageError(f"write to one of {' '.join(_HOLDS)}, which lose nothing")
    if _HOLDS[suffix] and mode not in _HOLDS[suffix]:
        raise UnsupportedImageError(f"{suffix} does not keep {mode} as it is; use .png")
    if suffix in (".tif", ".tiff"):
        from . import tiff

        tiff.check(mode)


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that appears complete or not at all. Raises OSError."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write to, which replaces `path` at the end unless an error occurs.

    Its content reaches the disk before it gets that name, so that not even a power cut leaves half a file there. A
    process that is killed leaves a `.shearloc-….part` in the folder, which nothing reads.

    Raises OSError where there is no such folder, or `path` is not a regular file.
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
    """Write the folder's new entry to the disk, where the system allows it."""
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
