"""Files that were once read wrongly, dropped in part, or refused without need; ../shared/faults/README.md has them."""

import io
from pathlib import Path

import numpy as np
import pytest

from shearloc.codec.pictures import files, metadata
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import UnsupportedImageError

FAULTS = Path(__file__).with_name("faults")
BLACK_WHITE = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)


def load(name: str) -> Picture:
    return files.load(FAULTS / name)


def test_bmps_of_two_colours_keep_their_bits() -> None:
    mask, plain = load("mask_black_white.bmp"), load("bmp8_two_colours.bmp")
    assert mask.samples.shape == (6, 16) and mask.depth == plain.depth == 8
    assert np.array_equal(mask.palette, BLACK_WHITE) and np.array_equal(plain.palette, BLACK_WHITE)
    assert mask.samples[0].tolist() == [1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0]
    assert plain.samples.tolist() == [[0, 1, 1, 0, 1, 0, 0, 0]] * 4


def test_bmps_of_4_bit_grays_keep_their_palette() -> None:
    picture = load("bmp4_gray_identity_4x1.bmp")
    assert picture.samples.tolist() == [[0, 1, 14, 15]] and picture.depth == 4
    assert picture.array()[0, :, 0].tolist() == [0, 1, 14, 15]


@pytest.mark.parametrize(
    "name", ["palette8_two_entries.png", "mask_black_white.bmp", "bmp4_gray_identity_4x1.bmp", "bmp_v5_profile.bmp"]
)
def test_bmps_come_back_as_they_went(name: str) -> None:
    picture, file = load(name), io.BytesIO()
    files.write(file, picture, ".bmp")
    assert files.parse(file.getvalue()) == picture


def test_white_is_zero_is_no_negative() -> None:
    """0, 1000 and 65535, where 0 is white."""
    assert load("miniswhite16.tif") == Picture(
        np.array([[65535, 64535, 0]], np.uint16), 16, chunks=load("miniswhite16.tif").chunks
    )


def test_the_main_image_is_read_and_not_its_thumbnail() -> None:
    picture = load("thumb_then_subifd.tif")
    assert picture.samples.shape == (40, 40, 3) and picture.samples[0, :2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert picture.notes == ("the TIFF's smaller copies of the image are left out",)


def test_profiles_of_bmps_are_kept() -> None:
    assert metadata.icc_of(load("bmp_v5_profile.bmp").chunks) == bytes(128)


def test_transparency_profile_and_texts_of_pngs_are_kept() -> None:
    picture = load("rgb_key_icc_text.png")
    assert picture.transparency == b"\0\1\0\2\0\3" and [kind for kind, _ in picture.chunks] == [b"iCCP", b"tEXt"]


@pytest.mark.parametrize(
    ("name", "samples", "transparency"),
    [
        ("extra_row.png", [[[0, 3, 6], [9, 12, 15], [18, 21, 24]], [[7, 10, 13], [16, 19, 22], [25, 28, 31]]], b""),
        ("trns_longer_than_plte.png", [[0, 1], [1, 0]], b""),  # libpng ignores the whole chunk
        ("trns_in_rgba.png", [[[1, 2, 3, 4]]], b""),
        ("plte_too_long_for_depth.png", [[0, 1, 2, 3]], b""),
        ("acTL_single.png", [[1, 2]], b""),
        ("two_trns.png", [[1, 2]], b"\0\1"),
        ("pgm_trailing_newline.pgm", [[97, 98, 99], [100, 101, 102]], b""),
    ],
)
def test_what_other_readers_read_is_read(name: str, samples: list, transparency: bytes) -> None:
    picture = load(name)
    assert (picture.samples.tolist(), picture.transparency) == (samples, transparency)
    assert bool(picture.notes) == name.endswith(".png")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("int8.tif", "signed samples are not stored"),
        ("float64.tif", "floats are not stored"),
        ("volume.tif", "a TIFF with a volume of 4 slices; not stored"),
        ("truncated_stack.tif", "a TIFF of 5 slices; one image is stored"),
        ("cgbi.png", "a chunk CgBI that changes its meaning"),
    ],
)
def test_what_would_lose_is_refused_by_name(name: str, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"{name}: .*{told}"):
        load(name)
