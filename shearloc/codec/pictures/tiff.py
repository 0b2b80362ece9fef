"""TIFF files to pictures and back, by Pillow, or by tifffile for 16-bit colour.

`directories.py` says what a file holds before either library sees it. What they read is checked against that.
"""

import logging
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...errors import UnsupportedImageError
from ...types import Samples
from ..formats.container import MAX_SAMPLES
from . import directories, metadata, pillow
from .directories import INDICES, WHITE_IS_ZERO, Directory, Layout
from .picture import Chunk, Picture, check_size

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_XMP, _ICC = 700, 34675
_TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
"""Document, description, make, model, page, software, date, artist, computer, copyright."""
_DIRECTORIES = (34665, 34853)
"""Exif and GPS."""
_DESCRIPTIVE = (*_TEXTS, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, *_DIRECTORIES)
_STRUCTURAL = (*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, 288, 289, 292, 293, 297, 317, 320,
               *range(322, 329), 330, 338, 339)  # fmt: skip
"""How the samples are laid out."""

_CENTIMETRES = {2: Fraction(254, 100), 3: Fraction(1)}
"""TIFF's unit of resolution in centimetres."""

_MODES = {1: "1", 2: "L", 4: "L", 8: "L", 16: "I;16"}
"""Bits of gray -> Pillow's mode."""
_SILENT = logging.NullHandler()
_NO_TIFFFILE = "TIFFs of 16-bit colour need tifffile: pip install tifffile, or use PNG"


def read(data: bytes, max_samples: int = MAX_SAMPLES) -> Picture:
    """The picture in a whole TIFF or BigTIFF file.

    Raises UnsupportedImageError for damage, several pictures, samples of kinds that PNG does not have, or more than
    `max_samples` of 8 bits.
    """
    pages = directories.all_directories(data)
    page = directories.main_image(pages)
    found = directories.layout(page)
    check_size(*directories.padded_size(page, found), found.channels * (2 if found.bits == 16 else 1), max_samples)
    directories.check_slices(data, page, pages)
    notes = ["the TIFF's smaller copies of the image are left out"] if len(pages) > 1 else []
    left_out = sorted({*page.tags} - {*_STRUCTURAL, *_DESCRIPTIVE, _ICC, _XMP})
    if left_out:
        notes.append(f"the TIFF's tags {' '.join(map(str, left_out))} are left out")
    white_is_zero = found.photometric == WHITE_IS_ZERO
    file = directories.alone(data, page) if len(pages) > 1 else data
    file = directories.with_black_zero(file, page) if white_is_zero else file
    with pillow.opened(file, "TIFF", found.height * found.width) as image:
        chunks = _tiff_chunks(image)
        wide = found.bits == 16 and found.channels > 1
        samples = _read_tifffile(file, page, found) if wide else _samples(image, found)
    if white_is_zero:
        samples = samples.dtype.type(2**found.bits - 1) - samples
    palette = _palette(page, found) if found.photometric == INDICES else None
    return Picture(samples, found.bits, palette, chunks=chunks, notes=tuple(notes))


def write(file: BinaryIO, picture: Picture) -> None:
    """Write a picture that TIFF holds (`files.check_output`), with its metadata.

    Raises UnsupportedImageError where TIFF cannot hold the image, for example for its size.
    """
    buffer = BytesIO()  # both libraries seek
    try:
        if _needs_tifffile(picture.mode):
            _write_tifffile(buffer, picture)
        else:
            pillow.image_of(picture).save(buffer, "TIFF", tiffinfo=_tiff_tags(picture))
    except (ValueError, OverflowError, OSError) as error:
        raise UnsupportedImageError(f".tif cannot hold this image ({error})") from error
    file.write(buffer.getbuffer())


def check(mode: str) -> None:
    """UnsupportedImageError if TIFFs of this mode need tifffile and it is not installed."""
    if _needs_tifffile(mode):
        _tifffile()


def _needs_tifffile(mode: str) -> bool:
    return mode.startswith("16-bit") and mode != "16-bit gray"


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UnsupportedImageError(_NO_TIFFFILE) from error
    return tifffile


def _unreadable(why: object) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a TIFF that can be read ({why})")


def _samples(image: "Image", found: Layout) -> Samples:
    """The samples that Pillow reads, [H, W] or [H, W, C], if they are of the kind that the file names."""
    with pillow.libtiff_watched():
        image = _as_stored(image)
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}.get(
        found.channels, "P" if found.photometric == INDICES else _MODES[found.bits]
    )
    shape = (found.height, found.width) if found.channels == 1 else (found.height, found.width, found.channels)
    samples = np.array(image)
    if image.mode.removesuffix("B") != mode.removesuffix("B") or samples.shape != shape:
        raise _unreadable(f"Pillow takes its samples for {image.mode}")
    if found.bits == 16:
        return samples.astype(np.uint16)
    if found.bits < 8 and mode == "L":  # Pillow spreads them over 8 bits
        return samples // np.uint8(255 // (2**found.bits - 1))
    return samples.astype(np.uint8)


def _palette(page: Directory, found: Layout) -> Any:
    """uint8 [2^bits, 3]. TIFF has 16 bits a colour: the value twice, or in the high byte."""
    colours = np.array(page.numbers(directories.COLOUR_MAP), np.uint16).reshape(3, 1 << found.bits)
    return np.ascontiguousarray((colours >> 8).astype(np.uint8).T)


def _as_stored(image: "Image") -> "Image":
    """Undo the rotation that Pillow applies to TIFFs: the orientation stays with the metadata."""
    from PIL.Image import Transpose

    orientation = image.getexif().get(_ORIENTATION, 1)
    image.load()
    if orientation not in range(2, 9) or _ORIENTATION in image.getexif():
        return image
    undo = [Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE]
    undo += [Transpose.ROTATE_90, Transpose.TRANSVERSE, Transpose.ROTATE_270]
    return image.transpose(undo[orientation - 2])


def _read_tifffile(data: bytes, page: Directory, found: Layout) -> Samples:
    """uint16 [H, W, 3 or 4]."""
    tifffile = _tifffile()
    directories.check_unpacked(page, found)  # tifffile without imagecodecs unpacks whatever there is
    logging.getLogger("tifffile").addHandler(_SILENT)  # else its warnings go to stderr, beside our error
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            samples = file.pages[0].asarray()
    except MemoryError:
        raise
    except Exception as error:  # tifffile's decoders raise many kinds, and want imagecodecs for some files
        raise _unreadable(f"tifffile says: {error}") from error
    if found.planar:
        samples = np.moveaxis(samples, 0, -1)
    if samples.dtype.newbyteorder("=") != np.uint16 or samples.shape != (found.height, found.width, found.channels):
        raise _unreadable(f"tifffile takes its samples for {samples.dtype} {samples.shape}")
    return np.ascontiguousarray(samples, np.uint16)


def _tiff_chunks(image: "Image") -> tuple[Chunk, ...]:
    tags, found = image.tag_v2, []  # type: ignore[attr-defined]  # a TiffImageFile
    if tags.get(_ICC):
        found.append(metadata.icc_chunk(_octets(tags[_ICC])))
    exif = _descriptive(image.getexif())
    resolution = (_RESOLUTION_UNIT, _X_RESOLUTION, _Y_RESOLUTION)
    if [exif.get(tag) for tag in resolution] == [1, 1, 1]:  # no unit, 1 to 1: from writers that know no resolution
        for tag in resolution:
            del exif[tag]
    if len(exif):
        found.append(metadata.exif_chunk(exif.tobytes()))
        unit = _CENTIMETRES.get(exif.get(_RESOLUTION_UNIT, 2))
        if unit and exif.get(_X_RESOLUTION) and exif.get(_Y_RESOLUTION):
            x, y = (100 / unit * Fraction(float(exif[tag])) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
            found.append(metadata.resolution_chunk(float(x), float(y)))
    if tags.get(_XMP):
        found.append(metadata.xmp_chunk(_octets(tags[_XMP])))
    return tuple(found)


def _octets(value: bytes | tuple[bytes, ...]) -> bytes:
    """Pillow's value of a tag of bytes, whose Python type depends on the tag's."""
    return value if isinstance(value, bytes) else b"".join(value)


def _descriptive(exif: "Exif") -> "Exif":
    """Only what describes the picture; nothing about a file's layout."""
    from PIL import Image

    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in exif and tag not in _DIRECTORIES:
            kept[tag] = exif[tag]
    for tag in _DIRECTORIES:
        entries = exif.get_ifd(tag)
        if entries:
            kept.get_ifd(tag).update(entries)
            kept[tag] = 0  # a mark that it is there; the writer sets where
    return kept


def _tiff_tags(picture: Picture) -> "Exif":
    """The metadata as tags that Pillow writes: the Exif block's, profile, XMP, resolution."""
    from PIL import Image

    exif = Image.Exif()
    block = metadata.exif_of(picture.chunks)
    if block:
        exif.load(metadata.EXIF_PREFIX + block)
    tags = _descriptive(exif)
    resolution = metadata.resolution_of(picture.chunks)
    if resolution and _X_RESOLUTION not in tags:
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = (Fraction(value, 100) for value in resolution)
        tags[_RESOLUTION_UNIT] = 3
    for tag, content in ((_ICC, metadata.icc_of(picture.chunks)), (_XMP, metadata.xmp_of(picture.chunks))):
        if content:
            tags[tag] = content
    return tags


def _write_tifffile(file: BinaryIO, picture: Picture) -> None:
    """16-bit colour, with the tags that are a text or a number."""
    tags = _tiff_tags(picture)
    octets, text, short = 1, 2, 3
    named = {270: "description", 305: "software", 306: "datetime"}  # tifffile takes these as arguments of their own
    extra: list[tuple[Any, ...]] = [
        (tag, text, None, tags[tag], True) for tag in _TEXTS if tag in tags and tag not in named
    ]
    if _ORIENTATION in tags:
        extra.append((_ORIENTATION, short, 1, tags[_ORIENTATION], True))
    if _XMP in tags:
        extra.append((_XMP, octets, len(tags[_XMP]), tags[_XMP], True))
    options: dict[str, Any] = {"software": False} | {name: tags[tag] for tag, name in named.items() if tag in tags}
    if _X_RESOLUTION in tags:
        pair = tuple(Fraction(float(tags[tag])).limit_denominator(1 << 20) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        options["resolution"] = tuple((value.numerator, value.denominator) for value in pair)
        options["resolutionunit"] = tags.get(_RESOLUTION_UNIT, 2)
    _tifffile().imwrite(
        file,
        picture.samples,
        photometric="rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if picture.samples.shape[2] == 4 else None,
        metadata=None,
        iccprofile=tags.get(_ICC),
        extratags=extra,
        **options,
    )
