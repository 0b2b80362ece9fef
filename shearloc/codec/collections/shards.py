"""Shards: files of records, each a stream (a whole `.shl` file or archive) and the names of its images.

A shard can be read without an index and without other shards. Damage to one record costs no other.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...coding.fields import read_u32, string, take, take_string, take_varint, u32, varint
from ...errors import CorruptError, FormatError
from ..formats.crc32c import crc32c
from ..formats.heads import Head
from .names import pack_names, shown, unpack_names
from .places import open_file, read_at, size_of

SHARD_SUFFIX = ".shs"
RECORD, END = b"SHLr", b"SHLe"
"""The marks that a record and the end of a shard begin with."""
PLAN_BYTES = 16
HEAD = Head(b"\x89SHD\r\n\x1a\n", 1, "shard", 4 + 4 + PLAN_BYTES)

_WINDOW = 1 << 12
"""Bytes of a record that are read first: enough for its names, unless they are long."""
_SEARCHED = 1 << 20
"""Bytes read at a time in the search for marks."""
_LONGEST_NAMES = 1 << 27
_END_BYTES = len(END) + 9 + 4
"""Most bytes of an end."""


@dataclass(frozen=True)
class ShardHead:
    """A shard's number, how many images it was to hold, and the fingerprint of its images and options."""

    number: int
    planned: int
    plan: bytes


@dataclass(frozen=True)
class Stream:
    """Where a `.shl` file or archive lies in a shard, in bytes, and its CRC-32 (not 32C)."""

    shard: int
    offset: int
    length: int
    checksum: int


@dataclass(frozen=True)
class Record:
    """A stream and the names of its images, in their order."""

    stream: Stream
    names: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """The contents of a shard. `problems`: what is wrong with it, in words; none where it is complete and undamaged."""

    head: ShardHead
    records: tuple[Record, ...]
    problems: tuple[str, ...]


def shard_name(number: int) -> str:
    """File name of a shard in the collection's folder."""
    return f"shard-{number:06}{SHARD_SUFFIX}"


def shard_paths(folder: Path) -> list[Path]:
    """The shards in a folder, by name."""
    return sorted(path for path in folder.glob(f"shard-*{SHARD_SUFFIX}") if path.is_file())


# --- Writing ----------------------------------------------------------------------------------------------------


def pack_shard_head(head: ShardHead) -> bytes:
    """The first bytes of a shard."""
    return HEAD.seal(u32(head.number) + u32(head.planned) + head.plan)


def stream_checksum(stream: "bytes | memoryview") -> int:
    """zlib's CRC-32. Streams end with a CRC-32C, so that the CRC-32C of all streams of one length is the same."""
    return zlib.crc32(stream)


def pack_record(names: Sequence[str], stream: bytes) -> bytes:
    """A record: a stream and the names of its images."""
    fields = varint(len(names)) + varint(len(stream)) + u32(stream_checksum(stream)) + string(pack_names(names))
    return RECORD + fields + u32(crc32c(RECORD + fields)) + stream


def pack_shard_end(images: int) -> bytes:
    """The last bytes of a shard with this many images."""
    fields = END + varint(images)
    return fields + u32(crc32c(fields))


# --- Reading ----------------------------------------------------------------------------------------------------


def read_shard_head(path: Path) -> ShardHead:
    """A shard's head. Raises OSError, FormatError (not ours, or newer), CorruptError (cut short, damaged)."""
    with open_file(path) as file:
        return _head_of(path, file)


def _head_of(path: Path, file: BinaryIO) -> ShardHead:
    start = read_at(file, 0, HEAD.length)
    if not start:
        raise CorruptError(f"{path}: the shard is cut short: it is empty")
    try:
        fields, _ = HEAD.open(start)
    except (CorruptError, FormatError) as error:
        raise type(error)(f"{path}: {error}") from None
    return ShardHead(read_u32(fields, 0), read_u32(fields, 4), fields[8:])


def read_shard(path: Path, check: bool = True) -> Shard:
    """A shard's records; damaged ones are left out and become problems. No index is needed.

    Without `check`, streams are not read, and so neither are their checksums checked. Raises as `read_shard_head`.
    """
    records: list[Record] = []
    problems: list[str] = []
    at, images = HEAD.length, 0
    with open_file(path) as file:
        head = _head_of(path, file)
        size = size_of(file)
        while at < size:
            try:
                start = read_at(file, at, _WINDOW)
                if start.startswith(END):
                    problems += _end_problems(start, images, damaged=bool(problems))
                    return Shard(head, tuple(records), tuple(problems))
                record = _record_at(file, start, at, head.number)
            except CorruptError as error:
                damaged, at = at, _after_damage(file, at, size)
                problems.append(f"damaged from byte {damaged:,} to {at:,}: {error}")
                continue
            at = record.stream.offset + record.stream.length
            images += len(record.names)
            if problem := _stream_problem(file, record, size, check):
                problems.append(problem)
            else:
                records.append(record)
    if not problems or not problems[-1].startswith("cut short"):
        problems.append("cut short: its end is missing")
    return Shard(head, tuple(records), tuple(problems))


def _stream_problem(file: BinaryIO, record: Record, size: int, check: bool) -> str:
    """What is wrong with a record's stream, in words; nothing where it is all there and, with `check`, undamaged."""
    stream = record.stream
    if stream.offset + stream.length > size:
        return f"cut short: {_which(record.names)} lost, and any after"
    if check and stream_checksum(read_at(file, stream.offset, stream.length)) != stream.checksum:
        return f"damaged: {_which(record.names)} lost, the checksum does not match"
    return ""


def _which(names: Sequence[str]) -> str:
    """Names images for a message, with a verb: 'a' is, or 'a' to 'b' (9 images) are."""
    first, last = shown(names[0]), shown(names[-1])
    return f"{first} is" if len(names) == 1 else f"{first} to {last} ({len(names):,} images) are"


def _after_damage(file: BinaryIO, damaged: int, size: int) -> int:
    """The first place after `damaged` where a record or the end begins; `size` if there is none.

    Other bytes may look like marks, and claim long names. After such a mark never more is read than has been searched,
    so that the time is linear in the size of the file.
    """
    spent = 0
    for at, start in _marks(file, damaged + 1, size):
        try:
            needed = _END_BYTES if start.startswith(END) else _record_bytes(start)
            if spent + needed > at - damaged + _SEARCHED:
                continue
            spent += needed
            if start.startswith(END):
                _end_of(start)
            else:
                _record_at(file, start, at, 0)
        except CorruptError:
            continue
        return at
    return size


def _marks(file: BinaryIO, at: int, size: int) -> Iterator[tuple[int, bytes]]:
    """All marks from `at` on: their places, each with the bytes that begin there."""
    while at < size:
        data = read_at(file, at, _SEARCHED + _WINDOW)
        end = min(len(data), _SEARCHED)
        place = _next_mark(data, 0)
        while place < end:
            yield at + place, data[place : place + _WINDOW]
            place = _next_mark(data, place + 1)
        at += max(end, 1)


def _next_mark(data: bytes, at: int) -> int:
    """The first mark from `at` on; the data's length where there is none."""
    while (at := data.find(RECORD[:-1], at)) >= 0:
        if data.startswith((RECORD, END), at):
            return at
        at += 1
    return len(data)


def _record_at(file: BinaryIO, start: bytes, at: int, shard: int) -> Record:
    """The record at a place, of which `start` has been read. CorruptError if there is none."""
    needed = _record_bytes(start)
    return _parse_record(start if needed <= len(start) else read_at(file, at, needed), at, shard)


def _record_bytes(start: bytes) -> int:
    """Bytes of the record that begins here, without its stream. CorruptError if none does, or none this long."""
    if not start.startswith(RECORD):
        raise CorruptError("no record begins there")
    file = io.BytesIO(start)
    file.seek(len(RECORD))
    take_varint(file), take_varint(file), take(file, 4)
    names = take_varint(file)
    if names > _LONGEST_NAMES:
        raise CorruptError(f"a record claims {names:,} bytes of names")
    return file.tell() + names + 4


def _parse_record(data: bytes, at: int, shard: int) -> Record:
    """The record that `data`, read at a place in a shard, begin with; its stream is not looked at."""
    file = io.BytesIO(data)
    file.seek(len(RECORD))
    count, length = take_varint(file), take_varint(file)
    checksum = int.from_bytes(take(file, 4), "little")
    names = take_string(file)
    end = file.tell()
    if crc32c(data[:end]) != int.from_bytes(take(file, 4), "little"):
        raise CorruptError("a record's checksum does not match")
    return Record(Stream(shard, at + end + 4, length, checksum), tuple(unpack_names(names, count)))


def _end_of(data: bytes) -> tuple[int, int]:
    """How many images a shard's end counts, and its own bytes; `data` begin with its mark."""
    file = io.BytesIO(data)
    file.seek(len(END))
    count = take_varint(file)
    end = file.tell()
    if crc32c(data[:end]) != int.from_bytes(take(file, 4), "little"):
        raise CorruptError("the end's checksum does not match")
    return count, end + 4


def _end_problems(data: bytes, images: int, damaged: bool) -> Iterator[str]:
    """What is wrong with a shard's end; `data` begin with its mark."""
    count, length = _end_of(data)
    if not damaged and count != images:
        yield f"damaged: its end speaks of {count:,} images, there are {images:,}"
    if length != len(data):
        yield "followed by bytes that are not part of it"
