"""Samples of a model into files, and drawings of where an image's bits go.

It parses no arguments and prints nothing: each function does one job and returns the lines that report it.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ShearlocError, UnsupportedImageError
from . import inout
from .message import counted
from .plan import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..types import Pixels

ARRAY = ".npy"


def draw_samples(
    model: str, size: tuple[int, int] | None, count: int, seed: int, engine: str, out: Path, force: bool
) -> str:
    """Write `count` samples of a model: a sheet of them where `out` has an image's suffix, a .npy file, or a folder.

    `size`: height and width; None for the only one that the model has. Raises ShearlocError, OSError.
    """
    import numpy as np

    from ..codec import measuring
    from .heat import sheet

    suffix = out.suffix.lower()
    if suffix == ARRAY or suffix in IMAGE_SUFFIXES:
        inout.check_target(out, Path(model), force)
    elif suffix:
        raise ShearlocError(
            f"{out}: name a folder, or a file that ends in {' '.join(sorted((ARRAY, *IMAGE_SUFFIXES)))}"
        )
    elif out.exists() and not (out.is_dir() and (force or not any(out.iterdir()))):
        raise ShearlocError(f"{out}: exists already; give another OUT, or --force to write into it")
    images = measuring.sample(model, size, count, seed=seed, engine=engine)
    binary = measuring.is_binary(model, images.shape[1:])
    if suffix in IMAGE_SUFFIXES:
        _write_image(out, sheet(images * np.uint8(255) if binary else images))
    elif suffix == ARRAY:
        _write_array(out, images)
    else:
        digits = len(str(count - 1))
        for number, image in enumerate(images):
            _write_image(out / f"{number:0{digits}}.png", image[..., 0].astype(bool) if binary else image)
    height, width = images.shape[1:3]
    return f"{counted(count, 'sample')} of {model}, {height} x {width}, seed {seed} -> {out}"


def draw_lengths(file: Path, out: Path, model: str, steps: int, engine: str, force: bool) -> list[str]:
    """Draw the bits of every pixel of an image file, or a .shl picture, under a model; returns sums in words.

    `model` "auto": the one that the .shl file was coded with, or else the default. Raises ShearlocError, OSError.
    """
    import numpy as np

    from ..codec import measuring
    from ..coding.lengths import LENGTH_BITS
    from .heat import beside

    if out.suffix.lower() not in IMAGE_SUFFIXES:
        raise ShearlocError(f"{out}: name an image file, such as {out.with_suffix('.png')}")
    inout.check_target(out, file, force)
    image, used, way = _image_and_model(inout.read(file))
    name = used or _default(image) if model == "auto" else model
    lengths = measuring.length_map(image, name, steps=steps, engine=engine, way=way if model == "auto" else 0)
    bits = lengths.pixels[0] / (1 << LENGTH_BITS)
    drawn, most = beside(image.reshape(bits.shape), bits.sum(2))
    _write_image(out, drawn)
    total, latents = (float(part[0]) / (1 << LENGTH_BITS) for part in (lengths.images, lengths.latents))
    lines = [f"{file}: {total:,.0f} bits under '{name}', {total / bits.size:.4f} bits per dimension -> {out}"]
    if bits.shape[2] > 1:
        sums = zip(("red", "green", "blue"), bits.sum((0, 1)).tolist(), strict=True)
        lines.append(", ".join(f"{channel} {value:,.0f} bits ({value / total:.1%})" for channel, value in sums))
    if np.any(lengths.latents):
        lines.append(f"latents {latents:,.0f} bits ({latents / total:.1%}), which are not in the drawing")
    return [*lines, f"black: 0 bits a pixel, lightest: {most:.2f} and more"]


def _image_and_model(data: bytes) -> "tuple[Pixels, str | None, int]":
    """The 8-bit gray or RGB image in a file's bytes; of a .shl file the model and the orientation that it used, too."""
    from ..codec import api, turning
    from ..codec.formats import archive_header, container
    from ..codec.info import picture_info
    from ..codec.pictures import files

    if archive_header.is_archive(data):
        raise ShearlocError("holds many images: `shearloc decode` it, and inspect one of them")
    encoded = data.startswith(b"\x89SH")
    picture = api.decode_picture(data) if encoded else files.pixels(data)
    if picture.mode not in ("8-bit gray", "8-bit RGB"):
        raise UnsupportedImageError(f"{picture.mode}; only 8-bit gray and RGB are measured")
    if not encoded:
        return picture.samples, None, 0
    return picture.samples, picture_info(data).model, turning.way_of(container.unpack_header(data)[0].parts[0])


def _default(image: "Pixels") -> str:
    from ..models import defaults

    return defaults.STATIC[1 if image.ndim == 2 else 3]


def _write_image(path: Path, image: "NDArray[Any]") -> None:
    from ..codec.pictures import files
    from ..codec.pictures.picture import from_array

    path.parent.mkdir(parents=True, exist_ok=True)
    files.save(path, from_array(image))


def _write_array(path: Path, images: "Pixels") -> None:
    import numpy as np

    buffer = BytesIO()
    np.save(buffer, images[..., 0] if images.shape[3] == 1 else images)
    inout.write(path, buffer.getvalue())
