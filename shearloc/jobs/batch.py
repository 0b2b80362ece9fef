"""Files, one or many: what is written where, what is there already, and the work on each of them.

It belongs to the command line but parses no arguments and prints nothing. Every call into the codec is in a function
under "The codec", at the end.
"""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    from ..codec.formats.container import Header
    from ..codec.pictures.picture import Picture

Progress = Callable[[int, int], None]
"""Called now and then with (done, total)."""
Begin = Callable[[str], Progress | None]
"""Called with what begins now; gives the callback for it, or None where nobody looks."""
Found = Literal["same", "damaged", "other"]
"""What has an output's name: this very image and whole, a part of a file of the right kind, or anything else."""


@dataclass(frozen=True)
class Job:
    """One file to read and the one to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Existing:
    """What to do where the output exists: without any of these it is kept, and the job fails."""

    skip: bool = False
    force: bool = False


@dataclass(frozen=True)
class Encoding:
    """How to encode; the fields are the options of `shearloc encode`."""

    model: str = "auto"
    effort: int = 5
    engine: str = "auto"
    order: str = "sheared"
    strip: bool = False
    verify: bool = True
    embed: bool = False


@dataclass(frozen=True)
class Decoding:
    """How to decode; the fields are the options of `shearloc decode`."""

    engine: str = "auto"
    max_samples: int | None = None
    order: str = "auto"


def plan(files: list[Path], out_dir: Path | None, suffix: str) -> list[Job]:
    """What each file becomes: itself with `suffix`, in its own folder or in `out_dir`, which is made if missing.

    Raises ShearlocError, before anything is written, for a folder among the files, two files that would write the
    same output, and an output that is another one's input.
    """
    for file in files:
        if file.is_dir():
            raise ShearlocError(f"{file}: Is a directory; name its files ({file / '*'}), and --out-dir to write to it")
    jobs = [Job(file, (out_dir or file.parent) / (file.stem + suffix)) for file in files]
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    writers: dict[str, Path] = {}
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in writers:
            raise ShearlocError(
                f"{writers[target]} and {job.source} would both be written to {job.target}; nothing was done: "
                "take one of them out, or rename it"
            )
        if target in sources and sources[target] is not job.source:
            raise ShearlocError(f"{job.source} would be written over {sources[target]}, which is to be read, too")
        writers[target] = job.source
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
    return jobs


def encode_file(job: Job, how: Encoding, existing: Existing, begin: Begin) -> str:
    """Encode an image file; returns a line that says so. Raises ShearlocError, OSError, MemoryError.

    With `how.verify` the file is decoded, from the disk, and compared before it appears under its name.
    """
    from ..codec.pictures import files

    start = time.perf_counter()
    _check_paths(job)
    if not existing.skip:
        _refuse_existing(job, existing)
    picture = load(job.source, how.strip)
    if existing.skip and job.target.exists():
        found = _what_file(job.target.read_bytes(), picture)
        if found == "same":
            return f"{job.source}: skipped, {job.target} holds it and is complete"
        _refuse_other(job, found, existing)
    data = encode(picture, how, begin(f"encode {job.source.name}"))
    with files.replacing(job.target) as file:
        file.write(data)
        if how.verify:
            file.flush()
            _verify(Path(file.name).read_bytes(), picture, how.engine, begin(f"verify {job.source.name}"))
    before, after = job.source.stat().st_size, len(data)
    return (
        f"{job.source} {before:,} bytes -> {job.target} {after:,} bytes ({after / before:.1%}), "
        f"{bits_per_subpixel(data):.3f} bits per subpixel, {time.perf_counter() - start:.1f} s"
        + (", verified" if how.verify else "")
    )


def decode_file(job: Job, how: Decoding, existing: Existing, begin: Begin) -> str:
    """Decode a `.shl` file to an image file; returns a line that says so. Raises as `encode_file`."""
    start = time.perf_counter()
    _check_paths(job)
    if not existing.skip:
        _refuse_existing(job, existing)
    data = job.source.read_bytes()
    check_target(job.target, data)
    if existing.skip and job.target.exists():
        found = _what_image(job.target, data)
        if found == "same":
            return f"{job.source}: skipped, {job.target} holds it and is complete"
        _refuse_other(job, found, existing)
    picture = decode(data, how, begin(f"decode {job.source.name}"))
    save(job.target, picture)
    return f"{job.source} -> {job.target} {describe(picture)}, {time.perf_counter() - start:.1f} s"


def verify_file(source: Path, how: Decoding, begin: Begin) -> str:
    """Decode a `.shl` file and check it, writing nothing; returns a line that says so. Raises as `encode_file`."""
    start = time.perf_counter()
    data = source.read_bytes()
    if is_archive(data):
        images, _ = decode_images(data, how, begin(f"verify {source.name}"))
        return f"{source}: OK, {len(images):,} images, {time.perf_counter() - start:.1f} s"
    picture = decode(data, how, begin(f"verify {source.name}"))
    return f"{source}: OK, {describe(picture)}, {time.perf_counter() - start:.1f} s"


def encode_archive(job: Job, how: Encoding, steps: int, existing: Existing, begin: Begin) -> str:
    """Encode a folder of equal-size images, or a .npy file of them, to one archive; returns a line that says so.

    The images are 8-bit gray or RGB; the names of a folder's files are kept. Raises as `encode_file`.
    """
    start = time.perf_counter()
    planes_check(job.target)
    _refuse_existing(job, existing)
    images, names = load_images(job.source)
    data = encode_images(images, names, how, steps, begin(f"encode {job.source.name}"))
    if how.verify and not same_images(data, images, how.engine, begin(f"verify {job.source.name}")):
        raise ShearlocError("verification failed: the new archive does not decode to these images, so it was not kept")
    write(job.target, data)
    bits = 8 * len(data) / images.size
    return (
        f"{job.source} {len(images):,} images -> {job.target} {len(data):,} bytes, {bits:.3f} bits per subpixel, "
        f"{_initial_cost(data)}{time.perf_counter() - start:.1f} s" + (", verified" if how.verify else "")
    )


def decode_archive(job: Job, how: Decoding, existing: Existing, begin: Begin) -> str:
    """Decode an archive to a folder of PNGs, or to a .npy file; returns a line that says so. Raises as `encode_file`.

    The folder must not exist, or be empty. Images without names are called by their numbers.
    """
    start = time.perf_counter()
    as_array = job.target.suffix.lower() == ".npy"
    if as_array:
        planes_check(job.target)
        _refuse_existing(job, existing)
    elif job.target.is_file() or (job.target.is_dir() and any(job.target.iterdir()) and not existing.force):
        raise ShearlocError(f"{job.target}: exists already; give an empty or a new folder, or an OUT that ends in .npy")
    images, names = decode_images(job.source.read_bytes(), how, begin(f"decode {job.source.name}"))
    if as_array:
        import numpy as np

        buffer = BytesIO()
        np.save(buffer, images)
        write(job.target, buffer.getvalue())
    else:
        job.target.mkdir(parents=True, exist_ok=True)
        for name, image in zip(_file_names(names, len(images)), images, strict=True):
            save(job.target / f"{name}.png", picture_of(image))
    return f"{job.source} -> {job.target} {len(images):,} images, {time.perf_counter() - start:.1f} s"


def _file_names(names: tuple[str, ...], count: int) -> list[str]:
    """What to call an archive's images: the last part of each one's name, or numbers where these are no names of files.

    Names come from the file: nothing of them may lead out of a folder, and no image may replace another.
    """
    last = [Path(name.replace("\\", "/")).name for name in names]
    usable = all(name.isprintable() and name not in ("", "..") for name in last)
    if last and usable and len({name.casefold() for name in last}) == count:
        return last
    digits = len(str(count - 1))
    return [f"{k:0{digits}}" for k in range(count)]


def message(error: Exception, job: Job) -> str:
    """One line that names the file and says what is wrong with it."""
    if isinstance(error, OSError):
        nameless = error.filename is None or os.path.basename(error.filename).startswith(".shearloc-")
        text = f"{job.target if nameless else error.filename}: {error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = f"{job.source}: not enough memory"
    elif str(error).startswith((f"{job.source}: ", f"{job.target}: ")):
        text = str(error)
    else:
        text = f"{job.source}: {error}"
    return " ".join(text.split())


def checking_engine(engine: str, samples: int) -> str:
    """What checks the work of `engine` on so many subpixels: another one, and one that is always there."""
    from ..nets import engines

    return "numba" if engines.choose(engine, samples) == "numpy" else "numpy"


def _check_paths(job: Job) -> None:
    """Refuse a source that cannot be read and a target that cannot be written, in this order, before any work."""
    from ..codec.pictures import files

    with open(job.source, "rb"):
        pass
    files.check_writable(job.target)
    folder = job.target.parent
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "no permission to write to this folder", str(folder))
    if job.target.exists() and os.path.samefile(job.source, job.target):
        raise ShearlocError(f"{job.target}: IN and OUT are the same file")


def _refuse_existing(job: Job, existing: Existing) -> None:
    if job.target.exists() and not existing.force:
        raise ShearlocError(f"{job.target}: exists already; give another OUT, or --force to overwrite it")


def _refuse_other(job: Job, found: Found, existing: Existing) -> None:
    """What --skip-existing found: half a file may be replaced, anything else is somebody's."""
    if found == "other" and not existing.force:
        raise ShearlocError(f"{job.target}: exists already and is not {job.source}; --force overwrites it")


def _what_file(data: bytes, picture: "Picture") -> Found:
    """Whether `data` is a whole `.shl` file of this picture, by structure and checksums; no network runs."""
    from ..codec.formats import container

    try:
        header, _ = container.unpack(data, max_samples=1 << 63)
    except CorruptError:
        return "damaged"
    except FormatError:
        return "other" if data else "damaged"
    return "same" if holds(header, picture) else "other"


def _what_image(path: Path, data: bytes) -> Found:
    """Whether the image file is the one in the `.shl` file `data`, by the latter's checksum of the pixels."""
    from ..codec.formats import container

    header, _ = container.unpack(data, max_samples=1 << 63)
    try:
        return "same" if holds(header, load(path, strip=False)) else "other"
    except UnsupportedImageError:
        return "damaged" if _is_half_an_image(path) else "other"


def _is_half_an_image(path: Path) -> bool:
    """Whether the file is empty, or begins as an image and does not decode."""
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size == 0:
        return True
    try:
        with Image.open(path) as image:
            image.load()
    except UnidentifiedImageError:
        return False
    except Exception:  # Pillow's decoders raise many kinds for a damaged file
        return True
    return False


def _verify(data: bytes, picture: "Picture", engine: str, progress: Progress | None) -> None:
    """ShearlocError if the file does not give this picture back."""
    samples = sample_count(picture)
    checker = checking_engine(engine, samples)
    try:
        equal = same(decode(data, Decoding(checker, samples), progress), picture)
    except ShearlocError:
        equal = False
    if not equal:
        raise ShearlocError(
            f"verification failed: the new file does not decode to this image with the engine {checker}, so it was not "
            "kept; try another --engine, and please report it"
        )


# The codec ------------------------------------------------------------------------------------------------------------


def load(path: Path, strip: bool) -> "Picture":
    """The picture in an image file, without its metadata if `strip`."""
    from ..codec.pictures import files

    picture = files.load(path)
    return picture.stripped() if strip else picture


def save(path: Path, picture: "Picture") -> None:
    """Write an image file, complete or not at all."""
    from ..codec.pictures import files

    files.save(path, picture)


def encode(picture: "Picture", how: Encoding, progress: Progress | None) -> bytes:
    """The bytes of a `.shl` file."""
    from ..codec import api

    return api.encode_picture(
        picture,
        model=how.model,
        effort=how.effort,
        engine=how.engine,
        order=how.order,
        embed=how.embed,
        progress=progress,
    )


def decode(data: bytes, how: Decoding, progress: Progress | None) -> "Picture":
    """The picture in the bytes of a `.shl` file."""
    from ..codec import api

    limit = how.max_samples or api.MAX_SAMPLES
    return api.decode_picture(data, engine=how.engine, order=how.order, max_samples=limit, progress=progress)


def same(a: "Picture", b: "Picture") -> bool:
    """Whether two pictures are equal in everything."""
    return a == b


def holds(header: "Header", picture: "Picture") -> bool:
    """Whether a file's header claims this picture, by the checksum of its samples; metadata is not looked at."""
    from ..codec.formats.crc32c import crc32c

    samples, chunks = picture.samples, dict(header.chunks)
    kind = (picture.colour, picture.depth, *samples.shape[:2])
    return (
        kind == (header.colour, header.depth, header.height, header.width)
        and chunks.get(b"PLTE", b"") == (b"" if picture.palette is None else picture.palette.tobytes())
        and chunks.get(b"tRNS", b"") == picture.transparency
        and crc32c(samples.astype(samples.dtype.newbyteorder("<"))) == header.pixel_crc
    )


def check_target(path: Path, data: bytes) -> None:
    """ShearlocError where the image in `data` cannot be written to a file of this suffix: before it is decoded."""
    from ..codec.info import picture_info
    from ..codec.pictures import files

    files.check_output(path, picture_info(data).mode)


def bits_per_subpixel(data: bytes) -> float:
    """Of a whole `.shl` file."""
    from ..codec import api

    return api.info(data).bits_per_subpixel


def sample_count(picture: "Picture") -> int:
    """What `max_samples` limits."""
    return picture.samples.nbytes


def describe(picture: "Picture") -> str:
    """Width, height and kind."""
    height, width = picture.samples.shape[:2]
    return f"{width} x {height} {picture.mode}"


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin as an archive."""
    from ..codec import archive

    return archive.is_archive(data)


def planes_check(target: Path) -> None:
    """OSError or ShearlocError where this file cannot be written."""
    from ..codec.pictures import files

    files.check_writable(target)


def write(path: Path, data: bytes) -> None:
    """A file, complete or not at all."""
    from ..codec.pictures import files

    files.write_atomic(path, data)


def picture_of(image: "Pixels") -> "Picture":
    """uint8 [H, W] or [H, W, 3] as a picture."""
    from ..codec.pictures.picture import from_array

    return from_array(image)


def load_images(source: Path) -> tuple["Pixels", list[str] | None]:
    """The images of a folder, uint8 [N, H, W] or [N, H, W, 3] by name, and their names without suffix.

    Of a .npy file its array; of any other file the one image.
    """
    import numpy as np

    if source.suffix.lower() == ".npy" and not source.is_dir():
        try:
            return np.load(source, allow_pickle=False), None
        except ValueError as error:
            raise UnsupportedImageError(f"{source} is not a .npy file of an array ({error})") from error
    paths = [source]
    if source.is_dir():
        paths = [path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise ShearlocError(f"{source}: no files in this folder")
    images: list[Pixels] = []
    for path in paths:
        picture = load(path, strip=True)
        if (
            picture.depth != 8
            or picture.samples.ndim == 3
            and picture.samples.shape[2] != 3
            or picture.palette is not None
        ):
            raise UnsupportedImageError(f"{path} is {picture.mode}; an archive takes 8-bit gray and RGB images")
        if images and picture.samples.shape != images[0].shape:
            raise UnsupportedImageError(
                f"{path} is {picture.samples.shape}, {paths[0]} is {images[0].shape}: an archive's images have one size"
            )
        images.append(picture.samples)
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ShearlocError(f"{source}: two files differ in nothing but their suffix; rename one of them")
    return np.stack(images), names


def encode_images(
    images: "Pixels", names: list[str] | None, how: Encoding, steps: int, progress: Progress | None
) -> bytes:
    """The bytes of an archive."""
    from ..codec import archive

    return archive.encode_images(
        images,
        names,
        model=how.model,
        steps=steps,
        effort=how.effort,
        engine=how.engine,
        embed=how.embed,
        progress=progress,
    )


def _initial_cost(data: bytes) -> str:
    """What starting the chains of a bits-back archive cost, in words; nothing for another archive."""
    from ..codec.info import archive_info

    about = archive_info(data)
    if about.net_bits is None:
        return ""
    return f"{about.gross_bits - about.net_bits:,} of its {about.gross_bits:,} bits to start, "


def is_autoencoder(model: str) -> bool:
    """Whether a model of this name codes archives only, a single image's, too."""
    from ..models import zoo

    return model not in ("auto", "raw") and not zoo.family_of(model).pictures


def decode_images(data: bytes, how: Decoding, progress: Progress | None) -> tuple["Pixels", tuple[str, ...]]:
    """The images and names of an archive."""
    from ..codec import api, archive

    limit = how.max_samples or api.MAX_SAMPLES
    return archive.decode_images(data, engine=how.engine, max_samples=limit, progress=progress)


def same_images(data: bytes, images: "Pixels", engine: str, progress: Progress | None) -> bool:
    """Whether an archive gives these images back, with another engine."""
    import numpy as np

    checker = checking_engine(engine, images.size)
    found, _ = decode_images(data, Decoding(checker, images.size), progress)
    return np.array_equal(found, images.reshape(found.shape))
