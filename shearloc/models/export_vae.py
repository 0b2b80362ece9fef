"""From the trained float autoencoder to the exact one: rounding to the grid of `vae.py`, and the proof.

Needs torch, which trained the network; what it returns does not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .vae import ACTIVATION_BITS, WEIGHT_BITS, VaeModel
from .vae_float import Vae


def export(net: Vae, name: str) -> VaeModel:
    """The exact model of a float network. ValueError where a weight is outside int16's +-8."""
    arrays: dict[str, NDArray[Any]] = {}
    for network in ("encoder", "decoder"):
        layers = [m for m in getattr(net, network).modules() if isinstance(m, nn.Linear)]
        for k, layer in enumerate(layers):
            weight = np.rint(layer.weight.detach().double().numpy().T * (1 << WEIGHT_BITS))
            if np.abs(weight).max() >= 1 << 15:
                raise ValueError(f"a weight of {network}{k} is {np.abs(weight).max() / (1 << WEIGHT_BITS):.1f}, beyond 8")
            bias = np.rint(layer.bias.detach().double().numpy() * (1 << ACTIVATION_BITS))
            arrays[f"{network}{k}.weight"] = np.ascontiguousarray(weight.astype(np.int16))
            arrays[f"{network}{k}.bias"] = bias.astype(np.int32)
    model = VaeModel(name, net.shape, arrays)
    model.prove()
    return model
