"""Makes golden files that do not exist yet: `python -m tests.golden.make` in the repository's root.

With `--check` it lists them and writes nothing.

What exists is neither overwritten nor removed: files of a released version stay for ever. To pin something new, add it
to `local_models`, `vae_models`, `learning_models`, `pictures` or `archives` below under a new name and run this once.
The models are random but sound, small, and biased to predict about as well as the median edge detector alone.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shearloc.codec import api, archive, parts, turning, webp
from shearloc.codec.formats import container
from shearloc.codec.formats.container import Method
from shearloc.codec.formats.crc32c import crc32c
from shearloc.codec.pictures import png
from shearloc.codec.pictures.picture import Picture
from shearloc.models import defaults, orientation, zoo
from shearloc.models.family import How
from shearloc.models.learning.model import Expert, Layer, LearningModel
from shearloc.models.local import adaptation
from shearloc.models.local.model import LocalModel
from shearloc.models.squares import spread
from shearloc.models.squares.model import Squares
from shearloc.models.vae.model import VaeModel, array_shapes
from shearloc.models.vae.shape import VaeShape
from shearloc.models.wavefront.context import CONSTANT, MEDIAN_EDGE, causal_offsets, nearest
from shearloc.nets.layers import Dense

HERE = Path(__file__).parent
MODELS = HERE / "models"
INDEX = HERE / "golden.json"

Pixels = NDArray[np.uint8]


# --- Models -----------------------------------------------------------------------------------------------------


def local_models() -> dict[str, LocalModel]:
    """Each kind of local model: gray and RGB, with prediction and a skip; the thesis's form; the smallest there is."""
    return {
        "golden-gray": _local(1, causal_offsets(2, 1), widths=(12, 12), components=3, units=0),
        "golden-rgb": _local(3, causal_offsets(3, 1), widths=(16, 16), components=3, units=6),
        "golden-nelloc": _local(3, causal_offsets(2, 2), (12, 12, 12, 12), 4, 0, (0, 0, 0, 3, 0), CONSTANT),
        "golden-nelloc-gray": _local(1, causal_offsets(3, 3), (8, 8), 2, 0, (0, 1, 0), CONSTANT),
        "golden-level": _local(3, causal_offsets(2, 1, level=True), (12, 12, 12, 12), 3, 4, (0, 0, 0, 3, 0)),
        "golden-fine": _local(3, causal_offsets(2, 2), (12, 12), 3, 0, (), CONSTANT, 12),
        "golden-convolution": _local(3, causal_offsets(2, 2), (12, 5, 6, 12), 3, 4, (0, 0, 0, 3, 0), neighbours=8),
        "golden-example": _local(3, causal_offsets(1, 0), widths=(4,), components=2, units=2),
        "golden-least": _local(1, causal_offsets(1, 0), widths=(2,), components=1, units=0),
    }


def _local(
    channels: int,
    offsets: NDArray[np.int32],
    widths: tuple[int, ...],
    components: int,
    units: int,
    skips: tuple[int, ...] = (),
    predictor: int = MEDIAN_EDGE,
    coefficient_bits: int = 8,
    neighbours: int = 0,
) -> LocalModel:
    """A random model of these widths; with neighbours its third layer is a convolution."""
    draw = np.random.default_rng([channels, *widths, predictor])
    layers = []
    inputs = len(offsets) * channels
    for k, width in enumerate(widths):
        convolution = k == 2 and neighbours > 0
        inputs *= neighbours + 1 if convolution else 1
        weight = draw.integers(-12, 13, (inputs, width)).astype(np.int8)
        # Activations are stored minus 128.
        bias = draw.integers(0, 4000 if k else 2000, width) + (128 * weight.sum(0, dtype=np.int64) if k else 0)
        layers.append(
            _dense(weight, bias, draw.integers(64, 128, width), 11 if k else 10, skips[k] if skips else 0, convolution)
        )
        inputs = width
    kinds = [kind for c in range(channels) for kind in range(3 + c) for _ in range(components)]
    places = [k % components for k in range(len(kinds))]
    outputs = len(kinds) + (channels - 1) * units
    spread = np.array([{0: 6, 1: 10, 2: 3}.get(kind, 8) for kind in kinds] + [12] * (outputs - len(kinds)))
    weight = np.rint(draw.normal(0, 2 * spread, (inputs, outputs))).astype(np.int8)
    # Logits fall, means and scales spread out, from 1.3 grey levels, or 20 where the prediction is 128.
    wide = 0 if predictor == MEDIAN_EDGE else 90
    middles = [{0: -30 * p, 1: 40 * p * (wide + 1) * (-1) ** p, 2: 8 + wide + 25 * p}.get(kind, 40) for kind, p in
               zip(kinds, places, strict=True)]  # fmt: skip
    bias = np.array(middles + [40] * (outputs - len(kinds))) * 128 + 64 * weight.sum(0, dtype=np.int64)
    multiplier = draw.integers(60, 68, outputs)
    shift = 13 - np.array([coefficient_bits - 8 if kind > 2 else 0 for kind in kinds] + [0] * (outputs - len(kinds)))
    layers.append(_dense(weight, bias, multiplier, shift, 0))
    later = channels - 1
    learn = draw.integers(-40, 41, (later, later, units)).astype(np.int32)
    adjust = draw.integers(-8, 9, (later, units, (2 + channels) * components)).astype(np.int32)
    for c in range(1, channels):  # what no channel reads is zero
        learn[c - 1, c:] = 0
        adjust[c - 1, :, (3 + c) * components :] = 0
    arrays = offsets, tuple(layers), learn, adjust
    model = LocalModel("", channels, components, *arrays, predictor, coefficient_bits, nearest(neighbours))
    model.prove()
    return model


def _dense(
    weight: NDArray[np.int8], bias: Any, multiplier: Any, shift: Any, skip: int, convolution: bool = False
) -> Dense:
    columns = [np.asarray(column, np.int32) for column in (bias, multiplier, np.full(len(bias), shift))]
    return Dense(weight, *columns, skip, convolution)


def squares_models() -> dict[str, Squares]:
    """Weights and shapes of no particular kind."""
    draw = np.random.default_rng(7)
    steps = draw.integers(1, 100, (spread.CLASSES, spread.BINS))
    inner = np.cumsum(steps, 1)[:, :-1] * (1 << spread.PRECISION) // steps.sum(1)[:, None]
    shapes = np.pad(inner, ((0, 0), (1, 1)))
    shapes[:, -1] = 1 << spread.PRECISION
    weights = np.array([90000, 16000, 12000, 9000, 2000, -3000, 20000], np.int32)
    return {"golden-squares": Squares("", weights, shapes.astype(np.int32))}


def learning_models() -> dict[str, LearningModel]:
    """Models that learn: gray, an update every third step; RGB; RGB by two experts, one with a hidden layer more; and
    with edges that learn."""
    gray = _expert(1, 11, (32,), components=2, units=0, rates=(0.004,))
    colour = _expert(3, 15, (32,), components=2, units=4, rates=(0.002,))
    deep = _expert(3, 15, (32, 64), components=3, units=2, rates=(0.004, 0.001))
    near, level = causal_offsets(2, 1), causal_offsets(1, 1, level=True)
    return {
        "golden-learning-gray": _learning(1, near, (gray,), 3),
        "golden-learning": _learning(3, level, (colour,), 1),
        "golden-learning-experts": _learning(3, level, (deep, colour), 2),
        "golden-learning-edges": _learning(3, level, (deep, colour), 2, 16),
        "golden-learning-edges-gray": _learning(1, near, (gray,), 1, 1),
    }


def _learning(
    channels: int, offsets: NDArray[np.int32], experts: tuple[Expert, ...], every: int, edges: int = 0
) -> LearningModel:
    model = LearningModel("", channels, offsets, experts, every, edges=edges)
    model.prove()
    return model


def _expert(
    channels: int, features: int, widths: tuple[int, ...], components: int, units: int, rates: tuple[float, ...]
) -> Expert:
    """A random network of these widths."""
    draw = np.random.default_rng([channels, *widths, components, units])
    kinds = [kind for c in range(channels) for kind in range(3 + c) for _ in range(components)]
    outputs = len(kinds) + (channels - 1) * units
    layers, inputs = [], features
    for bits, width in zip((10, *(11 for _ in widths)), (*widths, outputs), strict=True):
        spread = 2.0**bits / np.sqrt(inputs)
        weight = np.rint(draw.normal(0, spread if layers else spread / 4, (inputs, width))).astype(np.int16)
        layers.append(Layer(weight, draw.integers(0, 1 << bits + 4, width).astype(np.int32), bits))
        inputs = width
    # The first distributions are those of the median edge detector, of scales from 2 grey levels on.
    places = np.arange(len(kinds)) % components
    middles = np.array([{0: -0.5, 1: 0.02, 2: 0.8}.get(kind, 0.2) for kind in kinds]) * (1 + places)
    start = np.concatenate([middles, np.full(outputs - len(kinds), 0.3)])
    layers[-1] = Layer(layers[-1].weight // 16, np.rint(start * 2.0**17).astype(np.int32), 11)
    later = channels - 1
    learn = draw.integers(-2000, 2001, (later, later, units)).astype(np.int32)
    adjust = draw.integers(-100, 101, (later, units, (2 + channels) * components if later else 0)).astype(np.int16)
    for c in range(1, channels):  # what no channel reads is zero
        learn[c - 1, c:] = 0
        adjust[c - 1, :, (3 + c) * components :] = 0
    peaks = tuple(np.full(len(layer.start), 0.125, np.float32) for layer in layers[1:])
    steps = [np.array(numbers, np.float32) for numbers in (rates, (0.5, 0.01), (0.125,))]
    return Expert(components, tuple(layers), learn, adjust, peaks, *steps)


def vae_models() -> dict[str, VaeModel]:
    """Each likelihood; fully connected, and with residual blocks for gray and colour."""
    shapes = {
        "golden-bernoulli": VaeShape(8, 1, "bernoulli", latents=4, width=10),
        "golden-logistic": VaeShape(6, 1, "logistic", latents=3, width=10),
        "golden-colour": VaeShape(8, 3, "logistic", latents=8, width=6, blocks=1),
        "golden-blocks": VaeShape(8, 1, "bernoulli", latents=4, width=5, blocks=2),
        "golden-pooled": VaeShape(8, 1, "logistic", latents=3, width=4, blocks=1, pooled=True),
    }
    return {name: _vae(shape) for name, shape in shapes.items()}


def _vae(shape: VaeShape) -> VaeModel:
    draw = np.random.default_rng([shape.side, shape.latents, shape.width, shape.blocks])
    arrays = {}
    for key, size in array_shapes(shape).items():
        spread = 5000 / size[0] ** 0.5 if key.endswith("weight") else 5000
        kept = np.int16 if key.endswith("weight") else np.int32
        arrays[key] = np.rint(draw.normal(0, spread, size)).clip(-32000, 32000).astype(kept)
    return VaeModel("", shape, arrays)


# --- Pictures ---------------------------------------------------------------------------------------------------


def smooth(height: int, width: int, channels: int) -> Pixels:
    """Waves with a little noise: [H, W], or [H, W, C]."""
    y, x, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng([height, width, channels]).integers(-2, 3, y.shape)
    pixels = (96 + 64 * np.sin(x / 9 + c) + 64 * np.cos(y / 7) + noise).clip(0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def comb(height: int, width: int, channels: int) -> Pixels:
    """Waves whose contrast was stretched by a half after they were rounded: levels 2, 5, 8, … are missing."""
    low = smooth(height, width, channels).reshape(height, width, channels) * 2 // 3
    noise = np.random.default_rng([height, width, channels]).integers(-4, 5, low.shape)
    return ((low + noise).clip(0, 169) * 3 // 2).astype(np.uint8)


def pictures() -> dict[str, Callable[[], bytes]]:
    """Files of one picture by name."""
    gray, rgb = smooth(21, 26, 1), smooth(21, 26, 3)
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (13, 17, 3), np.uint8)
    deep = draw.integers(0, 1 << 16, (9, 11, 3)).astype(np.uint16)
    rising = (np.arange(15 * 20).reshape(15, 20) * 219).astype(np.uint16)
    colours = draw.integers(0, 256, (16, 3), np.uint8)
    exif, profile = (b"eXIf", b"MM\0*" + bytes(28)), (b"iCCP", b"profile\0\0" + bytes(range(60)))
    text = (b"tEXt", b"Title\0" + b"many words, " * 30)
    xmp = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>")
    physical, gamma = (b"pHYs", bytes([0, 0, 11, 19, 0, 0, 11, 19, 1])), (b"gAMA", (45455).to_bytes(4, "big"))
    example = np.array([[[200, 120, 40], [206, 126, 44]], [[198, 119, 43], [90, 200, 250]]], np.uint8)
    rgba = np.dstack([rgb, smooth(21, 26, 4)[:, :, 3]])
    return {
        # Local models.
        "local-gray-1x1": lambda: _picture(Picture(gray[:1, :1]), "golden-gray"),
        "local-rgb-1x1": lambda: _picture(Picture(rgb[:1, :1]), "golden-rgb"),
        "local-gray-40x1": lambda: _picture(Picture(smooth(1, 40, 1)), "golden-gray"),
        "local-rgb-1x40": lambda: _picture(Picture(smooth(40, 1, 3)), "golden-rgb"),
        "local-gray-300x200": lambda: _picture(Picture(smooth(200, 300, 1)), "golden-gray"),
        "local-rgb-300x200": lambda: _picture(Picture(smooth(200, 300, 3)), "golden-rgb"),
        "local-gray-sequential": lambda: _picture(Picture(gray), "golden-gray", order="sequential"),
        "local-rgb-sequential": lambda: _picture(Picture(rgb), "golden-rgb", order="sequential"),
        "local-noise": lambda: _picture(Picture(noise), "golden-rgb"),
        "local-nelloc": lambda: _picture(Picture(rgb), "golden-nelloc"),
        "local-nelloc-sequential": lambda: _picture(Picture(rgb[:9]), "golden-nelloc", order="sequential"),
        "local-nelloc-gray": lambda: _picture(Picture(gray), "golden-nelloc-gray"),
        "local-level": lambda: _picture(Picture(rgb), "golden-level"),
        "local-fine": lambda: _picture(Picture(rgb), "golden-fine"),
        "local-level-sequential": lambda: _picture(Picture(rgb[:9]), "golden-level", order="sequential"),
        "local-convolution": lambda: _picture(Picture(rgb), "golden-convolution"),
        "local-convolution-sequential": lambda: _picture(Picture(rgb[:9]), "golden-convolution", order="sequential"),
        "local-least": lambda: _picture(Picture(gray[:2, :3]), "golden-least"),
        "local-adapted-gray": lambda: _adapted("golden-gray", gray[:, :, None]),
        "local-adapted-rgb": lambda: _adapted("golden-rgb", rgb),
        "local-adapted-nelloc": lambda: _adapted("golden-nelloc", rgb),
        "local-embedded": lambda: _picture(Picture(rgb), "golden-rgb", embed=True),
        "local-embedded-metadata": lambda: _picture(Picture(gray, chunks=(text,)), "golden-nelloc-gray", embed=True),
        "local-embedded-convolution": lambda: _picture(Picture(rgb[:6, :7]), "golden-convolution", embed=True),
        "example": lambda: _picture(Picture(example), "golden-example"),
        # Models that learn.
        "learning-gray": lambda: _picture(Picture(gray), "golden-learning-gray"),
        "learning-rgb": lambda: _picture(Picture(rgb), "golden-learning"),
        "learning-rgb-300x200": lambda: _picture(Picture(smooth(200, 300, 3)), "golden-learning"),
        "learning-noise": lambda: _picture(Picture(noise), "golden-learning"),
        "learning-experts": lambda: _picture(Picture(rgb), "golden-learning-experts"),
        "learning-edges": lambda: _picture(Picture(comb(20, 30, 3)), "golden-learning-edges"),
        "learning-edges-gray": lambda: _picture(Picture(comb(30, 20, 1)[..., 0]), "golden-learning-edges-gray"),
        "learning-edges-noise": lambda: _picture(Picture(noise), "golden-learning-edges"),
        "learning-rgb-1x1": lambda: _picture(Picture(rgb[:1, :1]), "golden-learning-experts", embed=True),
        **{f"learning-turned-{number}": partial(_turned, "golden-learning", rgb, number) for number in (1, 2, 4, 7)},
        # Every kind of picture.
        "gray-alpha": lambda: _picture(Picture(np.dstack([gray, gray[::-1]])), "golden-gray"),
        "rgba": lambda: _picture(Picture(rgba), "golden-rgb"),
        "rgba-embedded": lambda: _picture(Picture(rgba), "golden-rgb", embed=True),
        "gray-16": lambda: _picture(Picture(rising, 16), "golden-gray"),
        "gray-16-doubled": lambda: _picture(Picture(gray * np.uint16(257), 16), "golden-gray"),
        "rgb-16": lambda: _picture(Picture(rgb * np.uint16(256) + noise[0, 0], 16), "golden-rgb"),
        "rgba-16": lambda: _picture(Picture(rgba * np.uint16(257), 16), "golden-rgb"),
        "gray-alpha-16": lambda: _picture(Picture(np.dstack([rising, rising[::-1]]), 16)),
        "rgb-16-noise": lambda: _picture(Picture(deep, 16)),
        "gray-1": lambda: _picture(Picture((gray > 128).astype(np.uint8), 1)),
        "gray-1-odd": lambda: _picture(Picture(draw.integers(0, 2, (5, 9), np.uint8), 1)),
        "gray-2": lambda: _picture(Picture(gray // 64, 2)),
        "gray-4": lambda: _picture(Picture(gray // 16, 4)),
        "palette-1": lambda: _picture(Picture(gray // 128, 1, colours[:2])),
        "palette-2-transparent": lambda: _picture(Picture(gray // 64, 2, colours[:4], b"\x00\x80")),
        "palette-4": lambda: _picture(Picture(gray // 16, 4, colours)),
        "palette-8": lambda: _picture(Picture(gray // 16, 8, colours[:10])),
        "transparent-gray": lambda: _picture(Picture(gray, 8, transparency=b"\0\x60"), "golden-gray"),
        "transparent-rgb": lambda: _picture(Picture(rgb, 8, colours, b"\0\x60\0\x61\0\x62"), "golden-rgb"),
        # Metadata: plain, and deflated.
        "metadata": lambda: _picture(Picture(rgb, chunks=(gamma, physical)), "golden-rgb"),
        "metadata-much": lambda: _picture(Picture(gray, chunks=(profile, exif, text, xmp)), "golden-gray"),
        # Pictures of 16 bits at once.
        "squares-gray": lambda: _picture(Picture(deep_waves(23, 31, 1), 16), "golden-squares"),
        "squares-gray-alpha": lambda: _picture(Picture(deep_waves(9, 11, 2), 16), "golden-squares"),
        "squares-rgb": lambda: _picture(Picture(deep_waves(12, 17, 3), 16), "golden-squares"),
        "squares-rgba": lambda: _picture(Picture(deep_waves(7, 9, 4), 16), "golden-squares", embed=True),
        "squares-table": lambda: _picture(Picture(deep_waves(40, 40, 1) // 16 * np.uint16(272), 16), "golden-squares"),
        "squares-tiles": lambda: _picture(Picture(deep_waves(1, 2050, 1), 16), "golden-squares"),
        "squares-flat": lambda: _picture(Picture(rising // 4096, 16), "golden-squares"),
        "squares-1x1": lambda: _picture(Picture(rising[2:3, 5:6], 16), "golden-squares"),
        # What needs no model.
        "raw": lambda: _parts(Picture(noise), _raw_part(noise)),
        "webp-gray": lambda: _webp(gray[:, :, None]),
        "webp-rgb": lambda: _webp(rgb),
        "webp-rgba": lambda: _webp(rgba),
        "webp-rgb-300x200": lambda: _picture(Picture(np.repeat(np.repeat(colours.reshape(4, 4, 3), 50, 0), 75, 1))),
        "webp-gray-alpha": lambda: _webp(np.dstack([gray, gray[::-1]])),
        # Parts that the encoder seldom chooses.
        "alpha-raw": lambda: _parts(Picture(rgba), _local_part(rgb, "golden-rgb"), _raw_part(rgba[:, :, 3:])),
        "alpha-local": lambda: _parts(
            Picture(rgba), _local_part(rgb, "golden-rgb", True), _local_part(rgba[:, :, 3:], "golden-gray", True)
        ),
        "alpha-deflate": lambda: _parts(Picture(rgba), _webp_part(rgb), _deflate_part(rgba[:, :, 3:])),
        "deflate-rgb": lambda: _parts(Picture(rgb), _deflate_part(rgb)),
        "planes": lambda: _parts(Picture(rgba), *[_raw_part(rgba[:, :, k : k + 1]) for k in range(4)]),
        "rgb-16-local": lambda: _parts(
            Picture(rgb * np.uint16(256) + rgb[::-1], 16),
            _local_part(rgb, "golden-rgb"),
            _local_part(rgb[::-1], "golden-nelloc"),
        ),
        "rgb-16-raw": lambda: _parts(
            Picture(rgb * np.uint16(256) + rgb[::-1], 16), _webp_part(rgb), _raw_part(rgb[::-1])
        ),
        "flat": lambda: _picture(Picture(np.full((64, 64, 3), 7, np.uint8))),
        "white-1x1": lambda: _picture(Picture(np.full((1, 1), 255, np.uint8))),
    }  # fmt: skip


def deep_waves(height: int, width: int, channels: int) -> NDArray[np.uint16]:
    """Waves with much noise, of 12 bits, some of them cut off: [H, W], or [H, W, C]."""
    y, x, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng([height, width, channels, 12]).normal(0, 30, y.shape)
    samples = (2300 + 1500 * np.sin(x / 9 + c / 3) + 900 * np.cos(y / 7) + noise).clip(0, 4095).astype(np.uint16)
    return samples[:, :, 0] if channels == 1 else samples


def _picture(picture: Picture, model: str = "auto", **options: Any) -> bytes:
    return api.encode_picture(picture, model=model, engine="numpy", **options)


def _turned(name: str, pixels: Pixels, number: int) -> bytes:
    """As effort 9 may lay a picture down."""
    model = zoo.load(name)
    coded = model.encode(orientation.laid(pixels[None], number), How("numpy"))
    coded = replace(coded, side_information=turning.side_information(number))
    return _parts(Picture(pixels), parts._model_part(model, pixels, coded))


def _adapted(name: str, pixels: Pixels) -> bytes:
    """As from effort 7 on, with other numbers."""
    model = zoo.load_as(LocalModel, name)
    adjustments = np.random.default_rng(2).integers(-3, 4, model.bias_count).astype(np.int8)
    coded = model.encode(pixels[None], How("numpy"), adaptation.pack(adjustments))
    picture = Picture(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return _parts(picture, parts._model_part(model, pixels, coded))


def _webp(pixels: Pixels) -> bytes:
    return _parts(Picture(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), _webp_part(pixels))


def _parts(picture: Picture, *coded: parts.CodedPart) -> bytes:
    """A file of these parts."""
    height, width = picture.samples.shape[:2]
    crc = crc32c(picture.samples.astype(picture.samples.dtype.newbyteorder("<")))
    weights = tuple(chunk for one in coded for chunk in one.weights)
    found = tuple(one.part for one in coded)
    header = container.Header(height, width, picture.colour, picture.depth, found, crc, weights)
    return container.pack(header, [one.payload for one in coded])


def _local_part(planes: Pixels, name: str, embed: bool = False) -> parts.CodedPart:
    return parts._by_model(planes, name, parts.Options(name, 5, How("numpy"), embed))


def _webp_part(planes: Pixels) -> parts.CodedPart:
    return parts.CodedPart(container.Part(planes.shape[2], Method.WEBP), webp.encode(planes, 4, 75))


def _raw_part(planes: Pixels) -> parts.CodedPart:
    return parts.CodedPart(container.Part(planes.shape[2], Method.RAW), planes.tobytes())


def _deflate_part(planes: Pixels) -> parts.CodedPart:
    plain = Picture(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    return parts.CodedPart(container.Part(planes.shape[2], Method.DEFLATE), png.compress(plain, 9))


# --- Archives ---------------------------------------------------------------------------------------------------


def blobs(count: int, side: int, channels: int, binary: bool) -> Pixels:
    """Small images, uint8 [count, side, side, channels], 0 and 1 if `binary`."""
    draw = np.random.default_rng([count, side, channels])
    y, x = np.mgrid[:side, :side] / side
    centre = draw.random((2, count, 1, 1))
    shapes = np.exp(-8 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2))[..., None]
    levels = 255 * shapes + draw.normal(0, 8, (count, side, side, channels))
    return (levels > 100).astype(np.uint8) if binary else levels.clip(0, 255).astype(np.uint8)


def archives() -> dict[str, Callable[[], bytes]]:
    """Files of many images by name."""
    binary, gray, colour = blobs(70, 8, 1, True), blobs(70, 6, 1, False), blobs(12, 8, 3, False)
    names = [f"image {k} é" for k in range(70)]
    small = {"chunk_samples": 30 * 36}
    return {
        "archive-raw": lambda: archive_with(gray[:5], names, "raw"),
        "archive-local-gray": lambda: archive_with(gray, names, "golden-gray", **small),
        "archive-local-rgb": lambda: archive_with(colour, None, "golden-rgb"),
        "archive-local-nelloc": lambda: archive_with(colour, None, "golden-nelloc"),
        "archive-local-level": lambda: archive_with(colour, None, "golden-level"),
        "archive-local-convolution": lambda: archive_with(colour, None, "golden-convolution"),
        "archive-local-lanes": lambda: archive_with(np.stack([smooth(150, 200, 3)] * 3), None, "golden-rgb"),
        "archive-local-oriented": lambda: archive_with(colour, names, "golden-convolution", effort=9),
        "archive-local-flipped": lambda: archive_with(gray[:9, :, :5] + 0, None, "golden-gray", effort=8, embed=True),
        "archive-learning": lambda: archive_with(colour, names, "golden-learning-experts"),
        "archive-learning-gray": lambda: archive_with(gray, None, "golden-learning-gray", **small),
        "archive-bernoulli-0": lambda: archive_with(binary, names, "golden-bernoulli"),
        "archive-bernoulli-3": lambda: archive_with(binary, None, "golden-bernoulli", steps=3, **small),
        "archive-blocks-3": lambda: archive_with(binary, None, "golden-blocks", steps=3),
        "archive-pooled-2": lambda: archive_with(blobs(12, 8, 1, False), None, "golden-pooled", steps=2),
        "archive-logistic-0": lambda: archive_with(gray, None, "golden-logistic"),
        "archive-logistic-3": lambda: archive_with(gray, names, "golden-logistic", steps=3),
        "archive-colour-0": lambda: archive_with(colour, names, "golden-colour"),
        "archive-colour-3": lambda: archive_with(colour, None, "golden-colour", steps=3),
        "archive-one": lambda: archive_with(gray[:1], ["only"], "golden-logistic", steps=3),
        "archive-embedded-local": lambda: archive_with(gray[:9], None, "golden-gray", embed=True),
        "archive-embedded-vae": lambda: archive_with(colour, None, "golden-colour", steps=1, embed=True),
    }  # fmt: skip


def archive_with(
    images: Pixels,
    names: list[str] | None,
    model: str,
    steps: int = 0,
    engine: str = "numpy",
    effort: int = 5,
    **options: Any,
) -> bytes:
    """The archive of uint8 [N, H, W, C] by this model. `options`: embed, chunk_samples."""
    how = How(engine, steps=steps, orientations=orientation.tried(effort, images.shape[:3]))
    return archive._encode_with(images, names and names[: len(images)], model, how, **options)


# --- Writing ----------------------------------------------------------------------------------------------------


def contents(data: bytes, **options: Any) -> str:
    """What a file holds, decoded: what it is, and SHA-256 of all that comes back."""
    if archive.is_archive(data):
        images, found = archive.decode_images(data, **{k: v for k, v in options.items() if k != "order"})
        return f"{len(images)} images {images.shape[1:]} {digest(repr(found).encode(), images)}"
    picture = api.decode_picture(data, **options)
    palette = b"" if picture.palette is None else picture.palette.tobytes()
    chunks = b"".join(kind + content for kind, content in picture.chunks)
    hashed = digest(palette + picture.transparency + chunks, picture.samples)
    return f"{picture.mode} {picture.samples.shape} {len(picture.chunks)} chunks {hashed}"


def digest(head: bytes, samples: NDArray[Any]) -> str:
    """SHA-256 of bytes and little-endian samples."""
    return hashlib.sha256(head + samples.astype(samples.dtype.newbyteorder("<")).tobytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is missing, and say so. With `--check` only say so: nothing is written, and 1 is returned."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="list what is missing and write nothing; exit code 1 then")
    check = parser.parse_args(arguments).check
    models = {
        MODELS / f"{name}.safetensors": model
        for name, model in (local_models() | vae_models() | learning_models() | squares_models()).items()
    }
    models = {path: model for path, model in models.items() if not path.exists()}
    index = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    files = {HERE / f"{name}.shl": make for name, make in (pictures() | archives()).items()}
    files = {path: make for path, make in files.items() if not path.exists() and path.name not in index}
    if check:
        for path in (*models, *files):
            print(path.relative_to(HERE))
        return int(bool(models or files))
    MODELS.mkdir(exist_ok=True)
    for path, model in models.items():
        model.save(path)
        print(path.relative_to(HERE), path.stat().st_size)
    os.environ["SHEARLOC_MODELS"] = str(MODELS)
    # So that nothing depends on a model that will be trained again.
    defaults.STATIC.update({1: "golden-gray", 3: "golden-rgb"})
    defaults.LEARNING.clear()
    defaults.DEEP = "golden-squares"
    for path, make in files.items():
        data = make()
        path.write_bytes(data)
        index[path.name] = {"file": hashlib.sha256(data).hexdigest(), "holds": contents(data, engine="numpy")}
        print(path.name, len(data))
    if files:
        INDEX.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
