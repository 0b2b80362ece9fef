"""Likelihood regret by tuning the encoder to one image at a time (LR_E; Xiao et al., 2020). Floats; needs torch.

The decoder stays as it is. `evaluate/scores.py` has the regret of the posterior alone (LR_Z), in integers and without
torch.
"""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models import zoo
from ..models.vae.model import VaeModel
from ..types import Pixels
from .export_vae import restore
from .objectives import negative_elbo
from .vae_float import Vae

STEPS, RATE = 100, 1e-4
"""Of Adam, as the source has them."""
DRAWS = 16
"""Of the latents, for the bits before and after: the same both times."""


def encoder_regret(images: Pixels, model: str, steps: int = STEPS, rate: float = RATE) -> NDArray[np.float64]:
    """Bits of -ELBO that `steps` steps on the encoder's weights save each of uint8 [n, side, side, channels].

    Seconds an image or less. ShearlocError for a model that is no autoencoder.
    """
    net = restore(zoo.load_as(VaeModel, model))
    for parameter in net.decoder.parameters():
        parameter.requires_grad_(False)
    before = deepcopy(net.encoder.state_dict())
    found = []
    with torch.random.fork_rng():
        for image in images:
            net.encoder.load_state_dict(before)
            pixels = torch.from_numpy(np.ascontiguousarray(image[None]))
            first = _bits(net, pixels)
            _tune(net, pixels, steps, rate)
            found.append(first - _bits(net, pixels))
    return np.array(found)


def _tune(net: Vae, pixels: Tensor, steps: int, rate: float) -> None:
    """Steps on the encoder for one image, in place."""
    torch.manual_seed(1)
    stepper = torch.optim.Adam(net.encoder.parameters(), lr=rate)
    for _ in range(steps):
        stepper.zero_grad()
        negative_elbo(net, pixels).mean().backward()
        stepper.step()


@torch.no_grad()
def _bits(net: Vae, pixels: Tensor) -> float:
    """-ELBO of one image, the mean of DRAWS."""
    torch.manual_seed(0)
    return float(negative_elbo(net, pixels.expand(DRAWS, *pixels.shape[1:])).mean())
