"""Puts the hidden units of a local model in an order in which those that are active together are neighbours.

    python -m shearloc.training.arrange photo ../shared/data/photos --out shearloc/models/weights/photo.safetensors

That changes no sum: processors without VNNI skip a pair of neighbours that are both 0, and so skip more of them. The
model keeps its fingerprint. Units are paired by what they do on some of the folder's pixels.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..models import zoo
from ..models.local.model import LocalModel
from ..nets.layers import Dense, requantize
from .images import PixelSet, load_data

PIXELS = 20000
"""Pixels that units are watched on, evenly spaced."""


def arrange(model: LocalModel, pixels: PixelSet) -> LocalModel:
    """The model with orders of its units. ValueError for one whose layers skip or convolve."""
    index = np.linspace(0, int(pixels.ends[-1]) - 1, PIXELS).astype(np.int64)
    inputs = pixels.contexts(index, np.zeros_like(index), model.offsets, model.predictor)[0]
    orders = (paired(levels > -128).astype(np.int16) for levels in _levels(model.layers[:-1], inputs))
    arranged = replace(model, orders=tuple(orders))
    arranged.prove()
    return arranged


def _levels(layers: tuple[Dense, ...], values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """What each layer gives for inputs [n, features]: levels minus 128, [n, out]."""
    for layer in layers:
        sums = values @ layer.weight.astype(np.float32)
        values = np.empty_like(sums)
        requantize(sums, layer.bias, layer.multiplier, layer.shift, values)
        yield values


def paired(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """An order of units, bool [n, units], in which few pairs of neighbours have one active unit alone.

    The pair that is least often active without both being so comes first, then the best of those that are left.
    """
    numbers = active.astype(np.float32)
    both, often = numbers.T @ numbers, numbers.sum(0)
    alone = often[:, None] + often[None] - 2 * both
    order: list[int] = []
    for first, second in zip(*np.unravel_index(np.argsort(alone, axis=None, kind="stable"), alone.shape), strict=True):
        if first < second and first not in order and second not in order:
            order += [int(first), int(second)]
    return np.array(order + [unit for unit in range(len(often)) if unit not in order])


def main() -> None:
    """The command `python -m shearloc.training.arrange`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name, or a .safetensors file")
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--out", type=Path, required=True, help="the model file to write")
    args = parser.parse_args()
    model = zoo.load_as(LocalModel, args.model)
    arrange(model, PixelSet.of(list(load_data(args.folder, model.channels)))).save(args.out)


if __name__ == "__main__":
    main()
