"""Many images of one size to an archive and back: a folder of image files, a `.npy` file, or a single image.

Each function does one job and returns the line that reports it. Nothing here parses arguments or prints.
"""

import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ShearlocError, UnsupportedImageError
from . import arrays, inout, models, pictures
from .message import counted
from .options import Begin, Decoding, Encoding, Outputs, Progress
from .plan import IMAGE_SUFFIXES, REFUSED_SUFFIXES, Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codec.info import ArchiveInfo
    from ..codec.pictures.picture import Picture

    Pixels = NDArray[np.uint8]


def encode_archive(job: Job, how: Encoding, outputs: Outputs, begin: Begin) -> str:
    """Encode a folder of images of one size, a .npy file, or a single image to an archive; returns the report.

    The images are 8-bit gray or RGB. The names of a folder's files are kept. Raises as `images.encode_file`.
    """
    from ..codec.info import archive_info

    start = time.perf_counter()
    inout.check_target(job.target, job.source, outputs.force)
    images, names, sources = load_images(job.source, how, outputs.force)
    data = encode_images(images, names, how, begin(f"encode {job.source.name}"))
    if how.verify:
        checker, progress = how.verify, begin(f"verify {job.source.name}")
        models.check(lambda: same_images(data, images, names, checker, progress), "archive", "images", checker)
    inout.write(job.target, data, sources, outputs.keep_time)
    bits, about = 8 * len(data) / images.size, archive_info(data)
    return (
        f"{inout.shown(job.source, 'input')} {counted(len(images), 'image')} -> {inout.shown(job.target, 'output')} "
        f"{len(data):,} bytes, {bits:.3f} bits per subpixel, {_initial_cost(about)}{time.perf_counter() - start:.1f} s"
        + (", verified" if how.verify else "")
        + _not_as_asked(about, how)
    )


def decode_archive(job: Job, data: bytes, how: Decoding, outputs: Outputs, begin: Begin) -> str:
    """Decode an archive to a folder of PNGs, or to a .npy file; returns the report. Raises as `images.encode_file`.

    The folder must be empty or not exist. Images without names are numbered.
    """
    start = time.perf_counter()
    if how.order != "auto" or outputs.skip:
        option = "--skip-existing" if outputs.skip else "--order"
        raise ShearlocError(f"{option} is for pictures, not archives")
    as_array = job.target.suffix.lower() == ".npy"
    if as_array:
        inout.check_target(job.target, job.source, outputs.force)
    else:
        _check_no_image(job, data)
        _check_folder(job.target, outputs.force)
    images, names = decode_images(data, how, begin(f"decode {job.source.name}"))
    if as_array:
        import numpy as np

        with inout.writing(job.target, [job.source], outputs.keep_time) as file:
            np.save(file, images)
    else:
        job.target.mkdir(parents=True, exist_ok=True)
        for name, image in zip(_file_names(names, len(images)), images, strict=True):
            pictures.save(job.target / f"{name}.png", _picture_of(image), ".png", job.source, outputs.keep_time)
    source = inout.shown(job.source, "input")
    return f"{source} -> {job.target} {counted(len(images), 'image')}, {time.perf_counter() - start:.1f} s"


def _check_no_image(job: Job, data: bytes) -> None:
    """ShearlocError where somebody named an image file for an archive's images."""
    from ..codec.info import archive_info

    named = job.target.name != job.source.stem and not job.target.is_dir()
    if named and job.target.suffix.lower() in IMAGE_SUFFIXES | REFUSED_SUFFIXES:
        raise ShearlocError(f"an archive of {counted(archive_info(data).count, 'image')}: name a folder or a .npy file")


def _check_folder(target: Path, force: bool) -> None:
    """ShearlocError where an archive's images cannot go to this folder."""
    if inout.is_standard(target):
        raise ShearlocError("an archive's images need a folder, or an OUT that ends in .npy")
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not force):
        raise ShearlocError(f"{target}: exists already; give an empty or a new folder, or an OUT that ends in .npy")


def _file_names(names: tuple[str, ...], count: int) -> list[str]:
    """File names for an archive's images: the last part of each image's name, or numbers where that is no file name.

    Names come from the file: none may lead out of the folder, and no image may replace another.
    """
    last = [Path(name.replace("\\", "/")).name for name in names]
    usable = all(name.isprintable() and name not in ("", "..") for name in last)
    if last and usable and len({name.casefold() for name in last}) == count:
        return last
    digits = len(str(count - 1))
    return [f"{k:0{digits}}" for k in range(count)]


def _not_as_asked(about: "ArchiveInfo", how: Encoding) -> str:
    """What to add to the report where a model was named or to be embedded, and the archive is smaller without one."""
    if about.model is not None:
        return ""
    if how.model in ("auto", "raw"):
        return "; no model embedded: it is smaller without one" if how.embed else ""
    return f"; stored without the model{' and its weights' if how.embed else ''}: that is smaller"


def _initial_cost(about: "ArchiveInfo") -> str:
    """What it cost to start the chains of a bits-back archive, in words; nothing for other archives."""
    if about.net_bits is None:
        return ""
    return f"{about.gross_bits - about.net_bits:,} of its {about.gross_bits:,} bits to start, "


def _picture_of(image: "Pixels") -> "Picture":
    """uint8 [H, W] or [H, W, 3] as a picture."""
    from ..codec.pictures.picture import from_array

    return from_array(image)


# --- The images -------------------------------------------------------------------------------------------------


def load_images(source: Path, how: Encoding, lossy: bool) -> tuple["Pixels", list[str] | None, list[Path]]:
    """The images of a folder, uint8 [N, H, W] or [N, H, W, 3] by name, their names without suffix, and the files.

    For a .npy file its array, for any other file the one image. UnsupportedImageError where an archive would lose part
    of an image: metadata is dropped only if `how.strip`. `lossy` as in `pictures.load`.
    """
    import numpy as np

    if source.suffix.lower() == ".npy" and not source.is_dir():
        return _load_array(inout.read(source), source), None, [source]
    paths = [source]
    if source.is_dir():
        paths = [path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise ShearlocError(f"{source}: no files in this folder")
    images: list[Pixels] = []
    for path in paths:
        images.append(_load_image(path, how, lossy))
        if images[-1].shape != images[0].shape:
            raise UnsupportedImageError(
                f"{path} is {images[-1].shape}, {paths[0]} is {images[0].shape}: an archive's images have one size"
            )
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ShearlocError(f"{source}: two files differ in nothing but their suffix; rename one of them")
    return np.stack(images), None if inout.is_standard(source) else names, paths


def _load_array(data: bytes, source: Path) -> "Pixels":
    import numpy as np

    if not data:
        raise UnsupportedImageError("the file is empty")
    try:
        images = np.load(BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UnsupportedImageError(f"{source} is not a .npy file of an array ({error})") from error
    arrays.check_shape(images.shape)
    return images


def _load_image(path: Path, how: Encoding, lossy: bool) -> "Pixels":
    try:
        picture = pictures.load(inout.read(path), how, lossy)
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{inout.shown(path, 'input')}: {error}") from error
    if picture.mode not in ("8-bit gray", "8-bit RGB") or picture.palette is not None:
        raise UnsupportedImageError(
            f"{path} is {picture.mode}; an archive takes 8-bit gray and RGB images without transparency or palette"
        )
    if picture.chunks:
        kinds = ", ".join(dict.fromkeys(kind.decode() for kind, _ in picture.chunks))
        raise UnsupportedImageError(f"{path} has metadata ({kinds}), which an archive does not keep; --strip drops it")
    return picture.samples


# --- The codec --------------------------------------------------------------------------------------------------


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin an archive."""
    from ..codec import archive

    return archive.is_archive(data)


def encode_images(images: "Pixels", names: list[str] | None, how: Encoding, progress: Progress | None) -> bytes:
    """The bytes of an archive."""
    from ..codec import archive

    return archive.encode_images(
        images,
        names,
        model=how.model,
        steps=how.steps,
        effort=how.effort,
        engine=how.engine,
        embed=how.embed,
        progress=progress,
    )


def decode_images(data: bytes, how: Decoding, progress: Progress | None) -> tuple["Pixels", tuple[str, ...]]:
    """The images and names of an archive."""
    from ..codec import api, archive

    limit = how.max_samples or api.MAX_SAMPLES
    return archive.decode_images(data, engine=how.engine, max_samples=limit, progress=progress)


def same_images(data: bytes, images: "Pixels", names: list[str] | None, engine: str, progress: Progress | None) -> bool:
    """Whether an archive gives these images and names back, with this engine."""
    import numpy as np

    found, found_names = decode_images(data, Decoding(engine, images.size), progress)
    return found_names == tuple(names or ()) and np.array_equal(found, images.reshape(found.shape))
