"""Image files to planes and back: lossless both ways, refusals instead of losses, and no half-written files."""

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.codec.planes import check_writable, load_image, replacing, save_image, write_atomic
from shearloc.errors import UnsupportedImageError

Picture = Callable[..., NDArray[np.uint8]]
BOTH = [".png", ".tif", ".tiff", ".bmp"]


@pytest.mark.parametrize(
    ("suffix", "channels"),
    [(s, c) for s in BOTH for c in (1, 3)] + [(".pgm", 1), (".ppm", 3), (".webp", 3), (".PNG", 3)],
)
@pytest.mark.parametrize("size", [(1, 1), (13, 8)])
def test_saved_images_come_back(
    tmp_path: Path, picture: Picture, suffix: str, channels: int, size: tuple[int, int]
) -> None:
    pixels = picture(*size, channels)
    save_image(tmp_path / f"a{suffix}", pixels)
    back = load_image(tmp_path / f"a{suffix}")
    assert back.dtype == np.uint8 and back.shape == pixels.shape
    assert np.array_equal(back, pixels)
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("name", "channels"), [("a.jpg", 3), ("a", 1), ("a.gif", 1), ("a.ppm", 1), ("a.pgm", 3), ("a.webp", 1)]
)
def test_formats_that_would_lose_are_not_written(tmp_path: Path, picture: Picture, name: str, channels: int) -> None:
    with pytest.raises(UnsupportedImageError, match=r"\.png"):
        save_image(tmp_path / name, picture(4, 4, channels))
    assert not os.listdir(tmp_path)


def test_format_limits_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImageError, match="WEBP cannot hold"):
        save_image(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.uint8))
    assert not os.listdir(tmp_path)


def saved(mode: str, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (4, 4)).save(file, name, **options)
    return file.getvalue()


def animated(name: str) -> bytes:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, name, save_all=True, append_images=frames[1:])
    return file.getvalue()


def png(depth: int, colour: int, row: bytes) -> bytes:
    """A 1x1 PNG of any depth and colour type."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


def tiff(bits: tuple[int, ...]) -> bytes:
    """A 1x1 RGB TIFF with these bits per sample; a fourth sample is unspecified."""
    extra = [(338, 0)] if len(bits) > 3 else []
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
        (animated("PNG"), "2 frames"),
        (animated("WEBP"), "2 frames"),
        (animated("TIFF"), "2 frames"),
        (saved("RGBA", "PNG"), "mode RGBA"),
        (saved("LA", "PNG"), "mode LA"),
        (saved("P", "PNG"), "mode P"),
        (saved("1", "PNG"), "mode 1"),
        (saved("I;16", "PNG"), "mode I;16"),
        (saved("CMYK", "TIFF"), "mode CMYK"),
        (saved("F", "TIFF"), "mode F"),
        (saved("L", "PNG", transparency=3), "transparent"),
        (saved("RGB", "TGA"), "TGA files are not read"),
        (png(16, 2, bytes(6)), "more than 8 bits"),
        (b"P6 1 1 65535\n" + bytes(6), "more than 8 bits"),
        (b"P3 1 1 1000\n1 2 3\n", "more than 8 bits"),
        (tiff((16, 16, 16)), "more than 8 bits"),
        (tiff((8, 8, 8, 8)), "more channels|mode RGBX"),
        (saved("RGB", "PNG")[:45], "not an image"),
        (b"P6 9 9 255\n", "not an image"),
        (b"hello", "not an image"),
        (b"", "not an image"),
    ],
)
def test_what_would_lose_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    with pytest.raises(UnsupportedImageError, match=told) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


def test_the_same_with_eight_bits_is_read(tmp_path: Path) -> None:
    """The hand-made files above are refused for their depth, not because they are broken."""
    for content in (png(8, 2, bytes(3)), tiff((8, 8, 8)), b"P6 1 1 255\n" + bytes(3), b"P3 1 1 255\n0 0 0\n"):
        (tmp_path / "image").write_bytes(content)
        assert np.array_equal(load_image(tmp_path / "image"), np.zeros((1, 1, 3)))


def test_missing_and_folder_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        load_image(tmp_path)


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
