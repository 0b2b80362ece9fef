"""Exports trained float networks to a model that learns, as its experts: rounding to 16 bits, and the proof.

    python -m shearloc.training.export_learning two.safetensors a/float.pt b/float.pt --rates 3e-4 6e-4 --rates 6e-4

A run of `shearloc.training.train` leaves its float network and card in its folder. Needs torch; the models do not.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import ShearlocError
from ..models.learning.edges import USUAL
from ..models.learning.model import INPUT_BITS, LEVEL_BITS, Expert, Layer, LearningModel, weight_limit
from ..models.wavefront.context import PREDICTORS
from ..nets.quantize import LOG_SCALE_OFFSET
from .local_float import LocalNet, Shape, linears

FIRST, SECOND, EPSILON, PEAK = 0.5, 0.01, 0.125, 0.125
"""What held-out photographs preferred: Adam's forgetting of gradients and squares, its epsilon, the first peaks."""
GROWTH = 2.0
"""How much larger than its largest a weight of a layer that learns can become."""
_LEAST_BITS, _MOST_BITS = 5, 14


def _numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().double().numpy(), np.float64)


def _layer(linear: nn.Linear, input_bits: int, largest: float, limit: int, offsets: NDArray[np.float64]) -> Layer:
    """A layer in the finest unit 2^-bits in which a weight of `largest` stays within the limit."""
    bits = int(np.clip(np.floor(np.log2(limit / largest)), _LEAST_BITS, _MOST_BITS))
    weight, bias = _numbers(linear.weight).T, _numbers(linear.bias) + offsets
    start = np.rint(bias * 2.0 ** (bits + input_bits)).astype(np.int32)
    return Layer(np.ascontiguousarray(np.rint(weight * 2.0**bits).astype(np.int16)), start, bits)


def _log_scale_offsets(shape: Shape) -> NDArray[np.float64]:
    """LOG_SCALE_OFFSET at the log-scales of the last layer's outputs, 0 elsewhere."""
    rows = [np.repeat([0, 0, LOG_SCALE_OFFSET] + c * [0], shape.components) for c in range(shape.channels)]
    return np.concatenate([*rows, np.zeros((shape.channels - 1) * shape.head_width)]).astype(np.float64)


def expert(net: LocalNet, rates: Sequence[float]) -> Expert:
    """A float network as an expert; `rates`: of each layer but the first. ValueError where it does not fit."""
    shape, k, last = net.shape, net.shape.components, len(linears(net.hidden))
    if len(rates) != last + 1 or shape.blocks or shape.shared_logits:
        raise ValueError(f"the network needs {last + 1} rates, no blocks, and logits for each channel")
    counts = net.counts[: shape.channels]
    offsets = _log_scale_offsets(shape)
    adjusts, learns = linears(net.adjust), linears(net.learn)
    of_heads = max([float(layer.weight.detach().abs().max()) for layer in adjusts], default=0.0)

    def layer(linear: nn.Linear, input_bits: int, room: float, least: float = 0.0, units: int = 0) -> Layer:
        largest = max(room * float(linear.weight.detach().abs().max()), least)
        more = offsets if linear is net.out else np.zeros(linear.out_features)
        return _layer(linear, input_bits, largest, weight_limit(linear.in_features + units), more)

    layers = [layer(net.first, INPUT_BITS, 1.01)]
    layers += [layer(linear, LEVEL_BITS, GROWTH) for linear in linears(net.hidden)]
    layers.append(layer(net.out, LEVEL_BITS, GROWTH, 1.01 * of_heads, shape.head_width))
    bits, later = layers[-1].bits, shape.channels - 1
    learn = np.zeros((later, later, shape.head_width), np.int32)
    adjust = np.zeros((later, shape.head_width, counts[-1] if later else 0), np.int16)
    for c in range(later):
        # A unit's sum is in 2^-(bits + LEVEL_BITS), what it sees in 2^-INPUT_BITS.
        learn[c, : c + 1] = np.rint(_numbers(learns[c].weight).T * 2.0 ** (bits + LEVEL_BITS - INPUT_BITS))
        adjust[c, :, : counts[c + 1]] = np.rint(_numbers(adjusts[c].weight).T * 2.0**bits)
    peaks = tuple(np.full(len(one.start), PEAK, np.float32) for one in layers[1:])
    steps = [np.array(numbers, np.float32) for numbers in (rates, (FIRST, SECOND), (EPSILON,))]
    return Expert(k, tuple(layers), learn, adjust, peaks, *steps)


def export(
    name: str, nets: Sequence[LocalNet], rates: Sequence[Sequence[float]], every: int = 1, edges: int = 0
) -> LearningModel:
    """A model of these experts, which see the same contexts. ValueError where they do not, or a bound does not hold."""
    shapes = [(net.shape.channels, net.shape.predictor, net.shape.offsets.tobytes()) for net in nets]
    if len(set(shapes)) != 1:
        raise ValueError("experts must have the same channels, predictor and context")
    experts = tuple(expert(net, numbers) for net, numbers in zip(nets, rates, strict=True))
    first = nets[0].shape
    model = LearningModel(name, first.channels, first.offsets, experts, every, PREDICTORS[first.predictor], edges)
    model.prove()
    return model


def restore(model: LearningModel, number: int = 0) -> LocalNet:
    """The float network that an expert starts as: the inverse of `expert`, up to its rounding.

    ShearlocError where its hidden layers are not equally wide, as networks in training are.
    """
    one = model.experts[number]
    if len({len(layer.start) for layer in one.layers[:-1]}) > 1:
        raise ShearlocError(
            f"layers of '{model.name}' are not equally wide: train from another; training.reptile goes on"
        )
    horizon, reach = -int(model.offsets[:, 0].min()), int(model.offsets[model.offsets[:, 0] == -1, 1].max())
    sizes = len(one.layers[0].start), len(one.layers) - 2, one.units, one.components
    predictor = next(name for name, value in PREDICTORS.items() if value == model.predictor)
    level = [0, 0] in model.offsets.tolist()
    net = LocalNet(Shape(model.channels, horizon, reach, *sizes, predictor, level=level))
    bits, counts = one.layers[-1].bits, one.counts
    with torch.no_grad():
        for linear, layer in zip([net.first, *linears(net.hidden), net.out], one.layers, strict=True):
            unit = 2.0 ** -(layer.bits + (INPUT_BITS if linear is net.first else LEVEL_BITS))
            linear.weight.copy_(torch.from_numpy(layer.weight.T * 2.0**-layer.bits))
            linear.bias.copy_(torch.from_numpy(layer.start * unit))
        net.out.bias.sub_(torch.from_numpy(_log_scale_offsets(net.shape)))
        for c in range(model.channels - 1):
            learn = one.learn[c, : c + 1] * 2.0 ** -(bits + LEVEL_BITS - INPUT_BITS)
            linears(net.learn)[c].weight.copy_(torch.from_numpy(learn.T))
            linears(net.adjust)[c].weight.copy_(torch.from_numpy(one.adjust[c, :, : counts[c + 1]].T * 2.0**-bits))
    return net


def _load(path: Path) -> LocalNet:
    """The float network of a run, from its weights (`float.pt`) and the shape in the card beside them."""
    (card,) = path.parent.glob("*.json")
    net = LocalNet(Shape(**json.loads(card.read_text())["shape"]))
    net.load_state_dict(torch.load(path, weights_only=True))
    return net


def main() -> None:
    """Reads the arguments, and writes the model."""
    form = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m shearloc.training.export_learning", formatter_class=form)
    parser.add_argument("out", type=Path, help="the model file, NAME.safetensors")
    parser.add_argument("nets", type=Path, nargs="+", help="float.pt of each expert, its card beside it")
    parser.add_argument(
        "--rates", type=float, nargs="+", action="append", required=True, help="an expert's, of each layer that learns"
    )
    parser.add_argument("--every", type=int, default=1, help="steps to an update")
    known = "observations that the edges of grey levels begin with; of 0, they do not learn"
    parser.add_argument("--edges", type=int, default=USUAL, help=known)
    args = parser.parse_args()
    export(args.out.stem, [_load(path) for path in args.nets], args.rates, args.every, args.edges).save(args.out)


if __name__ == "__main__":
    main()
