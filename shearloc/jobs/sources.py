"""Where a collection's images come from: folders, patterns, image files, IDX, .npy, .npz and tar files.

Finds and names images without reading any, and reads one when asked. `shards.py` packs them. Nothing here prints.
"""

import glob
import math
import os
import tarfile
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, NamedTuple

from ..errors import ShearlocError
from . import arrays
from .arrays import open_packed
from .plan import IMAGE_SUFFIXES, REFUSED_SUFFIXES, hidden_images, walk

if TYPE_CHECKING:
    from ..codec.pictures.picture import Picture

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
PACKED_SUFFIXES = (".gz", ".bz2", ".xz")


class Item(NamedTuple):
    """An image that can be read. `number` is its place in an array, or the byte where it begins in a tar file.

    `path` is absolute. `key`: the array in an .npz file. `size`: its bytes in the source. `stamp`: the source's
    modification time in nanoseconds, which helps to tell one packing from another.
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
    """Images, files left out because of their suffix, hidden images, and what could not be used, a line each."""

    items: list[Item] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(sources: list[Path]) -> Found:
    """The images of all sources, sorted by name (code points); those of a compressed tar file in its own order.

    A name is a file's path in its folder (or below a pattern's fixed part), a member's path in its tar file, or a
    number in its array. With several sources, folders and files of many images prepend their own name. Raises
    ShearlocError where two images have one name, or there is none.
    """
    found = Found()
    for source in sources:
        try:
            _find(source, len(sources) > 1, found)
        except (ShearlocError, OSError) as error:
            found.problems.append(_line(source, error))
    by_name = sorted(found.items, key=lambda item: item.name)
    for one, other in zip(by_name, by_name[1:], strict=False):
        if one.name == other.name:
            raise ShearlocError(
                f"{one.path} and {other.path} would both be '{one.name}'; nothing was done: rename one of them"
            )
    found.items = _in_reading_order(by_name)
    return found


def _in_reading_order(items: list[Item]) -> list[Item]:
    """By name; but members of a compressed tar file in their own order, so that it is unpacked once."""
    packed = {path for path in {item.path for item in items if item.kind == "tar"} if arrays.is_packed(Path(path))}
    first: dict[str, str] = {}
    for item in items:
        first.setdefault(item.path, item.name)
    return sorted(items, key=lambda item: (first[item.path], item.number) if item.path in packed else (item.name, 0))


def read(item: Item, max_samples: int | None = None, measured: bool = False) -> "Picture":
    """The image, of at most so many samples; if it is only `measured`, that of a lossy file, too.

    Raises ShearlocError, OSError, MemoryError.
    """
    from ..codec.pictures import files
    from ..codec.pictures.picture import from_array

    limit = max_samples or files.MAX_SAMPLES
    parse = files.pixels if measured else files.parse
    try:
        if item.kind == "file":
            return parse(Path(item.path).read_bytes(), max_samples=limit)
        if item.kind == "tar":
            stream = _stream(item.path, item.stamp, threading.get_ident())
            stream.seek(item.number)
            data = stream.read(item.size)
            if len(data) < item.size:
                raise ShearlocError(f"{item.path}: cut short")
            return parse(data, max_samples=limit)
        image = arrays.whole_array(item.path, item.stamp, item.kind, item.key)[item.number]
        return from_array(image[..., 0] if image.shape[2:] == (1,) else image)
    except ShearlocError:
        raise
    except (ValueError, *_UNREADABLE) as error:
        raise ShearlocError(f"{item.path}: cannot be read ({error})") from error


_UNREADABLE = (tarfile.TarError, *arrays.UNREADABLE)


# --- Finding ----------------------------------------------------------------------------------------------------


def _find(source: Path, several: bool, found: Found) -> None:
    if source.is_dir():
        found.hidden += map(str, hidden_images([source]))
        prefix = f"{source.resolve().name}/" if several else ""
        return _find_files(source, sorted(map(str, walk(source))), prefix, found)
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
    """Adds a file's images. `name`: that of an image file, or the prefix of the names in a file of many."""
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise ShearlocError("not a regular file")
    kind, whole = _container_kind(path), os.path.abspath(path)
    if not kind:
        return _add(Item(name, whole, "file", "", 0, stat.st_size, stat.st_mtime_ns), found)
    try:
        if kind == "tar":
            return _find_members(whole, name, stat.st_mtime_ns, found)
        for key, shape, itemsize in arrays.arrays_in(path, kind):
            if len(shape) not in (3, 4) or not math.prod(shape):
                found.left_out.append(f"{path}: {key}" if key else str(path))
                continue
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
    from ..codec.collections.names import NAME_BYTES

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
    plain = _without(name, PACKED_SUFFIXES)
    return "idx" if plain.endswith(".idx") or "-ubyte" in name or ".idx3" in name else ""


def _stem(name: str) -> str:
    """A path without the suffix of a file of many images."""
    return _without(name, (*TAR_SUFFIXES, *PACKED_SUFFIXES, ".npy", ".npz", ".idx"))


def _without(name: str, suffixes: tuple[str, ...]) -> str:
    """A name without its suffix, if that is one of these."""
    found = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(found)]


def _line(path: Path, error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: {text}"


@lru_cache(maxsize=16)
def _stream(path: str, stamp: int, thread: int) -> IO[bytes]:
    """A tar file, open for one thread, unpacked where it is compressed."""
    return open_packed(Path(path))
