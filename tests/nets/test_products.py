"""The int8 product: exact for every shape and for extreme bytes, with each of the instructions and without them."""

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llvmlite import binding
from numba import config
from numpy.typing import NDArray

from shearloc.nets import products
from shearloc.nets.layers import Dense, accumulator_bounds, prove, requantize
from shearloc.nets.products import COLUMNS, INPUTS, lowest, multiply, pack, room, rounding
from shearloc.nets.tiles import Kind

ROOT = Path(__file__).parents[2]


def product(inputs: NDArray[np.int8], weight: NDArray[np.int8], activations: bool = True) -> NDArray[np.int32]:
    """inputs [n, in] @ weight [in, out], padded as `pack` wants it; beyond the inputs there is noise."""
    n, features = inputs.shape
    surplus = -features % INPUTS
    padded = np.pad(weight, ((0, surplus), (0, -weight.shape[1] % COLUMNS)))
    tiles, starts = pack(padded, activations)
    noise = np.full((n, surplus), 77, np.int8)
    rows = np.ascontiguousarray(np.concatenate([inputs, noise], 1))
    out = np.full((n, padded.shape[1]), 99, np.int32)
    source, packed, first, place = (array.ctypes.data for array in (rows, tiles, starts, out))
    sizes, width = rows.shape[1:], out.shape[1]
    low = lowest(activations)
    multiply(source, sizes[0], n, packed, sizes[0], width, (first, 0, 0, 0), place, 4 * width, low, room(n, sizes[0]))
    assert not out[:, weight.shape[1] :].any()
    return out[:, : weight.shape[1]]


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 70), st.integers(1, 130))
@example(0, 6, 4, 64)
@example(0, 7, 5, 65)
def test_exact(seed: int, n: int, inputs: int, outputs: int) -> None:
    """Whether most inputs are 0, or -128, which is an activation of 0, or none."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (n, inputs)).astype(np.int8)
    x[rng.random(x.shape) < rng.choice([0, 0.5, 0.9, 1])] = rng.choice([0, -128])
    weight = rng.integers(-128, 128, (inputs, outputs)).astype(np.int8)
    for activations in (False, True):
        assert np.array_equal(product(x, weight, activations), x.astype(np.int64) @ weight.astype(np.int64))


def levels(inputs: NDArray[np.int8], layer: Dense) -> NDArray[np.int8]:
    """The layer's output [n, out] for inputs [n, in], in % INPUTS = out % COLUMNS = 0, in one call."""
    tiles, starts = pack(layer.weight, True)
    starts += layer.bias
    out = np.full((len(inputs), starts.size), 99, np.int8)
    half = rounding(layer.shift)
    arrays = (inputs, tiles, starts, layer.multiplier, layer.shift, half, out)
    source, packed, *scales, place = (array.ctypes.data for array in arrays)
    n, size = inputs.shape
    mine = room(n, size)
    multiply(source, size, n, packed, size, starts.size, tuple(scales), place, starts.size, lowest(True), mine)
    return out


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.integers(1, 3))
def test_requantized_as_layers_are(seed: int, n: int, groups: int, tiles: int) -> None:
    """Shifts and multipliers up to what `prove` allows, so that levels of all sizes come out, 0 and 255 among them."""
    rng = np.random.default_rng(seed)
    inputs, outputs = INPUTS * groups, COLUMNS * tiles
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


X86 = platform.machine() in {"x86_64", "AMD64"}
AVX2 = "+avx2,+avx,+sse4.2,+popcnt"
AVX512 = f"+avx512f,+avx512bw,+avx512dq,+avx512vl,{AVX2}"


@pytest.mark.parametrize(
    ("processor", "features", "needs", "kind"),
    [
        ("generic", None, (), Kind(8, 8)),
        ("haswell", AVX2, ("avx2",), Kind(8, 8)),
        ("skylake-avx512", AVX512, ("avx512bw", "avx512vl"), Kind(16, 4)),
    ],
)
def test_other_processors(
    processor: str, features: str | None, needs: tuple[str, ...], kind: Kind, tmp_path: Path
) -> None:
    """Numba compiles for another processor in this process, whose instructions this one has, too."""
    host = binding.get_host_cpu_features()
    if missing := [name for name in needs if not host.get(name)]:
        pytest.skip(f"this processor has no {missing[0]}")
    other = {"NUMBA_CPU_NAME": processor} | ({"NUMBA_CPU_FEATURES": features} if features else {})
    _in_process("from shearloc.nets import products", kind, other, tmp_path)


def test_vnni_in_shorter_vectors(tmp_path: Path) -> None:
    """The kind of processors with VNNI but no AVX-512, on one with both: it knows the instruction by another coding."""
    host = binding.get_host_cpu_features()
    if not (host.get("avx512vl") and host.get("avx512vnni")):
        pytest.skip("this processor has no VNNI on 256 bits")
    start = """
from numba import config, njit
njit(lambda: 0)()  # from here on Numba knows its processor
config.CPU_FEATURES = "+avxvnni"
from shearloc.nets import products
"""
    _in_process(start, Kind(8, 2, "llvm.x86.avx512.vpdpbusd.256"), {}, tmp_path)


def _in_process(start: str, kind: Kind, variables: dict[str, str], cache: Path) -> None:
    """Runs the tests above, and the engine's, in a process that `start` begins, with the products of this kind.

    There LLVM must find the instruction that makes them fast.
    """
    here, engines = str(Path(__file__)), str(Path(__file__).with_name("test_engines.py"))
    names = [f"{here}::test_{name}" for name in ("exact", "requantized_as_layers_are", "extremes_do_not_saturate")]
    names += [f"{engines}::test_{name}_too" for name in ("residual_blocks", "convolutions")]
    code = f"""
import sys
import pytest
{start}
assert products.KIND == {tuple(kind)}, products.KIND
failed = pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not numpy and not torch and not device", *{names}])
code = "".join(products.multiply._dispatcher.inspect_asm().values())
sys.exit(failed or {X86} and {"vpdpbusd" if kind.dot else "pmaddwd"!r} not in code and "LLVM did not find it")
"""
    other = os.environ | variables | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=other, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("features", "kind", "fast"),
    [
        ("avx2 avx512bw avx512vnni avxvnni", Kind(16, 4, "llvm.x86.avx512.vpdpbusd.512"), True),
        ("avx2 avxvnni", Kind(8, 2, "llvm.x86.avx512.vpdpbusd.256"), True),
        ("avx2 avx512bw", Kind(16, 4), True),
        ("avx2", Kind(8, 8), True),
        ("neon", Kind(8, 8), False),
    ],
)
def test_kind_of_a_processor(monkeypatch: pytest.MonkeyPatch, features: str, kind: Kind, fast: bool) -> None:
    has = dict.fromkeys(features.split(), True) | {"amx-int8": False}
    assert products.kind_for(has) == kind
    monkeypatch.setattr(products, "features", lambda: has)
    assert products.is_fast() == fast
    assert kind.columns <= COLUMNS
    assert COLUMNS % kind.columns == 0


def test_features_that_numba_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CPU_NAME", None)
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    assert products.features() == binding.get_host_cpu_features()
    monkeypatch.setattr(config, "CPU_NAME", "generic")
    assert products.features() == {}
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2,-avxvnni")
    assert products.features() == {"avx2": True, "avxvnni": False}
