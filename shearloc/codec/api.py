"""The functions people call: image in, bytes out, and back. `shearloc` shows them under its own name.

It puts the pieces together and checks what comes in; probabilities, coding and bytes are other files' work.
Models, coders and Numba are imported by the calls that need them, so `info` stays quick.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from . import container, planes
from .container import LOCAL, MAX_SAMPLES, RAW, SHEARED, WEBP, Header
from .crc32c import crc32c

if TYPE_CHECKING:
    from ..models.local import LocalModel

ENGINES = ("auto", "numpy", "torch", "cuda", "numba")
EFFORTS = range(1, 10)
ADAPTING_UPDATES = {7: 100, 8: 200, 9: 400}
"""Gradient steps by which an effort adapts the model to the image."""
DEFAULT_MODELS = {1: "gray", 3: "photo"}
"""What model="auto" means, by channel count."""

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called now and then with (done, total), in steps of the coder."""


@dataclass(frozen=True)
class Info:
    """What a file says about itself, without decoding it.

    `method` is raw, webp or local; `model`, `fingerprint` (hexadecimal), `order`, `precision` (bits) and `lanes`
    are None where no model is used. `chunks` are the types of the metadata chunks.
    """

    version: int
    height: int
    width: int
    channels: int
    bit_depth: int
    method: str
    order: str | None
    model: str | None
    fingerprint: str | None
    precision: int | None
    lanes: int | None
    side_information_bytes: int | None
    chunks: tuple[str, ...]
    pixel_crc: str
    payload_bytes: int
    file_bytes: int
    bits_per_subpixel: float

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON knows."""
        return asdict(self)


def encode(
    image: Pixels, *, model: str = "auto", effort: int = 5, engine: str = "auto", progress: Progress | None = None
) -> bytes:
    """Compress uint8 [H, W] (gray) or [H, W, 3] (RGB), at least 1x1, to the bytes of a `.shl` file.

    `model` is a name that `shearloc models` lists; "auto" takes "gray" or "photo". `effort` 1..9: from 7 on the
    model's biases are adapted to the image, which takes torch and many times longer, and costs the decoder
    nothing; below, every level writes the same bytes. `engine` (auto, numpy, torch, cuda, numba) chooses what
    computes; it never changes a decoded pixel, nor a byte of the file below effort 7.
    Raises UnsupportedImageError, UnknownModelError, ShearlocError where torch is needed and not installed,
    ValueError for a bad effort or engine.
    """
    _check_engine(engine)
    if effort not in EFFORTS:
        raise ValueError(f"effort is a whole number from 1 to 9, not {effort!r}")
    pixels = _as_planes(image)
    coder = _model_for(pixels, DEFAULT_MODELS[pixels.shape[2]] if model == "auto" else model)
    candidates = []
    if effort in ADAPTING_UPDATES:  # first, because it refuses where torch is missing
        candidates.append(_encode_adapted(coder, pixels, ADAPTING_UPDATES[effort], engine, progress))
    coded = min([_encode_local(coder, pixels, engine, progress), *candidates], key=len)
    if len(coded) < pixels.size:
        return coded
    return min(_encode_raw(pixels), coded, key=len)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    engine: str = "auto",
    max_samples: int = MAX_SAMPLES,
    progress: Progress | None = None,
) -> Pixels:
    """The pixels of a `.shl` file: uint8 [H, W] or [H, W, 3], checked against the file's checksum of them.

    `engine` as in `encode`. `max_samples` bounds height * width * channels, and so the memory a file may claim.
    Raises FormatError, CorruptError, UnknownModelError, UnsupportedImageError (too large), ValueError for a bad
    engine.
    """
    _check_engine(engine)
    header, payload = container.unpack(_as_bytes(data), max_samples)
    pixels = _decode_payload(header, payload, engine, progress)
    if crc32c(pixels) != header.pixel_crc:
        raise CorruptError("the decoded pixels do not match the file's checksum of them")
    return pixels[:, :, 0] if header.channels == 1 else pixels


def write(
    path: str | os.PathLike[str], image: Pixels, *, model: str = "auto", effort: int = 5, engine: str = "auto"
) -> None:
    """Encode to a file, which appears only when complete. Arguments and errors as in `encode`; also OSError."""
    planes.write_atomic(path, encode(image, model=model, effort=effort, engine=engine))


def read(path: str | os.PathLike[str], *, engine: str = "auto", max_samples: int = MAX_SAMPLES) -> Pixels:
    """Decode a `.shl` file. Arguments and errors as in `decode`; also OSError."""
    return decode(Path(path).read_bytes(), engine=engine, max_samples=max_samples)


def info(data: bytes | bytearray | memoryview) -> Info:
    """What a whole `.shl` file says about itself. The header is checked, the payload is not looked at.

    Raises FormatError, CorruptError.
    """
    file = _as_bytes(data)
    header, payload_bytes = container.unpack_header(file)
    local = header.method == LOCAL
    return Info(
        version=container.VERSION,
        height=header.height,
        width=header.width,
        channels=header.channels,
        bit_depth=header.bit_depth,
        method=container.METHODS[header.method],
        order=container.ORDERS[header.order] if local else None,
        model=header.model if local else None,
        fingerprint=header.fingerprint.hex() if local else None,
        precision=header.precision if local else None,
        lanes=header.lanes if local else None,
        side_information_bytes=len(header.side_information) if local else None,
        chunks=tuple(kind.decode() for kind, _ in header.chunks),
        pixel_crc=f"{header.pixel_crc:08x}",
        payload_bytes=payload_bytes,
        file_bytes=len(file),
        bits_per_subpixel=8 * len(file) / header.samples,
    )


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}")


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _as_planes(image: Pixels) -> Pixels:
    """The image as contiguous uint8 [H, W, C]; UnsupportedImageError for anything else."""
    if not isinstance(image, np.ndarray):
        raise UnsupportedImageError(f"the image is a {type(image).__name__}; pass a NumPy array of uint8")
    if image.dtype != np.uint8:
        raise UnsupportedImageError(f"the image's samples are {image.dtype}; only uint8 is stored yet")
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3):
        raise UnsupportedImageError(f"the image has shape {image.shape}; pass [H, W] for gray or [H, W, 3] for RGB")
    if image.size == 0:
        raise UnsupportedImageError(f"the image has shape {image.shape}: no pixels")
    return np.ascontiguousarray(image).reshape(*image.shape[:2], -1)


def _encode_raw(pixels: Pixels) -> bytes:
    height, width, channels = pixels.shape
    return container.pack(Header(height, width, channels, RAW, crc32c(pixels)), pixels.tobytes())


def _model_for(pixels: Pixels, name: str) -> "LocalModel":
    from ..models import zoo

    model = zoo.load(name)
    channels = pixels.shape[2]
    if model.channels != channels:
        raise UnsupportedImageError(
            f"model '{name}' is for images of {model.channels} channels, this one has {channels}; "
            f"use '{DEFAULT_MODELS[channels]}' or leave the choice to 'auto'"
        )
    return model


def _encode_local(
    model: "LocalModel",
    pixels: Pixels,
    engine: str,
    progress: Progress | None,
    adjustments: NDArray[np.int8] | None = None,
) -> bytes:
    from . import adaptation, wavefront

    adapted = model if adjustments is None else model.adjusted(adjustments)
    payload, lanes = wavefront.encode_images(adapted, pixels[None], engine, progress)
    height, width, channels = pixels.shape
    header = Header(
        height,
        width,
        channels,
        LOCAL,
        crc32c(pixels),
        order=SHEARED,
        model=model.name,
        fingerprint=model.fingerprint,
        precision=wavefront.PRECISION,
        lanes=lanes,
        side_information=b"" if adjustments is None else adaptation.pack(adjustments),
    )
    return container.pack(header, payload)


def _encode_adapted(model: "LocalModel", pixels: Pixels, updates: int, engine: str, progress: Progress | None) -> bytes:
    try:
        from ..models import adapt
    except ImportError as error:
        raise ShearlocError(f'effort 7 and more need torch ({error}): pip install "shearloc[torch]"') from error
    adjustments = adapt.bias_adjustments(model, pixels, updates, progress)
    return _encode_local(model, pixels, engine, None, adjustments)


def _decode_payload(header: Header, payload: bytes, engine: str, progress: Progress | None) -> Pixels:
    """Contiguous uint8 [H, W, C], not yet compared with the pixel checksum."""
    if header.method == RAW:
        return np.frombuffer(payload, np.uint8).reshape(header.height, header.width, header.channels).copy()
    if header.method == WEBP:
        return _decode_webp(header, payload)
    return _decode_local(header, payload, engine, progress)


def _decode_webp(header: Header, payload: bytes) -> Pixels:
    from PIL import Image

    try:
        with Image.open(BytesIO(payload), formats=["WEBP"]) as image:
            if image.size != (header.width, header.height):  # before Pillow allocates what the payload claims
                raise CorruptError("the file's WebP payload has another size than its header says")
            pixels = np.array(image.convert("L" if header.channels == 1 else "RGB"))
    except CorruptError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged data
        raise CorruptError(f"the file's WebP payload does not decode ({error})") from error
    return pixels.reshape(header.height, header.width, header.channels)


def _decode_local(header: Header, payload: bytes, engine: str, progress: Progress | None) -> Pixels:
    from ..models import zoo
    from . import wavefront

    if (header.order, header.precision) != (SHEARED, wavefront.PRECISION):
        raise FormatError("the file's coder parameters need a newer version of Shearloc")
    model = zoo.find(header.model, header.fingerprint)
    if model.channels != header.channels:
        raise CorruptError(f"the file's {header.channels} channels do not fit its model '{header.model}'")
    if header.side_information:
        model = _adjusted(model, header.side_information)
    size = (1, header.height, header.width)
    return wavefront.decode_images(model, payload, header.lanes, size, engine, progress)[0]


def _adjusted(model: "LocalModel", side_information: bytes) -> "LocalModel":
    from . import adaptation

    try:
        return model.adjusted(adaptation.unpack(side_information, model.bias_count))
    except CorruptError:
        raise
    except ValueError as error:
        raise CorruptError(f"the file's side information does not fit its model ({error})") from error
