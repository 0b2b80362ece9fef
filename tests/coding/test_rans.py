"""rANS by tables: a twin in plain Python, the primitives in other kernels, and the rate of constriction's."""

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from shearloc.coding import Message, categorical, rans
from shearloc.coding.intervals import find_symbol

from .messages import random_message

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def tables(draw: st.DrawFn, rows: int | None = None) -> NDArray[Any]:
    """A table [K+1], or [rows, K+1]: skewed, uniform or nearly certain, at any precision."""
    precision = draw(st.integers(1, 32))
    kinds = draw(st.integers(1, min(256, 2**precision)))
    rng = np.random.default_rng(draw(SEEDS))
    shape = draw(st.sampled_from([0.0, 0.01, 0.5, 1e9]))
    cdfs = [cdf_of(weights(rng, kinds, shape), precision) for _ in range(rows or 1)]
    table = np.array(cdfs, np.uint64 if precision == 32 else np.uint32).reshape(-1, kinds + 1)
    return table[0] if rows is None else table[:rows]


def weights(rng: np.random.Generator, kinds: int, shape: float) -> NDArray[np.float64]:
    """Probabilities from a gamma distribution: shape 0 makes one symbol certain, a large one all alike."""
    drawn = rng.gamma(shape, size=kinds)
    return drawn / drawn.sum() if drawn.sum() else np.eye(kinds)[rng.integers(kinds)]


def cdf_of(probabilities: NDArray[np.float64], precision: int) -> list[int]:
    """Cumulative frequencies: one per symbol, the rest by probability, the remainder to the most likely."""
    spare = 2**precision - len(probabilities)
    freqs = [1 + int(p * spare) for p in probabilities]
    freqs[int(np.argmax(probabilities))] += 2**precision - sum(freqs)
    return list(accumulate(freqs, initial=0))


def random_symbols(rng: np.random.Generator, table: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Half as likely as the (first row of the) table says, half all alike, so that rare ones occur."""
    row = table if table.ndim == 1 else table[0]
    likely = np.searchsorted(row, rng.integers(0, int(row[-1]), count).astype(row.dtype), "right") - 1
    return np.where(rng.random(count) < 0.5, likely, rng.integers(0, len(row) - 1, count)).astype(np.int32)


def precision_of(table: NDArray[Any]) -> int:
    return int(table.flat[-1]).bit_length() - 1


class Twin:
    """The same coder in plain Python, on unbounded integers, one symbol at a time."""

    def __init__(self, message: Message) -> None:
        self.heads = [int(head) for head in message.heads]
        self.tails = [[int(word) for word in tail] for tail in message.tails]

    def tail(self, lane: int) -> list[int]:
        return self.tails[lane if len(self.tails) > 1 else 0]

    def push(self, lane: int, start: int, freq: int, precision: int) -> None:
        state = self.heads[lane]
        if state >= freq * 2 ** (64 - precision):
            self.tail(lane).append(state % 2**32)
            state //= 2**32
        self.heads[lane] = state // freq * 2**precision + start + state % freq

    def pop(self, lane: int, cdf: list[int], precision: int) -> int:
        state = self.heads[lane]
        target = state % 2**precision
        symbol = next(s for s in range(len(cdf)) if cdf[s + 1] > target)
        state = (cdf[symbol + 1] - cdf[symbol]) * (state // 2**precision) + target - cdf[symbol]
        self.heads[lane] = state if state >= 2**32 else state * 2**32 + self.tail(lane).pop()
        return symbol

    def matches(self, message: Message) -> bool:
        return self.heads == message.heads.tolist() and self.tails == [tail.tolist() for tail in message.tails]


@given(st.data(), st.integers(1, 9), st.integers(1, 60), SEEDS, st.booleans(), st.booleans())
def test_kernels_do_as_the_twin(
    data: st.DataObject, lanes: int, count: int, seed: int, per_symbol: bool, shared: bool
) -> None:
    rng = np.random.default_rng(seed)
    table = data.draw(tables(count if per_symbol else None))
    precision = precision_of(table)
    rows = np.broadcast_to(table, (count, table.shape[-1]))
    symbols = random_symbols(rng, table, count)
    message = random_message(rng, lanes, count, shared)
    twin = Twin(message)

    for k, symbol in enumerate(symbols.tolist()):
        start, end = rows[k, symbol : symbol + 2].tolist()
        twin.push(k % lanes, start, end - start, precision)
    categorical(table, count).push(message, symbols)
    assert twin.matches(message)

    # The other table's symbols on top of them are as good as random.
    other = data.draw(tables())
    popped = [twin.pop(k % lanes, other.tolist(), precision_of(other)) for k in reversed(range(count))]
    assert categorical(other, count).pop(message).tolist() == popped[::-1]
    assert twin.matches(message)


def test_a_certain_symbol_costs_nothing() -> None:
    message = Message.empty(2)
    certain = categorical([0, 2**24], 1000)
    certain.push(message, np.zeros(1000, int))
    assert message.is_empty
    certain.pop(message)
    assert message.is_empty


@njit
def _copy_symbols(heads, words, size, cdf, out):  # type: ignore[no-untyped-def]
    """Pop symbols by the primitives, with numbers of whatever type the caller has, and push them again."""
    precision = 24
    for k in range(out.size - 1, -1, -1):
        lane = k % heads.size
        target = rans.pop_target(heads[lane], precision)
        out[k] = find_symbol(cdf, target)
        start, end = cdf[out[k]], cdf[out[k] + 1]
        heads[lane], size = rans.pop_advance(heads[lane], words, size, start, end - start, precision)
    popped = size
    for k in range(out.size):
        lane = k % heads.size
        start, end = cdf[out[k]], cdf[out[k] + 1]
        heads[lane], size = rans.push_symbol(heads[lane], words, size, start, end - start, precision)
    return popped, size


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_primitives_in_another_kernel(dtype: type) -> None:
    """The tables' type, and the one that Numba would make floats of beside uint64; each takes a compilation."""
    rng = np.random.default_rng(1)
    cdf = np.array(cdf_of(weights(rng, 50, 0.5), 24))
    message = random_message(rng, 3, 90)
    heads, words, out = message.heads.copy(), message.words.copy(), np.zeros(90, np.int64)
    popped, size = _copy_symbols(heads, words, 90, cdf.astype(dtype), out)
    assert popped < 90
    assert size == 90
    np.testing.assert_array_equal(heads, message.heads)
    np.testing.assert_array_equal(words, message.words)
    assert categorical(cdf, 90).pop(message).tolist() == out.tolist()


def test_an_empty_tail_stays_empty() -> None:
    """And nothing beyond it is read: the state stays without the word that it lacks."""
    words = np.full(3, 0xFFFFFFFF, np.uint32)
    state, size = rans.pop_advance(rans.LOWEST, words, 0, 0, 1, 8)
    assert (state, size) == (2**24, rans.EMPTY)
    for _ in range(10):
        state, size = rans.pop_advance(np.uint64(state), words, size, 0, 1, 8)
        assert state < 2**32
        assert size == rans.EMPTY


@pytest.mark.parametrize("shape", [0.05, 0.5, 1e9])
@pytest.mark.parametrize("precision", [12, 24, 28])
def test_rate_is_the_entropy(shape: float, precision: int) -> None:
    """Within 0.1% and a word per lane of -log2 of the frequencies."""
    rng = np.random.default_rng(7)
    table = np.array(cdf_of(weights(rng, 256, shape), precision), np.uint32)
    symbols = (np.searchsorted(table, rng.integers(0, 2**precision, 50_000), "right") - 1).astype(np.int32)
    ideal = -np.log2(np.diff(table.astype(np.float64))[symbols] / 2**precision).sum()
    message = Message.empty(8)
    categorical(table, symbols.shape).push(message, symbols)
    assert ideal - 8 < message.bits - 32 * 8 < 1.001 * ideal + 8
    assert 8 * len(message.to_bytes()) < 1.001 * ideal + 64 * 8 + 32


@pytest.mark.parametrize("shape", [0.0, 0.05, 0.5, 1e9])
@pytest.mark.parametrize("per_symbol", [False, True])
def test_rate_is_that_of_constriction(shape: float, per_symbol: bool) -> None:
    """The same symbols and tables through another author's coder: within 0.1% and a few words."""
    stream = pytest.importorskip("constriction").stream
    rng = np.random.default_rng(11)
    count = 2_000 if per_symbol else 50_000
    cdfs = [cdf_of(weights(rng, 256, shape), 24) for _ in range(count if per_symbol else 1)]
    table = np.array(cdfs if per_symbol else cdfs[0], np.uint32)
    targets = rng.integers(0, 2**24, count)
    symbols = (np.atleast_2d(table) <= targets[:, None]).sum(-1).astype(np.int32) - 1
    probabilities = np.diff(table.astype(np.float64)) / 2**24

    oracle = stream.stack.AnsCoder()
    if per_symbol:
        oracle.encode_reverse(symbols, stream.model.Categorical(perfect=False), probabilities.astype(np.float32))
    else:
        oracle.encode_reverse(symbols, stream.model.Categorical(probabilities, perfect=False))
    message = Message.empty()
    categorical(table, symbols.shape).push(message, symbols)
    expected = len(oracle.get_compressed())
    assert abs(len(message.to_bytes()) / 4 - expected) <= 3 + 0.001 * expected
