"""The start of a model that learns: its experts' shapes and integers, before the first pixel.

Every image begins with these numbers. `walk.py` changes them while it codes.

    inputs (context) -> first layer, which stays as it is -> hidden layers that learn -> outputs, which learn
    outputs: parameters of all channels, then the units of each later channel's head, which stays as it is

Levels 0 .. 255 stand for activations in 1/64. Weights are integers of 16 bits in units of 2^-bits. Beside its inputs, a
layer that learns has one that is always ONE: its weight is what the bias learns.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...nets import tensors
from ..family import Family
from ..wavefront.context import MEDIAN_EDGE, PREDICTORS
from . import FAMILY

ONE = 64
"""Level of the input that is always there."""
LEVEL_BITS, INPUT_BITS = 6, 4
"""A level is 2^-6, an input of the first layer 2^-4."""
COLUMNS = 32
"""Layers are padded with zeros to a multiple of so many outputs."""

GRADIENT_LIMIT, BACKWARD_LIMIT = 1023, 8191
"""Gradients, and the weights that they go back through, stay within these: 8,192 pixels of level 255 times a gradient,
and 256 outputs of both, fit an int32. `weight_limit` says what weights stay within."""
MOST_INPUTS, MOST_OUTPUTS, MOST_PIXELS = 256, 256, 8192
START_LIMIT = 1 << 23
LEAST_BITS, MOST_BITS = 5, 15

MOST_OBSERVATIONS = 1 << 20
MAX_CHANNELS, MAX_LAYERS, MAX_EXPERTS, MAX_OFFSET, MAX_EVERY = 4, 8, 4, 32, 64
"""Limits of a model. A file may bring its own, so these bound what a pixel costs."""
_RATE_RANGE, _PEAK_RANGE = (2.0**-40, 2.0**20), (2.0**-20, 2.0**20)

Floats = NDArray[np.float32]


def weight_limit(inputs: int) -> int:
    """What weights of a layer with so many inputs (of the last one: and units of a head) stay within.

    All inputs' levels times that, what the bias has learnt, a start and a rounding fit an int32 together.
    """
    return min(32767, (2**31 - 1 - 2 * START_LIMIT) // (255 * inputs + ONE))


@dataclass(frozen=True, eq=False)
class Layer:
    """weight int16 [in, out], start int32 [out] (the bias, in units of a sum); bits: a weight's unit is 2^-bits."""

    weight: NDArray[np.int16]
    start: NDArray[np.int32]
    bits: int


@dataclass(frozen=True, eq=False)
class Expert:
    """One network. layers: the first, then those that learn. learn int32 [C - 1, C - 1, U], adjust int16
    [C - 1, U, (2 + C) K]: the heads. peaks float32: each output's usual largest gradient, of each layer that learns.

    rates float32 [layers that learn]: Adam's, in real weights. forget float32 [2]: what part of its two means an update
    forgets; epsilon, in units of a gradient.
    """

    components: int
    layers: tuple[Layer, ...]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int16]
    peaks: tuple[Floats, ...]
    rates: Floats
    forget: Floats
    epsilon: Floats

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return len(self.learn) + 1

    @property
    def units(self) -> int:
        """Units of a head."""
        return self.learn.shape[2]

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

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array by its name."""
        named: dict[str, NDArray[np.generic]] = {"learn": self.learn, "adjust": self.adjust}
        named |= {"rates": self.rates, "forget": self.forget, "epsilon": self.epsilon}
        for k, layer in enumerate(self.layers):
            named |= {f"layer{k}.weight": layer.weight, f"layer{k}.start": layer.start}
        return named | {f"layer{k}.peaks": peaks for k, peaks in enumerate(self.peaks, 1)}

    def prove(self, features: int) -> None:
        """ValueError where arrays do not fit each other or `features` inputs, or a sum could leave an int32."""
        self._check_shapes(features)
        for k, (layer, limit) in enumerate(zip(self.layers, self.limits, strict=True)):
            if not LEAST_BITS <= layer.bits <= MOST_BITS or _largest(layer.start) > START_LIMIT:
                raise ValueError(f"layer {k} has a unit or a bias beyond the bounds")
            if _largest(layer.weight) > limit:
                raise ValueError(f"layer {k} has a weight beyond {limit}")
        limit = self.limits[-1]
        if _largest(self.adjust) > limit:
            raise ValueError(f"a head has a weight beyond {limit}")
        if 128 * int(np.abs(self.learn.astype(np.int64)).sum(1).max(initial=0)) > 255 * self.units * limit:
            raise ValueError("a head's sums can leave an int32")
        for numbers, (low, high) in (
            (self.rates, _RATE_RANGE),
            (self.epsilon, _RATE_RANGE),
            (self.forget, (2.0**-20, 1.0)),
        ):
            if not ((numbers >= low) & (numbers <= high)).all():
                raise ValueError("a learning rate is out of range")
        if not all(((peaks >= _PEAK_RANGE[0]) & (peaks <= _PEAK_RANGE[1])).all() for peaks in self.peaks):
            raise ValueError("a usual gradient is out of range")

    def _check_shapes(self, features: int) -> None:
        """ValueError where types and shapes do not fit each other: the kernels do not check."""
        later, count = self.channels - 1, len(self.layers)
        if not 2 <= count <= MAX_LAYERS:
            raise ValueError(f"there are not 2 to {MAX_LAYERS} layers")
        widths = [features, *(len(layer.start) for layer in self.layers)]
        if max(widths[:-1]) > MOST_INPUTS or any(width % COLUMNS for width in widths[1:-1]) or min(widths) == 0:
            raise ValueError(f"a layer has more than {MOST_INPUTS} inputs, or not a multiple of {COLUMNS}")
        if not 1 <= self.components <= MOST_OUTPUTS or widths[-1] > MOST_OUTPUTS:
            raise ValueError(f"there are more than {MOST_OUTPUTS} outputs")
        if widths[-1] != sum(self.counts) + later * self.units or self.units % 2 or (later > 0) != (self.units > 0):
            raise ValueError("the last layer does not fit the channels and components")
        shapes: dict[str, tuple[object, tuple[int, ...]]] = {
            "learn": (np.int32, (later, later, self.units)),
            "adjust": (np.int16, (later, self.units, self.counts[-1] if later else 0)),
            "rates": (np.float32, (count - 1,)),
            "forget": (np.float32, (2,)),
            "epsilon": (np.float32, (1,)),
        }
        for k, width in enumerate(widths[1:]):
            shapes[f"layer{k}.weight"] = (np.int16, (widths[k], width))
            shapes[f"layer{k}.start"] = (np.int32, (width,))
            shapes[f"layer{k}.peaks"] = (np.float32, (width,))
        for key, array in self.arrays().items():
            if (array.dtype, array.shape) != shapes[key]:
                raise ValueError(f"{key} is {array.dtype} {array.shape}, which does not fit the rest")


@dataclass(frozen=True, eq=False)
class LearningModel:
    """A model that learns. The coder has the mean of its `experts`' distributions; each learns by itself.

    offsets int32 [n, 2] and predictor: the context, as a local model's. every: steps to an update. edges: how many
    observations the edges of grey levels begin with, before they learn (`edges.py`); of 0, they do not.
    """

    name: str
    channels: int
    offsets: NDArray[np.int32]
    experts: tuple[Expert, ...]
    every: int = 1
    predictor: int = MEDIAN_EDGE
    edges: int = 0

    @property
    def family(self) -> Family:
        """Models that learn."""
        return FAMILY

    @property
    def adaptable(self) -> bool:
        """It adapts itself."""
        return False

    @property
    def features(self) -> int:
        """Inputs of the first layer."""
        return len(self.offsets) * self.channels

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any number of the model (`tensors.fingerprint`)."""
        settings = "".join(f" {key} {value}" for key, value in self._settings().items())
        return tensors.fingerprint(FAMILY.format + settings, self.arrays())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array of the model by its name in the file."""
        named: dict[str, NDArray[np.generic]] = {"offsets": self.offsets}
        for number, expert in enumerate(self.experts):
            named |= {f"expert{number}.{key}": array for key, array in expert.arrays().items()}
        return named

    def _settings(self) -> dict[str, str]:
        """What the metadata say beside the format."""
        settings = {"channels": str(self.channels), "every": str(self.every)}
        settings["predictor"] = next(name for name, value in PREDICTORS.items() if value == self.predictor)
        if self.edges:
            settings["edges"] = str(self.edges)
        for number, expert in enumerate(self.experts):
            settings[f"expert{number}.components"] = str(expert.components)
            settings[f"expert{number}.bits"] = " ".join(str(layer.bits) for layer in expert.layers)
        return settings

    def prove(self) -> None:
        """Checks that arrays fit each other, and the bounds that make the model exact; ValueError says what fails."""
        if not 1 <= self.channels <= MAX_CHANNELS or not 1 <= self.every <= MAX_EVERY:
            raise ValueError(f"{self.channels} channels and an update every {self.every} steps are not possible")
        if not 0 <= self.edges <= MOST_OBSERVATIONS:
            raise ValueError(f"edges of levels cannot begin with {self.edges} observations")
        if self.predictor not in PREDICTORS.values():
            raise ValueError(f"there is no predictor {self.predictor}")
        if self.offsets.dtype != np.int32 or self.offsets.ndim != 2 or self.offsets.shape[1] != 2:
            raise ValueError(f"offsets are {self.offsets.dtype} {self.offsets.shape}")
        seen = {(dy, dx) for dy, dx in self.offsets.tolist()}
        if not {(0, -1), (-1, 0), (-1, -1)} <= seen or any(dy > 0 or (dy == 0 and dx > 0) for dy, dx in seen):
            raise ValueError("the offsets do not hold W, N and NW, or point to later pixels")
        if np.abs(self.offsets.astype(np.int64)).max() > MAX_OFFSET or len(seen) < len(self.offsets):
            raise ValueError(f"an offset is larger than {MAX_OFFSET}, or there twice")
        if not 1 <= len(self.experts) <= MAX_EXPERTS:
            raise ValueError(f"there are not 1 to {MAX_EXPERTS} experts")
        for expert in self.experts:
            if expert.channels != self.channels:
                raise ValueError("an expert is for images of other channels")
            expert.prove(self.features)

    def save(self, path: Path) -> None:
        """Writes the model as .safetensors, after `prove`."""
        self.prove()
        tensors.write(path, self.arrays(), {"format": FAMILY.format} | self._settings())


Kind = TypeVar("Kind", bound=LearningModel)


def parse_as(kind: type[Kind], data: bytes, name: str, source: str) -> Kind:
    """The model in the bytes of a model file, its bounds proved again; ShearlocError, which calls them `source`."""
    with tensors.sound(source):
        metadata, arrays = tensors.read(data, FAMILY.format)
        count = len({key.split(".")[0] for key in arrays if key.startswith("expert")})
        experts = tuple(_expert(metadata, arrays, f"expert{number}.") for number in range(count))
        sizes = int(metadata["channels"]), arrays["offsets"], experts, int(metadata["every"])
        model = kind(name, *sizes, PREDICTORS[metadata["predictor"]], int(metadata.get("edges", "0")))
        model.prove()
    return model


def _expert(metadata: dict[str, str], arrays: tensors.Arrays, prefix: str) -> Expert:
    bits = [int(word) for word in metadata[f"{prefix}bits"].split()]
    names = [f"{prefix}layer{k}." for k in range(len(bits))]
    layers = tuple(Layer(arrays[f"{n}weight"], arrays[f"{n}start"], b) for n, b in zip(names, bits, strict=True))
    peaks = tuple(arrays[f"{n}peaks"] for n in names[1:])
    head = arrays[f"{prefix}learn"], arrays[f"{prefix}adjust"]
    steps = [arrays[f"{prefix}{key}"] for key in ("rates", "forget", "epsilon")]
    learn = head[0]
    if learn.ndim != 3:
        raise ValueError(f"{prefix}learn is {learn.dtype} {learn.shape}")
    return Expert(int(metadata[f"{prefix}components"]), layers, *head, peaks, *steps)


def _largest(array: NDArray[np.generic]) -> int:
    return int(np.abs(array.astype(np.int64)).max(initial=0))
