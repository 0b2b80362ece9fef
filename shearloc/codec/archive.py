"""Archives: many images of one size in one `.shl` file, and back. docs/FORMAT.md is the specification.

Chunks of a bounded number of images have their own coder and checksums: a damaged one leaves the others readable, and
each can be decoded without the others. A chunk's images are raw, or coded by a model of any family. Bytes in, arrays
out.
"""

import io
import math

import numpy as np

from ..coding.fields import read_u32, take_varint, u32, varint
from ..errors import CorruptError, ShearlocError, UnsupportedImageError
from ..models import defaults, orientation, zoo
from ..models.family import Coded, How, Model
from ..types import Pixels, Progress, Size
from . import embedded
from .formats import archive_header, chunks
from .formats.archive_header import MAGIC, MAX_NAME_BYTES, MAX_STEPS, Header, is_archive, most_images
from .formats.container import FINGERPRINT_BYTES, MAX_SAMPLES, Method
from .formats.crc32c import crc32c
from .parts import check_effort
from .threads import side_by_side

__all__ = [
    "MAGIC",
    "decode_chunk",
    "decode_images",
    "decode_undamaged",
    "encode_images",
    "is_archive",
]

RAW_CHUNK_SAMPLES = 1 << 21
"""Most subpixels of a raw chunk, or one image."""

PROBE = 64
"""Evenly spaced images by which model="auto" compares the candidates."""

RAW = "raw"


def encode_images(
    images: Pixels,
    names: list[str] | None = None,
    *,
    model: str = "auto",
    steps: int = 0,
    effort: int = 5,
    engine: str = "auto",
    embed: bool = False,
    chunk_samples: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Encode uint8 [N, H, W] (gray), [N, H, W, 1] or [N, H, W, 3], N >= 1, as an archive.

    `names`: one for each image, or none. `model`: a name that `shearloc models` lists, the path of a model file, "raw",
    or "auto", which takes what makes the smallest archive of a sample of the images. `steps`: K gradient steps of
    optimal inference for an autoencoder; smaller files, slower. `effort` 1..9: from 7 on, a local model codes each
    image in the orientation that takes fewest bits, of 2, 4 (effort 8) or 8 (effort 9). Encoding takes as many times as
    long; decoding takes no longer. `embed`: put the model's weights into the archive, so that it decodes where they are
    not installed. `chunk_samples`: most subpixels of a chunk, instead of the family's own number. Raises
    UnsupportedImageError, which names the image at fault if there is one, UnknownModelError, ShearlocError for an
    option that does nothing for the named model, ValueError for bad steps or a bad effort.
    """
    pixels = as_images(images)
    _check_names(names, len(pixels))
    check_steps(steps)
    check_effort(effort)
    if model == "auto":
        model = _smallest(pixels, steps, effort, engine, embed)
    elif model != RAW:
        _check_options(model, steps, effort)
    how = How(engine, steps=steps, orientations=orientation.tried(effort, pixels.shape[:3]), progress=progress)
    coded = _encode_with(pixels, names, model, how, embed, chunk_samples)
    return coded if len(coded) <= pixels.size else min(coded, _encode_with(pixels, names, RAW, How()), key=len)


def decode_images(
    data: bytes, *, engine: str = "auto", max_samples: int = MAX_SAMPLES, progress: Progress | None = None
) -> tuple[Pixels, tuple[str, ...]]:
    """Decode an archive: the images, uint8 [N, H, W] or [N, H, W, 3], and their names, if they have any.

    Raises FormatError, CorruptError (which says which images are damaged), UnknownModelError, UnsupportedImageError.
    """
    images, names, damage = decode_undamaged(data, engine=engine, max_samples=max_samples, progress=progress)
    if damage:
        raise CorruptError("; ".join(damage.values()))
    return images, names


def decode_undamaged(
    data: bytes, *, engine: str = "auto", max_samples: int = MAX_SAMPLES, progress: Progress | None = None
) -> tuple[Pixels, tuple[str, ...], dict[int, str]]:
    """Like `decode_images`, but damaged images are black; also returns what is wrong, by the number of the chunk."""
    header, start = archive_header.read(data, max_samples)
    model = _model_of(header)
    images = np.zeros((header.count, header.height, header.width, header.channels), np.uint8)
    engine = model.engine_for(engine, images.size) if model else engine
    damage: dict[int, str] = {}

    def decode(chunk: int) -> None:
        numbers = header.images_of(chunk)
        try:
            images[numbers.start : numbers.stop] = _decode_chunk(header, model, data, start, chunk, engine)
        except CorruptError as error:
            damage[chunk] = str(error)

    size, count = (header.chunk_images, header.height, header.width), len(header.sizes)
    side_by_side(decode, count, _at_once(model, size, engine, count), engine, progress)
    return _shaped(images), header.names, dict(sorted(damage.items()))


def decode_chunk(
    data: bytes, chunk: int, *, engine: str = "auto", max_samples: int = MAX_SAMPLES
) -> tuple[Pixels, range]:
    """One chunk's images, and their numbers. Raises as `decode_images`; IndexError where there is no such chunk."""
    header, start = archive_header.read(data, max_samples)
    if not 0 <= chunk < len(header.sizes):
        raise IndexError(f"the archive has {len(header.sizes)} chunks, none is number {chunk}")
    return _shaped(_decode_chunk(header, _model_of(header), data, start, chunk, engine)), header.images_of(chunk)


# --- What comes in, and what goes out -------------------------------------------------------------------------------


def as_images(images: Pixels) -> Pixels:
    """Contiguous uint8 [N, H, W, C]. UnsupportedImageError, which says what to do, for anything else."""
    if not isinstance(images, np.ndarray):
        kind = type(images).__name__
        raise UnsupportedImageError(f"the images are of type {kind}; pass a NumPy array of uint8, as numpy.stack makes")
    if isinstance(images, np.ma.MaskedArray):
        raise UnsupportedImageError("the images are a masked array; masks are not stored: pass images.filled(value)")
    if images.dtype != np.uint8:
        hint = "images.astype(numpy.uint8)" if images.dtype == bool else "a NumPy array of uint8"
        raise UnsupportedImageError(f"the images are {images.dtype}; pass {hint}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        turned = images.ndim == 4 and images.shape[1] in (1, 3)
        hint = "images.transpose(0, 2, 3, 1)" if turned else "[N, H, W] for gray or [N, H, W, 3]"
        raise UnsupportedImageError(f"the images have shape {images.shape}; pass {hint}")
    if images.size == 0:
        raise UnsupportedImageError(f"the images have shape {images.shape}: no pixels")
    return np.ascontiguousarray(images)


def check_steps(steps: int) -> None:
    """ValueError for a number of steps that no archive has."""
    if not 0 <= steps <= MAX_STEPS:
        raise ValueError(f"steps (K) are from 0 to {MAX_STEPS}, not {steps}")


def _check_names(names: list[str] | None, count: int) -> None:
    if names is None:
        return
    if len(names) != count or any("\n" in name for name in names):
        raise ValueError(f"{len(names)} names for {count} images, or a name with a line break")
    if len("\n".join(names).encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the names take more than {MAX_NAME_BYTES} bytes")


def _check_options(model: str, steps: int, effort: int) -> None:
    """ShearlocError for an option that does nothing for the named model."""
    family = zoo.family_of(model)
    if steps and "steps" not in family.options:
        raise ShearlocError(f"model '{model}' has no steps of optimal inference: leave out steps (--steps)")
    if effort != 5 and not family.orients:
        raise ShearlocError(f"model '{model}' codes archives alike at every effort: leave out effort (--effort)")


def _shaped(images: Pixels) -> Pixels:
    return images[..., 0] if images.shape[3] == 1 else images


# --- Choosing a model -----------------------------------------------------------------------------------------------


def _candidates(images: Pixels, effort: int, engine: str) -> list[str]:
    """Models that can code these images."""
    shape, levels = images.shape[1:], int(images.max()) + 1
    here = zoo.names()
    fixed = [name for name in here if zoo.family_of(name).fixed_size]
    fitting = [name for name in fixed if zoo.load(name).refuses(shape, levels) is None]
    return fitting + [name for name in defaults.candidates(shape, effort, engine) if name in here]


def _smallest(images: Pixels, steps: int, effort: int, engine: str, embed: bool) -> str:
    """The model that makes the smallest archive of PROBE sample images; "raw" where no model fits."""
    sample = images[np.linspace(0, len(images) - 1, min(PROBE, len(images))).astype(int)]
    how = How(engine, steps=steps)

    def size(name: str) -> float:
        weights = len(_encode_with(sample[:1], None, name, how, True)) if embed else 0
        return len(_encode_with(sample, None, name, how)) * len(images) / len(sample) + weights

    return min([*_candidates(images, effort, engine), RAW], key=size)


def _model_for(name: str, images: Pixels, names: list[str] | None) -> Model | None:
    """The model of a name or path; None for "raw". UnsupportedImageError where it cannot code these images."""
    if name == RAW:
        return None
    model = zoo.load(name)
    shape = images.shape[1:]
    if problem := model.refuses(shape) and model.refuses(shape, int(images.max()) + 1):
        bad = next(k for k, image in enumerate(images) if model.refuses(shape, int(image.max()) + 1))
        which = f"image '{names[bad]}'" if names else f"image {bad}"
        raise UnsupportedImageError(problem if model.refuses(shape, 1) else f"{which}: {problem}")
    return model


def _model_of(header: Header) -> Model | None:
    """The model of an archive, its embedded one if there is one; None for raw archives.

    UnknownModelError, or CorruptError where the model does not fit the images.
    """
    if header.family is None:
        return None
    own = embedded.models(chunks.weights_in(header.weights), {header.fingerprint})
    model = own.get(header.fingerprint) or zoo.find(header.model, header.fingerprint)
    if model.family is not header.family or model.refuses((header.height, header.width, header.channels), 1):
        raise CorruptError(f"the archive's images do not fit its model '{header.model}'")
    return model


# --- Chunks ---------------------------------------------------------------------------------------------------------


def _encode_with(
    images: Pixels,
    names: list[str] | None,
    name: str,
    how: How,
    embed: bool = False,
    chunk_samples: int | None = None,
) -> bytes:
    """Encodes an archive with this model, or "raw"."""
    count, height, width, channels = images.shape
    model = _model_for(name, images, names)
    family = model.family if model else None
    engine = model.engine_for(how.engine, images.size) if model else how.engine
    in_chunk = How(engine, steps=how.steps, orientations=how.orientations)
    most = family.chunk_samples if family else RAW_CHUNK_SAMPLES
    most = most if chunk_samples is None else chunk_samples
    chunk_images = -(-count // -(-count // max(1, min(most // images[0].size, most_images(family, images.shape[1:])))))
    parts = [images[k : k + chunk_images] for k in range(0, count, chunk_images)]
    results = len(parts) * [Coded(b"")]

    def work(k: int) -> None:
        coded = model.encode(parts[k], in_chunk) if model else Coded(parts[k].tobytes())
        results[k] = coded

    threads = _at_once(model, (chunk_images, height, width), engine, len(parts))
    side_by_side(work, len(parts), threads, engine, how.progress)
    from ..coding.lengths import LENGTH_BITS  # here, because it imports Numba, which `info` does without

    bodies = [_seal(part, coded) for part, coded in zip(parts, results, strict=True)]
    header = Header(
        method=family.method if family else Method.RAW,
        count=count,
        height=height,
        width=width,
        channels=channels,
        model=model.name if model else "",
        fingerprint=model.fingerprint if model else bytes(FINGERPRINT_BYTES),
        precision=family.precision if family else 0,
        steps=how.steps if family and "steps" in family.options else 0,
        net_bits=-(-sum(coded.net_bits for coded in results) >> LENGTH_BITS),
        packed_names=archive_header.pack_names(names or ()),
        chunk_images=chunk_images,
        sizes=tuple(map(len, bodies)),
        weights=(embedded.weights(name, model),) if embed and model else (),
        packed_orientations=_joined(results),
    )
    return archive_header.pack(header) + b"".join(bodies)


def _seal(images: Pixels, coded: Coded) -> bytes:
    """A chunk: checksum of its images, lanes where the payload has some, payload, checksum of all that."""
    body = u32(crc32c(images)) + (varint(coded.lanes) if coded.lanes else b"") + coded.payload
    return body + u32(crc32c(body))


def _joined(results: list[Coded]) -> bytes | None:
    """The orientations of all chunks' images, packed; None for all as they are."""
    found = [coded.orientations for coded in results if coded.orientations is not None]
    return orientation.pack(np.concatenate(found)) if any(numbers.any() for numbers in found) else None


def _decode_chunk(header: Header, model: Model | None, data: bytes, start: int, chunk: int, engine: str) -> Pixels:
    """A chunk's images [n, H, W, C], checked against both checksums. CorruptError names the images."""
    numbers = header.images_of(chunk)
    end = start + header.ends[chunk]
    begin = end - header.sizes[chunk]
    try:
        if end > len(data):
            raise CorruptError("the archive is cut short")
        body = data[begin:end]
        if len(body) < 8 or crc32c(body[:-4]) != read_u32(body, len(body) - 4):
            raise CorruptError("the chunk's checksum does not match")
        images = _decode_payload(header, model, body[4:-4], len(numbers), engine)
        if header.orientations is not None:
            images = orientation.restored(images, header.orientations[numbers.start : numbers.stop])
        if crc32c(images) != read_u32(body, 0):
            raise CorruptError("the decoded pixels do not match the chunk's checksum of them")
    except CorruptError as error:
        raise CorruptError(f"{_which(header, numbers)}: {error}") from error
    return images


def _decode_payload(header: Header, model: Model | None, payload: bytes, count: int, engine: str) -> Pixels:
    """Images [count, H, W, C]."""
    if model is None:
        shape = (count, header.height, header.width, header.channels)
        if len(payload) != math.prod(shape):
            raise CorruptError(f"{len(payload)} bytes for {math.prod(shape)} raw samples")
        return np.frombuffer(payload, np.uint8).reshape(shape)
    stream = io.BytesIO(payload)
    lanes = take_varint(stream) if model.family.lanes else 0
    coded = Coded(stream.read(), lanes)
    how = How(engine, order="auto", steps=header.steps)
    return model.decode(coded, (count, header.height, header.width), how)


def _which(header: Header, numbers: range) -> str:
    """Names a chunk's images for a message."""
    first, last = numbers[0], numbers[-1]
    named = [f" ('{header.names[k]}')" if header.names else "" for k in (first, last)]
    one = f"image {first}{named[0]} is damaged"
    return one if first == last else f"images {first}{named[0]} to {last}{named[1]} are damaged"


def _at_once(model: Model | None, size: Size, engine: str, count: int) -> int:
    """How many chunks, each of size (images, H, W), to code side by side."""
    return model.at_once(size, engine, count) if model else 1
