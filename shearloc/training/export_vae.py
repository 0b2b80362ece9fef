"""Exports a trained float autoencoder to the exact one: rounding to its grid, the proof, and the card.

    python -m shearloc.training.export_vae mnist-binary runs/mnist-binary/half-asleep.pt --out shearloc/models/weights

Needs torch; the models it returns do not.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..models.vae.model import VaeModel
from ..models.vae.shape import SHAPES
from ..nets.fixed_point import ACTIVATION_BITS, WEIGHT_BITS
from .vae_float import Vae, load_float

COARSE_GRID_BITS = 10
"""Weights without residual blocks are rounded to 2^-10, coarser than the arithmetic's 2^-12: a fifth less to ship for
0.05% of the rate. With blocks it would be 0.7%, and they keep 2^-12 (docs/DECISIONS.md)."""


def export(net: Vae, name: str) -> VaeModel:
    """The exact model of a float network. ValueError where a weight is outside int16's +-8."""
    arrays: dict[str, NDArray[Any]] = {}
    grid_bits = WEIGHT_BITS if net.shape.blocks else COARSE_GRID_BITS
    for network in ("encoder", "decoder"):
        for k, layer in enumerate(_linears(getattr(net, network))):
            weight = np.rint(layer.weight.detach().double().numpy().T * (1 << grid_bits))
            weight *= 1 << WEIGHT_BITS - grid_bits
            if np.abs(weight).max() >= 1 << 15:
                raise ValueError(f"a weight of {network}{k} is beyond 8")
            bias = np.rint(layer.bias.detach().double().numpy() * (1 << ACTIVATION_BITS))
            arrays[f"{network}{k}.weight"] = np.ascontiguousarray(weight.astype(np.int16))
            arrays[f"{network}{k}.bias"] = bias.astype(np.int32)
    model = VaeModel(name, net.shape, arrays)
    model.prove()
    return model


def restore(model: VaeModel) -> Vae:
    """The float network whose weights are exactly the model's: the inverse of `export`, up to its rounding."""
    net = Vae(model.shape)
    with torch.no_grad():
        for network in ("encoder", "decoder"):
            for k, layer in enumerate(_linears(getattr(net, network))):
                weight, bias = (model.arrays[f"{network}{k}.{part}"].astype(np.float32) for part in ("weight", "bias"))
                layer.weight.copy_(torch.from_numpy(weight.T) / (1 << WEIGHT_BITS))
                layer.bias.copy_(torch.from_numpy(bias) / (1 << ACTIVATION_BITS))
    return net


def _linears(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def card(net: Vae, dataset: str, training: dict[str, Any]) -> dict[str, Any]:
    """The model's card; `training` is what `train_vae.py` wrote to results.json."""
    count = sum(p.numel() for p in net.parameters())
    size = f"{net.shape.side} x {net.shape.side} x {net.shape.channels}"
    likelihood = "0 and 1" if net.shape.likelihood == "bernoulli" else "0 to 255"
    return {
        "name": f"vae-{dataset}",
        "summary": f"autoencoder for archives of {size} images ({likelihood}), {count:,} parameters, {dataset}",
        "kind": "vae",
        "shape": asdict(net.shape),
        "parameters": count,
        "data": [dataset],
        "training": training,
    }


def main() -> None:
    """The command `python -m shearloc.training.export_vae`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(SHAPES))
    parser.add_argument("weights", type=Path, help="a .pt file of `train_vae`, with its results.json beside it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its card")
    args = parser.parse_args()
    net = load_float(args.weights, SHAPES[args.dataset])
    results = args.weights.with_name("results.json")
    training = json.loads(results.read_text()) if results.exists() else {}
    described = card(net, args.dataset, training | {"weights": args.weights.name})
    export(net, described["name"]).save(args.out / f"{described['name']}.safetensors")
    (args.out / f"{described['name']}.json").write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    main()
