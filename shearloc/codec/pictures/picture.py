"""A picture as its file has it: samples, bit depth, palette, transparency and metadata. In memory only.

`files.py` reads and writes files; `api.py` codes. Kinds of samples and their numbers are PNG's.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedImageError
from ...types import Samples


class Colour(IntEnum):
    """PNG's colour types, with their numbers."""

    GRAY = 0
    RGB = 2
    PALETTE = 3
    GRAY_ALPHA = 4
    RGBA = 6


GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = Colour
CHANNELS: dict[int, int] = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS: dict[int, tuple[int, ...]] = {
    GRAY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GRAY_ALPHA: (8, 16),
    RGBA: (8, 16),
}
NAMES: dict[int, str] = {GRAY: "gray", RGB: "RGB", PALETTE: "palette", GRAY_ALPHA: "gray+alpha", RGBA: "RGBA"}

RESERVED = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
"""Ancillary chunks that are not metadata: transparency, which has its own field, and animation."""

MAX_CHUNKS = 1 << 16
"""Most chunks in a file's header."""
MAX_CHUNK_BYTES = 1 << 26
"""Limit on a picture's metadata and palette together, against files that claim memory that they never fill."""

Planes = NDArray[np.uint8]
Chunk = tuple[bytes, bytes]


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """Samples, and everything that says what they mean.

    `samples`: [H, W] (gray, palette) or [H, W, 2 to 4] (gray+alpha, RGB, RGBA), uint8 or, at 16 bits, uint16. Below 8
    bits, each sample is less than 2^depth. `palette`: uint8 [n, 3], an RGB for each sample value (for an RGB picture:
    PNG's suggested palette). `transparency`: the content of PNG's tRNS chunk: an opacity byte for each palette entry,
    or the transparent gray (2 bytes) or colour (6), big-endian. `chunks`: metadata as PNG's ancillary chunks, (type,
    content) in file order. `notes`: a line for each part of the file that its reader left out; equality ignores them.
    Raises UnsupportedImageError where the fields do not fit together.
    """

    samples: Samples
    depth: int = 8
    palette: NDArray[np.uint8] | None = None
    transparency: bytes = b""
    chunks: tuple[Chunk, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        for problem in _problems(self):
            raise UnsupportedImageError(problem)

    def __eq__(self, other: object) -> bool:
        """Whether every sample and every byte that a file keeps is the same; notes do not count."""
        if not isinstance(other, Picture):
            return NotImplemented
        return (self.depth, self.transparency, self.chunks) == (other.depth, other.transparency, other.chunks) and (
            np.array_equal(self.samples, other.samples)
            and (self.palette is None) == (other.palette is None)
            and (self.palette is None or other.palette is None or np.array_equal(self.palette, other.palette))
        )

    def __repr__(self) -> str:
        """One line: size, kind, and how much metadata."""
        height, width = self.samples.shape[:2]
        chunks = f", {len(self.chunks)} chunk{'s' * (len(self.chunks) != 1)} of metadata" if self.chunks else ""
        return f"<Picture of {width} x {height}, {self.mode}{chunks}>"

    @property
    def colour(self) -> Colour:
        """Its colour type, from its shape and whether it has a palette."""
        if self.samples.ndim == 2:
            return GRAY if self.palette is None else PALETTE
        return {2: GRAY_ALPHA, 3: RGB, 4: RGBA}[self.samples.shape[2]]

    @property
    def mode(self) -> str:
        """Its kind in words, as in "8-bit RGB", "1-bit gray" or "4-bit palette with transparency"."""
        return mode_name(self.colour, self.depth, bool(self.transparency))

    def stripped(self) -> "Picture":
        """The picture without metadata. Whatever gives the samples their meaning (palette, transparency) stays."""
        return replace(self, chunks=())

    def array(self) -> Samples:
        """The picture as one array, which may share memory: [H, W] gray or [H, W, 2 to 4], uint8 or uint16.

        Palette indices become RGB, or RGBA where an entry is not opaque; a transparent colour becomes an alpha channel;
        gray below 8 bits spans 0 to 255.
        """
        if self.samples.ndim == 2 and self.palette is not None:
            return self._coloured(self.palette)
        top = 2**self.depth - 1
        full = self.samples * np.uint8(255 // top) if self.depth < 8 else self.samples
        if not self.transparency:
            return full
        key = np.frombuffer(self.transparency, ">u2") & top
        stack = self.samples.reshape(*self.samples.shape[:2], -1)
        alpha = np.where((stack == key).all(axis=2), 0, max(top, 255)).astype(full.dtype)
        return np.dstack([full, alpha])

    def _coloured(self, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
        table = np.zeros((256, 4 if self.transparency else 3), np.uint8)
        table[: len(palette), :3] = palette
        if self.transparency:
            table[:, 3] = 255
            table[: len(self.transparency), 3] = np.frombuffer(self.transparency, np.uint8)
        coloured: NDArray[np.uint8] = table[self.samples]
        return coloured


def from_array(image: Any) -> Picture:
    """The picture of an array: [H, W] or [H, W, 1] gray, [H, W, C] with C = 2 (gray+alpha), 3 (RGB) or 4 (RGBA).

    uint8 and uint16 of any byte order are stored as they are; bool [H, W] becomes 1-bit gray, False black. Raises
    UnsupportedImageError, which says what to do, for anything else.
    """
    if not isinstance(image, np.ndarray):
        what = "None" if image is None else f"a {type(image).__name__}"
        like_array = hasattr(image, "__array_interface__") and not isinstance(image, np.generic)
        how = "numpy.asarray(image)" if like_array else "a NumPy array of uint8 or uint16"
        raise UnsupportedImageError(f"the image is {what}; pass {how}")
    if isinstance(image, np.ma.MaskedArray):
        raise UnsupportedImageError("the image is a masked array; pass image.filled(value)")
    kept = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    native = kept.dtype.newbyteorder("=")
    for problem in _array_problems(kept, native):
        raise UnsupportedImageError(problem)
    if native == np.bool_:
        return Picture(np.ascontiguousarray(kept, np.uint8), 1)
    return Picture(np.ascontiguousarray(kept, native), 8 * native.itemsize)


def _array_problems(image: NDArray[Any], native: np.dtype[Any]) -> list[str]:
    """Why an array is not a picture, and what to do; worst first."""
    samples = f"the image's samples are {image.dtype}"
    if native.kind == "f":
        return [f"{samples}; floats are not stored: scale to 0 to 255 and pass image.round().astype(np.uint8)"]
    if native not in (np.uint8, np.uint16, np.bool_):
        fits = native.kind in "iu" and image.size and image.min() >= 0 and image.max() <= 255
        to = "np.uint8)" if fits else "np.uint16), if its values are 0 to 65535"
        return [f"{samples}; uint8 and uint16 are stored: pass image.astype({to}"]
    if native == np.bool_ and image.ndim != 2:
        return [f"the image is bool of shape {image.shape}; pass [H, W] for 1-bit gray, or uint8"]
    if image.ndim == 3 and image.shape[0] <= 4 and image.shape[2] > 4:
        return [f"the image has shape {image.shape}; channels come last: pass np.moveaxis(image, 0, -1)"]
    return []


def check_size(height: int, width: int, planes: int, limit: int) -> None:
    """Raise UnsupportedImageError where a file claims more than `limit` samples of 8 bits (16 bits count twice)."""
    if height * width * planes > limit:
        raise UnsupportedImageError(
            f"the image has {height * width * planes} samples, more than the limit of {limit}; "
            "raise max_samples (--max-samples) if you trust the file"
        )


def mode_name(colour: int, depth: int, transparency: bool) -> str:
    """`Picture.mode` for these properties."""
    return f"{depth}-bit {NAMES[colour]}" + (" with transparency" if transparency else "")


def plane_groups(colour: int, depth: int) -> tuple[int, ...]:
    """How many planes go together: the colours, alpha, and at 16 bits the same again for the low bytes."""
    alone: dict[int, tuple[int, ...]] = {GRAY_ALPHA: (1, 1), RGBA: (3, 1)}
    groups = alone.get(colour, (CHANNELS[colour],))
    return groups * (2 if depth == 16 else 1)


def take_planes(samples: Samples, first: int, count: int) -> Planes:
    """Planes `first` to `first + count` of [H, W] or [H, W, C], as contiguous uint8 [H, W, count].

    Plane p is channel p, or at 16 bits the high byte of channel p or the low byte of channel p - C.
    """
    stack = samples.reshape(*samples.shape[:2], -1)
    if samples.dtype == np.uint16:
        channel, low = first % stack.shape[2], first >= stack.shape[2]
        part = stack[:, :, channel : channel + count]
        return np.ascontiguousarray((part if low else part >> 8).astype(np.uint8))
    return np.ascontiguousarray(stack[:, :, first : first + count])


def put_planes(samples: Samples, first: int, planes: Planes) -> None:
    """The inverse of `take_planes`: sets these planes of [H, W, C], whose 16-bit samples begin as zeros."""
    count = planes.shape[2]
    if samples.dtype == np.uint16:
        channel, low = first % samples.shape[2], first >= samples.shape[2]
        samples[:, :, channel : channel + count] |= planes if low else planes.astype(np.uint16) << 8
    else:
        samples[:, :, first : first + count] = planes


def _problems(picture: Picture) -> list[str]:
    """What is wrong; worst first."""
    samples, depth, palette = picture.samples, picture.depth, picture.palette
    if samples.dtype != (np.uint16 if depth == 16 else np.uint8):
        return [f"the image's samples are {samples.dtype}, which does not fit {depth} bits"]
    if samples.ndim != 2 and (samples.ndim != 3 or samples.shape[2] not in (2, 3, 4)):
        return [f"the image has shape {samples.shape}; pass [H, W] for gray, or [H, W, 2, 3 or 4]"]
    if samples.size == 0:
        return [f"the image has shape {samples.shape}: no pixels"]
    if depth not in DEPTHS[picture.colour]:
        return [f"{NAMES[picture.colour]} with {depth} bits is not stored"]
    if depth < 8 and samples.max() >> depth:
        return [f"the image has samples of more than {depth} bits"]
    for kind, _ in picture.chunks:
        if len(kind) != 4 or not kind.isalpha() or not kind[:1].islower() or kind in RESERVED:
            return [f"{kind!r} is not a chunk of metadata"]
    if sum(16 + len(content) for _, content in picture.chunks) > MAX_CHUNK_BYTES - (1 << 12):  # there is a palette, too
        return [f"more than {MAX_CHUNK_BYTES} bytes of metadata; strip it"]
    if len(picture.chunks) + (palette is not None) + bool(picture.transparency) > MAX_CHUNKS:
        return [f"{len(picture.chunks):,} chunks of metadata, more than {MAX_CHUNKS:,}; take some out of the file"]
    return [*_palette_problems(picture, palette), *_transparency_problems(picture)]


def _palette_problems(picture: Picture, palette: NDArray[np.uint8] | None) -> list[str]:
    if palette is None:
        return []
    entries = 1 << picture.depth if picture.colour == PALETTE else 256
    if palette.dtype != np.uint8 or palette.ndim != 2 or palette.shape[1] != 3 or not 1 <= len(palette) <= entries:
        return [f"the palette is not 1 to {entries} RGB colours"]
    return ["gray+alpha has no palette"] if picture.colour == GRAY_ALPHA else []


def _transparency_problems(picture: Picture) -> list[str]:
    palette, length = picture.palette, len(picture.transparency)
    most = len(palette) if palette is not None else 0
    fits = {GRAY: length in (0, 2), RGB: length in (0, 6), PALETTE: length <= most}.get(picture.colour, length == 0)
    return [] if fits else [f"a transparency of {length} bytes does not fit {NAMES[picture.colour]}"]
