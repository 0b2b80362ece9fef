"""The layers of `layers.py` for Numba: packed into flat arrays, so that one kernel runs a network of any depth.

It is what the `numba` engine and the threads of `models/local/wavefront.py` run; other engines are in `engines.py`.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..kernels import LINE, PART, VECTOR, Apart, address, aligned, call
from . import convolution
from .convolution import convolved_lines, prefetch
from .layers import Dense
from .products import COLUMNS, INPUTS, Room, lowest, multiply, pack, room, rounding
from .tiles import load, store

ROWS = 48
"""Inputs that go through all layers together, so that their activations stay in the nearest caches."""


class Network(NamedTuple):
    """A packed network (Numba takes a NamedTuple). Every layer's outputs are padded with zeros to a multiple of 64.

    plan int64 [layers, 8]: padded in and out, where its weights and its columns begin, skip; of a convolution the
    features that it sees of a pixel (else 0), and where they begin (`convolution.columns`); `products.lowest`;
    weights int8, as `products.pack` has them; columns int32 [4, columns]: starts (with the bias, but for the last
    layer), multiplier, shift, `products.rounding`; all layers', one after another.
    """

    plan: NDArray[np.int64]
    weights: NDArray[np.int8]
    columns: NDArray[np.int32]

    @property
    def features(self) -> int:
        """Columns of the inputs. Surplus columns may hold anything; zeros are the fastest."""
        return int(self.plan[0, 0])

    @property
    def outputs(self) -> int:
        """Columns of the sums: those of the last layer, and VECTOR more."""
        return int(self.plan[-1, 1]) + VECTOR


def packed(layers: tuple[Dense, ...]) -> Network:
    """Packs these layers."""
    plan: list[list[int]] = []
    weights: list[NDArray[np.int8]] = []
    columns: list[NDArray[np.int32]] = []
    inputs, first = 0, convolution.columns(layers)
    for k, layer in enumerate(layers):
        seen = layers[k - 1].bias.size if layer.convolution else 0
        if seen or k == 0:
            inputs = -(-layer.weight.shape[0] // INPUTS) * INPUTS
        outputs = -(-layer.weight.shape[1] // COLUMNS) * COLUMNS
        padding = ((0, inputs - layer.weight.shape[0]), (0, outputs - layer.weight.shape[1]))
        tiles, starts = pack(np.pad(layer.weight, padding), k > 0)
        begin = [sum(w.size for w in weights), sum(c.shape[1] for c in columns)]
        plan.append([inputs, outputs, *begin, layer.skip, seen, first[k], lowest(k > 0)])
        weights.append(tiles)
        if k < len(layers) - 1:
            starts += np.pad(layer.bias, padding[1])
        scales = [np.pad(field, padding[1], constant_values=1) for field in (layer.multiplier, layer.shift)]
        columns.append(np.stack([starts, *scales, rounding(scales[1])]))
        inputs = outputs
    return Network(np.array(plan, np.int64), aligned(np.concatenate(weights)), aligned(np.concatenate(columns, 1)))


class Buffers(NamedTuple):
    """What `run` needs: a block's activations int8 [layers, ROWS, most outputs], what a convolution sees of it int8
    [ROWS, most inputs + LINE], `products.room`, and where `products.multiply` is."""

    activations: NDArray[np.int8]
    seen: NDArray[np.int8]
    room: Room
    multiply: int


def buffers(network: Network) -> Buffers:
    """Buffers for a network; each thread wants its own."""
    inputs, outputs = (int(most) for most in network.plan[:, :2].max(0))
    activations = aligned(np.zeros((len(network.plan), ROWS, outputs), np.int8))
    mine = room(ROWS, inputs)
    return Buffers(
        activations, np.zeros((ROWS, inputs + LINE), np.int8), mine, multiply.at(*[0] * 6, (0,) * 4, *[0] * 3, mine)
    )


@Apart
def run(network, inputs, n, neighbourhood, buffers, out):  # type: ignore[no-untyped-def]
    """The last layer's products of int8 inputs [>= n, features] into out[:n], without its bias.

    `neighbourhood`: its `places` are those of the n pixels, which do not see each other. `out` int32 [>= n, outputs].
    """
    plan, activations, seen = network.plan, buffers.activations, buffers.seen
    weights, starts, length = address(network.weights), address(network.columns), 4 * network.columns.shape[1]
    layers, room = np.uint64(plan.shape[0]), ROWS * activations.shape[2]
    for begin in range(0, n, ROWS):
        rows = min(ROWS, n - begin)
        prefetch(neighbourhood, begin + ROWS, min(begin + 2 * ROWS, n))
        source, stride = address(inputs) + begin * inputs.shape[1], inputs.shape[1]
        for k in range(layers):
            size, columns, place, column, skip, features, first, low = plan[k]
            target, width = address(activations) + np.int64(k) * room, activations.shape[2]
            if features:
                convolved_lines(neighbourhood, begin, rows, first, features, target - room, width, seen)
                source, stride = address(seen), seen.shape[1]
            start = starts + 4 * column
            multiplier, shift, half = start + length, start + 2 * length, start + 3 * length
            if k + np.uint64(1) == layers:
                multiplier, width = np.int64(0), 4 * out.shape[1]
                target = address(out) + begin * width
            sizes, scales = (rows, weights + place, size, columns), (start, multiplier, shift, half)
            call(buffers.multiply, (source, stride, *sizes, scales, target, width, low, buffers.room))
            if skip:
                _add(activations[k - np.uint64(skip)], rows * width, activations[k])
            source, stride = target, width


@intrinsic
def _add_line(_, more, total):  # type: ignore[no-untyped-def]
    """Adds LINE levels at an address to those at another, both int64, and saturates."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(8), LINE)
        offset = ir.Constant(kind, [-128] * LINE)
        both = [builder.xor(load(builder, place, kind), offset) for place in args]
        name = f"llvm.uadd.sat.v{LINE}i8"
        of_two = ir.FunctionType(kind, [kind, kind])
        add = builder.module.globals.get(name) or ir.Function(builder.module, of_two, name)
        store(builder, builder.xor(builder.call(add, both), offset), args[1])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@njit(**PART)
def _add(earlier, count, out):  # type: ignore[no-untyped-def]
    """Adds the levels of an earlier layer, and saturates; `count`, a multiple of LINE, of them."""
    more, total = address(earlier), address(out)
    for k in range(0, count, LINE):
        _add_line(more + k, total + k)  # type: ignore[call-arg]
