"""Pictures: fields that fit together, planes and back, and what a picture looks like as one array."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.codec.pictures.picture import (
    CHANNELS,
    GRAY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    Picture,
    from_array,
    plane_groups,
    put_planes,
    take_planes,
)
from shearloc.errors import UnsupportedImageError

GRAYS = np.array([[0, 3, 1]], np.uint8)
COLOURS = np.array([[9, 8, 7], [1, 2, 3], [4, 5, 6], [0, 0, 0]], np.uint8)


@given(data=st.data())
def test_planes_come_back(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture)
    height, width = picture.samples.shape[:2]
    groups = plane_groups(picture.colour, picture.depth)
    assert sum(groups) == CHANNELS[picture.colour] * (2 if picture.depth == 16 else 1)
    back = np.zeros((height, width, CHANNELS[picture.colour]), picture.samples.dtype)
    for index, count in enumerate(groups):
        first = sum(groups[:index])
        planes = take_planes(picture.samples, first, count)
        assert planes.shape == (height, width, count) and planes.dtype == np.uint8 and planes.flags.c_contiguous
        put_planes(back, first, planes)
    assert np.array_equal(back.reshape(picture.samples.shape), picture.samples)


def test_alpha_and_low_bytes_stand_alone() -> None:
    assert [plane_groups(RGBA, 8), plane_groups(RGB, 16), plane_groups(GRAY_ALPHA, 16)] == [
        (3, 1),
        (3, 3),
        (1, 1, 1, 1),
    ]
    planes = take_planes(np.array([[0x1234]], np.uint16), 0, 1), take_planes(np.array([[0x1234]], np.uint16), 1, 1)
    assert [plane.item() for plane in planes] == [0x12, 0x34]


@given(data=st.data())
def test_equality_sees_every_field(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture)
    assert picture == replace(picture, samples=picture.samples.copy())
    assert picture != replace(picture, chunks=(*picture.chunks, (b"teSt", b"")))
    other = picture.samples.copy()
    other.flat[-1] ^= 1
    assert picture != replace(picture, samples=other)
    assert picture != "picture"
    assert picture.stripped() == replace(picture, chunks=())


def test_equality_sees_palettes() -> None:
    picture = Picture(GRAYS, 2, COLOURS)
    assert picture == Picture(GRAYS, 2, COLOURS.copy())
    assert picture not in (Picture(GRAYS, 2), Picture(GRAYS, 2, COLOURS[::-1]), Picture(GRAYS, 2, COLOURS, b"\0"))


@pytest.mark.parametrize(
    ("picture", "mode", "array"),
    [
        (Picture(GRAYS), "8-bit gray", GRAYS),
        (Picture(GRAYS // 3, 1), "1-bit gray", [[0, 255, 0]]),
        (Picture(GRAYS, 2), "2-bit gray", [[0, 255, 85]]),
        (Picture(GRAYS, 4), "4-bit gray", [[0, 51, 17]]),
        (Picture(GRAYS, 2, None, b"\0\3"), "2-bit gray with transparency", [[[0, 255], [255, 0], [85, 255]]]),
        (Picture(GRAYS, 2, COLOURS), "2-bit palette", [[[9, 8, 7], [0, 0, 0], [1, 2, 3]]]),
        (
            Picture(GRAYS, 2, COLOURS, b"\x05\x06"),
            "2-bit palette with transparency",
            [[[9, 8, 7, 5], [0, 0, 0, 255], [1, 2, 3, 6]]],
        ),
        (
            Picture(COLOURS[None, :2], 8, None, b"\0\1\0\2\0\3"),
            "8-bit RGB with transparency",
            [[[9, 8, 7, 255], [1, 2, 3, 0]]],
        ),
        (
            Picture(np.array([[7, 700]], np.uint16), 16, None, b"\x02\xbc"),
            "16-bit gray with transparency",
            [[[7, 65535], [700, 0]]],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_look_like_the_picture(picture: Picture, mode: str, array: object) -> None:
    assert picture.mode == mode
    assert picture.array().tolist() == np.array(array).tolist()
    assert picture.array().dtype == picture.samples.dtype


@pytest.mark.parametrize("channels", [0, 2, 3, 4])
@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2"])
def test_arrays_become_pictures(channels: int, kind: str) -> None:
    image = np.arange(60).reshape((5, 12) if not channels else (5, 12 // channels, channels)).astype(kind)
    picture = from_array(image)
    assert picture.depth == 8 * image.itemsize and picture.samples.dtype.isnative
    assert np.array_equal(picture.array(), image)


def test_bool_arrays_are_bits_and_one_channel_is_gray() -> None:
    bits = np.array([[True, False], [False, True]])
    assert from_array(bits) == from_array(bits[:, :, None]) == Picture(np.array([[1, 0], [0, 1]], np.uint8), 1)
    gray = np.arange(6, dtype=">u2").reshape(2, 3, 1)
    assert from_array(gray) == Picture(np.arange(6, dtype=np.uint16).reshape(2, 3), 16)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (None, "the image is None; pass a NumPy array of uint8 or uint16"),
        ([[1, 2]], "the image is a list; pass a NumPy array of uint8 or uint16"),
        (np.ma.masked_array(GRAYS, GRAYS == 3), r"a masked array; pass image.filled\(value\)"),
        (np.ma.masked_array(GRAYS), "a masked array"),
        (GRAYS / 255, r"float64; floats are not stored: scale to 0 to 255 and pass image.round\(\).astype\(np.uint8\)"),
        (GRAYS.astype(np.float16), "float16; floats are not stored"),
        (GRAYS.astype(int), r"int64; uint8 and uint16 are stored: pass image.astype\(np.uint8\)"),
        (GRAYS.astype(np.int8), "int8; uint8 and uint16 are stored"),
        (np.array([["a"]]), "<U1; uint8 and uint16 are stored"),
        (np.zeros((3, 20, 30), np.uint8), r"channels come last: pass np.moveaxis\(image, 0, -1\)"),
        (np.zeros((2, 3, 20, 30), np.uint8), r"shape \(2, 3, 20, 30\); pass \[H, W\] for gray"),
        (np.zeros((20, 30, 5), np.uint8), r"shape \(20, 30, 5\); pass \[H, W\]"),
        (np.zeros((20, 30, 3), bool), "bool of shape"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.zeros((0, 4, 1), np.uint8), "no pixels"),
        (np.uint8(3), "the image is a uint8; pass a NumPy array"),
        (np.array(3, np.uint8), r"pass \[H, W\] for gray"),
    ],
    ids=range(17),
)
def test_other_arrays_are_refused_with_what_to_do(image: object, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        from_array(image)


def test_notes_do_not_make_pictures_differ() -> None:
    assert Picture(GRAYS, notes=("left out",)) == Picture(GRAYS)
    assert Picture(GRAYS, notes=("left out",)).stripped().notes == ("left out",)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Picture(GRAYS, 16), "does not fit 16 bits"),
        (lambda: Picture(GRAYS.astype(np.uint16), 8), "does not fit 8 bits"),
        (lambda: Picture(GRAYS[:, :0]), "no pixels"),
        (lambda: Picture(GRAYS[0]), "shape"),
        (lambda: Picture(np.zeros((1, 1, 1), np.uint8)), "shape"),
        (lambda: Picture(np.zeros((1, 1, 5), np.uint8)), "shape"),
        (lambda: Picture(GRAYS, 1), "more than 1 bits"),
        (lambda: Picture(GRAYS, 3), "3 bits is not stored"),
        (lambda: Picture(COLOURS[None], 4), "4 bits is not stored"),
        (lambda: Picture(GRAYS, 2, np.zeros((5, 3), np.uint8)), "1 to 4 RGB"),
        (lambda: Picture(GRAYS, 8, np.zeros((0, 3), np.uint8)), "RGB"),
        (lambda: Picture(GRAYS, 8, np.zeros((2, 4), np.uint8)), "RGB"),
        (lambda: Picture(np.zeros((1, 1, 2), np.uint8), 8, COLOURS), "no palette"),
        (lambda: Picture(GRAYS, 2, COLOURS, bytes(5)), "transparency of 5"),
        (lambda: Picture(GRAYS, 8, None, bytes(6)), "transparency of 6"),
        (lambda: Picture(COLOURS[None], 8, None, bytes(2)), "transparency of 2"),
        (lambda: Picture(np.zeros((1, 1, 4), np.uint8), 8, None, bytes(6)), "transparency of 6"),
        (lambda: Picture(GRAYS, chunks=((b"tEXt", bytes(2**26)),)), "strip it"),
        *(
            (lambda kind=kind: Picture(GRAYS, chunks=((kind, b""),)), "not a chunk")
            for kind in (b"IEND", b"tRNS", b"abc")
        ),
    ],
)
def test_fields_must_fit(make: Callable[[], Picture], told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        make()


def test_palettes_may_come_with_colour() -> None:
    assert Picture(COLOURS[None], 8, COLOURS).colour == RGB
    assert Picture(GRAYS, 8, COLOURS).colour == PALETTE


def test_repr_is_one_line() -> None:
    rgb = Picture(np.zeros((4, 500, 3), np.uint16), 16, chunks=((b"gAMA", bytes(4)),) * 2)
    assert repr(rgb) == "<Picture of 500 x 4, 16-bit RGB, 2 chunks of metadata>"
    assert repr(Picture(np.zeros((4, 5), np.uint8), 4)) == "<Picture of 5 x 4, 4-bit gray>"
