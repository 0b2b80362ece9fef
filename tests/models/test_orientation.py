"""The eight orientations: there and back, and in a header. Which one a model takes: test_archive.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.errors import CorruptError
from shearloc.models.orientation import (
    MIRRORED,
    TRANSPOSED,
    UPSIDE_DOWN,
    Orientations,
    each_way,
    oriented,
    pack,
    restored,
    tried,
    unpack,
)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[np.ndarray, Orientations]:
    """Images of one size, [N, H, W, C], and orientations that they can have."""
    count, height, channels = draw(st.integers(1, 9)), draw(st.integers(1, 6)), draw(st.sampled_from([1, 3]))
    width = draw(st.one_of(st.just(height), st.integers(1, 6)))
    most = 8 if height == width else TRANSPOSED
    numbers = draw(st.lists(st.integers(0, most - 1), min_size=count, max_size=count))
    images = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (count, height, width, channels))
    return images.astype(np.uint8), np.array(numbers, np.uint8)


@given(drawn())
def test_there_and_back(sample: tuple[np.ndarray, Orientations]) -> None:
    images, orientations = sample
    before = images.copy()
    assert np.array_equal(restored(oriented(images, orientations), orientations), images)
    assert np.array_equal(images, before)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, [[1, 2], [3, 4]]),
        (MIRRORED, [[2, 1], [4, 3]]),
        (UPSIDE_DOWN, [[3, 4], [1, 2]]),
        (MIRRORED | UPSIDE_DOWN, [[4, 3], [2, 1]]),
        (TRANSPOSED, [[1, 3], [2, 4]]),
        (MIRRORED | TRANSPOSED, [[2, 4], [1, 3]]),
        (UPSIDE_DOWN | TRANSPOSED, [[3, 1], [4, 2]]),
        (MIRRORED | UPSIDE_DOWN | TRANSPOSED, [[4, 2], [3, 1]]),
    ],
)
def test_what_the_numbers_mean(number: int, expected: list[list[int]]) -> None:
    image = np.array([[1, 2], [3, 4]], np.uint8)[None, ..., None]
    assert oriented(image, np.array([number], np.uint8))[0, ..., 0].tolist() == expected


@given(st.lists(st.integers(0, 7), min_size=1, max_size=40))
def test_header_there_and_back(numbers: list[int]) -> None:
    packed = pack(np.array(numbers, np.uint8))
    assert len(packed) == -(-3 * len(numbers) // 8)
    assert unpack(packed, (len(numbers), 4, 4)).tolist() == numbers


def test_header_bits() -> None:
    assert pack(np.array([1, 4, 7, 2], np.uint8)) == bytes([0b001_100_11, 0b1_010_0000])


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"\x20", (3, 4, 4)),
        (b"\x20\x00", (2, 4, 4)),
        (b"\x21", (2, 4, 4)),
        (b"", (1, 4, 4)),
        (b"\x80", (1, 4, 5)),
        (bytes(3 * 8**7 + 1), (1 + (1 << 24), 4, 4)),
    ],
    ids=["too few", "too many", "bits at the end", "none", "not square", "too many images"],
)
def test_damaged_headers(packed: bytes, size: tuple[int, int, int]) -> None:
    with pytest.raises(CorruptError, match="orientations"):
        unpack(packed, size)


def test_which_are_tried() -> None:
    square, wide = (9, 8, 8), (9, 8, 7)
    assert [len(tried(effort, square)) for effort in range(1, 10)] == [1, 1, 1, 1, 1, 1, 2, 4, 8]
    assert [len(tried(effort, wide)) for effort in (6, 7, 8, 9)] == [1, 2, 4, 4]
    assert len(tried(9, (1 << 24, 2, 2))) == 8 and len(tried(9, (1 + (1 << 24), 2, 2))) == 1


def test_each_way() -> None:
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 1)
    found = list(each_way(images, range(8)))
    assert len({laid.tobytes() for laid in found}) == 8 and np.array_equal(found[0], images)
    for number, laid in enumerate(found):
        assert np.array_equal(laid, oriented(images, np.full(2, number, np.uint8)))
