"""Adds to a model's card the quantiles of its scores of held-out images, which `shearloc score` compares with.

python -m shearloc.evaluate quantiles nelloc-gray ../shared/data/fashion-mnist --against png --against gray
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import measuring
from ..errors import ShearlocError
from ..models import quantiles, zoo
from ..training.images import load_data, split
from ..training.small_images import BINARY_SEED, binarise
from ..training.train import write_card
from ..types import Pixels
from . import scores


def held_out(folders: list[Path], channels: int, count: int) -> tuple[list[Pixels], str]:
    """At most `count` images that training sets aside, evenly spaced, and what they are called: data sets' test images,
    or every 20th of the images in folders without a test part."""
    names = " and ".join(folder.resolve().name for folder in folders)
    images = [image for folder in folders for image in load_data(folder, channels, "test")]
    what = f"test images of {names}"
    if not images:
        images = split([image for folder in folders for image in load_data(folder, channels)])[1]
        what = f"held-out images of {names}"
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    return [images[k] for k in chosen], what


def measured(model: str, images: list[Pixels], what: str, kinds: list[tuple[str, scores.Score]]) -> dict[str, Any]:
    """A card's `scores` (`models/quantiles.py`): of the bits, and of scores as `scores.chosen` gives them."""
    coder = zoo.load(model)
    if measuring.is_binary(model, images[0].shape):
        images = list(binarise(np.stack(images), BINARY_SEED + 1))  # as `load_dataset` makes test images
    groups: dict[tuple[int, ...], list[Pixels]] = defaultdict(list)
    for image in images:
        if coder.refuses(image.shape, int(image.max()) + 1) is None:
            groups[image.shape].append(image)
    values: dict[str, list[float]] = defaultdict(list)
    for group in groups.values():
        stack = np.stack(group)
        bits = scores.log_likelihood(stack, model)
        for name, measure in kinds:
            values[name] += (measure(stack, model, bits) / stack[0].size).tolist()
    if not values:
        raise ShearlocError(f"model '{model}' takes none of the {what}")
    tables = {name: quantiles.table(np.array(found)) for name, found in values.items()}
    return {"of": what, "images": sum(map(len, groups.values())), "quantiles": tables}


def add(card_file: Path, found: dict[str, Any]) -> None:
    """Writes the card with these `scores` in place of those that it had."""
    card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else {}
    write_card(card_file, card | {"scores": found})
