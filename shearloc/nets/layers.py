"""Exact layers: int8 in, int8 weights, int32 accumulators, a rounding shift, saturation.

The engines (`engines.py`) differ in how they form the accumulators; the integers are the same.
Hidden activations take 256 levels, stored minus 128 so that they fill an int8. A layer that ends a residual block adds
an earlier layer's activations to its own, level by level, and saturates. Most layers see one pixel alone; a masked
convolution also sees what the layer before gave for some earlier pixels (`convolution.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .quantize import ACCUMULATOR_BOUND

INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Dense:
    """y = clamp(((x @ weight + bias) * multiplier + 2^(shift-1)) >> shift, 0, 255) - 128.

    weight int8 [in, out]; bias, multiplier, shift int32 [out]. The last layer of a network is read as its
    plain accumulators, x @ weight + bias; its reader applies multiplier and shift. Where `skip` is not 0, the levels
    of the layer that comes so many before are added: min(y + 128 + that layer's y, 127). The x of a `convolution` are
    what the layer before gave for the model's neighbours of the pixel, one after the other, and for the pixel itself.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    skip: int = 0
    convolution: bool = False


def arranged(layers: Sequence[Dense], orders: Sequence[NDArray[np.int16]]) -> tuple[Dense, ...]:
    """The same network with the units of every layer but the last in another order, int16 [out] each."""
    found: list[Dense] = []
    for k, layer in enumerate(layers):
        layer = replace(layer, weight=layer.weight[orders[k - 1]]) if k else layer
        if k < len(orders):
            weight = np.ascontiguousarray(layer.weight[:, orders[k]])
            bias, multiplier, shift = (part[orders[k]] for part in (layer.bias, layer.multiplier, layer.shift))
            layer = replace(layer, weight=weight, bias=bias, multiplier=multiplier, shift=shift)
        found.append(layer)
    return tuple(found)


def accumulator_bounds(layer: Dense) -> NDArray[np.int64]:
    """Largest magnitude that each accumulator or partial sum of it can reach, whatever the int8 input. int64 [out]."""
    return 128 * np.abs(layer.weight.astype(np.int64)).sum(0) + np.abs(layer.bias.astype(np.int64))


def prove(layer: Dense) -> None:
    """Checks from the weights alone that the layer is exact in every engine; ValueError says what is not.

    Sums of integers below 2^24 are exact in float32 in any order; products with the multiplier and the
    rounding term stay inside an int32.
    """
    bounds = accumulator_bounds(layer)
    if (bounds > ACCUMULATOR_BOUND).any():
        raise ValueError(f"an accumulator can reach {bounds.max()}, beyond {ACCUMULATOR_BOUND}: use smaller weights")
    shift = layer.shift.astype(np.int64)
    if (shift < 1).any() or (shift > 30).any():
        raise ValueError("a shift is outside 1 .. 30")
    if (layer.multiplier < 1).any():
        raise ValueError("a multiplier is below 1")
    largest = bounds * layer.multiplier + (np.int64(1) << (shift - 1))
    if (largest > INT32_MAX).any():
        raise ValueError(f"a product with the multiplier can reach {largest.max()}, beyond an int32")


@njit(inline="always")
def level(accumulator, bias, multiplier, shift):  # type: ignore[no-untyped-def]
    """The level 0 .. 255 of one accumulator. Everything fits an int32, as `prove` showed."""
    total = np.int32(np.int32(accumulator) + bias)
    scaled = np.int32(total * multiplier + (np.int32(1) << (shift - np.int32(1)))) >> shift
    return min(max(scaled, np.int32(0)), np.int32(255))


@njit(cache=True, nogil=True)
def requantize(accumulators, bias, multiplier, shift, out) -> None:  # type: ignore[no-untyped-def]
    """`Dense`'s second half for rows of accumulators (int32, or float32 holding integers) [n, out].

    Writes int8 or float32 [n, out].
    """
    for i in range(accumulators.shape[0]):
        for j in range(accumulators.shape[1]):
            out[i, j] = level(accumulators[i, j], bias[j], multiplier[j], shift[j]) - np.int32(128)


@njit(cache=True, nogil=True)
def requantize_and_add(accumulators, bias, multiplier, shift, earlier, out) -> None:  # type: ignore[no-untyped-def]
    """`requantize` at the end of a residual block: adds the levels of `earlier` (as `out` [n, out]) and saturates."""
    for i in range(accumulators.shape[0]):
        for j in range(accumulators.shape[1]):
            own = level(accumulators[i, j], bias[j], multiplier[j], shift[j])
            out[i, j] = min(own + np.int32(earlier[i, j]), np.int32(127))
