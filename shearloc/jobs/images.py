"""Image files to `.shl` files and back, one at a time.

Each function does one job and returns the line that reports it. Nothing here parses arguments or prints.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ShearlocError
from . import archives, existing, inout, models
from .message import counted
from .options import Begin, Decoding, Encoding, Outputs, Progress
from .pictures import decode, describe, encode, load, save
from .plan import Job

if TYPE_CHECKING:
    from ..codec.pictures.picture import Picture


_SAME = {".tiff": ".tif", ".pbm": ".pnm", ".pgm": ".pnm", ".ppm": ".pnm"}
"""Suffix -> the one of `--format` that takes it, too."""


def encode_file(job: Job, how: Encoding, outputs: Outputs, begin: Begin) -> str:
    """Encode an image file; returns the line that reports it. Raises ShearlocError, OSError, MemoryError.

    With `how.verify`, the new file is decoded from the disk and compared before it gets its name.
    """
    start = time.perf_counter()
    _check_kind(job.source)
    if not outputs.skip:
        inout.check_target(job.target, job.source, outputs.force)
    source = inout.read(job.source)
    picture = load(source, how, outputs.force)
    if outputs.skip and job.target.is_file():
        found = existing.what_file(job.target.read_bytes(), picture)
        if skipped := _skipped(job, found, outputs):
            return skipped
    inout.check_target(job.target, job.source, outputs.force or outputs.skip)
    data = encode(picture, how, begin(f"encode {job.source.name}"))
    with inout.writing(job.target, [job.source], outputs.keep_time) as file:
        file.write(data)
        if how.verify:
            file.flush()
            written = file.getvalue() if isinstance(file, BytesIO) else Path(file.name).read_bytes()
            _verify(written, picture, how.verify, begin(f"verify {job.source.name}"))
    before, after = len(source), len(data)
    line = (
        f"{_names(job, before, after)} ({after / before:.1%}), {_bits_per_subpixel(data):.3f} bits per subpixel, "
        f"{time.perf_counter() - start:.1f} s" + (", verified" if how.verify else "") + _not_embedded(data, how)
    )
    return "\n  ".join([line, *(_details(picture, data) if outputs.details else ())])


def may_be_image(path: Path) -> bool:
    """Whether a path may be an image by a file's first bytes. A pipe is not read."""
    from ..codec.pictures import files

    if inout.is_standard(path) or inout.is_special(path):
        return True
    with suppress(OSError):
        return files.is_read(inout.beginning(path))
    return False


def _check_kind(source: Path) -> None:
    """UnsupportedImageError for a file that is no image by its first bytes, before its output is looked at."""
    from ..codec.pictures import files

    if source.is_file():
        files.check_kind(inout.beginning(source))


def _not_embedded(data: bytes, how: Encoding) -> str:
    """What to add to the report where a model was to be embedded, and none is used."""
    from ..codec.info import picture_info

    if not how.embed:
        return ""
    parts = picture_info(data).parts
    if any(part.model for part in parts):
        return ""
    methods = {part.method: "WebP" if part.method == "webp" else part.method for part in parts}
    return f"; no model embedded: {' and '.join(methods.values())} was smaller"


def _details(picture: "Picture", data: bytes) -> Iterator[str]:
    """What the reader left out, and how the file is coded, a line each."""
    from ..codec.info import picture_info

    yield from picture.notes
    for part in picture_info(data).parts:
        model = f" '{part.model}'" if part.model else ""
        yield f"{counted(part.planes, 'plane')}: {part.method}{model}, {part.payload_bytes:,} bytes"


def decode_file(job: Job, how: Decoding, suffix: str, outputs: Outputs, begin: Begin) -> str:
    """Decode a `.shl` file to an image file; returns the line that reports it. Raises as `encode_file`.

    `suffix` is the format for an output without a suffix, as in ".png"; ".pnm" picks PBM, PGM or PPM; "" is PNG for
    standard output or a pipe, and otherwise none. An archive becomes a folder.
    """
    from ..codec.formats import container

    start = time.perf_counter()
    data = inout.read(job.source)
    if archives.is_archive(data):
        return archives.decode_archive(job, data, how, outputs, begin)
    container.HEAD.begin(data)
    if not outputs.skip:
        inout.check_target(job.target, job.source, outputs.force)
    target = _with_kind(_with_format(job.target, suffix), data)
    _check_format(target, data)
    if outputs.skip and job.target.is_file():
        found = existing.what_image(job.target, data)
        if skipped := _skipped(job, found, outputs):
            return skipped
    inout.check_target(job.target, job.source, outputs.force or outputs.skip)
    picture = decode(data, how, begin(f"decode {job.source.name}"))
    save(job.target, picture, target.suffix, job.source, outputs.keep_time)
    shown = inout.shown(job.source, "input"), inout.shown(job.target, "output")
    return f"{' -> '.join(shown)} {describe(picture)}, {time.perf_counter() - start:.1f} s"


def _names(job: Job, before: int, after: int) -> str:
    source, target = inout.shown(job.source, "input"), inout.shown(job.target, "output")
    return f"{source} {before:,} bytes -> {target} {after:,} bytes"


def _skipped(job: Job, found: existing.Found, outputs: Outputs) -> str:
    """The line for an output that is complete already, or "" if it has to be written. ShearlocError for other files."""
    if found == "same":
        return f"{job.source}: skipped, {job.target} holds it and is complete"
    if found == "other" and not outputs.force:
        raise ShearlocError(f"{job.target}: exists already and is not {job.source}; --force overwrites it")
    return ""


def _verify(data: bytes, picture: "Picture", checker: str, progress: Progress | None) -> None:
    """ShearlocError if the file does not decode to this picture, metadata and transparency included."""
    samples = picture.samples.nbytes
    models.check(lambda: decode(data, Decoding(checker, samples), progress) == picture, "file", "image", checker)


def _with_format(target: Path, suffix: str) -> Path:
    """A path whose suffix says the format: the output's own, or else `suffix`. ShearlocError where they contradict."""
    if inout.is_standard(target) or inout.is_special(target):
        return Path(f"{inout.shown(target, 'output')}{suffix or '.png'}")
    if not target.suffix:
        return Path(f"{target}{suffix}")
    own = target.suffix.lower()
    if suffix and suffix not in (own, _SAME.get(own)):
        raise ShearlocError(f"{target}: the suffix contradicts --format {suffix[1:]}; leave one of them out")
    return target


def _with_kind(path: Path, data: bytes) -> Path:
    """A path whose suffix is of one kind of file: .pnm becomes the kind for the picture in `data`."""
    if path.suffix.lower() != ".pnm":
        return path
    from ..codec.info import picture_info

    about = picture_info(data)
    return path.with_suffix(".pbm" if about.bit_depth == 1 else ".ppm" if about.channels > 2 else ".pgm")


def _check_format(path: Path, data: bytes) -> None:
    """ShearlocError where the image in `data` cannot be written to a file of this suffix. It is not decoded."""
    from ..codec.info import picture_info
    from ..codec.pictures import files

    files.check_output(path, picture_info(data).mode)


def _bits_per_subpixel(data: bytes) -> float:
    from ..codec.info import picture_info

    return picture_info(data).bits_per_subpixel
