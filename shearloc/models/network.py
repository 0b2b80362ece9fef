"""The layers of `layers.py` for Numba: packed into flat arrays, so that one kernel runs a network of any depth.

It is what the `numba` engine and the threads of `codec/wavefront.py` run; other engines are in `engines.py`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .layers import Dense, level
from .products import COLUMNS, multiply, pack

ROWS = 48
"""Inputs that go through all layers together: their activations stay in the nearest caches."""


class Network(NamedTuple):
    """A packed network (Numba takes a NamedTuple). Every layer's outputs are padded with zeros to a multiple of 64.

    plan int64 [layers, 5]: in / 4, padded out, where its weights and its columns begin, skip;
    weights int8 and starts, bias, multiplier, shift int32: all layers', one after another.
    """

    plan: NDArray[np.int64]
    weights: NDArray[np.int8]
    starts: NDArray[np.int32]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]

    @property
    def features(self) -> int:
        """Columns that the inputs must have: a multiple of 4, of which the surplus may hold anything."""
        return int(4 * self.plan[0, 0])


def packed(layers: tuple[Dense, ...]) -> Network:
    """The network of these layers."""
    plan: list[list[int]] = []
    weights: list[NDArray[np.int8]] = []
    columns: list[NDArray[np.int32]] = []
    inputs = -(-layers[0].weight.shape[0] // 4) * 4
    for layer in layers:
        outputs = -(-layer.weight.shape[1] // COLUMNS) * COLUMNS
        padding = ((0, inputs - layer.weight.shape[0]), (0, outputs - layer.weight.shape[1]))
        tiles, starts = pack(np.pad(layer.weight, padding))
        plan.append([inputs // 4, outputs, sum(w.size for w in weights), sum(c.shape[1] for c in columns), layer.skip])
        weights.append(tiles.ravel())
        fields = (layer.bias, layer.multiplier, layer.shift)
        columns.append(np.stack([starts, *(np.pad(f, padding[1], constant_values=1) for f in fields)]))
        inputs = outputs
    return Network(np.array(plan, np.int64), np.concatenate(weights), *np.concatenate(columns, 1))


def buffers(network: Network, rows: int) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.int32]]:
    """What `run` needs for up to `rows` inputs: activations, a block's sums, and the last layer's sums [rows, out]."""
    widest = int(network.plan[:, 1].max())
    activations = np.zeros((len(network.plan), ROWS, widest), np.int8)
    return activations, np.empty((ROWS, widest), np.int32), np.empty((rows, int(network.plan[-1, 1])), np.int32)


@njit(cache=True, nogil=True)
def run(network, inputs, n, activations, sums, out):  # type: ignore[no-untyped-def]
    """The last layer's products of int8 inputs [>= n, features] into out[:n], its bias not yet added."""
    plan, last = network.plan, network.plan.shape[0] - 1
    for begin in range(0, n, ROWS):
        rows = min(ROWS, n - begin)
        source, stride = np.int64(inputs.ctypes.data) + begin * inputs.shape[1], inputs.shape[1]
        for k in range(plan.shape[0]):
            steps, columns, first, skip = plan[k, 0], plan[k, 1], plan[k, 3], plan[k, 4]
            target, width = (out[begin:], out.shape[1]) if k == last else (sums, sums.shape[1])
            multiply(
                source,
                stride,
                rows,
                np.int64(network.weights.ctypes.data) + plan[k, 2],
                steps,
                columns,
                np.int64(network.starts.ctypes.data) + 4 * first,
                np.int64(target.ctypes.data),
                4 * width,
            )
            if k == last:
                break
            part = slice(first, first + columns)
            bias, multiplier, shift = network.bias[part], network.multiplier[part], network.shift[part]
            _requantize(sums, rows, bias, multiplier, shift, activations[k])
            if skip:
                _add(activations[k - skip], rows, columns, activations[k])
            source, stride = np.int64(activations.ctypes.data) + k * ROWS * activations.shape[2], activations.shape[2]


@njit(cache=True, nogil=True)
def _requantize(sums, rows, bias, multiplier, shift, out):  # type: ignore[no-untyped-def]
    for i in range(rows):
        for j in range(bias.size):
            out[i, j] = level(sums[i, j], bias[j], multiplier[j], shift[j]) - np.int32(128)


@njit(cache=True, nogil=True)
def _add(earlier, rows, columns, out):  # type: ignore[no-untyped-def]
    """Adds the levels of an earlier layer, and saturates."""
    for i in range(rows):
        for j in range(columns):
            out[i, j] = min(np.int32(out[i, j]) + np.int32(128) + np.int32(earlier[i, j]), np.int32(127))
