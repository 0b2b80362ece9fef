"""PBM, PGM and PPM: what is written comes back, Pillow reads it too, and other ranges are refused, not rescaled."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shearloc.codec.pictures import pnm
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import UnsupportedImageError

MODES = ("1-bit gray", "8-bit gray", "16-bit gray", "8-bit RGB", "16-bit RGB")


def written(picture: Picture) -> bytes:
    file = io.BytesIO()
    pnm.write(file, picture)
    return file.getvalue()


@given(data=st.data())
def test_pictures_come_back(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture.filter(lambda picture: picture.mode in MODES))
    file = written(picture)
    assert pnm.read(file) == Picture(picture.samples, picture.depth)
    if picture.mode != "16-bit RGB":  # Pillow reads 8 bits of it
        with Image.open(io.BytesIO(file)) as image:
            assert np.array_equal(np.array(image).astype(int), picture.samples)


@pytest.mark.parametrize(
    ("data", "depth", "samples"),
    [
        (b"P1 # two\n3 2\n010\n1 0 1\n", 1, [[1, 0, 1], [0, 1, 0]]),
        (b"P2\n2 1\n255\n7 # seven\n 9", 8, [[7, 9]]),
        (b"P2 1 1 65535 300", 16, [[300]]),
        (b"P3 1 1 255 1 2 3\n", 8, [[[1, 2, 3]]]),
        (b"P4\n#c\n#c\n9 1\n\x80\x00", 1, [[0, 1, 1, 1, 1, 1, 1, 1, 1]]),
        (b"P5 2 1 255\n\x0a#", 8, [[10, 35]]),
        (b"P5 1 2 65535\n\x01\x02\x03\x04", 16, [[0x102], [0x304]]),
        (b"P6 1 1 65535\n\x01\x02\x03\x04\x05\x06", 16, [[[0x102, 0x304, 0x506]]]),
    ],
)
def test_files_of_others_are_read(data: bytes, depth: int, samples: list) -> None:
    picture = pnm.read(data)
    assert (picture.depth, picture.samples.tolist()) == (depth, samples)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"P5 1 1 1000\n12", "up to 1000"),
        (b"P5 1 1 1\n1", "up to 1;"),
        (b"P3 1 1 100 1 2 3", "up to 100"),
        (b"P6 9 9 255\n", "cut short"),
        (b"P6 1 1 255\nabcP6 1 1 255\nabc", "more than one image"),
        (b"P5 0 1 255\n", "a size of 0 x 1"),
        (b"P5 1", "header"),
        (b"P5 1 1", "header"),
        (b"P2 1 1 255 256", "out of range"),
        (b"P2 1 1 255 -1", "out of range"),
        (b"P2 1 1 255 x", "can be read"),
        (b"P2 1 1 255 99999999999999999999", "can be read"),
        (b"P1 1 1 2", "out of range"),
        (b"P1 2 1 1", "cut short"),
        (b"P2 1 1 255 5\nP2 1 1 255 6", "more than one image"),
        (b"P1 1 1 1\nP1 1 1 0", "more than one image"),
        (b"P5 9999999999 9999999999 255\n", "more than the limit of 268435456"),
    ],
    ids=range(17),
)
def test_files_that_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        pnm.read(data)


@pytest.mark.parametrize(
    ("data", "samples", "noted"),
    [
        (b"P5\n3 1\n255\nabc\n", [[97, 98, 99]], False),
        (b"P5\n1 1\n255\nabc", [[97]], True),
        (b"P2 1 1 255 5 6 7", [[5]], True),
        (b"P1 2 1 010", [[1, 0]], True),
        (b"P2 1 1 255 5 \n", [[5]], False),
    ],
)
def test_what_follows_the_picture_is_ignored(data: bytes, samples: list, noted: bool) -> None:
    picture = pnm.read(data)
    assert picture.samples.tolist() == samples
    assert picture.notes == (("what follows the picture is ignored",) if noted else ())


def test_comments_are_noted() -> None:
    assert pnm.read(b"P5 #c\n1 1 255\na").notes == ("comments are left out",)


def test_more_samples_than_the_limit_are_refused() -> None:
    assert pnm.read(b"P5 1 2 65535\n1234", max_samples=4).depth == 16
    with pytest.raises(UnsupportedImageError, match="the image has 4 samples, more than the limit of 3"):
        pnm.read(b"P5 1 2 65535\n1234", max_samples=3)
