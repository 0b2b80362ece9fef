"""Codecs of arrays: exact inverses on every message, the intervals they say, and close to the real distributions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import (
    Decoder,
    Encoder,
    Message,
    Symbols,
    bernoulli,
    bins_of,
    categorical,
    centres,
    gaussian,
    logistic_mixture,
    uniform,
)
from shearloc.coding import bins as equal_mass
from shearloc.errors import CorruptError

from .messages import random_message

SEEDS = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 20)
COUNTS = st.integers(0, 60)
UNIT = 1 << 16


def any_uniform(rng: np.random.Generator, count: int) -> Symbols:
    return uniform(int(rng.integers(1, 32)), count)


def table(rng: np.random.Generator, rows: int) -> NDArray[np.uint32]:
    freqs = 1 + rng.integers(0, 50, (rows, 7)) ** 2
    freqs[:, 0] += (1 << 16) - freqs.sum(1)
    return np.pad(freqs.cumsum(1), ((0, 0), (1, 0))).astype(np.uint32)


def any_categorical(rng: np.random.Generator, count: int) -> Symbols:
    return categorical(table(rng, 1)[0], count)


def any_tables(rng: np.random.Generator, count: int) -> Symbols:
    return categorical(table(rng, 2 * count).reshape(2, count, 8))


def any_bernoulli(rng: np.random.Generator, count: int) -> Symbols:
    bits = int(rng.integers(1, 32))
    return bernoulli(rng.integers(1, 1 << bits, count), bits)


def any_mixture(rng: np.random.Generator, count: int) -> Symbols:
    spread = 1 << int(rng.integers(1, 20))
    return logistic_mixture(rng.integers(-spread, spread, (count, 3 * int(rng.integers(1, 4))), np.int32))


def any_gaussian(rng: np.random.Generator, count: int) -> Symbols:
    spread = 1 << int(rng.integers(1, 25))
    return gaussian(rng.integers(-spread, spread, count), rng.integers(-384, 129, count))


KINDS = [any_uniform, any_categorical, any_tables, any_bernoulli, any_mixture, any_gaussian]
kinds = pytest.mark.parametrize("make", KINDS)
Make = Callable[[np.random.Generator, int], Symbols]


def values_for(codec: Symbols, rng: np.random.Generator) -> NDArray[Any]:
    return rng.integers(0, codec.highest + 1, codec.shape)


@kinds
@given(seed=SEEDS, lanes=LANES, count=COUNTS, shared=st.booleans())
def test_push_and_pop_are_inverse(make: Make, seed: int, lanes: int, count: int, shared: bool) -> None:
    """Values come back; and what is popped from random bits, as bits-back coding does, restores them."""
    rng = np.random.default_rng(seed)
    codec = make(rng, count)
    message = random_message(rng, lanes, 2 * count, shared)
    before, values = message.to_bytes(), values_for(codec, rng)
    codec.push(message, values)
    again = codec.pop(message)
    assert np.array_equal(again, values) and again.dtype == codec.dtype and message.to_bytes() == before
    codec.push(message, codec.pop(message))
    assert message.to_bytes() == before


@kinds
@settings(max_examples=10)
@given(seed=SEEDS)
def test_intervals_are_those_pushed(make: Make, seed: int) -> None:
    """A categorical by the interval's own table gives the same message; a range coder takes the intervals, too."""
    rng = np.random.default_rng(seed)
    codec = make(rng, 5)
    values = values_for(codec, rng)
    starts, freqs = (part.ravel() for part in codec.intervals(values))
    one, other, encoder = Message.empty(2), Message.empty(2), Encoder()
    codec.push(one, values)
    total = 1 << codec.precision
    for k, (start, freq) in enumerate(zip(starts.tolist(), freqs.tolist(), strict=True)):
        cdf = sorted({0, start, start + freq, total})
        lane = Message.of(other.heads[k % 2 : k % 2 + 1], other.tails)
        categorical(cdf, 1).push(lane, [cdf.index(start)])
        heads = other.heads.copy()
        heads[k % 2] = lane.heads[0]
        other = Message.of(heads, lane.tails)
    assert one.to_bytes() == other.to_bytes()
    encoder.encode(starts, freqs, codec.precision)
    decoder = Decoder(encoder.finish())
    for start, freq in zip(starts.tolist(), freqs.tolist(), strict=True):
        assert start <= decoder.peek(codec.precision) < start + freq
        decoder.skip(start, freq, codec.precision)


@kinds
@pytest.mark.parametrize("shared", [True, False])
def test_too_few_words_are_an_error_and_nothing_changes(make: Make, shared: bool) -> None:
    rng = np.random.default_rng(4)
    codec = make(rng, 300)
    message = random_message(rng, 3, 2, shared)
    before = message.to_bytes()
    with pytest.raises(CorruptError, match="too few bits"):
        for _ in range(200):
            codec.pop(message)
            before = message.to_bytes()
    assert message.to_bytes() == before


def test_a_message_too_short_is_told_before_room_is_made() -> None:
    with pytest.raises(CorruptError, match="too few bits"):
        uniform(16, (1 << 40, 1 << 10)).pop(Message.empty(4))


def test_any_integer_arrays_will_do() -> None:
    """Lists, read-only and strided arrays, any integer type: the message is the same."""
    symbols, cdf = np.array([3, 1, 0, 2, 2, 3]), np.array([0, 5, 12, 13, 16], np.uint32)
    expected = Message.empty(2)
    categorical(cdf, 6).push(expected, symbols)
    for values in (symbols.tolist(), symbols.astype(np.uint8), np.broadcast_to(symbols, (2, 6))[1]):
        for given_cdf in (cdf.tolist(), cdf.astype(np.int16), np.repeat(cdf, 2)[::2], np.broadcast_to(cdf, (6, 5))):
            message = Message.empty(2)
            categorical(given_cdf, 6).push(message, values)
            assert message.to_bytes() == expected.to_bytes()


@pytest.mark.parametrize(
    "call",
    [
        lambda m: uniform(0, 1),
        lambda m: uniform(32, 1),
        lambda m: uniform(4, -1),
        lambda m: uniform(4, 1).push(m, [16]),
        lambda m: uniform(4, 1).push(m, [-1]),
        lambda m: uniform(4, 1).push(m, [0.5]),
        lambda m: uniform(4, 1).push(m, [0, 1]),
        lambda m: uniform(4, 1).push(m, [[0]]),
        lambda m: categorical([0, 1, 2]),
        lambda m: categorical([[0, 1, 2]], 2),
        lambda m: categorical([0, 3, 3, 4], 1),
        lambda m: categorical([0, 3, 2, 4], 1),
        lambda m: categorical([1, 2, 4], 1),
        lambda m: categorical([0, 2, 5], 1),
        lambda m: categorical([0, 1], 1),
        lambda m: categorical([0, 2**33], 1),
        lambda m: categorical([0], 1),
        lambda m: categorical([[0, 1, 2], [0, 2, 4]]),
        lambda m: categorical([0.0, 2.0], 1),
        lambda m: categorical([0, 1, 2], 1).push(m, [2]),
        lambda m: bernoulli([0], 4),
        lambda m: bernoulli([16], 4),
        lambda m: bernoulli([1], 0),
        lambda m: bernoulli([1], 32),
        lambda m: bernoulli([1], 4).push(m, [2]),
        lambda m: logistic_mixture(np.zeros((2, 4), np.int32)),
        lambda m: logistic_mixture(np.zeros((2, 3), np.int64)),  # type: ignore[arg-type]
        lambda m: logistic_mixture(np.full((2, 3), 1 << 20, np.int32)),
        lambda m: logistic_mixture(np.zeros((1, 3), np.int32)).push(m, [256]),
        lambda m: gaussian(np.zeros(1, np.int64), np.zeros(2, np.int64)),
        lambda m: gaussian(np.zeros(1), np.zeros(1)),  # type: ignore[arg-type]
        lambda m: gaussian(np.array([(1 << 24) + 1]), np.zeros(1, np.int64)),
        lambda m: gaussian(np.zeros(1, np.int64), np.array([129])),
        lambda m: gaussian(np.zeros(1, np.int64), np.array([-385])),
        lambda m: gaussian(np.zeros(1, np.int64), np.zeros(1, np.int64)).push(m, [1 << 16]),
    ],
)
def test_bad_arguments(call: Callable[[Message], object]) -> None:
    message = Message.empty(2)
    uniform(1, 2).push(message, [0, 0])
    before = message.to_bytes()
    with pytest.raises(ValueError, match=r"\w") as caught:
        call(message)
    assert not isinstance(caught.value, CorruptError)
    assert message.to_bytes() == before


# --- What they are distributions of ------------------------------------------------------------------------------


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def test_edges_and_medians_are_the_normals_quantiles() -> None:
    edges, count = equal_mass.tables().edges, equal_mass.BINS
    assert (np.diff(edges[1:count]) > 0).all()
    for i in (1, 7, 1000, count // 2, count - 1000, count - 1):
        assert abs(normal_cdf(edges[i] / 2**24) - i / count) < 3e-7
    assert centres(np.array([0, 1], np.int32), 1).tolist() == pytest.approx([-0.67449 * UNIT, 0.67449 * UNIT], abs=2)


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=50), st.integers(1, 16))
def test_a_bin_holds_its_median(fine: list[int], bits: int) -> None:
    places = np.array(fine, np.int32) >> (16 - bits)
    inner = (places > 0) & (places < (1 << bits) - 1)
    # In the narrowest bins the median, rounded to 2^-16, may be at the edge.
    assert (abs(bins_of(centres(places, bits), bits) - places)[inner] <= (bits > 14)).all()


@given(st.integers(-5 * UNIT, 5 * UNIT), st.integers(-384, 128))
def test_gaussian_cdf_increases_and_is_the_normals(mean: int, log_sigma: int) -> None:
    count = equal_mass.BINS
    places = np.unique(np.r_[0:40, count // 2 - 20 : count // 2 + 20, count - 40 : count, 0:count:997])
    starts, freqs = gaussian(np.full(places.size, mean), np.full(places.size, log_sigma)).intervals(places)
    found = starts.astype(np.int64)
    assert found[0] == 0 and found[-1] + int(freqs[-1]) == 1 << equal_mass.PRECISION
    assert (np.diff(found) >= np.diff(places)).all() and (freqs[:-1] <= np.diff(found)).all()
    edges, sigma = equal_mass.tables().edges, math.exp(log_sigma / 64)
    for place, value in zip(places[1:].tolist(), found[1:].tolist(), strict=True):
        assert value / 2**28 == pytest.approx(normal_cdf((edges[place] / 2**24 - mean / UNIT) / sigma), abs=3e-4)


def test_the_prior_is_uniform() -> None:
    """N(0, 1) itself gives every bin its mass, to what the table of the distribution is good for."""
    zeros = np.zeros(1000, np.int64)
    _, freqs = gaussian(zeros, zeros).intervals(np.linspace(0, 2**16 - 1, 1000).astype(int))
    assert (abs(freqs.astype(np.int64) - 2**12) <= 8).all()


def test_bernoulli_and_mixture_intervals_are_the_probabilities() -> None:
    _, freqs = bernoulli([3, 3], 4).intervals([0, 1])
    assert freqs.tolist() == [13, 3]
    everything = logistic_mixture(np.tile(np.array([0, -40, 64 * 90, 64 * 200, 64, 32], np.int32), (256, 1)))
    starts, freqs = everything.intervals(np.arange(256))
    assert starts[0] == 0 and (starts[1:] == starts[:-1] + freqs[:-1]).all() and int(starts[-1] + freqs[-1]) == 1 << 24
    weights = np.exp(np.array([0, -40]) / 32)
    edges = (np.arange(257) - 0.5)[:, None]
    sigmoid = 1 / (1 + np.exp(-(edges - [90, 200]) / np.exp([2, 1])))
    sigmoid[0], sigmoid[-1] = 0, 1
    expected = np.diff(sigmoid, axis=0) @ (weights / weights.sum())
    assert freqs / 2**24 == pytest.approx(expected, abs=2e-5)
