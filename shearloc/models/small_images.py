"""Sets of small images of equal size: MNIST's IDX files, grids of CIFAR-10, and binary images made of gray ones.

For training and measuring; what `shearloc encode` reads is `codec/planes.py`'s business.
"""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ShearlocError

Pixels = NDArray[np.uint8]

BINARY_SEED = 0
"""Seed of the binary MNIST that the shipped models were trained and measured on."""


def read_idx(path: Path) -> Pixels:
    """Images of a gzipped IDX file: uint8 [n, height, width, 1]. ShearlocError for anything else."""
    data = gzip.decompress(path.read_bytes())
    if data[:4] != b"\x00\x00\x08\x03":
        raise ShearlocError(f"{path} does not hold 8-bit images in IDX form")
    shape = tuple(int(k) for k in np.frombuffer(data, ">u4", 3, 4))
    return np.frombuffer(data, np.uint8, offset=16).reshape(*shape, 1).copy()


def read_grids(paths: list[Path], side: int) -> Pixels:
    """Images laid out in rows of grids (RGB pictures), row by row: uint8 [n, side, side, 3]."""
    parts = []
    for path in paths:
        with Image.open(path) as picture:
            grid = np.asarray(picture.convert("RGB"))
        rows, columns = grid.shape[0] // side, grid.shape[1] // side
        tiles = grid.reshape(rows, side, columns, side, 3).transpose(0, 2, 1, 3, 4)
        parts.append(tiles.reshape(-1, side, side, 3))
    return np.concatenate(parts)


def binarise(gray: Pixels, seed: int = BINARY_SEED) -> Pixels:
    """Gray levels as 0 and 1, drawn once: 1 with probability gray / 255, from a fixed seed. The same shape, uint8."""
    return (np.random.default_rng(seed).integers(0, 255, gray.shape) < gray).astype(np.uint8)


DATASETS = ("mnist-binary", "mnist", "cifar10")


def load_dataset(name: str, data: Path) -> tuple[Pixels, Pixels]:
    """Training and test images of one of DATASETS from the folder `data` (see its README)."""
    if name == "cifar10":
        train, test = (sorted((data / "cifar10").glob(f"{part}_*.webp")) for part in ("train", "test"))
        if not train or not test:
            raise ShearlocError(f"no CIFAR-10 grids train_*.webp and test_*.webp in {data / 'cifar10'}")
        return read_grids(train, 32), read_grids(test, 32)
    files = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
    train_images, test_images = (read_idx(data / "mnist" / file) for file in files)
    if name == "mnist-binary":
        return binarise(train_images), binarise(test_images, BINARY_SEED + 1)
    return train_images, test_images
