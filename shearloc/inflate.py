"""Unpack zlib streams that may come from anybody: never more than a given number of bytes."""

import zlib

from .errors import CorruptError


def inflate(packed: bytes, limit: int, what: str) -> bytes:
    """The content of one whole zlib stream, at most `limit` bytes; no more memory than that is taken.

    `what` it holds, in the plural ("the names"), begins the message of a CorruptError: damaged, longer than `limit`,
    cut short, or followed by other bytes.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise CorruptError(f"{what} do not unpack ({error})") from error
    if len(plain) > limit or not stream.eof or stream.unused_data:
        raise CorruptError(f"{what} are longer or shorter than they say")
    return plain
