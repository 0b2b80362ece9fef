"""Collections: shards of `.shl` streams, the index over them, and any image of them. docs/FORMAT.md ("Collections").

A collection is a folder: shards, each readable by itself, and an index that is searched by seeking and can be rebuilt
from the shards. How images become streams is `archive.py`'s and `api.py`'s work; which sources go into which shard, and
who packs it, is `jobs/pack.py`'s.
"""

import io
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..coding.fields import read_u32, string, take, take_string, take_varint, u32, varint
from ..errors import CorruptError, FormatError, ShearlocError
from . import api, archive
from .formats.container import MAX_SAMPLES
from .formats.crc32c import crc32c
from .pictures.picture import Picture, Samples, from_array

SHARD_MAGIC = b"\x89SHD\r\n\x1a\n"
INDEX_MAGIC = b"\x89SHX\r\n\x1a\n"
VERSION = 1

INDEX = "index.shx"
SHARD_SUFFIX = ".shs"

RECORD, END = b"SHLr", b"SHLe"
"""What a record, and the end of a shard, begins with."""

PLAN_BYTES = 16
NAME_BYTES = 1024
"""Of a name in UTF-8, at most."""
CHUNK_IMAGES = 1 << 16
"""Images of a stream, at most."""
BLOCK_IMAGES = 256
"""Images whose names share a block of the index; the last block has fewer."""

CACHE_BYTES = 1 << 26
"""Decoded chunks that a `Collection` keeps, by default."""
_CACHED_BLOCKS = 64
_PROBE = 128
"""Bytes of a block that a search looks at first: its first name is nearly always in them."""

_WINDOW = 1 << 12
"""Bytes of a record that are read first: more than its names take, but for long ones."""
_LONGEST_NAMES = 1 << 27

_SHARD_HEAD = len(SHARD_MAGIC) + 1 + 4 + 4 + PLAN_BYTES + 4
_INDEX_HEAD = len(INDEX_MAGIC) + 1 + 8 + 8 + 4 + 4
_STREAM, _BLOCK = 24, 20
"""Bytes of an entry of the index's two tables."""


@dataclass(frozen=True)
class ShardHead:
    """A shard's number, how many images were to go into it, and the fingerprint of which they are and how packed."""

    number: int
    planned: int
    plan: bytes


@dataclass(frozen=True)
class Stream:
    """Where a `.shl` file or archive lies in a shard: bytes, and the CRC-32 (not 32C) of them."""

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
    """What is in a shard. `problems`: what is wrong with it, in words; none where it is complete and undamaged."""

    head: ShardHead
    records: tuple[Record, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """An image as the index has it: `position` is its number in the stream."""

    name: str
    stream: Stream
    position: int


def shard_name(number: int) -> str:
    """File name of a shard in the collection's folder."""
    return f"shard-{number:06}{SHARD_SUFFIX}"


def shard_paths(folder: Path) -> list[Path]:
    """The shards in a folder, by name."""
    return sorted(path for path in folder.glob(f"shard-*{SHARD_SUFFIX}") if path.is_file())


# --- Shards -----------------------------------------------------------------------------------------------------


def pack_shard_head(head: ShardHead) -> bytes:
    """The first bytes of a shard."""
    fields = SHARD_MAGIC + bytes([VERSION]) + u32(head.number) + u32(head.planned) + head.plan
    return fields + u32(crc32c(fields))


def stream_checksum(stream: "bytes | memoryview") -> int:
    """CRC-32, zlib's. Streams end with a CRC-32C, so that CRC-32C of them all is the same at equal length."""
    return zlib.crc32(stream)


def pack_record(names: Sequence[str], stream: bytes) -> bytes:
    """A record: the names of a stream's images, and the stream."""
    fields = varint(len(names)) + varint(len(stream)) + u32(stream_checksum(stream)) + string(_pack_names(names))
    return RECORD + fields + u32(crc32c(RECORD + fields)) + stream


def pack_shard_end(images: int) -> bytes:
    """The last bytes of a shard that has so many images."""
    fields = END + varint(images)
    return fields + u32(crc32c(fields))


def read_shard_head(path: Path) -> ShardHead:
    """A shard's head. Raises OSError, FormatError (not ours, or newer), CorruptError (cut short, damaged)."""
    with _open(path) as file:
        return _parse_shard_head(path, file.read(_SHARD_HEAD))


def read_shard(path: Path, check: bool = True) -> Shard:
    """A shard's records; damaged ones are left out and told. No index is needed.

    Without `check` the streams are neither read nor their checksums checked. Raises as `read_shard_head`.
    """
    records: list[Record] = []
    problems: list[str] = []
    at, images = _SHARD_HEAD, 0
    with _open(path) as file:
        head = _parse_shard_head(path, _read(file, 0, _SHARD_HEAD))
        size = file.seek(0, io.SEEK_END)
        while at < size:
            try:
                start = _read(file, at, _WINDOW)
                if start.startswith(END):
                    problems += _end_problems(start, images, damaged=bool(problems))
                    return Shard(head, tuple(records), tuple(problems))
                record = _record_at(file, start, at, head.number)
            except CorruptError as error:
                problems.append(f"damaged from byte {at:,} on: {error}")
                at = _next_mark(file, at, size)
                continue
            stream = record.stream
            at = stream.offset + stream.length
            images += len(record.names)
            if at > size:
                problems.append(f"cut short: {_which(record.names)} lost, and any after")
            elif check and stream_checksum(_read(file, stream.offset, stream.length)) != stream.checksum:
                problems.append(f"damaged: {_which(record.names)} lost, the checksum does not match")
            else:
                records.append(record)
    if not problems or not problems[-1].startswith("cut short"):
        problems.append("cut short: its end is missing")
    return Shard(head, tuple(records), tuple(problems))


def _next_mark(file: BinaryIO, at: int, size: int) -> int:
    """The first place after `at` where a record or the end may begin; `size` where there is none."""
    at += 1
    while at < size:
        window = _read(file, at, _WINDOW)
        if places := [k for mark in (RECORD, END) if (k := window.find(mark)) >= 0]:
            return at + min(places)
        # A mark may lie across the end of the window.
        at += max(1, len(window) - len(RECORD) + 1)
    return size


def _parse_shard_head(path: Path, data: bytes) -> ShardHead:
    if not data.startswith(SHARD_MAGIC[: len(data)]):
        raise FormatError(f"{path}: not a shard of a Shearloc collection")
    if len(data) < _SHARD_HEAD:
        raise CorruptError(f"{path}: the shard is cut short")
    _check_version(path, data[len(SHARD_MAGIC)])
    if crc32c(data[: _SHARD_HEAD - 4]) != read_u32(data, _SHARD_HEAD - 4):
        raise CorruptError(f"{path}: the shard's head is damaged")
    start = len(SHARD_MAGIC) + 1
    return ShardHead(read_u32(data, start), read_u32(data, start + 4), data[start + 8 : start + 8 + PLAN_BYTES])


def _record_at(file: BinaryIO, start: bytes, at: int, shard: int) -> Record:
    """The record at a place, of which `start` has been read; CorruptError where there is none."""
    needed = _record_bytes(start)
    return _parse_record(start if needed <= len(start) else _read(file, at, needed), at, shard)


def _record_bytes(start: bytes) -> int:
    """Bytes of the record that begins so, without its stream; CorruptError where none does, or none is so long."""
    file = io.BytesIO(start)
    if file.read(len(RECORD)) != RECORD:
        raise CorruptError("no record begins there")
    take_varint(file), take_varint(file), take(file, 4)
    names = take_varint(file)
    if names > _LONGEST_NAMES:
        raise CorruptError(f"a record claims {names:,} bytes of names")
    return file.tell() + names + 4


def _parse_record(data: bytes, at: int, shard: int) -> Record:
    """The record that `data`, read at a place in a shard, begins with; its stream is not looked at."""
    file = io.BytesIO(data)
    if file.read(len(RECORD)) != RECORD:
        raise CorruptError("no record begins there")
    count, length = take_varint(file), take_varint(file)
    checksum = int.from_bytes(take(file, 4), "little")
    names = take_string(file)
    end = file.tell()
    if crc32c(data[:end]) != int.from_bytes(take(file, 4), "little"):
        raise CorruptError("a record's checksum does not match")
    return Record(Stream(shard, at + end + 4, length, checksum), tuple(_unpack_names(names, count)))


def _end_problems(data: bytes, images: int, damaged: bool) -> Iterator[str]:
    """`data`: from the end's mark on."""
    file = io.BytesIO(data)
    file.seek(len(END))
    count = take_varint(file)
    end = file.tell()
    if crc32c(data[:end]) != int.from_bytes(take(file, 4), "little"):
        raise CorruptError("the end's checksum does not match")
    if not damaged and count != images:
        yield f"damaged: its end speaks of {count:,} images, there are {images:,}"
    if end + 4 != len(data):
        yield "followed by bytes that are not part of it"


def _which(names: Sequence[str]) -> str:
    """Images in words, with a verb: 'a' is, or 'a' to 'b' (9) are."""
    return f"'{names[0]}' is" if len(names) == 1 else f"'{names[0]}' to '{names[-1]}' ({len(names):,} images) are"


def _check_version(path: Path, version: int) -> None:
    if version != VERSION:
        raise FormatError(f"{path}: has version {version}, this Shearloc reads version {VERSION}: get a newer one")


# --- Names ------------------------------------------------------------------------------------------------------


def _pack_names(names: Sequence[str]) -> bytes:
    """Front coding in columns: bytes shared with the name before, bytes of the rest, the rests; then deflated."""
    encoded = [name.encode() for name in names]
    shared = [_common(a, b) for a, b in zip([b"", *encoded], encoded, strict=False)]
    rests = [name[k:] for name, k in zip(encoded, shared, strict=True)]
    columns = [*map(varint, shared), *map(varint, map(len, rests)), *rests]
    return zlib.compress(b"".join(columns), 9)


def _unpack_names(packed: bytes, count: int) -> list[str]:
    """The inverse. CorruptError for anything that is not `count` names."""
    if not 0 < count <= CHUNK_IMAGES:
        raise CorruptError(f"{count} names in one place")
    file = io.BytesIO(_inflate(packed, count * (NAME_BYTES + 4)))
    shared, sizes = ([take_varint(file) for _ in range(count)] for _ in range(2))
    names: list[str] = []
    name = b""
    for keep, size in zip(shared, sizes, strict=True):
        if keep > len(name) or keep + size > NAME_BYTES:
            raise CorruptError("a name is too long, or shares more than there is")
        name = name[:keep] + take(file, size)
        try:
            names.append(name.decode())
        except UnicodeDecodeError:
            raise CorruptError("a name is not UTF-8") from None
    if file.read(1):
        raise CorruptError("the names are followed by other bytes")
    return names


def _common(a: bytes, b: bytes) -> int:
    """Length of the longest common prefix."""
    return len(os.path.commonprefix([a, b]))


def _inflate(packed: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, limit)
    except zlib.error as error:
        raise CorruptError(f"the names do not unpack ({error})") from error
    if not stream.eof or stream.unused_data:
        raise CorruptError("the names are longer or shorter than they say")
    return plain


# --- Writing the index ------------------------------------------------------------------------------------------


def build_index(records: Iterable[Record]) -> bytes:
    """The index over records of any shards, in any order: the same bytes for the same records.

    Raises ShearlocError where two images have one name.
    """
    ordered = sorted(records, key=lambda record: (record.stream.shard, record.stream.offset))
    entries = sorted(
        (name, stream, position) for stream, record in enumerate(ordered) for position, name in enumerate(record.names)
    )
    for (name, first, _), (other, second, _) in zip(entries, entries[1:], strict=False):
        if name == other:
            where = (shard_name(ordered[k].stream.shard) for k in (first, second))
            raise ShearlocError(f"two images have the name '{name}', in {' and '.join(where)}: take one shard away")
    blocks = [_pack_block(entries[k : k + BLOCK_IMAGES]) for k in range(0, len(entries), BLOCK_IMAGES)]
    head = INDEX_MAGIC + bytes([VERSION]) + _u64(len(entries)) + _u64(len(ordered)) + u32(BLOCK_IMAGES)
    head += u32(crc32c(head))
    streams = b"".join(_pack_stream(record.stream) for record in ordered)
    offset = len(head) + len(streams) + _BLOCK * len(blocks)
    table = []
    for sealed, body in blocks:
        table.append(_u64(offset) + u32(len(sealed)) + u32(len(body)) + u32(crc32c(body)))
        offset += len(sealed) + len(body)
    return b"".join([head, streams, *table, *(piece for block in blocks for piece in block)])


def _pack_block(entries: Sequence[tuple[str, int, int]]) -> tuple[bytes, bytes]:
    """A block's first name, sealed, and its body: all names, and as columns of differences streams and positions."""
    first = string(entries[0][0].encode())
    names, streams, positions = zip(*entries, strict=True)
    columns = b"".join(_pack_differences(column) for column in (streams, positions))
    return first + u32(crc32c(first)), string(_pack_names(names)) + zlib.compress(columns, 9)


def _unpack_block(body: bytes, count: int) -> tuple[list[str], list[int], list[int]]:
    file = io.BytesIO(body)
    names = _unpack_names(take_string(file), count)
    columns = io.BytesIO(_inflate(file.read(), 20 * count))
    streams, positions = (_take_differences(columns, count) for _ in range(2))
    return names, streams, positions


def _pack_differences(values: Sequence[int]) -> bytes:
    """Differences d to the value before as varints of 2d, or −2d − 1 where d < 0."""
    steps = (b - a for a, b in zip([0, *values], values, strict=False))
    return b"".join(varint(2 * d if d >= 0 else -2 * d - 1) for d in steps)


def _take_differences(file: io.BytesIO, count: int) -> list[int]:
    values, value = [], 0
    for _ in range(count):
        step = take_varint(file)
        value += -(step + 1 >> 1) if step & 1 else step >> 1
        values.append(value)
    return values


def _pack_stream(stream: Stream) -> bytes:
    return u32(stream.shard) + _u64(stream.offset) + _u64(stream.length) + u32(stream.checksum)


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _read_u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


# --- Reading ----------------------------------------------------------------------------------------------------


def _open(path: Path) -> BinaryIO:
    """A file of which only what is asked for is read."""
    return open(path, "rb", buffering=0)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes of a file; fewer where it ends. Memory is taken for what is there, not for what is claimed."""
    size = file.seek(0, io.SEEK_END)
    length = min(length, size - offset)
    if length <= 0:
        return b""
    file.seek(offset)
    pieces = []
    while length > 0 and (piece := file.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


class Collection:
    """The images of a folder that `shearloc pack` wrote, read one at a time: `collection[name]`, `collection[number]`.

    Numbers go by the names in the order of their code points. To give one image, its chunk (a few dozen small images,
    or one large one) is read and decoded; up to `cache_bytes` of decoded chunks are kept. Files are open only while
    they are read, so a collection may be pickled, forked and used by several threads.

    `engine` and `max_samples` as in `shearloc.decode`. Raises OSError, FormatError, CorruptError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        engine: str = "auto",
        max_samples: int = MAX_SAMPLES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the head of the index."""
        self.path = Path(path)
        self._options = (engine, max_samples, cache_bytes)
        self._index = self.path / INDEX
        self._lock = threading.Lock()
        self._sound: dict[int, bool] = {}
        self._chunks: OrderedDict[Stream, Any] = OrderedDict()
        self._blocks: OrderedDict[int, tuple[list[str], list[int], list[int]]] = OrderedDict()
        if not self._index.is_file() and self.path.is_dir():
            raise FormatError(
                f"{self.path}: not a collection, or its index is missing; if there are shards in it, "
                f"`shearloc reindex {self.path}` makes a new one"
            )
        with _open(self._index) as file:
            head = file.read(_INDEX_HEAD)
            size = file.seek(0, io.SEEK_END)
        if not head.startswith(INDEX_MAGIC[: len(head)]):
            raise FormatError(f"{self._index}: not the index of a Shearloc collection")
        if len(head) == _INDEX_HEAD:
            _check_version(self._index, head[len(INDEX_MAGIC)])
        if len(head) < _INDEX_HEAD or crc32c(head[:-4]) != read_u32(head, _INDEX_HEAD - 4):
            raise self._damaged_index()
        start = len(INDEX_MAGIC) + 1
        self._images, self._streams = _read_u64(head, start), _read_u64(head, start + 8)
        self._block_images = read_u32(head, start + 16)
        self._block_count = -(-self._images // max(self._block_images, 1))
        self._block_table = _INDEX_HEAD + _STREAM * self._streams
        if not 0 < self._block_images <= CHUNK_IMAGES or self._block_table + _BLOCK * self._block_count > size:
            raise self._damaged_index()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where it is and how it is read; nothing that is open or cached."""
        return _reopen, (self.path, *self._options)

    def __len__(self) -> int:
        """How many images there are."""
        return self._images

    def __iter__(self) -> Iterator[Samples]:
        """The images, in the order of their names."""
        return (self[k] for k in range(len(self)))

    def __contains__(self, name: object) -> bool:
        """Whether there is an image of this name."""
        if not isinstance(name, str):
            return False
        try:
            self.entry(name)
        except KeyError:
            return False
        return True

    def __getitem__(self, key: str | int) -> Samples:
        """The image of a name or number as an array of its own: uint8 or uint16 [H, W] or [H, W, C].

        Raises KeyError for no such name, IndexError for no such number, OSError, CorruptError, UnknownModelError.
        """
        entry = self.entry(key)
        return np.array(_image_of(self._chunk(entry.stream, entry.name), entry.position, array=True))

    def picture(self, key: str | int | Entry) -> Picture:
        """The image of a name, number or entry with its palette and metadata. Raises as `[]`."""
        entry = key if isinstance(key, Entry) else self.entry(key)
        found: Picture = _image_of(self._chunk(entry.stream, entry.name), entry.position, array=False)
        return replace(found, samples=found.samples.copy())  # the chunk is kept for the next image

    @property
    def names(self) -> list[str]:
        """The names of all images, in order."""
        return [name for block in range(self._block_count) for name in self._block(block)[0]]

    def entries(self) -> Iterator[Entry]:
        """All images as the index has them, by name."""
        for k in range(self._block_count):
            names, streams, positions = self._block(k)
            with _open(self._index) as file:
                found = {stream: self._stream(file, stream) for stream in set(streams)}
            for name, stream, position in zip(names, streams, positions, strict=True):
                yield Entry(name, found[stream], position)

    def entry(self, key: str | int) -> Entry:
        """What the index says of the image of a name or number; less than a kilobyte and a block are read for it.

        Raises KeyError, IndexError, CorruptError (of the index).
        """
        if isinstance(key, str):
            block = self._search(key)
            names, streams, positions = self._block(block) if block >= 0 else ([], [], [])
            if key not in names:
                raise KeyError(f"there is no image '{key}' in {self.path}")
            at = names.index(key)
        else:
            number = key + len(self) if key < 0 else key
            if not 0 <= number < len(self):
                raise IndexError(f"{self.path} has {len(self)} images, none is number {key}")
            block, at = divmod(number, self._block_images)
            names, streams, positions = self._block(block)
        with _open(self._index) as file:
            return Entry(names[at], self._stream(file, streams[at]), positions[at])

    def _chunk(self, stream: Stream, name: str) -> Any:
        """All images of a stream: uint8 [N, H, W] or [N, H, W, 3], or a Picture; `name`, one of them, is for messages.

        Raises OSError, CorruptError, UnknownModelError, UnsupportedImageError.
        """
        with self._lock:
            if stream in self._chunks:
                self._chunks.move_to_end(stream)
                return self._chunks[stream]
        path = self.path / shard_name(stream.shard)
        engine, max_samples, cache_bytes = self._options
        try:
            data = self._stream_bytes(path, stream)
            if archive.is_archive(data):
                chunk: Any = archive.decode_images(data, engine=engine, max_samples=max_samples)[0]
            else:
                chunk = api.decode_picture(data, engine=engine, max_samples=max_samples)
        except (CorruptError, FormatError) as error:
            raise CorruptError(f"{path}: image '{name}' cannot be read: {error}") from error
        with self._lock:
            self._chunks[stream] = chunk
            while sum(map(_bytes_of, self._chunks.values())) > cache_bytes:
                self._chunks.popitem(last=False)
        return chunk

    def _stream_bytes(self, path: Path, stream: Stream) -> bytes:
        try:
            with _open(path) as file:
                data = _read(file, stream.offset, stream.length)
        except FileNotFoundError:
            raise CorruptError("the shard is missing") from None
        if len(data) == stream.length and stream_checksum(data) == stream.checksum:
            return data
        if stream.shard not in self._sound:
            self._sound[stream.shard] = _is_sound(path)
        if not self._sound[stream.shard]:
            raise CorruptError(f"the shard is {'cut short' if len(data) < stream.length else 'damaged'}")
        raise CorruptError(
            f"the index disagrees with the shard, which is sound; `shearloc reindex {self.path}` makes a new index"
        )

    def _search(self, name: str) -> int:
        """The last block whose first name is not after `name`; -1 where there is none."""
        low, high = 0, self._block_count
        with _open(self._index) as file:
            while low < high:
                middle = (low + high) // 2
                if self._first_name(file, middle) <= name:
                    low = middle + 1
                else:
                    high = middle
        return low - 1

    def _first_name(self, file: BinaryIO, block: int) -> str:
        if known := self._blocks.get(block):  # in one step: another thread may drop it meanwhile
            return known[0][0]
        offset, first_bytes, _, _ = self._block_place(file, block)
        sealed = _read(file, offset, min(first_bytes, _PROBE))
        if first_bytes > _PROBE:
            sealed += _read(file, offset + _PROBE, first_bytes - _PROBE)
        if len(sealed) != first_bytes or crc32c(sealed[:-4]) != read_u32(sealed, first_bytes - 4):
            raise self._damaged_index()
        try:
            return take_string(io.BytesIO(sealed)).decode()
        except (CorruptError, UnicodeDecodeError):
            raise self._damaged_index() from None

    def _block_place(self, file: BinaryIO, block: int) -> tuple[int, int, int, int]:
        """Offset, bytes of the sealed first name, bytes and checksum of the body."""
        entry = _read(file, self._block_table + _BLOCK * block, _BLOCK)
        first, body, checksum = (read_u32(entry, at) for at in (8, 12, 16))
        if len(entry) < _BLOCK or not 4 < first <= NAME_BYTES + 6:
            raise self._damaged_index()
        return _read_u64(entry, 0), first, body, checksum

    def _block(self, block: int) -> tuple[list[str], list[int], list[int]]:
        """A block's names, streams and positions."""
        with self._lock:
            if block in self._blocks:
                self._blocks.move_to_end(block)
                return self._blocks[block]
        with _open(self._index) as file:
            offset, first, length, checksum = self._block_place(file, block)
            body = _read(file, offset + first, length)
        if len(body) != length or crc32c(body) != checksum:
            raise self._damaged_index()
        count = min(self._block_images, self._images - block * self._block_images)
        try:
            found = _unpack_block(body, count)
        except CorruptError:
            raise self._damaged_index() from None
        with self._lock:
            self._blocks[block] = found
            while len(self._blocks) > _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        return found

    def _stream(self, file: BinaryIO, number: int) -> Stream:
        if not 0 <= number < self._streams:
            raise self._damaged_index()
        entry = _read(file, _INDEX_HEAD + _STREAM * number, _STREAM)
        if len(entry) < _STREAM:
            raise self._damaged_index()
        return Stream(read_u32(entry, 0), _read_u64(entry, 4), _read_u64(entry, 12), read_u32(entry, 20))

    def _damaged_index(self) -> CorruptError:
        return CorruptError(
            f"{self._index}: the index is damaged or has changed meanwhile; "
            f"`shearloc reindex {self.path}` makes a new one from the shards"
        )


def _reopen(path: Path, engine: str, max_samples: int, cache_bytes: int) -> Collection:
    return Collection(path, engine=engine, max_samples=max_samples, cache_bytes=cache_bytes)


def _is_sound(path: Path) -> bool:
    try:
        return not read_shard(path).problems
    except ShearlocError:
        return False


def _image_of(chunk: Any, position: int, array: bool) -> Any:
    """One of a chunk's images, as an array or as a picture."""
    count = 1 if isinstance(chunk, Picture) else len(chunk)
    if not 0 <= position < count:
        raise CorruptError(f"the index disagrees with a shard: image {position} of a chunk that has {count}")
    if isinstance(chunk, Picture):
        return chunk.array() if array else chunk
    return chunk[position] if array else from_array(chunk[position])


def _bytes_of(chunk: Any) -> int:
    return int(chunk.samples.nbytes if isinstance(chunk, Picture) else chunk.nbytes)
