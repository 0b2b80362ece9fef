"""The container: pack and unpack are inverses, the bytes are those of docs/FORMAT.md, and damage is found."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.codec.formats import container
from shearloc.codec.formats.container import (
    MAGIC,
    Header,
    Method,
    Part,
    pack,
    unpack,
    unpack_header,
)
from shearloc.codec.formats.crc32c import crc32c
from shearloc.codec.pictures.picture import DEPTHS, GRAY, PALETTE, RGB, RGBA
from shearloc.coding.fields import varint
from shearloc.errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from shearloc.models.family import Order
from shearloc.models.local import FAMILY

LOCAL = FAMILY.method
RAW, WEBP, DEFLATE, SAME = Method

LOCAL_PART = Part(3, LOCAL, order=Order.SHEARED, model="photo", fingerprint=b"weights!", precision=24, lanes=200)
LOCAL_HEADER = Header(300, 2, RGB, 8, (LOCAL_PART,), 0x01020304)
GOLDEN = bytes.fromhex(
    "89 53484c 0d0a 1a 0a"  # signature
    "01 22"  # version, header length
    "00 02 08 ac02 02"  # kind, colour type, depth, height, width
    "01"  # parts
    "03 02 03"  # planes, method, payload length
    "01 05 70686f746f 7765696768747321"  # order, model name, fingerprint
    "18 c801 00"  # precision, lanes, no side information
    "00"  # no chunks
    "04030201"  # pixel checksum
)
PARTED = Header(
    1, 2, RGBA, 16, (Part(3, RAW), Part(1, WEBP), Part(3, SAME), Part(1, DEFLATE)), 7, ((b"gAMA", b"\0\0\xb1\x8f"),)
)
PARTED_GOLDEN = bytes.fromhex(
    "89 53484c 0d0a 1a 0a"
    "01 21"
    "00 06 10 01 02"  # RGBA of 16 bits, 1 x 2
    "04"  # parts
    "03 00 06  01 01 02  03 05 00  01 04 01"  # planes, method, payload length of each
    "0a 00 67414d41 04 0000b18f"  # length of the chunks, plain, a type, its length and content
    "07000000"
)


def sealed(head: bytes, *payloads: bytes) -> bytes:
    """A file whose checksums are right, whatever is in it."""
    return b"".join(piece + crc32c(piece).to_bytes(4, "little") for piece in (head, *payloads))


def with_fields(fields: bytes, payload: bytes = b"abc") -> bytes:
    return sealed(MAGIC + b"\x01" + varint(len(fields)) + fields, payload)


def test_layout_is_the_documented_one() -> None:
    assert pack(LOCAL_HEADER, [b"abc"]) == sealed(GOLDEN, b"abc")
    payloads = [b"abcdef", b"gh", b"", b"i"]
    assert pack(PARTED, payloads) == sealed(PARTED_GOLDEN, *payloads)
    assert unpack(sealed(PARTED_GOLDEN, *payloads)) == (PARTED, payloads)


def test_a_plain_photo_costs_few_bytes() -> None:
    assert len(pack(LOCAL_HEADER, [b"abc"])) - 3 == 52


sides = st.integers(1, 2**32 - 1) | st.integers(1, 300)
crcs = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"tEXt", b"abCD"])
chunks = st.lists(st.tuples(kinds, st.binary(max_size=200) | st.integers(0, 5000).map(bytes)), max_size=3).map(tuple)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.isprintable)
colours = st.sampled_from([(colour, depth) for colour, depths in DEPTHS.items() for depth in depths])
local_parts = st.builds(
    Part,
    planes=st.just(1),
    method=st.just(LOCAL),
    order=st.integers(0, 1),
    model=names,
    fingerprint=st.binary(min_size=8, max_size=8),
    precision=st.integers(1, 32),
    lanes=st.integers(1, 2**16),
    side_information=st.binary(max_size=300),
)
plain_parts = st.sampled_from([Part(1, DEFLATE), Part(1, LOCAL, 0, "m", bytes(8), 1, 1)])


@given(st.data(), sides, sides, colours, crcs, chunks)
def test_files_come_back(data: st.DataObject, height: int, width: int, kind: tuple, crc: int, some: tuple) -> None:
    planes = Header(1, 1, *kind, (), 0).planes
    parts = data.draw(st.lists(local_parts | plain_parts, min_size=planes, max_size=planes).map(tuple))
    payloads = data.draw(st.lists(st.binary(max_size=100), min_size=planes, max_size=planes))
    header = Header(height, width, *kind, parts, crc, some)
    file = pack(header, payloads)
    assert unpack(file, max_samples=2**70) == (header, payloads)
    assert unpack_header(file) == (header, [len(payload) for payload in payloads])


@given(st.integers(1, 20), st.integers(1, 20), colours, crcs, chunks)
def test_raw_files_come_back(height: int, width: int, kind: tuple, crc: int, some: tuple) -> None:
    planes = Header(1, 1, *kind, (), 0).planes
    header = Header(height, width, *kind, (Part(planes, RAW),), crc, some)
    payload = bytes(container.raw_bytes(header, header.parts[0]))
    assert unpack(pack(header, [payload])) == (header, [payload])
    assert len(payload) == height * -(-width * planes * min(kind[1], 8) // 8)


@given(chunks)
def test_chunks_take_the_shorter_form(some: tuple) -> None:
    plain = sum(5 + (len(content) > 127) + len(content) for _, content in some)
    without = pack(LOCAL_HEADER, [b""])
    with_chunks = pack(replace(LOCAL_HEADER, chunks=some), [b""])
    assert len(with_chunks) - len(without) <= plain + 5


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused(noise: bytes, ours: bool) -> None:
    with pytest.raises(ShearlocError):
        unpack(MAGIC + b"\x01" + noise if ours else noise)


@given(st.binary(max_size=80))
def test_noise_with_right_checksums_is_refused_or_read(fields: bytes) -> None:
    try:
        found = unpack(with_fields(fields))
    except ShearlocError:
        return
    assert unpack(pack(*found)) == found


@pytest.mark.parametrize("header", [LOCAL_HEADER, PARTED], ids=["local", "parts"])
def test_every_flipped_bit_and_truncation_is_found(header: Header) -> None:
    data = pack(header, [bytes(range(40))] if header is LOCAL_HEADER else [b"abcdef", b"gh", b"", b"i"])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError if bit < 72 else CorruptError):
            unpack(bytes(damaged))
    with pytest.raises(FormatError, match="empty"):
        unpack(b"")
    for length in range(1, len(data)):
        with pytest.raises(CorruptError):
            unpack(data[:length])


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(CorruptError, match="followed by 1 byte"):
        unpack(pack(LOCAL_HEADER, [b"abc"]) + b"\0")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(FormatError, match=f"version {version}"):
        unpack(MAGIC + bytes([version]) + pack(LOCAL_HEADER, [b"abc"])[9:])


def test_too_many_samples_are_refused_before_anything_else() -> None:
    data = pack(replace(LOCAL_HEADER, height=2**20, width=2**20), [b"abc"])
    with pytest.raises(UnsupportedImageError, match="max_samples"):
        unpack(data)
    assert unpack_header(data)[0].samples == 3 * 2**40
    small = pack(LOCAL_HEADER, [b"abc"])
    assert unpack(small, max_samples=1800)[0] == LOCAL_HEADER
    with pytest.raises(UnsupportedImageError):
        unpack(small, max_samples=1799)


def test_16_bits_count_twice() -> None:
    assert replace(LOCAL_HEADER, depth=16).samples == 2 * LOCAL_HEADER.samples


@pytest.mark.parametrize(
    "change",
    [
        *({"kind": kind} for kind in (1, 255)),
        *({"colour": colour} for colour in (1, 5, 7)),
        *({"depth": depth} for depth in (0, 1, 4, 12, 32)),
        {"method": 3},
        {"method": 60},
        {"order": 2},
    ],
    ids=str,
)
def test_what_a_newer_version_may_write_is_refused(change: dict) -> None:
    with pytest.raises(FormatError, match="does not know"):
        pack(changed(**change), [b"abc"])


@pytest.mark.parametrize("at", [1, 2, 8])
def test_what_a_newer_version_may_write_is_refused_in_bytes_too(at: int) -> None:
    """Colour type, depth, and a part's method."""
    fields = bytearray(FIELDS)
    fields[at] = 77
    with pytest.raises(FormatError, match="77, which this version"):
        unpack(with_fields(bytes(fields)))


def changed(**changes: object) -> Header:
    """The header with other fields, of itself or of its part."""
    mine = {name: value for name, value in changes.items() if hasattr(LOCAL_PART, name)}
    rest = {name: value for name, value in changes.items() if name not in mine}
    return replace(LOCAL_HEADER, **{"parts": (replace(LOCAL_PART, **mine),), **rest})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": 2**32},
        {"pixel_crc": 2**32},
        {"model": ""},
        {"model": "a\x1b[2J"},
        {"model": "x" * 256},
        {"fingerprint": b"short"},
        {"precision": 0},
        {"precision": 33},
        {"lanes": 0},
        {"lanes": 2**16 + 1},
        {"chunks": ((b"abc1", b""),)},
        {"chunks": ((b"abc", b""),)},
        {"chunks": ((b"abcd", bytes(2**26)),)},
        {"chunks": ((b"abcd", b""),) * (2**16 + 1)},
        {"method": RAW},
        {"method": WEBP},
        {"planes": 0},
        {"planes": 2},
        {"planes": 4},
        {"colour": RGBA},
        {"parts": ()},
    ],
    ids=lambda change: str(change)[:40],
)
def test_contradictions_are_refused(change: dict) -> None:
    header = changed(**change)
    with pytest.raises(CorruptError, match="contradicts"):
        pack(header, [bytes(1800)] * len(header.parts))


@pytest.mark.parametrize(
    ("colour", "depth", "parts", "lengths"),
    [
        (GRAY, 8, (Part(1, SAME),), (0,)),  # no high bytes
        (GRAY, 16, (Part(1, SAME), Part(1, RAW)), (0, 8)),
        (GRAY, 16, (Part(1, RAW), Part(1, SAME)), (8, 1)),  # a payload nobody reads
        (GRAY, 16, (Part(2, WEBP),), (9,)),  # high and low bytes in one
        (RGB, 16, (Part(2, RAW), Part(2, RAW), Part(2, RAW)), (16, 16, 16)),
        (RGB, 8, (Part(3, RAW),), (23,)),
        (GRAY, 1, (Part(1, RAW),), (8,)),  # two bytes a row of four would be enough for eight
        (RGB, 8, (Part(3, RAW), Part(0, RAW)), (24, 0)),
        (PALETTE, 8, (Part(1, RAW, lanes=1),), (8,)),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(colour: int, depth: int, parts: tuple, lengths: tuple) -> None:
    with pytest.raises(CorruptError, match="contradicts"):
        pack(Header(2, 4, colour, depth, parts, 0), [bytes(length) for length in lengths])


@pytest.mark.parametrize("size", [(1, 16384), (16384, 1), (8193, 8192)])
def test_webp_has_its_limits(size: tuple[int, int]) -> None:
    with pytest.raises(CorruptError, match="WebP"):
        pack(Header(*size, RGB, 8, (Part(3, WEBP),), 0), [b"abc"])


FIELDS = GOLDEN[10:]


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS + b"\0",
        FIELDS[:-1],
        FIELDS.replace(b"\xac\x02\x02", b"\xac\x02\x82\x00"),  # width, not in its shortest form
        FIELDS.replace(b"\xac\x02\x02", b"\xac\x02" + b"\xff" * 9 + b"\x01"),  # beyond 63 bits
        FIELDS.replace(b"photo", b"ph\xfft\xff"),
        FIELDS.replace(b"\x05photo", b"\xff\xff\xff\xff\x7fphoto"),  # a name longer than the header
        FIELDS.replace(b"\xc8\x01\x00\x00", b"\xc8\x01\x00\xff\xff\xff\xff\x7f"),  # chunks that are not there
    ],
)
def test_bad_structure_under_right_checksums_is_refused(fields: bytes) -> None:
    assert unpack(with_fields(FIELDS)) == (LOCAL_HEADER, [b"abc"])
    with pytest.raises(CorruptError):
        unpack(with_fields(fields))


def with_chunks(packed: bytes) -> bytes:
    """A file whose chunks are this string."""
    return with_fields(FIELDS[:-5] + varint(len(packed)) + packed + FIELDS[-4:])


def deflated(plain: bytes, size: int | None = None) -> bytes:
    return b"\x01" + varint(len(plain) if size is None else size) + zlib.compress(plain)


CHUNK = b"tEXt\x03a\0b"


@pytest.mark.parametrize("packed", [b"\0" + CHUNK * 2, deflated(CHUNK * 2)], ids=["plain", "deflated"])
def test_both_forms_of_chunks_are_read(packed: bytes) -> None:
    assert unpack(with_chunks(packed))[0].chunks == ((b"tEXt", b"a\0b"),) * 2


@pytest.mark.parametrize(
    "packed",
    [
        b"\0" + CHUNK[:-1],
        b"\0te",
        deflated(CHUNK, 9),
        deflated(CHUNK, 7),
        deflated(CHUNK)[:-1],
        deflated(CHUNK) + b"\0",
        deflated(CHUNK, 2**26 + 1),
        b"\x01\x08nonsense",
        deflated(b"tEXt\0" * (2**16 + 1)),
    ],
    ids=range(9),
)
def test_bad_chunks_are_refused(packed: bytes) -> None:
    with pytest.raises(CorruptError):
        unpack(with_chunks(packed))


def test_a_newer_form_of_chunks_is_refused() -> None:
    with pytest.raises(FormatError, match="form of chunks 2"):
        unpack(with_chunks(b"\x02" + CHUNK))
