"""The layers of `layers.py` for Numba: packed into flat arrays, so that one kernel runs a network of any depth.

It is what the `numba` engine and the threads of `models/local/wavefront.py` run; other engines are in `engines.py`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import memory
from .layers import Dense
from .memory import convolved_lines, prefetch
from .products import COLUMNS, multiply, pack

ROWS = 48
"""Inputs that go through all layers together: their activations stay in the nearest caches."""


class Network(NamedTuple):
    """A packed network (Numba takes a NamedTuple). Every layer's outputs are padded with zeros to a multiple of 64.

    plan int64 [layers, 7]: in / 4, padded out, where its weights and its columns begin, skip; of a convolution the
    features that it sees of a pixel (else 0), and where they begin in a memory (`memory.columns`);
    weights int8 and starts (with the bias, but for the last layer), multiplier, shift int32: all layers', one after
    another.
    """

    plan: NDArray[np.int64]
    weights: NDArray[np.int8]
    starts: NDArray[np.int32]
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
    inputs, first = 0, memory.columns(layers)
    for k, layer in enumerate(layers):
        seen = layers[k - 1].bias.size if layer.convolution else 0
        if seen or k == 0:
            inputs = -(-layer.weight.shape[0] // 4) * 4
        outputs = -(-layer.weight.shape[1] // COLUMNS) * COLUMNS
        padding = ((0, inputs - layer.weight.shape[0]), (0, outputs - layer.weight.shape[1]))
        tiles, starts = pack(np.pad(layer.weight, padding))
        begin = [sum(w.size for w in weights), sum(c.shape[1] for c in columns)]
        plan.append([inputs // 4, outputs, *begin, layer.skip, seen, first[k]])
        weights.append(tiles.ravel())
        if k < len(layers) - 1:
            starts += np.pad(layer.bias, padding[1])
        scales = [np.pad(field, padding[1], constant_values=1) for field in (layer.multiplier, layer.shift)]
        columns.append(np.stack([starts, *scales]))
        inputs = outputs
    return Network(np.array(plan, np.int64), np.concatenate(weights), *np.concatenate(columns, 1))


def buffers(
    network: Network, rows: int
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int16], NDArray[np.int32]]:
    """What `run` needs for up to `rows` inputs: a block's activations, what a convolution sees, a layer's inputs as
    int16 (`products.multiply`), and the last sums."""
    activations = np.zeros((len(network.plan), ROWS, int(network.plan[:, 1].max())), np.int8)
    features = 4 * int(network.plan[:, 0].max())
    seen, wide = np.zeros((ROWS, features + memory.LINE), np.int8), np.empty((ROWS, features), np.int16)
    return activations, seen, wide, np.empty((rows, int(network.plan[-1, 1])), np.int32)


@njit(cache=True, nogil=True)
def run(network, inputs, n, kept, activations, seen, wide, out):  # type: ignore[no-untyped-def]
    """The last layer's products of int8 inputs [>= n, features] into out[:n], its bias not yet added.

    `kept`: a `memory.Memory` whose `places` are those of the n pixels, which do not see each other.
    """
    plan, last = network.plan, network.plan.shape[0] - 1
    weights, starts = np.int64(network.weights.ctypes.data), np.int64(network.starts.ctypes.data)
    multipliers, shifts = np.int64(network.multiplier.ctypes.data), np.int64(network.shift.ctypes.data)
    for begin in range(0, n, ROWS):
        rows = min(ROWS, n - begin)
        prefetch(kept, begin + ROWS, min(begin + 2 * ROWS, n))
        source, stride = np.int64(inputs.ctypes.data) + begin * inputs.shape[1], inputs.shape[1]
        for k in range(plan.shape[0]):
            steps, columns, place, column, skip, features, first = plan[k]
            if features:
                convolved_lines(kept, begin, rows, first, features, activations[k - 1], seen)
                source, stride = np.int64(seen.ctypes.data), seen.shape[1]
            if k == last:
                multiplier, shift, width = np.int64(0), np.int64(0), 4 * out.shape[1]
                target = np.int64(out.ctypes.data) + begin * width
            else:
                multiplier, shift, width = multipliers + 4 * column, shifts + 4 * column, activations.shape[2]
                target = np.int64(activations.ctypes.data) + k * ROWS * width
            multiply(
                source,
                stride,
                rows,
                weights + place,
                steps,
                columns,
                starts + 4 * column,
                multiplier,
                shift,
                target,
                width,
                np.int64(wide.ctypes.data),
            )
            if skip:
                _add(activations[k - skip], rows, columns, activations[k])
            source, stride = target, width


@njit(cache=True, nogil=True)
def _add(earlier, rows, columns, out):  # type: ignore[no-untyped-def]
    """Adds the levels of an earlier layer, and saturates."""
    for i in range(rows):
        for j in range(columns):
            out[i, j] = min(np.int32(out[i, j]) + np.int32(128) + np.int32(earlier[i, j]), np.int32(127))
