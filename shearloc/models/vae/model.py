"""The exact variational autoencoder: its two networks in the fixed point of `nets/fixed_point.py`.

It maps pixels to posterior parameters and latents to likelihood parameters, and gradients back from the latter to the
latents. It codes nothing and needs no torch. `prove` checks that no sum can reach 2^53.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...nets import tensors
from ...nets.fixed_point import (
    ACTIVATION_BITS,
    EXACT,
    LIMIT,
    Affine,
    Numbers,
    Part,
    Product,
    backward,
    forward,
    plain_product,
)
from ...types import Pixels
from ..family import Family
from . import FAMILY
from .shape import BERNOULLI, VaeShape, check, decoder_steps, encoder_steps, largest_tape, latent_side

FORMAT = FAMILY.format

MAX_NUMBERS = 1 << 24
"""Activations to hold at a time, where one image does not have more."""
LOG_SIGMA_RANGE = (-6.0 * (1 << ACTIVATION_BITS), 2.0 * (1 << ACTIVATION_BITS))


@dataclass(frozen=True, eq=False)
class VaeModel:
    """A variational autoencoder in integers. `arrays`: "encoderK.weight" int16 [in, out], "encoderK.bias" int32 [out],
    and the same for "decoder", K counting the linear maps of the steps of `vae_shape.py`."""

    name: str
    shape: VaeShape
    arrays: dict[str, NDArray[Any]]

    @property
    def family(self) -> Family:
        """Autoencoders."""
        return FAMILY

    @property
    def adaptable(self) -> bool:
        """No: optimal inference refines the posterior on both sides instead."""
        return False

    @cached_property
    def encoder(self) -> tuple[Part, ...]:
        """The encoder's parts."""
        return _parts(encoder_steps(self.shape), "encoder", self.arrays)

    @cached_property
    def decoder(self) -> tuple[Part, ...]:
        """The decoder's parts."""
        return _parts(decoder_steps(self.shape), "decoder", self.arrays)

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes that change with any integer of the model: of SHA-256 over shape, names, types and values."""
        return tensors.fingerprint(f"{FORMAT} {_shape_text(self.shape)}", self.arrays)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.shape.channels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.shape.side, self.shape.side

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.shape.side, self.shape.side, self.shape.channels

    @property
    def levels(self) -> int:
        """Values of a pixel: 0 .. levels - 1."""
        return 2 if self.shape.likelihood == BERNOULLI else 256

    @property
    def batch(self) -> int:
        """Images to give to a network at a time, so that their activations stay in the processor's cache."""
        return max(1, min(32 if self.shape.blocks else 256, MAX_NUMBERS // largest_tape(self.shape)))

    def prove(self) -> None:
        """Checks that arrays fit the shape and every sum stays exact, forwards and backwards; ValueError if not."""
        expected = array_shapes(self.shape)
        if set(expected) != set(self.arrays):
            raise ValueError("the arrays are not those of the model's shape")
        for key, array in self.arrays.items():
            if array.shape != expected[key] or array.dtype != (np.int16 if key.endswith("weight") else np.int32):
                raise ValueError(f"{key} is {array.dtype} {array.shape}, not {expected[key]}")
            if key.endswith("weight"):
                magnitudes = np.abs(array.astype(np.int64))
                if int(LIMIT) * int(max(magnitudes.sum(0).max(), magnitudes.sum(1).max())) >= EXACT // 2:
                    raise ValueError(f"a sum with {key} can leave 2^53: use smaller weights")
            elif np.abs(array.astype(np.int64)).max() > LIMIT:
                raise ValueError(f"{key} leaves 2^24")

    def save(self, path: Path) -> None:
        """Writes the model as .safetensors, after `prove`."""
        self.prove()
        tensors.write(path, self.arrays, {"format": FORMAT, "shape": _shape_text(self.shape)})


Kind = TypeVar("Kind", bound=VaeModel)


def load(path: Path, name: str) -> VaeModel:
    """Reads a model and proves its bounds again. ShearlocError if the file is not one of ours."""
    return parse_as(VaeModel, path.read_bytes(), name, str(path))


def parse_as(kind: type[Kind], data: bytes, name: str, source: str) -> Kind:
    """`load` from any bytes, of a kind of autoencoder; `source` is their name in a ShearlocError."""
    with tensors.sound(source):
        metadata, arrays = tensors.read(data, FORMAT)
        model = kind(name, VaeShape(**json.loads(metadata["shape"])), arrays)
        model.prove()
    return model


def _shape_text(shape: VaeShape) -> str:
    """The shape as JSON; `pooled` only where it is true, so that older models keep their fingerprints."""
    return json.dumps({key: value for key, value in asdict(shape).items() if value is not False}, sort_keys=True)


def _map_sizes(shape: VaeShape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every linear map by its name, such as "encoder0"."""
    sizes: dict[str, tuple[int, int]] = {}
    for network, steps in (("encoder", encoder_steps(shape)), ("decoder", decoder_steps(shape))):
        found = []
        for kind, *numbers in steps:
            if kind == "dense":
                found.append((numbers[0], numbers[1]))
            elif kind == "block":
                found += [(9 * numbers[0], numbers[0]), (numbers[0], numbers[0])]
        sizes |= {f"{network}{k}": pair for k, pair in enumerate(found)}
    return sizes


def array_shapes(shape: VaeShape) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a model by its name. ValueError for a shape that is not possible."""
    check(shape)
    weights = {f"{name}.weight": sizes for name, sizes in _map_sizes(shape).items()}
    return weights | {f"{name}.bias": (sizes[1],) for name, sizes in _map_sizes(shape).items()}


def _parts(steps: list[tuple[Any, ...]], network: str, arrays: dict[str, NDArray[Any]]) -> tuple[Part, ...]:
    parts: list[Part] = []
    count = 0

    def affine() -> Affine:
        nonlocal count
        name = f"{network}{count}"
        count += 1
        return Affine(arrays[f"{name}.weight"].astype(np.float64), arrays[f"{name}.bias"].astype(np.float64))

    for kind, *sizes in steps:
        if kind == "relu" and parts[-1].kind == "dense":
            parts[-1] = parts[-1]._replace(relu=True)
        elif kind == "dense":
            parts.append(Part(kind, 0, (affine(),)))
        elif kind == "block":
            parts.append(Part(kind, 0, (affine(), affine())))
        else:
            parts.append(Part(kind, sizes[0] if sizes else 0))
    return tuple(parts)


def posterior(model: VaeModel, pixels: Pixels, product: Product) -> tuple[Numbers, Numbers]:
    """Mean and log standard deviation of q(z|x), float64 [n, latents] in 2^-16, for uint8 [n, side, side, channels]."""
    unit = 1 << (ACTIVATION_BITS if model.shape.likelihood == BERNOULLI else ACTIVATION_BITS - 7)
    means, log_sigmas = [], []
    for start in range(0, len(pixels), model.batch):
        x = (pixels[start : start + model.batch].astype(np.float64) - model.shape.offset) * unit
        # Most pixels of a digit are black: products that skip zeros take a tenth of the time of the others.
        first = product if model.shape.offset else plain_product
        out = forward(model.encoder[2:], forward(model.encoder[:2], x, first, None), product, None)
        mean, log_sigma = np.split(out, 2, axis=-1)
        means.append(mean.reshape(len(x), -1))
        log_sigmas.append(log_sigma.reshape(len(x), -1))
    return np.concatenate(means), np.clip(np.concatenate(log_sigmas), *LOG_SIGMA_RANGE)


def likelihood(model: VaeModel, z: Numbers, product: Product) -> Numbers:
    """Parameters of p(x|z), float64 [n, side, side, outputs] in 2^-16, for latents [n, latents] in 2^-16."""
    batches = range(0, len(z), model.batch)
    return np.concatenate([likelihood_and_tape(model, z[k : k + model.batch], product)[0] for k in batches])


def likelihood_and_tape(model: VaeModel, z: Numbers, product: Product) -> tuple[Numbers, list[Numbers]]:
    """`likelihood` of one batch, and what `latent_gradient` needs."""
    side = latent_side(model.shape)
    tape: list[Numbers] = []
    return forward(model.decoder, z.reshape(len(z), side, side, -1), product, tape), tape


def latent_gradient(model: VaeModel, tape: list[Numbers], gradient: Numbers, product: Product) -> Numbers:
    """The gradient with respect to the latents [n, latents], given that to the likelihood's parameters.

    Both integers in any one unit, saturated at +-2^24. `tape`: of the forward pass, emptied here.
    """
    for part in reversed(model.decoder):
        gradient = backward(part, gradient, tape, product)
    return gradient.reshape(len(gradient), -1)
