"""Image files to pictures and back: lossless both ways, refusals instead of losses, and no half-written files."""

import builtins
import io
import os
import stat
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from shearloc.codec.pictures import bmp, files, metadata, tiff
from shearloc.codec.pictures.files import check_output, check_writable, load, load_image, replacing, save, write_atomic
from shearloc.codec.pictures.picture import RGB, Picture, from_array
from shearloc.errors import UnsupportedImageError

Pixels = Callable[..., NDArray[np.uint8]]
ICC, XMP = bytes(range(256)) * 3, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa4</x:xmpmeta>\n"


@given(data=st.data())
def test_saved_pictures_come_back_or_are_refused(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    """All but a palette that RGB only suggests, which PNG alone has."""
    picture = data.draw(any_picture).stripped()
    suffix = data.draw(st.sampled_from([*files._HOLDS, ".PNG"]))
    held = files._HOLDS[suffix.lower()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        if held and picture.mode not in held:
            with pytest.raises(UnsupportedImageError) as told:
                save(path, picture)
            assert f"{suffix} does not keep {picture.mode} as it is" in str(told.value)
            assert not os.listdir(folder)
            return
        save(path, picture)
        back = load(path)
        assert os.listdir(folder) == [path.name]
    if held and picture.colour == RGB:
        picture = replace(picture, palette=None)
    if suffix in (".tif", ".tiff") and picture.palette is not None and back.palette is not None:
        back = replace(back, palette=back.palette[: len(picture.palette)])
    assert back == picture


@pytest.mark.parametrize(
    ("name", "channels"),
    [("a.jpg", 3), ("a", 1), ("a.gif", 1), ("a.ppm", 1), ("a.pgm", 3), ("a.webp", 1), ("a.bmp", 2)],
)
def test_formats_that_would_lose_are_not_written(tmp_path: Path, picture: Pixels, name: str, channels: int) -> None:
    with pytest.raises(UnsupportedImageError, match=r"\.png"):
        save(tmp_path / name, from_array(picture(4, 4, channels)))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".ppm"])
def test_transparent_colours_need_png(tmp_path: Path, suffix: str) -> None:
    picture = Picture(np.zeros((2, 2, 3), np.uint8), 8, None, bytes(6))
    with pytest.raises(UnsupportedImageError, match="8-bit RGB with transparency as it is; use .png"):
        save(tmp_path / f"a{suffix}", picture)
    save(tmp_path / "a.png", picture)
    assert load(tmp_path / "a.png") == picture


def test_format_limits_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImageError, match="webp cannot hold"):
        save(tmp_path / "a.webp", Picture(np.zeros((1, 20000, 3), np.uint8)))
    assert not os.listdir(tmp_path)


def described(orientation: int = 6) -> bytes:
    """An Exif block with texts, an orientation, a resolution and an Exif directory."""
    exif = Image.Exif()
    exif[270], exif[271], exif[274], exif[305] = "a description", "Maker", orientation, "Software"
    exif[282], exif[283], exif[296] = IFDRational(145, 2), IFDRational(300, 1), 2
    exif.get_ifd(34665).update({33434: IFDRational(1, 125), 36867: "2020:01:01 00:00:00"})
    return exif.tobytes().removeprefix(metadata.EXIF_PREFIX)


def with_metadata(samples: NDArray) -> Picture:
    exif = metadata.exif_chunk(described())
    depth = 8 * samples.itemsize
    return Picture(samples, depth, chunks=(metadata.icc_chunk(ICC), exif, metadata.xmp_chunk(XMP)))


@pytest.mark.parametrize(("suffix", "depth"), [(".png", 8), (".png", 16), (".webp", 8), (".tif", 8), (".tif", 16)])
@pytest.mark.parametrize("channels", [3, 4])
def test_metadata_comes_back(tmp_path: Path, suffix: str, channels: int, depth: int) -> None:
    if (suffix, depth) == (".tif", 16):
        pytest.importorskip("tifffile")
    samples = np.random.default_rng(0).integers(0, 2**depth, (5, 4, channels)).astype(f"u{depth // 8}")
    picture = with_metadata(samples)
    save(tmp_path / f"a{suffix}", picture)
    back = load(tmp_path / f"a{suffix}")
    assert np.array_equal(back.samples, samples)
    assert metadata.icc_of(back.chunks) == ICC and metadata.xmp_of(back.chunks) == XMP
    exif = Image.Exif()
    exif.load(metadata.EXIF_PREFIX + (metadata.exif_of(back.chunks) or b""))
    assert (exif[270], exif[271], exif[274], exif[305]) == ("a description", "Maker", 6, "Software")
    assert (exif[282], exif[283], exif[296]) == (72.5, 300, 2)
    if suffix == ".tif":
        assert metadata.resolution_of(back.chunks) == (2854, 11811)
    if (suffix, depth) != (".tif", 16):
        assert exif.get_ifd(34665)[36867] == "2020:01:01 00:00:00"
    if suffix != ".tif":
        assert metadata.exif_of(back.chunks) == described()
    save(tmp_path / f"b{suffix}", back)
    assert load(tmp_path / f"b{suffix}") == back


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".png"])
def test_resolution_comes_back(tmp_path: Path, suffix: str) -> None:
    picture = Picture(np.zeros((2, 3), np.uint8), chunks=(metadata.resolution_chunk(2835, 3937),))
    save(tmp_path / f"a{suffix}", picture)
    back = load(tmp_path / f"a{suffix}")
    assert metadata.resolution_of(back.chunks) == (2835, 3937)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_not_applied(picture: Pixels, orientation: int, compression: str | None) -> None:
    pixels, exif = picture(4, 7, 3), Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", exif=exif, compression=compression)
    back = tiff.read(file.getvalue())
    assert np.array_equal(back.samples, pixels)
    kept = Image.Exif()
    kept.load(metadata.EXIF_PREFIX + (metadata.exif_of(back.chunks) or b""))
    assert kept[274] == orientation


def test_only_descriptive_tags_are_taken_from_exif(tmp_path: Path) -> None:
    """An Exif block that says how another file is laid out must not lay out ours."""
    exif = Image.Exif()
    exif[256], exif[262], exif[270] = 99, 0, "text"
    picture = Picture(np.arange(6, dtype=np.uint8).reshape(2, 3), chunks=(metadata.exif_chunk(exif.tobytes()),))
    save(tmp_path / "a.tif", picture)
    assert np.array_equal(load(tmp_path / "a.tif").samples, picture.samples)


@pytest.mark.parametrize("bad", [b"", b"no end", b"name\0\1" + bytes(9), b"name\0\0nonsense"])
def test_damaged_profiles_are_no_profiles(bad: bytes) -> None:
    assert metadata.icc_of([(b"iCCP", bad)]) is None
    assert metadata.resolution_of([(b"pHYs", bad)]) is None


@pytest.mark.parametrize("mode", ["16-bit RGB", "16-bit RGBA"])
def test_16_bit_colour_tiffs_say_what_they_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str) -> None:
    plain_import = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "tifffile":
            raise ImportError(name)
        return plain_import(name, *rest)  # type: ignore[arg-type]

    (tmp_path / "a.tif").write_bytes(tiff_of((16, 16, 16)))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedImageError, match="pip install tifffile"):
        check_output(tmp_path / "b.tif", mode)
    with pytest.raises(UnsupportedImageError, match="tifffile"):
        load(tmp_path / "a.tif")
    check_output(tmp_path / "b.tif", "16-bit gray")


def saved(mode: str, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (4, 4)).save(file, name, **options)
    return file.getvalue()


def animated(name: str) -> bytes:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, name, save_all=True, append_images=frames[1:])
    return file.getvalue()


def tiff_of(bits: tuple[int, ...], meaning: int | None = 0) -> bytes:
    """A 1x1 RGB TIFF with these bits per sample; `meaning` is the fourth's ExtraSamples, 0 unspecified."""
    extra = [(338, meaning)] if len(bits) > 3 and meaning is not None else []
    at = 8 + 2 + 12 * (9 + len(extra)) + 4
    tags = [(256, 1), (257, 1), (258, at), (259, 1), (262, 2), (273, at + 2 * len(bits)), (277, len(bits))]
    tags += [(278, 1), (279, sum(bits) // 8), *extra]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, len(bits) if tag == 258 else 1, value, 0) for tag, value in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    return head + struct.pack(f"<{len(bits)}H", *bits) + bytes(sum(bits) // 8)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (saved("RGB", "JPEG"), "keep the JPEG"),
        (saved("L", "JPEG"), "keep the JPEG"),
        (animated("MPO"), "keep the JPEG"),
        (saved("RGB", "TIFF", compression="jpeg"), "JPEG inside"),
        (animated("PNG"), "animated PNG"),
        (animated("WEBP"), "2 frames"),
        (animated("TIFF"), "2 frames"),
        (animated("GIF"), "GIF files are not read"),
        (saved("P", "GIF"), "GIF files are not read"),
        (saved("CMYK", "TIFF"), "CMYK; not stored"),
        (saved("F", "TIFF"), "floats are not stored"),
        (saved("RGB", "TGA"), "not an image that is read"),
        (b"P3 1 1 1000\n1 2 3\n", "up to 1000"),
        (saved("RGB", "PNG")[:45], "not a PNG"),
        (saved("RGB", "BMP")[:60], "not a BMP that can be read .it is cut short"),
        (saved("RGB", "WEBP", quality=50), "a lossy WebP; .*lossy=True"),
        (b"P6 9 9 255\n", "not a PNM"),
        (b"hello", "not an image"),
        (b"", "the file is empty"),
        (b"\x89SHL\r\n\x1a\n", "a Shearloc file already"),
        (b"Pf\n1 1\n-1.0\n", "floats are not stored"),
    ],
    ids=range(21),
)
def test_images_that_would_lose_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(UnsupportedImageError, match=f"image: .*{told}"):
        load(tmp_path / "image")


@pytest.mark.parametrize(
    ("bits", "extra", "told"),
    [
        ((8, 8, 8, 8), 0, r"4 samples of 8 bits a pixel, photometric 2, extra samples \[0\]"),
        ((8, 8, 8, 8), None, "no word of what the last one is"),
        ((8, 8, 8, 8), 1, "multiplied"),
        ((8, 8, 16), 0, "several depths"),
        ((16,) * 5, 0, "5 samples of 16 bits"),
    ],
)
def test_tiffs_that_would_lose_are_refused(bits: tuple[int, ...], extra: int | None, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        tiff.read(tiff_of(bits, extra))


def test_hand_made_tiffs_are_read() -> None:
    """Those above are refused for what they hold, not because they are broken."""
    assert tiff.read(tiff_of((8, 8, 8))) == Picture(np.zeros((1, 1, 3), np.uint8))
    assert tiff.read(tiff_of((8, 8, 8, 8), 2)) == Picture(np.zeros((1, 1, 4), np.uint8))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "options", [{}, {"planarconfig": "separate"}, {"compression": "zlib", "predictor": True}], ids=str
)
def test_16_bit_colour_tiffs_of_others_are_read(channels: int, options: dict) -> None:
    tifffile = pytest.importorskip("tifffile")
    samples = np.random.default_rng(0).integers(0, 65536, (6, 7, channels), np.uint16)
    stored = np.moveaxis(samples, 2, 0) if "planarconfig" in options else samples
    extra = ["unassalpha"] if channels == 4 else None
    file = io.BytesIO()
    try:
        tifffile.imwrite(
            file, np.ascontiguousarray(stored), photometric="rgb", extrasamples=extra, metadata=None, **options
        )
    except (KeyError, ValueError, ImportError) as error:
        pytest.skip(f"tifffile needs imagecodecs for this ({error})")
    assert np.array_equal(tiff.read(file.getvalue()).samples, samples)


def test_4_bit_gray_tiffs_keep_their_depth() -> None:
    tags = [(256, 2), (257, 1), (258, 4), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = struct.pack("<2sHI", b"II", 42, 12) + b"\x3f" + bytes(3) + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert tiff.read(data) == Picture(np.array([[3, 15]], np.uint8), 4)


def test_4_bit_bitmaps_keep_their_depth() -> None:
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + 40 + 16)
    info = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 4, 0, 4, 0, 0, 4, 0)
    palette = bytes([30, 20, 10, 0, 60, 50, 40, 0, 3, 2, 1, 0, 0, 0, 0, 0])
    picture = bmp.read(head + info + palette + b"\x12\0\0\0")
    assert (picture.mode, picture.samples.tolist()) == ("4-bit palette", [[1, 2]])
    assert picture.array().tolist() == [[[40, 50, 60], [1, 2, 3]]]


def test_load_image_is_for_plain_pixels(tmp_path: Path, picture: Pixels) -> None:
    save(tmp_path / "a.png", from_array(picture(4, 5, 3)))
    assert np.array_equal(load_image(tmp_path / "a.png"), picture(4, 5, 3))
    save(tmp_path / "b.png", from_array(picture(4, 5, 4)))
    with pytest.raises(UnsupportedImageError, match="8-bit RGBA; only"):
        load_image(tmp_path / "b.png")


class Stream(io.RawIOBase):
    """A pipe: written to, never sought."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(memoryview(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".tif", ".TIFF", ".bmp", ".webp"])
def test_streams_are_written_and_bytes_are_read(picture: Pixels, suffix: str) -> None:
    stream, image = Stream(), from_array(picture(4, 5, 3))
    files.write(stream, image, suffix)  # type: ignore[arg-type]
    assert files.parse(stream.data) == image


@pytest.mark.parametrize(("suffix", "told"), [(".jpg", "write to one of .png"), ("", "write to"), (".pgm", "use .png")])
def test_streams_refuse_what_would_lose(picture: Pixels, suffix: str, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        files.write(io.BytesIO(), from_array(picture(4, 5, 3)), suffix)


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".tif", ".bmp", ".webp"])
def test_one_limit_holds_for_all_formats(tmp_path: Path, picture: Pixels, suffix: str) -> None:
    path, image = tmp_path / f"a{suffix}", from_array(picture(4, 5, 3))
    save(path, image)
    assert load(path, max_samples=60) == image
    with pytest.raises(UnsupportedImageError, match=f"a{suffix}: the image has 60 samples, more than the limit of 59"):
        load(path, max_samples=59)


HUGE = 1 << 30
CLAIMS = [
    struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 54, 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0),
    tiff_of((8, 8, 8))
    .replace(struct.pack("<HHI", 256, 3, 1), struct.pack("<HHI", 256, 4, 1))
    .replace(struct.pack("<HHIHH", 256, 4, 1, 1, 0), struct.pack("<HHII", 256, 4, 1, HUGE)),
    b"P6 1073741824 1073741824 255\n",
    b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
]


@pytest.mark.parametrize("data", CLAIMS, ids=range(4))
def test_claims_are_checked_before_memory_is_taken(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedImageError, match="more than the limit of 268435456; raise max_samples"):
            files.parse(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_missing_and_folder_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_write_atomic_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.shl"
    path.write_bytes(b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.shl"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.shl"]


def test_writing_goes_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


def test_bad_targets_are_os_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "none" / "a.shl", FileNotFoundError),
        (tmp_path / "pipe", OSError),
    ):
        with pytest.raises(error):
            write_atomic(path, b"new")
        with pytest.raises(error):
            check_writable(path)
    assert os.listdir(tmp_path) == ["pipe"]
