"""The format `.shl` for Pillow: opened lazily, decoded when its pixels are asked for, saved from any mode that fits.

A header means to Pillow (mode, palette, transparency, `info`) what it means in a PNG, and a saved image keeps what a
PNG keeps: Pillow's own PNG code decides both. `pillow.py` imports this file when it is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin

from ..codec import api, archive
from ..codec.formats import archive_header, container
from ..codec.formats.container import Header
from ..codec.pictures import png
from ..codec.pictures.picture import GRAY, Picture, mode_name
from ..errors import CorruptError, ShearlocError
from . import PILLOW_FORMAT

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Pillow's modes that are saved."""

OPTIONS = ("effort", "model")
"""Keywords of `Image.save` that are `shearloc.encode`'s ..."""
DESCRIPTIONS = ("icc_profile", "exif", "dpi", "pnginfo", "transparency")
"""... and those that say what the picture means, as a PNG's do."""

_LONGEST_BEGINNING = 18
"""Signature, version and the length of the header."""


def _file_of(image: ImageFile.ImageFile) -> IO[bytes]:
    """The file behind an image; ValueError where the image has been closed."""
    if image.fp is None:
        raise ValueError("the image is closed")
    return image.fp


class ShearlocImageFile(ImageFile.ImageFile):
    """One picture. Pillow's modes hold all but 16-bit colour and 16-bit gray with alpha."""

    format = PILLOW_FORMAT
    format_description = "Shearloc"

    def _open(self) -> None:
        with _as_pillow_has_it():
            header = container.unpack_head(_read_head(_file_of(self)))
        if header.depth == 16 and header.colour != GRAY:
            mode = mode_name(header.colour, header.depth, False)
            raise OSError(f"the image is {mode}, for which Pillow has no mode; read it with shearloc.read")
        shown = PngImagePlugin.PngImageFile(BytesIO(_png_head(header)))
        self._mode, self._size, self.info, self.palette = shown.mode, shown.size, shown.info, shown.palette
        self._samples = header.samples
        self._raw_mode = shown.tile[0][3]
        # Any decoder's name will do until `load` has the pixels.
        self.tile = cast(Any, [("raw", (0, 0, *self.size), 0, self._raw_mode)])

    def load(self) -> Any:
        """Decode, the first time; then as every image's."""
        if self.tile:
            file = _file_of(self)
            with _as_pillow_has_it():
                data = _read_whole(file)
                picture = api.decode_picture(data, max_samples=self._samples)  # Pillow has its own limit
            if self._exclusive_fp:
                file.close()
            self.fp = BytesIO(png.pack_rows(picture.samples, picture.depth).tobytes())
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Nothing: the pixels begin where the file does. (With it Pillow does not map the encoded file as pixels.)"""

    def verify(self) -> None:
        """Check all checksums but that of the pixels, without decoding. OSError where one does not hold."""
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        with _as_pillow_has_it():
            container.unpack(_read_whole(self.fp), self._samples)
        super().verify()


class ShearlocArchiveFile(ImageFile.ImageFile):
    """An archive, whose images are frames."""

    format = PILLOW_FORMAT
    format_description = "Shearloc archive"

    def _open(self) -> None:
        with _as_pillow_has_it():
            self._data = _file_of(self).read()
            self._header, _ = archive_header.read(self._data, None)
        self._mode = "L" if self._header.channels == 1 else "RGB"
        self._size = self._header.width, self._header.height
        self.n_frames = self._header.count
        self.is_animated = self.n_frames > 1
        self._decoded: tuple[int, Any] = -1, None
        self._show(0)

    def seek(self, frame: int) -> None:
        """Go to an image, from 0 on; EOFError where there is none."""
        if self._seek_check(frame):
            self._show(frame)

    def tell(self) -> int:
        """Number of the image."""
        return self._frame

    def _show(self, frame: int) -> None:
        self._frame = frame
        self._im = None
        self.info = {"name": self._header.names[frame]} if self._header.names else {}
        self.tile = cast(Any, [("raw", (0, 0, *self.size), 0, self.mode)])

    def load(self) -> Any:
        """Decode the chunk with the image, unless it is the last one that was; then as every image's."""
        if self.tile:
            chunk = self._frame // self._header.chunk_images
            if self._decoded[0] != chunk:
                samples = self._header.count * self._header.height * self._header.width * self._header.channels
                with _as_pillow_has_it():
                    images, _ = archive.decode_chunk(self._data, chunk, max_samples=samples)
                self._decoded = chunk, images
            image = self._decoded[1][self._frame % self._header.chunk_images]
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()
            self.fp = BytesIO(image.tobytes())
        return super().load()

    def load_seek(self, pos: int) -> None:
        """As `ShearlocImageFile.load_seek`."""


def open_image(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    """What Pillow's `open` calls for a file that begins as ours do."""
    is_archive = archive.is_archive(file.read(len(archive.MAGIC)))
    file.seek(0)
    return ShearlocArchiveFile(file, name) if is_archive else ShearlocImageFile(file, name)


def save(image: Image.Image, file: IO[bytes]) -> None:
    """What `Image.save` calls. Options: effort, model (as `shearloc.encode`), and those of PNG about metadata:
    icc_profile, exif, dpi, pnginfo, transparency.

    OSError for a mode that is not stored, TypeError for any other option, ShearlocError as `shearloc.encode`.
    """
    if image.mode not in MODES:
        raise OSError(f"cannot write mode {image.mode} as {PILLOW_FORMAT}; convert it to one of {', '.join(MODES)}")
    options = dict(image.encoderinfo)
    for name in options:
        if name not in OPTIONS + DESCRIPTIONS:
            known = ", ".join(OPTIONS + DESCRIPTIONS)
            raise TypeError(f"{PILLOW_FORMAT} has no option {name!r} to save with; there are {known}")
    coding = {name: options.pop(name) for name in OPTIONS if name in options}
    file.write(api.encode_picture(_picture(image, options), **coding))


def _picture(image: Image.Image, options: dict[str, Any]) -> Picture:
    """The picture of an image, with the palette, transparency and metadata that a PNG of it has."""
    corner = BytesIO()
    image.crop((0, 0, 1, 1)).save(corner, "PNG", **options)
    described = png.read(corner.getvalue())
    samples = np.array(image).astype(np.uint16 if image.mode == "I;16" else np.uint8)
    # A palette may have fewer colours than the image has indices.
    fits = image.mode != "P" or not int(samples.max()) >> described.depth
    return replace(described, samples=samples, depth=described.depth if fits else 8)


@contextmanager
def _as_pillow_has_it() -> Iterator[None]:
    """Turns our errors into OSError, which Pillow's users expect of a damaged file."""
    try:
        yield
    except CorruptError as error:
        cut = "cut short" in str(error)
        raise OSError(f"image file is truncated ({error})" if cut else str(error)) from error
    except ShearlocError as error:
        raise OSError(str(error)) from error


def _read_head(file: IO[bytes]) -> bytes:
    """What comes before the payloads."""
    beginning = file.read(_LONGEST_BEGINNING)
    length = container.head_length(beginning)
    return beginning[:length] + file.read(max(0, length - len(beginning)))


def _read_whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _png_head(header: Header) -> bytes:
    """A PNG with this header's size, kind and chunks, up to its pixels."""
    file = BytesIO()
    png.put_opening(file, header.height, header.width, header.colour, header.depth)
    for kind, content in header.chunks:
        if kind == b"PLTE" or kind[:1].islower():  # not a model's weights, which PNG knows nothing of
            png.put_chunk(file, kind, content)
    png.put_chunk(file, b"IDAT", b"")
    return file.getvalue()
