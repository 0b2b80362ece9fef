"""The sets of images that out-of-distribution scores are measured on, from the data folder or generated.

Sets in gray are 28 x 28, in colour 32 x 32. Gray images become colour ones by three equal channels, larger or smaller
ones by resampling; the source's are all resampled to 32 x 32.
"""

import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ShearlocError
from ..training.images import load_data, read_idx
from ..types import Pixels
from .chapter5_likelihoods import reduced

GRAY_SIDE, COLOUR_SIDE = 28, 32


def test_set(name: str, data: Path, channels: int, count: int, seed: int) -> Pixels:
    """`count` images of a set, or all if it has fewer, drawn from `seed`: uint8 [n, side, side, channels].

    ShearlocError for a name that is not one of SETS, or data that are not there.
    """
    if name not in SETS:
        raise ShearlocError(f"there is no set '{name}'; there are {', '.join(SETS)}")
    side = COLOUR_SIDE if channels == 3 else GRAY_SIDE
    draw = np.random.default_rng([seed, list(SETS).index(name)])
    if name in _GENERATED:
        return _GENERATED[name](draw, (count, side, side, channels))
    found = list(SETS[name](data))
    chosen = sorted(draw.permutation(len(found))[:count].tolist())
    return np.stack([_fitted(found[k], side, channels) for k in chosen])


def _fitted(image: Pixels, side: int, channels: int) -> Pixels:
    """uint8 [side, side, channels] of uint8 [H, W, C]: of colours the first channel, of gray three equal ones."""
    if image.shape[0] != side:
        image = np.asarray(Image.fromarray(image.squeeze()).resize((side, side), Image.Resampling.BILINEAR))
    image = image.reshape(side, side, -1)
    return image[..., :1] if channels == 1 else np.broadcast_to(image, (side, side, 3))


def _photos(data: Path) -> Iterator[Pixels]:
    for image in load_data(data / "photos", 3):
        yield reduced(image)


def _omniglot(data: Path) -> Iterator[Pixels]:
    """Black strokes on white, 105 x 105, inverted: as MNIST's are."""
    for number in (1, 2):
        path = data / "ood" / f"omniglot-background-small{number}.zip"
        if not path.is_file():
            raise ShearlocError(f"there is no file {path}")
        with zipfile.ZipFile(path) as packed:
            for name in sorted(packed.namelist()):
                if name.endswith(".png"):
                    drawn = Image.open(BytesIO(packed.read(name))).convert("L")
                    yield 255 - np.asarray(drawn.resize((GRAY_SIDE, GRAY_SIDE), Image.Resampling.BOX))[..., None]


def _not_mnist(data: Path) -> Iterator[Pixels]:
    path = data / "ood" / "notmnist-t10k-images-idx3-ubyte.gz"
    if not path.is_file():
        raise ShearlocError(f"there is no file {path}")
    yield from read_idx(path)[..., None]


def _tests(folder: str, channels: int) -> Callable[[Path], Iterator[Pixels]]:
    return lambda data: iter(load_data(data / folder, channels, "test"))


def _noise(draw: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    return draw.integers(0, 256, shape, np.uint8)


def _constant(draw: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    values = draw.integers(0, 256, (shape[0], 1, 1, shape[3]), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, shape))


_GENERATED: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Pixels]] = {
    "noise": _noise,
    "constant": _constant,
}

SETS: dict[str, Callable[[Path], Iterator[Pixels]]] = {
    "fashion-mnist": _tests("fashion-mnist", 1),
    "mnist": _tests("mnist", 1),
    "omniglot": _omniglot,
    "notmnist": _not_mnist,
    "cifar10": _tests("cifar10", 3),
    "photos": _photos,
    **dict.fromkeys(_GENERATED, lambda data: iter(())),
}
"""Sets by name; those of IDX files and CIFAR-10 are the test parts."""
