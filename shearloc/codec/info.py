"""What a file says about itself, without decoding it: pictures and archives."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CorruptError
from ..models import orientation, registry
from .formats import archive_header, chunks, container
from .formats.container import Method, Part
from .pictures.picture import CHANNELS, mode_name
from .turning import way_of

MAX_NAME_BYTES = 1 << 20
"""Longer lists of names are left out: a small file may claim many."""


@dataclass(frozen=True)
class Info:
    """What a file of any kind says about itself. A subpixel is one sample of one channel, 16-bit samples included.

    `embedded_weights`: bytes of the model files inside the file, None where there are none.
    """

    version: int
    height: int
    width: int
    channels: int
    bit_depth: int
    file_bytes: int
    bits_per_subpixel: float
    embedded_weights: int | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON knows."""
        return asdict(self)


@dataclass(frozen=True)
class PartInfo:
    """How some of a picture's planes are stored.

    `method` is raw, webp, deflate, same (equal to the planes before), or the name of a family of models. `model`,
    `fingerprint` (hexadecimal), `order`, `precision` (bits) and `lanes` are None where no model is used. `orientation`
    says in words how the planes lie, None where that is as they are.
    """

    planes: int
    method: str
    payload_bytes: int
    order: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    precision: int | None = None
    lanes: int | None = None
    side_information_bytes: int | None = None
    orientation: str | None = None


@dataclass(frozen=True)
class PictureInfo(Info):
    """What the file of one picture says.

    `mode` is the kind of picture, as in "8-bit RGB". `chunks` are the types of the chunks of metadata, palette and
    transparency.
    """

    mode: str
    parts: tuple[PartInfo, ...]
    chunks: tuple[str, ...]
    pixel_crc: str

    @property
    def method(self) -> str:
        """The methods of all parts, each once, as in "local+webp"."""
        return "+".join(dict.fromkeys(part.method for part in self.parts))

    @property
    def model(self) -> str | None:
        """The model of the first part that uses one."""
        return next((part.model for part in self.parts if part.model), None)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all parts' payloads."""
        return sum(part.payload_bytes for part in self.parts)


@dataclass(frozen=True)
class ArchiveInfo(Info):
    """What an archive says.

    `gross_bits` is the whole file, `net_bits` (None without bits-back) the images alone. The difference is headers,
    checksums, coder states, and the first images of each chain, which cost more because there is nothing to pop yet.
    `names` is empty where they are longer than MAX_NAME_BYTES. `reoriented`: how many images are coded mirrored, upside
    down or transposed, None where there are none.
    """

    method: str
    model: str | None
    fingerprint: str | None
    count: int
    steps: int
    chunks: int
    names: tuple[str, ...]
    gross_bits: int
    net_bits: int | None
    reoriented: int | None


def info(data: bytes) -> Info:
    """Describes a whole file. The header is checked, payloads are not read. FormatError, CorruptError."""
    return archive_info(data) if archive_header.is_archive(data) else picture_info(data)


def picture_info(data: bytes) -> PictureInfo:
    """Like `info`, for the file of one picture. FormatError for an archive."""
    header, lengths, found = container.outline(data)
    channels = CHANNELS[header.colour]
    kinds = [kind.decode() for kind, _ in found if kind != chunks.WEIGHTS]
    return PictureInfo(
        version=container.VERSION,
        mode=mode_name(header.colour, header.depth, chunks.TRANSPARENCY.decode() in kinds),
        height=header.height,
        width=header.width,
        channels=channels,
        bit_depth=header.depth,
        parts=tuple(_part(part, length) for part, length in zip(header.parts, lengths, strict=True)),
        chunks=tuple(kinds),
        pixel_crc=f"{header.pixel_crc:08x}",
        file_bytes=len(data),
        bits_per_subpixel=8 * len(data) / (header.height * header.width * channels),
        embedded_weights=chunks.weight_bytes(found) or None,
    )


def _part(part: Part, length: int) -> PartInfo:
    if part.family is None:
        return PartInfo(part.planes, method_name(part.method), length)
    return PartInfo(
        part.planes,
        method_name(part.method),
        length,
        part.order_name,
        part.model,
        part.fingerprint.hex(),
        part.precision,
        part.lanes,
        len(part.side_information),
        _orientation(part),
    )


def _orientation(part: Part) -> str | None:
    """How a part's planes lie, in words; None for as they are, or for side information that says something else."""
    try:
        return orientation.words(way_of(part)) or None
    except CorruptError:
        return None


def _names(header: archive_header.Header) -> tuple[str, ...]:
    """The names; none where they unpack to more than MAX_NAME_BYTES."""
    try:
        return archive_header.unpack_names(header.packed_names, header.count, MAX_NAME_BYTES)
    except CorruptError:
        return ()


def method_name(method: int) -> str:
    """The name of a method: a family of models, or raw, webp, deflate, same."""
    family = registry.by_method(method)
    return family.name if family else Method(method).name.lower()


def archive_info(data: bytes) -> ArchiveInfo:
    """Like `info`, for an archive. FormatError for anything else."""
    header, found = archive_header.outline(data)
    family = header.family
    turned = header.packed_orientations
    return ArchiveInfo(
        version=archive_header.VERSION,
        method=method_name(header.method),
        count=header.count,
        height=header.height,
        width=header.width,
        channels=header.channels,
        bit_depth=8,
        model=header.model or None,
        fingerprint=header.fingerprint.hex() if family else None,
        steps=header.steps,
        chunks=len(header.sizes),
        names=_names(header),
        gross_bits=8 * len(data),
        net_bits=header.net_bits if family and "steps" in family.options else None,
        file_bytes=len(data),
        bits_per_subpixel=8 * len(data) / header.samples,
        reoriented=None if turned is None else orientation.count_turned(turned, header.count),
        embedded_weights=chunks.weight_bytes(found) or None,
    )
