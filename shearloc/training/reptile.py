"""Moves the start of a model that learns towards what it becomes on training images: Reptile (Nichol et al. 2018).

    python -m shearloc.training.reptile colour-fast better.safetensors photos/ web/ --minutes 5

A start that is near many images' own networks has less to learn. The exact learner codes a crop; then the start's
weights move a small step towards the weights at its end. Needs no torch.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..coding import lanes
from ..coding.lengths import code_lengths
from ..models import zoo
from ..models.learning import state
from ..models.learning.model import ONE, Expert, LearningModel, weight_limit
from ..models.learning.walk import Walk
from ..models.wavefront.coder import measuring
from ..models.wavefront.pixels import blank_pixels
from ..nets import barrier
from .images import camera_like, training_images

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

SMALL, LARGE = 192, 448
"""Sides of a crop."""
LAST = 0.1
"""What is left of the step in the end."""


def adapted(model: LearningModel, starts: list[Floats], image: Pixels) -> tuple[float, list[Floats]]:
    """Bits per subpixel of uint8 [H, W, C], and every expert's weights at its end, as the walk lays them out.

    `starts`: the weights to begin with, instead of the model's.
    """
    count = lanes.lane_count(image.shape[0], image.size)
    pixels = blank_pixels((1, *image.shape))
    pixels[0] = image
    walk = Walk(model, pixels, count, barrier.most_parts(count), starts)
    starts_of, freqs = (np.empty((model.channels, image[..., 0].size), np.uint32) for _ in range(2))
    for _ in walk.run(False, measuring(starts_of, freqs)):
        pass
    return float(code_lengths(freqs).sum()) / 2**16 / image.size, [one.weights for one in walk.weights]


def layers_of(expert: Expert, weights: Floats) -> Iterator[tuple[int, Floats]]:
    """The layers that learn, by number: float32 [inputs + 1, outputs], a view of the weights."""
    for number, row in enumerate(state.plan(expert), 1):
        inputs, cols = int(row[state.WIDTH]), int(row[state.COLS])
        real = weights[row[state.PLACE] :][: (inputs + 1) * cols].reshape(inputs + 1, cols)
        yield number, real[:, : len(expert.layers[number].start)]


def folded(model: LearningModel, starts: list[Floats]) -> LearningModel:
    """The model that begins with these weights, rounded; what biases have learnt goes to the biases."""
    experts = []
    for expert, weights in zip(model.experts, starts, strict=True):
        layers = list(expert.layers)
        for number, real in layers_of(expert, weights):
            layer = layers[number]
            units = expert.units if number == len(layers) - 1 else 0
            limit = weight_limit(len(layer.weight) + units)
            weight = np.clip(np.rint(real[:-1]), -limit, limit).astype(np.int16)
            start = np.rint(layer.start + ONE * real[-1].astype(np.float64)).astype(np.int32)
            layers[number] = replace(layer, weight=np.ascontiguousarray(weight), start=start)
        experts.append(replace(expert, layers=tuple(layers)))
    found = replace(model, experts=tuple(experts))
    found.prove()
    return found


def crop(images: list[Pixels], draw: np.random.Generator) -> Pixels:
    """Part of an image, mirrored half of the time; large images are drawn more often, by the root of their size."""
    roots = np.sqrt([image.size for image in images])
    image = images[draw.choice(len(images), p=roots / roots.sum())]
    height, width = (min(int(draw.integers(SMALL, LARGE + 1)), side) for side in image.shape[:2])
    i, j = (int(draw.integers(0, side - part + 1)) for side, part in zip(image.shape, (height, width), strict=False))
    part = image[i : i + height, j : j + width]
    return np.ascontiguousarray(part[:, ::-1] if draw.random() < 0.5 else part)


def improve(model: LearningModel, images: list[Pixels], seconds: float, step: float, out: Path, seed: int = 1) -> None:
    """Writes the model with a better start to `out`, once a minute with a line of progress, until so many seconds."""
    draw, began = np.random.default_rng(seed), time.perf_counter()
    starts = [state.weights(expert, 1).weights for expert in model.experts]
    average, bits, count, told = [start.copy() for start in starts], 0.0, 0, began
    while (done := (time.perf_counter() - began) / seconds) < 1:
        image = crop(images, draw)
        found, ends = adapted(model, starts, image)
        count, bits = count + 1, bits + (found - bits) * max(0.01, 1 / (count + 1))
        share = step * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * done)))
        share *= min(1.0, image.size / model.channels / (SMALL * LARGE))
        for start, end, mean in zip(starts, ends, average, strict=True):
            start += np.float32(share) * (end - start)
            mean += (start - mean) / np.float32(max(1.0, 0.1 * count))
        if time.perf_counter() - told > 60:
            told = time.perf_counter()
            folded(model, average).save(out)
            print(f"{done:.0%}, {count} crops: {bits:.4f} bits per dimension", flush=True)
    folded(model, average).save(out)


def main() -> None:
    """Reads the arguments, and writes the better model."""
    form = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m shearloc.training.reptile", formatter_class=form)
    parser.add_argument("base", help="a model that learns, by its name or file")
    parser.add_argument("out", type=Path, help="the model file, NAME.safetensors")
    parser.add_argument("folders", type=Path, nargs="+", help="training images; every 20th of a folder is held out")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long")
    parser.add_argument("--camera-like", action="store_true", help="add a camera-like copy of every image")
    parser.add_argument("--seed", type=int, default=1, help="of the crops and copies")
    parser.add_argument("--step", type=float, default=0.05, help="part of the way to an image's own weights")
    args = parser.parse_args()
    model = zoo.load_as(LearningModel, args.base)
    images = training_images(args.folders, model.channels)
    if args.camera_like:
        draw = np.random.default_rng(args.seed)
        images += [camera_like(image, draw) for image in images]
    improve(model, images, 60 * args.minutes, args.step, args.out, args.seed)


if __name__ == "__main__":
    main()
