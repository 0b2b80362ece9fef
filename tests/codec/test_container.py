"""The container: pack and unpack are inverses, the bytes are those of docs/FORMAT.md, and damage is found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.codec.container import LOCAL, MAGIC, RAW, SHEARED, WEBP, Header, pack, unpack, unpack_header
from shearloc.codec.crc32c import crc32c
from shearloc.errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError

LOCAL_HEADER = Header(
    300, 2, 3, LOCAL, 0x01020304, order=SHEARED, model="photo", fingerprint=b"weights!", precision=24, lanes=200
)
GOLDEN = bytes.fromhex(
    "89 53484c 0d0a 1a 0a"  # signature
    "01 20"  # version, header length
    "00 08 03 ac02 02"  # kind, depth, channels, height, width
    "02 01"  # method, order
    "05 70686f746f 7765696768747321"  # model name, fingerprint
    "18 c801 00 00"  # precision, lanes, no side information, no chunks
    "04030201 03"  # pixel checksum, payload length
)


def sealed(head: bytes, payload: bytes) -> bytes:
    """A file whose checksums are right, whatever is in it."""
    return head + crc32c(head).to_bytes(4, "little") + payload + crc32c(payload).to_bytes(4, "little")


def with_fields(fields: bytes, payload: bytes = b"abc") -> bytes:
    return sealed(MAGIC + bytes([1, len(fields)]) + fields, payload)


def test_layout_is_the_documented_one() -> None:
    assert pack(LOCAL_HEADER, b"abc") == sealed(GOLDEN, b"abc")


varints = st.integers(1, 2**32 - 1) | st.integers(1, 300)
crcs = st.integers(0, 2**32 - 1)
chunks = st.lists(st.tuples(st.sampled_from([b"iccp", b"Exif"]), st.binary(max_size=200)), max_size=3).map(tuple)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.isprintable)


@given(
    st.builds(
        Header,
        height=varints,
        width=varints,
        channels=st.sampled_from([1, 3]),
        method=st.just(LOCAL),
        pixel_crc=crcs,
        order=st.integers(0, 1),
        model=names,
        fingerprint=st.binary(min_size=8, max_size=8),
        precision=st.integers(1, 32),
        lanes=st.integers(1, 2**16),
        side_information=st.binary(max_size=300),
        chunks=chunks,
    ),
    st.binary(max_size=300),
)
def test_model_files_come_back(header: Header, payload: bytes) -> None:
    data = pack(header, payload)
    assert unpack(data, max_samples=2**70) == (header, payload)
    assert unpack_header(data) == (header, len(payload))


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]), crcs, chunks)
def test_raw_files_come_back(height: int, width: int, channels: int, crc: int, some: tuple) -> None:
    header, payload = Header(height, width, channels, RAW, crc, chunks=some), bytes(height * width * channels)
    assert unpack(pack(header, payload)) == (header, payload)


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused(noise: bytes, ours: bool) -> None:
    with pytest.raises(ShearlocError):
        unpack(MAGIC + b"\x01" + noise if ours else noise)


@given(st.binary(max_size=80))
def test_noise_with_right_checksums_is_refused_or_read(fields: bytes) -> None:
    try:
        header, payload = unpack(with_fields(fields))
    except ShearlocError:
        return
    assert pack(header, payload) == with_fields(fields)


def test_every_flipped_bit_is_found() -> None:
    data = pack(LOCAL_HEADER, bytes(range(40)))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError if bit < 72 else CorruptError):
            unpack(bytes(damaged))


def test_every_truncation_is_found() -> None:
    data = pack(LOCAL_HEADER, bytes(range(40)))
    with pytest.raises(FormatError, match="empty"):
        unpack(b"")
    for length in range(1, len(data)):
        with pytest.raises(CorruptError):
            unpack(data[:length])


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(CorruptError, match="followed by 1 byte"):
        unpack(pack(LOCAL_HEADER, b"abc") + b"\0")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(FormatError, match=f"version {version}"):
        unpack(MAGIC + bytes([version]) + pack(LOCAL_HEADER, b"abc")[9:])


def test_too_many_samples_are_refused_before_anything_else() -> None:
    data = pack(replace(LOCAL_HEADER, height=2**20, width=2**20), b"abc")
    with pytest.raises(UnsupportedImageError, match="max_samples"):
        unpack(data)
    assert unpack_header(data)[0].samples == 3 * 2**40
    small = pack(LOCAL_HEADER, b"abc")
    assert unpack(small, max_samples=1800)[0] == LOCAL_HEADER
    with pytest.raises(UnsupportedImageError):
        unpack(small, max_samples=1799)


@pytest.mark.parametrize(
    "change",
    [{"kind": 1}, {"bit_depth": 16}, {"channels": 2}, {"channels": 4}, {"method": 3}, {"order": 2}],
    ids=str,
)
def test_what_a_newer_version_may_write_is_refused(change: dict) -> None:
    with pytest.raises(FormatError, match="does not know"):
        pack(replace(LOCAL_HEADER, **change), b"abc")


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
        {"method": RAW},
        {"method": WEBP},
    ],
    ids=str,
)
def test_contradictions_are_refused(change: dict) -> None:
    with pytest.raises(CorruptError, match="contradicts"):
        pack(replace(LOCAL_HEADER, **change), bytes(1800))


def test_raw_payload_has_the_size_of_the_image() -> None:
    with pytest.raises(CorruptError, match="raw"):
        pack(Header(2, 2, 1, RAW, 0), bytes(5))


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
    assert unpack(with_fields(FIELDS)) == (LOCAL_HEADER, b"abc")
    with pytest.raises(CorruptError):
        unpack(with_fields(fields))
