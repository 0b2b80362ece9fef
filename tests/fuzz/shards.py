"""Forged shards and indexes of collections: what they say changed, checksums put right (docs/FORMAT.md)."""

import io
import zlib
from dataclasses import dataclass, replace
from random import Random

from shearloc.codec.collections.index import HEAD as INDEX_HEAD
from shearloc.codec.collections.shards import END, RECORD
from shearloc.codec.formats.crc32c import crc32c

from .damage import NUMBERS, damage, varint
from .shl import SIGNATURE_AND_VERSION, Part, changed, fields_of, read, repacked, value_of

SHARD_FIELDS = (("shard", 4), ("planned", 4), ("plan", 16))
RECORD_FIELDS = (("images", "varint"), ("stream bytes", "varint"), ("stream checksum", 4), ("names", "string"))
END_FIELDS = (("images", "varint"),)
INDEX_FIELDS = (("images", 8), ("streams", 8), ("images a block", 4))
STREAM_FIELDS = (("shard", 4), ("offset", 8), ("length", 8), ("checksum", 4))
BLOCK_FIELDS = (("offset", 8), ("first bytes", 4), ("body bytes", 4), ("checksum", 4))


@dataclass
class Section:
    """A part of a shard: a mark and fields, sealed by a checksum, and a stream behind them."""

    mark: bytes
    parts: list[Part]
    stream: bytes = b""


@dataclass
class Block:
    """A block of an index: its entry in the table, its first name, all names, and the places."""

    entry: list[Part]
    first: Part
    names: Part
    places: bytes

    @property
    def body(self) -> bytes:
        """What the entry's checksum covers."""
        return fields_of([self.names]) + self.places


def forge_shard(data: bytes, other: bytes, draw: Random, story: list[str]) -> bytes:
    """A sound shard with some fields or streams changed; `other` is a stream that does not belong there."""
    sections = split_shard(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        kind = draw.choice(("field", "field", "field", "names", "stream", "exchange", "repeat", "drop", "marks"))
        story.append(kind)
        at = draw.randrange(len(sections))
        if kind in ("field", "names"):
            part = draw.choice([one for one in sections[at].parts if kind == "field" or one.name == "names"] or [None])
            if part:
                part.content = _changed(part, draw)
        elif kind in ("stream", "exchange"):
            stream = damage(sections[at].stream, other, draw, story) if kind == "stream" else other
            sections[at] = _with_stream(sections[at], stream)
        elif kind == "marks":  # as a hostile file has them in what looks like a stream
            mark = draw.choice((RECORD, END, RECORD + b"\1\1\0\0\0\0" + varint(draw.choice(NUMBERS))))
            sections[at].stream += mark * draw.choice((1, 10, 10_000))
        elif kind == "repeat":
            sections[at:at] = [replace(sections[at], parts=[replace(part) for part in sections[at].parts])]
        elif len(sections) > 1:
            del sections[at]
    return join_shard(sections)


def split_shard(data: bytes) -> list[Section]:
    """The head, records and end of a sound shard."""
    stream = io.BytesIO(data)
    sections = [_section(stream, SIGNATURE_AND_VERSION, SHARD_FIELDS)]
    while (start := data[stream.tell() :]).startswith(RECORD):
        section = _section(stream, len(RECORD), RECORD_FIELDS)
        section.stream = stream.read(value_of(section.parts[1].content))
        sections.append(section)
    return sections + ([_section(stream, len(END), END_FIELDS)] if start else [])


def join_shard(sections: list[Section]) -> bytes:
    """A shard of these sections, each with its checksum right."""
    return b"".join(_sealed(section.mark + fields_of(section.parts)) + section.stream for section in sections)


def forge_index(data: bytes, draw: Random, story: list[str]) -> bytes:
    """A sound index with some fields, names or entries changed; checksums, and mostly places, are right."""
    head, streams, blocks = split_index(data)
    entries = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        kind = draw.choice(("head", "stream", "stream", "entry", "first name", "names", "names", "places", "repeat"))
        story.append(kind)
        block, stream = draw.choice(blocks), draw.choice(streams)
        if kind in ("head", "stream", "first name", "names"):
            part = draw.choice({"head": head, "stream": stream, "names": [block.names]}.get(kind, [block.first]))
            part.content = _changed(part, draw)
        elif kind == "entry":
            entries.append(draw.choice(block.entry))
        elif kind == "places":
            block.places = repacked(block.places, draw)
        else:
            streams.append(stream)
            blocks.append(replace(block, entry=[replace(part) for part in block.entry]))
            counts = (_number(head[0].content) + draw.choice((0, 1, 256)), len(streams))
            head[0].content, head[1].content = (count.to_bytes(8, "little") for count in counts)
    put_right(head, streams, blocks)
    for part in entries:
        part.content = _changed(part, draw)
    return join_index(head, streams, blocks)


def split_index(data: bytes) -> tuple[list[Part], list[list[Part]], list[Block]]:
    """Head, streams and blocks of a sound index."""
    stream = io.BytesIO(data)
    head = _section(stream, SIGNATURE_AND_VERSION, INDEX_FIELDS).parts
    images, count, in_block = (_number(part.content) for part in head)
    streams = [[read(stream, *field) for field in STREAM_FIELDS] for _ in range(count)]
    entries = [[read(stream, *field) for field in BLOCK_FIELDS] for _ in range(-(-images // in_block))]
    blocks = []
    for entry in entries:
        first = read(stream, "first name", "string")
        stream.read(4)
        end = _number(entry[0].content) + _number(entry[1].content) + _number(entry[2].content)
        names = read(stream, "names", "string")
        blocks.append(Block(entry, first, names, stream.read(end - stream.tell())))
    return head, streams, blocks


def put_right(head: list[Part], streams: list[list[Part]], blocks: list[Block]) -> None:
    """Let the blocks' entries say where the blocks are."""
    at = INDEX_HEAD.length + len(fields_of([part for stream in streams for part in stream])) + 20 * len(blocks)
    for block in blocks:
        first = len(_sealed(fields_of([block.first])))
        numbers = (at, first, len(block.body), crc32c(block.body))
        for part, number in zip(block.entry, numbers, strict=True):
            part.content = number.to_bytes(int(part.kind), "little")
        at += first + len(block.body)


def join_index(head: list[Part], streams: list[list[Part]], blocks: list[Block]) -> bytes:
    """An index of these parts; the checksums of its head and of first names are right."""
    start = _sealed(INDEX_HEAD.magic + bytes([INDEX_HEAD.version]) + fields_of(head))
    tables = [part for row in (*streams, *(block.entry for block in blocks)) for part in row]
    return start + fields_of(tables) + b"".join(_sealed(fields_of([one.first])) + one.body for one in blocks)


def _section(stream: io.BytesIO, mark: int, fields: tuple[tuple[str, int | str], ...]) -> Section:
    section = Section(stream.read(mark), [read(stream, name, kind) for name, kind in fields])
    stream.read(4)
    return section


def _with_stream(section: Section, stream: bytes) -> Section:
    """A record with another stream, of which it tells the truth."""
    right = {"stream bytes": varint(len(stream)), "stream checksum": zlib.crc32(stream).to_bytes(4, "little")}
    parts = [replace(part, content=right.get(part.name, part.content)) for part in section.parts]
    return Section(section.mark, parts, stream)


def _changed(part: Part, draw: Random) -> bytes:
    """Another content for a field."""
    if part.kind in (4, 8):
        near = (_number(part.content) + draw.choice((-1, 1))) % (1 << 8 * int(part.kind))
        return (draw.choice((near, *NUMBERS)) & (1 << 8 * int(part.kind)) - 1).to_bytes(int(part.kind), "little")
    return repacked(part.content, draw) if part.name == "names" and draw.random() < 0.7 else changed(part, draw)


def _sealed(content: bytes) -> bytes:
    return content + crc32c(content).to_bytes(4, "little")


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")
