"""What learning is worth along an image: code lengths with the model as it learns, and as it starts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..models.family import How
from ..models.learning.images import Learning
from ..models.wavefront.orders import shear, wavefront_positions
from ..types import Pixels

SLOWEST = np.float32(2.0**-40)
"""Rates at which a model does not learn."""


@dataclass(frozen=True, eq=False)
class Along:
    """Bits per subpixel of one image after another part of its pixels, in the order of coding: float64 [parts] each."""

    starts: NDArray[np.float64]
    learns: NDArray[np.float64]


def stopped(model: Learning) -> Learning:
    """The same model, which does not learn."""
    experts = tuple(replace(expert, rates=np.full_like(expert.rates, SLOWEST)) for expert in model.experts)
    return replace(model, experts=experts, edges=0)


def along(model: Learning, image: Pixels, parts: int = 40) -> Along:
    """Code lengths of uint8 [H, W, C], with and without learning, of so many equal parts of its pixels."""
    height, width, channels = image.shape
    places = wavefront_positions(1, height, width, shear(model.offsets))
    found = []
    for one in (stopped(model), model):
        bits = one.lengths(image[None], How()).pixels[0].sum(2).ravel() / 2**16
        pieces = np.array_split(bits[places], parts)
        found.append(np.array([piece.mean() / channels for piece in pieces]))
    return Along(*found)
