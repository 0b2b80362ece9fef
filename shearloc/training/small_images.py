"""Sets of small images of equal size, each as one array: MNIST, binary MNIST made of it, Fashion-MNIST, CIFAR-10.

For training and measuring autoencoders. `images.py` reads the files.
"""

from pathlib import Path

import numpy as np

from ..errors import ShearlocError
from ..types import Pixels
from .images import load_data

BINARY_SEED = 0
"""Seed of the binary MNIST that the shipped models were trained and measured on."""


def binarise(gray: Pixels, seed: int = BINARY_SEED) -> Pixels:
    """Gray levels as 0 and 1, drawn once: 1 with probability gray / 255, from a fixed seed. The same shape, uint8."""
    return (np.random.default_rng(seed).integers(0, 255, gray.shape) < gray).astype(np.uint8)


DATASETS = ("mnist-binary", "mnist", "cifar10")
"""Those of the thesis's chapter 4."""


def load_dataset(name: str, data: Path) -> tuple[Pixels, Pixels]:
    """Training and test images of one of DATASETS, or of "fashion-mnist", from the folder `data` (see its README).

    ShearlocError where they are not there.
    """
    folder, channels = data / name.removesuffix("-binary"), 3 if name == "cifar10" else 1
    training, test = (load_data(folder, channels, part) for part in ("train", "test"))
    if not training or not test:
        raise ShearlocError(f"{folder} does not hold {folder.name}: training and test images")
    if name == "mnist-binary":
        return binarise(np.stack(training)), binarise(np.stack(test), BINARY_SEED + 1)
    return np.stack(training), np.stack(test)
