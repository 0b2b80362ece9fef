"""Exact layers: requantisation against Python integers, and the proof, which refuses one unit beyond its bounds.

That the engines form the same accumulators for whole networks is tested in test_engines.py.
"""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.nets.engines import Runner, runner
from shearloc.nets.layers import INT32_MAX, Dense, accumulator_bounds, prove, requantize, requantize_and_add
from shearloc.nets.quantize import ACCUMULATOR_BOUND

FULL = ACCUMULATOR_BOUND // 128
"""Sum of weight magnitudes at which inputs of -128 reach the bound."""


def dense(weight: list[list[int]], bias: int = 0, multiplier: int = 64, shift: int = 20) -> Dense:
    """A layer with the same bias and scale for every output."""
    array = np.array(weight, np.int8)
    columns = (np.full(array.shape[1], value, np.int32) for value in (bias, multiplier, shift))
    return Dense(array, *columns)


def column(magnitude: int, sign: int = 1) -> list[list[int]]:
    """Weights [n, 1] of 127 and a rest, with this sum of magnitudes; `sign` -1 alternates."""
    whole, rest = divmod(magnitude, 127)
    return [[size * sign**k] for k, size in enumerate([127] * whole + [rest] * (rest > 0))]


@st.composite
def scaled_totals(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """accumulator, bias, multiplier, shift, anywhere within what `prove` lets through."""
    bound = draw(st.integers(1, ACCUMULATOR_BOUND))
    bias = draw(st.integers(-bound, bound))
    accumulator = draw(st.integers(abs(bias) - bound, bound - abs(bias)))
    shift = draw(st.integers(1, 30))
    largest = (INT32_MAX - (1 << shift - 1)) // bound
    return accumulator, bias, draw(st.integers(1, max(1, largest))), shift


@pytest.mark.parametrize("source", [np.int32, np.float32])
@pytest.mark.parametrize("target", [np.int8, np.float32])
@given(st.lists(scaled_totals(), min_size=1, max_size=9))
def test_requantize_agrees_with_python(
    plain: ModuleType, source: type, target: type, drawn: list[tuple[int, int, int, int]]
) -> None:
    totals, bias, multiplier, shift = np.array(drawn, np.int32).T.copy()
    out: NDArray[Any] = np.empty((2, len(drawn)), target)
    requantize(np.stack([totals, totals]).astype(source), bias, multiplier, shift, out)
    expected = [plain.activation(row[0] + row[1], *row[2:]) for row in drawn]
    assert out.tolist() == [expected, expected]


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@given(st.lists(st.tuples(scaled_totals(), st.integers(-128, 127)), min_size=1, max_size=9))
def test_the_end_of_a_residual_block_adds_levels_and_saturates(
    plain: ModuleType, dtype: type, drawn: list[tuple[tuple[int, int, int, int], int]]
) -> None:
    totals, bias, multiplier, shift = np.array([row for row, _ in drawn], np.int32).T.copy()
    earlier = np.array([[value for _, value in drawn]], dtype)
    out: NDArray[Any] = np.empty((1, len(drawn)), dtype)
    requantize_and_add(totals[None], bias, multiplier, shift, earlier, out)
    levels = [plain.activation(row[0] + row[1], *row[2:]) + 128 + value + 128 for row, value in drawn]
    assert out.tolist() == [[min(level, 255) - 128 for level in levels]]


@pytest.mark.parametrize(
    ("total", "level"), [(-9, 0), (-1, 0), (1, 0), (2, 1), (3, 1), (6, 2), (1018, 255), (9999, 255)]
)
def test_requantize_rounds_halves_up_and_saturates(total: int, level: int) -> None:
    out = np.empty((1, 1), np.int8)
    layer = dense([[1]], multiplier=64, shift=8)
    requantize(np.array([[total]], np.int32), layer.bias, layer.multiplier, layer.shift, out)
    assert out[0, 0] == level - 128


def test_bounds_count_weights_and_bias() -> None:
    layer = dense([[1, -127], [-2, 127]], bias=-5)
    assert accumulator_bounds(layer).tolist() == [128 * 3 + 5, 128 * 254 + 5]


@pytest.mark.parametrize("sign", [1, -1])
def test_proof_accepts_the_very_bound_and_refuses_one_more(sign: int) -> None:
    prove(dense(column(FULL, sign)))
    prove(dense(column(FULL - 1, sign), bias=128))
    prove(dense(column(FULL - 1, sign), bias=-128))
    for bad in (dense(column(FULL, sign), bias=1), dense(column(FULL, sign), bias=-1), dense(column(FULL + 1, sign))):
        with pytest.raises(ValueError, match="accumulator"):
            prove(bad)


def test_proof_looks_at_every_output() -> None:
    weight = np.hstack([column(9), column(9), column(9)])
    bias = np.array([0, 1, 0]) * ACCUMULATOR_BOUND
    layer = dense(weight.tolist())
    with pytest.raises(ValueError, match="accumulator"):
        prove(Dense(layer.weight, bias.astype(np.int32), layer.multiplier, layer.shift))


def test_proof_of_the_multiplier_is_sharp() -> None:
    """2^24 * 127 + 2^24 is one more than an int32 holds."""
    prove(dense(column(FULL), multiplier=127, shift=24))
    with pytest.raises(ValueError, match="int32"):
        prove(dense(column(FULL), multiplier=127, shift=25))
    prove(dense(column(FULL - 1), multiplier=127, shift=25))
    with pytest.raises(ValueError, match="int32"):
        prove(dense(column(FULL), multiplier=128, shift=1))


@pytest.mark.parametrize(("multiplier", "shift"), [(64, 0), (64, 31), (64, -1), (0, 9), (-64, 9)])
def test_proof_refuses_bad_scales(multiplier: int, shift: int) -> None:
    with pytest.raises(ValueError, match="shift|multiplier"):
        prove(dense([[1]], multiplier=multiplier, shift=shift))


def adversarial_inputs(weight: list[int]) -> NDArray[np.int8]:
    """int8 [n, in]: extremes that push the sum far up or down, keep it near zero, or swing it on the way."""
    size = len(weight)
    w = np.array(weight)
    alternate = np.where(np.arange(size) % 2, 127, -128)
    rows = [
        np.full(size, -128),
        np.full(size, 127),
        np.where(w > 0, -128, 127),
        np.where(w > 0, 127, -128),
        alternate,
        -1 - alternate,
        np.where(np.arange(size) < size // 2, -128, 127),
        np.where(np.arange(size) < size // 2, 127, -128),
        np.random.default_rng(0).integers(-128, 128, size),
    ]
    return np.array(rows, np.int8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("engine", ["numpy", "numba", "torch"])
def test_products_are_exact_at_the_bound(engine: str, sign: int) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    weight = column(FULL, sign)
    layer = dense(weight)
    inputs = adversarial_inputs([row[0] for row in weight])
    run = runner(engine, (layer,), len(inputs))
    run.inputs[:, : inputs.shape[1]] = inputs
    expected = inputs.astype(np.int64) @ layer.weight.astype(np.int64)
    assert np.abs(expected).max() == ACCUMULATOR_BOUND if sign == 1 else expected.max() > 0.99 * ACCUMULATOR_BOUND
    assert np.array_equal(run.run(len(inputs))[:, : expected.shape[1]], expected)


def test_beyond_the_bound_floats_are_not_exact() -> None:
    """The bound is not there for nothing: the next odd sum is lost."""
    weight = [*column(FULL), [1]]
    run = Runner((dense(weight),), 1)
    run.inputs[:] = -128
    run.inputs[0, -1] = -1
    assert int(run.run(1)[0, 0]) != -ACCUMULATOR_BOUND - 1
