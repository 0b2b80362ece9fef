"""Exports a trained float network to the integer model, and back: rounding to the grid of `quantize.py`, and the proof.

Needs torch; the models it returns do not.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..models.local.model import LocalModel
from ..models.wavefront.context import PREDICTORS, nearest
from ..nets.layers import INT32_MAX, Dense
from ..nets.quantize import ACTIVATION_STEP, LOG_SCALE_OFFSET, LOG_SCALE_STEP, LOGIT_STEP, MEAN_STEP
from .likelihoods import channel_counts
from .local_float import Hidden, LocalNet, Shape, linears, weight_scale


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
    """Rounds to the nearest integers. ValueError where an int32 cannot hold them, as beside weights near zero."""
    if not (np.abs(values) <= INT32_MAX).all():
        raise ValueError("a bias or a weight of the heads is too large beside the weights that share its scale")
    return np.round(values).astype(np.int32)


def _dense(
    weights: tuple[Tensor, Tensor, Tensor], input_step: float, steps: NDArray[np.float64], kind: Hidden | None = None
) -> Dense:
    """Rounds a float layer's weight, given its scale, and bias. `steps`: value of one unit of each output, 2^n.

    `kind`: None for the first layer. Other layers' inputs are stored minus 128, which the bias makes up for.
    """
    scale = _numbers(weights[2])
    weight = np.round(_numbers(weights[0]) / scale[:, None]).astype(np.int8)
    bias = np.round(_numbers(weights[1]) / (scale * input_step))
    if kind:
        bias += 128 * weight.sum(1, dtype=np.int64)
    multiplier, shift = _split_scale(scale * input_step / steps)
    arrays = np.ascontiguousarray(weight.T), _rounded(bias), multiplier, shift
    return Dense(*arrays, kind.skip, kind.convolution) if kind else Dense(*arrays)


def output_steps(shape: Shape, coefficient_bits: int) -> NDArray[np.float64]:
    """Real value, in the network's own output, of one unit of each integer parameter; of coefficients 2^-bits."""
    components = shape.components
    steps: list[float] = []
    for channel in range(shape.channels):
        kinds = [LOGIT_STEP, MEAN_STEP / shape.mean_gain, LOG_SCALE_STEP] + channel * [2.0**-coefficient_bits]
        steps += [step for step in kinds for _ in range(components)]
    steps += (shape.channels - 1) * shape.head_width * [ACTIVATION_STEP]
    return np.array(steps)


def layer_steps(shape: Shape, coefficient_bits: int) -> list[NDArray[np.float64]]:
    """Real value of one unit of each output, of every layer: hidden ones, then the last as `output_steps`."""
    widths = [shape.width, *(kind.outputs for kind in shape.hidden)]
    return [*(np.full(width, ACTIVATION_STEP) for width in widths), output_steps(shape, coefficient_bits)]


def _log_scale_offsets(shape: Shape) -> NDArray[np.float64]:
    """LOG_SCALE_OFFSET at the log-scales of the last layer's outputs, 0 elsewhere."""
    log_scale = np.arange(3 * shape.components) // shape.components == 2
    offsets = [np.pad(log_scale, (0, channel * shape.components)) for channel in range(shape.channels)]
    units = np.zeros((shape.channels - 1) * shape.head_width)
    return np.concatenate([*offsets, units]) * LOG_SCALE_OFFSET


def export(net: LocalNet, name: str, scales: dict[nn.Linear, Tensor] | None = None) -> LocalModel:
    """The integer model of a float network. ValueError if the accumulator bound cannot be proved.

    `scales`: of the layers whose weights `rounding.round_weights` has rounded; without them, those of training.
    """
    shape = net.shape

    def parts(layer: nn.Linear) -> tuple[Tensor, Tensor, Tensor]:
        return layer.weight, layer.bias, scales[layer] if scales else weight_scale(layer.weight)

    steps = layer_steps(shape, shape.coefficient_bits)
    layers = [_dense(parts(net.first), shape.input_step, steps[0])]
    layers += [
        _dense(parts(layer), ACTIVATION_STEP, step, kind)
        for layer, step, kind in zip(linears(net.hidden), steps[1:], shape.hidden, strict=False)
    ]
    last, bias = net.last()
    scale = parts(net.out)[2]
    scale = scale[net.rows] if shape.shared_logits else scale
    shifted = last, bias + torch.from_numpy(_log_scale_offsets(shape)).float(), scale
    layers.append(_dense(shifted, ACTIVATION_STEP, steps[-1], Hidden(shape.width, len(net.rows))))
    unit = _numbers(scale) * ACTIVATION_STEP
    learn = np.zeros((shape.channels - 1, shape.channels - 1, shape.head_width), np.int32)
    adjust = np.zeros((shape.channels - 1, shape.head_width, (2 + shape.channels) * shape.components), np.int32)
    starts = np.cumsum([0, *net.counts])
    for c in net.heads:
        units = unit[starts[shape.channels + c - 1] :][: shape.head_width]
        learn[c - 1, :c] = _rounded(_numbers(linears(net.learn)[c - 1].weight).T * shape.input_step / units)
        parameters = unit[starts[c] :][: net.counts[c]]
        weight = _numbers(linears(net.adjust)[c - 1].weight)
        adjust[c - 1, :, : net.counts[c]] = _rounded(weight.T * ACTIVATION_STEP / parameters)
    sizes, settings = (shape.channels, shape.components), (PREDICTORS[shape.predictor], shape.coefficient_bits)
    seen = nearest(shape.neighbours)
    model = LocalModel(name, *sizes, shape.offsets, tuple(layers), learn, adjust, *settings, seen)
    model.prove()
    return model


def shape_of(model: LocalModel) -> Shape:
    """The shape of the float network that the model was exported from."""
    first, blocks = model.layers[0].weight.shape[1], sum(layer.skip > 0 for layer in model.layers)
    plain = len(model.layers) - 2 - 3 * blocks
    horizon, reach = -int(model.offsets[:, 0].min()), int(model.offsets[model.offsets[:, 0] == -1, 1].max())
    predictor = next(name for name, value in PREDICTORS.items() if value == model.predictor)
    head_width = model.adjust.shape[1]
    shared = model.channels > 1 and _shares_logits(model)
    level = [0, 0] in model.offsets.tolist()
    sizes = (model.channels, horizon, reach, first, plain, head_width, model.components)
    seen, narrow = len(model.neighbours), model.layers[1].bias.size if blocks else Shape.narrow
    return Shape(*sizes, predictor, blocks, shared, level, seen, narrow if seen else Shape.narrow)


def _shares_logits(model: LocalModel) -> bool:
    """Whether every channel's logits are the first one's, which export repeats."""
    last, components = model.layers[-1], model.components
    starts = np.cumsum([0, *channel_counts(model.channels, components)[:-1]])
    arrays = (last.weight.T, last.bias, last.multiplier, last.shift)
    return all(np.array_equal(a[:components], a[start : start + components]) for a in arrays for start in starts)


def restore(model: LocalModel) -> LocalNet:
    """The float network whose weights are exactly the model's: the inverse of `export`, up to its rounding.

    Shared logits come back as each channel's own.
    """
    shape = replace(shape_of(model), shared_logits=False)
    net = LocalNet(shape)
    floats = [net.first, *linears(net.hidden), net.out]
    steps = layer_steps(shape, model.coefficient_bits)
    with torch.no_grad():
        for k, (layer, dense) in enumerate(zip(floats, model.layers, strict=True)):
            input_step = ACTIVATION_STEP if k else shape.input_step
            unit = dense.multiplier * np.exp2(-dense.shift.astype(np.float64)) * steps[k]
            bias = dense.bias - (128 * dense.weight.sum(0, dtype=np.int64) if k else 0)
            layer.weight.copy_(torch.from_numpy(dense.weight.T * (unit / input_step)[:, None]))
            layer.bias.copy_(torch.from_numpy(bias * unit))
        net.out.bias.sub_(torch.from_numpy(_log_scale_offsets(shape)).float())
        starts = np.cumsum([0, *net.counts])
        for c in net.heads:
            units = unit[starts[shape.channels + c - 1] :][: shape.head_width]
            parameters = unit[starts[c] :][: net.counts[c]]
            adjust = model.adjust[c - 1, :, : net.counts[c]]
            learn = model.learn[c - 1, :c] * units / shape.input_step
            linears(net.learn)[c - 1].weight.copy_(torch.from_numpy(learn.T))
            linears(net.adjust)[c - 1].weight.copy_(torch.from_numpy((adjust * parameters / ACTIVATION_STEP).T))
    return net


def rounded(model: LocalModel) -> LocalNet:
    """The float network with the model's weights and rounded activations: code lengths are within 0.1% of its own."""
    net = restore(model)
    net.rounded_activations = True
    return net
