"""int8 matrix products for Numba: as fast as the processor's vectors allow, and right on every one.

They are put together of tiles (`tiles.py`), of the kind that is the fastest on the processor. The one with VNNI takes
unsigned bytes on one side: inputs are read as x + 128, and every sum starts at -128 times the sum of its column's
weights, which takes the 128 out again. The other one takes int16, so inputs are widened beforehand.

A layer's requantisation (`layers.py`) is done with the sums still in registers: stored and read again they would take a
fifth of a network's time.
"""

from collections.abc import Mapping

import numpy as np
from llvmlite import binding
from numba import config, njit
from numpy.typing import NDArray

from .tiles import Kind, tile, widen

ROWS = 6
"""Rows of inputs in one tile: their sums fill 24 of 32 vector registers, or 12 of 16."""
COLUMNS = 64
"""Weights have a multiple of so many columns: of the largest tile's."""


def kind_for(features: Mapping[str, bool]) -> Kind:
    """The fastest kind for a processor with these features, by LLVM's names."""
    if features.get("avx512vnni"):
        return Kind(16, 4, "llvm.x86.avx512.vpdpbusd.512")
    if features.get("avxvnni"):
        return Kind(8, 2, "llvm.x86.avx512.vpdpbusd.256")
    return Kind(16, 4) if features.get("avx512bw") else Kind(8, 2)


def features() -> Mapping[str, bool]:
    """What the processor that Numba compiles for is known to have: the host's, or NUMBA_CPU_FEATURES."""
    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return {name[1:]: name.startswith("+") for name in chosen.split(",")}
    return {} if getattr(config, "CPU_NAME", None) else dict(binding.get_host_cpu_features())


KIND = kind_for(features())


def is_fast() -> bool:
    """Whether these products are faster than those of BLAS: with VNNI four times, with AVX2 one and a half."""
    return any(map(features().get, ("avx512vnni", "avxvnni", "avx2")))


def pack(weight: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Weights int8 [in, out], in % 4 = out % 64 = 0, as `multiply` wants them.

    Returns int8 [out / tile's columns, in / group, tile's columns, group], and the value int32 [out] that each column's
    sum starts from.
    """
    inputs, outputs = weight.shape
    shape = inputs // KIND.group, KIND.group, outputs // KIND.columns, KIND.columns
    tiles = np.ascontiguousarray(weight.reshape(shape).transpose(2, 0, 3, 1))
    return tiles, (-128 * weight.astype(np.int64).sum(0) * bool(KIND.dot)).astype(np.int32)


_six_sums, _one_sum = tile(ROWS, False, KIND), tile(1, False, KIND)
_six_levels, _one_level = tile(ROWS, True, KIND), tile(1, True, KIND)
_widen_sixteen, _widen_four = widen(16), widen(4)
_PAIRS, _TILE = KIND.dot is None, KIND.columns


@njit(cache=True, nogil=True)
def _widened(inputs, stride, rows, count, wide):  # type: ignore[no-untyped-def]
    """Writes int8 rows of `count` inputs, a multiple of 4, as int16 to `wide`, one after the other; all int64."""
    for row in range(rows):
        source, target = inputs + row * stride, wide + 2 * row * count
        done = count - count % 16
        for k in range(0, done, 16):
            _widen_sixteen(source + k, target + 2 * k)
        for k in range(done, count, 4):
            _widen_four(source + k, target + 2 * k)


@njit(cache=True, nogil=True)
def multiply(inputs, stride, rows, weights, fours, columns, starts, multipliers, shifts, out, out_stride, wide):  # type: ignore[no-untyped-def]
    """int8 inputs [rows, 4 fours] times packed weights, plus `starts` -> `out` [rows, columns]; all arguments int64.

    `out` is int32 where `multipliers` is 0; else the int8 levels, as `layers.Dense` has them, of sums with their bias.
    `inputs`, `weights`, `starts` (int32 [columns], as are multipliers and shifts) and `out` are addresses, of what
    `pack` made and of arrays whose rows are `stride` and `out_stride` bytes apart; `wide` of room for as many int16
    as there are inputs. Nothing is checked; the caller keeps the arrays alive.
    """
    steps = fours
    if _PAIRS:
        _widened(inputs, stride, rows, 4 * fours, wide)
        inputs, stride, steps = wide, 8 * fours, 2 * fours
    size = 4 if multipliers == 0 else 1
    for column in range(0, columns, _TILE):
        packed, begin = weights + 4 * fours * column, starts + 4 * column
        multiplier, shift = multipliers + 4 * column, shifts + 4 * column
        row = 0
        while row < rows:
            source, place = inputs + row * stride, out + row * out_stride + size * column
            if multipliers == 0 and row + ROWS <= rows:
                _six_sums(source, stride, packed, steps, begin, multiplier, shift, place, out_stride)
            elif multipliers == 0:
                _one_sum(source, stride, packed, steps, begin, multiplier, shift, place, out_stride)
            elif row + ROWS <= rows:
                _six_levels(source, stride, packed, steps, begin, multiplier, shift, place, out_stride)
            else:
                _one_level(source, stride, packed, steps, begin, multiplier, shift, place, out_stride)
            row += ROWS if row + ROWS <= rows else 1
