"""The integer local model: from contexts to distribution parameters, exact on every machine.

It holds the weights, reads and writes them (.safetensors), and proves them exact. `head.py` interprets the network's
outputs. This file does not walk over images and codes nothing.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...nets import tensors
from ...nets.layers import INT32_MAX, Dense, accumulator_bounds, arranged, prove
from ...nets.quantize import COEFFICIENT_BITS
from ..family import Family
from ..wavefront.context import MEDIAN_EDGE, PREDICTORS
from . import FAMILY
from .head import LEAST_COEFFICIENT_BITS, MOST_COEFFICIENT_BITS, Head

FORMAT = FAMILY.format

MAX_CHANNELS, MAX_OFFSET, MAX_LAYERS, MAX_WIDTH, MAX_FEATURES = 4, 32, 64, 4096, 4096
"""Limits of a model. A file may bring its own model, so these bound what a pixel costs."""


@dataclass(frozen=True, eq=False)
class LocalModel:
    """A local autoregressive model in integers. `layers`: hidden ones and the last; `offsets` int32 [n, 2].

    `predictor`: what the context is relative to, see `context.py`. `coefficient_bits`: see `head.Head`. `neighbours`
    int32 [m, 2]: offsets of the pixels that a convolution sees beside its own; all of them are in the context, too.
    `orders` int16 [units] of every layer but the last, or none: see `arranged`.
    """

    name: str
    channels: int
    components: int
    offsets: NDArray[np.int32]
    layers: tuple[Dense, ...]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int32]
    predictor: int = MEDIAN_EDGE
    coefficient_bits: int = COEFFICIENT_BITS
    neighbours: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))
    orders: tuple[NDArray[np.int16], ...] = ()

    @property
    def family(self) -> Family:
        """Local models."""
        return FAMILY

    @property
    def size(self) -> None:
        """Any."""
        return None

    @property
    def stepwise(self) -> bool:
        """Whether it has masked convolutions, which see what the layers before them gave for earlier pixels."""
        return len(self.neighbours) > 0

    @property
    def adaptable(self) -> bool:
        """Whether its biases can be adapted to an image. Convolutions see whole images, whose updates take minutes."""
        return not self.stepwise

    @property
    def head(self) -> Head:
        """The head's arrays."""
        last = self.layers[-1]
        scales = last.bias, last.multiplier, last.shift
        return Head(self.components, *scales, self.learn, self.adjust, self.coefficient_bits)

    @cached_property
    def arranged(self) -> tuple[Dense, ...]:
        """The layers as engines run them: units that are active together are neighbours, for speed alone.

        Products of pairs of inputs skip pairs that are both 0 (`nets/pairs.py`). The last layer's sums are the same.
        """
        return arranged(self.layers, self.orders) if self.orders else self.layers

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any integer of the model (`tensors.fingerprint`) but those of its orders."""
        settings = "".join(f" {key} {value}" for key, value in self._settings().items())
        return tensors.fingerprint(f"{FORMAT} {self.channels} {self.components}{settings}", self.arrays())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array of the model by its name in the file, but for its orders."""
        named: dict[str, NDArray[np.generic]] = {"offsets": self.offsets, "learn": self.learn, "adjust": self.adjust}
        for k, layer in enumerate(self.layers):
            named |= {f"layer{k}.{part}": getattr(layer, part) for part in ("weight", "bias", "multiplier", "shift")}
        if len(self.neighbours):
            named["neighbours"] = self.neighbours
        return named

    def _settings(self) -> dict[str, str]:
        """Metadata that differs from a model of plain layers with the median edge detector."""
        settings = {}
        if self.predictor != MEDIAN_EDGE:
            settings["predictor"] = next(name for name, value in PREDICTORS.items() if value == self.predictor)
        for key, values in {
            "skips": [layer.skip for layer in self.layers],
            "convolutions": [int(layer.convolution) for layer in self.layers],
        }.items():
            if any(values):
                settings[key] = " ".join(map(str, values))
        if self.coefficient_bits != COEFFICIENT_BITS:
            settings["coefficient_bits"] = str(self.coefficient_bits)
        return settings

    def prove(self) -> None:
        """Checks that arrays fit each other, and the bounds that make the model exact; ValueError says what fails."""
        self._check_shapes()
        for layer in self.layers:
            prove(layer)
        bounds = int(accumulator_bounds(self.layers[-1]).max())
        seen = 128 * int(np.abs(self.learn.astype(np.int64)).sum(1).max(initial=0))
        adjusted = 255 * int(np.abs(self.adjust.astype(np.int64)).sum(1).max(initial=0))
        if bounds + max(seen, adjusted) > INT32_MAX:
            raise ValueError("the head's sums can leave an int32: use smaller weights there")

    def _check_shapes(self) -> None:
        """Types and shapes, and that offsets point to earlier pixels: the kernels do not check. ValueError."""
        if self.predictor not in PREDICTORS.values():
            raise ValueError(f"there is no predictor {self.predictor}")
        if not LEAST_COEFFICIENT_BITS <= self.coefficient_bits <= MOST_COEFFICIENT_BITS:
            raise ValueError(f"coefficients of {self.coefficient_bits} bits after the point are not possible")
        self._check_skips()
        if not 1 <= self.channels <= MAX_CHANNELS or not 1 <= self.components <= MAX_WIDTH:
            raise ValueError(f"{self.channels} channels and {self.components} components are not possible")
        later, units = self.channels - 1, self.adjust.shape[1] if self.adjust.ndim == 3 else 0
        parameters = [(3 + c) * self.components for c in range(self.channels)]
        widths = [len(self.offsets) * self.channels, *(len(layer.bias) for layer in self.layers)]
        places = [len(self.neighbours) + 1 if layer.convolution else 1 for layer in self.layers]
        shapes: dict[str, tuple[int, ...]] = {
            "offsets": (len(self.offsets), 2),
            "learn": (later, later, units),
            "adjust": (later, units, (2 + self.channels) * self.components),
            "neighbours": (len(self.neighbours), 2),
        }
        for k, width in enumerate(widths[1:]):
            shapes[f"layer{k}.weight"] = (places[k] * widths[k], width)
            shapes |= {f"layer{k}.{part}": (width,) for part in ("bias", "multiplier", "shift")}
        for key, array in self.arrays().items():
            if array.shape != shapes[key] or array.dtype != (np.int8 if key.endswith("weight") else np.int32):
                raise ValueError(f"{key} is {array.dtype} {array.shape}, which does not fit the rest")
        if len(self.layers) > MAX_LAYERS or not all(0 < width <= MAX_WIDTH for width in widths[1:]):
            raise ValueError(f"there are more than {MAX_LAYERS} layers, or a layer has not 1 to {MAX_WIDTH} outputs")
        if not self.layers or widths[-1] != sum(parameters) + later * units:
            raise ValueError("the last layer does not fit the channels and components")
        seen = {(dy, dx) for dy, dx in self.offsets.tolist()}
        if not {(0, -1), (-1, 0), (-1, -1)} <= seen or any(dy > 0 or (dy == 0 and dx > 0) for dy, dx in seen):
            raise ValueError("the offsets do not hold W, N and NW, or point to later pixels")
        if np.abs(self.offsets.astype(np.int64)).max() > MAX_OFFSET:
            raise ValueError(f"an offset is larger than {MAX_OFFSET}")
        near = {(dy, dx) for dy, dx in self.neighbours.tolist()}
        if not near <= seen - {(0, 0)}:
            raise ValueError("a neighbour is not in the context")
        if len(near) < len(self.neighbours) or len(seen) < len(self.offsets):
            raise ValueError("an offset or a neighbour is there twice")
        if self.layers[0].convolution or self.layers[-1].convolution:
            raise ValueError("the first layer is a convolution, or the last")
        if (sum(places) > len(places)) != (len(self.neighbours) > 0):
            raise ValueError("there are neighbours without convolutions, or convolutions without neighbours")
        if sum(widths[k] for k, count in enumerate(places) if count > 1) > MAX_FEATURES:
            raise ValueError(f"convolutions see more than {MAX_FEATURES} features of a pixel")
        self._check_orders()

    def _check_orders(self) -> None:
        """There are none, or one for each layer but the last of a network of plain layers. ValueError."""
        if not self.orders:
            return
        if len(self.orders) != len(self.layers) - 1 or any(layer.skip or layer.convolution for layer in self.layers):
            raise ValueError("orders of units are for all layers but the last, and none of these may skip or convolve")
        for k, (order, layer) in enumerate(zip(self.orders, self.layers, strict=False)):
            if order.dtype != np.int16 or not np.array_equal(np.sort(order), np.arange(layer.bias.size)):
                raise ValueError(f"the order of layer {k} does not name each of its units once")

    def _check_skips(self) -> None:
        """Skips lead to an earlier layer as wide; the last layer, whose accumulators are read, has none. ValueError."""
        for k, layer in enumerate(self.layers):
            if not 0 <= layer.skip <= k or layer.bias.shape != self.layers[k - layer.skip].bias.shape:
                raise ValueError(f"the skip of layer {k} leads nowhere")
        if self.layers and self.layers[-1].skip:
            raise ValueError("the last layer has a skip")

    def adjusted(self, adjustments: NDArray[np.int8]) -> "LocalModel":
        """The model with other biases: `adjustments` int8 [biases of all layers], in units of a layer's output.

        An accumulator's unit is multiplier / 2^shift of the output's, so the bias grows by the adjustment times
        2^shift / multiplier, rounded down. ValueError where the bounds can then no longer be proved.
        """
        layers, start = [], 0
        for layer in self.layers:
            part = adjustments[start : start + layer.bias.size].astype(np.int64)
            bias = layer.bias + (part << layer.shift) // layer.multiplier
            if np.abs(bias).max() > INT32_MAX:
                raise ValueError("an adjusted bias leaves an int32")
            layers.append(replace(layer, bias=bias.astype(np.int32)))
            start += layer.bias.size
        model = replace(self, layers=tuple(layers))
        model.prove()
        return model

    @property
    def bias_count(self) -> int:
        """Biases of all layers."""
        return sum(layer.bias.size for layer in self.layers)

    def save(self, path: Path) -> None:
        """Writes the model as .safetensors, after `prove`."""
        self.prove()
        metadata = {"format": FORMAT, "channels": str(self.channels), "components": str(self.components)}
        orders = {f"layer{k}.order": order for k, order in enumerate(self.orders)}
        tensors.write(path, self.arrays() | orders, metadata | self._settings())


Kind = TypeVar("Kind", bound=LocalModel)


def load(path: Path, name: str) -> LocalModel:
    """Reads a model and proves its bounds again. ShearlocError if the file is not one of ours."""
    return parse_as(LocalModel, path.read_bytes(), name, str(path))


def parse_as(kind: type[Kind], data: bytes, name: str, source: str) -> Kind:
    """`load` from any bytes, of a kind of local model; `source` is their name in a ShearlocError."""
    with tensors.sound(source):
        metadata, arrays = tensors.read(data, FORMAT)
        count = sum(key.endswith(".weight") for key in arrays)
        parts = ("weight", "bias", "multiplier", "shift")
        kinds = [
            [int(number) for number in metadata.get(key, "0 " * count).split()] for key in ("skips", "convolutions")
        ]
        layers = tuple(
            Dense(**{part: arrays[f"layer{k}.{part}"] for part in parts}, skip=skip, convolution=bool(convolution))
            for k, skip, convolution in zip(range(count), *kinds, strict=True)
        )
        sizes = int(metadata["channels"]), int(metadata["components"])
        predictor = PREDICTORS[metadata.get("predictor", "med")]
        heads = arrays["learn"], arrays["adjust"]
        bits = int(metadata.get("coefficient_bits", COEFFICIENT_BITS))
        neighbours = arrays.get("neighbours", np.empty((0, 2), np.int32))
        orders = tuple(arrays[key] for k in range(count) if (key := f"layer{k}.order") in arrays)
        model = kind(name, *sizes, arrays["offsets"], layers, *heads, predictor, bits, neighbours, orders)
        model.prove()
    return model
