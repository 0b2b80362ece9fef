"""The list of chunks in a header, as in PNG: palette, metadata, weights, orientations … (docs/FORMAT.md, "Chunks").

Bytes only: `picture.py`, `metadata.py`, `embedded.py` and `orientation.py` know what the chunks mean.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...coding.fields import string, take, take_string, take_varint, varint
from ...errors import CorruptError, FormatError
from ...inflate import inflate, inflated
from ..pictures.picture import MAX_CHUNK_BYTES, MAX_CHUNKS, Chunk

PALETTE, TRANSPARENCY, WEIGHTS = b"PLTE", b"tRNS", b"MODL"
ORIENTATIONS = b"TURN"
"""The chunk of an archive's orientations."""

MAX_WEIGHTS = 1 << 24
"""Most bytes of one model's weights: several times what any shipped model has."""
_OVERHEAD = 4 + 9
"""Most bytes of a chunk's type and length."""
_PLAIN, _DEFLATED = range(2)
_WANTED_BYTES = 1 << 23
"""Most bytes of a content that `outline` returns: more than orientations have."""

Outline = tuple[bytes, int]
"""A chunk without its content: its type, and how many bytes the content has."""


def pack(chunks: Sequence[Chunk]) -> bytes:
    """Chunks as one string, plain or deflated, whichever is shorter. No chunks at all are a single zero."""
    plain = b"".join(kind + string(content) for kind, content in chunks)
    if not plain:
        return b"\0"
    deflated = varint(len(plain)) + zlib.compress(plain, 9)
    form, content = min((_PLAIN, plain), (_DEFLATED, deflated), key=lambda choice: len(choice[1]))
    return string(bytes([form]) + content)


def take_chunks(stream: io.BytesIO) -> tuple[Chunk, ...]:
    """The inverse of `pack`; structure only. CorruptError, FormatError for a form that is not known."""
    return unpack(take_string(stream))


def unpack(packed: bytes) -> tuple[Chunk, ...]:
    """As `take_chunks`, from the string's content."""
    plain = io.BytesIO(b"".join(_pieces(packed, _inflate_whole)))
    chunks: list[Chunk] = []
    while plain.tell() < len(plain.getbuffer()):
        if len(chunks) == MAX_CHUNKS:
            raise _too_many()
        chunks.append((take(plain, 4), take_string(plain)))
    return tuple(chunks)


def outline(packed: bytes, wanted: bytes = b"") -> Iterator[tuple[bytes, int, bytes]]:
    """Types and lengths of the chunks that `unpack` returns, and the contents of the `wanted` type, in little memory.

    Other contents are empty, and so are those over 8 MiB. Raises as `take_chunks`.
    """
    pending, skipped, count = b"", 0, 0
    for piece in _pieces(packed, inflated):
        pending += piece[skipped:]
        skipped, at = max(0, skipped - len(piece)), 0
        while found := _beginning(pending, at):
            kind, length, begin = found
            keep = kind == wanted and length <= _WANTED_BYTES
            if keep and begin + length > len(pending):
                break
            if count == MAX_CHUNKS:
                raise _too_many()
            count, at = count + 1, begin + length
            yield kind, length, pending[begin:at] if keep else b""
        skipped, pending = skipped + max(0, at - len(pending)), pending[at:]
    if pending or skipped:
        raise CorruptError("the file is cut short inside its header")


def _beginning(data: bytes, at: int) -> tuple[bytes, int, int] | None:
    """Type and length of the chunk at `at`, and where its content begins; None where the data end first."""
    stream = io.BytesIO(data[at : at + _OVERHEAD])
    try:
        return take(stream, 4), take_varint(stream), at + stream.tell()
    except CorruptError:
        if len(data) >= at + _OVERHEAD:
            raise
        return None


def _pieces(packed: bytes, unpacked: Callable[[bytes, int, str], Iterable[bytes]]) -> Iterator[bytes]:
    """What `pack` packed, as it is where plain, or by `unpacked`."""
    form, content = packed[:1], packed[1:]
    if form and form[0] not in (_PLAIN, _DEFLATED):
        raise FormatError(f"the file has form of chunks {form[0]}, which this version of Shearloc does not know")
    if form != bytes([_DEFLATED]):
        yield content
        return
    stream, given = io.BytesIO(content), 0
    size = take_varint(stream)
    if size > MAX_CHUNK_BYTES:
        raise CorruptError(f"the file's header claims more than {MAX_CHUNK_BYTES} bytes of metadata")
    for piece in unpacked(stream.read(), size, "the file's metadata"):
        given += len(piece)
        yield piece
    if given != size:
        raise CorruptError("the file's metadata are longer or shorter than they say")


def _inflate_whole(packed: bytes, limit: int, what: str) -> list[bytes]:
    """`inflate` as one piece."""
    return [inflate(packed, limit, what)]


def _too_many() -> CorruptError:
    return CorruptError(f"the file's header has more than {MAX_CHUNKS} chunks")


def outlines(chunks: Iterable[Chunk]) -> list[Outline]:
    """The outlines of these chunks."""
    return [(kind, len(content)) for kind, content in chunks]


def unknown(chunks: Iterable[Outline], known: Iterable[bytes]) -> bytes | None:
    """The first chunk that is not `known` and that a decoder must know: its type begins with an upper-case letter."""
    return next((kind for kind, _ in chunks if kind[:1].isupper() and kind not in known), None)


def contradictions(chunks: Sequence[Outline], models: int) -> Iterator[str]:
    """What no sound header has. `models`: how many models the file may use."""
    if not all(len(kind) == 4 and kind.isalpha() for kind, _ in chunks):
        yield "a chunk type that is not four letters"
    if sum(_OVERHEAD + length for _, length in chunks) > MAX_CHUNK_BYTES:
        yield f"more than {MAX_CHUNK_BYTES} bytes of metadata"
    if len(chunks) > MAX_CHUNKS:
        yield f"more than {MAX_CHUNKS} chunks"
    weights = [length for kind, length in chunks if kind == WEIGHTS]
    if len(weights) > models:
        yield "the weights of more models than it uses"
    if any(length > MAX_WEIGHTS for length in weights):
        yield f"more than {MAX_WEIGHTS} bytes of weights"


def weights_in(chunks: Iterable[Chunk]) -> list[bytes]:
    """The embedded model files."""
    return [content for kind, content in chunks if kind == WEIGHTS]


def weight_bytes(chunks: Iterable[Outline]) -> int:
    """Bytes of the embedded model files."""
    return sum(length for kind, length in chunks if kind == WEIGHTS)
