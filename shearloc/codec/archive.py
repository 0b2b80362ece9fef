"""Archives: many images of equal size in one `.shl` file, and back. docs/FORMAT.md is the specification.

Chunks of a bounded number of images have their own coder and checksums: one that is damaged leaves the others
readable, and one can be decoded without the others. How a chunk's images are coded is a method: raw, a local model, or
a variational autoencoder with bits-back. Bytes in, arrays out: files and folders are the command line's business.
"""

import io
import math
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, FormatError, UnsupportedImageError
from ..models import zoo
from .container import (
    FINGERPRINT_BYTES,
    LOCAL,
    MAX_SAMPLES,
    RAW,
    _decode_name,
    _read_u32,
    _string,
    _take,
    _take_string,
    _take_varint,
    _u32,
    _varint,
)
from .crc32c import crc32c
from .parts import DEFAULT_MODELS

MAGIC = b"\x89SHA\r\n\x1a\n"
VERSION = 1

VAE = 3
METHODS = {RAW: "raw", LOCAL: "local", VAE: "vae"}
"""How a chunk holds its images; the numbers are those of the container."""

CHUNK_SAMPLES = 1 << 21
"""Subpixels of a chunk at most (or one image): 2,674 images of MNIST, 682 of CIFAR-10."""

PROBE = 256
"""Images, evenly spaced, on which model="auto" compares the candidates."""

MAX_STEPS = 1000
"""K at most: what a file may make a decoder compute."""

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with (done, total), in chunks."""


@dataclass(frozen=True)
class Header:
    """What an archive says about its images. `steps` is K; `chunk_images` how many a chunk has, the last one fewer;
    `sizes` the chunks' bytes. `net_bits` is what the images cost without what starting cost; 0 where no bits went back.
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
    names: tuple[str, ...]
    chunk_images: int
    sizes: tuple[int, ...]

    def images_of(self, chunk: int) -> range:
        """The numbers of a chunk's images."""
        start = chunk * self.chunk_images
        return range(start, min(start + self.chunk_images, self.count))


@dataclass(frozen=True)
class ArchiveInfo:
    """What an archive says about itself, without decoding it; JSON's types but for the tuples.

    `gross_bits` are all of the file, `net_bits` (None: not bits-back) those of the images alone. Between them are
    the first images of each chain, which cost more because nothing is there yet to be popped, headers, checksums
    and coder states.
    """

    method: str
    count: int
    height: int
    width: int
    channels: int
    model: str | None
    fingerprint: str | None
    steps: int
    chunks: int
    names: tuple[str, ...]
    gross_bits: int
    net_bits: int | None
    bits_per_subpixel: float

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def encode_images(
    images: Pixels,
    names: list[str] | None = None,
    *,
    model: str = "auto",
    steps: int = 0,
    engine: str = "auto",
    chunk_samples: int = CHUNK_SAMPLES,
    progress: Progress | None = None,
) -> bytes:
    """An archive of uint8 [N, H, W] (gray), [N, H, W, 1] or [N, H, W, 3], N >= 1; `names`, one each, are optional.

    `model`: a name that `shearloc models` lists, "raw", or "auto", which takes what makes the smallest archive of
    some of the images. `steps`: K gradient steps of optimal inference for an autoencoder; smaller files, slower.
    Raises UnsupportedImageError, which names the image where it is one, UnknownModelError, ValueError for bad steps.
    """
    pixels = _as_images(images)
    if names is not None and (len(names) != len(pixels) or any("\n" in name for name in names)):
        raise ValueError(f"{len(names)} names for {len(pixels)} images, or a name with a line break")
    if not 0 <= steps <= MAX_STEPS:
        raise ValueError(f"steps (K) are from 0 to {MAX_STEPS}, not {steps}")
    if model == "auto":
        model = _smallest(pixels, steps, engine)
    coded = _encode_with(pixels, names, model, steps, engine, chunk_samples, progress)
    return coded if len(coded) <= pixels.size else min(coded, _encode_with(pixels, names, "raw"), key=len)


def decode_images(
    data: bytes, *, engine: str = "auto", max_samples: int = MAX_SAMPLES, progress: Progress | None = None
) -> tuple[Pixels, tuple[str, ...]]:
    """The images, uint8 [N, H, W] or [N, H, W, 3], and their names (none, if none were given) of an archive.

    Raises FormatError, CorruptError (which says which images are damaged), UnknownModelError, UnsupportedImageError.
    """
    images, names, damage = decode_undamaged(data, engine=engine, max_samples=max_samples, progress=progress)
    if damage:
        raise CorruptError("; ".join(damage.values()))
    return images, names


def decode_undamaged(
    data: bytes, *, engine: str = "auto", max_samples: int = MAX_SAMPLES, progress: Progress | None = None
) -> tuple[Pixels, tuple[str, ...], dict[int, str]]:
    """As `decode_images`, but damaged images are left black; also what is wrong, by the number of the chunk."""
    header, start = read_header(data, max_samples)
    images = np.zeros((header.count, header.height, header.width, header.channels), np.uint8)
    damage: dict[int, str] = {}

    def decode(chunk: int) -> None:
        numbers = header.images_of(chunk)
        try:
            images[numbers.start : numbers.stop] = _decode_chunk(header, data, start, chunk, engine)
        except CorruptError as error:
            damage[chunk] = str(error)

    _for_chunks(decode, len(header.sizes), header.method, progress)
    return _shaped(images), header.names, dict(sorted(damage.items()))


def decode_chunk(
    data: bytes, chunk: int, *, engine: str = "auto", max_samples: int = MAX_SAMPLES
) -> tuple[Pixels, range]:
    """One chunk's images without the others, and their numbers. As `decode_images`; IndexError for no such chunk."""
    header, start = read_header(data, max_samples)
    if not 0 <= chunk < len(header.sizes):
        raise IndexError(f"the archive has {len(header.sizes)} chunks, none is number {chunk}")
    return _shaped(_decode_chunk(header, data, start, chunk, engine)), header.images_of(chunk)


def info(data: bytes) -> ArchiveInfo:
    """What an archive says about itself; no chunk is looked at. Raises FormatError, CorruptError."""
    header, _ = read_header(data, None)
    uses_model = header.method != RAW
    return ArchiveInfo(
        method=METHODS[header.method],
        count=header.count,
        height=header.height,
        width=header.width,
        channels=header.channels,
        model=header.model if uses_model else None,
        fingerprint=header.fingerprint.hex() if uses_model else None,
        steps=header.steps,
        chunks=len(header.sizes),
        names=header.names,
        gross_bits=8 * len(data),
        net_bits=header.net_bits if header.method == VAE else None,
        bits_per_subpixel=8 * len(data) / (header.count * header.height * header.width * header.channels),
    )


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin as an archive's."""
    return data.startswith(MAGIC)


# --- Images in and out ------------------------------------------------------------------------------------------


def _as_images(images: Pixels) -> Pixels:
    """Contiguous uint8 [N, H, W, C]; UnsupportedImageError for anything else."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise UnsupportedImageError(f"the images are {kind}; pass a NumPy array of uint8")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise UnsupportedImageError(f"the images have shape {images.shape}; pass [N, H, W] for gray or [N, H, W, 3]")
    if images.size == 0:
        raise UnsupportedImageError(f"the images have shape {images.shape}: no pixels")
    return np.ascontiguousarray(images)


def _shaped(images: Pixels) -> Pixels:
    return images[..., 0] if images.shape[3] == 1 else images


def _candidates(images: Pixels) -> list[str]:
    """Models that can code these images."""
    shape = images.shape[1:]
    binary = bool(images.max() <= 1)
    vaes = [zoo.load_vae(name) for name in zoo.names("vae")]
    fitting = [m.name for m in vaes if m.image_shape == shape and (binary or m.levels > 2)]
    return fitting + [name for name in [DEFAULT_MODELS[shape[2]]] if name in zoo.names()]


def _smallest(images: Pixels, steps: int, engine: str) -> str:
    """The model that makes the smallest archive of PROBE of the images, "raw" where none fits."""
    sample = images[np.linspace(0, len(images) - 1, min(PROBE, len(images))).astype(int)]
    lengths = {name: len(_encode_with(sample, None, name, steps, engine)) for name in [*_candidates(images), "raw"]}
    return min(lengths, key=lambda name: lengths[name])


def _for_chunks(work: Callable[[int], None], count: int, method: int, progress: Progress | None) -> None:
    """Calls work(k) for every chunk, on as many threads as there are processors; the first error is raised.

    A local model uses all processors for one chunk.
    """
    from ..models.engines import processors

    threads = 1 if method == LOCAL else min(processors(), count)
    with ThreadPoolExecutor(threads) as pool:
        # On the caller's thread where one is enough, so that what is set for that thread holds (`engines.at_most`).
        run = map if threads == 1 else pool.map
        for done, _ in enumerate(run(work, range(count)), 1):
            if progress:
                progress(done, count)


# --- Chunks -----------------------------------------------------------------------------------------------------


def _encode_with(
    images: Pixels,
    names: list[str] | None,
    model: str,
    steps: int = 0,
    engine: str = "auto",
    chunk_samples: int = CHUNK_SAMPLES,
    progress: Progress | None = None,
) -> bytes:
    """An archive with this model, or "raw"."""
    count, height, width, channels = images.shape
    chunks = -(-images.size // max(chunk_samples, images[0].size))
    chunk_images = -(-count // chunks)
    parts = [images[k : k + chunk_images] for k in range(0, count, chunk_images)]
    method, fingerprint, precision, encode = _encoder(model, images, names, steps, engine)
    results: list[tuple[bytes, float]] = len(parts) * [(b"", 0.0)]

    def work(k: int) -> None:
        payload, net_bits = encode(parts[k])
        body = _u32(crc32c(parts[k])) + payload
        results[k] = (body + _u32(crc32c(body)), net_bits)

    _for_chunks(work, len(parts), method, progress)
    header = Header(
        method=method,
        count=count,
        height=height,
        width=width,
        channels=channels,
        model="" if method == RAW else model,
        fingerprint=fingerprint,
        precision=precision,
        steps=steps if method == VAE else 0,
        net_bits=math.ceil(sum(net for _, net in results)),
        names=tuple(names or ()),
        chunk_images=chunk_images,
        sizes=tuple(len(body) for body, _ in results),
    )
    return _pack_header(header) + b"".join(body for body, _ in results)


Encoder = Callable[[Pixels], tuple[bytes, float]]
"""A chunk's images to its payload and net bits (0 where no bits go back)."""


def _encoder(
    model: str, images: Pixels, names: list[str] | None, steps: int, engine: str
) -> tuple[int, bytes, int, Encoder]:
    """Method, fingerprint, precision and encoder of a model, after a look at whether it can code these images."""
    if model == "raw":
        return RAW, bytes(FINGERPRINT_BYTES), 0, lambda part: (part.tobytes(), 0.0)
    if model in zoo.names("vae"):
        from . import bitsback, vae_cdf

        vae = zoo.load_vae(model)
        bitsback.check_images(vae, images, names)

        def encode(part: Pixels) -> tuple[bytes, float]:
            chain = bitsback.encode_chain(vae, part, steps, engine)
            return chain.data, chain.net_bits

        return VAE, vae.fingerprint, vae_cdf.LATENT_PRECISION, encode
    from . import wavefront

    local = zoo.load(model)
    if local.channels != images.shape[3]:
        raise UnsupportedImageError(
            f"model '{model}' is for images of {local.channels} channels, these have {images.shape[3]}"
        )
    return LOCAL, local.fingerprint, wavefront.PRECISION, lambda part: (_encode_local(local, part, engine), 0.0)


def _encode_local(model: Any, images: Pixels, engine: str) -> bytes:
    """All images in one wavefront: lanes as a varint, then the payload."""
    from . import wavefront

    payload, lanes = wavefront.encode_images(model, images, engine)
    return _varint(lanes) + payload


def _decode_local(model: Any, payload: bytes, header: Header, count: int, engine: str) -> Pixels:
    from . import wavefront

    stream = io.BytesIO(payload)
    lanes = _take_varint(stream)
    return wavefront.decode_images(model, stream.read(), lanes, (count, header.height, header.width), engine)


def _decode_chunk(header: Header, data: bytes, start: int, chunk: int, engine: str) -> Pixels:
    """A chunk's images [n, H, W, C], both checksums held against them; CorruptError names the images."""
    numbers = header.images_of(chunk)
    begin, end = start + sum(header.sizes[:chunk]), start + sum(header.sizes[: chunk + 1])
    try:
        if end > len(data):
            raise CorruptError("the archive is cut short")
        body = data[begin:end]
        if len(body) < 8 or crc32c(body[:-4]) != _read_u32(body, len(body) - 4):
            raise CorruptError("the chunk's checksum does not match")
        images = _decode_payload(header, body[4:-4], len(numbers), engine)
        if crc32c(images) != _read_u32(body, 0):
            raise CorruptError("the decoded pixels do not match the chunk's checksum of them")
    except CorruptError as error:
        raise CorruptError(f"{_which(header, numbers)}: {error}") from error
    return images


def _decode_payload(header: Header, payload: bytes, count: int, engine: str) -> Pixels:
    shape = (count, header.height, header.width, header.channels)
    if header.method == RAW:
        if len(payload) != math.prod(shape):
            raise CorruptError(f"{len(payload)} bytes for {math.prod(shape)} raw samples")
        return np.frombuffer(payload, np.uint8).reshape(shape)
    if header.method == LOCAL:
        local = zoo.find(header.model, header.fingerprint)
        if local.channels != header.channels:
            raise CorruptError(f"the archive's {header.channels} channels do not fit its model '{header.model}'")
        return _decode_local(local, payload, header, count, engine)
    from . import bitsback

    vae = zoo.find_vae(header.model, header.fingerprint)
    if vae.image_shape != shape[1:]:
        raise CorruptError(f"the archive's images do not fit its model '{header.model}'")
    return bitsback.decode_chain(vae, payload, count, header.steps, engine)


def _which(header: Header, numbers: range) -> str:
    """A chunk's images in words, with their names where they have some."""
    first, last = numbers[0], numbers[-1]
    named = [f" ('{header.names[k]}')" if header.names else "" for k in (first, last)]
    one = f"image {first}{named[0]} is damaged"
    return one if first == last else f"images {first}{named[0]} to {last}{named[1]} are damaged"


# --- The header -------------------------------------------------------------------------------------------------


def _pack_header(header: Header) -> bytes:
    names = zlib.compress("\n".join(header.names).encode(), 9) if header.names else b""
    fields = b"".join(
        [
            bytes([header.method, 8, header.channels]),
            *map(_varint, (header.count, header.height, header.width)),
            _string(header.model.encode()),
            header.fingerprint,
            bytes([header.precision]),
            *map(_varint, (header.steps, header.net_bits)),
            _string(names),
            _varint(header.chunk_images),
            *map(_varint, header.sizes),
        ]
    )
    head = MAGIC + bytes([VERSION]) + _varint(len(fields)) + fields
    return head + _u32(crc32c(head))


def read_header(data: bytes, max_samples: int | None = MAX_SAMPLES) -> tuple[Header, int]:
    """The header of a whole archive, every claim checked, and where the first chunk begins.

    A file that is cut short within its chunks passes: the chunks that are there can be read. Raises FormatError,
    CorruptError, UnsupportedImageError (more than `max_samples` samples).
    """
    if not data.startswith(MAGIC):
        raise FormatError("not a Shearloc archive: it does not begin with the archive signature")
    stream = io.BytesIO(data)
    stream.seek(len(MAGIC))
    version = _take(stream, 1)[0]
    if version != VERSION:
        raise FormatError(f"the archive has version {version}; this Shearloc reads version {VERSION}: get a newer one")
    fields = _take(stream, _take_varint(stream))
    end = stream.tell()
    if crc32c(data[:end]) != int.from_bytes(_take(stream, 4), "little"):
        raise CorruptError("the archive is damaged: the header's checksum does not match")
    header = _parse(fields)
    samples = header.count * header.height * header.width * header.channels
    if max_samples is not None and samples > max_samples:
        raise UnsupportedImageError(
            f"the archive has {samples} samples, more than the limit of {max_samples}; "
            "raise max_samples (--max-samples) if you trust the file"
        )
    if len(data) > end + 4 + sum(header.sizes):
        raise CorruptError("the archive is followed by bytes that are not part of it")
    return header, end + 4


def _parse(fields: bytes) -> Header:
    stream = io.BytesIO(fields)
    method, depth, channels = _take(stream, 3)
    if method not in METHODS or depth != 8 or channels not in (1, 3):
        raise FormatError(
            f"the archive has method {method}, bit depth {depth}, {channels} channels: get a newer Shearloc"
        )
    count, height, width = (_take_varint(stream) for _ in range(3))
    model, fingerprint = _decode_name(_take_string(stream)), _take(stream, FINGERPRINT_BYTES)
    precision = _take(stream, 1)[0]
    steps, net_bits = _take_varint(stream), _take_varint(stream)
    names = _unpack_names(_take_string(stream), count)
    chunk_images = _take_varint(stream)
    if not (count and height and width and chunk_images) or steps > MAX_STEPS or chunk_images > count:
        raise CorruptError("the archive's header contradicts itself")
    sizes = tuple(_take_varint(stream) for _ in range(-(-count // chunk_images)))
    if stream.read(1):
        raise CorruptError("the archive's header is longer than its fields")
    return Header(
        method,
        count,
        height,
        width,
        channels,
        model,
        fingerprint,
        precision,
        steps,
        net_bits,
        names,
        chunk_images,
        sizes,
    )


def _unpack_names(packed: bytes, count: int) -> tuple[str, ...]:
    if not packed:
        return ()
    limit = 1024 * count
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, limit).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise CorruptError(f"the archive's names do not unpack ({error})") from error
    names = tuple(text.split("\n"))
    if len(names) != count or not stream.eof:
        raise CorruptError(f"the archive has {len(names)} names for {count} images")
    return names
