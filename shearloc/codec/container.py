"""The `.shl` container, version 1: a header and a payload to bytes and back. docs/FORMAT.md is its specification.

Bytes only: nothing here codes pixels, loads a model or touches a file.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import CorruptError, FormatError, UnsupportedImageError
from .crc32c import crc32c

MAGIC = b"\x89SHL\r\n\x1a\n"
VERSION = 1

RAW, WEBP, LOCAL = range(3)
METHODS = ("raw", "webp", "local")
"""How the payload holds the pixels. 3 is reserved for variational autoencoders with bits-back."""

SEQUENTIAL, SHEARED = range(2)
ORDERS = ("sequential", "sheared")

FINGERPRINT_BYTES = 8

MAX_SAMPLES = 1 << 28
"""Default limit on height * width * channels, against headers that claim memory they will not fill."""

_VARINT_BYTES = 9
_NAME_BYTES = 255
_MAX_PRECISION = 32
_MAX_LANES = 1 << 16


@dataclass(frozen=True)
class Header:
    """What a file says about its payload; docs/FORMAT.md has the meaning and range of every field.

    `model`, `fingerprint`, `precision`, `lanes` and `side_information` stay at their defaults (empty, zero)
    where `method` uses no model. `chunks` are (4 ASCII letters, bytes) and never change the pixels.
    """

    height: int
    width: int
    channels: int
    method: int
    pixel_crc: int
    kind: int = 0
    bit_depth: int = 8
    order: int = SEQUENTIAL
    model: str = ""
    fingerprint: bytes = bytes(FINGERPRINT_BYTES)
    precision: int = 0
    lanes: int = 0
    side_information: bytes = b""
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def samples(self) -> int:
        """Height * width * channels."""
        return self.height * self.width * self.channels


def pack(header: Header, payload: bytes) -> bytes:
    """A whole file. Raises FormatError or CorruptError for a header that `unpack` would refuse."""
    _check(header, len(payload))
    fields = b"".join(_fields(header, len(payload)))
    head = MAGIC + bytes([VERSION]) + _varint(len(fields)) + fields
    return b"".join((head, _u32(crc32c(head)), payload, _u32(crc32c(payload))))


def unpack(data: bytes, max_samples: int = MAX_SAMPLES) -> tuple[Header, bytes]:
    """Header and payload of a whole file, every claim checked.

    Raises FormatError (empty, not ours, or needs a newer version), CorruptError (cut short, damaged, or
    followed by other bytes), UnsupportedImageError (more than `max_samples` samples).
    """
    header, start, length = _read_head(data, max_samples)
    payload = data[start : start + length]
    if crc32c(payload) != _read_u32(data, start + length):
        raise CorruptError("the file is damaged: the payload's checksum does not match")
    return header, payload


def unpack_header(data: bytes) -> tuple[Header, int]:
    """Header and payload length of a whole file of any size, as `unpack` without looking at the payload."""
    header, _, length = _read_head(data, None)
    return header, length


def _read_head(data: bytes, max_samples: int | None) -> tuple[Header, int, int]:
    """Header, start of the payload and its length."""
    _check_magic(data)
    stream = io.BytesIO(data)
    stream.seek(len(MAGIC) + 1)
    fields = _take(stream, _take_varint(stream))
    end = stream.tell()
    if crc32c(data[:end]) != int.from_bytes(_take(stream, 4), "little"):
        raise CorruptError("the file is damaged: the header's checksum does not match")
    header, length = _parse(fields)
    _check(header, length)
    if max_samples is not None and header.samples > max_samples:
        raise UnsupportedImageError(
            f"the image has {header.samples} samples, more than the limit of {max_samples}; "
            "raise max_samples (--max-samples) if you trust the file"
        )
    start = end + 4
    _check_length(len(data), start + length + 4)
    return header, start, length


def _check_magic(data: bytes) -> None:
    if not data:
        raise FormatError("the file is empty")
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            raise CorruptError("the file is cut short")
        raise FormatError("not a Shearloc file: it does not begin with the Shearloc signature")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else VERSION
    if version != VERSION:
        raise FormatError(
            f"the file has format version {version}; this Shearloc reads version {VERSION}: get a newer one"
        )


def _check_length(actual: int, expected: int) -> None:
    if actual < expected:
        raise CorruptError(f"the file is cut short: {actual} bytes of {expected}")
    if actual > expected:
        raise CorruptError(f"the file is followed by {actual - expected} bytes that are not part of it")


def _check(header: Header, payload_length: int) -> None:
    """Refuse what this version does not know (FormatError) and what contradicts itself (CorruptError)."""
    for what, value, known in (
        ("content kind", header.kind, (0,)),
        ("bit depth", header.bit_depth, (8,)),
        ("channel count", header.channels, (1, 3)),
        ("method", header.method, range(len(METHODS))),
        ("order", header.order, range(len(ORDERS))),
    ):
        if value not in known:
            raise FormatError(f"the file has {what} {value}, which this version of Shearloc does not know")
    for problem in _contradictions(header, payload_length):
        raise CorruptError(f"the file's header contradicts itself: {problem}")


def _contradictions(header: Header, payload_length: int) -> Iterator[str]:
    if not (0 < header.height < 1 << 32 and 0 < header.width < 1 << 32):
        yield f"a size of {header.height} x {header.width}"
    if not 0 <= header.pixel_crc < 1 << 32:
        yield "a checksum of more than 32 bits"
    if len(header.model.encode()) > _NAME_BYTES or not header.model.isprintable():
        yield "a model name that is too long or not printable"
    if len(header.fingerprint) != FINGERPRINT_BYTES:
        yield "a fingerprint of another length"
    if not all(len(kind) == 4 and kind.isalpha() for kind, _ in header.chunks):
        yield "a chunk type that is not four letters"
    if header.method == RAW and payload_length != header.samples:
        yield f"{payload_length} bytes for {header.samples} raw samples"
    if header.method == LOCAL:
        if not (header.model and 0 < header.precision <= _MAX_PRECISION and 0 < header.lanes <= _MAX_LANES):
            yield "no model name, or coder parameters out of range"
    elif _uses_model(header):
        yield "model fields in a file that uses no model"


def _uses_model(header: Header) -> bool:
    return bool(header.model or any(header.fingerprint) or header.precision or header.lanes or header.side_information)


def _fields(header: Header, payload_length: int) -> Iterator[bytes]:
    """The header between its length and its checksum, in file order; `_parse` is the inverse."""
    yield bytes([header.kind, header.bit_depth, header.channels])
    yield _varint(header.height) + _varint(header.width)
    yield bytes([header.method, header.order])
    yield _string(header.model.encode())
    yield header.fingerprint
    yield bytes([header.precision]) + _varint(header.lanes)
    yield _string(header.side_information)
    yield _varint(len(header.chunks))
    for kind, content in header.chunks:
        yield kind + _string(content)
    yield _u32(header.pixel_crc)
    yield _varint(payload_length)


def _parse(fields: bytes) -> tuple[Header, int]:
    """Header and payload length; structure only, `_check` judges the values."""
    stream = io.BytesIO(fields)
    kind, bit_depth, channels = _take(stream, 3)
    height, width = _take_varint(stream), _take_varint(stream)
    method, order = _take(stream, 2)
    model = _decode_name(_take_string(stream))
    fingerprint = _take(stream, FINGERPRINT_BYTES)
    precision = _take(stream, 1)[0]
    lanes = _take_varint(stream)
    side_information = _take_string(stream)
    chunks = tuple((_take(stream, 4), _take_string(stream)) for _ in range(_take_varint(stream)))
    pixel_crc = int.from_bytes(_take(stream, 4), "little")
    payload_length = _take_varint(stream)
    if stream.tell() != len(fields):
        raise CorruptError("the file's header is longer than its fields")
    header = Header(
        height, width, channels, method, pixel_crc, kind, bit_depth, order,
        model, fingerprint, precision, lanes, side_information, chunks,
    )  # fmt: skip
    return header, payload_length


def _decode_name(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise CorruptError("the file's header has a model name that is not UTF-8") from None


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _read_u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _string(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, low bits first, the high bit says that more follow."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _take(stream: io.BytesIO, count: int) -> bytes:
    taken = stream.read(count)
    if len(taken) < count:
        raise CorruptError("the file is cut short inside its header")
    return taken


def _take_string(stream: io.BytesIO) -> bytes:
    return _take(stream, _take_varint(stream))


def _take_varint(stream: io.BytesIO) -> int:
    """An integer in [0, 2^63), in its only accepted form: the shortest."""
    value = 0
    for i in range(_VARINT_BYTES):
        group = _take(stream, 1)[0]
        value |= (group & 0x7F) << 7 * i
        if group < 0x80:
            if group == 0 and i > 0:
                break
            return value
    raise CorruptError("the file's header has a number that is too long")
