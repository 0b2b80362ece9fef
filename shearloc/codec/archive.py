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
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..coding.fields import read_u32, string, take, take_name, take_string, take_varint, u32, varint
from ..errors import CorruptError, FormatError, UnsupportedImageError
from ..models import orientation, zoo
from .formats import chunks
from .formats.container import FINGERPRINT_BYTES, LOCAL, MAX_SAMPLES, RAW
from .formats.crc32c import crc32c
from .parts import DEFAULT_MODELS, check_effort
from .pictures.picture import Chunk

MAGIC = b"\x89SHA\r\n\x1a\n"
VERSION = 1

VAE = 3
METHODS = {RAW: "raw", LOCAL: "local", VAE: "vae"}
"""How a chunk holds its images; the numbers are those of the container."""

PRECISIONS = {RAW: 0, LOCAL: 24, VAE: 28}
"""Bits of the probabilities: of a local model's pixels, or of latents given an image."""

CHUNK_SAMPLES = {RAW: 1 << 21, LOCAL: 1 << 17, VAE: 1 << 21}
"""Subpixels of a chunk at most (or one image), by the method. Bits-back wants long chains: 682 images of CIFAR-10.
Local models want what they keep of earlier pixels in a processor's own cache: 42 such images, each processor others."""

MAX_CHUNK_SAMPLES = 1 << 24
"""Subpixels of a chunk of several images at most: what a file may make a decoder hold at a time."""
MAX_STEP_PIXELS = 1 << 17
"""The same for a local model: images of a chunk times their shorter side, which bounds the pixels of a step."""

SMALL_MODELS = {3: ("small", "nelloc-r1")}
SMALL_SIDE = 64
"""Local models that also have a try at images of at most so many pixels a side, by the channels. Not `nelloc-gray`: one
image out of a chunk would take 100 ms instead of 35."""

PROBE = 64
"""Images, evenly spaced, on which model="auto" compares the candidates."""

MAX_NAME_BYTES = 1 << 24
"""All names of an archive together."""

MAX_STEPS = 1000
"""K at most: what a file may make a decoder compute."""

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with (done, total), in chunks."""


@dataclass(frozen=True)
class Header:
    """What an archive says about its images. `steps` is K; `chunk_images` how many a chunk has, the last one fewer;
    `sizes` the chunks' bytes; `weights` a chunk with the model itself, where it is embedded. `net_bits` is what the
    images cost without what starting cost; 0 where no bits went back. `orientations` of the images, uint8 [N], where
    some are not coded as they are (`orientation.py`).
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
    weights: tuple[Chunk, ...] = ()
    orientations: NDArray[np.uint8] | None = None

    def images_of(self, chunk: int) -> range:
        """The numbers of a chunk's images."""
        start = chunk * self.chunk_images
        return range(start, min(start + self.chunk_images, self.count))

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each chunk ends, in bytes from where the first begins."""
        return tuple(accumulate(self.sizes))


@dataclass(frozen=True)
class ArchiveInfo:
    """What an archive says about itself, without decoding it; JSON's types but for the tuples.

    `gross_bits` are all of the file, `net_bits` (None: not bits-back) those of the images alone. Between them are
    the first images of each chain, which cost more because nothing is there yet to be popped, headers, checksums
    and coder states. `reoriented`: how many images are coded mirrored, upside down or transposed, None for none.
    `embedded_weights`: bytes of the model file that the archive brings along, None without one.
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
    reoriented: int | None
    embedded_weights: int | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


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
    """An archive of uint8 [N, H, W] (gray), [N, H, W, 1] or [N, H, W, 3], N >= 1; `names`, one each, are optional.

    `model`: a name that `shearloc models` lists, the path of a model file, "raw", or "auto", which takes what makes the
    smallest archive of some of the images. `steps`: K gradient steps of optimal inference for an autoencoder; smaller
    files, slower. `effort` 1..9: from 7 on a local model codes each image in the orientation that takes fewest bits, of
    2, 4 (effort 8) or 8 (effort 9): encoding takes as many times as long, decoding no longer.
    `embed`: put the model's weights into the archive, so that it decodes where they are not installed.
    `chunk_samples`: subpixels of a chunk at most, if not CHUNK_SAMPLES of the method.
    Raises UnsupportedImageError, which names the image where it is one, UnknownModelError, ValueError for bad steps or
    a bad effort.
    """
    pixels = _as_images(images)
    if names is not None and (len(names) != len(pixels) or any("\n" in name for name in names)):
        raise ValueError(f"{len(names)} names for {len(pixels)} images, or a name with a line break")
    if names is not None and len("\n".join(names).encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the names take more than {MAX_NAME_BYTES} bytes")
    if not 0 <= steps <= MAX_STEPS:
        raise ValueError(f"steps (K) are from 0 to {MAX_STEPS}, not {steps}")
    check_effort(effort)
    if model == "auto":
        model = _smallest(pixels, steps, engine, embed)
    coded = _encode_with(pixels, names, model, steps, engine, embed, chunk_samples, progress, effort)
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
    model = _model_of(header)
    images = np.zeros((header.count, header.height, header.width, header.channels), np.uint8)
    engine = _engine(engine, header.method, images.size)
    damage: dict[int, str] = {}

    def decode(chunk: int) -> None:
        numbers = header.images_of(chunk)
        try:
            images[numbers.start : numbers.stop] = _decode_chunk(header, model, data, start, chunk, engine)
        except CorruptError as error:
            damage[chunk] = str(error)

    size, count = (header.chunk_images, header.height, header.width), len(header.sizes)
    _for_chunks(decode, count, _threads(header.method, model, size, engine, count), engine, progress)
    return _shaped(images), header.names, dict(sorted(damage.items()))


def decode_chunk(
    data: bytes, chunk: int, *, engine: str = "auto", max_samples: int = MAX_SAMPLES
) -> tuple[Pixels, range]:
    """One chunk's images without the others, and their numbers. As `decode_images`; IndexError for no such chunk."""
    header, start = read_header(data, max_samples)
    if not 0 <= chunk < len(header.sizes):
        raise IndexError(f"the archive has {len(header.sizes)} chunks, none is number {chunk}")
    return _shaped(_decode_chunk(header, _model_of(header), data, start, chunk, engine)), header.images_of(chunk)


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
        reoriented=None if header.orientations is None else int(np.count_nonzero(header.orientations)),
        embedded_weights=sum(map(len, chunks.weights_in(header.weights))) or None,
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
    local = [DEFAULT_MODELS[shape[2]]]
    if max(shape[:2]) <= SMALL_SIDE:
        local += SMALL_MODELS.get(shape[2], ())
    return fitting + [name for name in local if name in zoo.names()]


def _smallest(images: Pixels, steps: int, engine: str, embed: bool) -> str:
    """The model that makes the smallest archive, judged by PROBE of the images; "raw" where none fits."""
    sample = images[np.linspace(0, len(images) - 1, min(PROBE, len(images))).astype(int)]

    def size(name: str) -> float:
        weights = len(_encode_with(sample[:1], None, name, steps, engine, True)) if embed else 0
        return len(_encode_with(sample, None, name, steps, engine)) * len(images) / len(sample) + weights

    return min([*_candidates(images), "raw"], key=size)


def _for_chunks(work: Callable[[int], None], count: int, threads: int, engine: str, progress: Progress | None) -> None:
    """Calls work(k) for every chunk, on so many threads with a share of the processors; the first error is raised."""
    from ..nets import engines

    share = engines.processors() // threads

    def alone(chunk: int) -> None:
        with engines.at_most(share):
            work(chunk)

    with engines.one_thread_each(engine, threads), ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(alone, range(count)), 1):
            if progress:
                progress(done, count)


def _threads(method: int, model: Any, size: tuple[int, int, int], engine: str, count: int) -> int:
    """Chunks, each of size (images, H, W), to code side by side."""
    from ..nets.engines import processors

    if method != LOCAL:
        return min(processors(), count)
    from ..models.local import coder as local

    return local.at_once(model, size, engine, count)


def _engine(engine: str, method: int, samples: int) -> str:
    """The engine for a whole archive of so many subpixels: what is not worth its start for one chunk may be for all."""
    if method != LOCAL:
        return engine
    from ..nets import engines

    return engines.choose(engine, samples)


# --- Chunks -----------------------------------------------------------------------------------------------------


def _encode_with(
    images: Pixels,
    names: list[str] | None,
    model: str,
    steps: int = 0,
    engine: str = "auto",
    embed: bool = False,
    chunk_samples: int | None = None,
    progress: Progress | None = None,
    effort: int = 5,
) -> bytes:
    """An archive with this model, or "raw"."""
    count, height, width, channels = images.shape
    method, loaded, encode = _encoder(model, images, names, steps, effort)
    engine = _engine(engine, method, images.size)
    samples = CHUNK_SAMPLES[method] if chunk_samples is None else chunk_samples
    most = max(1, min(samples // images[0].size, _most_images(method, images.shape[1:])))
    chunk_images = -(-count // -(-count // most))
    parts = [images[k : k + chunk_images] for k in range(0, count, chunk_images)]
    results = len(parts) * [CodedChunk(b"")]

    def work(k: int) -> None:
        coded = encode(parts[k], engine)
        body = u32(crc32c(parts[k])) + coded.data
        results[k] = coded._replace(data=body + u32(crc32c(body)))

    threads = _threads(method, loaded, (chunk_images, height, width), engine, len(parts))
    _for_chunks(work, len(parts), threads, engine, progress)
    header = Header(
        method=method,
        count=count,
        height=height,
        width=width,
        channels=channels,
        model=loaded.name if loaded else "",
        fingerprint=loaded.fingerprint if loaded else bytes(FINGERPRINT_BYTES),
        precision=PRECISIONS[method],
        steps=steps if method == VAE else 0,
        net_bits=math.ceil(sum(coded.net_bits for coded in results)),
        names=tuple(names or ()),
        chunk_images=chunk_images,
        sizes=tuple(len(coded.data) for coded in results),
        weights=_weights(model, loaded) if embed and loaded else (),
        orientations=_joined(results),
    )
    return _pack_header(header) + b"".join(coded.data for coded in results)


def _most_images(method: int, shape: tuple[int, ...]) -> int:
    """Images [H, W, C] that a chunk may have."""
    in_step = MAX_STEP_PIXELS // min(shape[:2]) if method == LOCAL else MAX_CHUNK_SAMPLES
    return max(1, min(in_step, MAX_CHUNK_SAMPLES // math.prod(shape)))


class CodedChunk(NamedTuple):
    """A chunk's bytes; its net bits, 0 where no bits go back; its images' orientations, None for all as they are."""

    data: bytes
    net_bits: float = 0.0
    orientations: NDArray[np.uint8] | None = None


Encoder = Callable[[Pixels, str], CodedChunk]
"""A chunk's images, by an engine, to its payload and what else there is to know."""


def _encoder(model: str, images: Pixels, names: list[str] | None, steps: int, effort: int) -> tuple[int, Any, Encoder]:
    """Method, model and encoder by a model's name, after a look at whether it can code these images."""
    if model == "raw":
        return RAW, None, lambda part, _: CodedChunk(part.tobytes())
    if zoo.kind_of(model) == "vae":
        from ..models.vae import chain as bitsback

        vae = zoo.load_vae(model)
        bitsback.check_images(vae, images, names)

        def encode(part: Pixels, engine: str) -> CodedChunk:
            chain = bitsback.encode_chain(vae, part, steps, engine)
            return CodedChunk(chain.data, chain.net_bits)

        return VAE, vae, encode
    local = zoo.load(model)
    if local.channels != images.shape[3]:
        raise UnsupportedImageError(
            f"model '{local.name}' is for images of {local.channels} channels, these have {images.shape[3]}"
        )
    choice = orientation.tried(effort, images.shape[:3])
    return LOCAL, local, lambda part, engine: _encode_local(local, part, choice, engine)


def _weights(name: str, model: Any) -> tuple[Chunk, ...]:
    from . import embedded

    return (embedded.weights(name, model),)


def _joined(results: list[CodedChunk]) -> NDArray[np.uint8] | None:
    """The orientations of all chunks' images; None for all as they are."""
    found = [coded.orientations for coded in results if coded.orientations is not None]
    return np.concatenate(found) if any(numbers.any() for numbers in found) else None


def _encode_local(model: Any, images: Pixels, choice: range, engine: str) -> CodedChunk:
    """All images in one wavefront, each in the shortest orientation of the choice: lanes as a varint, then payload."""
    from ..models.local import coder as local

    if len(choice) == 1:
        payload, lanes = local.encode_images(model, images, engine)
        return CodedChunk(varint(lanes) + payload)
    ways = orientation.each_way(images, choice)
    payload, lanes, orientations = local.encode_shortest(model, ways, images.shape[:3], engine)
    return CodedChunk(varint(lanes) + payload, orientations=orientations)


def _decode_local(model: Any, payload: bytes, header: Header, count: int, engine: str) -> Pixels:
    from ..models.local import coder as local

    stream = io.BytesIO(payload)
    lanes = take_varint(stream)
    return local.decode_images(model, stream.read(), lanes, (count, header.height, header.width), engine)


def _decode_chunk(header: Header, model: Any, data: bytes, start: int, chunk: int, engine: str) -> Pixels:
    """A chunk's images [n, H, W, C], both checksums held against them; CorruptError names the images."""
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


def _decode_payload(header: Header, model: Any, payload: bytes, count: int, engine: str) -> Pixels:
    if header.method == LOCAL:
        return _decode_local(model, payload, header, count, engine)
    if header.method == VAE:
        from ..models.vae import chain as bitsback

        return bitsback.decode_chain(model, payload, count, header.steps, engine)
    shape = (count, header.height, header.width, header.channels)
    if len(payload) != math.prod(shape):
        raise CorruptError(f"{len(payload)} bytes for {math.prod(shape)} raw samples")
    return np.frombuffer(payload, np.uint8).reshape(shape)


def _model_of(header: Header) -> Any:
    """The model of an archive, its own if it brings one along; None for raw ones.

    UnknownModelError, or CorruptError where it does not fit the images.
    """
    if header.method == RAW:
        return None
    from ..models.local.model import LocalModel
    from ..models.vae.model import VaeModel
    from . import embedded

    kind: type[Any] = LocalModel if header.method == LOCAL else VaeModel
    find: Callable[[str, bytes], Any] = zoo.find if header.method == LOCAL else zoo.find_vae
    own = embedded.models(chunks.weights_in(header.weights), {header.fingerprint}, kind)
    model = own.get(header.fingerprint) or find(header.model, header.fingerprint)
    size = (header.height, header.width)
    if model.channels != header.channels or (header.method == VAE and model.image_shape[:2] != size):
        raise CorruptError(f"the archive's images do not fit its model '{header.model}'")
    return model


def _which(header: Header, numbers: range) -> str:
    """A chunk's images in words, with their names where they have some."""
    first, last = numbers[0], numbers[-1]
    named = [f" ('{header.names[k]}')" if header.names else "" for k in (first, last)]
    one = f"image {first}{named[0]} is damaged"
    return one if first == last else f"images {first}{named[0]} to {last}{named[1]} are damaged"


# --- The header -------------------------------------------------------------------------------------------------


def _pack_header(header: Header) -> bytes:
    extra = list(header.weights)
    if header.orientations is not None:
        extra.append((chunks.ORIENTATIONS, orientation.pack(header.orientations)))
    names = zlib.compress("\n".join(header.names).encode(), 9) if header.names else b""
    fields = b"".join(
        [
            bytes([header.method, 8, header.channels]),
            *map(varint, (header.count, header.height, header.width)),
            string(header.model.encode()),
            header.fingerprint,
            bytes([header.precision]),
            *map(varint, (header.steps, header.net_bits)),
            string(names),
            varint(header.chunk_images),
            *map(varint, header.sizes),
            chunks.pack(extra) if extra else b"",
        ]
    )
    head = MAGIC + bytes([VERSION]) + varint(len(fields)) + fields
    return head + u32(crc32c(head))


def read_header(data: bytes, max_samples: int | None = MAX_SAMPLES) -> tuple[Header, int]:
    """The header of a whole archive, every claim checked, and where the first chunk begins.

    A file that is cut short within its chunks passes: the chunks that are there can be read. Raises FormatError,
    CorruptError, UnsupportedImageError (more than `max_samples` samples).
    """
    if not data.startswith(MAGIC):
        raise FormatError("not a Shearloc archive: it does not begin with the archive signature")
    stream = io.BytesIO(data)
    stream.seek(len(MAGIC))
    version = take(stream, 1)[0]
    if version != VERSION:
        raise FormatError(f"the archive has version {version}; this Shearloc reads version {VERSION}: get a newer one")
    fields = take(stream, take_varint(stream))
    end = stream.tell()
    if crc32c(data[:end]) != int.from_bytes(take(stream, 4), "little"):
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
    method, depth, channels = take(stream, 3)
    if method not in METHODS or depth != 8 or channels not in (1, 3):
        raise FormatError(
            f"the archive has method {method}, bit depth {depth}, {channels} channels: get a newer Shearloc"
        )
    count, height, width = (take_varint(stream) for _ in range(3))
    model, fingerprint = take_name(stream), take(stream, FINGERPRINT_BYTES)
    precision = take(stream, 1)[0]
    steps, net_bits = take_varint(stream), take_varint(stream)
    names = _unpack_names(take_string(stream), count)
    chunk_images = take_varint(stream)
    if precision != PRECISIONS[method]:
        raise FormatError(f"the archive has precision {precision}: get a newer Shearloc")
    if not (count and height and width and chunk_images) or chunk_images > count or steps > MAX_STEPS:
        raise CorruptError("the archive's header contradicts itself: its sizes or steps")
    if (method != VAE and steps) or (method == RAW) != (not model) or (method == RAW and any(fingerprint)):
        raise CorruptError("the archive's header contradicts itself: its model or steps do not fit its method")
    if not model.isprintable() or len(model.encode()) > zoo.MAX_NAME:
        raise CorruptError("the archive's header contradicts itself: a model name too long or not printable")
    if chunk_images > _most_images(method, (height, width, channels)):
        raise CorruptError(f"the archive's header claims chunks of {chunk_images} images")
    sizes = tuple(take_varint(stream) for _ in range(-(-count // chunk_images)))
    extra = _take_chunks(stream, method) if stream.tell() < len(fields) else ()
    if stream.tell() < len(fields):
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
        tuple(chunk for chunk in extra if chunk[0] == chunks.WEIGHTS),
        _orientations_in(extra, method, (count, height, width)),
    )


def _orientations_in(extra: tuple[Chunk, ...], method: int, size: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """The images' orientations, where the header has them."""
    found = [content for kind, content in extra if kind == chunks.ORIENTATIONS]
    if len(found) > (method == LOCAL):
        raise CorruptError("the archive's header contradicts itself: orientations that no image has")
    return orientation.unpack(found[0], size) if found else None


def _take_chunks(stream: io.BytesIO, method: int) -> tuple[Chunk, ...]:
    """The chunks at the end of a header."""
    found = chunks.take_chunks(stream)
    if kind := chunks.unknown(found, (chunks.WEIGHTS, chunks.ORIENTATIONS)):
        raise FormatError(f"the archive has a chunk {kind.decode(errors='replace')}: get a newer Shearloc")
    for problem in chunks.contradictions(found, int(method != RAW)):
        raise CorruptError(f"the archive's header contradicts itself: {problem}")
    return found


def _unpack_names(packed: bytes, count: int) -> tuple[str, ...]:
    if not packed:
        return ()
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, MAX_NAME_BYTES).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise CorruptError(f"the archive's names do not unpack ({error})") from error
    if text.count("\n") + 1 != count or not stream.eof or stream.unused_data:
        raise CorruptError(f"the archive has other names than its {count} images need")
    return tuple(text.split("\n"))
