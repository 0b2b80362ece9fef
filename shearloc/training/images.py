"""Training images: folders or arrays into one flat byte array that pixels are sampled from.

It reads pictures for training and measuring only; `shearloc encode` reads them by `codec/pictures/files.py`.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ShearlocError
from ..models.wavefront.context import MEDIAN_EDGE, sample_contexts, shown

JPEG_REDUCTIONS = ((2.0, Image.Resampling.LANCZOS), (3.1, Image.Resampling.BICUBIC))
"""A JPEG is only used reduced by these factors: at full size its block artefacts would be learnt."""

JPEG_MATRIX = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to luma and two colour differences (ITU-T T.871)."""

TILE = 32
"""Side of the images in a grid."""

IDX_FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}

SUFFIXES = {".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".jpg", ".jpeg"}

Complain = Callable[[str], None]
"""Called with the reason for each file that cannot be used; without it, the error is raised."""

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def load_folder(folder: Path, channels: int, complain: Complain | None = None) -> Iterator[NDArray[np.uint8]]:
    """All images of a folder, by name, as uint8 [H, W, channels] (gray is Pillow's "L"). JPEGs come reduced."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            yield from _load_file(path, channels)
        except (OSError, ShearlocError) as error:
            if complain is None:
                raise
            complain(f"{path}: left out ({error})")


def _load_file(path: Path, channels: int) -> list[NDArray[np.uint8]]:
    """One array, or of a JPEG one for each reduction."""
    arrays = []
    with Image.open(path) as image:
        if image.mode[0] in "IF":
            raise ShearlocError("more than 8 bits a sample, which would be cut off")
        picture = image.convert("RGB")
        lossy = image.format == "JPEG"
    for factor, resampling in JPEG_REDUCTIONS if lossy else [(1.0, Image.Resampling.BOX)]:
        size = (max(1, int(picture.width / factor)), max(1, int(picture.height / factor)))
        reduced = picture.resize(size, resampling) if lossy else picture
        array = np.asarray(reduced if channels == 3 else reduced.convert("L"))
        arrays.append(array.reshape(array.shape[0], array.shape[1], channels))
    return arrays


def load_data(
    folder: Path, channels: int, part: str = "train", complain: Complain | None = None, count: int | None = None
) -> list[NDArray[np.uint8]]:
    """The "train" or "test" images of a data set, each uint8 [H, W, channels]; with `count`, only the first ones.

    Known by their content: IDX files as MNIST has them (gray only), and grids of 32 x 32 tiles named `train_*` and
    `test_*`. Any other folder is training images (`load_folder`) without a test part. ShearlocError where a folder has
    no image of this kind.
    """
    idx = folder / IDX_FILES[part]
    if idx.exists():
        if channels != 1:
            raise ShearlocError(f"{folder} holds gray images: train with --channels 1")
        return list(read_idx(idx)[:count, ..., None])
    grids = _grids(folder)
    if grids:
        chosen = [path for path in grids if path.name.startswith(part)]
        return list(islice((tile for path in chosen for tile in tiles(_read(path, channels), TILE)), count))
    if not folder.is_dir():
        raise ShearlocError(f"there is no folder {folder}")
    return list(islice(load_folder(folder, channels, complain), count)) if part == "train" else []


def _grids(folder: Path) -> list[Path]:
    """The files of a data set of grids; none if it is not one."""
    grids = sorted(folder.glob("*_*.webp"))
    return grids if all(path.name.startswith(("train_", "test_")) for path in grids) else []


def channels_of(folders: list[Path]) -> int:
    """1 if all images of these data sets are gray, else 3; files that cannot be read do not count."""
    for folder in folders:
        if not (folder / IDX_FILES["train"]).exists() and folder.is_dir():
            files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
            if not all(map(_is_gray, files)):
                return 3
    return 1


def _is_gray(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in ("1", "L", "LA") or image.mode[0] in "IF"
    except OSError:
        return True


def fingerprint(image: NDArray[np.uint8]) -> str:
    """Eight hexadecimal digits that identify an image: uint8 [H, W], [H, W, 1] or [H, W, C].

    They are the first of SHA-256 over the text "H W C " and the bytes. A model's card lists those of its training
    images as it saw them: reduced in size, turned to gray.
    """
    height, width = image.shape[:2]
    content = f"{height} {width} {image.size // (height * width)} ".encode() + np.ascontiguousarray(image).tobytes()
    return hashlib.sha256(content).hexdigest()[:8]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of a gzipped IDX file of bytes (LeCun's MNIST page). ShearlocError if it is none."""
    try:
        data = gzip.decompress(path.read_bytes())
        if data[:3] != b"\0\0\x08":
            raise ValueError("no bytes in it")
        shape = np.frombuffer(data, ">u4", data[3], 4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise ShearlocError(f"{path} is not a gzipped IDX file of bytes ({error})") from error


def tiles(grid: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """The side x side tiles of uint8 [H, W, C], row by row. ValueError where they do not fill it."""
    height, width, channels = grid.shape
    if height % side or width % side:
        raise ValueError(f"tiles of {side} x {side} do not fill a grid of {height} x {width}")
    rows = grid.reshape(height // side, side, width // side, side, channels).swapaxes(1, 2)
    return list(rows.reshape(-1, side, side, channels))


def _read(path: Path, channels: int) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return array.reshape(*array.shape[:2], channels)


def camera_like(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """An RGB image as a camera or scanner would have given it; uint8 [H, W, 3], H and W >= 2.

    Photographs that were reduced in size, as most training sets are, have colour at full resolution and little
    noise. Sensors and video coding halve the colour's resolution, optics blur and films and sensors have grain.
    """
    luma, *colours = np.moveaxis(image @ JPEG_MATRIX.T, 2, 0)
    if rng.random() < 0.5:
        luma = _blurred(luma, rng.uniform(0.05, 0.25))
    colours = [_doubled(_halved(colour), luma.shape, rng.random() < 0.75) for colour in colours]
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(0.3, 3.0), luma.shape)
        luma = luma + (_blurred(grain, 0.2) if rng.random() < 0.5 else grain)
    planes = np.stack([luma, *colours], 2)
    if rng.random() < 0.75:
        planes = planes.round()
    return np.rint(planes @ np.linalg.inv(JPEG_MATRIX).T).clip(0, 255).astype(np.uint8)


def _blurred(plane: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    """Blurs along rows and columns: each neighbour has weight `amount` < 1/3, the sample itself the rest."""
    for axis in (0, 1):
        padded = np.pad(plane, [(1, 1) if axis == k else (0, 0) for k in range(2)], mode="edge")
        low, high = (np.take(padded, np.arange(k, k + plane.shape[axis]), axis) for k in (0, 2))
        plane = (1 - 2 * amount) * plane + amount * (low + high)
    return plane


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2 x 2 samples; an odd last row or column is repeated."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return even.reshape(even.shape[0] // 2, 2, -1, 2).mean((1, 3))


def _doubled(plane: NDArray[np.float64], shape: tuple[int, ...], smooth: bool) -> NDArray[np.float64]:
    """Twice as many samples each way, cut to `shape`; `smooth`: weighed 3 to 1 with the next ones, as libjpeg does."""
    for axis in (0, 1):
        plane = np.repeat(plane, 2, axis)
        if smooth:
            padded = np.pad(plane, [(2, 2) if axis == k else (0, 0) for k in range(2)], mode="edge")
            index = np.arange(plane.shape[axis])
            other = np.take(padded, index + np.where(index % 2 == 0, 1, 3), axis)
            plane = 0.75 * plane + 0.25 * other
    return plane[: shape[0], : shape[1]]


def perturbed(image: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image with a share of its values replaced by ones drawn evenly, for background models (Ren et al., 2019)."""
    chosen = rng.random(image.shape) < share
    return np.where(chosen, rng.integers(0, 256, image.shape, np.uint8), image)


def split(images: list[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Training and held-out images: every 20th, from the 8th on, is held out; of fewer than 8, the last.

    ShearlocError for fewer than 2 images.
    """
    if len(images) < 2:
        raise ShearlocError(f"training needs at least 2 images, one of them held out; found {len(images)}")
    held_out = range(7, len(images), 20) or range(len(images) - 1, len(images))
    return [images[k] for k in range(len(images)) if k not in held_out], [images[k] for k in held_out]


def training_images(folders: list[Path], channels: int) -> list[NDArray[np.uint8]]:
    """The images of all folders, each without those that `split` holds out."""
    return [image for folder in folders for image in split(list(load_folder(folder, channels)))[0]]


@dataclass(frozen=True)
class PixelSet:
    """Many images of any sizes in one flat array; see `context.sample_contexts`."""

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    ends: NDArray[np.int64]
    channels: int

    @classmethod
    def of(cls, images: list[NDArray[np.uint8]]) -> "PixelSet":
        """Joins uint8 [H, W, C] images that have the same C."""
        heights = np.array([image.shape[0] for image in images], np.int64)
        widths = np.array([image.shape[1] for image in images], np.int64)
        ends = np.cumsum(heights * widths)
        channels = images[0].shape[2]
        starts = (ends - heights * widths) * channels
        return cls(np.concatenate([image.ravel() for image in images]), starts, heights, widths, ends, channels)

    def each(self) -> list[NDArray[np.uint8]]:
        """The images one by one, views uint8 [H, W, C]."""
        sizes = zip(self.heights.tolist(), self.widths.tolist(), strict=True)
        parts = np.split(self.pixels, self.starts[1:])
        return [part.reshape(*size, self.channels) for part, size in zip(parts, sizes, strict=True)]

    def images(self) -> NDArray[np.uint8]:
        """All images as a view uint8 [n, H, W, C]. ShearlocError where their sizes differ."""
        if len(set(self.heights.tolist())) > 1 or len(set(self.widths.tolist())) > 1:
            raise ShearlocError("the images differ in size: use a data set of equal ones")
        return self.pixels.reshape(-1, int(self.heights[0]), int(self.widths[0]), self.channels)

    def contexts(
        self,
        index: NDArray[np.int64],
        mirror: NDArray[np.int64],
        offsets: NDArray[np.int32],
        predictor: int = MEDIAN_EDGE,
    ) -> Batch:
        """Inputs, predictions and values of the pixels with these indices (over all images, in order)."""
        picks = np.stack([*self._positions(index), mirror], 1).astype(np.int64)
        inputs = np.empty((len(index), len(offsets) * self.channels), np.float32)
        predictions = np.empty((len(index), self.channels), np.float32)
        values = np.empty_like(predictions)
        sample_contexts(
            *(self.pixels, self.starts, self.heights, self.widths, picks, offsets, predictor, shown(predictor)),
            *(inputs, predictions, values),
        )
        return inputs, predictions, values

    def windows(
        self,
        picks: NDArray[np.int64],
        size: tuple[int, int],
        offsets: NDArray[np.int32],
        predictor: int = MEDIAN_EDGE,
    ) -> Batch:
        """`contexts` of all pixels of some windows of one size (H, W), inputs as [n, H, W, features].

        `picks` int64 [n, 4]: image, first row, first column, and 1 to mirror left and right.
        """
        height, width = size
        image, top, left, mirror = (field[:, None, None] for field in picks.T)
        columns = np.arange(width)
        columns = left + np.where(mirror, columns[::-1], columns)
        rows = top + np.arange(height)[:, None]
        index = (self.ends - self.heights * self.widths)[image] + rows * self.widths[image] + columns
        contexts = self.contexts(index.ravel(), np.repeat(picks[:, 3], height * width), offsets, predictor)
        return contexts[0].reshape(len(picks), height, width, -1), *contexts[1:]

    def window(self, most: int) -> tuple[int, int]:
        """Height and width, at most `most`, of a window that fits into every image."""
        return min(most, int(self.heights.min())), min(most, int(self.widths.min()))

    def spread_windows(self, count: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """`picks` of at most `count` windows, evenly spread over all pixels, none twice."""
        index = np.linspace(0, int(self.ends[-1]) - 1, count).astype(np.int64)
        image, row, column = self._positions(index)
        top, left = np.minimum(row, self.heights[image] - size[0]), np.minimum(column, self.widths[image] - size[1])
        return np.unique(np.stack([image, top, left, np.zeros_like(top)], 1), axis=0)

    def random_windows(self, rng: np.random.Generator, count: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """`picks` of `count` windows: images drawn by size, places evenly, half of them mirrored."""
        image, _, _ = self._positions(rng.integers(0, int(self.ends[-1]), count))
        top = rng.integers(0, self.heights[image] - size[0] + 1)
        left = rng.integers(0, self.widths[image] - size[1] + 1)
        return np.stack([image, top, left, rng.integers(0, 2, count)], 1)

    def _positions(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Image, row and column of the pixels with these indices (over all images, in order)."""
        image = np.searchsorted(self.ends, index, side="right")
        inside = index - (self.ends - self.heights * self.widths)[image]
        return image, inside // self.widths[image], inside % self.widths[image]

    def sample(
        self, rng: np.random.Generator, count: int, offsets: NDArray[np.int32], predictor: int = MEDIAN_EDGE
    ) -> Batch:
        """`count` pixels drawn evenly from all, half of them mirrored."""
        index = rng.integers(0, int(self.ends[-1]), count)
        return self.contexts(index, rng.integers(0, 2, count), offsets, predictor)
