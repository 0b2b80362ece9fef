"""Where a collection's images come from: folders, patterns, image files, IDX, .npy, .npz and tar files.

It finds images and names them without reading any, and reads one when asked. It belongs to the command line but prints
nothing; what becomes of the images is `pack.py`'s business.
"""

import bz2
import glob
import gzip
import lzma
import math
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from ..errors import ShearlocError, UnsupportedImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codec.pictures.picture import Picture

IMAGE_SUFFIXES = frozenset((".png", ".pbm", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".bmp", ".webp"))
REFUSED_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".gif", ".jxl", ".jp2", ".avif", ".heic"))
"""Images too, but not for Shearloc: each is told, with the reader's reason."""
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IDX_TYPE = 8
"""The code of unsigned bytes in an IDX file's head."""

_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


class Item(NamedTuple):
    """An image that can be read: `number` is its place in an array, or the byte where it begins in a tar file.

    `path` is absolute. `key`: the array in an .npz file. `size`: its bytes in the source. `stamp`: the source's time
    of change in nanoseconds, and so part of what tells one packing from another.
    """

    name: str
    path: str
    kind: str
    key: str
    number: int
    size: int
    stamp: int


@dataclass
class Found:
    """Images, sources' files that are no images by their suffix, and what could not be used, a line each."""

    items: list[Item] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(sources: list[Path]) -> Found:
    """The images of all sources, by name in the order of code points.

    A name is a file's path in its folder (or below a pattern's fixed part), a member's in its tar file, or a number in
    its array. Of several sources, folders and files of many images put their own name in front. Raises ShearlocError
    where two images have one name, or there is none.
    """
    found = Found()
    for source in sources:
        try:
            _find(source, len(sources) > 1, found)
        except (ShearlocError, OSError) as error:
            found.problems.append(_line(source, error))
    found.items.sort(key=lambda item: item.name)
    for one, other in zip(found.items, found.items[1:], strict=False):
        if one.name == other.name:
            raise ShearlocError(
                f"{one.path} and {other.path} would both be '{one.name}'; nothing was done: rename one of them"
            )
    return found


def read(item: Item) -> "Picture":
    """The image. Raises ShearlocError, OSError, MemoryError."""
    from ..codec.pictures import files
    from ..codec.pictures.picture import from_array

    try:
        if item.kind == "file":
            return files.parse(Path(item.path).read_bytes())
        if item.kind == "tar":
            stream = _stream(item.path, item.stamp, threading.get_ident())
            stream.seek(item.number)
            data = stream.read(item.size)
            if len(data) < item.size:
                raise ShearlocError(f"{item.path}: cut short")
            return files.parse(data)
        image = _array(item.path, item.stamp, item.kind, item.key)[item.number]
        return from_array(image[..., 0] if image.shape[2:] == (1,) else image)
    except ShearlocError:
        raise
    except (ValueError, *_UNREADABLE) as error:
        raise ShearlocError(f"{item.path}: cannot be read ({error})") from error


_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)


# --- Finding ----------------------------------------------------------------------------------------------------


def _find(source: Path, several: bool, found: Found) -> None:
    if source.is_dir():
        prefix = f"{source.resolve().name}/" if several else ""
        return _find_files(source, sorted(_walk(source)), prefix, found)
    if source.exists() or not glob.has_magic(str(source)):
        container = _container_kind(source)
        prefix = f"{_stem(source.name)}/" if several and container else "" if container else source.name
        return _find_file(source, prefix, found)
    parts = source.parts
    fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    matches = glob.glob(str(Path(*parts[fixed:])), root_dir=base, recursive=True)
    files = [name for name in sorted(matches) if (base / name).is_file()]
    if not files:
        raise ShearlocError("no file matches this pattern")
    _find_files(base, files, "", found)


def _walk(folder: Path) -> Iterator[str]:
    """Paths in the folder of all files below it that are not hidden."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.relpath(os.path.join(root, name), folder) for name in files if not name.startswith("."))


def _find_files(base: Path, files: list[str], prefix: str, found: Found) -> None:
    for file in files:
        path = base / file
        name = prefix + Path(file).as_posix()
        try:
            if _container_kind(path):
                _find_file(path, _stem(name) + "/", found)
            elif _is_image(name, found):
                _find_file(path, name, found)
        except (ShearlocError, OSError) as error:
            found.problems.append(_line(path, error))


def _find_file(path: Path, name: str, found: Found) -> None:
    """Add a file's images; `name`: that of an image file, or what comes before the names in a file of many."""
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise ShearlocError("not a regular file")
    kind, whole = _container_kind(path), os.path.abspath(path)
    if not kind:
        return _add(Item(name, whole, "file", "", 0, stat.st_size, stat.st_mtime_ns), found)
    try:
        if kind == "tar":
            return _find_members(whole, name, stat.st_mtime_ns, found)
        for key, shape, itemsize in _arrays(path, kind):
            if len(shape) not in (3, 4) or not math.prod(shape):
                found.left_out.append(f"{path}: {key}" if key else str(path))
                continue
            # Deflate and gzip make nothing more than 1,032 times as small.
            if math.prod(shape) * itemsize > 1032 * stat.st_size:
                raise ShearlocError(f"cut short: its head promises an array of {shape}")
            before = f"{name}{key}/" if key else name
            digits, size = len(str(shape[0] - 1)), math.prod(shape[1:]) * itemsize
            for k in range(shape[0]):
                _add(Item(f"{before}{k:0{digits}}", whole, kind, key, k, size, stat.st_mtime_ns), found)
    except _UNREADABLE as error:
        raise ShearlocError(f"cannot be read ({error})") from error


def _find_members(path: str, prefix: str, stamp: int, found: Found) -> None:
    with tarfile.open(path) as tar:
        for member in tar:
            name = str(PurePosixPath(member.name))
            if member.isfile() and not PurePosixPath(name).name.startswith(".") and _is_image(prefix + name, found):
                _add(Item(prefix + name, path, "tar", "", member.offset_data, member.size, stamp), found)


def _add(item: Item, found: Found) -> None:
    from ..codec.collection import NAME_BYTES

    try:
        encoded = item.name.encode()
    except UnicodeEncodeError:
        encoded = b""
    parts = item.name.split("/")
    if not 0 < len(encoded) <= NAME_BYTES or not item.name.isprintable() or {"", ".", ".."} & set(parts):
        found.problems.append(
            f"{ascii(item.name)}: a name that is no path in a folder, not UTF-8, not printable, or longer than "
            f"{NAME_BYTES} bytes; rename it"
        )
    else:
        found.items.append(item)


def _is_image(name: str, found: Found) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in REFUSED_SUFFIXES:
        return True
    found.left_out.append(name)
    return False


def _container_kind(path: Path) -> str:
    """npy, npz, tar, idx, or "" for a file that is (if anything) one image."""
    name = path.name.lower()
    if name.endswith(TAR_SUFFIXES):
        return "tar"
    if path.suffix.lower() in (".npy", ".npz"):
        return path.suffix.lower()[1:]
    return "idx" if name.endswith((".idx", ".idx.gz")) or "-ubyte" in name or ".idx3" in name else ""


def _stem(name: str) -> str:
    """A path without the suffix of a file of many images."""
    lower = name.lower()
    for suffix in (*TAR_SUFFIXES, ".gz", ".npy", ".npz", ".idx"):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return name


def _line(path: Path, error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: {text}"


# --- Arrays and streams -----------------------------------------------------------------------------------------


def _arrays(path: Path, kind: str) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Key, shape and bytes a sample of the arrays in a file, from their heads."""
    import numpy as np

    if kind == "idx":
        with _open(str(path)) as file:
            shape, _ = _idx_head(file)
        yield "", shape, 1
        return
    try:
        arrays = np.load(path, mmap_mode="r" if kind == "npy" else None, allow_pickle=False)
    except ValueError as error:
        raise UnsupportedImageError(f"not a .{kind} file of arrays ({error})") from error
    if kind == "npy":
        _check_type(arrays.dtype)
        if arrays.ndim not in (3, 4):
            raise UnsupportedImageError(f"the array has shape {arrays.shape}; pack [N, H, W] or [N, H, W, 1 to 4]")
        yield "", arrays.shape, arrays.itemsize
        return
    with arrays:
        for key in arrays.files:
            shape, dtype = _npz_head(arrays, key)
            if len(shape) in (3, 4):
                _check_type(dtype)
            yield key, shape, dtype.itemsize


def _npz_head(arrays: Any, key: str) -> "tuple[tuple[int, ...], np.dtype[Any]]":
    """Shape and type of an array, without unpacking it."""
    from numpy.lib import format as npy

    with arrays.zip.open(key if key in arrays.zip.namelist() else f"{key}.npy") as file:
        version = npy.read_magic(file)
        shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    return shape, dtype


def _check_type(dtype: "np.dtype[Any]") -> None:
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise UnsupportedImageError(f"the array is of {dtype}; pack uint8 or uint16")


def _idx_head(file: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Shape of an IDX file's array, and where it begins."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != IDX_TYPE or not head[3]:
        raise UnsupportedImageError("not an IDX file of unsigned bytes")
    sizes = file.read(4 * head[3])
    shape = tuple(int.from_bytes(sizes[k : k + 4], "big") for k in range(0, len(sizes), 4))
    return shape, 4 + 4 * head[3]


@lru_cache(maxsize=2)
def _array(path: str, stamp: int, kind: str, key: str) -> "NDArray[Any]":
    """A whole array: mapped from the disk where it lies there as it is, else in memory."""
    import numpy as np

    if kind == "npy":
        return cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    if kind == "npz":
        with np.load(path, allow_pickle=False) as arrays:
            return cast("NDArray[Any]", arrays[key])
    with _open(path) as file:
        shape, start = _idx_head(file)
        if isinstance(file, gzip.GzipFile):
            data = np.frombuffer(file.read(math.prod(shape)), np.uint8)
        else:
            data = np.memmap(path, np.uint8, "r", start)
    if data.size < math.prod(shape):
        raise ShearlocError(f"{path}: cut short: {data.size} bytes of {math.prod(shape)}")
    return data[: math.prod(shape)].reshape(shape)


@lru_cache(maxsize=16)
def _stream(path: str, stamp: int, thread: int) -> IO[bytes]:
    """A tar file, open for one thread, unpacked where it is compressed."""
    return _open(path)


def _open(path: str) -> IO[bytes]:
    with open(path, "rb") as file:
        start = file.read(2)
    opener = cast("Callable[[str, str], IO[bytes]]", _OPENERS.get(start, open))
    return opener(path, "rb")
