"""The names of a collection's images, many in one string: front coding in columns, then deflated."""

import io
import os
import zlib
from collections.abc import Sequence

from ...coding.fields import take, take_varint, varint
from ...errors import CorruptError
from ...inflate import inflate

NAME_BYTES = 1024
"""Most bytes of a name in UTF-8."""
STREAM_IMAGES = 1 << 16
"""Most images in a stream or in a block of the index."""


def pack_names(names: Sequence[str]) -> bytes:
    """Columns, deflated: bytes that each name shares with the one before, bytes of the rest, the rests."""
    encoded = [name.encode() for name in names]
    shared = [len(os.path.commonprefix([a, b])) for a, b in zip([b"", *encoded], encoded, strict=False)]
    rests = [name[k:] for name, k in zip(encoded, shared, strict=True)]
    columns = [*map(varint, shared), *map(varint, map(len, rests)), *rests]
    return zlib.compress(b"".join(columns), 9)


def unpack_names(packed: bytes, count: int) -> list[str]:
    """The inverse. CorruptError for anything other than `count` names."""
    if not 0 < count <= STREAM_IMAGES:
        raise CorruptError(f"{count} names in one place")
    file = io.BytesIO(inflate(packed, count * (NAME_BYTES + 4), "the names"))
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


def shown(name: str) -> str:
    """A name for messages: in quotes, and shortened in the middle if it is long."""
    return f"'{name}'" if len(name) <= 60 else f"'{name[:28]}…{name[-28:]}'"
