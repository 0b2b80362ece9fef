"""Damaged files of every format: a picture or one line of UnsupportedImageError, and nothing on stderr."""

import io
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import UnsupportedImageError

from .makers import bmp_bytes, run_bytes, tiff_bytes

CASES = 300
"""Files for each seed, 0.1 s of them; more were tried when this was written: 150,000."""


def seeds() -> dict[str, bytes]:
    """Small sound files."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    found = {path.name: path.read_bytes() for path in sorted((Path(__file__).with_name("faults")).iterdir())}
    for compression in ("packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "group3", "group4"):
        image, file = Image.fromarray(noise), io.BytesIO()
        (image.convert("1") if compression.startswith("group") else image).save(file, "TIFF", compression=compression)
        found[compression] = file.getvalue()
    for lossless in (False, True):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "WEBP", lossless=lossless, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
        found[f"webp-{lossless}"] = file.getvalue()
    for suffix in (".png", ".ppm", ".bmp"):
        file = io.BytesIO()
        files.write(file, Picture(noise), suffix)
        found[suffix] = file.getvalue()
    gray = noise[:, :, 0] % 16
    found["runs"] = bmp_bytes(gray, 4, palette=noise[:4].reshape(-1, 3)[:16], compression=2, runs=run_bytes(gray, 4))
    found["plain"] = b"P2 3 2 255 1 2 3 4 5 6"
    found["planar"] = tiff_bytes(noise.astype(np.uint16), photometric=2, bits=16, planar=True, deflate=True)
    found["big"] = tiff_bytes(gray, photometric=0, bits=4, tile=16, big=True)
    return found


SEEDS = seeds()


def damaged(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(max(1, len(changed)))
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in changed[at : at + 1])
            case 2:
                del changed[at : at + rng.choice([1, 2, 4, 40])]
            case 3:
                changed[at:at] = rng.randbytes(rng.choice([1, 2, 4]))
            case _:
                changed[at : at + 4] = rng.choice(
                    [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"]
                )
    return bytes(changed)


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_are_pictures_or_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng, refused = random.Random(name), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(CASES):
            try:
                files.parse(damaged(rng, SEEDS[name]), lossy=True)
            except UnsupportedImageError as error:
                refused += 1
                assert "\n" not in str(error) and "BytesIO" not in str(error) and "DOS" not in str(error)
    assert refused > CASES // 10
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", SEEDS)
def test_files_that_are_cut_short_are_pictures_or_one_line(name: str) -> None:
    for length in range(0, len(SEEDS[name]), 1 + len(SEEDS[name]) // 100):
        try:
            files.parse(SEEDS[name][:length], lossy=True)
        except UnsupportedImageError as error:
            assert "\n" not in str(error)
