"""The eight ways to lay an image down: mirrored, upside down, transposed. Arrays and header bytes only.

A local model predicts pixels from those above and to the left, so an image's code length depends on its orientation: by
about 1% from one orientation to the next at 32 x 32 pixels. `local.encode_shortest` finds the best.

An orientation is a number of three bits, applied in this order: MIRRORED (left and right change places), UPSIDE_DOWN,
TRANSPOSED (rows become columns; in archives of squares only).
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from ..types import Pixels

MIRRORED, UPSIDE_DOWN, TRANSPOSED = 1, 2, 4

BITS = 3

TRIED = {7: 2, 8: 4, 9: 8}
"""Orientations tried, by effort; efforts below 7 keep images as they are."""

MOST_IMAGES = 1 << 24
"""Most images of an archive with orientations: it bounds what a header makes a decoder hold."""

_BLOCK = 1 << 16
"""Images whose orientations are counted at a time; a multiple of 8, so that they begin with a byte."""

Orientations = NDArray[np.uint8]
Value = TypeVar("Value", bound=np.generic)


def tried(effort: int, size: tuple[int, int, int]) -> range:
    """The orientations to choose from for images of size (N, H, W)."""
    count, height, width = size
    most = 8 if height == width else TRANSPOSED
    return range(min(most, TRIED.get(effort, 1)) if count <= MOST_IMAGES else 1)


def oriented(images: Pixels, orientations: Orientations) -> Pixels:
    """Each of the images [N, H, W, C] laid down by its orientation, uint8 [N]; in new memory."""
    found = images.copy()
    for number in np.unique(orientations):
        chosen = orientations == number
        found[chosen] = laid(images[chosen], number)
    return found


def restored(images: Pixels, orientations: Orientations) -> Pixels:
    """The inverse of `oriented`."""
    found = images.copy()
    for number in np.unique(orientations):
        chosen = orientations == number
        found[chosen] = picked_up(images[chosen], number)
    return found


def _flipped(images: NDArray[Value], number: int) -> NDArray[Value]:
    images = images[:, :, ::-1] if number & MIRRORED else images
    return images[:, ::-1] if number & UPSIDE_DOWN else images


def words(number: int) -> str:
    """What is done to an image that lies this way; empty for one that lies as it is."""
    named = ((MIRRORED, "mirrored"), (UPSIDE_DOWN, "upside down"), (TRANSPOSED, "transposed"))
    return ", ".join(word for bit, word in named if number & bit)


def laid(images: NDArray[Value], number: int) -> NDArray[Value]:
    """All of the images [N, H, W, C] in one orientation, contiguous; of any sides."""
    found = _flipped(images, number)
    return np.ascontiguousarray(found.swapaxes(1, 2) if number & TRANSPOSED else found)


def picked_up(images: NDArray[Value], number: int) -> NDArray[Value]:
    """The inverse of `laid`."""
    return np.ascontiguousarray(_flipped(images.swapaxes(1, 2) if number & TRANSPOSED else images, number))


def each_way(images: Pixels, choice: range) -> Iterator[Pixels]:
    """All of the images [N, H, W, C] in one orientation, then in the next."""
    return (laid(images, number) for number in choice)


def pack(orientations: Orientations) -> bytes:
    """Three bits each, the highest one first, and zeros up to a whole byte."""
    return np.packbits(orientations[:, None] & np.array([TRANSPOSED, UPSIDE_DOWN, MIRRORED], np.uint8)).tobytes()


def check_length(packed: bytes, count: int) -> None:
    """CorruptError where packed orientations have another length than those of `count` images."""
    if count > MOST_IMAGES or len(packed) != -(-BITS * count // 8):
        raise CorruptError(f"{len(packed)} bytes for the orientations of {count} images")


def count_turned(packed: bytes, count: int) -> int:
    """How many of `count` images are coded in another orientation than their own, in little memory."""
    turned = 0
    for begin in range(0, count, _BLOCK):
        images = min(_BLOCK, count - begin)
        bits = np.unpackbits(np.frombuffer(packed, np.uint8, offset=BITS * begin // 8), count=BITS * images)
        turned += int(bits.reshape(images, BITS).any(1).sum())
    return turned


def unpack(packed: bytes, size: tuple[int, int, int]) -> Orientations:
    """The inverse of `pack` for images of size (N, H, W). CorruptError where it cannot be theirs."""
    count, height, width = size
    check_length(packed, count)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=BITS * count).reshape(count, BITS)
    orientations = bits @ np.array([TRANSPOSED, UPSIDE_DOWN, MIRRORED], np.uint8)
    if pack(orientations) != packed or (height != width and orientations.max() >= TRANSPOSED):
        raise CorruptError(f"orientations that images of {height} x {width} pixels cannot have")
    return orientations
