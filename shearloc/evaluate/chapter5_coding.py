"""Tables 5.6 and 5.7 of the thesis: bytes of real files by model and codec, and seconds of the three decoders.

Every file is decoded and compared. Models are the installed ones (`zoo.py`). `chapter5.py` has the thesis's figures.
"""

import time
from pathlib import Path
from statistics import mean, median

import numpy as np

from ..codec import api
from ..codec.pictures import files
from ..errors import ShearlocError
from ..models import zoo
from ..models.local.model import LocalModel
from ..types import Pixels
from . import batches
from .bench import crop_middle, find_images
from .peers import Codec, same_pixels

Table = dict[str, dict[str, float]]

ORDERS = ("sequential", "parallel", "sheared")
"""sNeLLoC, pNeLLoC and ShearLoC."""


def rates(small: Pixels, photographs: list[Pixels], models: list[str], peers: dict[str, Codec]) -> Table:
    """Table 5.6: bits per subpixel by codec, and megabytes of the models' weights.

    `small` uint8 [N, H, W, 3] is CIFAR-10: one batch for a model, a file for each image for the other codecs.
    `photographs` uint8 [H, W, 3] are files of their own; the table has their mean rate.
    """
    table = {}
    for name, peer in peers.items():
        table[name] = {"cifar10": _mean_rate(peer, list(small)), "kodak": _mean_rate(peer, photographs)}
    for name in models:
        batch = batches.measure(small, name, 0)
        if not batch.exact:
            raise ShearlocError(f"the archive of model '{name}' did not come back exactly")
        table[name] = {
            "MB": sum(array.nbytes for array in zoo.load_as(LocalModel, name).arrays().values()) / 1e6,
            "cifar10": batch.bits_per_dimension,
            "kodak": _mean_rate(as_peer(name), photographs),
        }
    return table


def as_peer(model: str, order: str = "sheared") -> Codec:
    """Files of one model as a codec like the others."""
    return Codec(
        lambda pixels: api.encode(pixels, model=model, order=order),
        lambda data: api.decode(data, order=order).astype(np.uint8, copy=False),
    )


def _mean_rate(codec: Codec, images: list[Pixels]) -> float:
    """Mean over the images of whole files' bits per subpixel. ShearlocError where one does not decode exactly."""
    found = []
    for pixels in images:
        data = codec.encode(pixels)
        if not same_pixels(codec.decode(data), pixels):
            raise ShearlocError("a file did not come back exactly")
        found.append(8 * len(data) / pixels.size)
    return mean(found)


def times(images: list[Pixels], models: list[str], rounds: int) -> Table:
    """Table 5.7 (a): seconds to decode one of the images by order and model, and bits per dimension of the files."""
    columns = {name: decoding(images, name, rounds) for name in models}
    return {row: {name: column[row] for name, column in columns.items()} for row in ("bits per dimension", *ORDERS)}


def times_by_side(images: dict[int, list[Pixels]], model: str, rounds: int) -> Table:
    """Table 5.7 (b): the same by the images' side length."""
    columns = {str(side): decoding(squares, model, rounds) for side, squares in images.items()}
    return {row: {side: column[row] for side, column in columns.items()} for row in ("bits per dimension", *ORDERS)}


def decoding(images: list[Pixels], model: str, rounds: int) -> dict[str, float]:
    """Warm seconds by order: of each image the median of the rounds, of these the mean. Bits: of the sheared files."""
    found = {}
    for order in ORDERS:
        codec = as_peer(model, order)
        files = [codec.encode(pixels) for pixels in images]
        codec.decode(files[0])
        found[order] = mean(_decode_seconds(codec, *pair, rounds) for pair in zip(files, images, strict=True))
    found["bits per dimension"] = mean(8 * len(data) / pixels.size for data, pixels in zip(files, images, strict=True))
    return found


def _decode_seconds(codec: Codec, data: bytes | bytearray, expected: Pixels, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        pixels = codec.decode(data)
        seconds.append(time.perf_counter() - began)
        if not np.array_equal(pixels, expected):
            raise ShearlocError("a file did not come back exactly")
    return median(seconds)


def photographs(folder: Path, count: int | None = None) -> list[Pixels]:
    """The first `count` images of a folder, by name. ShearlocError if there are none; OSError."""
    return [files.load_image(path) for path in find_images([folder])[:count]]


def squares(folder: Path, side: int, count: int) -> list[Pixels]:
    """The middles of photographs or, where these are smaller than `side`, of mosaics of as many as it takes.

    All photographs of the folder have the size of the first, and there are at least as many as are needed.
    """
    paths = find_images([folder])
    across = -(-side // min(files.load_image(paths[0]).shape[:2]))
    found = []
    for k in range(count):
        parts = [files.load_image(path) for path in paths[k * across**2 : (k + 1) * across**2]]
        rows = [np.concatenate(parts[i : i + across], 1) for i in range(0, len(parts), across)]
        found.append(crop_middle(np.concatenate(rows), side))
    return found
