"""The header of an archive, to bytes and back (docs/FORMAT.md, "Archives").

Bytes only: nothing here codes images or loads a model.
"""

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ...coding.fields import string, take, take_name, take_string, take_varint, varint
from ...errors import CorruptError, FormatError, UnsupportedImageError
from ...inflate import inflate
from ...models import orientation, registry, zoo
from ...models.family import Family
from ..pictures.picture import Chunk
from . import chunks
from .container import FINGERPRINT_BYTES, MAX_SAMPLES, Method
from .heads import Head

MAGIC = b"\x89SHA\r\n\x1a\n"
VERSION = 1
HEAD = Head(MAGIC, VERSION, "archive")

MAX_CHUNK_SAMPLES = 1 << 24
"""Most subpixels of a chunk of several images: what a file may make a decoder hold at a time."""

MAX_NAME_BYTES = 1 << 24
"""Most bytes of all names of an archive together."""

MAX_STEPS = 1000
"""Largest K: what a file may make a decoder compute."""


@dataclass(frozen=True)
class Header:
    """What an archive says about its images.

    `method`: Method.RAW, or the number of a family of models. `steps` is K; `chunk_images` the number of images in a
    chunk, of which the last has fewer; `sizes` the chunks' bytes; `weights` a chunk with the model itself, where it is
    embedded. `net_bits` is what the images cost without the start of the chains; 0 without bits-back. Names and
    orientations stay packed until they are asked for: a small file may claim many.
    """

    method: int
    count: int
    height: int
    width: int
    channels: int
    model: str
    fingerprint: bytes
    precision: int
    steps: int
    net_bits: int
    packed_names: bytes
    chunk_images: int
    sizes: tuple[int, ...]
    weights: tuple[Chunk, ...] = ()
    packed_orientations: bytes | None = None

    @property
    def family(self) -> Family | None:
        """The family of the model; None for raw archives."""
        return registry.by_method(self.method)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The images' names, one each or none. CorruptError where they do not unpack."""
        return unpack_names(self.packed_names, self.count)

    @cached_property
    def orientations(self) -> NDArray[np.uint8] | None:
        """Each image's orientation, uint8 [N] (`orientation.py`); None where all are as they are. CorruptError."""
        size = (self.count, self.height, self.width)
        return None if self.packed_orientations is None else orientation.unpack(self.packed_orientations, size)

    @property
    def samples(self) -> int:
        """Samples of all images."""
        return self.count * self.height * self.width * self.channels

    def images_of(self, chunk: int) -> range:
        """The numbers of a chunk's images."""
        start = chunk * self.chunk_images
        return range(start, min(start + self.chunk_images, self.count))

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each chunk ends, in bytes from where the first begins."""
        return tuple(accumulate(self.sizes))


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin an archive."""
    return data.startswith(MAGIC)


def most_images(family: Family | None, shape: tuple[int, ...]) -> int:
    """Most images [H, W, C] in a chunk."""
    in_step = family.most_step_pixels // min(shape[:2]) if family else MAX_CHUNK_SAMPLES
    return max(1, min(in_step, MAX_CHUNK_SAMPLES // math.prod(shape)))


def pack(header: Header) -> bytes:
    """The header's bytes, its checksum included."""
    extra = list(header.weights)
    if header.packed_orientations is not None:
        extra.append((chunks.ORIENTATIONS, header.packed_orientations))
    fields = b"".join(
        [
            bytes([header.method, 8, header.channels]),
            *map(varint, (header.count, header.height, header.width)),
            string(header.model.encode()),
            header.fingerprint,
            bytes([header.precision]),
            *map(varint, (header.steps, header.net_bits)),
            string(header.packed_names),
            varint(header.chunk_images),
            *map(varint, header.sizes),
            chunks.pack(extra) if extra else b"",
        ]
    )
    return HEAD.seal(fields)


def read(data: bytes, max_samples: int | None = MAX_SAMPLES) -> tuple[Header, int]:
    """The header of a whole archive, every claim checked, and where the first chunk begins.

    A file that is cut short inside its chunks passes: the chunks that are there can be read. Raises FormatError,
    CorruptError, UnsupportedImageError (more than `max_samples` samples).
    """
    fields, start = HEAD.open(data)
    header, packed, _ = _parse(fields)
    header = replace(header, weights=tuple(one for one in chunks.unpack(packed) if one[0] == chunks.WEIGHTS))
    if max_samples is not None and header.samples > max_samples:
        raise UnsupportedImageError(
            f"the archive has {header.samples} samples, more than the limit of {max_samples}; "
            "raise max_samples (--max-samples) if you trust the file"
        )
    if max_samples is not None:
        _ = header.names, header.orientations  # so that damage there is found before anything is decoded
    _check_length(len(data), start, header)
    return header, start


def outline(data: bytes) -> tuple[Header, list[chunks.Outline]]:
    """Like `read`, without a limit and in little memory: chunks come as outlines, and the header has no weights."""
    fields, start = HEAD.open(data)
    header, _, found = _parse(fields)
    _check_length(len(data), start, header)
    return header, found


def _check_length(length: int, start: int, header: Header) -> None:
    if length > start + sum(header.sizes):
        raise CorruptError("the archive is followed by bytes that are not part of it")


def _parse(fields: bytes) -> tuple[Header, bytes, list[chunks.Outline]]:
    """The header without weights, every claim checked, and the chunks at its end, packed and in outline."""
    stream = io.BytesIO(fields)
    method, depth, channels = take(stream, 3)
    family = registry.by_method(method)
    if (family is None and method != Method.RAW) or (family and family.deep) or depth != 8 or channels not in (1, 3):
        raise FormatError(
            f"the archive has method {method}, bit depth {depth}, {channels} channels: get a newer Shearloc"
        )
    count, height, width = (take_varint(stream) for _ in range(3))
    model, fingerprint = take_name(stream), take(stream, FINGERPRINT_BYTES)
    precision = take(stream, 1)[0]
    steps, net_bits = take_varint(stream), take_varint(stream)
    packed_names = take_string(stream)
    chunk_images = take_varint(stream)
    if precision != (family.precision if family else 0):
        raise FormatError(f"the archive has precision {precision}: get a newer Shearloc")
    if not (count and height and width and chunk_images) or chunk_images > count or steps > MAX_STEPS:
        raise _contradiction("its sizes or steps")
    if (steps and not _takes_steps(family)) or (family is None) != (not model) or (not family and any(fingerprint)):
        raise _contradiction("its model or steps do not fit its method")
    if not model.isprintable() or len(model.encode()) > zoo.MAX_NAME:
        raise _contradiction("a model name too long or not printable")
    if chunk_images > most_images(family, (height, width, channels)):
        raise CorruptError(f"the archive's header claims chunks of {chunk_images} images")
    sizes = tuple(take_varint(stream) for _ in range(-(-count // chunk_images)))
    packed = take_string(stream) if stream.tell() < len(fields) else b""
    if stream.tell() < len(fields):
        raise CorruptError("the archive's header is longer than its fields")
    found, turned = _outline(packed, family, count)
    header = Header(
        method=method,
        count=count,
        height=height,
        width=width,
        channels=channels,
        model=model,
        fingerprint=fingerprint,
        precision=precision,
        steps=steps,
        net_bits=net_bits,
        packed_names=packed_names,
        chunk_images=chunk_images,
        sizes=sizes,
        packed_orientations=turned,
    )
    return header, packed, found


def _contradiction(problem: str) -> CorruptError:
    return CorruptError(f"the archive's header contradicts itself: {problem}")


def _takes_steps(family: Family | None) -> bool:
    return family is not None and "steps" in family.options


def _outline(packed: bytes, family: Family | None, count: int) -> tuple[list[chunks.Outline], bytes | None]:
    """The chunks at the end of a header, and the images' orientations, packed, where it has them."""
    found, turned = [], None
    for kind, length, content in chunks.outline(packed, chunks.ORIENTATIONS):
        found.append((kind, length))
        if kind == chunks.ORIENTATIONS:
            if turned is not None or family is None or not family.orients:
                raise _contradiction("orientations that no image has")
            turned = content
            orientation.check_length(turned, count)
    if unknown := chunks.unknown(found, (chunks.WEIGHTS, chunks.ORIENTATIONS)):
        raise FormatError(f"the archive has a chunk {unknown.decode(errors='replace')}: get a newer Shearloc")
    for problem in chunks.contradictions(found, int(family is not None)):
        raise _contradiction(problem)
    return found, turned


def pack_names(names: Sequence[str]) -> bytes:
    """Names as a zlib stream of lines; nothing for none."""
    return zlib.compress("\n".join(names).encode(), 9) if names else b""


def unpack_names(packed: bytes, count: int, most_bytes: int = MAX_NAME_BYTES) -> tuple[str, ...]:
    """The inverse of `pack_names`, for `count` names in at most so many bytes. CorruptError for anything else."""
    if not packed:
        return ()
    try:
        text = inflate(packed, most_bytes, "the archive's names").decode()
    except UnicodeDecodeError as error:
        raise CorruptError(f"the archive's names do not unpack ({error})") from error
    if text.count("\n") + 1 != count:
        raise CorruptError(f"the archive has other names than its {count} images need")
    return tuple(text.split("\n"))
