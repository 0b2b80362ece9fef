"""Integer CDFs: sound for any parameters, equal to their plain twin, close to the float likelihood; pinned tables.

Which parameters a model gives is tested in models/test_local.py.
"""

import zlib
from fractions import Fraction
from math import ceil
from types import ModuleType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding.logistic import (
    EDGES,
    ENTRIES,
    FILE,
    FLOOR,
    LEVELS,
    MIXTURE_TOTAL,
    PRECISION,
    mixture,
    mixture_cdf,
    mixture_search,
    tables,
)
from shearloc.coding.tables import computed
from shearloc.models.local.head import PARAMETER_LIMIT

TOTAL = 1 << PRECISION
Parameters = tuple[list[int], list[int], list[int]]
"""Logits, means and log-scales of K components, as models give them."""

Unpacked = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

limited = st.integers(-PARAMETER_LIMIT, PARAMETER_LIMIT)
log_scales = st.one_of(
    st.integers(-112, 192), st.sampled_from([-PARAMETER_LIMIT, -113, -112, 192, 193, PARAMETER_LIMIT])
)
# Shifted by two coefficients of at most 8 times 255 grey levels, in units of 1/64.
means = st.one_of(st.integers(-64 * 20, 64 * 276), st.integers(-(2**19), 2**19))
logits = st.one_of(st.integers(-64, 64), limited)
components = st.tuples(logits, means, log_scales)
mixtures = st.lists(components, min_size=1, max_size=6).map(lambda rows: tuple(map(list, zip(*rows, strict=True))))

EXTREMES = [
    ([0], [0], [-112]),
    ([0], [64 * 255], [-112]),
    ([0], [-(2**19)], [-112]),
    ([0], [2**19], [192]),
    ([PARAMETER_LIMIT, -PARAMETER_LIMIT], [64 * 10, 64 * 200], [-112, 192]),
    ([-PARAMETER_LIMIT] * 6, [64 * 128 + 32] * 6, [-112] * 6),
    ([0, 512, 513], [0, 64 * 128, 64 * 255], [PARAMETER_LIMIT] * 3),
]


def unpack(parameters: Parameters) -> Unpacked:
    """Weights, means and inverse scales, from a row with more behind it that must not matter."""
    _, exponential, inverse = tables()
    row = np.array([*np.reshape(parameters, -1), 77], np.int32)
    count = len(parameters[0])
    weights, centres, inverses = (np.zeros(count, np.int64) for _ in range(3))
    mixture(row, exponential, inverse, weights, centres, inverses)
    return weights, centres, inverses


def all_cumulative(unpacked: Unpacked) -> list[int]:
    """F(0) .. F(256)."""
    sigmoid = tables()[0]
    return [int(mixture_cdf(x, EDGES, *unpacked, sigmoid)) for x in range(LEVELS + 1)]


def with_extremes(test):  # type: ignore[no-untyped-def]
    """Adds EXTREMES to the examples of a test of `mixtures`."""
    for extreme in EXTREMES:
        test = example(parameters=extreme)(test)
    return test


@with_extremes
@given(parameters=mixtures)
def test_every_level_has_its_floor_and_nothing_is_left(parameters: Parameters) -> None:
    found = all_cumulative(unpack(parameters))
    assert (found[0], found[-1]) == (0, TOTAL)
    assert min(np.diff(found)) >= FLOOR


@with_extremes
@given(parameters=mixtures)
def test_weights_share_all_but_the_floor(parameters: Parameters) -> None:
    weights, centres, _ = unpack(parameters)
    assert MIXTURE_TOTAL - len(weights) < weights.sum() <= MIXTURE_TOTAL
    assert weights.min() >= 0
    assert centres.tolist() == parameters[1]
    by_logit = [weight for _, weight in sorted(zip(parameters[0], weights.tolist(), strict=True))]
    assert by_logit == sorted(by_logit)


@with_extremes
@given(parameters=mixtures)
def test_agrees_with_the_plain_twin(plain: ModuleType, parameters: Parameters) -> None:
    assert all_cumulative(unpack(parameters)) == [plain.cumulative(*parameters, x) for x in range(LEVELS + 1)]


@with_extremes
@given(parameters=mixtures)
def test_search_inverts(parameters: Parameters) -> None:
    """For the first and the last target of every level."""
    unpacked = unpack(parameters)
    found = all_cumulative(unpacked)
    for x, (start, end) in enumerate(zip(found, found[1:], strict=False)):
        for target in {start, (start + end) // 2, end - 1}:
            assert mixture_search(target, EDGES, *unpacked, tables()[0]) == (x, start, end - start)


@given(mixtures, st.integers(0, TOTAL - 1))
def test_search_finds_any_target(parameters: Parameters, target: int) -> None:
    x, start, freq = mixture_search(target, EDGES, *unpack(parameters), tables()[0])
    assert start <= target < start + freq
    assert 0 <= x < LEVELS


def test_outside_the_levels() -> None:
    unpacked = unpack(([0], [6400], [0]))
    assert mixture_cdf(-1, EDGES, *unpacked, tables()[0]) == 0
    assert mixture_cdf(257, EDGES, *unpacked, tables()[0]) == TOTAL


def test_tables_are_pinned() -> None:
    """Another bit in a table is another format."""
    sigmoid, exponential, inverse = tables()
    columns = [np.ascontiguousarray(column, "<i8") for column in (sigmoid[:, 0], exponential, inverse)]
    assert [len(column) for column in columns] == [2049, 513, 305]
    assert [zlib.crc32(column.tobytes()) for column in columns] == [4101148768, 90747027, 768907849]


def exp(x: Fraction) -> Fraction:
    """e^x by its series, with an error below 2^-100 of it."""
    halvings = 12
    y, term, total = x / 2**halvings, Fraction(1), Fraction(1)
    for k in range(1, 16):
        term *= y / k
        total += term
    # Rounding in between keeps the fractions short.
    for _ in range(halvings):
        total = Fraction(round(total * total * 2**160), 2**160)
    return total


@pytest.mark.parametrize("k", [0, 1, 511, 700, 1000, 1023, 1024, 1025, 1100, 1500, 2047, 2048])
def test_sigmoid_is_correctly_rounded(k: int) -> None:
    exact = 2**22 / (1 + exp(16 - Fraction(k, 64)))
    assert abs(int(tables()[0][k, 0]) - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("k", [0, 1, 2, 31, 32, 100, 256, 511, 512])
def test_exponential_is_correctly_rounded(k: int) -> None:
    assert abs(int(tables()[1][k]) - 2**24 * exp(Fraction(-k, 32))) <= Fraction(1, 2)


@pytest.mark.parametrize("k", [0, 1, 50, 111, 112, 113, 200, 303, 304])
def test_inverse_scale_is_correctly_rounded(k: int) -> None:
    assert abs(int(tables()[2][k]) - 2**20 * exp(Fraction(112 - k, 32))) <= Fraction(1, 2)


def test_tables_are_monotone() -> None:
    sigmoid, exponential, inverse = tables()
    assert (np.diff(sigmoid[:, 0]) >= 0).all() and (sigmoid[0, 0], sigmoid[-1, 0]) == (0, 2**22)
    assert np.array_equal(sigmoid[:-1, 1], np.diff(sigmoid[:, 0])) and sigmoid[-1, 1] == 0
    assert (np.diff(exponential) <= 0).all() and exponential[0] == 2**24 and exponential[-1] > 0
    assert (np.diff(inverse) < 0).all() and inverse[112] == 2**20


moderate = st.lists(
    st.tuples(st.integers(-96, 96), st.integers(-64 * 20, 64 * 276), st.integers(-48, 128)), min_size=1, max_size=5
).map(lambda rows: tuple(map(list, zip(*rows, strict=True))))


@given(moderate)
def test_float_likelihood_is_the_same_distribution(parameters: Parameters) -> None:
    """Every probability to 2^-15, and less than 1e-5 bits lost on average by coding with the integers."""
    torch = pytest.importorskip("torch")
    from shearloc.training.likelihoods import logistic_mixture_bits_plain

    steps = (32, 64, 32)
    parts = [torch.tensor(part).double().expand(256, -1) / step for part, step in zip(parameters, steps, strict=True)]
    floats = 2.0 ** -logistic_mixture_bits_plain(parts[0], parts[1], parts[2], torch.arange(256).double()).numpy()
    integers = np.diff(all_cumulative(unpack(parameters))) / TOTAL
    assert np.abs(integers - floats).max() < 2**-15
    assert (floats * np.log2(floats / integers)).sum() < 1e-5


def test_the_uniform_is_the_same_share_in_both() -> None:
    from shearloc.nets.quantize import UNIFORM_WEIGHT

    assert Fraction(UNIFORM_WEIGHT) == Fraction(FLOOR * LEVELS, TOTAL) == 1 - Fraction(MIXTURE_TOTAL, TOTAL)
    assert ceil(-np.log2(FLOOR / TOTAL)) == 22


def test_the_file_has_the_tables_as_they_are_computed() -> None:
    found = np.load(FILE)
    assert found.dtype == np.int32
    assert np.array_equal(found, computed())
    assert found.size == sum(ENTRIES)
