"""Files that are arrays of images: `.npy`, `.npz` and IDX (MNIST's), plain or compressed by gzip, bzip2 or xz."""

import bz2
import gzip
import lzma
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from ..errors import ShearlocError, UnsupportedImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDX_TYPE = 8
"""The code for unsigned bytes in an IDX file's head."""
UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
"""Errors of the libraries that unpack such files for damaged ones, besides ValueError and OSError."""

_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_DEFLATE = 1032
"""Deflate and gzip make nothing smaller by more than this factor."""
_PIECE = 1 << 20


def arrays_in(path: Path, kind: str) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Key, shape and bytes a sample of the arrays in a file ("npy", "npz" or "idx"), from their heads.

    ShearlocError for a head that promises more than there can be, and as `check_shape`.
    """
    size = path.stat().st_size
    for key, shape, itemsize in _heads(path, kind):
        there = _bytes_there(path, math.prod(shape)) if kind == "idx" else _DEFLATE * size
        if math.prod(shape) * itemsize > there:
            raise ShearlocError(f"cut short: its head promises an array of {shape}")
        check_shape(shape)
        yield key, shape, itemsize


def check_shape(shape: tuple[int, ...]) -> None:
    """UnsupportedImageError for [H, W, 3 or 4], most likely one image: it would be many gray ones, 3 or 4 wide."""
    if len(shape) == 3 and shape[2] in (3, 4):
        raise UnsupportedImageError(
            f"the array has shape {shape}: save array[None] if it is one image of {shape[2]} channels, "
            f"array[..., None] if it is {shape[0]} gray images"
        )


def _bytes_there(path: Path, enough: int) -> int:
    """Bytes of an IDX file after its head, at most `enough`. For bzip2 and xz only unpacking tells."""
    with open_packed(path) as file:
        if not isinstance(file, (bz2.BZ2File, lzma.LZMAFile)):
            return _DEFLATE * path.stat().st_size
        _idx_head(file)
        found = 0
        while found < enough and (piece := file.read(min(_PIECE, enough - found))):
            found += len(piece)
    return found


def _heads(path: Path, kind: str) -> Iterator[tuple[str, tuple[int, ...], int]]:
    import numpy as np

    if kind == "idx":
        with open_packed(path) as file:
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
def whole_array(path: str, stamp: int, kind: str, key: str) -> "NDArray[Any]":
    """A whole array: mapped from the disk where it lies there uncompressed, else in memory.

    `stamp`, the file's modification time, keeps arrays of changed files apart.
    """
    import numpy as np

    if kind == "npy":
        return cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    if kind == "npz":
        with np.load(path, allow_pickle=False) as arrays:
            return cast("NDArray[Any]", arrays[key])
    with open_packed(Path(path)) as file:
        shape, start = _idx_head(file)
        if is_packed(Path(path)):
            data = np.frombuffer(file.read(math.prod(shape)), np.uint8)
        else:
            data = np.memmap(path, np.uint8, "r", start)
    if data.size < math.prod(shape):
        raise ShearlocError(f"{path}: cut short: {data.size} bytes of {math.prod(shape)}")
    return data[: math.prod(shape)].reshape(shape)


def open_packed(path: Path) -> IO[bytes]:
    """Opens a file, unpacked if gzip, bzip2 or xz has packed it."""
    opener = cast("Callable[[Path, str], IO[bytes]]", _OPENERS.get(_beginning(path), open))
    return opener(path, "rb")


def is_packed(path: Path) -> bool:
    """Whether a file is packed by gzip, bzip2 or xz."""
    return _beginning(path) in _OPENERS


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(2)
