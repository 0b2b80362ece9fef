"""The list of chunks in a header, as PNG's: palette, metadata, weights, orientations … (docs/FORMAT.md, "Chunks").

Bytes only: what a chunk says is the business of `picture.py`, `metadata.py`, `embedded.py` and `orientation.py`.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence

from ...coding.fields import string, take, take_string, take_varint, varint
from ...coding.inflate import inflate
from ...errors import CorruptError, FormatError
from ..pictures.picture import MAX_CHUNK_BYTES, MAX_CHUNKS, Chunk

PALETTE, TRANSPARENCY, WEIGHTS = b"PLTE", b"tRNS", b"MODL"
ORIENTATIONS = b"TURN"
"""Of an archive's images."""

MAX_WEIGHTS = 1 << 24
"""Bytes of one model's weights at most: several times what any shipped model has."""
_OVERHEAD = 4 + 9
"""Bytes of a chunk's type and length at most."""
_PLAIN, _DEFLATED = range(2)


def pack(chunks: Sequence[Chunk]) -> bytes:
    """Chunks as one string, plain or deflated: whichever is shorter. No chunks are a single zero."""
    plain = b"".join(kind + string(content) for kind, content in chunks)
    if not plain:
        return b"\0"
    deflated = varint(len(plain)) + zlib.compress(plain, 9)
    form, content = min((_PLAIN, plain), (_DEFLATED, deflated), key=lambda choice: len(choice[1]))
    return string(bytes([form]) + content)


def take_chunks(stream: io.BytesIO) -> tuple[Chunk, ...]:
    """The inverse of `pack`; structure only. CorruptError, FormatError for a form that is not known."""
    packed = take_string(stream)
    if not packed:
        return ()
    form, content = packed[0], packed[1:]
    if form not in (_PLAIN, _DEFLATED):
        raise FormatError(f"the file has form of chunks {form}, which this version of Shearloc does not know")
    plain = io.BytesIO(_inflate(content) if form == _DEFLATED else content)
    chunks: list[Chunk] = []
    while plain.tell() < len(plain.getbuffer()):
        if len(chunks) == MAX_CHUNKS:
            raise CorruptError(f"the file's header has more than {MAX_CHUNKS} chunks")
        chunks.append((take(plain, 4), take_string(plain)))
    return tuple(chunks)


def unknown(chunks: Iterable[Chunk], known: Iterable[bytes]) -> bytes | None:
    """The first chunk that a decoder must know, because its first letter is upper case, and that is not `known`."""
    return next((kind for kind, _ in chunks if kind[:1].isupper() and kind not in known), None)


def contradictions(chunks: Sequence[Chunk], models: int) -> Iterator[str]:
    """What no sound header has, `models` being the number of models that the file may use."""
    if not all(len(kind) == 4 and kind.isalpha() for kind, _ in chunks):
        yield "a chunk type that is not four letters"
    if sum(_OVERHEAD + len(content) for _, content in chunks) > MAX_CHUNK_BYTES:
        yield f"more than {MAX_CHUNK_BYTES} bytes of metadata"
    if len(chunks) > MAX_CHUNKS:
        yield f"more than {MAX_CHUNKS} chunks"
    weights = weights_in(chunks)
    if len(weights) > models:
        yield "the weights of more models than it uses"
    if any(len(content) > MAX_WEIGHTS for content in weights):
        yield f"more than {MAX_WEIGHTS} bytes of weights"


def weights_in(chunks: Iterable[Chunk]) -> list[bytes]:
    """The embedded model files."""
    return [content for kind, content in chunks if kind == WEIGHTS]


def _inflate(content: bytes) -> bytes:
    stream = io.BytesIO(content)
    size = take_varint(stream)
    if size > MAX_CHUNK_BYTES:
        raise CorruptError(f"the file's header claims more than {MAX_CHUNK_BYTES} bytes of metadata")
    plain = inflate(stream.read(), size, "the file's metadata")
    if len(plain) != size:
        raise CorruptError("the file's metadata are longer or shorter than they say")
    return plain
