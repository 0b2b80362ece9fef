"""K-step inference: its integer gradients against differences of real-valued code lengths."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.coding.logistic import tables
from shearloc.models.vae import inference
from shearloc.models.vae.inference import GRADIENT_BITS, _signs, refine
from shearloc.models.vae.model import VaeModel, posterior
from shearloc.nets.fixed_point import product_of

UNIT = 1 << 16


def logistic_nats(outputs: NDArray[np.float64], pixel: list[int]) -> float:
    """-ln p of one pixel, real-valued, for outputs in units of 1."""
    channels, total = len(pixel), 0.0
    for c, value in enumerate(pixel):
        first = 2 * channels + c * (c - 1) // 2
        mean = 128 * outputs[c] + 128 + sum(outputs[first + e] * (pixel[e] - 128) for e in range(c))
        scale = math.exp(outputs[channels + c] + 2)
        upper = 1 / (1 + math.exp(-(value + 0.5 - mean) / scale)) if value < 255 else 1.0
        lower = 1 / (1 + math.exp(-(value - 0.5 - mean) / scale)) if value > 0 else 0.0
        total -= math.log(upper - lower)
    return total


@pytest.mark.parametrize("pixel", [[100], [0], [255], [90, 120, 140], [0, 128, 255]])
def test_logistic_gradient(pixel: list[int]) -> None:
    channels = len(pixel)
    draw = np.random.default_rng(sum(pixel))
    outputs = np.concatenate(
        [(np.array(pixel) - 128) / 128, np.full(channels, 1.0), np.full(3 if channels == 3 else 0, 0.1)]
    )
    # On the scale's grid of 1/32, so that the table's step is not what is measured.
    outputs[:channels] += draw.normal(0, 0.05, channels)
    out = np.empty((1, outputs.size))
    sigmoid, _, inverses = tables()
    inference._logistic_gradient(
        np.rint(outputs[None] * UNIT), np.array([pixel], np.uint8), sigmoid, inverses, inference._width_slopes(), out
    )
    for k in range(outputs.size):
        step = np.eye(outputs.size)[k] * 1e-4
        expected = (logistic_nats(outputs + step, pixel) - logistic_nats(outputs - step, pixel)) / 2e-4
        assert out[0, k] / (1 << GRADIENT_BITS) == pytest.approx(expected, rel=0.01, abs=0.02)


def test_bernoulli_gradient() -> None:
    logits = np.rint(np.array([-3.0, 0.0, 2.0, 20.0]) * UNIT)
    out = np.empty(4)
    inference._bernoulli_gradient(logits, np.array([0, 1, 0, 1], np.uint8), tables()[0], out)
    expected = [1 / (1 + math.exp(3)), -0.5, 1 / (1 + math.exp(-2)), 0.0]
    assert out / (1 << GRADIENT_BITS) == pytest.approx(expected, abs=1e-3)


def test_signs_are_balanced_and_pinned() -> None:
    signs = np.stack([_signs(step, 128) for step in range(64)])
    assert set(np.unique(signs)) == {-1, 1} and abs(signs.mean()) < 0.05
    assert "".join("-+"[(s + 1) // 2] for s in _signs(0, 16).tolist()) == PINNED_SIGNS


PINNED_SIGNS = "-+--+---+-+-++++"


def test_refine_keeps_its_arguments_and_stays_in_range(
    tiny_vae: Callable[[str], VaeModel], small_images: Callable[..., NDArray[np.uint8]]
) -> None:
    model, product = tiny_vae("colour"), product_of("numpy")
    images = small_images(model, 40)
    means, logs = posterior(model, images, product)
    kept = means.copy(), logs.copy()
    found = refine(model, images, means, logs, 5, product)
    assert (means == kept[0]).all() and (logs == kept[1]).all()
    assert (found[0] == np.rint(found[0])).all() and (found[0] != means).any()
    assert (np.abs(found[1] + 2 * UNIT) <= 4 * UNIT).all()
    # Batches do not matter.
    alone = refine(model, images[35:36], means[35:36], logs[35:36], 5, product)
    assert (alone[0] == found[0][35]).all() and (alone[1] == found[1][35]).all()
