"""The int8 product: exact for every shape and for extreme bytes, with the processor's instruction and without it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.models.layers import Dense, accumulator_bounds, prove, requantize
from shearloc.models.products import COLUMNS, multiply, pack

ROOT = Path(__file__).parents[2]


def product(inputs: NDArray[np.int8], weight: NDArray[np.int8]) -> NDArray[np.int32]:
    """inputs [n, in] @ weight [in, out], padded as `pack` wants it; beyond the inputs there is noise."""
    n, features = inputs.shape
    surplus = -features % 4
    padded = np.pad(weight, ((0, surplus), (0, -weight.shape[1] % COLUMNS)))
    tiles, starts = pack(padded)
    noise = np.full((n, surplus), 77, np.int8)
    rows = np.ascontiguousarray(np.concatenate([inputs, noise], 1))
    out = np.full((n, padded.shape[1]), 99, np.int32)
    addresses = [array.ctypes.data for array in (rows, tiles, starts, out)]
    source, packed, first, place = addresses
    multiply(source, rows.shape[1], n, packed, rows.shape[1] // 4, out.shape[1], first, 0, 0, place, 4 * out.shape[1])
    assert not out[:, weight.shape[1] :].any()
    return out[:, : weight.shape[1]]


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 70), st.integers(1, 130))
@example(0, 6, 4, 64)
@example(0, 7, 5, 65)
def test_exact(seed: int, n: int, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (n, inputs)).astype(np.int8)
    weight = rng.integers(-128, 128, (inputs, outputs)).astype(np.int8)
    assert np.array_equal(product(x, weight), x.astype(np.int64) @ weight.astype(np.int64))


def levels(inputs: NDArray[np.int8], layer: Dense) -> NDArray[np.int8]:
    """The layer's output [n, out] for inputs [n, in], in % 4 = out % 64 = 0, in one call."""
    tiles, starts = pack(layer.weight)
    starts += layer.bias
    out = np.full((len(inputs), starts.size), 99, np.int8)
    addresses = [array.ctypes.data for array in (inputs, tiles, starts, layer.multiplier, layer.shift, out)]
    source, packed, first, multipliers, shifts, place = addresses
    sizes = inputs.shape[1] // 4, starts.size
    multiply(source, inputs.shape[1], len(inputs), packed, *sizes, first, multipliers, shifts, place, starts.size)
    return out


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 40), st.integers(1, 3))
def test_requantized_as_layers_are(seed: int, n: int, fours: int, tiles: int) -> None:
    """Shifts and multipliers up to what `prove` allows, so that levels of all sizes come out, 0 and 255 among them."""
    rng = np.random.default_rng(seed)
    inputs, outputs = 4 * fours, COLUMNS * tiles
    x = rng.integers(-128, 128, (n, inputs)).astype(np.int8)
    weight = rng.integers(-128, 128, (inputs, outputs)).astype(np.int8)
    bias = rng.integers(-(1 << 20), 1 << 20, outputs).astype(np.int32)
    multiplier = rng.integers(1, 128, outputs).astype(np.int32)
    layer = Dense(weight, bias, multiplier, rng.integers(1, 31, outputs).astype(np.int32))
    room = ((1 << 31) - 1 - (1 << 29)) // accumulator_bounds(layer)
    layer = replace(layer, multiplier=np.minimum(multiplier, room).astype(np.int32))
    prove(layer)
    sums = x.astype(np.int32) @ weight.astype(np.int32)
    expected = np.empty((n, outputs), np.int8)
    requantize(sums, layer.bias, layer.multiplier, layer.shift, expected)
    assert np.array_equal(levels(x, layer), expected)


@pytest.mark.parametrize("low", [-128, 127])
@pytest.mark.parametrize("high", [-128, 127])
def test_extremes_do_not_saturate(low: int, high: int) -> None:
    x, weight = np.full((9, 256), low, np.int8), np.full((256, 64), high, np.int8)
    assert (product(x, weight) == 256 * low * high).all()


def test_without_vnni() -> None:
    """Numba compiles for another processor in this process: the same function without the instruction."""
    code = f"""
import runpy
from shearloc.models.products import has_vnni
assert not has_vnni()
tests = runpy.run_path({str(__file__)!r})
for low in (-128, 127):
    for high in (-128, 127):
        tests["test_extremes_do_not_saturate"](low, high)
tests["test_exact"].hypothesis.inner_test(1, 13, 67, 130)
tests["test_requantized_as_layers_are"].hypothesis.inner_test(1, 13, 17, 2)
"""
    plain = os.environ | {"NUMBA_CPU_NAME": "generic"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
