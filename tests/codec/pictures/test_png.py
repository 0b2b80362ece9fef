"""PNG files: pictures come back, Pillow and this reader agree, and what is damaged or animated is refused."""

import io
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from shearloc.codec.pictures import png, rows
from shearloc.codec.pictures.picture import CHANNELS, DEPTHS, GRAY, RGB, Picture
from shearloc.errors import UnsupportedImageError

from .against_libpng import compare

KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


def written(picture: Picture) -> bytes:
    file = io.BytesIO()
    png.write(file, picture)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(*chunks: tuple[bytes, bytes], header: tuple[int, ...] = (1, 1, 8, 2, 0, 0, 0)) -> bytes:
    """A PNG of one black RGB pixel with other chunks before its data."""
    body = [chunk(*one) for one in chunks]
    ends = chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    return png.SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + b"".join(body) + ends


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    return png._chunks(data)[0]


@given(data=st.data())
def test_pictures_come_back(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture)
    assert png.read(written(picture)) == picture


@given(data=st.data())
def test_samples_come_back(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture)
    height, width = picture.samples.shape[:2]
    kind = (picture.colour, picture.depth)
    packed_rows = rows.pack_rows(picture.samples, picture.depth)
    assert packed_rows.shape == (height, rows.row_bytes(width, *kind))
    assert np.array_equal(rows.unpack_rows(packed_rows, width, *kind), picture.samples)
    packed = png.compress(picture, data.draw(st.integers(0, 9)))
    assert np.array_equal(png.decompress(packed, height, width, *kind), picture.samples)


def test_packed_rows() -> None:
    assert rows.pack_rows(np.array([[1, 0, 1]], np.uint8), 1).tolist() == [[0b10100000]]
    assert rows.pack_rows(np.array([[1, 2, 3, 0, 1]], np.uint8), 2).tolist() == [[0b01101100, 0b01000000]]
    assert rows.pack_rows(np.array([[0xA, 0xB]], np.uint8), 4).tolist() == [[0xAB]]
    assert rows.pack_rows(np.array([[0x1234]], np.uint16), 16).tolist() == [[0x12, 0x34]]


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_pillow_reads_the_same(colour: int, depth: int) -> None:
    rng = np.random.default_rng(0)
    shape = (11, 13) if CHANNELS[colour] == 1 else (11, 13, CHANNELS[colour])
    samples = rng.integers(0, 2**depth, shape).astype(np.uint16 if depth == 16 else np.uint8)
    palette = rng.integers(0, 256, (2**depth, 3), np.uint8) if colour == 3 else None
    picture = Picture(samples, depth, palette)
    with Image.open(io.BytesIO(written(picture))) as image:
        if depth == 16 and colour:
            assert np.array_equal(
                np.array(image)[:, :, :3], samples[:, :, [0, 0, 0] if colour == 4 else [0, 1, 2]] >> 8
            )
        elif colour == 3:
            assert np.array_equal(np.array(image.convert("RGB")), picture.array())
        else:
            assert np.array_equal(np.array(image).astype(int) * (255 if depth == 1 else 1), picture.array())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (40, 33)])
def test_what_pillow_writes_is_read(
    picture: Callable[..., NDArray[np.uint8]], mode: str, size: tuple[int, int]
) -> None:
    image = Image.fromarray(picture(*size, 3)).convert("L" if mode == "I;16" else mode).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    back = png.read(file.getvalue())
    expected = np.array(image.convert("RGB")) if mode == "P" else np.array(image)
    assert np.array_equal(back.array(), expected * np.uint8(255) if mode == "1" else expected)


def paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))  # min takes the first of equals


@given(st.lists(st.integers(0, 4), min_size=4, max_size=4), st.integers(0, 99), st.sampled_from([1, 3, 6]))
def test_filters_are_undone_as_the_standard_says(kinds: list[int], seed: int, step: int) -> None:
    rng = np.random.default_rng(seed)
    filtered = rng.integers(0, 256, (4, 1 + 3 * step), np.uint8)
    filtered[:, 0] = kinds
    out = np.zeros((4, 3 * step), np.uint8)
    rows._kernel()(filtered, out, step)
    for i, j in np.ndindex(out.shape):
        left, up = (int(out[i, j - step]) if j >= step else 0), (int(out[i - 1, j]) if i else 0)
        corner = int(out[i - 1, j - step]) if i and j >= step else 0
        guess = [0, left, up, (left + up) // 2, paeth(left, up, corner)][kinds[i]]
        assert out[i, j] == (int(filtered[i, 1 + j]) + guess) % 256


@pytest.mark.parametrize(("colour", "depth"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (4, 4), (17, 19)])
def test_interlaced_files_are_read(colour: int, depth: int, size: tuple[int, int]) -> None:
    """Interlaced here, by the standard's own table of passes."""
    rng = np.random.default_rng(0)
    shape = size if CHANNELS[colour] == 1 else (*size, CHANNELS[colour])
    samples = rng.integers(0, 2**depth, shape).astype(np.uint16 if depth == 16 else np.uint8)
    grid = np.array(
        [
            list(map(int, row))
            for row in ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
        ]
    )
    passes = np.tile(grid, (3, 3))[: size[0], : size[1]]
    raw = b""
    for number in range(1, 8):
        lines = [samples[i, passes[i] == number] for i in range(size[0]) if (passes[i] == number).any()]
        raw += b"".join(b"\0" + rows.pack_rows(line[None], depth).tobytes() for line in lines)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], depth, colour, 0, 0, 1))
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == 3 else b""
    data = png.SIGNATURE + header + palette + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.array_equal(png.read(data).samples, samples)


def test_metadata_is_kept_to_the_byte_and_in_order() -> None:
    chunks = (
        (b"gAMA", b"\0\0\xb1\x8f"),
        (b"tEXt", b"a\0b"),
        (b"zTXt", b"c\0\0" + zlib.compress(b"d")),
        (b"vpAg", b"x"),
    )
    back = png.read(with_chunks(*chunks, (b"iDOT", b"bytes of another file")))
    assert back.chunks == chunks
    names = [kind for kind, _ in chunks_of(written(back))]
    assert names == [b"IHDR", b"gAMA", b"tEXt", b"zTXt", b"vpAg", b"IDAT"]


def test_chunks_stand_where_the_standard_wants_them() -> None:
    picture = Picture(
        np.zeros((1, 1), np.uint8), 8, np.zeros((2, 3), np.uint8), b"\1", ((b"gAMA", b"1234"), (b"bKGD", b"\0"))
    )
    names = [kind for kind, _ in chunks_of(written(picture))]
    assert names == [b"IHDR", b"gAMA", b"PLTE", b"tRNS", b"bKGD", b"IDAT"]


def test_long_data_comes_in_several_chunks() -> None:
    picture = Picture(np.random.default_rng(0).integers(0, 256, (1100, 1000, 3), np.uint8))
    data = written(picture)
    assert [kind for kind, _ in chunks_of(data)].count(b"IDAT") == 4
    assert png.read(data) == picture


SMALL = written(Picture(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)))


def test_damage_is_refused_or_harmless() -> None:
    good = png.read(SMALL)
    for bit in range(8 * len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[bit // 8] ^= 1 << bit % 8
        if bytes(damaged).startswith(png.SIGNATURE):
            with pytest.raises(UnsupportedImageError):
                png.read(bytes(damaged))
    for length in range(len(SMALL) - 12):
        with pytest.raises(UnsupportedImageError):
            png.read(SMALL[:length])
    assert png.read(SMALL + b"more") == good


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (with_chunks((b"acTL", b"\0\0\0\2" + bytes(4))), "animated"),
        (with_chunks((b"acTL", b"\0\0\0\1" + bytes(4)), (b"fdAT", bytes(9))), "animated"),
        (with_chunks((b"CgBI", bytes(4))), "CgBI"),
        (with_chunks((b"PLTE", b"")), "an empty palette"),
        (with_chunks((b"PLTE", bytes(3)), (b"PLTE", bytes(3))), "comes twice"),
        (with_chunks((b"PLTE", bytes(3 * 257)), header=(1, 1, 8, 3, 0, 0, 0)), "a palette of 771 bytes"),
        (with_chunks((b"PLTE", bytes(4)), header=(1, 1, 8, 3, 0, 0, 0)), "a palette of 4 bytes"),
        (with_chunks(header=(1, 1, 8, 3, 0, 0, 0)), "can be read"),
        (with_chunks(header=(1, 1, 4, 2, 0, 0, 0)), "header"),
        (with_chunks(header=(1, 1, 8, 5, 0, 0, 0)), "can be read"),
        (with_chunks(header=(0, 1, 8, 2, 0, 0, 0)), "header"),
        (with_chunks(header=(1, 1, 8, 2, 1, 0, 0)), "header"),
        (with_chunks(header=(2, 1, 8, 2, 0, 0, 0)), "4 bytes of samples, not 7"),
        (with_chunks(header=(2**31, 1, 8, 2, 0, 0, 0)), "header"),
        (with_chunks(header=(2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)), "more than the limit"),
        (with_chunks(header=(1, 1, 8, 2, 0, 0, 2)), "header"),
        (with_chunks((b"IHDR", bytes(13))), "comes twice"),
        (with_chunks((b"IDAT", b"nonsense")), "can be read"),
        (with_chunks((b"IDAT", zlib.compress(b"\7abc"))), "filter"),
        (with_chunks((b"IDAT", zlib.compress(bytes(4))[:-4]), (b"tEXt", b"a\0b")), "cut short"),
        (with_chunks((b"IDAT", zlib.compress(bytes(4))[:6]), (b"tEXt", b"a\0b")), "bytes of samples, not 4"),
        (png.SIGNATURE + chunk(b"IEND", b""), "header is missing"),
        (png.SIGNATURE + chunk(b"CgBI", b"") + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""), "CgBI"),
        (with_chunks((b"IDAT", b""))[:-12], "cut short"),
    ],
    ids=range(24),
)
def test_files_that_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(UnsupportedImageError, match=told):
        png.read(data)


@pytest.mark.skipif(not (shutil.which("cc") and Path("/usr/include/png.h").exists()), reason="needs cc and libpng-dev")
def test_libpng_says_the_same_of_damaged_files(tmp_path: Path) -> None:
    """More of them: python -m tests.codec.pictures.against_libpng."""
    counts, differences = compare(150, 1, tmp_path)
    assert differences == [] and counts["equal"] > 40 and counts["refused by both"] > 40


@pytest.mark.parametrize(
    ("chunks", "header", "transparency", "noted"),
    [
        ([(b"tRNS", bytes(5))], (1, 1, 8, 2, 0, 0, 0), b"", "a tRNS chunk that does not fit"),
        ([(b"tRNS", b"\0\1" * 3), (b"tRNS", b"\0\2" * 3)], (1, 1, 8, 2, 0, 0, 0), b"\0\1" * 3, "a second tRNS chunk"),
        ([(b"PLTE", bytes(3 * 257))], (1, 1, 8, 2, 0, 0, 0), b"", "a suggested palette of 771 bytes"),
        ([(b"PLTE", bytes(6)), (b"tRNS", b"123")], (3, 1, 8, 3, 0, 0, 0), b"", "a tRNS chunk that does not fit"),
        ([(b"tRNS", b"1"), (b"PLTE", bytes(6))], (3, 1, 8, 3, 0, 0, 0), b"", "a tRNS chunk that does not fit"),
        ([(b"PLTE", bytes(6)), (b"tRNS", b"12")], (3, 1, 8, 3, 0, 0, 0), b"12", ""),
        ([(b"PLTE", bytes(15))], (12, 1, 2, 3, 0, 0, 0), b"", "cut to the 4 that 2 bits name"),
        ([(b"PLTE", bytes(3))], (3, 1, 8, 0, 0, 0, 0), b"", "a palette of gray samples"),
        ([(b"acTL", b"\0\0\0\1\0\0\0\0"), (b"fcTL", bytes(26))], (1, 1, 8, 2, 0, 0, 0), b"", "animation of one frame"),
        ([(b"IDAT", zlib.compress(bytes(9))), (b"tEXt", b"a\0b")], (1, 1, 8, 2, 0, 0, 0), b"", "more image data"),
        ([(b"IDAT", zlib.compress(bytes(4))), (b"PLTE", bytes(3))], (1, 1, 8, 2, 0, 0, 0), b"", "PLTE chunk after"),
    ],
    ids=range(11),
)
def test_what_libpng_ignores_is_ignored_and_noted(
    chunks: list[tuple[bytes, bytes]], header: tuple[int, ...], transparency: bytes, noted: str
) -> None:
    picture = png.read(with_chunks(*chunks, header=header))
    assert not picture.samples.any() and picture.transparency == transparency
    assert any(noted in note for note in picture.notes) if noted else picture.notes == ()
    assert not {kind for kind, _ in picture.chunks} & {b"tRNS", b"PLTE", b"acTL", b"fcTL"}


def test_more_samples_than_the_limit_are_refused() -> None:
    assert png.read(SMALL, max_samples=60).samples.size == 60
    with pytest.raises(UnsupportedImageError, match="the image has 60 samples, more than the limit of 59"):
        png.read(SMALL, max_samples=59)


def test_bytes_behind_the_end_are_noted() -> None:
    assert png.read(SMALL).notes == ()
    assert png.read(SMALL + b"more").notes == ("what follows the end of the PNG is ignored",)


def test_filtering_pays() -> None:
    """A ramp is one difference all over, in every kind that is filtered."""
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    assert len(png.compress(Picture(ramp), 9)) < 200 < len(zlib.compress(ramp.tobytes(), 9))
    colours = np.dstack([ramp, ramp * 3, ramp * 5])
    assert Picture(ramp).colour == GRAY and Picture(colours).colour == RGB
    assert len(png.compress(Picture(colours), 9)) < 400
