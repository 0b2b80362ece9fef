"""Adapts a local model to one image: small integer adjustments of its biases, found by gradient descent.

Only an encoder does this, in float with torch. The adjustments travel with the file, and the decoder adds them to the
integer biases once (`local.LocalModel.adjusted`), so nothing here needs to be exact.
"""

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.family import Model
from ..models.local import adaptation
from ..models.local.model import LocalModel
from ..types import Progress
from . import number_types
from .export import layer_steps, restore
from .images import PixelSet
from .local_float import linears

BATCH = 8192
"""Pixels of the image in each update."""

LEARNING_RATE = 1e-2
"""Better than 4e-3 on held-out photos: 0.98, 0.85, 2.38% of the rate saved in 100 updates, not 0.82, 0.72, 1.91%."""


def side_information(model: Model, pixels: NDArray[np.uint8], updates: int, progress: Progress | None = None) -> bytes:
    """Side information for `encode` that adapts a model to uint8 [H, W, C]. Local models are the adaptable ones."""
    return adaptation.pack(bias_adjustments(cast(LocalModel, model), pixels, updates, progress))


def bias_adjustments(
    model: LocalModel, pixels: NDArray[np.uint8], updates: int, progress: Progress | None = None
) -> NDArray[np.int8]:
    """Adjustments int8 [biases of all layers] that save bits on uint8 [H, W, C], in units of each output's grid."""
    net = restore(model)
    biases = [layer.bias for layer in (net.first, *linears(net.hidden), net.out)]
    net.requires_grad_(False)
    before = [bias.clone() for bias in biases]
    for bias in biases:
        bias.requires_grad_(True)
    stepper = torch.optim.Adam(biases, lr=LEARNING_RATE, betas=(0.9, 0.98))
    image, rng = PixelSet.of([pixels]), np.random.default_rng(0)
    for update in range(updates):
        stepper.param_groups[0]["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * update / updates))
        index = rng.integers(0, int(image.ends[-1]), BATCH)
        batch = image.contexts(index, np.zeros_like(index), model.offsets, model.predictor)
        with number_types.quick():
            bits = net(*map(torch.from_numpy, batch)).mean()
        stepper.zero_grad()
        bits.backward()
        stepper.step()
        if progress:
            progress(update + 1, updates)
    steps = layer_steps(net.shape, model.coefficient_bits)
    moved = [(new.detach() - old).double().numpy() for new, old in zip(biases, before, strict=True)]
    units = np.concatenate([move / step for move, step in zip(moved, steps, strict=True)])
    return np.round(units).clip(-127, 127).astype(np.int8)
