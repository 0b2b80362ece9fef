"""The int8 product: exact for every shape and for extreme bytes, with the processor's instruction and without it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

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
    multiply(source, rows.shape[1], n, packed, rows.shape[1] // 4, out.shape[1], first, place, 4 * out.shape[1])
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
"""
    plain = os.environ | {"NUMBA_CPU_NAME": "generic"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
