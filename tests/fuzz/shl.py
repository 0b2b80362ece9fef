"""Forged pictures and archives: fields of the header (docs/FORMAT.md) or payloads changed, and made to fit again.

Lengths and checksums are put right, so that the decoder has to look closer.
"""

import io
import json
import zlib
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from shearloc.codec import archive
from shearloc.codec.formats import chunks
from shearloc.codec.formats.crc32c import crc32c
from shearloc.errors import ShearlocError
from shearloc.models import zoo
from shearloc.models.registry import FAMILIES

from .damage import NUMBERS, damage, varint

SIGNATURE_AND_VERSION = 9

FIELDS = (
    ("content kind", 1),
    ("colour type", 1),
    ("bit depth", 1),
    ("height", "varint"),
    ("width", "varint"),
    ("parts", 1),
)
"""The header's first fields: name, and bytes or type."""
PART_FIELDS = (("planes", 1), ("method", 1), ("payload length", "varint"))
MODEL_FIELDS = (
    ("order", 1), ("model name", "string"), ("fingerprint", 8), ("precision", 1), ("lanes", "varint"),
    ("side information", "string"),
)  # fmt: skip
LAST_FIELDS = (("chunks", "string"), ("pixel checksum", 4))
ARCHIVE_FIELDS = (
    ("archive method", 1), ("bit depth", 1), ("channels", 1), ("images", "varint"), ("height", "varint"),
    ("width", "varint"), ("model name", "string"), ("fingerprint", 8), ("precision", 1), ("steps", "varint"),
    ("net bits", "varint"), ("names", "string"), ("images a chunk", "varint"),
)  # fmt: skip
"""The same of an archive. Then come the chunks' lengths, and what is in "chunks" where there is any."""

MODELS = {family.method for family in FAMILIES}
"""The methods that have model fields."""


@dataclass
class Part:
    """A field: its content without the length that a string begins with."""

    name: str
    kind: int | str
    content: bytes


def split(data: bytes) -> tuple[list[Part], list[bytes]]:
    """Fields and payloads of a sound file. ValueError if the fields are not those of docs/FORMAT.md.

    The payload of an archive's chunk begins with its pixels' checksum.
    """
    parts, payloads = _split(data)
    return [replace(part) for part in parts], list(payloads)


@cache
def _split(data: bytes) -> tuple[list[Part], list[bytes]]:
    stream = io.BytesIO(data)
    stream.seek(SIGNATURE_AND_VERSION)
    length = _read_varint(stream)
    end = stream.tell() + length
    parts = _archive_fields(stream, end) if archive.is_archive(data) else _picture_fields(stream)
    if stream.tell() != end:
        raise ValueError("the header has other fields than tests/fuzz/mutate.py knows")
    payloads = []
    for part in parts:
        if part.name == "payload length":
            stream.read(4)  # the checksum before it
            payloads.append(stream.read(value_of(part.content) - _checksum_bytes(data)))
    if join(data[:SIGNATURE_AND_VERSION], parts, payloads) != data:
        raise ValueError("the file does not come back from its parts: is it sound?")
    return parts, payloads


def _picture_fields(stream: io.BytesIO) -> list[Part]:
    parts = [read(stream, name, kind) for name, kind in FIELDS]
    for _ in range(parts[-1].content[0]):
        parts += [read(stream, name, kind) for name, kind in PART_FIELDS]
        if parts[-2].content[0] in MODELS:
            parts += [read(stream, name, kind) for name, kind in MODEL_FIELDS]
    return parts + [read(stream, name, kind) for name, kind in LAST_FIELDS]


def _archive_fields(stream: io.BytesIO, end: int) -> list[Part]:
    parts = [read(stream, name, kind) for name, kind in ARCHIVE_FIELDS]
    images, in_chunk = (value_of(part.content) for part in parts if part.name in ("images", "images a chunk"))
    parts += [read(stream, "payload length", "varint") for _ in range(-(-images // in_chunk))]
    return parts + ([read(stream, "chunks", "string")] if stream.tell() < end else [])


def _checksum_bytes(data: bytes) -> int:
    """What an archive's chunk lengths count beyond the payload: its checksum."""
    return 4 if archive.is_archive(data) else 0


def join(head: bytes, parts: list[Part], payloads: list[bytes]) -> bytes:
    """A file of these fields and payloads; header length and checksums put right, other lengths as given."""
    fields = fields_of(parts)
    head += varint(len(fields)) + fields
    return b"".join(piece + crc32c(piece).to_bytes(4, "little") for piece in (head, *payloads))


def fields_of(parts: list[Part]) -> bytes:
    """The bytes of fields, strings behind their lengths."""
    return b"".join((varint(len(part.content)) if part.kind == "string" else b"") + part.content for part in parts)


def forge(data: bytes, other: bytes, draw: Random, story: list[str]) -> bytes:
    """Some fields or payloads changed, lengths and checksums put right (the payloads' lengths mostly)."""
    parts, payloads = split(data)
    other_parts, other_payloads = split(other)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        kind = draw.choice(
            ("field", "field", "field", "transplant", "payload", "payload", "front", "exchange", "repack", "part")
            if draw.random() < 0.85
            else ("weights",)
        )
        at = draw.randrange(len(payloads)) if payloads else None
        if kind == "part":
            _change_parts(parts, payloads, draw)
        elif kind == "weights":
            _change_weights(parts, draw, story)
        elif kind in ("field", "transplant"):
            part = draw.choice(parts)
            kind += f" {part.name}"
            same = [theirs.content for theirs in other_parts if theirs.name == part.name]
            if kind.startswith("transplant") and same:
                part.content = draw.choice(same)
            else:
                part.content = changed(part, draw)
        elif at is not None and kind == "payload":
            payloads[at] = damage(payloads[at], draw.choice(other_payloads or payloads), draw, story)
        elif at is not None and kind == "front":  # counts of lanes, rounds and words
            payloads[at] = (
                damage(payloads[at][:20], draw.choice(other_payloads or payloads)[:20], draw, story) + payloads[at][20:]
            )
        elif at is not None and kind == "exchange":
            payloads[at] = draw.choice(other_payloads or payloads)
        elif at is not None:
            payloads[at] = repacked(payloads[at], draw)
        story.append(kind)
    if draw.random() < 0.9:
        lengths = [part for part in parts if part.name == "payload length"]
        for part, payload in zip(lengths, payloads, strict=False):
            part.content = varint(len(payload) + _checksum_bytes(data))
    return join(data[:SIGNATURE_AND_VERSION], parts, payloads)


def _change_parts(parts: list[Part], payloads: list[bytes], draw: Random) -> None:
    """A part of the picture more, or one less; the count right most times."""
    begins = [i for i, part in enumerate(parts) if part.name == "planes"]
    if not begins:
        return
    which = draw.randrange(len(begins))
    end = [*begins, len(parts) - len(LAST_FIELDS)][which + 1]
    if draw.random() < 0.4:
        del parts[begins[which] : end]
        del payloads[which]
        count = len(begins) - 1
    else:
        times = draw.choice((1, 1, 3, 300))
        copies = [replace(part) for _ in range(times) for part in parts[begins[which] : end]]
        parts[end:end] = copies
        payloads[which:which] = [payloads[which]] * times
        count = len(begins) + times
    if draw.random() < 0.8:
        parts[len(FIELDS) - 1].content = bytes([count & 0xFF])


def _change_weights(parts: list[Part], draw: Random, story: list[str]) -> None:
    """Embedded weights changed; where they are still those of a model, the file then names that model."""
    found = next((part for part in parts if part.name == "chunks"), None)
    try:
        listed = list(chunks.take_chunks(io.BytesIO(varint(len(found.content)) + found.content))) if found else []
    except ShearlocError:  # changed before
        return
    places = [k for k, (kind, _) in enumerate(listed) if kind == chunks.WEIGHTS]
    if found is None or not places:
        return
    at = draw.choice(places)
    weights = _changed_model(listed[at][1], draw, story)
    listed[at] = (chunks.WEIGHTS, weights)
    packed = chunks.pack(listed)
    found.content = _without_length(packed)
    try:
        fingerprint = zoo.parse(weights, "changed").fingerprint
    except ShearlocError:
        return
    for part in parts:
        if part.name == "fingerprint":
            part.content = fingerprint


def _without_length(packed: bytes) -> bytes:
    stream = io.BytesIO(packed)
    _read_varint(stream)
    return stream.read()


def _changed_model(data: bytes, draw: Random, story: list[str]) -> bytes:
    """A .safetensors file with another number, other metadata or another shape; or broken as any bytes."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:  # changed before
        return damage(data, data, draw, story)
    body = bytearray(data[8 + length :])
    kind = draw.choice(("numbers", "numbers", "metadata", "shape", "any"))
    story.append(kind)
    name = draw.choice([name for name in header if name != "__metadata__"])
    if kind == "numbers" and body:
        first, last = header[name]["data_offsets"]
        last = min(last, len(body))  # cut before
        for _ in range(draw.choice((1, 1, 5, 100))):
            if first < last:
                body[draw.randrange(first, last)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    elif kind == "metadata":
        key = draw.choice(list(header["__metadata__"]))
        text = header["__metadata__"][key]
        numbers = ("0", "1", "2", "3", "-1", "4", "16", "1000000000000", "0 0 1 0", "{}", "none")
        one = draw.choice(text.replace(",", " ").split() or [""])
        header["__metadata__"][key] = text.replace(one, draw.choice(numbers), 1)
    elif kind == "shape":
        header[name]["shape"] = [draw.choice((0, 1, 3, size, size * 2, 1 << 40)) for size in header[name]["shape"]]
    else:
        return damage(data, data, draw, story)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body)


def changed(part: Part, draw: Random) -> bytes:
    """Another content for a field."""
    if part.kind == "varint":
        return _changed_varint(part.content, draw)
    if part.name == "side information" and draw.random() < 0.7:
        return repacked(part.content, draw)
    if part.name == "chunks" and draw.random() < 0.8:
        return _changed_chunks(part.content, draw)
    if part.name == "model name" and draw.random() < 0.5:
        return draw.choice((b"", b"photo", b"gray", b"../photo", b"/etc/passwd", b"p\0", b"\xff\xfe", b"x" * 256))
    if part.kind == 1:
        return bytes([draw.choice((draw.randrange(6), draw.randrange(256), draw.choice((8, 16, 24, 32)))) & 0xFF])
    if part.kind == "string" and draw.random() < 0.2:
        return draw.randbytes(draw.choice((1, 10, 1000, 100_000)))
    return damage(part.content, part.content, draw, []) if part.kind == "string" else draw.randbytes(len(part.content))


def _changed_varint(content: bytes, draw: Random) -> bytes:
    kind = draw.randrange(4)
    if kind == 0:  # a neighbour, or a simple ratio
        value = value_of(content)
        return varint(max(0, draw.choice((value - 1, value + 1, value * 2, value // 2, value * 3, value + 256))))
    if kind == 1 and draw.random() < 0.5:  # forms that are not allowed: too long, never ending, not the shortest
        longer = bytes(octet | 0x80 for octet in content)
        return draw.choice((longer + b"\0", b"\xff" * draw.randrange(8, 40), b"\x80" * draw.randrange(1, 12) + b"\1"))
    return varint(draw.choice(NUMBERS))


def repacked(content: bytes, draw: Random) -> bytes:
    """A zlib stream of something else: other bytes, of another number, or a great many zeros packed small."""
    try:
        plain = bytearray(zlib.decompressobj().decompress(content, 1 << 20))
    except zlib.error:  # none, or one that was changed before
        return damage(content, content, draw, [])
    kind = draw.randrange(5)
    if kind == 0:
        return zlib.compress(draw.randbytes(len(plain)))
    if kind == 1:
        return _zeros(draw.choice((10**3, 10**6, 10**8)))
    if kind == 2:
        return zlib.compress(bytes(plain)[: draw.randrange(len(plain) + 1)])
    for _ in range(draw.choice((1, 10, 100)) if plain else 0):
        plain[draw.randrange(len(plain))] = draw.choice((0, 1, 0x7F, 0x80, draw.randrange(256)))
    return zlib.compress(bytes(plain)) + draw.randbytes(draw.choice((0, 0, 3)))


@cache
def _zeros(count: int) -> bytes:
    """A great many, packed small."""
    return zlib.compress(bytes(count), 1)


def _changed_chunks(content: bytes, draw: Random) -> bytes:
    """Other chunks: more of them, with wrong lengths, deflated or not, far more than is said or than is there."""
    plain = content[1:] if content[:1] == b"\0" else b""
    if content[:1] == b"\1":
        stream = io.BytesIO(content[1:])
        _read_varint(stream)
        try:
            plain = zlib.decompressobj().decompress(stream.read(), 1 << 16)
        except zlib.error:  # changed before
            return damage(content, content, draw, [])
    for _ in range(draw.choice((0, 1, 2, 1000))):
        kind = draw.choice((b"iCCP", b"eXIf", b"iTXt", b"zzzz", b"PLTE", b"tRNS", b"\0\xff12", b"acTL", b"MODL"))
        inside = draw.randbytes(draw.choice((0, 1, 2, 6, 30, 768)))
        plain += kind + varint(draw.choice((len(inside), len(inside), len(inside), draw.choice(NUMBERS)))) + inside
    if draw.random() < 0.3 and plain:
        plain = damage(plain, plain, draw, [])
    if draw.random() < 0.5:
        return b"\0" + plain
    packed = zlib.compress(plain, 1) if draw.random() < 0.9 else _zeros(10**8)
    size = draw.choice((len(plain), len(plain), draw.choice(NUMBERS)))
    return bytes([draw.choice((1, 1, 1, 2))]) + varint(size) + packed


def read(stream: io.BytesIO, name: str, kind: int | str) -> Part:
    """The next field."""
    if kind == "varint":
        return Part(name, kind, varint(_read_varint(stream)))
    return Part(name, kind, stream.read(_read_varint(stream) if kind == "string" else int(kind)))


def _read_varint(stream: io.BytesIO) -> int:
    groups = bytearray()
    while not groups or groups[-1] > 0x7F:
        groups += stream.read(1) or b"\0"
    return value_of(groups)


def value_of(content: bytes | bytearray) -> int:
    """The number that LEB128 bytes mean."""
    return sum((octet & 0x7F) << 7 * i for i, octet in enumerate(content))
