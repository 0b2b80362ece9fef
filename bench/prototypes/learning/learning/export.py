"""A trained float network as a `Start`: rounding to 16 bits. Needs torch."""

import numpy as np
from shearloc.models.context import PREDICTORS
from shearloc.models.local_float import LocalNet, linears
from shearloc.models.quantize import LOG_SCALE_OFFSET

from .model import INPUT_BITS, LEVEL_BITS, Layer, Start, Steps, weight_limit


def _bits(largest: float, limit: int) -> int:
    """The finest unit 2^-bits in which a weight so large still fits."""
    return int(np.clip(np.floor(np.log2(limit / largest)), 5, 14))


def _largest(weight) -> float:
    return float(weight.detach().abs().max())


def _layer(linear, input_bits: int, room: float, offsets=0.0, most=0.0, units=0) -> Layer:
    """A layer, with a unit in which `most` fits, too."""
    weight, bias = linear.weight.detach().double().numpy().T, linear.bias.detach().double().numpy() + offsets
    bits = _bits(max(room * _largest(linear.weight), 1.01 * most), weight_limit(linear.in_features + units))
    return Layer(np.rint(weight * 2.0**bits).astype(np.int16), np.rint(bias * 2.0 ** (bits + input_bits)).astype(np.int32), bits)


def export(net: LocalNet, name: str, rate: float = 3e-4, room: float = 2.0, **settings) -> Start:
    """The start model of a float network with these settings of `Steps`."""
    shape = net.shape
    k = shape.components
    counts = net.counts[: shape.channels]
    offsets = np.concatenate([np.repeat([0, 0, LOG_SCALE_OFFSET] + [0] * c, k) for c in range(shape.channels)])
    offsets = np.pad(offsets, (0, net.out.out_features - len(offsets)))
    layers = [_layer(net.first, INPUT_BITS, 1.01)]
    layers += [_layer(layer, LEVEL_BITS, room) for layer in linears(net.hidden)]
    most = max([_largest(layer.weight) for layer in linears(net.adjust)], default=0)
    layers.append(_layer(net.out, LEVEL_BITS, room, offsets, most, shape.head_width))
    bits = layers[-1].bits
    learn, adjust = [], []
    for c in net.heads:
        # A unit's sum is in 2^-(bits + LEVEL_BITS); what it sees in 2^-INPUT_BITS.
        seen = linears(net.learn)[c - 1].weight.detach().double().numpy().T * 2.0 ** (bits + LEVEL_BITS - INPUT_BITS)
        weight = linears(net.adjust)[c - 1].weight.detach().double().numpy().T * 2.0**bits
        learn.append(np.rint(seen).astype(np.int32))
        adjust.append(np.rint(weight).astype(np.int16))
    peaks = tuple(np.full(len(layer.start), 0.125, np.float32) for layer in layers[1:])
    steps = Steps((rate,) * (len(layers) - 1), **settings)
    start = Start(
        name, shape.channels, k, shape.offsets, tuple(layers), tuple(learn), tuple(adjust), peaks, steps, PREDICTORS[shape.predictor]
    )
    start.prove()
    return start
