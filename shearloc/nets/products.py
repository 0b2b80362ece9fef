"""int8 matrix products for Numba: as fast as the processor's vectors allow, and right on every one.

Where the processor multiplies bytes, they are put together of tiles (`tiles.py`), six rows of inputs at a time. VNNI
takes unsigned bytes on one side: inputs are read as x + 128, and every sum starts at -128 times the sum of its column's
weights, which takes the 128 out again. Other processors take a row at a time and skip what is zero (`pairs.py`). There
only activations are read as x + 128, which is the level that they stand for, and most of these are 0.

A layer's requantisation (`layers.py`) is done with the sums still in registers: stored and read again they would take a
fifth of a network's time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding
from numba import config
from numpy.typing import NDArray

from ..kernels import Apart, address
from . import pairs
from .tiles import Kind, tile

ROWS = 6
"""Rows of inputs in a tile: their sums fill 24 of 32 vector registers, or 12 of 16."""
COLUMNS = 64
"""Weights have a multiple of this many columns, those of the largest tile."""


def kind_for(features: Mapping[str, bool]) -> Kind:
    """The fastest kind for a processor with these features, by LLVM's names."""
    if features.get("avx512vnni"):
        return Kind(16, 4, "llvm.x86.avx512.vpdpbusd.512")
    if features.get("avxvnni"):
        return Kind(8, 2, "llvm.x86.avx512.vpdpbusd.256")
    if features.get("dotprod"):
        return Kind(4, 4, "llvm.aarch64.neon.sdot.v4i32.v16i8", signed=True)
    return Kind(16, 4) if features.get("avx512bw") else Kind(8, 8)


def features() -> Mapping[str, bool]:
    """The features of the processor that Numba compiles for: the host's, or NUMBA_CPU_FEATURES."""
    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return {name[1:]: name.startswith("+") for name in chosen.split(",")}
    return {} if getattr(config, "CPU_NAME", None) else dict(binding.get_host_cpu_features())


KIND = kind_for(features())
_PAIRS, _TILE = KIND.dot is None, KIND.columns
INPUTS = pairs.AT_ONCE if _PAIRS else 4
"""A row has a multiple of this many inputs; surplus inputs have weights of 0."""


def is_fast() -> bool:
    """Whether these products are faster than those of BLAS: with VNNI four times, with AVX2 twice.

    On ARM with dot products, by instructions: one of `sdot` does the work of four of float32's.
    """
    return any(map(features().get, ("avx512vnni", "avxvnni", "avx2", "dotprod")))


def lowest(activations: bool) -> int:
    """The level that a layer's inputs are read relative to: activations are levels minus 128."""
    return -128 if (activations or not _PAIRS) and not KIND.signed else 0


def pack(weight: NDArray[np.int8], activations: bool) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Weights int8 [in, out], in % INPUTS = out % COLUMNS = 0, as `multiply` wants them: bytes, int8 [n].

    Also the value int32 [out] that each column's sum starts from. `activations`: whether its inputs are.
    """
    inputs, outputs = weight.shape
    group = 2 if _PAIRS else 4
    shape = inputs // group, group, outputs // _TILE, _TILE
    tiles = weight.reshape(shape).transpose(2, 0, 3, 1).astype(np.int16 if _PAIRS else np.int8)
    starts = lowest(activations) * weight.astype(np.int64).sum(0)
    return np.ascontiguousarray(tiles).reshape(-1).view(np.int8), starts.astype(np.int32)


def rounding(shift: NDArray[np.int32]) -> NDArray[np.int32]:
    """2^(shift - 1): half of what a shift takes away."""
    return np.left_shift(np.int32(1), shift - np.int32(1))


class Room(NamedTuple):
    """What `multiply` needs besides for up to so many rows and inputs: values int16 [rows, inputs], places int32
    [rows, inputs / 2 + 8], counts int64 [rows]; nothing with VNNI."""

    values: NDArray[np.int16]
    places: NDArray[np.int32]
    counts: NDArray[np.int64]


def room(rows: int, inputs: int) -> Room:
    """Room for products of up to so many rows and inputs."""
    inputs = inputs if _PAIRS else 0
    return Room(
        np.empty((rows, inputs), np.int16), np.empty((rows, inputs // 2 + 8), np.int32), np.empty(rows, np.int64)
    )


if _PAIRS:
    _listed: Any = pairs.listed
    _row_sums, _row_levels = pairs.row(False, KIND), pairs.row(True, KIND)

    @Apart
    def multiply(inputs, stride, rows, weights, size, columns, scales, out, out_stride, low, room):  # type: ignore[no-untyped-def]
        """int8 inputs [rows, size] times packed weights, plus starts -> `out` [rows, columns].

        `out` is int32 where the multipliers are 0; else the int8 levels, as `layers.Dense` has them, of sums with their
        bias. `inputs`, `weights`, `out` and the scales (starts, multipliers, shifts and `rounding` of these, int32
        [columns] each) are addresses, of what `pack` made and of arrays whose rows are `stride` and `out_stride` bytes
        apart. `low`: of `lowest`. All but the `room` are int64. Nothing is checked; the caller keeps the arrays alive.
        """
        starts, multipliers, shifts, roundings = scales
        values, places, counts = address(room.values), address(room.places), room.counts
        width, length = 2 * room.values.shape[1], 4 * room.places.shape[1]
        for row in range(rows):
            source, value, place = inputs + row * stride, values + width * row, places + length * row
            counts[np.uint64(row)] = _listed(source, size >> 4, low, value, place)
        for column in range(0, columns, _TILE):
            packed, begin = weights + 2 * size * column, starts + 4 * column
            multiplier, shift, rounding = multipliers + 4 * column, shifts + 4 * column, roundings + 4 * column
            for row in range(rows):
                source, where, count = values + width * row, places + length * row, counts[np.uint64(row)]
                target = out + row * out_stride
                if multipliers == 0:
                    _row_sums(source, where, count, packed, begin, multiplier, shift, rounding, target + 4 * column)
                else:
                    _row_levels(source, where, count, packed, begin, multiplier, shift, rounding, target + column)

else:
    _six_sums, _one_sum = tile(ROWS, False, KIND), tile(1, False, KIND)
    _six_levels, _one_level = tile(ROWS, True, KIND), tile(1, True, KIND)

    @Apart
    def multiply(inputs, stride, rows, weights, size, columns, scales, out, out_stride, low, room):  # type: ignore[no-untyped-def]
        """As above."""
        starts, multipliers, shifts, roundings = scales
        steps, whole = size >> 2, rows // ROWS * ROWS
        for column in range(0, columns, _TILE):
            packed, begin = weights + size * column, starts + 4 * column
            multiplier, shift, rounding = multipliers + 4 * column, shifts + 4 * column, roundings + 4 * column
            place = out + (4 * column if multipliers == 0 else column)
            for row in range(0, whole, ROWS):
                source, target = inputs + row * stride, place + row * out_stride
                if multipliers == 0:
                    _six_sums(source, stride, packed, steps, begin, multiplier, shift, rounding, target, out_stride)
                else:
                    _six_levels(source, stride, packed, steps, begin, multiplier, shift, rounding, target, out_stride)
            for row in range(whole, rows):
                source, target = inputs + row * stride, place + row * out_stride
                if multipliers == 0:
                    _one_sum(source, stride, packed, steps, begin, multiplier, shift, rounding, target, out_stride)
                else:
                    _one_level(source, stride, packed, steps, begin, multiplier, shift, rounding, target, out_stride)
