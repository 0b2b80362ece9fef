"""Speed of our coders against constriction's, on the same symbols and tables; `pytest bench/test_coders.py`.

Times are of whole calls, checks of the arguments included: 1 ms is 1 ns per symbol where 1e6 symbols share a
table, and 10 ns where 1e5 have their own; "ns/symbol" in the saved results (extra_info) is the fastest. The
rates are compared in tests/codec. constriction makes its tables from floating point, inside
the calls.
"""

from collections.abc import Callable
from typing import Any

import constriction
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from shearloc.codec import rans
from shearloc.codec.range_coder import Decoder, Encoder

stream = constriction.stream

PRECISION = 24
SHARED_COUNT = 1_000_000
ROWS_COUNT = 100_000
SHARED, ROWS = "one table of 256, 1e6 symbols", "a table of 256 per symbol, 1e5 symbols"

Case = tuple[NDArray[np.int32], NDArray[np.uint32]]


def make_case(count: int, rows: int) -> Case:
    """Symbols int32 [count] and a skewed table [257], or `rows` of them, that they were drawn from."""
    rng = np.random.default_rng(3)
    weights = rng.gamma(0.5, size=(rows, 256))
    freqs = 1 + (weights / weights.sum(1, keepdims=True) * (2**PRECISION - 256)).astype(np.int64)
    freqs[np.arange(rows), freqs.argmax(1)] += 2**PRECISION - freqs.sum(1)
    cdf = np.pad(freqs.cumsum(1), ((0, 0), (1, 0))).astype(np.uint32)
    targets = rng.integers(0, 2**PRECISION, count)
    if rows == 1:
        return (np.searchsorted(cdf[0], targets, "right") - 1).astype(np.int32), cdf[0]
    return np.array([np.searchsorted(row, t, "right") - 1 for row, t in zip(cdf, targets, strict=True)], np.int32), cdf


@pytest.fixture(scope="module")
def shared() -> Case:
    return make_case(SHARED_COUNT, 1)


@pytest.fixture(scope="module")
def rows() -> Case:
    return make_case(ROWS_COUNT, ROWS_COUNT)


def probabilities(cdf: NDArray[np.uint32]) -> NDArray[Any]:
    """What constriction takes: float64 for one table, float32 for many."""
    exact = np.diff(cdf.astype(np.float64)) / 2**PRECISION
    return exact if cdf.ndim == 1 else exact.astype(np.float32)


def measure(benchmark: BenchmarkFixture, call: Callable[[], Any], count: int) -> Any:
    """Time a call; its result. The first round, which may compile, does not count."""
    result = benchmark.pedantic(call, rounds=15, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["ns/symbol"] = round(benchmark.stats.stats.min / count * 1e9, 2)
    return result


def pushed(symbols: NDArray[np.int32], cdf: NDArray[np.uint32], lanes: int) -> rans.Message:
    message = rans.empty(lanes)
    rans.push_table(message, symbols, cdf)
    return message


def encoded(symbols: NDArray[np.int32], cdf: NDArray[np.uint32]) -> NDArray[np.uint32]:
    encoder = Encoder()
    encoder.encode_table(symbols, cdf)
    return encoder.finish()


def constriction_stack(symbols: NDArray[np.int32], table: NDArray[Any]) -> Any:
    coder = stream.stack.AnsCoder()
    if table.ndim == 1:
        coder.encode_reverse(symbols, stream.model.Categorical(table, perfect=False))
    else:
        coder.encode_reverse(symbols, stream.model.Categorical(perfect=False), table)
    return coder.get_compressed()


def constriction_unstack(words: NDArray[np.uint32], table: NDArray[Any], count: int) -> Any:
    coder = stream.stack.AnsCoder(words)
    if table.ndim == 1:
        return coder.decode(stream.model.Categorical(table, perfect=False), count)
    return coder.decode(stream.model.Categorical(perfect=False), table)


@pytest.mark.benchmark(group=f"encode, {SHARED}")
@pytest.mark.parametrize("lanes", [1, 4, 32])
def test_rans_encodes(benchmark: BenchmarkFixture, shared: Case, lanes: int) -> None:
    measure(benchmark, lambda: pushed(*shared, lanes), SHARED_COUNT)


@pytest.mark.benchmark(group=f"encode, {SHARED}")
def test_range_coder_encodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    measure(benchmark, lambda: encoded(*shared), SHARED_COUNT)


@pytest.mark.benchmark(group=f"encode, {SHARED}")
def test_constriction_ans_encodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    symbols, table = shared[0], probabilities(shared[1])
    measure(benchmark, lambda: constriction_stack(symbols, table), SHARED_COUNT)


@pytest.mark.benchmark(group=f"encode, {SHARED}")
def test_constriction_range_coder_encodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    symbols, table = shared[0], probabilities(shared[1])

    def call() -> Any:
        encoder = stream.queue.RangeEncoder()
        encoder.encode(symbols, stream.model.Categorical(table, perfect=False))
        return encoder.get_compressed()

    measure(benchmark, call, SHARED_COUNT)


@pytest.mark.benchmark(group=f"decode, {SHARED}")
@pytest.mark.parametrize("lanes", [1, 4, 32])
def test_rans_decodes(benchmark: BenchmarkFixture, shared: Case, lanes: int) -> None:
    symbols, cdf = shared
    message = pushed(symbols, cdf, lanes)
    decoded = measure(benchmark, lambda: rans.pop_table(message.copy(), cdf, SHARED_COUNT), SHARED_COUNT)
    assert (decoded == symbols).all()


@pytest.mark.benchmark(group=f"decode, {SHARED}")
def test_range_coder_decodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    symbols, cdf = shared
    words = encoded(symbols, cdf)
    decoded = measure(benchmark, lambda: Decoder(words).decode_table(cdf, SHARED_COUNT), SHARED_COUNT)
    assert (decoded == symbols).all()


@pytest.mark.benchmark(group=f"decode, {SHARED}")
def test_constriction_ans_decodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    symbols, table = shared[0], probabilities(shared[1])
    words = constriction_stack(symbols, table)
    decoded = measure(benchmark, lambda: constriction_unstack(words, table, SHARED_COUNT), SHARED_COUNT)
    assert (decoded == symbols).all()


@pytest.mark.benchmark(group=f"decode, {SHARED}")
def test_constriction_range_coder_decodes(benchmark: BenchmarkFixture, shared: Case) -> None:
    symbols, model = shared[0], stream.model.Categorical(probabilities(shared[1]), perfect=False)
    encoder = stream.queue.RangeEncoder()
    encoder.encode(symbols, model)
    words = encoder.get_compressed()
    decoded = measure(benchmark, lambda: stream.queue.RangeDecoder(words).decode(model, SHARED_COUNT), SHARED_COUNT)
    assert (decoded == symbols).all()


@pytest.mark.benchmark(group=f"encode, {ROWS}")
@pytest.mark.parametrize("lanes", [1, 4, 32])
def test_rans_encodes_rows(benchmark: BenchmarkFixture, rows: Case, lanes: int) -> None:
    measure(benchmark, lambda: pushed(*rows, lanes), ROWS_COUNT)


@pytest.mark.benchmark(group=f"encode, {ROWS}")
def test_constriction_ans_encodes_rows(benchmark: BenchmarkFixture, rows: Case) -> None:
    symbols, table = rows[0], probabilities(rows[1])
    measure(benchmark, lambda: constriction_stack(symbols, table), ROWS_COUNT)


@pytest.mark.benchmark(group=f"decode, {ROWS}")
@pytest.mark.parametrize("lanes", [1, 4, 32])
def test_rans_decodes_rows(benchmark: BenchmarkFixture, rows: Case, lanes: int) -> None:
    symbols, cdf = rows
    message = pushed(symbols, cdf, lanes)
    decoded = measure(benchmark, lambda: rans.pop_table(message.copy(), cdf), ROWS_COUNT)
    assert (decoded == symbols).all()


@pytest.mark.benchmark(group=f"decode, {ROWS}")
def test_constriction_ans_decodes_rows(benchmark: BenchmarkFixture, rows: Case) -> None:
    symbols, table = rows[0], probabilities(rows[1])
    words = constriction_stack(symbols, table)
    decoded = measure(benchmark, lambda: constriction_unstack(words, table, ROWS_COUNT), ROWS_COUNT)
    assert (decoded == symbols).all()
