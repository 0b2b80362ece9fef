"""TIFF, BMP and WebP files to pictures and back, by Pillow; TIFFs of 16-bit colour by tifffile.

Here is what those libraries would lose or change quietly, and the refusals that prevent it.
"""

from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...errors import UnsupportedImageError
from . import metadata
from .picture import PALETTE, Chunk, Picture

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_BITS, _COMPRESSION, _COLOUR_MAP, _EXTRA_SAMPLES, _XMP, _ICC = 258, 259, 320, 338, 700, 34675
_TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
"""Document, description, make, model, page, software, date, artist, computer, copyright."""
_DIRECTORIES = (34665, 34853)
"""Exif and GPS."""
_DESCRIPTIVE = (*_TEXTS, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, *_DIRECTORIES)

_JPEG_IN_TIFF = (6, 7, 34892)
_ASSOCIATED_ALPHA = 1
_CENTIMETRES = {2: Fraction(254, 100), 3: Fraction(1)}
"""TIFF's unit of resolution in centimetres."""

_PALETTE_DEPTHS = {"P;1": 1, "P;2": 2, "P;4": 4}
_CONVERT = "convert it to PNG first, if that loses nothing you need"
_NO_TIFFFILE = 'TIFFs of 16-bit colour need tifffile: pip install "shearloc[tiff]", or use PNG'


def read(data: bytes) -> Picture:
    """The picture of a whole TIFF, BMP or WebP file. Raises UnsupportedImageError."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as image:
            _refuse_other_files(image)
            if image.format == "TIFF":
                return _read_tiff(image, data)
            raw = str(image.tile[0].args[0]) if image.format == "BMP" and image.tile[0].args else ""
            return _picture(image, _PALETTE_DEPTHS.get(raw, 8), _chunks(image))
    except UnsupportedImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise UnsupportedImageError(f"not an image that Pillow can read ({error})") from error


def write(file: BinaryIO, picture: Picture, suffix: str) -> None:
    """Write a picture in the format of a suffix (.tif, .tiff, .bmp, .webp) that holds it, with its metadata.

    Raises UnsupportedImageError where the format cannot hold the image, for example for its size.
    """
    try:
        if suffix == ".bmp":
            _pillow(picture).save(file, "BMP", **_bmp_options(picture))
        elif suffix == ".webp":
            _pillow(picture).save(file, "WEBP", lossless=True, exact=True, **_webp_options(picture))
        elif _needs_tifffile(picture.mode):
            _write_tifffile(file, picture)
        else:
            _pillow(picture).save(file, "TIFF", tiffinfo=_tiff_tags(picture))
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnsupportedImageError(f"{suffix} cannot hold this image ({error})") from error
    except (ValueError, OverflowError) as error:
        raise UnsupportedImageError(f"{suffix} cannot hold this image ({error})") from error


def check_tiff(mode: str) -> None:
    """UnsupportedImageError if TIFFs of that mode need tifffile and it is not installed."""
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


def _refuse_other_files(image: "Image") -> None:
    if image.format in ("JPEG", "MPO"):
        raise UnsupportedImageError(
            "a JPEG; its decoded pixels would take more space than the JPEG itself: "
            "keep the JPEG, or convert it to PNG first if you want its pixels stored"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnsupportedImageError(f"{frames} frames; one image is stored: save the frames one by one")
    if image.format not in ("TIFF", "BMP", "WEBP"):
        raise UnsupportedImageError(f"{image.format} files are not read: convert it to PNG first")


def _picture(image: "Image", palette_depth: int, chunks: tuple[Chunk, ...]) -> Picture:
    """A picture of a Pillow image whose mode holds all that the file had."""
    samples = np.array(image)
    if image.mode == "1":
        return Picture(samples.astype(np.uint8), 1, chunks=chunks)
    if image.mode in ("I;16", "I;16B"):
        return Picture(samples.astype(np.uint16), 16, chunks=chunks)
    if image.mode == "P" and image.palette is not None and image.palette.mode == "RGB":
        palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[: 1 << palette_depth]
        return Picture(samples, palette_depth, palette, chunks=chunks)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedImageError(f"samples of Pillow's mode {image.mode}; not stored: {_CONVERT}")
    return Picture(samples, chunks=chunks)


def _chunks(image: "Image") -> tuple[Chunk, ...]:
    """Metadata of a BMP or WebP."""
    info, found = image.info, []
    if info.get("icc_profile"):
        found.append(metadata.icc_chunk(info["icc_profile"]))
    if info.get("exif"):
        found.append(metadata.exif_chunk(info["exif"]))
    if info.get("xmp"):
        found.append(metadata.xmp_chunk(info["xmp"]))
    if image.format == "BMP" and all(info.get("dpi", (0,))):
        found.append(metadata.resolution_chunk(*(39.3701 * dpi for dpi in info["dpi"])))
    return tuple(found)


def _read_tiff(image: "Image", data: bytes) -> Picture:
    tags = image.tag_v2  # type: ignore[attr-defined]  # a TiffImageFile
    if tags.get(_COMPRESSION) in _JPEG_IN_TIFF:
        raise UnsupportedImageError("a TIFF with a JPEG inside, which takes less space than its pixels would: keep it")
    bits, extra = tags.get(_BITS, (1,)), tags.get(_EXTRA_SAMPLES, ())
    if _ASSOCIATED_ALPHA in extra:
        raise UnsupportedImageError(f"a TIFF with colours multiplied by alpha; not stored: {_CONVERT}")
    chunks = _tiff_chunks(image)
    if max(bits) == 16 and len(bits) > 1:
        return Picture(_read_tifffile(data, extra), 16, chunks=chunks)
    palette_lost = any(value % 257 and value % 256 for value in tags.get(_COLOUR_MAP, ()))
    if max(bits) > 8 and image.mode not in ("I;16", "I;16B") or len(bits) > len(image.getbands()) or palette_lost:
        raise UnsupportedImageError(f"a TIFF whose samples Pillow does not read as they are; not stored: {_CONVERT}")
    image = _as_stored(image)
    if image.mode == "L" and bits[0] in (2, 4):
        return Picture(np.array(image) // np.uint8(255 // (2 ** bits[0] - 1)), bits[0], chunks=chunks)
    return _picture(image, bits[0], chunks)


def _as_stored(image: "Image") -> "Image":
    """Undo the turning that Pillow does to TIFFs, whose orientation stays with the metadata."""
    from PIL.Image import Transpose

    orientation = image.getexif().get(_ORIENTATION, 1)
    image.load()
    if orientation not in range(2, 9) or _ORIENTATION in image.getexif():
        return image
    undo = [Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE]
    undo += [Transpose.ROTATE_90, Transpose.TRANSVERSE, Transpose.ROTATE_270]
    return image.transpose(undo[orientation - 2])


def _read_tifffile(data: bytes, extra: tuple[int, ...]) -> Any:
    """uint16 [H, W, 3 or 4]."""
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages[0]
            samples = page.asarray()
            photometric, planar = page.photometric.name, page.planarconfig.name
    except Exception as error:  # tifffile's decoders raise many kinds, and want imagecodecs for some files
        raise UnsupportedImageError(f"not a TIFF that tifffile can read ({error})") from error
    if planar == "SEPARATE":
        samples = np.moveaxis(samples, 0, -1)
    known = photometric == "RGB" and samples.ndim == 3 and samples.shape[2] == 3 + len(extra) <= 4
    if samples.dtype != np.uint16 or not known:
        raise UnsupportedImageError(f"a TIFF of {photometric} samples that are not stored: {_CONVERT}")
    return np.ascontiguousarray(samples)


def _tiff_chunks(image: "Image") -> tuple[Chunk, ...]:
    tags, found = image.tag_v2, []  # type: ignore[attr-defined]  # a TiffImageFile
    if tags.get(_ICC):
        found.append(metadata.icc_chunk(_octets(tags[_ICC])))
    exif = _descriptive(image.getexif())
    resolution = (_RESOLUTION_UNIT, _X_RESOLUTION, _Y_RESOLUTION)
    if [exif.get(tag) for tag in resolution] == [1, 1, 1]:  # no unit, 1 to 1: what writers put who know of none
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
    """What Pillow has of a tag of bytes, whose type depends on the tag's."""
    return value if isinstance(value, bytes) else b"".join(value)


def _descriptive(exif: "Exif") -> "Exif":
    """Only what describes the picture, nothing of how a file lays it out."""
    from PIL import Image

    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in exif and tag not in _DIRECTORIES:
            kept[tag] = exif[tag]
    for tag in _DIRECTORIES:
        entries = exif.get_ifd(tag)
        if entries:
            kept.get_ifd(tag).update(entries)
            kept[tag] = 0  # a mark that it is there; whoever writes it sets where
    return kept


def _pillow(picture: Picture) -> "Image":
    """The Pillow image of a picture that Pillow has a mode for."""
    from PIL import Image

    if picture.depth == 1:
        return Image.fromarray(picture.samples * np.uint8(255)).convert("1", dither=Image.Dither.NONE)
    image = Image.fromarray(picture.samples)
    if picture.colour == PALETTE:
        assert picture.palette is not None
        image.putpalette(picture.palette.tobytes())
    return image


def _bmp_options(picture: Picture) -> dict[str, Any]:
    resolution = metadata.resolution_of(picture.chunks)
    return {"dpi": tuple(value / 39.3701 for value in resolution or (0, 0))}  # or Pillow makes one up


def _webp_options(picture: Picture) -> dict[str, Any]:
    parts = {
        "icc_profile": metadata.icc_of(picture.chunks),
        "exif": metadata.exif_of(picture.chunks),
        "xmp": metadata.xmp_of(picture.chunks),
    }
    return {name: content for name, content in parts.items() if content}


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
    """16-bit colour, with the tags that are one text or number."""
    tags = _tiff_tags(picture)
    octets, text, short = 1, 2, 3
    named = {270: "description", 305: "software", 306: "datetime"}  # tifffile does not take these as others
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
