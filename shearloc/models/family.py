"""What every family of models provides: a description for files, and models that encode and decode images.

A family is a folder of `models/`. Its `__init__.py` holds a `Family`, which costs nothing to import. Its models, and
all code that computes, are loaded when the first model is needed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..types import Pixels, Progress, Samples, Size


class Order(IntEnum):
    """The order of a payload's pixels: one after the other, or the time steps of a wavefront."""

    SEQUENTIAL = 0
    SHEARED = 1


@dataclass(frozen=True)
class How:
    """How to encode or decode. It never changes a pixel.

    `engine`: auto, numba, numpy, torch or cuda. `order`: sheared, parallel or sequential, and "auto" for a decoder.
    `steps`: K steps of optimal inference. `orientations`: the ways to lay an image down that an encoder may choose from
    (`orientation.py`); the first is as it is. `draws`: of the latents, which code lengths are the mean of.
    """

    engine: str = "auto"
    order: str = "sheared"
    steps: int = 0
    orientations: range = range(1)
    progress: Progress | None = None
    draws: int = 1


@dataclass(frozen=True)
class Coded:
    """Images as a model has coded them: the payload, and what else a decoder must know.

    `lanes`: lanes of the payload's message, 0 for a family that keeps them inside it. `side_information`: what adapts
    the model to the image. `net_bits`: what the images cost without the start of a bits-back chain, in 2^-16 bits; 0
    without one. `orientations` uint8 [N]: how each image lies, None where all are as they are.
    """

    payload: bytes
    lanes: int = 0
    order: Order = Order.SHEARED
    side_information: bytes = b""
    net_bits: int = 0
    orientations: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Lengths:
    """Code lengths of images in 2^-16 bits: the same integers with every engine and number of threads.

    `pixels` int64 [N, H, W, C]: of every subpixel. `latents` int64 [N]: what an image's latents cost beyond them, 0 in
    a model without.
    """

    pixels: NDArray[np.int64]
    latents: NDArray[np.int64]

    @property
    def images(self) -> NDArray[np.int64]:
        """Of whole images, int64 [N]."""
        return np.asarray(self.pixels.sum((1, 2, 3)) + self.latents)


@dataclass(frozen=True, eq=False)
class Latents:
    """Posteriors of images' latents, to look at: N(mean, sigma^2) each, beside a prior of N(0, 1).

    `means`, `sigmas` float64 [N, L]. `bits(z)`: -log2 p(x|z) of each image given its latents z float64 [N, L].
    """

    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    bits: Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Model(Protocol):
    """A model of any family."""

    @property
    def name(self) -> str:
        """Its name here. A file may have another name for it, and finds it by its fingerprint."""

    @property
    def family(self) -> "Family":
        """The model's family."""

    @property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any number of the model."""

    @property
    def channels(self) -> int:
        """Channels of the images it codes."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images it codes, None for any."""

    @property
    def adaptable(self) -> bool:
        """Whether an encoder can adapt it to an image and send what changed as side information."""

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        """Why it cannot code images [H, W, C] of values 0 .. levels - 1, in words; None if it can."""

    def engine_for(self, engine: str, samples: int) -> str:
        """The engine that `engine` ("auto", or its name) means for this many subpixels."""

    def at_once(self, size: Size, engine: str, count: int) -> int:
        """How many of `count` batches of images of that size to code side by side on a share of the processors."""

    def encode(self, images: Samples, how: How, side_information: bytes = b"") -> Coded:
        """Code uint8 [N, H, W, C], of a deep family uint16 [1, H, W, C], that it does not refuse.

        ShearlocError where the engine is missing.
        """

    def decode(self, coded: Coded, size: Size, how: How) -> Samples:
        """The images of this size. CorruptError if `coded` cannot be theirs."""

    def lengths(self, images: Pixels, how: How) -> Lengths:
        """Code lengths of uint8 [N, H, W, C] that it does not refuse, each image's the same in any company.

        Of a model with latents they are -ELBO, the mean of `how.draws` pseudo-random draws that depend on the image
        alone. ShearlocError for a family that has none, or where the engine is missing.
        """

    def latents(self, images: Pixels, how: How) -> Latents:
        """Posteriors of uint8 [N, H, W, C] that it does not refuse. ShearlocError for a family without latents."""

    def sample(self, size: Size, seed: int, how: How) -> Pixels:
        """uint8 [N, H, W, C] of that size, decoded from pseudo-random words: the same on every machine.

        ShearlocError for a family that cannot, or a size that the model does not have.
        """


@dataclass(frozen=True)
class Family:
    """What files and the zoo need to know of a family before its code is loaded.

    `name`: of its folder, and of the method in `info`. `method`: its number in files. `format`: what its model files
    say in their metadata. `precision`: bits of its probabilities, in headers. `parse(data, name, source)` gives a model
    from a model file's bytes, and is the only way to its code.
    """

    name: str
    method: int
    format: str
    precision: int
    module: str
    """Absolute name of the module that has `parse`."""
    deep: bool = False
    """Whether it codes pictures of 16 bits, all their planes at once, and nothing else."""
    pictures: bool = True
    """Whether single pictures are coded by it; if not, one image makes an archive of one."""
    lanes: bool = True
    """Whether its payloads have lanes that the header counts."""
    orients: bool = False
    """Whether its encoder chooses how images lie."""
    turns: bool = False
    """Whether a picture may lie another way in its file (`codec/turning.py`)."""
    options: frozenset[str] = frozenset()
    """Of "effort", "order" and "steps": those that change what its encoder does."""
    fixed_size: bool = False
    """Whether each of its models codes images of one size."""
    chunk_samples: int = 1 << 17
    """Subpixels of an archive's chunk at most, or one image."""
    most_step_pixels: int = sys.maxsize
    """Images of a chunk times their shorter side at most, which bounds the pixels of a wavefront's step."""

    @property
    def parse(self) -> Callable[[bytes, str, str], Model]:
        """(data, name, source) -> model. ShearlocError, which calls the bytes `source`, if they are none."""
        found: Callable[[bytes, str, str], Model] = import_module(self.module).parse
        return found


def with_progress(how: How, progress: Progress | None) -> How:
    """The same, reporting to `progress`."""
    return replace(how, progress=progress)


def share_of(progress: Progress | None, first: int, count: int, whole: int) -> Progress | None:
    """`progress` for `count` parts of the work, after the first `first` of `whole` equal ones."""
    if progress is None or count == whole:
        return progress
    return lambda done, total: progress(first * total + count * done, whole * total)
