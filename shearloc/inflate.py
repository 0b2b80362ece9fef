"""Unpack zlib streams that may come from anybody: never more than a given number of bytes."""

import zlib
from collections.abc import Iterator

from .errors import CorruptError

_PIECE = 1 << 18


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


def inflated(packed: bytes, limit: int, what: str) -> Iterator[bytes]:
    """As `inflate`, in pieces, so that no more memory than a piece takes is needed."""
    stream, given = zlib.decompressobj(), 0
    try:
        while not stream.eof and given <= limit:
            piece = stream.decompress(packed, _PIECE)
            packed = stream.unconsumed_tail
            given += len(piece)
            if not piece and not packed and not stream.eof:  # cut short
                break
            yield piece
    except zlib.error as error:
        raise CorruptError(f"{what} do not unpack ({error})") from error
    if given > limit or not stream.eof or stream.unused_data:
        raise CorruptError(f"{what} are longer or shorter than they say")
