"""The index of a collection: sorted names in blocks, searched by seeking. Built from shards' records, and read."""

import errno
import io
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...coding.fields import read_u32, string, take_string, take_varint, u32, varint
from ...errors import CorruptError, FormatError, ShearlocError
from ...inflate import inflate
from ..formats.crc32c import crc32c
from ..formats.heads import Head
from .cache import Cache
from .names import NAME_BYTES, STREAM_IMAGES, pack_names, shown, unpack_names
from .places import open_file, read_at, read_u64, size_of, u64
from .shards import Record, Stream, shard_name

INDEX = "index.shx"
HEAD = Head(b"\x89SHX\r\n\x1a\n", 1, "index", 8 + 8 + 4)
BLOCK_IMAGES = 256
"""Images in a block; the last block has fewer."""

_STREAM, _BLOCK = 24, 20
"""Bytes of an entry in either of the two tables."""
_CACHED_BYTES = 1 << 23
"""Blocks that are kept: about 200 of them with names of 30 letters."""
_PROBE = 128
"""Bytes of a block that a search looks at first: its first name is nearly always in them."""


@dataclass(frozen=True)
class Entry:
    """An image as the index has it: `position` is its number in the stream."""

    name: str
    stream: Stream
    position: int


class Block(NamedTuple):
    """A block's columns: names, and for each the number of its stream and its position there."""

    names: list[str]
    streams: list[int]
    positions: list[int]


# --- Writing ----------------------------------------------------------------------------------------------------


def build_index(records: Iterable[Record]) -> bytes:
    """The index over records of any shards, in any order: the same records give the same bytes.

    Raises ShearlocError where two images have the same name.
    """
    ordered = sorted(records, key=lambda record: (record.stream.shard, record.stream.offset))
    entries = sorted(
        (name, stream, position) for stream, record in enumerate(ordered) for position, name in enumerate(record.names)
    )
    for (name, first, _), (other, second, _) in zip(entries, entries[1:], strict=False):
        if name == other:
            where = (shard_name(ordered[k].stream.shard) for k in (first, second))
            raise ShearlocError(f"two images have the name {shown(name)}, in {' and '.join(where)}: remove one shard")
    blocks = [_pack_block(entries[k : k + BLOCK_IMAGES]) for k in range(0, len(entries), BLOCK_IMAGES)]
    head = HEAD.seal(u64(len(entries)) + u64(len(ordered)) + u32(BLOCK_IMAGES))
    streams = b"".join(_pack_stream(record.stream) for record in ordered)
    offset = len(head) + len(streams) + _BLOCK * len(blocks)
    table = []
    for sealed, body in blocks:
        table.append(u64(offset) + u32(len(sealed)) + u32(len(body)) + u32(crc32c(body)))
        offset += len(sealed) + len(body)
    return b"".join([head, streams, *table, *(piece for block in blocks for piece in block)])


def _pack_block(entries: Sequence[tuple[str, int, int]]) -> tuple[bytes, bytes]:
    """A block's first name, sealed, and its body: all names, and as columns of differences streams and positions."""
    first = string(entries[0][0].encode())
    names, streams, positions = zip(*entries, strict=True)
    columns = b"".join(_pack_differences(column) for column in (streams, positions))
    return first + u32(crc32c(first)), string(pack_names(names)) + zlib.compress(columns, 9)


def _unpack_block(body: bytes, count: int) -> Block:
    file = io.BytesIO(body)
    names = unpack_names(take_string(file), count)
    columns = io.BytesIO(inflate(file.read(), 20 * count, "the places"))
    streams, positions = (_take_differences(columns, count) for _ in range(2))
    return Block(names, streams, positions)


def _bytes_of(block: Block) -> int:
    """The memory that a block takes, roughly."""
    return sum(map(sys.getsizeof, block.names)) + 3 * 32 * len(block.names)


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
    return u32(stream.shard) + u64(stream.offset) + u64(stream.length) + u32(stream.checksum)


# --- Reading ----------------------------------------------------------------------------------------------------


class Index:
    """The index file of the collection in `folder`: how many images and streams there are, and where each is.

    The file is open only while it is read; the last blocks are kept. Several threads may use it at once. Raises
    OSError, FormatError (no index, not one of ours, newer), CorruptError (damaged).
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / INDEX
        self._blocks: Cache[int, Block] = Cache(_CACHED_BYTES, _bytes_of)
        if folder.is_file():
            raise FormatError(
                f"{folder}: is a file, not a collection's folder; `shearloc info` and `shearloc decode` take .shl files"
            )
        if not folder.exists():
            raise FileNotFoundError(errno.ENOENT, "no such collection", str(folder))
        if not self.path.is_file():
            raise FormatError(
                f"{folder}: not a collection, or its index is missing; if there are shards in it, "
                f"`shearloc reindex {folder}` makes a new one"
            )
        with open_file(self.path) as file:
            start = read_at(file, 0, HEAD.length)
            size = size_of(file)
        try:
            fields, _ = HEAD.open(start)
        except FormatError as error:
            raise FormatError(f"{self.path}: {error}") from None
        except CorruptError:
            raise self._damaged() from None
        self.images, self.streams = read_u64(fields, 0), read_u64(fields, 8)
        self._block_images = read_u32(fields, 16)
        self.block_count = -(-self.images // max(self._block_images, 1))
        self._block_table = HEAD.length + _STREAM * self.streams
        if not 0 < self._block_images <= STREAM_IMAGES or self._block_table + _BLOCK * self.block_count > size:
            raise self._damaged()

    def entry(self, key: str | int) -> Entry:
        """The entry for a name, or for a number in [0, images). Reads less than a kilobyte, and a block.

        Raises KeyError, IndexError, CorruptError.
        """
        if isinstance(key, str):
            number = self._search(key)
            block = self.block(number) if number >= 0 else Block([], [], [])
            if key not in block.names:
                raise KeyError(f"there is no image {shown(key)} in {self.folder}")
            at = block.names.index(key)
        else:
            if not 0 <= key < self.images:
                raise IndexError(f"{self.folder} has {self.images} images, none is number {key}")
            number, at = divmod(key, self._block_images)
            block = self.block(number)
        with open_file(self.path) as file:
            return Entry(block.names[at], self._stream(file, block.streams[at]), block.positions[at])

    def entries(self) -> Iterator[Entry]:
        """All images, by name."""
        for number in range(self.block_count):
            block = self.block(number)
            with open_file(self.path) as file:
                found = {stream: self._stream(file, stream) for stream in set(block.streams)}
            for name, stream, position in zip(*block, strict=True):
                yield Entry(name, found[stream], position)

    def block(self, number: int) -> Block:
        """A block's columns."""
        return self._blocks.get(number, lambda: self._read_block(number))

    def _read_block(self, number: int) -> Block:
        with open_file(self.path) as file:
            offset, first, length, checksum = self._block_place(file, number)
            body = read_at(file, offset + first, length)
        if len(body) != length or crc32c(body) != checksum:
            raise self._damaged()
        try:
            return _unpack_block(body, min(self._block_images, self.images - number * self._block_images))
        except CorruptError:
            raise self._damaged() from None

    def _search(self, name: str) -> int:
        """The last block whose first name is not after `name`; -1 where there is none."""
        low, high = 0, self.block_count
        with open_file(self.path) as file:
            while low < high:
                middle = (low + high) // 2
                if self._first_name(file, middle) <= name:
                    low = middle + 1
                else:
                    high = middle
        return low - 1

    def _first_name(self, file: BinaryIO, number: int) -> str:
        offset, first_bytes, _, _ = self._block_place(file, number)
        sealed = read_at(file, offset, min(first_bytes, _PROBE))
        if first_bytes > _PROBE:
            sealed += read_at(file, offset + _PROBE, first_bytes - _PROBE)
        if len(sealed) != first_bytes or crc32c(sealed[:-4]) != read_u32(sealed, first_bytes - 4):
            raise self._damaged()
        try:
            return take_string(io.BytesIO(sealed)).decode()
        except (CorruptError, UnicodeDecodeError):
            raise self._damaged() from None

    def _block_place(self, file: BinaryIO, number: int) -> tuple[int, int, int, int]:
        """A block's offset, the bytes of its sealed first name, and the bytes and checksum of its body."""
        entry = read_at(file, self._block_table + _BLOCK * number, _BLOCK)
        first, body, checksum = (read_u32(entry, at) for at in (8, 12, 16))
        if len(entry) < _BLOCK or not 4 < first <= NAME_BYTES + 6:
            raise self._damaged()
        return read_u64(entry, 0), first, body, checksum

    def _stream(self, file: BinaryIO, number: int) -> Stream:
        if not 0 <= number < self.streams:
            raise self._damaged()
        entry = read_at(file, HEAD.length + _STREAM * number, _STREAM)
        if len(entry) < _STREAM:
            raise self._damaged()
        return Stream(read_u32(entry, 0), read_u64(entry, 4), read_u64(entry, 12), read_u32(entry, 20))

    def _damaged(self) -> CorruptError:
        return CorruptError(
            f"{self.path}: the index is damaged or has changed meanwhile; "
            f"`shearloc reindex {self.folder}` makes a new one from the shards"
        )
