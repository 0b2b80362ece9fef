"""From the trained float network to the integer model: rounding to the grid of `quantize.py`, and the proof.

Needs torch, which trained the network; what it returns does not.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .context import causal_offsets
from .layers import INT32_MAX, Dense
from .local import LocalModel
from .local_float import LocalNet, linears, weight_scale
from .quantize import ACTIVATION_STEP, INPUT_STEP, LOG_SCALE_OFFSET, LOG_SCALE_STEP, LOGIT_STEP, MEAN_GAIN, MEAN_STEP

COEFFICIENT_STEP = 1 / 256


def _split_scale(scale: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """scale = multiplier * 2^-shift with multiplier in [64, 127], exactly (`local_float.weight_scale` made it so)."""
    mantissa, exponent = np.frexp(scale)
    multiplier = mantissa * 128
    if (multiplier != np.round(multiplier)).any():
        raise ValueError("a weight scale is not on the grid")
    return multiplier.astype(np.int32), (7 - exponent).astype(np.int32)


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().double().numpy(), np.float64)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """To the nearest integers. ValueError where an int32 cannot hold them, as beside weights that are almost zero."""
    if not (np.abs(values) <= INT32_MAX).all():
        raise ValueError("a bias or a weight of the heads is too large beside the weights that share its scale")
    return np.round(values).astype(np.int32)


def _dense(layer: nn.Linear, input_step: float, steps: NDArray[np.float64], centered: bool) -> Dense:
    """Rounds a float layer. `steps`: real value of one unit of each output, a power of two.

    `centered`: the inputs are stored minus 128, which the bias makes up for.
    """
    scale = _numbers(weight_scale(layer.weight))
    weight = np.round(_numbers(layer.weight) / scale[:, None]).astype(np.int8)
    bias = np.round(_numbers(layer.bias) / (scale * input_step))
    if centered:
        bias += 128 * weight.sum(1, dtype=np.int64)
    multiplier, shift = _split_scale(scale * input_step / steps)
    return Dense(np.ascontiguousarray(weight.T), _rounded(bias), multiplier, shift)


def _output_steps(net: LocalNet) -> NDArray[np.float64]:
    """Real value, in the network's own output, of one unit of each integer parameter."""
    components = net.shape.components
    steps: list[float] = []
    for channel in range(net.shape.channels):
        kinds = [LOGIT_STEP, MEAN_STEP / MEAN_GAIN, LOG_SCALE_STEP] + channel * [COEFFICIENT_STEP]
        steps += [step for step in kinds for _ in range(components)]
    steps += (net.shape.channels - 1) * net.shape.head_width * [ACTIVATION_STEP]
    return np.array(steps)


def _shift_log_scales(net: LocalNet) -> nn.Linear:
    """The last layer with LOG_SCALE_OFFSET moved into its bias."""
    out = nn.Linear(net.out.in_features, net.out.out_features)
    out.load_state_dict(net.out.state_dict())
    with torch.no_grad():
        start, components = 0, net.shape.components
        for channel in range(net.shape.channels):
            out.bias[start + 2 * components : start + 3 * components] += LOG_SCALE_OFFSET
            start += (3 + channel) * components
    return out


def export(net: LocalNet, name: str) -> LocalModel:
    """The integer model of a float network. ValueError if the accumulator bound cannot be proved."""
    shape = net.shape
    hidden_steps = np.full(shape.width, ACTIVATION_STEP)
    layers = [_dense(net.first, INPUT_STEP, hidden_steps, centered=False)]
    layers += [_dense(layer, ACTIVATION_STEP, hidden_steps, centered=True) for layer in linears(net.hidden)]
    out = _shift_log_scales(net)
    layers.append(_dense(out, ACTIVATION_STEP, _output_steps(net), centered=True))
    unit = _numbers(weight_scale(out.weight)) * ACTIVATION_STEP
    learn = np.zeros((shape.channels - 1, shape.channels - 1, shape.head_width), np.int32)
    adjust = np.zeros((shape.channels - 1, shape.head_width, (2 + shape.channels) * shape.components), np.int32)
    starts = np.cumsum([0, *net.counts])
    for c in range(1, shape.channels):
        units = unit[starts[shape.channels + c - 1] :][: shape.head_width]
        learn[c - 1, :c] = _rounded(_numbers(linears(net.learn)[c - 1].weight).T * INPUT_STEP / units)
        parameters = unit[starts[c] :][: net.counts[c]]
        weight = _numbers(linears(net.adjust)[c - 1].weight)
        adjust[c - 1, :, : net.counts[c]] = _rounded(weight.T * ACTIVATION_STEP / parameters)
    offsets = causal_offsets(shape.horizon, shape.reach)
    model = LocalModel(name, shape.channels, shape.components, offsets, tuple(layers), learn, adjust)
    model.prove()
    return model
