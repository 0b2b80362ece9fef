"""The functions people call: image in, bytes out, and back. `shearloc` shows them under its own name.

It puts the pieces together and checks what comes in; probabilities, coding and bytes are other files' work.
Models, coders and Numba are imported by the calls that need them, so `info` stays quick.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorruptError, UnsupportedImageError
from . import parts
from .formats import chunks, container
from .formats.container import LOCAL, MAX_SAMPLES, Header, Part
from .formats.crc32c import crc32c
from .parts import Options, Progress, check_effort
from .pictures import files
from .pictures.picture import CHANNELS, PALETTE, Picture, Samples, from_array, mode_name

ENGINES = ("auto", "numpy", "torch", "cuda", "numba")
ORDERS = (*container.ORDERS, parts.PARALLEL)


@dataclass(frozen=True)
class PartInfo:
    """How some of a picture's planes are stored.

    `method` is raw, webp, local, deflate or same (as the planes before); `model`, `fingerprint` (hexadecimal), `order`,
    `precision` (bits) and `lanes` are None where no model is used.
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


@dataclass(frozen=True)
class Info:
    """What a file says about itself, without decoding it.

    `mode` is the kind of picture, as in "8-bit RGB". `chunks` are the types of the chunks of metadata, palette and
    transparency. A subpixel is one sample of one channel, of 16 bits too. `embedded_weights`: bytes of the model files
    that the file brings along, None where it has none.
    """

    version: int
    mode: str
    height: int
    width: int
    channels: int
    bit_depth: int
    parts: tuple[PartInfo, ...]
    chunks: tuple[str, ...]
    pixel_crc: str
    file_bytes: int
    bits_per_subpixel: float
    embedded_weights: int | None

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
        """Of all parts."""
        return sum(part.payload_bytes for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON knows."""
        return asdict(self)


def encode(
    image: Samples,
    *,
    model: str = "auto",
    effort: int = 5,
    engine: str = "auto",
    order: str = "sheared",
    embed: bool = False,
    progress: Progress | None = None,
) -> bytes:
    """Compress an array, at least 1x1, to the bytes of a `.shl` file.

    `image` is uint8 or uint16 [H, W] (gray), or [H, W, C] with C = 2 (gray and alpha), 3 (RGB) or 4 (RGBA). The other
    arguments and errors are those of `encode_picture`.
    """
    picture = from_array(image)
    return encode_picture(
        picture, model=model, effort=effort, engine=engine, order=order, embed=embed, progress=progress
    )


def decode(
    data: bytes | bytearray | memoryview,
    *,
    engine: str = "auto",
    order: str = "auto",
    max_samples: int = MAX_SAMPLES,
    progress: Progress | None = None,
) -> Samples:
    """The image of a `.shl` file as an array, as `encode` takes it: what it was given comes back.

    A file that came of a picture with a palette, a transparent colour or less than 8 bits gives the array that
    `Picture.array` makes of it. Arguments and errors as in `decode_picture`.
    """
    return decode_picture(data, engine=engine, order=order, max_samples=max_samples, progress=progress).array()


def encode_picture(
    picture: Picture,
    *,
    model: str = "auto",
    effort: int = 5,
    engine: str = "auto",
    order: str = "sheared",
    embed: bool = False,
    progress: Progress | None = None,
) -> bytes:
    """Compress a picture, its palette and metadata included, to the bytes of a `.shl` file.

    `model` is a name that `shearloc models` lists, or the path of a model file, which then codes the colours (alpha and
    low bytes of 16 bits find their own way); "auto" stores the smallest of what the default model, lossless WebP and
    plain storage make of it.
    `effort` 1..9: from 5 on WebP gets more time where it may win; from 7 on the model's biases are adapted to the
    image, which takes torch and many times longer, and costs the decoder nothing. `engine` (auto, numpy, torch, cuda,
    numba) chooses what computes; it never changes a decoded pixel, nor a byte of the file below effort 7. `order`
    (sheared, parallel, sequential) is that of a model's pixels: the first two write the same file, the last one that
    can only be decoded pixel by pixel. `embed` puts the weights of the models that are used into the file, so that it
    decodes where they are not installed. `progress` is called now and then with (done, total).
    Raises UnsupportedImageError, UnknownModelError, ShearlocError where torch is needed and not installed,
    ValueError for a bad effort, engine or order.
    """
    _check(engine, ORDERS, order)
    check_effort(effort)
    coded = parts.encode(picture, Options(model, effort, engine, order, embed, progress))
    height, width = picture.samples.shape[:2]
    crc = crc32c(_little_endian(picture.samples))
    found = tuple(one.part for one in coded)
    weights = dict.fromkeys(chunk for one in coded for chunk in one.weights)
    header = Header(height, width, picture.colour, picture.depth, found, crc, (*weights, *_chunks_of(picture)))
    return container.pack(header, [one.payload for one in coded])


def decode_picture(
    data: bytes | bytearray | memoryview,
    *,
    engine: str = "auto",
    order: str = "auto",
    max_samples: int = MAX_SAMPLES,
    progress: Progress | None = None,
) -> Picture:
    """The picture of a `.shl` file as it went in, checked against the file's checksum of its samples.

    `engine` as in `encode_picture`. `order`: "auto" takes what the file needs; "parallel" decodes a sheared file from
    gathered patches, for comparison. `max_samples` bounds height * width * channels (16 bits count twice), and so the
    memory a file may claim. Raises FormatError, CorruptError, UnknownModelError, UnsupportedImageError (too large),
    ShearlocError for an order that the file is not in, ValueError for a bad engine or order.
    """
    _check(engine, ("auto", *ORDERS), order)
    header, payloads = container.unpack(_as_bytes(data), max_samples)
    samples = parts.decode(header, payloads, engine, order, progress)
    if crc32c(_little_endian(samples)) != header.pixel_crc:
        raise CorruptError("the decoded pixels do not match the file's checksum of them")
    return _picture_of(header, samples)


def write(
    path: str | os.PathLike[str],
    image: Samples,
    *,
    model: str = "auto",
    effort: int = 5,
    engine: str = "auto",
    embed: bool = False,
) -> None:
    """Encode to a file, which appears only when complete. Arguments and errors as in `encode`; also OSError."""
    files.write_atomic(path, encode(image, model=model, effort=effort, engine=engine, embed=embed))


def read(path: str | os.PathLike[str], *, engine: str = "auto", max_samples: int = MAX_SAMPLES) -> Samples:
    """Decode a `.shl` file. Arguments and errors as in `decode`; also OSError."""
    return decode(Path(path).read_bytes(), engine=engine, max_samples=max_samples)


def info(data: bytes | bytearray | memoryview) -> Info:
    """What a whole `.shl` file says about itself. The header is checked, the payloads are not looked at.

    Raises FormatError, CorruptError.
    """
    file = _as_bytes(data)
    header, lengths = container.unpack_header(file)
    channels = CHANNELS[header.colour]
    kinds = [kind.decode() for kind, _ in header.chunks if kind != chunks.WEIGHTS]
    return Info(
        version=container.VERSION,
        mode=mode_name(header.colour, header.depth, chunks.TRANSPARENCY.decode() in kinds),
        height=header.height,
        width=header.width,
        channels=channels,
        bit_depth=header.depth,
        parts=tuple(_part_info(part, length) for part, length in zip(header.parts, lengths, strict=True)),
        chunks=tuple(kinds),
        pixel_crc=f"{header.pixel_crc:08x}",
        file_bytes=len(file),
        bits_per_subpixel=8 * len(file) / (header.height * header.width * channels),
        embedded_weights=sum(map(len, chunks.weights_in(header.chunks))) or None,
    )


def _part_info(part: Part, length: int) -> PartInfo:
    method = container.METHODS[part.method]
    if part.method != LOCAL:
        return PartInfo(part.planes, method, length)
    return PartInfo(
        part.planes,
        method,
        length,
        container.ORDERS[part.order],
        part.model,
        part.fingerprint.hex(),
        part.precision,
        part.lanes,
        len(part.side_information),
    )


def _check(engine: str, orders: tuple[str, ...], order: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}")
    if order not in orders:
        raise ValueError(f"order is one of {', '.join(orders)}, not {order!r}")


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _little_endian(samples: Samples) -> Any:
    """Contiguous, and the same bytes on every machine; shares memory where it can."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))


def _chunks_of(picture: Picture) -> tuple[container.Chunk, ...]:
    palette = () if picture.palette is None else ((chunks.PALETTE, picture.palette.tobytes()),)
    transparency = ((chunks.TRANSPARENCY, picture.transparency),) if picture.transparency else ()
    return (*palette, *transparency, *picture.chunks)


def _picture_of(header: Header, samples: Samples) -> Picture:
    found = dict(header.chunks)
    if any([kind for kind, _ in header.chunks].count(name) > 1 for name in (chunks.PALETTE, chunks.TRANSPARENCY)):
        raise CorruptError("the file does not hold a picture: it has several palettes")
    ours = (chunks.PALETTE, chunks.TRANSPARENCY, chunks.WEIGHTS)
    metadata = tuple(chunk for chunk in header.chunks if chunk[0] not in ours)
    palette = np.frombuffer(found[chunks.PALETTE], np.uint8) if chunks.PALETTE in found else None
    try:
        if palette is not None:
            palette = palette.reshape(-1, 3)
        elif header.colour == PALETTE:
            raise UnsupportedImageError("its palette is missing")
        picture = Picture(samples, header.depth, palette, found.get(chunks.TRANSPARENCY, b""), metadata)
        if picture.colour != header.colour:
            raise UnsupportedImageError("it has a palette, and gray samples")
        return picture
    except ValueError as error:
        raise CorruptError(f"the file does not hold a picture: {error}") from error
