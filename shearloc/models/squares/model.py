"""The model: what a picture's coding begins with, and pictures of 16 bits to payloads and back, tile by tile."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptError, ShearlocError
from ...nets import engines, tensors
from ...types import Progress, Samples, Size
from ..family import Coded, Family, How, Latents, Lengths, Order
from . import FAMILY, experts, payload, spread, tiles
from .payload import Head

_ENGINE = "numba"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Squares:
    """What is known before the first sample. weights int32 [7], in 2^-16: of the scale's features. shapes int32
    [20, 33]: each class's CDF over 32 bins, from 0 to 2^26. ValueError where they are not so."""

    name: str
    weights: NDArray[np.int32]
    shapes: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check the arrays."""
        if self.weights.shape != (spread.FEATURES,) or self.shapes.shape != (spread.CLASSES, spread.BINS + 1):
            raise ValueError("its arrays have other shapes")
        if self.weights.dtype != np.int32 or self.shapes.dtype != np.int32:
            raise ValueError("its arrays are not int32")
        if np.abs(self.weights.astype(np.int64)).max() > 1 << 24:
            raise ValueError("a weight is above 256")
        ends = self.shapes[:, [0, -1]] == [0, 1 << spread.PRECISION]
        if not ends.all() or (np.diff(self.shapes, axis=1) < 0).any():
            raise ValueError("a shape is no CDF")

    @property
    def family(self) -> Family:
        """Least squares."""
        return FAMILY

    @property
    def channels(self) -> int:
        """The most channels of a picture; it takes fewer, too."""
        return experts.MOST_CHANNELS

    @property
    def size(self) -> None:
        """Any."""
        return None

    @property
    def adaptable(self) -> bool:
        """Never: it adapts while decoding."""
        return False

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any integer of the model (`tensors.fingerprint`)."""
        return tensors.fingerprint(FAMILY.format, self._arrays())

    def _arrays(self) -> dict[str, NDArray[np.int32]]:
        return {"shapes": self.shapes, "weights": self.weights}

    def save(self, path: Path) -> None:
        """Writes the model as .safetensors."""
        tensors.write(path, self._arrays(), {"format": FAMILY.format})

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        """As `family.Model.refuses`."""
        if levels <= 256:
            return f"model '{self.name}' is for pictures of 16 bits"
        most = experts.MOST_CHANNELS
        return None if shape[2] <= most else f"model '{self.name}' is for 1 to {most} channels, not {shape[2]}"

    def engine_for(self, engine: str, samples: int) -> str:
        """As `family.Model.engine_for`: it has one."""
        return _ENGINE

    def at_once(self, size: Size, engine: str, count: int) -> int:
        """As `family.Model.at_once`."""
        return engines.workers(_ENGINE, count)

    def encode(self, images: Samples, how: How, side_information: bytes = b"") -> Coded:
        """As `family.Model.encode`, of one picture, uint16 [1, H, W, C]."""
        head, ranks = payload.ranked(images[0])
        grid = payload.tiles_of(*ranks.shape[:2])

        def encoded(tile: payload.Tile) -> NDArray[np.uint32]:
            samples = np.ascontiguousarray(ranks[tile.rows, tile.columns]).astype(np.int64)
            words = np.empty(2 * samples.size + 4, np.uint32)
            return words[: self._run(samples, head, words, decoding=False)].copy()

        words = list(_side_by_side(encoded, grid, how.progress))
        return Coded(payload.pack(head, words), len(grid), Order.SEQUENTIAL)

    def decode(self, coded: Coded, size: Size, how: How) -> Samples:
        """As `family.Model.decode`, of one picture, uint16 [1, H, W, C]."""
        if how.order not in ("auto", "sequential"):
            raise ShearlocError(f"the file is coded in sequential order, so it cannot be decoded in {how.order} order")
        count, height, width = size
        grid = payload.tiles_of(height, width)
        if count != 1 or coded.order != Order.SEQUENTIAL or coded.side_information:
            raise CorruptError("the file's header does not fit its model")
        head, words = payload.unpack(coded.payload, coded.lanes)
        if len(grid) != len(words):
            raise CorruptError(f"{len(words)} tiles in a picture of {len(grid)}")
        channels = len(head.starts)
        ranks = np.empty((height, width, channels), np.uint16)

        def decode(number: int) -> None:
            tile = grid[number]
            samples = np.zeros(ranks[tile.rows, tile.columns].shape, np.int64)
            if self._run(samples, head, words[number], decoding=True) == tiles.DAMAGED:
                raise CorruptError("the message ends too early or too late: damaged, or made otherwise")
            ranks[tile.rows, tile.columns] = samples

        for _ in _side_by_side(decode, range(len(grid)), how.progress):
            pass
        return payload.unranked(head, ranks)[None]

    def lengths(self, images: Samples, how: How) -> Lengths:
        """It is for coding only: ShearlocError, here and below."""
        raise ShearlocError(f"model '{self.name}' learns from the picture it codes, so it has no scores")

    def latents(self, images: Samples, how: How) -> Latents:
        """As `lengths`."""
        raise ShearlocError(f"model '{self.name}' has no latents; autoencoders have")

    def sample(self, size: Size, seed: int, how: How) -> Samples:
        """As `lengths`."""
        raise ShearlocError(f"model '{self.name}' knows nothing before it has seen a picture, so it has no samples")

    def _run(self, samples: NDArray[np.int64], head: Head, words: NDArray[np.uint32], *, decoding: bool) -> int:
        """`tiles.run` from the model's start."""
        _, width, channels = samples.shape
        room = experts.room(channels, width)
        state = spread.state(channels, self.weights, self.shapes)
        coder = np.zeros(3, np.uint64)
        return int(tiles.run(samples, head.levels, head.starts, room, state, words, coder, decoding))


def _side_by_side(work: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None) -> Iterator[Result]:
    """work(item) of each, on as many threads as there are processors; calls progress(done, total) after each."""
    threads = engines.workers(_ENGINE, len(items))
    with ThreadPoolExecutor(threads) as pool:
        for done, result in enumerate(pool.map(work, items), 1):
            if progress:
                progress(done, len(items))
            yield result


def parse(data: bytes, name: str, source: str) -> Squares:
    """As `family.Family.parse`."""
    with tensors.sound(source):
        _, arrays = tensors.read(data, FAMILY.format)
        return Squares(name, arrays["weights"], arrays["shapes"])
