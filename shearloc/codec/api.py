"""The functions people call: images to bytes and back. `shearloc` exports them.

This module checks arguments and puts the pieces together. Models, coders and Numba are imported only by the calls that
need them, so `info` stays quick.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CorruptError, UnsupportedImageError
from ..models.family import How
from ..types import Pixels, Progress, Samples
from . import info as info_
from .formats import archive_header, chunks, container
from .formats.container import MAX_SAMPLES, Header
from .formats.crc32c import crc32c
from .info import Info
from .pictures import files
from .pictures.picture import PALETTE, Picture, from_array

ENGINES = ("auto", "numpy", "torch", "cuda", "numba")
ORDERS = ("sequential", "sheared", "parallel")

Data = bytes | bytearray | memoryview
PathOrFile = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file object."""
ModelName = str | os.PathLike[str]
"""A name that `shearloc models` lists, or the path of a model file."""


def encode(
    image: Samples,
    *,
    model: ModelName = "auto",
    effort: int = 5,
    engine: str = "auto",
    order: str = "sheared",
    embed: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Compress an array, at least 1x1, to the bytes of a `.shl` file.

    `image` is uint8 or uint16 [H, W] (gray), or [H, W, C] with C = 2 (gray and alpha), 3 (RGB) or 4 (RGBA). The other
    arguments and errors are those of `encode_picture`.
    """
    return encode_picture(
        from_array(image),
        model=model,
        effort=effort,
        engine=engine,
        order=order,
        embed=embed,
        threads=threads,
        progress=progress,
    )


def encode_images(
    images: Pixels,
    *,
    names: Sequence[str] | None = None,
    model: ModelName = "auto",
    effort: int = 5,
    steps: int = 0,
    engine: str = "auto",
    embed: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Compress many images of one size, uint8 [N, H, W] (gray) or [N, H, W, 3], to the bytes of an archive.

    `names`: one for each image, stored in the archive. `steps`: K steps of optimal inference, for an autoencoder. The
    other arguments are those of `encode_picture`, except that efforts 7 to 9 choose each image's orientation. Raises as
    `archive.encode_images`.
    """
    from . import archive

    _check_engine(engine)
    listed = None if names is None else list(names)
    with _limited(threads):
        return archive.encode_images(
            images,
            listed,
            model=_name(model),
            steps=steps,
            effort=effort,
            engine=engine,
            embed=embed,
            progress=progress,
        )


def decode(
    data: Data,
    *,
    model: ModelName | None = None,
    engine: str = "auto",
    order: str = "auto",
    max_samples: int = MAX_SAMPLES,
    threads: int | None = None,
    out: Samples | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Decode a `.shl` file to the array that `encode` took, or an archive to all images that `encode_images` took.

    For a picture with a palette, a transparent colour or fewer than 8 bits, the array is its `Picture.array`. `out`: an
    array of the right shape and type to fill and return. Arguments and errors as in `decode_picture`; ValueError for an
    `out` that does not fit.
    """
    whole = _as_bytes(data)
    _lend(model)
    if archive_header.is_archive(whole):
        from . import archive

        _check_engine(engine)
        with _limited(threads):
            found = archive.decode_images(whole, engine=engine, max_samples=max_samples, progress=progress)[0]
    else:
        picture = decode_picture(
            whole, engine=engine, order=order, max_samples=max_samples, threads=threads, progress=progress
        )
        found = picture.array()
    return found if out is None else _filled(out, found)


def encode_picture(
    picture: Picture,
    *,
    model: ModelName = "auto",
    effort: int = 5,
    engine: str = "auto",
    order: str = "sheared",
    embed: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Compress a picture, its palette and metadata included, to the bytes of a `.shl` file.

    `model` is a name that `shearloc models` lists, or the path of a model file. It codes the colours; alpha and the low
    bytes of 16-bit samples are stored in whatever way is smallest. "auto" stores the smallest of the default model,
    lossless WebP and plain storage. `effort` 1..9: "auto" takes a larger model at 4 and at 7, and slow WebP where it
    may win at 5. From 7 on, the biases of a named local model are adapted to the image, which needs torch and takes
    many times longer, but costs the decoder nothing. `engine` (auto, numpy, torch, cuda, numba) chooses what computes;
    it never changes a decoded pixel, nor a byte of the file below effort 7. `order` (sheared, parallel, sequential) is
    the order in which a model codes pixels: the first two write the same file; a sequential file can only be decoded
    pixel by pixel. `embed` puts the weights of the models that are used into the file, so that it decodes where they
    are not installed. `threads`: most processors to use. `progress` is called now and then with (done, total).

    Raises UnsupportedImageError, UnknownModelError, ShearlocError where torch is needed and not installed, ValueError
    for a bad effort, engine, order or number of threads.
    """
    from . import parts

    _check_engine(engine)
    _check_order(order, ORDERS)
    parts.check_effort(effort)
    with _limited(threads):
        coded = parts.encode(picture, parts.Options(_name(model), effort, How(engine, order, progress=progress), embed))
    height, width = picture.samples.shape[:2]
    crc = crc32c(_little_endian(picture.samples))
    found = tuple(one.part for one in coded)
    weights = dict.fromkeys(chunk for one in coded for chunk in one.weights)
    header = Header(height, width, picture.colour, picture.depth, found, crc, (*weights, *_chunks_of(picture)))
    return container.pack(header, [one.payload for one in coded])


def decode_picture(
    data: Data,
    *,
    model: ModelName | None = None,
    engine: str = "auto",
    order: str = "auto",
    max_samples: int = MAX_SAMPLES,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Picture:
    """Decode a `.shl` file to the picture that was encoded, and check its samples against the file's checksum.

    `model`: the path of a model file to look for weights in; installed models are found without it. `engine` as in
    `encode_picture`. `order`: "auto" takes what the file needs; "parallel" decodes a sheared file from gathered
    patches, for comparison. `max_samples` bounds height * width * channels (16 bits count twice), and so the memory
    that a file may claim. Raises FormatError, CorruptError, UnknownModelError, UnsupportedImageError (too large),
    ShearlocError for an order that the file is not in, ValueError for a bad engine, order or number of threads.
    """
    from . import parts

    _lend(model)
    _check_engine(engine)
    _check_order(order, ("auto", *ORDERS))
    header, payloads = container.unpack(_as_bytes(data), max_samples)
    with _limited(threads):
        samples = parts.decode(header, payloads, How(engine, order, progress=progress))
    if crc32c(_little_endian(samples)) != header.pixel_crc:
        raise CorruptError("the decoded pixels do not match the file's checksum of them")
    return _picture_of(header, samples)


def write(
    file: PathOrFile,
    image: Samples,
    *,
    overwrite: bool = False,
    model: ModelName = "auto",
    effort: int = 5,
    engine: str = "auto",
    embed: bool = False,
    threads: int | None = None,
) -> None:
    """Encode an image to a file, which appears only when it is complete. `file`: a path or a binary file object.

    Arguments and errors as in `encode`; also OSError, and FileExistsError where the path exists and `overwrite` is
    false.
    """
    if not isinstance(file, str | os.PathLike):
        file.write(encode(image, model=model, effort=effort, engine=engine, embed=embed, threads=threads))
        return
    if not overwrite and Path(file).exists():
        raise FileExistsError(errno.EEXIST, "exists already; pass overwrite=True to replace it", os.fspath(file))
    files.check_writable(file)
    files.write_atomic(file, encode(image, model=model, effort=effort, engine=engine, embed=embed, threads=threads))


def read(
    file: PathOrFile,
    *,
    model: ModelName | None = None,
    engine: str = "auto",
    max_samples: int = MAX_SAMPLES,
    threads: int | None = None,
) -> Samples:
    """Decode a `.shl` file: a path, or a binary file object. Arguments and errors as in `decode`; also OSError."""
    return decode(_content(file), model=model, engine=engine, max_samples=max_samples, threads=threads)


def info(data: Data | PathOrFile) -> Info:
    """Describe a `.shl` file, picture or archive, without decoding it: a PictureInfo or an ArchiveInfo.

    `data`: the file's bytes, its path, or a binary file object. Payloads are not read. Raises FormatError,
    CorruptError; also OSError.
    """
    return info_.info(_as_bytes(data) if isinstance(data, Data) else _content(data))


def code_lengths(
    images: Pixels,
    model: ModelName,
    *,
    steps: int = 0,
    draws: int = 1,
    engine: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """What each of many images of one size costs under a model, in units of 2^-16 bits: int64 [N].

    `images`: uint8 [N, H, W] (gray), or [N, H, W, 3]. Of a local model the lengths are exact: an archive's payload is
    their sum and a few bytes. Of an autoencoder they are -ELBO after `steps` steps of optimal inference, as bits-back
    coding costs, the mean of `draws` pseudo-random draws of the latents. Each image's length is the same integer with
    every engine, number of threads and machine, and in any company. Errors as `archive.encode_images`; also
    ShearlocError for a model of a family without code lengths.
    """
    from . import measuring

    _check_engine(engine)
    with _limited(threads):
        return measuring.code_lengths(images, _name(model), steps=steps, draws=draws, engine=engine, progress=progress)


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}")


def _check_order(order: str, orders: tuple[str, ...]) -> None:
    if order not in orders:
        raise ValueError(f"order is one of {', '.join(orders)}, not {order!r}")


def _limited(threads: int | None) -> AbstractContextManager[None]:
    """Limits what runs inside to this many processors."""
    if threads is None:
        return nullcontext()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads is a whole number from 1 on, not {threads!r}")
    from ..nets import engines

    return engines.at_most(min(threads, engines.processors()))


def _name(model: ModelName) -> str:
    """The model's name, or path as text."""
    if not isinstance(model, str | os.PathLike):
        raise ValueError(f"model is a name that `shearloc models` lists, or a path, not {model!r}")
    return os.fspath(model)


def _lend(model: ModelName | None) -> None:
    """Lets decoders of this process find the weights in a model file."""
    if model is not None:
        from ..models import zoo

        zoo.lend(_name(model))


def _content(file: PathOrFile) -> bytes:
    return Path(file).read_bytes() if isinstance(file, str | os.PathLike) else file.read()


def _as_bytes(data: Data) -> bytes:
    if isinstance(data, str | os.PathLike):
        raise TypeError("data is a file's bytes, not its path; shearloc.read(path) takes that")
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _filled(out: Samples, found: Samples) -> Samples:
    if out.shape != found.shape or out.dtype != found.dtype:
        raise ValueError(f"out is {out.dtype} {out.shape}, the file holds {found.dtype} {found.shape}")
    out[...] = found
    return out


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
