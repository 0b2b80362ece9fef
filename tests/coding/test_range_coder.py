"""The range coder: exact inversion, a twin in plain Python, pinned words, and the rate of constriction's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding.range_coder import Decoder, Encoder, encode, to_bytes
from shearloc.errors import CorruptError

from .messages import PINNED_CDF, PINNED_SYMBOLS

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(0, 300)


@st.composite
def tables(draw: st.DrawFn) -> NDArray[Any]:
    """A table [K+1]: skewed, uniform or nearly certain, at any precision."""
    precision = draw(st.integers(1, 32))
    kinds = draw(st.integers(1, min(256, 2**precision)))
    rng = np.random.default_rng(draw(SEEDS))
    return skewed_table(rng, kinds, draw(st.sampled_from([0.001, 0.5, 1e9])), precision)


def skewed_table(rng: np.random.Generator, kinds: int, shape: float, precision: int) -> NDArray[Any]:
    """Frequencies drawn from a gamma distribution, one at least, the remainder to the largest."""
    drawn = rng.gamma(shape, size=kinds) + 1e-300
    freqs = 1 + np.floor(drawn / drawn.sum() * (2**precision - kinds)).astype(np.int64)
    freqs[freqs.argmax()] += 2**precision - freqs.sum()
    return np.append(0, freqs.cumsum()).astype(np.uint64 if precision == 32 else np.uint32)


def random_symbols(rng: np.random.Generator, table: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Half as likely as the table says, half all alike, so that rare ones occur."""
    likely = np.searchsorted(table, rng.integers(0, int(table[-1]), count).astype(table.dtype), "right") - 1
    return np.where(rng.random(count) < 0.5, likely, rng.integers(0, len(table) - 1, count)).astype(np.int32)


def precision_of(table: NDArray[Any]) -> int:
    return int(table[-1]).bit_length() - 1


class Twin:
    """The same encoder in plain Python: low is one unbounded number, so there is no carry to take care of."""

    def __init__(self) -> None:
        self.low, self.width, self.words = 0, 2**64 - 1, 0

    def encode(self, start: int, freq: int, precision: int) -> None:
        part = self.width // 2**precision
        self.low += part * start
        self.width = part * freq
        if self.width < 2**32:
            self.low, self.width, self.words = self.low * 2**32, self.width * 2**32, self.words + 1

    def finish(self) -> list[int]:
        digits = -(-self.low // 2**32)
        return [digits >> 32 * k & 0xFFFFFFFF for k in range(self.words, -1, -1)]


@given(st.lists(st.tuples(tables(), COUNTS, st.booleans()), max_size=4), SEEDS)
def test_decoding_inverts_encoding(parts: list[tuple[NDArray[Any], int, bool]], seed: int) -> None:
    """Calls with different tables and precisions follow each other, first in, first out."""
    rng = np.random.default_rng(seed)
    encoder, expected = Encoder(), []
    for table, count, per_symbol in parts:
        cdf = np.broadcast_to(table, (count, len(table))) if per_symbol else table
        expected.append((cdf, count, random_symbols(rng, table, count)))
        encoder.encode_table(expected[-1][2], cdf)
    decoder = Decoder(encoder.finish())
    for cdf, count, symbols in expected:
        np.testing.assert_array_equal(decoder.decode_table(cdf, count), symbols)
    assert decoder.is_exhausted()


@given(st.lists(st.tuples(tables(), st.integers(0, 40)), max_size=4), SEEDS)
def test_kernels_do_as_the_twin(parts: list[tuple[NDArray[Any], int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    encoder, twin = Encoder(), Twin()
    for table, count in parts:
        symbols = random_symbols(rng, table, count)
        encoder.encode_table(symbols, table)
        for symbol in symbols.tolist():
            twin.encode(int(table[symbol]), int(table[symbol + 1] - table[symbol]), precision_of(table))
    assert encoder.finish().tolist() == (twin.finish() if twin.width != 2**64 - 1 else [])


@pytest.mark.parametrize("last", ["symbol", "end"])
def test_carries_go_through_many_words(last: str) -> None:
    """Intervals around 1/2 = 0x80000000 0...: low stays at 0x7FFFFFFF FFFFFFFF ... until the last step."""
    twin, starts = Twin(), []
    below = 2**63
    while twin.words < 6 or below >= 2**32:
        starts.append((below - 1) // (twin.width >> 8))
        twin.encode(starts[-1], 2, 8)
        below = 2 ** (32 * twin.words + 63) - twin.low
    if last == "symbol":
        starts.append(-(-below // (twin.width >> 8)))
        twin.encode(starts[-1], 2, 8)
    words = encode(starts, [2] * len(starts), 8)
    assert words.tolist() == twin.finish()
    assert words[:6].tolist() == [2**31, 0, 0, 0, 0, 0]


@given(tables(), COUNTS, SEEDS)
def test_intervals_tables_and_single_steps_are_the_same(table: NDArray[Any], count: int, seed: int) -> None:
    symbols = random_symbols(np.random.default_rng(seed), table, count)
    precision = precision_of(table)
    words = encode(table[symbols], table[symbols + 1] - table[symbols], precision)
    encoder = Encoder()
    encoder.encode_table(symbols, table)
    np.testing.assert_array_equal(words, encoder.finish())
    decoder = Decoder(to_bytes(words))
    for symbol in symbols.tolist():
        target = decoder.peek(precision)
        assert table[symbol] <= target < table[symbol + 1]
        decoder.skip(int(table[symbol]), int(table[symbol + 1] - table[symbol]), precision)
    assert decoder.is_exhausted()


def test_finish_leaves_the_encoder_as_it_is() -> None:
    encoder = Encoder()
    assert encoder.finish().size == 0
    encoder.encode_table([1, 2, 3], PINNED_CDF)
    assert encoder.finish().tolist() == encoder.finish().tolist()
    encoder.encode_table([0], PINNED_CDF)
    assert Decoder(encoder.finish()).decode_table(PINNED_CDF, 4).tolist() == [1, 2, 3, 0]


def test_pinned_words() -> None:
    encoder = Encoder()
    encoder.encode_table(np.array(PINNED_SYMBOLS) % 4, PINNED_CDF)
    assert [f"{word:08x}" for word in encoder.finish()] == [
        "e2c7ab2e",
        "3ebac67b",
        "c3ff3a9f",
        "2779d2fc",
        "84bfda00",
    ]


def test_an_empty_message_has_no_words_and_no_symbols() -> None:
    decoder = Decoder(encode([], [], 24))
    assert decoder.decode_table([0, 1, 2], 0).size == 0
    assert decoder.is_exhausted()
    for read in (lambda: decoder.decode_table([0, 1, 2], 1), lambda: decoder.peek(1)):
        with pytest.raises(CorruptError):
            read()


@pytest.mark.parametrize("kept", [0, 1, 2, 50, 99])
@pytest.mark.parametrize("per_symbol", [False, True])
def test_too_few_words_are_an_error(kept: int, per_symbol: bool) -> None:
    """All bytes cost the same, so the decoder of any 400 reads every word, whatever the words are."""
    encoder = Encoder()
    encoder.encode_table(np.random.default_rng(0).integers(0, 256, 400), np.arange(257))
    words = encoder.finish()
    assert len(words) == 101
    decoder = Decoder(words[:kept])
    with pytest.raises(CorruptError):
        decoder.decode_table(np.tile(np.arange(257), (400, 1)) if per_symbol else np.arange(257), 400)
    if kept > 1:
        assert decoder.decode_table(np.arange(257), 4).size == 4  # it is where it was


@given(tables(), st.integers(1, 100), SEEDS, st.data())
def test_a_truncated_message_is_never_read_as_the_whole(
    table: NDArray[Any], count: int, seed: int, data: st.DataObject
) -> None:
    symbols = random_symbols(np.random.default_rng(seed), table, count)
    encoder = Encoder()
    encoder.encode_table(symbols, table)
    words = encoder.finish()
    decoder = Decoder(words[: data.draw(st.integers(0, len(words) - 1))])
    try:
        decoded = decoder.decode_table(table, count)
    except CorruptError:
        return
    assert (decoded != symbols).any()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20), tables(), st.integers(0, 200))
def test_any_words_give_symbols_or_corrupt(words: list[int], table: NDArray[Any], count: int) -> None:
    try:
        symbols = Decoder(np.array(words, np.uint32)).decode_table(table, count)
    except CorruptError:
        return
    assert np.isin(symbols, np.arange(len(table) - 1)).all()


@pytest.mark.parametrize("precision", [1, 8, 24, 32])
def test_a_number_outside_all_intervals_is_an_error(precision: int) -> None:
    """No encoder writes 0xFFFFFFFF FFFFFFFF: it belongs to what is left over when width is cut into parts."""
    table = np.array([0, 1, 2**precision], np.uint64)
    decoder = Decoder(np.full(4, 0xFFFFFFFF, np.uint32))
    for cdf, count in ((table, 1), (table, 10_000), (table[None], 1)):
        with pytest.raises(CorruptError):
            decoder.decode_table(cdf, count)
    with pytest.raises(CorruptError):
        decoder.peek(precision)


def test_exhausted_means_the_very_last_word() -> None:
    table = np.array([0, 1, 2])
    for word, whole in ((2**31 - 1, False), (2**31, True), (2**31 + 1, False)):
        decoder = Decoder(np.array([word], np.uint32))
        assert decoder.decode_table(table, 1).tolist() == [int(word >= 2**31)]
        assert decoder.is_exhausted() == whole


def test_part_of_a_word_is_an_error() -> None:
    with pytest.raises(CorruptError):
        Decoder(b"12345")


@pytest.mark.parametrize(
    "call",
    [
        lambda e, d: e.encode([0], [0], 8),
        lambda e, d: e.encode([200], [57], 8),
        lambda e, d: e.encode([0], [1], 33),
        lambda e, d: e.encode_table([4], PINNED_CDF),
        lambda e, d: e.encode_table([0], [0, 2, 2, 4]),
        lambda e, d: d.decode_table(PINNED_CDF),
        lambda e, d: d.decode_table([0, 1, 3], 1),
        lambda e, d: d.peek(0),
        lambda e, d: d.skip(0, 5, 4),
    ],
)
def test_bad_arguments(call: Callable[[Encoder, Decoder], object]) -> None:
    encoder = Encoder()
    encoder.encode_table([1, 3], PINNED_CDF)
    words = encoder.finish()
    decoder = Decoder(words)
    with pytest.raises(ValueError, match=r"\w") as caught:
        call(encoder, decoder)
    assert not isinstance(caught.value, CorruptError)
    assert encoder.finish().tolist() == words.tolist()
    assert decoder.decode_table(PINNED_CDF, 2).tolist() == [1, 3]


@pytest.mark.parametrize("shape", [0.05, 0.5, 1e9])
@pytest.mark.parametrize("precision", [12, 24])
def test_rate_is_the_entropy(shape: float, precision: int) -> None:
    """Within 0.1% and two words of -log2 of the frequencies."""
    rng = np.random.default_rng(7)
    table = skewed_table(rng, 256, shape, precision)
    symbols = np.searchsorted(table, rng.integers(0, 2**precision, 50_000), "right") - 1
    freqs = table[symbols + 1] - table[symbols]
    ideal = -np.log2(freqs / 2**precision).sum()
    assert ideal <= 32 * len(encode(table[symbols], freqs, precision)) <= 1.001 * ideal + 64


@pytest.mark.parametrize("shape", [0.001, 0.05, 0.5, 1e9])
def test_rate_is_that_of_constriction(shape: float) -> None:
    """The same symbols and table through another author's coder: within 0.1% and a few words."""
    stream = pytest.importorskip("constriction").stream
    rng = np.random.default_rng(11)
    table = skewed_table(rng, 256, shape, 24)
    symbols = (np.searchsorted(table, rng.integers(0, 2**24, 50_000), "right") - 1).astype(np.int32)
    oracle = stream.queue.RangeEncoder()
    oracle.encode(symbols, stream.model.Categorical(np.diff(table.astype(np.float64)) / 2**24, perfect=False))
    encoder = Encoder()
    encoder.encode_table(symbols, table)
    expected = len(oracle.get_compressed())
    assert abs(len(encoder.finish()) - expected) <= 3 + 0.001 * expected
