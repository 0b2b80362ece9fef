"""Reads bytes of files by seeking: only the bytes asked for, and never more memory than there are bytes."""

import io
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """Opens a file without a buffer."""
    return open(path, "rb", buffering=0)


def size_of(file: BinaryIO) -> int:
    """The size of an open file, in bytes."""
    return file.seek(0, io.SEEK_END)


def read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes of a file; fewer where it ends. Takes memory for the bytes that exist, not for those claimed."""
    length = min(length, size_of(file) - offset)
    if length <= 0:
        return b""
    file.seek(offset)
    pieces = []
    while length > 0 and (piece := file.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def u64(value: int) -> bytes:
    """Eight bytes, little-endian."""
    return value.to_bytes(8, "little")


def read_u64(data: bytes, at: int) -> int:
    """The eight bytes at `at`, as an integer; fewer bytes where the data end."""
    return int.from_bytes(data[at : at + 8], "little")
