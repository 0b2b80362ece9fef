"""`shearloc bench --coder`: our entropy coders and others' on the same symbols and tables, in turns in one run.

Times are of whole calls, including checks of arguments; constriction makes its integer tables inside the calls, as its
interface requires. constriction comes with the extra "bench"; craystack, which is on no package index, is measured
where it can be imported.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import Decoder, Encoder, Message, categorical

Symbols = NDArray[np.int32]
Table = NDArray[np.uint32]
Words = NDArray[np.uint32]

PRECISION = 24
ROUNDS = 9
"""Measured rounds, after one that warms up."""

LANES = (1, 4, 32)
CRAYSTACK_LANES = 1000
"""It is vectorised NumPy: the more at once, the faster."""


@dataclass(frozen=True)
class Case:
    """Symbols int32 [N], and the table uint32 [257] for all or [N, 257] for each that they were drawn from.

    `probabilities`: the same as constriction takes them, float64 [256] or float32 [N, 256].
    """

    name: str
    symbols: Symbols
    cdf: Table

    @cached_property
    def probabilities(self) -> NDArray[Any]:
        exact = np.diff(self.cdf).astype(np.float64) / 2**PRECISION
        return exact if self.cdf.ndim == 1 else exact.astype(np.float32)


@dataclass(frozen=True)
class Coder:
    """`encode` a case to words of 32 bits; `decode` (words, case) gives the symbols. `rows`: also a table for each."""

    encode: Callable[[Case], Words]
    decode: Callable[[Words, Case], Symbols]
    rows: bool = True

    def codes(self, case: Case) -> bool:
        """Whether it has a way to code such a case."""
        return self.rows or case.cdf.ndim == 1


@dataclass(frozen=True)
class CoderRow:
    """Median nanoseconds for a symbol, and the bits it took."""

    case: str
    coder: str
    encode_ns: float
    decode_ns: float
    bits_per_symbol: float
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def make_case(count: int, rows: int) -> Case:
    """`count` symbols drawn from one skewed table of 256 (`rows` = 1) or from one for each (`rows` = `count`)."""
    rng = np.random.default_rng(3)
    weights = rng.gamma(0.5, size=(rows, 256))
    freqs = 1 + (weights / weights.sum(1, keepdims=True) * (2**PRECISION - 256)).astype(np.int64)
    freqs[np.arange(rows), freqs.argmax(1)] += 2**PRECISION - freqs.sum(1)
    cdf = np.pad(freqs.cumsum(1), ((0, 0), (1, 0))).astype(np.uint32)
    targets = rng.integers(0, 2**PRECISION, count)
    if rows == 1:
        symbols = (np.searchsorted(cdf[0], targets, "right") - 1).astype(np.int32)
        return Case(f"one table of 256, {count:,} symbols", symbols, cdf[0])
    symbols = np.array([np.searchsorted(row, t, "right") - 1 for row, t in zip(cdf, targets, strict=True)], np.int32)
    return Case(f"a table of 256 for each of {count:,} symbols", symbols, cdf)


def cases() -> list[Case]:
    """The two that are measured."""
    return [make_case(1_000_000, 1), make_case(100_000, 100_000)]


def entropy(case: Case) -> float:
    """Bits a symbol that the tables promise."""
    rows = case.cdf if case.cdf.ndim == 2 else np.broadcast_to(case.cdf, (case.symbols.size, case.cdf.size))
    index = np.arange(case.symbols.size)
    freqs = rows[index, case.symbols + 1].astype(np.float64) - rows[index, case.symbols]
    return float((PRECISION - np.log2(freqs)).mean())


def coders() -> dict[str, Coder]:
    """Our coders and those of the installed libraries, by name."""
    found = {f"rANS, {lanes} lanes" if lanes > 1 else "rANS, 1 lane": _rans(lanes) for lanes in LANES}
    found["range coder"] = Coder(_range_encode, _range_decode, rows=False)
    if find_spec("constriction"):
        found["constriction, ANS"] = Coder(_ans_encode, _ans_decode)
        found["constriction, range coder"] = Coder(_queue_encode, _queue_decode)
    if find_spec("craystack"):
        found[f"craystack, {CRAYSTACK_LANES} lanes"] = Coder(_craystack_encode, _craystack_decode)
    return found


def missing_coders() -> list[str]:
    """The libraries that are not installed."""
    return [name for name in ("constriction", "craystack") if not find_spec(name)]


def measure(cases: list[Case], coders: dict[str, Coder], rounds: int, advance: Callable[[], None]) -> list[CoderRow]:
    """Every coder on every case, in turns, after one round to warm up; `advance` is called after every round."""
    rows = []
    for case in cases:
        able = {name: coder for name, coder in coders.items() if coder.codes(case)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in able}
        bits, exact = {}, dict.fromkeys(able, True)
        for warm in range(rounds + 1):
            for name, coder in able.items():
                began = time.perf_counter()
                words = coder.encode(case)
                encoded = time.perf_counter()
                back = coder.decode(words, case)
                decoded = time.perf_counter()
                exact[name] &= np.array_equal(back, case.symbols)
                bits[name] = 32 * words.size / case.symbols.size
                if warm:
                    times[name].append((encoded - began, decoded - encoded))
            advance()
        for name in able:
            encode, decode = (1e9 * median(column) / case.symbols.size for column in zip(*times[name], strict=True))
            rows.append(CoderRow(case.name, name, encode, decode, bits[name], exact[name]))
    return rows


# --- The coders -------------------------------------------------------------------------------------------------


def _rans(lanes: int) -> Coder:
    def encode(case: Case) -> Words:
        message = Message.empty(lanes)
        categorical(case.cdf, case.symbols.shape).push(message, case.symbols)
        return np.frombuffer(message.to_bytes(), np.uint32)

    def decode(words: Words, case: Case) -> Symbols:
        return categorical(case.cdf, case.symbols.shape).pop(Message.from_bytes(words.tobytes(), lanes))

    return Coder(encode, decode)


def _range_encode(case: Case) -> Words:
    encoder = Encoder()
    encoder.encode_table(case.symbols, case.cdf)
    return encoder.finish()


def _range_decode(words: Words, case: Case) -> Symbols:
    return Decoder(words).decode_table(case.cdf, case.symbols.size)


def _model(case: Case) -> tuple[Any, tuple[Any, ...]]:
    """constriction's model of a case, and what it takes besides."""
    from constriction import stream

    if case.cdf.ndim == 1:
        return stream.model.Categorical(case.probabilities, perfect=False), ()
    return stream.model.Categorical(perfect=False), (case.probabilities,)


def _ans_encode(case: Case) -> Words:
    from constriction import stream

    coder = stream.stack.AnsCoder()
    model, parameters = _model(case)
    coder.encode_reverse(case.symbols, model, *parameters)
    words: Words = coder.get_compressed()
    return words


def _ans_decode(words: Words, case: Case) -> Symbols:
    from constriction import stream

    return _constriction_decode(stream.stack.AnsCoder(words), case)


def _queue_encode(case: Case) -> Words:
    from constriction import stream

    coder = stream.queue.RangeEncoder()
    model, parameters = _model(case)
    coder.encode(case.symbols, model, *parameters)
    words: Words = coder.get_compressed()
    return words


def _queue_decode(words: Words, case: Case) -> Symbols:
    from constriction import stream

    return _constriction_decode(stream.queue.RangeDecoder(words), case)


def _constriction_decode(coder: Any, case: Case) -> Symbols:
    model, parameters = _model(case)
    symbols: Symbols = coder.decode(model, *(parameters or (case.symbols.size,)))
    return symbols


def _craystack_lines(case: Case) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Symbols [steps, lanes] and the table, or tables [steps, lanes, 257]. The cases' counts are whole multiples."""
    lines = case.symbols.reshape(-1, CRAYSTACK_LANES).astype(np.int64)
    table = case.cdf.astype(np.uint64)
    return lines, table if table.ndim == 1 else table.reshape(*lines.shape, -1)


def _interval(table: NDArray[np.uint64], symbols: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if table.ndim == 1:
        return table[symbols], table[symbols + 1] - table[symbols]
    lanes = np.arange(symbols.size)
    start = table[lanes, symbols]
    return start, table[lanes, symbols + 1] - start


def _craystack_encode(case: Case) -> Words:
    from craystack import rans as others

    lines, table = _craystack_lines(case)
    message = others.base_message((CRAYSTACK_LANES,))
    for step in range(len(lines) - 1, -1, -1):
        start, freq = _interval(table if table.ndim == 1 else table[step], lines[step])
        message = others.push(message, start, freq, PRECISION)
    words: Words = others.flatten(message)
    return words


def _craystack_decode(words: Words, case: Case) -> Symbols:
    from craystack import rans as others

    lines, table = _craystack_lines(case)
    back = np.empty_like(lines)
    message = others.unflatten(words, (CRAYSTACK_LANES,))
    for step in range(len(lines)):
        targets, pop = others.pop(message, PRECISION)
        if table.ndim == 1:
            back[step] = np.searchsorted(table, targets, "right") - 1
        else:
            back[step] = (table[step] <= targets[:, None]).sum(1) - 1
        message = pop(*_interval(table if table.ndim == 1 else table[step], back[step]))
    return back.ravel().astype(np.int32)
