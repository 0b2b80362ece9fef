"""A TIFF file's directories: which one is the picture, and what samples it has.

Nothing here decodes. Pillow and tifffile see a file only after this module knows what is in it.
"""

import json
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ...errors import UnsupportedImageError

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""TIFF, and BigTIFF, little- and big-endian."""

NEW_SUBFILE, SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION = (
    254, 255, 256, 257, 258, 259, 262, 266, 270,
)  # fmt: skip
STRIPS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR, PREDICTOR, COLOUR_MAP = 273, 277, 278, 279, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, SUB_IFDS, EXTRA, FORMAT = 322, 323, 324, 325, 330, 338, 339
DEPTH, TILE_DEPTH = 32997, 32998
_PRIVATE = (34665, 34853, 40965)
"""Exif, GPS and interoperability: directories that describe the picture."""

WHITE_IS_ZERO, BLACK_IS_ZERO, COLOURS, INDICES = range(4)
NO_COMPRESSION, FAX, JPEGS = 1, (2, 3, 4), (6, 7, 34892)
_LOSSLESS = (NO_COMPRESSION, *FAX, 5, 8, 32773, 32946, 34925, 50000)
"""None, CCITT's three, LZW, Deflate, PackBits, old Deflate, LZMA, Zstandard."""
_DEFLATE, _LZMA = (8, 32946), 34925
_MORE_BYTES = 1 << 16
"""Bytes that follow the samples in a strip without harm."""
_REVERSED = (NO_COMPRESSION, *FAX)
"""Compressions that are read with the bits of every byte in reverse order, too."""
_PREDICTED = (5, 8, 32946, 34925, 50000)
"""Compressions that may hold differences from pixel to pixel instead of values."""

_OTHER_SAMPLES = {
    4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a camera's raw pixels",
    32844: "LogL", 32845: "LogLuv", 34892: "a camera's raw pixels",
}  # fmt: skip
_OTHER_FORMATS = {2: "signed samples", 3: "floats", 5: "complex integers", 6: "complex floats"}
_ALPHA, _MULTIPLIED_ALPHA = 2, 1
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Field type -> bytes of a value."""
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Field type -> struct's code, for the types that are whole numbers from 0 on."""
_ASCII = 2
_MOST_ENTRIES = 1 << 16
"""Most entries of all directories together, against files whose directories overlap."""

_CONVERT = "convert it to PNG first, if that loses nothing you need"


@dataclass(frozen=True)
class Directory:
    """One IFD: where it stands, where the pointer to the next one stands, and its entries.

    `tags`: tag -> type, number of values, and where they stand inside `data`. Values are read only when they are asked
    for: a hostile file has many large ones in the same place.
    """

    data: bytes
    at: int
    next_at: int
    tags: dict[int, tuple[int, int, int]]

    def numbers(self, tag: int, default: tuple[int, ...] = (), most: int | None = None) -> tuple[int, ...]:
        """The values of a numeric tag, or the first `most` of them."""
        kind, count, at = self.tags.get(tag, (0, 0, 0))
        count = count if most is None else min(count, most)
        if kind not in _CODES or not count:
            return default
        return struct.unpack_from(f"{_order(self.data)[0]}{count}{_CODES[kind]}", self.data, at)

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return self.numbers(tag, (default,), 1)[0]

    def text(self, tag: int) -> bytes:
        """The bytes of a text tag."""
        kind, count, at = self.tags.get(tag, (0, 0, 0))
        return self.data[at : at + count] if kind == _ASCII else b""

    def places(self) -> list[int]:
        """Where the directory begins, and where its values that stand elsewhere do."""
        return [self.at, *(at for _, _, at in self.tags.values() if not self.at <= at < self.next_at)]


@dataclass(frozen=True)
class Layout:
    """How a directory stores its samples; all of it is readable."""

    height: int
    width: int
    photometric: int
    bits: int
    channels: int
    planar: bool


def all_directories(data: bytes) -> list[Directory]:
    """The directories in the file's chain, then those below them. UnsupportedImageError for a damaged file."""
    if data.startswith(MAGICS[3]):
        raise UnsupportedImageError(f"a big-endian BigTIFF; not read: {_CONVERT}")
    pages: dict[int, Directory] = {}
    entries = 0

    def take(at: int) -> Directory:
        nonlocal entries
        if at in pages:
            raise _unreadable("its directories go in circles")
        pages[at] = page = _directory(data, at)
        entries += 1 + len(page.tags)
        if entries > _MOST_ENTRIES:
            raise UnsupportedImageError("too many frames; one image is stored: save the frames one by one")
        return page

    at = _pointer(data, _first_at(data))
    while at:
        at = _pointer(data, take(at).next_at)
    if not pages:
        raise _unreadable("it has no image")
    for page in list(pages.values()):
        for at in page.numbers(SUB_IFDS, (), _MOST_ENTRIES):
            take(at)
    return list(pages.values())


def main_image(pages: list[Directory]) -> Directory:
    """The directory of the one picture.

    Raises UnsupportedImageError where there are several pictures, or parts that cannot be left out.
    """
    if any(page.number(NEW_SUBFILE, 0) & _MASK for page in pages) and len(pages) > 1:
        raise UnsupportedImageError(f"a TIFF with a transparency mask beside its image; not stored: {_CONVERT}")
    whole = pages if len(pages) == 1 else [page for page in pages if not _is_reduced(page)]
    if len(whole) != 1:
        raise UnsupportedImageError(f"{len(whole)} frames; one image is stored: save the frames one by one")
    return whole[0]


def with_black_zero(data: bytes, page: Directory) -> bytes:
    """The file with its samples called BlackIsZero: libraries invert some kinds of the other, and not others."""
    order, big = _order(data)
    size, first = (20, page.at + 8) if big else (12, page.at + 2)
    changed = bytearray(data)
    for place in range(first, page.next_at, size):
        if struct.unpack_from(order + "H", data, place)[0] == PHOTOMETRIC:
            kind = struct.unpack_from(order + "H", data, place + 2)[0]
            struct.pack_into(order + _CODES[kind], changed, place + size - (8 if big else 4), BLACK_IS_ZERO)
    return bytes(changed)


def layout(page: Directory) -> Layout:
    """The samples of a directory. UnsupportedImageError, by name, for kinds that are not read."""
    if page.number(COMPRESSION, 1) in JPEGS:
        raise UnsupportedImageError("a TIFF with a JPEG inside, which takes less space than its pixels would: keep it")
    for kind in sorted({*page.numbers(FORMAT, (1,))} - {1}):
        raise UnsupportedImageError(
            f"{_OTHER_FORMATS.get(kind, 'samples of no known kind')} are not stored: {_CONVERT}"
        )
    for what in _foreign(page):
        raise UnsupportedImageError(f"a TIFF with {what}; not stored: {_CONVERT}")
    channels = page.number(SAMPLES, 1)
    found = Layout(
        page.number(HEIGHT, 0),
        page.number(WIDTH, 0),
        page.number(PHOTOMETRIC, -1),
        page.number(BITS, 1),
        channels,
        channels > 1 and page.number(PLANAR, 1) == 2,
    )
    _check_strips(page, found)
    return found


def _foreign(page: Directory) -> Iterator[str]:
    """What a TIFF has that is not read, worst first."""
    photometric, bits = page.number(PHOTOMETRIC, -1), page.numbers(BITS, (1,))
    channels, extra = page.number(SAMPLES, 1), page.numbers(EXTRA)
    compression = page.number(COMPRESSION, NO_COMPRESSION)
    if page.number(DEPTH, 1) > 1 or page.number(TILE_DEPTH, 1) > 1:
        yield f"a volume of {page.number(DEPTH, 1)} slices"
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, COLOURS, INDICES):
        yield _OTHER_SAMPLES.get(photometric, "samples whose meaning it does not say")
    if compression not in _LOSSLESS:
        yield f"compression {compression}"
    if len({*bits}) > 1:
        yield "channels of several depths"
    if _MULTIPLIED_ALPHA in extra:
        yield "colours multiplied by alpha"
    if photometric == COLOURS and channels > 3 and not extra:
        yield f"{channels} samples a pixel, and no word of what the last one is"
    if (photometric, bits[0], channels, extra) not in _KINDS:
        yield f"{channels} samples of {bits[0]} bits a pixel, photometric {photometric}, extra samples {[*extra]}"
    if page.number(FILL_ORDER, 1) != 1 and not (bits[0] == 1 and photometric != INDICES and compression in _REVERSED):
        yield "its bits in reverse order"
    if page.number(PLANAR, 1) == 2 and channels == 2:
        yield "gray and alpha in planes of their own"
    predictor = page.number(PREDICTOR, 1)
    if predictor != 1 and (predictor != 2 or bits[0] not in (8, 16) or compression not in _PREDICTED):
        yield f"predictor {predictor} of {bits[0]} bits"
    if compression in FAX and (bits[0], channels) != (1, 1):
        yield "fax compression of more than one bit"
    if photometric == INDICES and len(page.numbers(COLOUR_MAP)) != 3 << bits[0]:
        yield "a palette of another length"
    if any(value % 257 and value % 256 for value in page.numbers(COLOUR_MAP)):
        yield "a palette of 16 bits a colour"


_KINDS = {
    *((photometric, bits, 1, ()) for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) for bits in (1, 2, 4, 8, 16)),
    *((INDICES, bits, 1, ()) for bits in (1, 2, 4, 8)),
    (BLACK_IS_ZERO, 8, 2, (_ALPHA,)),
    *((COLOURS, bits, 3, ()) for bits in (8, 16)),
    *((COLOURS, bits, 4, (_ALPHA,)) for bits in (8, 16)),
}
"""Photometric interpretation, bits, samples a pixel and what the extra ones are, of all that is read."""


def _unreadable(why: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"not a TIFF that can be read ({why})")


def _is_reduced(page: Directory) -> bool:
    return bool(page.number(NEW_SUBFILE, 0) & _REDUCED) or page.number(SUBFILE, 1) == _OLD_REDUCED


def _order(data: bytes) -> tuple[str, bool]:
    """struct's sign for the byte order, and whether the file is a BigTIFF."""
    return "<" if data[:1] == b"I" else ">", data[2:4] in (b"+\0", b"\0+")


def _first_at(data: bytes) -> int:
    """Where the pointer to the first directory stands."""
    return 8 if _order(data)[1] else 4


def _pointer(data: bytes, at: int) -> int:
    order, big = _order(data)
    try:
        where: int = struct.unpack_from(order + ("Q" if big else "I"), data, at)[0]
    except struct.error as error:
        raise _unreadable("it is cut short") from error
    return min(where, len(data))  # no place that struct cannot name


def _directory(data: bytes, at: int) -> Directory:
    """The IFD at a place. Every value lies inside the file."""
    order, big = _order(data)
    size, room, count_code, entry_code = (20, 8, "Q", "HHQ") if big else (12, 4, "H", "HHI")
    tags = {}
    try:
        (count,) = struct.unpack_from(order + count_code, data, at)
        first = at + struct.calcsize(order + count_code)
        if first + size * count + room > len(data):
            raise _unreadable("it is cut short")
        for place in range(first, first + size * count, size):
            tag, kind, many = struct.unpack_from(order + entry_code, data, place)
            length, value_at = _SIZES.get(kind, 1) * many, place + size - room
            if length > room:
                value_at = _pointer(data, value_at)
                if value_at + length > len(data):
                    raise _unreadable("a value lies outside of the file")
            if tag in tags:
                raise _unreadable(f"tag {tag} comes twice")
            tags[tag] = kind, many, value_at
    except struct.error as error:
        raise _unreadable("it is cut short") from error
    return Directory(data, at, first + size * count, tags)


def alone(data: bytes, page: Directory) -> bytes:
    """The file with this directory as its first and only one."""
    order, big = _order(data)
    code = order + ("Q" if big else "I")
    changed = bytearray(data)
    struct.pack_into(code, changed, _first_at(data), page.at)
    struct.pack_into(code, changed, page.next_at, 0)
    return bytes(changed)


def _sections(page: Directory) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the strips or tiles begin, and how long they are."""
    tiled = TILES in page.tags or TILE_WIDTH in page.tags
    return page.numbers(TILES if tiled else STRIPS), page.numbers(TILE_BYTES if tiled else STRIP_BYTES)


def _check_strips(page: Directory, found: Layout) -> None:
    """Checks that there are as many strips or tiles as the picture needs."""
    if not (found.height and found.width):
        raise _unreadable(f"a size of {found.width} x {found.height}")
    planes = found.channels if found.planar else 1
    if TILE_WIDTH in page.tags:
        across, down = page.number(TILE_WIDTH, 0), page.number(TILE_HEIGHT, 0)
        if not (across and down):
            raise _unreadable("tiles of no size")
        needed = -(-found.width // across) * -(-found.height // down) * planes
    else:
        rows = page.number(ROWS_PER_STRIP, found.height)
        needed = -(-found.height // min(rows, found.height)) * planes if rows else 0
    starts, lengths = _sections(page)
    if len(starts) != needed or len(lengths) not in (needed, 0) or (not lengths and needed > 1):
        raise _unreadable(f"{len(starts)} strips or tiles where the picture has {needed}")


def padded_size(page: Directory, found: Layout) -> tuple[int, int]:
    """Height and width that a decoder makes room for: the picture's, rounded up to whole tiles."""
    if TILE_WIDTH not in page.tags:
        return found.height, found.width
    across, down = page.number(TILE_WIDTH, 0), page.number(TILE_HEIGHT, 0)
    return -(-found.height // down) * down, -(-found.width // across) * across


def check_unpacked(page: Directory, found: Layout) -> None:
    """Refuse strips or tiles that unpack, from Deflate or LZMA, to far more samples than the picture has."""
    compression = page.number(COMPRESSION, NO_COMPRESSION)
    if compression not in (*_DEFLATE, _LZMA):
        return
    height, width = padded_size(page, found)
    most = height * width * found.channels * found.bits // 8 + _MORE_BYTES
    for start, length in zip(*_sections(page), strict=False):
        stream = zlib.decompressobj() if compression in _DEFLATE else lzma.LZMADecompressor()
        with suppress(zlib.error, lzma.LZMAError):  # the decoder will say so
            if len(stream.decompress(page.data[start : start + length], most + 1)) > most:
                raise _unreadable("more samples than the picture has")


def check_slices(data: bytes, page: Directory, pages: list[Directory]) -> None:
    """Refuse a directory that stands for several slices, and one whose samples are not all there."""
    starts, lengths = _sections(page)
    ends = [start + length for start, length in zip(starts, lengths, strict=False)]
    if any(end > len(data) for end in ends):
        raise _unreadable("it is cut short")
    size = _raw_bytes(page)
    slices = max(_described_slices(page), _slices_behind(data, size, ends, pages, sum(lengths) - size, page))
    if slices > 1:
        raise UnsupportedImageError(f"a TIFF of {slices} slices; one image is stored: save the slices one by one")


def _raw_bytes(page: Directory) -> int:
    """Bytes of the picture's samples without compression."""
    row = (page.number(WIDTH, 0) * page.number(SAMPLES, 1) * page.number(BITS, 1) + 7) // 8
    return page.number(HEIGHT, 0) * row


def _described_slices(page: Directory) -> int:
    """Slices that ImageJ or tifffile describe, where these have no directories of their own."""
    text = page.text(DESCRIPTION)[:_LONGEST_TEXT]
    counted = re.search(rb"^images=(\d{1,9})\s*$", text, re.MULTILINE) if text.startswith(b"ImageJ=") else None
    if counted:
        return int(counted[1])
    if not text.startswith(b'{"shape"'):
        return 1
    try:
        shape = json.loads(text.rstrip(b"\0"))["shape"]
        size = 1
        for side in shape:
            size *= int(side)
    except (ValueError, KeyError, TypeError, RecursionError):
        return 1
    return size // max(1, page.number(HEIGHT, 0) * page.number(WIDTH, 0) * page.number(SAMPLES, 1))


_LONGEST_TEXT = 1 << 12
_LEAST = 8
"""Fewer bytes than this after the samples are padding."""


def _slices_behind(
    data: bytes, size: int, ends: list[int], pages: list[Directory], excess: int, page: Directory
) -> int:
    """Slices in uncompressed strips, and slices after them in bytes that nothing in the file points to."""
    if page.number(COMPRESSION, NO_COMPRESSION) != NO_COMPRESSION or not ends or not size or TILE_WIDTH in page.tags:
        return 1
    if excess < 0 and page.numbers(STRIP_BYTES):
        raise _unreadable("its strips are cut short")
    if excess >= max(size, _LEAST):
        return 1 + excess // size
    last = max(ends)
    taken = [start for other in pages for start in (*other.places(), *_sections(other)[0])]
    for tag in _PRIVATE:
        with suppress(UnsupportedImageError):  # a damaged description is no slice
            taken += _directory(data, page.number(tag, 0)).places() if tag in page.tags else []
    behind = min([start for start in taken if start >= last], default=len(data)) - last
    return 1 + behind // size if behind >= max(size, _LEAST) else 1
