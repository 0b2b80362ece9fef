"""Every kind of samples in every format that is read: equal to a second reader's and to what was written, or refused.

The files come from Pillow, tifffile, imagecodecs and `makers.py`; the second readers are imagecodecs (libtiff, libpng,
libwebp), tifffile and, where it is right, Pillow.
"""

import io
import struct
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import UnsupportedImageError

from .makers import bmp_bytes, run_bytes, tiff_bytes

HEIGHT, WIDTH = 7, 21
"""Odd sizes: rows end inside of bytes, strips and tiles inside of the picture."""


def noise(bits: int, channels: int = 1) -> np.ndarray:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    rng = np.random.default_rng(bits * 10 + channels)
    return rng.integers(0, 2**bits, shape).astype(np.uint16 if bits > 8 else np.uint8)


def colours(bits: int) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 256, (2**bits, 3), np.uint8)


# --- TIFF -------------------------------------------------------------------------------------------------------

LAYOUTS: list[dict[str, Any]] = [
    {"rows": rows, "tile": tile, "deflate": deflate, "planar": planar, "order": order, "big": big, "reverse": reverse}
    for rows, tile in ((None, 0), (3, 0), (None, 16))
    for deflate, planar, order, big, reverse in product(
        (False, True), (False, True), "<>", (False, True), (False, True)
    )
]

READ = [(0, b, 1, ()) for b in (1, 2, 4, 8, 16)] + [(1, b, 1, ()) for b in (1, 2, 4, 8, 16)]
READ += [(3, b, 1, ()) for b in (1, 2, 4, 8)] + [(1, 8, 2, (2,))]
READ += [(2, bits, channels, (2,) * (channels - 3)) for bits in (8, 16) for channels in (3, 4)]
REFUSED = [
    (1, 12, 1, ()),
    (1, 3, 1, ()),
    (1, 16, 2, (2,)),
    (0, 8, 2, (2,)),
    (1, 8, 2, (0,)),
    (3, 16, 1, ()),
    (2, 4, 3, ()),
]
REFUSED += [(2, 8, 4, extra) for extra in ((), (0,), (1,))] + [(2, 16, 4, (1,)), (2, 8, 5, (2, 0))]
REFUSED += [(4, 1, 1, ()), (5, 8, 4, ()), (6, 8, 3, ()), (8, 8, 3, ()), (32803, 16, 1, ()), (9, 8, 3, ())]


def is_told(layout: dict[str, Any], photometric: int, bits: int, channels: int) -> bool:
    """Whether a layout is one of those that are refused by name."""
    backwards = layout["reverse"] and (bits > 1 or layout["deflate"] or photometric == 3)
    return backwards or (layout["big"] and layout["order"] == ">") or (layout["planar"] and channels == 2)


@pytest.mark.parametrize("kind", READ, ids=str)
def test_tiffs_are_read_as_they_are_in_every_layout(kind: tuple[int, int, int, tuple[int, ...]]) -> None:
    photometric, bits, channels, extra = kind
    samples, palette = noise(bits, channels), colours(bits) if photometric == 3 else None
    read = 0
    for layout in LAYOUTS:
        if layout["planar"] and channels == 1:
            continue
        data = tiff_bytes(samples, photometric=photometric, bits=bits, extra=extra, palette=palette, **layout)
        if is_told(layout, photometric, bits, channels):
            with pytest.raises(UnsupportedImageError, match="reverse order|big-endian BigTIFF|planes of their own"):
                files.parse(data)
            continue
        picture = files.parse(data)
        white = photometric == 0
        assert picture == Picture(samples ^ np.array(2**bits - 1, samples.dtype) if white else samples, bits, palette)
        second = tifffile.imread(io.BytesIO(data))
        assert np.array_equal(np.moveaxis(second, 0, -1) if layout["planar"] else second, samples)
        read += 1
    assert read >= 18


@pytest.mark.parametrize("kind", REFUSED, ids=str)
def test_other_tiffs_are_refused_by_name(kind: tuple[int, int, int, tuple[int, ...]]) -> None:
    photometric, bits, channels, extra = kind
    palette = colours(bits) if photometric == 3 else None
    data = tiff_bytes(noise(bits, channels), photometric=photometric, bits=bits, extra=extra, palette=palette)
    with pytest.raises(UnsupportedImageError, match="a TIFF with .*; not stored: convert it to PNG"):
        files.parse(data)


@pytest.mark.parametrize(
    ("dtype", "told"),
    [
        ("i1", "signed"),
        ("i2", "signed"),
        ("f2", "floats"),
        ("f4", "floats"),
        ("f8", "floats"),
        ("c8", "complex floats"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", "<>")
def test_numbers_that_are_no_samples_are_refused_by_name(dtype: str, told: str, channels: int, order: str) -> None:
    file = io.BytesIO()
    photometric = "rgb" if channels == 3 else "minisblack"
    samples = noise(7, channels).astype(np.dtype(dtype).newbyteorder(order))
    tifffile.imwrite(file, samples, photometric=photometric, byteorder=order)
    with pytest.raises(UnsupportedImageError, match=f"{told}.* are not stored"):
        files.parse(file.getvalue())


COMPRESSIONS = [(None, False), ("packbits", False), *product(("lzw", "zlib", "deflate", "zstd", "lzma"), (False, True))]


@pytest.mark.parametrize(("compression", "predictor"), COMPRESSIONS)
def test_tiffs_of_tifffile(compression: str | None, predictor: bool) -> None:
    for (bits, channels), order, tile, big in product(
        [(8, 1), (16, 1), (8, 2), (8, 3), (16, 3), (8, 4), (16, 4)], "<>", (None, (16, 16)), (False, True)
    ):
        samples = noise(bits, channels)
        file = io.BytesIO()
        options: dict[str, Any] = {"compression": compression, "predictor": predictor, "byteorder": order, "tile": tile}
        options |= {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
        options |= {} if tile else {"rowsperstrip": 3}
        stored, photometric = samples.astype(samples.dtype.newbyteorder(order)), "rgb" if channels > 2 else "minisblack"
        tifffile.imwrite(file, stored, photometric=photometric, bigtiff=big, metadata=None, **options)
        if (bits, channels) == (16, 2):
            with pytest.raises(UnsupportedImageError, match="2 samples of 16 bits|big-endian BigTIFF"):
                files.parse(file.getvalue())
            continue
        if big and order == ">":
            with pytest.raises(UnsupportedImageError, match="big-endian BigTIFF"):
                files.parse(file.getvalue())
            continue
        assert np.array_equal(files.parse(file.getvalue()).samples, samples), (bits, channels, order, tile)
        assert np.array_equal(imagecodecs.tiff_decode(file.getvalue()).reshape(samples.shape), samples)


MODES = ["1", "L", "P", "LA", "I;16", "RGB", "RGBA"]


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        *product(MODES, (None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd")),
        *product(["1"], ("group3", "group4", "tiff_ccitt")),
    ],
)
def test_tiffs_of_pillow(mode: str, compression: str | None) -> None:
    image = Image.fromarray(noise(8, 3)).convert("L" if mode == "I;16" else mode).convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    picture, second = files.parse(file.getvalue()), tifffile.imread(io.BytesIO(file.getvalue()))
    assert np.array_equal(picture.samples, second)
    if mode == "P":
        assert np.array_equal(picture.array(), np.array(image.convert("RGB")))
    else:
        assert np.array_equal(picture.samples, np.array(image))


def read_again(data: bytes, suffix: str, picture: Picture) -> np.ndarray:
    """What a second reader makes of a file: values as `Picture.array` has them."""
    if suffix in (".png", ".webp"):
        return imagecodecs.png_decode(data) if suffix == ".png" else imagecodecs.webp_decode(data)
    if suffix == ".tif":
        samples = tifffile.imread(io.BytesIO(data))
        return samples * np.uint8(255) if picture.depth == 1 else samples
    if (suffix, picture.depth) == (".ppm", 16):  # Pillow reads 8 bits of it
        return np.frombuffer(data[-picture.samples.nbytes :], ">u2")
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("L") if picture.depth < 8 else image)


@pytest.mark.parametrize(
    ("suffix", "kinds"),
    [(".tif", 8), (".bmp", 5), (".png", 11), (".pbm", 1), (".pgm", 2), (".ppm", 2), (".webp", 2)],
)
def test_a_second_reader_reads_what_we_write(suffix: str, kinds: int) -> None:
    written = 0
    for bits, channels in [*product((1, 2, 4), [1]), *product((8, 16), (1, 2, 3, 4))]:
        picture, file = Picture(noise(bits, channels), bits), io.BytesIO()
        try:
            files.write(file, picture, suffix)
        except UnsupportedImageError:
            continue
        written += 1
        assert files.parse(file.getvalue()) == picture
        second = read_again(file.getvalue(), suffix, picture)
        assert np.array_equal(second.reshape(picture.array().shape), picture.array()), (bits, channels)
    assert written == kinds


# --- BMP --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize(("size", "top_down"), [(12, False), *product((40, 52, 56, 64, 108, 124), (False, True))])
def test_bmps_with_palettes(bits: int, size: int, top_down: bool) -> None:
    for entries in {2, 2**bits // 2 + 1, 2**bits}:
        palette, samples = colours(bits)[:entries], noise(bits).astype(np.uint16) % entries
        used = 0 if entries == 2**bits else entries
        data = bmp_bytes(samples, bits, palette=palette, used=used, size=size, top_down=top_down)
        assert files.parse(data) == Picture(samples.astype(np.uint8), bits, palette)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmps_of_gray(bits: int) -> None:
    """The whole gray scale is gray; its negative, and other grays, are palettes."""
    gray = np.repeat((np.arange(2**bits) * 255 // (2**bits - 1)).astype(np.uint8)[:, None], 3, axis=1)
    samples = noise(bits)
    assert files.parse(bmp_bytes(samples, bits, palette=gray)) == Picture(samples, bits)
    assert files.parse(bmp_bytes(samples, bits, palette=gray[::-1])) == Picture(samples, bits, gray[::-1])
    identity = np.repeat(np.arange(2**bits, dtype=np.uint8)[:, None], 3, axis=1)
    if bits < 8:
        assert files.parse(bmp_bytes(samples, bits, palette=identity)) == Picture(samples, bits, identity)
    with pytest.raises(UnsupportedImageError, match="a palette that is the gray scale"):
        files.write(io.BytesIO(), Picture(samples, bits, gray), ".bmp")


@pytest.mark.parametrize(
    ("order", "size", "compression"),
    [
        *product(["RGB", "BGR"], (40, 52, 56, 108, 124), [3]),
        *product(["RGBA", "BGRA", "ARGB", "ABGR"], (56, 108, 124), [3]),
        *product(["RGBA", "BGRA", "ARGB", "ABGR", "RGB"], [40], [6]),
    ],
)
def test_bmps_with_masks(order: str, size: int, compression: int) -> None:
    pixels = noise(8, 4)
    places = [order.index(channel) for channel in "RGBA"[: len(order)]]
    masks = tuple(0xFF << 8 * place for place in places)
    count = 4 if size >= 56 or compression == 6 else 3
    if "A" not in order:
        pixels[:, :, 3] = 0
    data = bmp_bytes(pixels, 32, size=size, compression=compression, masks=(*masks, 0)[:count])
    assert np.array_equal(files.parse(data).samples, pixels[:, :, places])


def test_bmps_of_32_bits_without_masks() -> None:
    pixels = noise(8, 4)
    with pytest.raises(UnsupportedImageError, match="fourth byte may be alpha"):
        files.parse(bmp_bytes(pixels, 32))
    for fourth, noted in ((0, 0), (255, 1)):
        pixels[:, :, 3] = fourth
        picture = files.parse(bmp_bytes(pixels, 32))
        assert np.array_equal(picture.samples, pixels[:, :, 2::-1]) and len(picture.notes) == noted


@pytest.mark.parametrize(("bits", "seed"), [*product((4, 8), range(5))])
def test_bmps_of_run_lengths(bits: int, seed: int) -> None:
    samples = noise(bits) % 3
    runs = run_bytes(samples, bits, seed)
    data = bmp_bytes(samples, bits, palette=colours(bits), compression={8: 1, 4: 2}[bits], runs=runs)
    assert files.parse(data) == Picture(samples, bits, colours(bits))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.array(image.convert("RGB")), files.parse(data).array())


def run_bmp(runs: bytes) -> bytes:
    """3 × 2 pixels of run lengths of bytes; they should be 3, 3 and the end."""
    return bmp_bytes(np.zeros((2, 3), np.uint8), 8, palette=colours(8), compression=1, runs=runs)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (bmp_bytes(noise(16), 16), "5 or 6 bits a colour"),
        (bmp_bytes(noise(16), 16, compression=3, masks=(0xF800, 0x7E0, 0x1F)), "5 or 6 bits a colour"),
        (bmp_bytes(noise(8, 4), 32, compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF)), "not whole bytes"),
        (bmp_bytes(noise(8, 4), 32, compression=3, masks=(0xFF, 0xFF, 0xFF)), "not whole bytes"),
        (bmp_bytes(noise(4), 4, palette=colours(4), compression=1), "run lengths of 8 bits where they cannot be"),
        (bmp_bytes(noise(8), 8, palette=colours(8), compression=1, top_down=True), "where they cannot be"),
        (run_bmp(b"\x02\1\0\0\x03\1\0\1"), "leave pixels out"),
        (run_bmp(b"\0\2\1\1\2\1\0\1"), "leave pixels out"),
        (run_bmp(b"\x03\1\0\1"), "leave pixels out"),
        (run_bmp(b"\x04\1\0\0\x03\1\0\1"), "leave the picture"),
        (run_bmp(b"\x03\1\0\0" * 3), "leave the picture"),
        (run_bmp(b"\x03\1\0\0\x03\1"), "it is cut short"),
        (run_bmp(b"\x03\1\0\0\0\3\1"), "it is cut short"),
        (bmp_bytes(noise(8, 3), 24, compression=4), "a JPEG inside"),
        (bmp_bytes(noise(8, 3), 24, compression=5), "a PNG inside"),
        (bmp_bytes(noise(2), 2, palette=colours(2)), "2 bits a pixel"),
        (bmp_bytes(noise(8, 3), 24, size=41), "a header of 41 bytes"),
        (bmp_bytes(noise(8, 3), 24)[:30], "header is cut short"),
        (bmp_bytes(noise(8, 3), 24)[:-5], "it is cut short"),
        (bmp_bytes(noise(8), 8, palette=colours(8)[:9]), "palette is cut short"),
        (b"BM" + bytes(100), "a header of 0 bytes"),
    ],
    ids=range(21),
)
def test_other_bmps_are_refused_by_name(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        files.parse(data)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmps_of_pillow(mode: str) -> None:
    image = Image.fromarray(noise(8, 4)).convert("RGB" if mode == "P" else mode).convert(mode)
    file = io.BytesIO()
    image.save(file, "BMP")
    picture = files.parse(file.getvalue())
    expected = np.array(image.convert("RGB") if mode == "P" else image)
    assert np.array_equal(picture.array(), expected * np.uint8(255) if mode == "1" else expected)


# --- WebP and PNG -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("writer", ["Pillow", "imagecodecs", "ours"])
def test_lossless_webps(channels: int, opaque: bool, writer: str) -> None:
    samples = noise(8, channels)
    if opaque and channels == 4:
        samples[:, :, 3] = 255
    file = io.BytesIO()
    if writer == "Pillow":
        Image.fromarray(samples).save(file, "WEBP", lossless=True, exact=True)
    elif writer == "imagecodecs":
        file.write(imagecodecs.webp_encode(samples, lossless=True))
    else:
        files.write(file, Picture(samples), ".webp")
    picture = files.parse(file.getvalue())
    if writer == "ours":
        assert picture == Picture(samples)
    second = imagecodecs.webp_decode(file.getvalue())
    assert np.array_equal(picture.samples, second) and np.array_equal(picture.samples[:, :, :3], samples[:, :, :3])


@pytest.mark.parametrize("channels", [3, 4])
def test_lossy_webps_are_read_where_asked(channels: int) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(8, channels)).save(file, "WEBP", quality=50)
    with pytest.raises(UnsupportedImageError, match="a lossy WebP"):
        files.parse(file.getvalue())
    assert np.array_equal(files.parse(file.getvalue(), lossy=True).samples, imagecodecs.webp_decode(file.getvalue()))


def riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


@pytest.mark.parametrize(("frames", "flags", "told"), [(1, 0x12, ""), (2, 0x12, "2 frames"), (1, 0x02, "no alpha")])
def test_animated_webps_of_one_frame_are_one_picture(frames: int, flags: int, told: str) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(8, 4)).save(file, "WEBP", lossless=True, exact=True)
    sides = [(side - 1).to_bytes(3, "little") for side in (WIDTH, HEIGHT)]
    frame = riff(b"ANMF", bytes(6) + sides[0] + sides[1] + bytes(3) + b"\2" + file.getvalue()[12:])
    header = riff(b"VP8X", bytes([flags, 0, 0, 0]) + sides[0] + sides[1])
    data = riff(b"RIFF", b"WEBP" + header + riff(b"ANIM", bytes(6)) + frame * frames)
    if told:
        with pytest.raises(UnsupportedImageError, match=told):
            files.parse(data)
    else:
        assert files.parse(data) == Picture(noise(8, 4))


@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (8, 2), (8, 3), (8, 4), (16, 1), (16, 2), (16, 3), (16, 4)])
@pytest.mark.parametrize("level", [0, 9])
def test_pngs_of_imagecodecs(bits: int, channels: int, level: int) -> None:
    samples = noise(bits, channels)
    assert np.array_equal(files.parse(imagecodecs.png_encode(samples, level=level)).samples, samples)
