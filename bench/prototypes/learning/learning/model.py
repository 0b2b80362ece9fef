"""The start of a network that learns while it codes: its shape and its integers, before the first pixel.

All numbers that change later begin here, the same for every image. Nothing of this file runs for a pixel.

    inputs (context) -> first layer, which stays as it is -> hidden layers that learn -> outputs, which learn
    outputs: parameters of all channels, then the units of each later channel's head (`head`, which stays as it is)

Levels 0 .. 255 stand for activations in 1/64. Weights are integers of 16 bits; a layer's unit is 2^-bits. Beside its
inputs a layer that learns has one that is always ONE: its weight is what the layer's bias has learnt.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from shearloc.models.context import MEDIAN_EDGE

from .tiles import COLUMNS

ONE = 64
"""Level of the input that is always there."""

LEVEL_BITS, INPUT_BITS = 6, 4
"""A level is 2^-6, an input of the first layer 2^-4."""

GRADIENT_LIMIT = 1023
BACKWARD_LIMIT = 8191
"""Gradients, and the weights that they go back through, stay within these: 8,192 pixels of 255 times a gradient, and 256
outputs of both, fit an int32. What weights stay within is `weight_limit`."""

MOST_INPUTS, MOST_OUTPUTS, MOST_PIXELS = 256, 256, 8192
START_LIMIT = 1 << 23


def weight_limit(inputs: int) -> int:
    """What weights of a layer with so many inputs (of the last one: and units of a head) stay within.

    All inputs' levels times that, what the bias has learnt, a start and a rounding fit an int32 together.
    """
    return min(32767, (2**31 - 1 - 2 * START_LIMIT) // (255 * inputs + ONE))


@dataclass(frozen=True)
class Layer:
    """weight int16 [in, out], start int32 [out] (the bias, in units of a sum), bits: a weight's unit is 2^-bits."""

    weight: NDArray[np.int16]
    start: NDArray[np.int32]
    bits: int


@dataclass(frozen=True)
class Steps:
    """How fast it learns. rates: for each layer that learns, what Adam multiplies its step with, in real weights;
    first and second: how fast its two means forget; epsilon, in units of a gradient; every: steps to an update."""

    rates: tuple[float, ...]
    first: float = 0.5
    second: float = 0.01
    epsilon: float = 0.125
    every: int = 1


@dataclass(frozen=True)
class Start:
    """A model of this family. layers: the first, then those that learn; heads: for each later channel int32
    [channel, U] and int16 [U, parameters]; peaks float32: the gradients' usual largest magnitudes, of each layer that learns.
    """

    name: str
    channels: int
    components: int
    offsets: NDArray[np.int32]
    layers: tuple[Layer, ...]
    learn: tuple[NDArray[np.int32], ...]
    adjust: tuple[NDArray[np.int16], ...]
    peaks: tuple[NDArray[np.float32], ...]
    steps: Steps
    predictor: int = MEDIAN_EDGE
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Units of a head."""
        return self.adjust[0].shape[0] if self.adjust else 0

    @property
    def counts(self) -> list[int]:
        """Parameters of each channel."""
        return [(3 + c) * self.components for c in range(self.channels)]

    @property
    def limits(self) -> list[int]:
        """What each layer's weights stay within."""
        widths = [len(layer.weight) for layer in self.layers]
        widths[-1] += self.units
        return [weight_limit(width) for width in widths]

    def prove(self) -> None:
        """ValueError where a sum could leave an int32, or arrays do not fit each other."""
        widths = [len(self.offsets) * self.channels, *(len(layer.start) for layer in self.layers)]
        for k, layer in enumerate(self.layers):
            if layer.weight.shape != (widths[k], widths[k + 1]) or layer.weight.dtype != np.int16:
                raise ValueError(f"layer {k} does not fit the one before it")
            if not 4 <= layer.bits <= 15 or np.abs(layer.start.astype(np.int64)).max() > START_LIMIT:
                raise ValueError(f"layer {k} has a unit or a bias beyond the bounds")
            if np.abs(layer.weight.astype(np.int64)).max() > self.limits[k]:
                raise ValueError(f"layer {k} has a weight beyond its limit")
        if max(widths[:-1]) > MOST_INPUTS or widths[-1] > MOST_OUTPUTS or any(w % COLUMNS for w in widths[1:-1]) or len(self.layers) < 2:
            raise ValueError("a layer is too wide, or no multiple of 32")
        if widths[-1] != sum(self.counts) + (self.channels - 1) * self.units:
            raise ValueError("the last layer does not fit the channels and components")
        for c, (learn, adjust) in enumerate(zip(self.learn, self.adjust, strict=True), 1):
            if learn.shape != (c, self.units) or adjust.shape != (self.units, self.counts[c]):
                raise ValueError("a head does not fit the channels and components")
            if np.abs(adjust.astype(np.int64)).max() > self.limits[-1]:
                raise ValueError("a head's weight is beyond its limit")
            if 128 * np.abs(learn.astype(np.int64)).sum(0).max() > 255 * self.units * self.limits[-1]:
                raise ValueError("a head's sums can leave an int32")
        if self.units % 2 or len(self.learn) != (self.channels - 1 if self.units else 0):
            raise ValueError("there are not as many heads as later channels, or their units are odd")
        for rate in (*self.steps.rates, self.steps.epsilon):
            if not 0 < rate < 2.0**20:
                raise ValueError("a rate is not possible")
        if not (0 < self.steps.first <= 1 and 0 < self.steps.second <= 1 and 1 <= self.steps.every <= 64):
            raise ValueError("a setting of the learner is not possible")
        for peaks in self.peaks:
            if not ((peaks >= 2.0**-20) & (peaks <= 2.0**20)).all():
                raise ValueError("a gradient's usual magnitude is not possible")

    def save(self, path: Path) -> None:
        """Writes the model as .safetensors."""
        self.prove()
        arrays = {"offsets": self.offsets}
        for k, layer in enumerate(self.layers):
            arrays |= {f"layer{k}.weight": layer.weight, f"layer{k}.start": layer.start}
        for c, (learn, adjust) in enumerate(zip(self.learn, self.adjust, strict=True)):
            arrays |= {f"head{c}.learn": learn, f"head{c}.adjust": adjust}
        for k, peaks in enumerate(self.peaks):
            arrays[f"layer{k + 1}.peaks"] = peaks
        numbers = {"channels": self.channels, "components": self.components, "every": self.steps.every}
        numbers |= {"first": self.steps.first, "second": self.steps.second, "epsilon": self.steps.epsilon}
        numbers["rates"] = " ".join(map(repr, self.steps.rates))
        numbers["bits"] = " ".join(str(layer.bits) for layer in self.layers)
        metadata = {key: str(value) for key, value in numbers.items()} | {"format": "shearloc-learning-0"} | self.extra
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path, metadata)


def load(path: Path, name: str = "") -> Start:
    """Reads what `save` wrote."""
    import json
    import struct

    arrays = load_file(path)
    with open(path, "rb") as file:
        meta = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))["__metadata__"]
    bits = [int(word) for word in meta["bits"].split()]
    layers = tuple(Layer(arrays[f"layer{k}.weight"], arrays[f"layer{k}.start"], b) for k, b in enumerate(bits))
    heads = range(sum(key.endswith(".learn") for key in arrays))
    steps = Steps(
        tuple(map(float, meta["rates"].split())),
        float(meta["first"]),
        float(meta["second"]),
        float(meta["epsilon"]),
        int(meta["every"]),
    )
    start = Start(
        name or path.stem,
        int(meta["channels"]),
        int(meta["components"]),
        arrays["offsets"],
        layers,
        tuple(arrays[f"head{c}.learn"] for c in heads),
        tuple(arrays[f"head{c}.adjust"] for c in heads),
        tuple(arrays[f"layer{k + 1}.peaks"] for k in range(len(layers) - 1)),
        steps,
    )
    start.prove()
    return start
