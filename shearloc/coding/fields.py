"""Fields of the file formats: integers, strings and names, to bytes and back (docs/FORMAT.md, "The container").

Reading raises CorruptError where the bytes end too early or are no such field.
"""

import io

from ..errors import CorruptError

_VARINT_BYTES = 9


def u32(value: int) -> bytes:
    """Four bytes, little-endian."""
    return value.to_bytes(4, "little")


def read_u32(data: bytes, at: int) -> int:
    """The four bytes at `at`, as an integer; fewer bytes where the data end."""
    return int.from_bytes(data[at : at + 4], "little")


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, low bits first; the high bit says that more follow."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def string(content: bytes) -> bytes:
    """Length and content."""
    return varint(len(content)) + content


def take(stream: io.BytesIO, count: int) -> bytes:
    """Exactly so many bytes."""
    taken = stream.read(count)
    if len(taken) < count:
        raise CorruptError("the file is cut short inside its header")
    return taken


def take_varint(stream: io.BytesIO) -> int:
    """An integer in [0, 2^63), in its only accepted form: the shortest."""
    value = 0
    for i in range(_VARINT_BYTES):
        group = take(stream, 1)[0]
        value |= (group & 0x7F) << 7 * i
        if group < 0x80:
            if group == 0 and i > 0:
                break
            return value
    raise CorruptError("the file's header has a number that is too long")


def take_string(stream: io.BytesIO) -> bytes:
    """The content."""
    return take(stream, take_varint(stream))


def take_name(stream: io.BytesIO) -> str:
    """A string that is a model's name."""
    try:
        return take_string(stream).decode()
    except UnicodeDecodeError:
        raise CorruptError("the file's header has a model name that is not UTF-8") from None
