"""Input and output files, standard input and output, pipes and devices, and the permissions of new files."""

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ..errors import ShearlocError

DASH = Path("-")
"""The name of standard input and output."""
_STANDARD = frozenset(
    (*("-", "/dev/stdin", "/dev/stdout"), *(f"{folder}/{k}" for folder in ("/dev/fd", "/proc/self/fd") for k in (0, 1)))
)
PROTECTED = 0o222
"""The write bits of a mode: a write-protected file has none of them."""


def is_standard(path: Path) -> bool:
    """Whether a path means standard input or output."""
    return str(path) in _STANDARD


def is_special(path: Path) -> bool:
    """Whether a path is a pipe or a device, which is read or written as it comes, and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def shown(path: Path, end: str) -> str:
    """A path for messages; `end` ("input" or "output") says which standard stream it would be."""
    return f"<standard {end}>" if is_standard(path) else str(path)


def read(path: Path) -> bytes:
    """All bytes of a file, a pipe or standard input. OSError, also for a device, which may never end."""
    if not is_standard(path):
        if stat.S_ISCHR(path.stat().st_mode):
            raise OSError(errno.EINVAL, "is a device, not a file", str(path))
        return path.read_bytes()
    if sys.stdin is None or sys.stdin.isatty():
        raise ShearlocError("standard input is a terminal; name a file, or send one there")
    return sys.stdin.buffer.read()


def beginning(path: Path) -> bytes:
    """A file's first bytes, enough to know its format. OSError."""
    with path.open("rb") as file:
        return file.read(16)


def check_target(path: Path, source: Path, force: bool) -> None:
    """Refuse an output that cannot be written or must not be replaced, before any work. OSError, ShearlocError."""
    if is_standard(path):
        if sys.stdout is None or sys.stdout.isatty():
            raise ShearlocError("standard output is a terminal; name an OUT, or send it to a file")
        return
    if is_special(path):
        return
    if path.is_dir():
        raise ShearlocError(f"{path}: is a folder; --out-dir {path} writes there")
    folder = next(one for one in path.parents if one.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "no permission to write to this folder", str(folder))
    if not path.exists():
        return
    if source.exists() and os.path.samefile(source, path):
        raise ShearlocError(f"{path}: IN and OUT are the same file")
    if not force:
        raise ShearlocError(f"{path}: exists already; give another OUT, or --force to overwrite it")
    if not path.stat().st_mode & PROTECTED:
        raise ShearlocError(f"{path}: is write-protected; `chmod u+w` it first, or give another OUT")


@contextmanager
def writing(path: Path, sources: Iterable[Path] = (), keep_time: bool = False) -> Iterator[BinaryIO]:
    """A file that appears at `path` complete or not at all; a pipe or stdout gets everything at the end.

    Folders on the way to it are made. The new file has the mode and, where permitted, the owner of the file that it
    replaces, or else of its sources: no more than each of them permits, but for its owner's writing. With `keep_time`
    it also has the first source's modification time. Raises OSError.
    """
    from ..codec.pictures import files

    if is_standard(path) or is_special(path):
        buffer = BytesIO()
        yield buffer
        _pour(buffer.getvalue(), path)
        return
    like = [path] if path.exists() else [source for source in sources if source.is_file()]
    found = [one.stat() for one in like]
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as file:
        if found:
            _permit(file.name, found)
        yield file
        if keep_time and (times := _times(sources)):
            file.flush()
            os.utime(file.name, ns=times)


def write(path: Path, data: bytes, sources: Iterable[Path] = (), keep_time: bool = False) -> None:
    """Writes all of the data at once; otherwise as `writing`."""
    with writing(path, sources, keep_time) as file:
        file.write(data)


def _permit(name: str, like: list[os.stat_result]) -> None:
    """Gives a file the owner of other files, if they have one owner, and the permissions that all of them have.

    Its owner may write to it, even where the others are write-protected: it can be made again.
    """
    mode = 0o777
    for one in like:
        mode &= stat.S_IMODE(one.st_mode)
    owners = {(one.st_uid, one.st_gid) for one in like}
    if len(owners) == 1 and hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(name, *owners.pop())
    os.chmod(name, mode | stat.S_IWUSR)


def _times(sources: Iterable[Path]) -> tuple[int, int] | None:
    """Times of access and modification, in nanoseconds, of the first source that is a file."""
    for source in sources:
        if source.is_file():
            found = source.stat()
            return found.st_atime_ns, found.st_mtime_ns
    return None


def _pour(data: bytes, path: Path) -> None:
    if not is_standard(path):
        with open(path, "wb", buffering=0) as file:
            _write_all(file, data)
        return
    sys.stdout.flush()
    _write_all(sys.stdout.buffer, data)
    sys.stdout.buffer.flush()


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Writes all data to a pipe, which may take only part of them at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
