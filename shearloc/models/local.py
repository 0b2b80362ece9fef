"""The integer local model: from contexts to distribution parameters, exact on every machine.

It holds the weights, reads and writes them (.safetensors), and has the head that turns a pixel's
accumulators into mixture parameters, channel by channel. It does not walk over an image or code anything.

Outputs of the network for a pixel of C channels, K components and heads of U units:

    channel 0: 3K | channel 1: 4K | ... | channel C-1: (2 + C)K | U units for channel 1 | ... | for channel C-1

where a channel's parameters are K logits, K means, K log-scales, and K coefficients for each earlier channel.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import tensors
from .context import MEDIAN_EDGE, PREDICTORS
from .layers import INT32_MAX, Dense, accumulator_bounds, prove
from .quantize import COEFFICIENT_BITS

FORMAT = "shearloc-local-1"

PARAMETER_LIMIT = 1 << 15
"""Every parameter is clamped to this; it keeps a mean within 512 grey levels of the prediction (units of 1/64)."""
COEFFICIENT_LIMIT = 8
"""A coefficient stays within [-8, 8]."""
LEAST_COEFFICIENT_BITS, MOST_COEFFICIENT_BITS = 7, 12
"""Bits of a coefficient after the binary point: at least one more than a mean's, and it fits PARAMETER_LIMIT."""

VECTOR = 16
"""A head's kernels want rows of a multiple of so many integers, which fill a processor's vectors."""

MAX_CHANNELS, MAX_OFFSET, MAX_LAYERS, MAX_WIDTH, MAX_FEATURES = 4, 32, 64, 4096, 4096
"""What a model may have at most: a file may bring its own, and they bound what a pixel costs."""


class Head(NamedTuple):
    """What the last step needs, as arrays (Numba takes a NamedTuple).

    bias, multiplier, shift: int32 [outputs]. learn int32 [C-1, C-1, U]: weights of the pixel's earlier
    channels; adjust int32 [C-1, U, (2 + C) K]: weights of the head's units. Both in units of the accumulators. The last
    axis of adjust is longer than that, with zeros, up to a multiple of VECTOR.
    coefficient_bits: a coefficient's unit is 2^-coefficient_bits.
    """

    components: int
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    learn: NDArray[np.int32]
    adjust: NDArray[np.int32]
    coefficient_bits: int


@dataclass(frozen=True, eq=False)
class LocalModel:
    """A local autoregressive model in integers. `layers`: hidden ones and the last; `offsets` int32 [n, 2].

    `predictor`: what the context is relative to, see `context.py`. `coefficient_bits`: see `Head`. `neighbours` int32
    [m, 2]: offsets of the pixels that a convolution sees beside its own; all of them are in the context, too.
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

    @property
    def head(self) -> Head:
        """The head's arrays."""
        last = self.layers[-1]
        scales = last.bias, last.multiplier, last.shift
        adjust = np.pad(self.adjust, ((0, 0), (0, 0), (0, -self.adjust.shape[2] % VECTOR)))
        return Head(self.components, *scales, self.learn, adjust, self.coefficient_bits)

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any integer of the model: of SHA-256 over names, types, shapes and values."""
        digest = hashlib.sha256(f"{FORMAT} {self.channels} {self.components}".encode())
        digest.update("".join(f" {key} {value}" for key, value in self._settings().items()).encode())
        for key, array in sorted(self.arrays().items()):
            digest.update(f" {key} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.digest()[:8]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array of the model by its name in the file."""
        named: dict[str, NDArray[np.generic]] = {"offsets": self.offsets, "learn": self.learn, "adjust": self.adjust}
        for k, layer in enumerate(self.layers):
            named |= {f"layer{k}.{part}": getattr(layer, part) for part in ("weight", "bias", "multiplier", "shift")}
        if len(self.neighbours):
            named["neighbours"] = self.neighbours
        return named

    def _settings(self) -> dict[str, str]:
        """What is not an array, and not as in a model of plain layers with the median edge detector, as text."""
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
        tensors.write(path, self.arrays(), metadata | self._settings())


def load(path: Path, name: str) -> LocalModel:
    """Reads a model and proves its bounds again. ShearlocError if the file is not one of ours."""
    return parse(path.read_bytes(), name, str(path))


def parse(data: bytes, name: str, source: str) -> LocalModel:
    """`load` of a file's bytes, whatever they are; `source` is what a ShearlocError calls them."""
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
        model = LocalModel(name, *sizes, arrays["offsets"], layers, *heads, predictor, bits, neighbours)
        model.prove()
    return model


@njit(inline="always")
def _rescale(total, multiplier, shift):  # type: ignore[no-untyped-def]
    """total * multiplier / 2^shift, rounded; int64, total an int32."""
    return (np.int64(total) * multiplier + (np.int64(1) << np.int64(shift - 1))) >> np.int64(shift)


@njit(inline="always")
def _clamp(value, limit):  # type: ignore[no-untyped-def]
    return np.int32(min(max(value, -limit), limit))


@njit(cache=True, nogil=True)
def channel_parameters(head, sums, channel, predictions, differences, seen, levels, params):  # type: ignore[no-untyped-def]
    """Mixture parameters of one channel of n pixels, given the pixels' earlier channels.

    `sums` [n, >= outputs]: the network's last products (int32, or float32 holding integers). `predictions`,
    `differences`, `seen` int32 [C, n]: each channel's prediction (0 .. 255), and for the earlier channels the
    value minus it, and that as the network sees it. `levels` int32 [>= U] is scratch.
    Fills params int32 [n, >= (3 + channel) K], as wide as `head.adjust`:
    logits (1/32 nat), means (1/64 grey level, absolute), log-scales (1/32 nat), then the coefficients.
    """
    # Indices are unsigned: Numba looks whether signed ones count from the end, and LLVM then makes no vectors.
    components, count = np.uint64(head.components), np.uint64((3 + channel) * head.components)
    first = np.uint64(head.components * (3 * channel + channel * (channel - 1) // 2))
    bias, multiplier, shift = head.bias, head.multiplier, head.shift
    # Of a mean's 1/64 = 2^-6, coefficients have so many bits more.
    finer = np.int32(head.coefficient_bits - 6)
    half, limit = np.int32(1) << (finer - np.int32(1)), np.int32(COEFFICIENT_LIMIT << head.coefficient_bits)
    pixels = np.uint64(sums.shape[0])
    for i in range(pixels):
        for j in range(count):
            params[i, j] = np.int32(sums[i, first + j]) + bias[first + j]
    if channel > 0:
        _add_units(head, sums, channel, seen, levels, params)
    for i in range(pixels):
        for j in range(count):
            params[i, j] = _clamp(_rescale(params[i, j], multiplier[first + j], shift[first + j]), PARAMETER_LIMIT)
        for e in range(np.uint64(channel)):
            difference, coefficients = differences[e, i], (np.uint64(3) + e) * components
            for k in range(components):
                coefficient = _clamp(params[i, coefficients + k], limit)
                params[i, components + k] += np.int32(coefficient * difference + half) >> finer
        prediction = np.int32(64 * predictions[channel, i])
        for k in range(components):
            params[i, components + k] += prediction


@njit(cache=True, nogil=True)
def _add_units(head, sums, channel, seen, levels, params):  # type: ignore[no-untyped-def]
    """Adds what the head's units for a channel, which have seen the pixels' earlier ones, give to its params."""
    learn, adjust, bias, multiplier, shift = head.learn, head.adjust, head.bias, head.multiplier, head.shift
    later, units = np.uint64(channel - 1), np.uint64(adjust.shape[1])
    width = np.uint64(adjust.shape[2]) // np.uint64(VECTOR) * np.uint64(VECTOR)
    base = np.uint64(bias.size - (adjust.shape[0] - channel + 1) * adjust.shape[1])
    together = units - units % np.uint64(8)
    for i in range(np.uint64(sums.shape[0])):
        for u in range(units):
            levels[u] = np.int32(sums[i, base + u]) + bias[base + u]
        for k in range(np.uint64(channel)):
            earlier = seen[k, i]
            for u in range(units):
                levels[u] += np.int32(learn[later, k, u] * earlier)
        for u in range(units):
            levels[u] = min(max(_rescale(levels[u], multiplier[base + u], shift[base + u]), 0), 255)
        # Eight at a time, so that sums are not written and read again for each.
        for u in range(np.uint64(0), together, np.uint64(8)):
            u1, u2, u3, u4 = u + np.uint64(1), u + np.uint64(2), u + np.uint64(3), u + np.uint64(4)
            u5, u6, u7 = u + np.uint64(5), u + np.uint64(6), u + np.uint64(7)
            a, b, c, d = levels[u], levels[u1], levels[u2], levels[u3]
            e, f, g, h = levels[u4], levels[u5], levels[u6], levels[u7]
            for j in range(width):
                s0 = np.int32(adjust[later, u, j] * a) + np.int32(adjust[later, u1, j] * b)
                s1 = np.int32(adjust[later, u2, j] * c) + np.int32(adjust[later, u3, j] * d)
                s2 = np.int32(adjust[later, u4, j] * e) + np.int32(adjust[later, u5, j] * f)
                s3 = np.int32(adjust[later, u6, j] * g) + np.int32(adjust[later, u7, j] * h)
                params[i, j] += np.int32(np.int32(s0 + s1) + np.int32(s2 + s3))
        for u in range(together, units):
            for j in range(width):
                params[i, j] += np.int32(adjust[later, u, j] * levels[u])
