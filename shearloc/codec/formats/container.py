"""The `.shl` container, version 1: header and payloads, to bytes and back. docs/FORMAT.md is its specification.

Bytes only: nothing here codes pixels, loads a model or touches a file.
"""

import io
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from ...coding.fields import read_u32, string, take, take_name, take_string, take_varint, u32, varint
from ...errors import CorruptError, FormatError, UnsupportedImageError
from ...models import registry
from ...models.family import Family, Order
from ..pictures.picture import CHANNELS, DEPTHS, GRAY, GRAY_ALPHA, MAX_CHUNK_BYTES, RGB, RGBA, Chunk
from . import chunks
from .crc32c import crc32c
from .heads import Head

MAGIC = b"\x89SHL\r\n\x1a\n"
VERSION = 1
HEAD = Head(MAGIC, VERSION, "file")

IMAGE = 0
"""The only kind of content: a single picture. Archives have a signature of their own."""


class Method(IntEnum):
    """How a payload holds its samples without a model. All other numbers are families of models."""

    RAW = 0
    WEBP = 1
    DEFLATE = 4
    SAME = 5


FINGERPRINT_BYTES = 8

MAX_SAMPLES = 1 << 28
"""Default limit on a picture's samples of 8 bits, against headers that claim memory that they never fill."""

WEBP_SIDE = 16383
WEBP_PIXELS = 1 << 26
"""Largest side and area of a WebP payload: the format's own, and what libraries read without a special setting."""

_NAME_BYTES = 255
_MAX_PRECISION = 32
_MAX_LANES = 1 << 16
_MAX_PARTS = 8
_MAX_HEAD_BYTES = MAX_CHUNK_BYTES + (1 << 24)
"""More than any header has: its chunks, and parts with names and side information."""


@dataclass(frozen=True)
class Part:
    """Some of a picture's planes, and how its payload holds them. docs/FORMAT.md explains every field.

    `method`: a Method, or the number of a family of models. Without a model, the fields from `order` on stay at their
    defaults (empty, zero).
    """

    planes: int
    method: int
    order: int = Order.SEQUENTIAL
    model: str = ""
    fingerprint: bytes = bytes(FINGERPRINT_BYTES)
    precision: int = 0
    lanes: int = 0
    side_information: bytes = b""

    @property
    def family(self) -> Family | None:
        """The family of models that codes the part; None for a method without a model."""
        return registry.by_method(self.method)

    @property
    def order_name(self) -> str:
        """The order of its pixels, sequential or sheared."""
        return Order(self.order).name.lower()


@dataclass(frozen=True)
class Header:
    """What a file says about its picture. `colour` and `depth` (bits) as in PNG. Together the parts have all planes.

    `chunks` are PNG's: PLTE and tRNS, which a picture may need, and metadata, which never changes the samples; and
    MODL, the weights of a model that a part uses.
    """

    height: int
    width: int
    colour: int
    depth: int
    parts: tuple[Part, ...]
    pixel_crc: int
    chunks: tuple[Chunk, ...] = ()
    kind: int = IMAGE

    @property
    def planes(self) -> int:
        """Planes of 8 bits: one for each channel, or two at 16 bits."""
        return CHANNELS[self.colour] * (2 if self.depth == 16 else 1)

    @property
    def samples(self) -> int:
        """Samples of 8 bits: height * width * planes."""
        return self.height * self.width * self.planes


def pack(header: Header, payloads: Sequence[bytes]) -> bytes:
    """A whole file, one payload a part. FormatError or CorruptError for a header that `unpack` would refuse."""
    lengths = [len(payload) for payload in payloads]
    _check(header, lengths, chunks.outlines(header.chunks))
    fields = b"".join(_fields(header, lengths))
    sealed = [piece for payload in payloads for piece in (payload, u32(crc32c(payload)))]
    return b"".join([HEAD.seal(fields), *sealed])


def unpack(data: bytes, max_samples: int = MAX_SAMPLES) -> tuple[Header, list[bytes]]:
    """Header and payloads of a whole file, every claim checked.

    Raises FormatError (empty, not ours, or needs a newer version), CorruptError (cut short, damaged, or
    followed by other bytes), UnsupportedImageError (more than `max_samples` samples of 8 bits).
    """
    header, start, lengths = _read_head(data, max_samples)
    if any(part.family for part in header.parts):
        from ... import kernels  # noqa: F401  # a model needs them soon, and with Numba checksums are quicker, too
    payloads = []
    for length in lengths:
        payload = data[start : start + length]
        if crc32c(payload) != read_u32(data, start + length):
            raise CorruptError("the file is damaged: a payload's checksum does not match")
        payloads.append(payload)
        start += length + 4
    return header, payloads


def unpack_header(data: bytes) -> tuple[Header, list[int]]:
    """Header and payload lengths of a whole file; like `unpack`, without looking at the payloads."""
    header, _, lengths = _read_head(data, None)
    return header, lengths


def outline(data: bytes) -> tuple[Header, list[int], list[chunks.Outline]]:
    """Like `unpack_header`, in little memory: chunks come as outlines, and the header has none."""
    fields, start = HEAD.open(data)
    header, lengths, packed = _parse(fields)
    found = [(kind, length) for kind, length, _ in chunks.outline(packed)]
    _check(header, lengths, found)
    _check_length(len(data), start + sum(lengths) + 4 * len(lengths))
    return header, lengths, found


def head_length(beginning: bytes) -> int:
    """Bytes of a file before its payloads. `beginning`: at least the file's first 18 bytes, or all of it.

    Raises FormatError, CorruptError (also for a header that is longer than any).
    """
    start, length = HEAD.begin(beginning)
    if length > _MAX_HEAD_BYTES:
        raise CorruptError("the file's header claims to be longer than any")
    return start + length + 4


def unpack_head(head: bytes) -> Header:
    """The header of a file, from its first `head_length` bytes. Raises FormatError, CorruptError."""
    return _read_fields(head)[0]


def _read_head(data: bytes, max_samples: int | None) -> tuple[Header, int, list[int]]:
    """The header, where the payloads begin, and their lengths. The file is as long as they say."""
    header, start, lengths = _read_fields(data)
    if max_samples is not None and header.samples > max_samples:
        raise UnsupportedImageError(
            f"the image has {header.samples} samples, more than the limit of {max_samples}; "
            "raise max_samples (--max-samples) if you trust the file"
        )
    _check_length(len(data), start + sum(lengths) + 4 * len(lengths))
    return header, start, lengths


def _read_fields(data: bytes) -> tuple[Header, int, list[int]]:
    """The header, where the payloads begin, and their lengths. Nothing is judged yet."""
    fields, start = HEAD.open(data)
    header, lengths, packed = _parse(fields)
    header = replace(header, chunks=chunks.unpack(packed))
    _check(header, lengths, chunks.outlines(header.chunks))
    return header, start, lengths


def _check_length(actual: int, expected: int) -> None:
    if actual < expected:
        raise CorruptError(f"the file is cut short: {actual} bytes of {expected}")
    if actual > expected:
        raise CorruptError(f"the file is followed by {actual - expected} bytes that are not part of it")


def _check(header: Header, lengths: Sequence[int], found: Sequence[chunks.Outline]) -> None:
    """Refuses what this version does not know (FormatError) and what contradicts itself (CorruptError)."""
    _know("content kind", header.kind, (IMAGE,))
    _know("colour type", header.colour, CHANNELS)
    _know("bit depth", header.depth, DEPTHS[header.colour])
    for part in header.parts:
        _know_method(part.method)
        _know("order", part.order, tuple(Order))
    if kind := chunks.unknown(found, (chunks.PALETTE, chunks.WEIGHTS)):
        _know("a chunk", kind.decode(errors="replace"), ())
    for problem in _contradictions(header, lengths, found):
        raise CorruptError(f"the file's header contradicts itself: {problem}")


def _know(what: str, value: object, known: Container[object]) -> None:
    if value not in known:
        raise FormatError(f"the file has {what} {value}, which this version of Shearloc does not know")


def _know_method(method: int) -> None:
    family = registry.by_method(method)
    _know("method", method, (*Method, *([method] if family and family.pictures else [])))


def _contradictions(header: Header, lengths: Sequence[int], found: Sequence[chunks.Outline]) -> Iterator[str]:
    if not (0 < header.height < 1 << 32 and 0 < header.width < 1 << 32):
        yield f"a size of {header.height} x {header.width}"
    if not 0 <= header.pixel_crc < 1 << 32:
        yield "a checksum of more than 32 bits"
    yield from chunks.contradictions(found, sum(part.family is not None for part in header.parts))
    if not 1 <= len(header.parts) <= _MAX_PARTS or sum(part.planes for part in header.parts) != header.planes:
        yield "parts that are not the picture"
    first = 0
    for part, length in zip(header.parts, lengths, strict=True):
        yield from _part_contradictions(header, part, length, first)
        first += part.planes


def _part_contradictions(header: Header, part: Part, length: int, first: int) -> Iterator[str]:
    """What contradicts itself in a part. `first`: how many planes the parts before it have."""
    channels = CHANNELS[header.colour]
    if not part.planes:
        yield "a part without planes"
    elif first // channels != (first + part.planes - 1) // channels and not _is_whole(header, part):
        yield "a part of both high and low bytes"
    elif is_deep(part) and (header.depth != 16 or not _is_whole(header, part)):
        yield "a model of 16 bits for other planes"
    if len(part.model.encode()) > _NAME_BYTES or not part.model.isprintable():
        yield "a model name that is too long or not printable"
    if len(part.fingerprint) != FINGERPRINT_BYTES:
        yield "a fingerprint of another length"
    if part.method == Method.RAW and length != raw_bytes(header, part):
        yield f"{length} bytes for {raw_bytes(header, part)} raw bytes"
    if part.method == Method.WEBP and not webp_holds(header.height, header.width, part.planes):
        yield "a WebP of a size that WebP does not have"
    if part.method == Method.SAME and (length or first < channels):
        yield "low bytes that equal high bytes, where there are none"
    if part.family:
        if not (part.model and 0 < part.precision <= _MAX_PRECISION and 0 < part.lanes <= _MAX_LANES):
            yield "no model name, or coder parameters out of range"
    elif part != Part(part.planes, part.method):
        yield "model fields in a part that uses no model"


def _is_whole(header: Header, part: Part) -> bool:
    """Whether a part holds the picture's samples, not planes of 8 bits."""
    return part.planes == header.planes and (part.method in (Method.RAW, Method.DEFLATE) or is_deep(part))


def is_deep(part: Part) -> bool:
    """Whether it is by a model of samples of 16 bits."""
    return part.family is not None and part.family.deep


def part_format(header: Header, part: Part) -> tuple[int, int]:
    """Colour type and bit depth of the samples in a raw or deflated part.

    They are the picture's own if the part has all its planes. Else they have 8 bits, and the number of planes decides
    the colour type.
    """
    if _is_whole(header, part):
        return header.colour, header.depth
    return {1: GRAY, 2: GRAY_ALPHA, 3: RGB}.get(part.planes, RGBA), 8


def raw_bytes(header: Header, part: Part) -> int:
    """Length of a raw part's payload: rows, each packed to whole bytes."""
    colour, depth = part_format(header, part)
    return header.height * ((header.width * CHANNELS[colour] * depth + 7) // 8)


def webp_holds(height: int, width: int, planes: int) -> bool:
    """Whether a WebP payload can hold planes of this size."""
    return max(height, width) <= WEBP_SIDE and height * width <= WEBP_PIXELS and planes <= 4


def _fields(header: Header, lengths: Sequence[int]) -> Iterator[bytes]:
    """The header between its length and its checksum, in file order. `_parse` is the inverse."""
    yield bytes([header.kind, header.colour, header.depth])
    yield varint(header.height) + varint(header.width)
    yield bytes([len(header.parts)])
    for part, length in zip(header.parts, lengths, strict=True):
        yield _part_fields(part, length)
    yield chunks.pack(header.chunks)
    yield u32(header.pixel_crc)


def _part_fields(part: Part, length: int) -> bytes:
    fields = bytes([part.planes, part.method]) + varint(length)
    if part.family:
        fields += bytes([part.order]) + string(part.model.encode()) + part.fingerprint
        fields += bytes([part.precision]) + varint(part.lanes) + string(part.side_information)
    return fields


def part_bytes(part: Part, length: int) -> int:
    """Bytes that a part with a payload of this length takes in a file."""
    return len(_part_fields(part, length)) + length + 4


def _parse(fields: bytes) -> tuple[Header, list[int], bytes]:
    """Header without chunks, payload lengths, and the packed chunks: the structure only. `_check` judges the values."""
    stream = io.BytesIO(fields)
    kind, colour, depth = take(stream, 3)
    height, width = take_varint(stream), take_varint(stream)
    parts, lengths = [], []
    for _ in range(take(stream, 1)[0]):
        planes, method = take(stream, 2)
        _know_method(method)  # its fields cannot be told otherwise
        lengths.append(take_varint(stream))
        parts.append(_parse_model(stream, planes, method) if registry.by_method(method) else Part(planes, method))
    packed = take_string(stream)
    pixel_crc = int.from_bytes(take(stream, 4), "little")
    if stream.tell() != len(fields):
        raise CorruptError("the file's header is longer than its fields")
    return Header(height, width, colour, depth, tuple(parts), pixel_crc, (), kind), lengths, packed


def _parse_model(stream: io.BytesIO, planes: int, method: int) -> Part:
    order = take(stream, 1)[0]
    model = take_name(stream)
    fingerprint = take(stream, FINGERPRINT_BYTES)
    precision = take(stream, 1)[0]
    return Part(planes, method, order, model, fingerprint, precision, take_varint(stream), take_string(stream))
