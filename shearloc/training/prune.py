"""Makes a model that learns smaller and faster: it loses the units and components that do least.

    python -m shearloc.training.prune BASE small.safetensors photos/ web/ --widths 192 128 --components 4 --units 24

Reptile (`training/reptile.py`) then makes up for most of the loss. Models with one expert only.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ShearlocError
from ..models import zoo
from ..models.learning import coder, plain
from ..models.learning.edges import USUAL
from ..models.learning.model import INPUT_BITS, LEVEL_BITS, START_LIMIT, Expert, Layer, LearningModel
from ..types import Pixels
from .images import PixelSet, training_images

SAMPLE = 60_000
"""Pixels that say how much a unit varies."""
TRIED, CROP = 8, (160, 240)
"""Images, and their size, by which components are judged."""

Columns = NDArray[np.int64]


def narrowed(model: LearningModel, widths: list[int], contexts: NDArray[np.int64]) -> LearningModel:
    """The model with so many units in each layer but the last; those stay that move the next layer most.

    contexts int [n, features]: inputs to judge by. What a unit that goes had in the mean goes to the next layer's bias.
    """
    (expert,) = model.experts
    layers, peaks, levels = list(expert.layers), list(expert.peaks), contexts
    for k, width in enumerate(widths):
        layer, following = layers[k], layers[k + 1]
        shift = layer.bits + (INPUT_BITS - LEVEL_BITS if k == 0 else 0)
        levels = plain.rounded_levels(levels @ layer.weight.astype(np.int64) + layer.start, shift)
        moved = levels.std(0) * np.sqrt((following.weight.astype(np.float64) ** 2).sum(1))
        keep, gone = np.split(np.argsort(-moved, kind="stable"), [width])
        keep.sort()
        start = following.start + np.rint(levels[:, gone].mean(0) @ following.weight[gone]).astype(np.int32)
        layers[k] = _columns(layer, keep)
        layers[k + 1] = Layer(np.ascontiguousarray(following.weight[keep]), start.astype(np.int32), following.bits)
        if k:
            peaks[k - 1] = np.ascontiguousarray(peaks[k - 1][keep])
        levels = levels[:, keep]
    return replace(model, experts=(replace(expert, layers=tuple(layers), peaks=tuple(peaks)),))


def with_components(model: LearningModel, drop: list[int]) -> LearningModel:
    """The model without component drop[c] of channel c."""
    (expert,) = model.experts
    kept = [[k for k in range(expert.components) if k != one] for one in drop]
    columns, adjust = _parameter_columns(expert, kept), []
    for c in range(1, expert.channels):
        there = [kind * expert.components + k for kind in range(3 + c) for k in kept[c]]
        rows = np.zeros((expert.units, (expert.components - 1) * (2 + expert.channels)), np.int16)
        rows[:, : len(there)] = expert.adjust[c - 1][:, there]
        adjust.append(rows)
    first = sum(expert.counts)
    columns = np.append(columns, np.arange(first, len(expert.layers[-1].start)))
    heads = np.stack(adjust) if adjust else expert.adjust[..., :0]
    smaller = replace(_with_outputs(expert, columns), components=expert.components - 1, adjust=heads)
    return replace(model, experts=(smaller,))


def with_units(model: LearningModel, units: int) -> LearningModel:
    """The model with so many units in each head: those with the largest weights on both sides."""
    (expert,) = model.experts
    if expert.channels == 1:
        return model
    first, learn, adjust = sum(expert.counts), [], []
    columns = [np.arange(first)]
    for c in range(expert.channels - 1):
        seen = np.abs(expert.learn[c].astype(np.float64)).sum(0) + 1
        keep = np.sort(np.argsort(-np.abs(expert.adjust[c].astype(np.float64)).sum(1) * np.sqrt(seen))[:units])
        learn.append(expert.learn[c][:, keep])
        adjust.append(expert.adjust[c][keep])
        columns.append(first + c * expert.units + keep)
    smaller = _with_outputs(expert, np.concatenate(columns))
    return replace(model, experts=(replace(smaller, learn=np.stack(learn), adjust=np.stack(adjust)),))


def least_missed(model: LearningModel, images: list[Pixels]) -> list[int]:
    """For each channel the component without which images uint8 [H, W, C] get least longer."""
    (expert,) = model.experts
    return [
        int(np.argmin([_bits(_silenced(model, c, k), images) for k in range(expert.components)]))
        for c in range(model.channels)
    ]


def _bits(model: LearningModel, images: list[Pixels]) -> int:
    """Their code lengths in 2^-16 bits, each image alone."""
    return sum(int(coder.lengths(model, image[None], "numba").sum()) for image in images)


def _silenced(model: LearningModel, c: int, k: int) -> LearningModel:
    """The model with next to no weight on component k of channel c."""
    (expert,) = model.experts
    last, column = expert.layers[-1], sum(expert.counts[:c]) + k
    weight, start = last.weight.copy(), last.start.copy()
    weight[:, column], start[column] = 0, -START_LIMIT // 2
    layers = (*expert.layers[:-1], Layer(weight, start, last.bits))
    return replace(model, experts=(replace(expert, layers=layers),))


def _parameter_columns(expert: Expert, kept: list[list[int]]) -> Columns:
    """Outputs that are parameters of the components kept[c] of channel c."""
    found, first = [], 0
    for c, own in enumerate(kept):
        found += [first + kind * expert.components + k for kind in range(3 + c) for k in own]
        first += expert.counts[c]
    return np.array(found, np.int64)


def _with_outputs(expert: Expert, columns: Columns) -> Expert:
    """The expert with these outputs of the last layer."""
    layers = (*expert.layers[:-1], _columns(expert.layers[-1], columns))
    peaks = (*expert.peaks[:-1], np.ascontiguousarray(expert.peaks[-1][columns]))
    return replace(expert, layers=layers, peaks=peaks)


def _columns(layer: Layer, columns: Columns) -> Layer:
    """The layer with these outputs."""
    return Layer(np.ascontiguousarray(layer.weight[:, columns]), np.ascontiguousarray(layer.start[columns]), layer.bits)


def prune(model: LearningModel, images: list[Pixels], widths: list[int], components: int, units: int) -> LearningModel:
    """The smaller model, judged by uint8 images [H, W, C]. ShearlocError for several experts."""
    if len(model.experts) > 1:
        raise ShearlocError(f"model '{model.name}' has {len(model.experts)} experts; only one can be made smaller")
    if widths:
        drawn = PixelSet.of(images).sample(np.random.default_rng(0), SAMPLE, model.offsets, model.predictor)
        model = narrowed(model, widths, np.asarray(drawn[0]).astype(np.int64))
    few = [np.ascontiguousarray(image[: CROP[0], : CROP[1]]) for image in images[:: max(1, len(images) // TRIED)]]
    while model.experts[0].components > components:
        model = with_components(model, least_missed(model, few))
    if model.experts[0].units > units:
        model = with_units(model, units)
    model.prove()
    return model


def main() -> None:
    """Reads the arguments, and writes the smaller model."""
    parser = argparse.ArgumentParser(prog="python -m shearloc.training.prune")
    parser.add_argument("base", help="a model that learns, by its name or file")
    parser.add_argument("out", type=Path, help="the model file, NAME.safetensors")
    parser.add_argument("folders", type=Path, nargs="+", help="training images; every 20th of a folder is held out")
    parser.add_argument("--widths", type=int, nargs="+", default=[], help="units of each layer but the last")
    parser.add_argument("--components", type=int, default=1 << 8, help="of each channel's mixture, at most")
    parser.add_argument("--units", type=int, default=1 << 8, help="of each later channel's head, at most; even")
    known = f"observations that the edges of grey levels begin with (default {USUAL}); of 0, they do not learn"
    parser.add_argument("--edges", type=int, default=USUAL, help=known)
    args = parser.parse_args()
    model = replace(zoo.load_as(LearningModel, args.base), edges=args.edges)
    prune(model, training_images(args.folders, model.channels), args.widths, args.components, args.units).save(args.out)


if __name__ == "__main__":
    main()
