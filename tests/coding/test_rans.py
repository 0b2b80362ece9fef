"""The rANS stack: exact inverses, a twin in plain Python, pinned bytes, and the rate of constriction's."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from shearloc.coding import rans
from shearloc.coding.rans import Message
from shearloc.errors import CorruptError

from .drawn import PINNED_CDF, PINNED_SYMBOLS

SEEDS = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 64)
COUNTS = st.integers(0, 300)


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


def random_message(rng: np.random.Generator, lanes: int, size: int) -> Message:
    heads = rng.integers(2**32, 2**64, lanes, np.uint64)
    return Message(heads, rng.integers(0, 2**32, size, np.uint32), size)


def intervals(symbols: NDArray[Any], table: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if table.ndim == 1:
        return table[symbols], table[symbols + 1] - table[symbols]
    k = np.arange(len(symbols))
    return table[k, symbols], table[k, symbols + 1] - table[k, symbols]


def precision_of(table: NDArray[Any]) -> int:
    return int(table.flat[-1]).bit_length() - 1


class Twin:
    """The same coder in plain Python, on unbounded integers, one symbol at a time."""

    def __init__(self, message: Message) -> None:
        self.heads = [int(head) for head in message.heads]
        self.tail = [int(word) for word in message.tail]

    def push(self, lane: int, start: int, freq: int, precision: int) -> None:
        state = self.heads[lane]
        if state >= freq * 2 ** (64 - precision):
            self.tail.append(state % 2**32)
            state //= 2**32
        self.heads[lane] = state // freq * 2**precision + start + state % freq

    def pop(self, lane: int, cdf: list[int], precision: int) -> int:
        state = self.heads[lane]
        target = state % 2**precision
        symbol = next(s for s in range(len(cdf)) if cdf[s + 1] > target)
        state = (cdf[symbol + 1] - cdf[symbol]) * (state // 2**precision) + target - cdf[symbol]
        self.heads[lane] = state if state >= 2**32 else state * 2**32 + self.tail.pop()
        return symbol

    def matches(self, message: Message) -> bool:
        return self.heads == message.heads.tolist() and self.tail == message.tail.tolist()


@given(st.data(), LANES, COUNTS, SEEDS, st.booleans())
def test_pop_inverts_push(data: st.DataObject, lanes: int, count: int, seed: int, per_symbol: bool) -> None:
    rng = np.random.default_rng(seed)
    table = data.draw(tables(count if per_symbol else None))
    symbols = random_symbols(rng, table, count) if table.size else np.empty(0, np.int32)
    message = rans.empty(lanes)
    rans.push_table(message, symbols, table)
    np.testing.assert_array_equal(rans.pop_table(message, table, count), symbols)
    assert rans.is_empty(message)


@given(st.data(), LANES, COUNTS, SEEDS, st.booleans())
def test_push_inverts_pop(data: st.DataObject, lanes: int, count: int, seed: int, per_symbol: bool) -> None:
    """Bits-back: symbols popped from random bits and pushed back restore the very same bits."""
    table = data.draw(tables(count if per_symbol else None))
    message = random_message(np.random.default_rng(seed), lanes, count)
    before = rans.to_bytes(message)
    rans.push_table(message, rans.pop_table(message, table, count), table)
    assert rans.to_bytes(message) == before


@given(st.data(), st.integers(1, 9), st.integers(1, 60), SEEDS, st.booleans())
def test_kernels_do_as_the_twin(data: st.DataObject, lanes: int, count: int, seed: int, per_symbol: bool) -> None:
    rng = np.random.default_rng(seed)
    table = data.draw(tables(count if per_symbol else None))
    precision = precision_of(table)
    rows = np.broadcast_to(table, (count, table.shape[-1]))
    symbols = random_symbols(rng, table, count)
    message = random_message(rng, lanes, count)
    twin = Twin(message)

    for k, symbol in enumerate(symbols.tolist()):
        start, end = rows[k, symbol : symbol + 2].tolist()
        twin.push(k % lanes, start, end - start, precision)
    rans.push_table(message, symbols, table)
    assert twin.matches(message)

    # The other table's symbols on top of them are as good as random.
    other = data.draw(tables())
    popped = [twin.pop(k % lanes, other.tolist(), precision_of(other)) for k in reversed(range(count))]
    assert rans.pop_table(message, other, count).tolist() == popped[::-1]
    assert twin.matches(message)


@given(st.data(), LANES, COUNTS, SEEDS)
def test_intervals_and_tables_are_the_same(data: st.DataObject, lanes: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = data.draw(tables())
    symbols = random_symbols(rng, table, count)
    starts, freqs = intervals(symbols, table)
    message = random_message(rng, lanes, 5)
    before = message.copy()
    by_table = message.copy()
    rans.push_table(by_table, symbols, table)
    rans.push(message, starts, freqs, precision_of(table))
    assert rans.to_bytes(message) == rans.to_bytes(by_table)
    rans.pop(message, starts, freqs, precision_of(table))
    assert rans.to_bytes(message) == rans.to_bytes(before)


@given(tables(), LANES, st.data(), SEEDS)
def test_peek_shows_what_one_pop_takes(table: NDArray[Any], lanes: int, data: st.DataObject, seed: int) -> None:
    count = data.draw(st.integers(0, lanes))
    message = random_message(np.random.default_rng(seed), lanes, lanes)
    other = message.copy()
    targets = rans.peek(message, count, precision_of(table))
    symbols = np.searchsorted(table, targets.astype(table.dtype), "right") - 1
    rans.pop(message, *intervals(symbols, table), precision_of(table))
    np.testing.assert_array_equal(rans.pop_table(other, table, count), symbols)
    assert rans.to_bytes(message) == rans.to_bytes(other)


def test_calls_are_popped_last_first() -> None:
    message = rans.empty(3)
    bits_table, bytes_table = np.array([0, 1, 2]), np.arange(257)
    rans.push_table(message, [1, 0, 1, 1, 0], bits_table)
    rans.push_table(message, list(range(100)), bytes_table)
    assert rans.pop_table(message, bytes_table, 100).tolist() == list(range(100))
    assert rans.pop_table(message, bits_table, 5).tolist() == [1, 0, 1, 1, 0]
    assert rans.is_empty(message)


@given(LANES, st.integers(0, 50), SEEDS)
def test_bytes_round_trip(lanes: int, size: int, seed: int) -> None:
    message = random_message(np.random.default_rng(seed), lanes, size)
    data = rans.to_bytes(message)
    assert len(data) == 8 * lanes + 4 * size
    again = rans.from_bytes(data, lanes)
    assert rans.to_bytes(again) == data
    rans.push_table(again, [0, 1], [0, 1, 4])
    assert rans.pop_table(again, [0, 1, 4], 2).tolist() == [0, 1]


def test_pinned_bytes() -> None:
    """What version 1 files hold: these bytes may never change."""
    message = rans.empty(2)
    rans.push_table(message, np.array(PINNED_SYMBOLS) % 4, PINNED_CDF)
    assert rans.to_bytes(message).hex(" ", 4) == (
        "f86b1906 1d040000 681831d1 2a000000 3096c463 4e92ed0f 1caf1be5 bdaf05a6"
    )
    rans.pop_table(message, PINNED_CDF, len(PINNED_SYMBOLS))
    assert rans.is_empty(message)


def test_a_certain_symbol_costs_nothing() -> None:
    message = rans.empty(2)
    rans.push(message, [0] * 1000, [2**24] * 1000, 24)
    assert rans.is_empty(message)
    rans.pop(message, [0] * 1000, [2**24] * 1000, 24)
    assert rans.is_empty(message)


def popping() -> dict[str, Callable[[Message], object]]:
    """Ways to take 100 bytes, or numbers known to be zero, from a message."""
    table = np.arange(257, dtype=np.uint32)
    return {
        "shared table": lambda message: rans.pop_table(message, table, 100),
        "table per symbol": lambda message: rans.pop_table(message, np.tile(table, (100, 1))),
        "known symbols": lambda message: rans.pop(message, [0] * 100, [1] * 100, 8),
    }


@pytest.mark.parametrize("way", popping())
@pytest.mark.parametrize("pushed", [0, 1, 50, 92])
def test_too_few_words_are_an_error(way: str, pushed: int) -> None:
    """A byte is 8 bits whatever its value, and the states cannot make up for more than a few of them."""
    message = rans.empty(4)
    rans.push_table(message, [0] * pushed, np.arange(257))
    before = rans.to_bytes(message)
    with pytest.raises(CorruptError):
        popping()[way](message)
    assert rans.to_bytes(message) == before


@pytest.mark.parametrize("missing", [1, 2, 10])
def test_a_truncated_message_is_an_error(missing: int) -> None:
    symbols = np.random.default_rng(0).integers(0, 256, 400)
    message = rans.empty(4)
    rans.push_table(message, symbols, np.arange(257))
    cut = rans.from_bytes(rans.to_bytes(message)[: -4 * missing], 4)
    with pytest.raises(CorruptError):
        rans.pop_table(cut, np.arange(257), 400)


@given(st.binary(max_size=64), st.integers(1, 4))
def test_any_bytes_are_a_message_or_corrupt(data: bytes, lanes: int) -> None:
    try:
        message = rans.from_bytes(data, lanes)
    except CorruptError:
        heads = np.frombuffer(data[: len(data) // 8 * 8], "<u8")[:lanes]
        assert len(data) < 8 * lanes or len(data) % 4 or (heads < 2**32).any()
    else:
        assert rans.to_bytes(message) == data


@pytest.mark.parametrize(
    "call",
    [
        lambda m: rans.push(m, [0], [0], 8),
        lambda m: rans.push(m, [200], [57], 8),
        lambda m: rans.push(m, [-1], [2], 8),
        lambda m: rans.push(m, [0], [2**64 - 1], 8),
        lambda m: rans.push(m, [2**64 - 1], [2], 8),
        lambda m: rans.push(m, [0.5], [1], 8),
        lambda m: rans.push(m, [0, 1], [1], 8),
        lambda m: rans.push(m, [[0]], [[1]], 8),
        lambda m: rans.push(m, [0], [1], 0),
        lambda m: rans.push(m, [0], [1], 33),
        lambda m: rans.pop(m, [1], [1], 8),
        lambda m: rans.peek(m, 3, 8),
        lambda m: rans.peek(m, 1, 33),
        lambda m: rans.push_table(m, [0], [0, 3, 3, 4]),
        lambda m: rans.push_table(m, [0], [0, 3, 2, 4]),
        lambda m: rans.push_table(m, [0], [1, 2, 4]),
        lambda m: rans.push_table(m, [0], [0, 2, 5]),
        lambda m: rans.push_table(m, [0], [0, 1]),
        lambda m: rans.push_table(m, [0], [0, 2**33]),
        lambda m: rans.push_table(m, [0], [0]),
        lambda m: rans.push_table(m, [0, 0], [[0, 1, 2], [0, 2, 4]]),
        lambda m: rans.push_table(m, [0], [[0, 1, 2], [0, 1, 2]]),
        lambda m: rans.push_table(m, [2], [0, 1, 2]),
        lambda m: rans.push_table(m, [-1], [0, 1, 2]),
        lambda m: rans.push_table(m, [0.0], [0, 1, 2]),
        lambda m: rans.push_table(m, [[0]], [0, 1, 2]),
        lambda m: rans.pop_table(m, [0, 1, 2]),
        lambda m: rans.pop_table(m, [0, 1, 2], -1),
        lambda m: rans.pop_table(m, [[0, 1, 2]], 2),
        lambda m: rans.empty(0),
        lambda m: rans.from_bytes(b"", 0),
        lambda m: Message(np.zeros(1, np.uint64), np.empty(0, np.uint32), 0),
        lambda m: Message(np.full(1, rans.LOWEST), np.empty(0, np.uint32), 1),
        lambda m: Message(np.full(1, rans.LOWEST), np.empty(0, np.int64), 0),
        lambda m: Message(np.full(1, 2**32), np.empty(0, np.uint32), 0),
    ],
)
def test_bad_arguments(call: Callable[[Message], object]) -> None:
    message = rans.empty(2)
    rans.push_table(message, [0, 0], [0, 1, 2])
    before = rans.to_bytes(message)
    with pytest.raises(ValueError, match=r"\w") as caught:
        call(message)
    assert not isinstance(caught.value, CorruptError)
    assert rans.to_bytes(message) == before


def test_any_integer_arrays_will_do() -> None:
    """Lists, read-only and strided arrays, any integer type: the message is the same."""
    symbols, table = np.array([3, 1, 0, 2, 2, 3]), np.array(PINNED_CDF, np.uint32)
    expected = rans.empty(2)
    rans.push_table(expected, symbols, table)
    strided = np.repeat(table, 2)[::2]
    for values in (symbols.tolist(), symbols.astype(np.uint8), np.broadcast_to(symbols, (2, 6))[1]):
        for cdf in (table.tolist(), table.astype(np.int16), strided, np.broadcast_to(table, (6, 5))):
            message = rans.empty(2)
            rans.push_table(message, values, cdf)
            assert rans.to_bytes(message) == rans.to_bytes(expected)


@njit
def _copy_symbols(heads, words, size, cdf, out):  # type: ignore[no-untyped-def]
    """Pop symbols by the primitives, with numbers of whatever type the caller has, and push them again."""
    precision = 24
    for k in range(out.size - 1, -1, -1):
        lane = k % heads.size
        target = rans.pop_target(heads[lane], precision)
        out[k] = rans.find_symbol(cdf, target)
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
    assert rans.pop_table(message, np.tile(cdf, (90, 1))).tolist() == out.tolist()


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
    message = rans.empty(8)
    rans.push_table(message, symbols, table)
    assert ideal - 8 < rans.bits(message) - 32 * 8 < 1.001 * ideal + 8
    assert 8 * len(rans.to_bytes(message)) < 1.001 * ideal + 64 * 8 + 32


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
    message = rans.empty(1)
    rans.push_table(message, symbols, table)
    expected = len(oracle.get_compressed())
    assert abs(len(rans.to_bytes(message)) / 4 - expected) <= 3 + 0.001 * expected
