"""TIFF directories: which of them is the picture, slices that hide behind one, and files that contradict themselves."""

import io
import lzma
import struct
import sys
import warnings
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from shearloc.codec.pictures import directories, files, metadata, tiff
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import UnsupportedImageError

from . import makers
from .makers import tiff_bytes


def test_tiles_far_larger_than_the_picture_are_refused() -> None:
    """Decoders make room for a whole tile. Found by tests.fuzz: a bit of the tile's height was flipped."""
    noise = np.random.default_rng(0).integers(0, 65536, (7, 9, 3), np.uint16)
    for bits, samples in ((8, noise.astype(np.uint8)), (16, noise)):
        data = tiff_bytes(samples, photometric=2, bits=bits, tile=16, deflate=True)
        assert np.array_equal(tiff.read(data, 16 * 16 * 3 * bits // 8).samples, samples)
        side = struct.pack("<HHII", 323, 4, 1, 16)
        assert data.count(side) == 1
        with pytest.raises(UnsupportedImageError, match="more than the limit"):
            tiff.read(data.replace(side, struct.pack("<HHII", 323, 4, 1, 16 + (1 << 24))))


@pytest.mark.parametrize("compression", [8, 34925])
@pytest.mark.parametrize("codecs", [True, False], ids=["with imagecodecs", "without"])
def test_strips_far_longer_than_the_picture_are_refused(
    compression: int, codecs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tifffile by itself, without imagecodecs, unpacks all that a few bytes hold."""
    if not codecs:
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
    noise = np.random.default_rng(0).integers(0, 65536, (7, 9, 3), np.uint16)
    compress = zlib.compress if compression == 8 else lzma.compress
    for plain, sound in ((noise.tobytes(), True), (bytes(100 << 20), False)):
        monkeypatch.setattr(makers, "zlib", SimpleNamespace(compress=lambda _, plain=plain: compress(plain)))
        data = tiff_bytes(noise, photometric=2, bits=16, deflate=True, tags=((259, 3, (compression,)),))
        if sound and compression == 8:
            assert np.array_equal(tiff.read(data).samples, noise)
        if not sound:
            with pytest.raises(UnsupportedImageError, match="more samples than the picture"):
                tiff.read(data)


GRAY = np.arange(30, dtype=np.uint8).reshape(5, 6)


def pages(*options: dict[str, Any], big: bool = False, order: str = "<") -> bytes:
    """A TIFF of a page for each of the options, of the values 0, 1, 2 … all over; a page of 3 × 4 where reduced."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for value, option in enumerate(options):
            shape = (3, 4) if option.get("subfiletype") else (6, 8)
            writer.write(np.full(shape, value, np.uint8), photometric="minisblack", metadata=None, **option)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (pages({}, {"subfiletype": 1}), 0),
        (pages({"subfiletype": 1}, {}), 1),
        (pages({"subfiletype": 1}, {"subfiletype": 1}, {}, order=">"), 2),
        (pages({"subfiletype": 1, "subifds": 1}, {}), 1),
        (pages({"subifds": 2}, {"subfiletype": 1}, {"subfiletype": 1}), 0),
        (pages({"subifds": 1}, {"subfiletype": 1}, big=True), 0),
    ],
    ids=range(6),
)
def test_the_one_image_that_is_no_smaller_copy_is_read(data: bytes, value: int) -> None:
    picture = tiff.read(data)
    assert np.array_equal(picture.samples, np.full((6, 8), value))
    assert picture.notes == ("the TIFF's smaller copies of the image are left out",)


def test_a_smaller_copy_alone_is_read() -> None:
    assert tiff.read(pages({"subfiletype": 1})).samples.shape == (3, 4)


REDUCED = struct.pack("<HHII", 254, 4, 1, 1)
MASKED = pages({}, {"subfiletype": 1}).replace(REDUCED, REDUCED[:-4] + struct.pack("<I", 4))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pages({}, {}), "2 frames"),
        (pages({}, {"subfiletype": 2}), "2 frames"),
        (pages({"subifds": 1}, {}), "2 frames"),
        (pages({"subfiletype": 1}, {"subfiletype": 1}), "0 frames"),
        (MASKED, "transparency mask"),
    ],
    ids=range(5),
)
def test_several_images_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        tiff.read(data)


def stack(**options: Any) -> bytes:
    """Four slices behind one directory, each in bytes that nothing but the first points to."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.arange(80, dtype=np.uint8).reshape(4, 4, 5), photometric="minisblack", **options)
    return file.getvalue()


def with_strip_bytes(data: bytes, count: int) -> bytes:
    """The file with another number for what its only strip has."""
    at = data.index(struct.pack("<HHI", 279, 4, 1))
    return data[: at + 8] + struct.pack("<I", count) + data[at + 12 :]


ONE = tiff_bytes(GRAY, photometric=1)


@pytest.mark.parametrize(
    "data",
    [
        stack(truncate=True),
        stack(imagej=True, truncate=True),
        stack(imagej=True, truncate=True).replace(b"ImageJ=", b"ImageX="),
        stack(truncate=True).replace(b'{"shape"', b'{"sHape"'),
        stack(volumetric=True, tile=(4, 16, 16)),
        tiff_bytes(np.tile(GRAY, (4, 1)), photometric=1, tags=((257, 4, (5,)), (278, 4, (5,)))),
        tiff_bytes(GRAY, photometric=1, tags=((32997, 4, (4,)),)),
    ],
    ids=range(7),
)
def test_slices_behind_one_directory_are_seen(data: bytes) -> None:
    with pytest.raises(UnsupportedImageError, match=r"a (TIFF of 4 slices|volume of 4 slices)|TIFF with a volume"):
        tiff.read(data)


def test_descriptions_of_one_slice_are_no_stack() -> None:
    texts = ['{"shape": [5, 6]}', '{"shape": "no', '{"shape": [5, "x"]}', "ImageJ=1.54\nimages=1\n", "images=9"]
    for description in texts:
        file = io.BytesIO()
        tifffile.imwrite(file, GRAY, photometric="minisblack", description=description, metadata=None)
        assert np.array_equal(tiff.read(file.getvalue()).samples, GRAY)


def test_tags_that_are_left_out_are_noted() -> None:
    data = tiff_bytes(GRAY, photometric=1, tags=((33550, 4, (1, 2)), (65000, 3, (1,))))
    assert tiff.read(data).notes == ("the TIFF's tags 33550 65000 are left out",)
    assert tiff.read(ONE).notes == ()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (ONE[:6], "cut short"),
        (ONE[:-30], "cut short"),
        (ONE[:4] + struct.pack("<I", len(ONE)) + ONE[8:], "cut short"),
        (ONE[:4] + bytes(4) + ONE[8:], "it has no image"),
        (with_strip_bytes(ONE, 29), "strips are cut short"),
        (with_strip_bytes(ONE, 1 << 30), "cut short"),
        (tiff_bytes(GRAY, photometric=1, rows=2, tags=((278, 4, (1,)),)), "3 strips or tiles where the picture has 5"),
        (tiff_bytes(GRAY, photometric=1, tags=((256, 4, (0,)),)), "a size of 0 x 5"),
        (tiff_bytes(GRAY, photometric=1, tags=((322, 4, (0,)), (323, 4, (0,)))), "tiles of no size"),
    ],
    ids=range(9),
)
def test_files_that_contradict_themselves_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        tiff.read(data)


def test_directories_that_go_in_circles_are_refused() -> None:
    page = directories._directory(ONE, directories._pointer(ONE, 4))
    circle = ONE[: page.next_at] + struct.pack("<I", page.at) + ONE[page.next_at + 4 :]
    with pytest.raises(UnsupportedImageError, match="in circles"):
        tiff.read(circle)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "group4"])
def test_damaged_samples_are_one_line(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(noise)
    (image.convert("1") if compression == "group4" else image).save(file, "TIFF", compression=compression)
    data = bytearray(file.getvalue())
    with Image.open(io.BytesIO(data)) as opened:
        at = opened.tag_v2[273][0]  # type: ignore[attr-defined]
    data[at + 20 : at + 50] = b"\xff" * 30
    with (
        warnings.catch_warnings(),
        pytest.raises(UnsupportedImageError, match=r"that can be read \(libtiff finds"),
    ):
        warnings.simplefilter("error")
        tiff.read(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_samples_are_counted_before_they_are_read() -> None:
    data = tiff_bytes(GRAY.astype(np.uint16), photometric=1, bits=16)
    assert tiff.read(data, max_samples=60) == Picture(GRAY.astype(np.uint16), 16)
    with pytest.raises(UnsupportedImageError, match="the image has 60 samples, more than the limit of 59"):
        tiff.read(data, max_samples=59)


def test_pillows_own_limit_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    webp = io.BytesIO()
    files.write(webp, Picture(np.zeros((5, 6, 3), np.uint8)), ".webp")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert files.parse(ONE).samples.shape == (5, 6)
        assert files.parse(webp.getvalue()).samples.shape == (5, 6, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_texts_of_the_chosen_page_are_kept() -> None:
    data = pages({"subfiletype": 1, "description": "thumbnail"}, {"description": "picture"})
    exif = Image.Exif()
    exif.load(metadata.EXIF_PREFIX + (metadata.exif_of(tiff.read(data).chunks) or b""))
    assert exif[270] == "picture"
