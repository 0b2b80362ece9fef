"""rANS: a message that is a stack of symbols, coded with integer probabilities, in Numba.

It codes symbols whose intervals the caller gives. It does not know models, does not make CDFs and does not
write files. `range_coder` keeps the same contract for a queue.

A symbol of probability freq / 2^precision owns an interval of [0, 2^precision):

    0 ......... start |<--------- freq --------->| start + freq ......... 2^precision

Pushing maps a state x to (x // freq) * 2^precision + start + x % freq and popping undoes exactly that, so
each is the inverse of the other on every message, also on one of random bits (which bits-back coding pops
from). States are in [2^32, 2^64). Words of 32 bits leave for the tail when a state would grow too large and
return when it has become too small; precision <= 32 makes the moment of leaving and returning the same.

Several states ("lanes", the heads) share one tail: symbol k of a call belongs to lane k mod lanes. Calls are
pushed and popped as a whole: pop the last call first, with as many symbols as it pushed.

Source: J. Duda, "Asymmetric numeral systems", 2013 (arXiv:1311.2540); lanes that share a tail are from
F. Giesen, "Interleaved entropy coders", 2014 (arXiv:1402.3392).
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

from ..errors import CorruptError

MAX_PRECISION = 32

STATE_BITS = np.uint64(64)
WORD_BITS = np.uint64(32)
WORD_MASK = np.uint64(0xFFFFFFFF)
LOWEST = np.uint64(1 << 32)
"""A lane's state before anything is pushed, and the smallest of all states."""

EMPTY = -1
"""Size of the tail after a pop that needed a word and found none."""

MISMATCH = -2
"""The same after popping a symbol that is not on top of the message."""

_BUCKET_BITS = 12
"""At most 2^12 entries narrow the search in a shared table: they stay in the first-level cache."""

Counts = NDArray[np.uint32] | NDArray[np.uint64]
Integers = ArrayLike
"""Whatever NumPy makes an array of integers from; checked where it comes in."""

Scalar = TypeVar("Scalar", bound=np.generic)

KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of every kernel. They allocate nothing, so Numba's reference counts are off (`_nrt`, which Numba
uses in its own string functions): the atomic counting around every use of an array cost more than the coding.
The error model "numpy" leaves out a test for division by zero. Kernels that use the primitives
want both, the former if they allocate nothing either."""


# --- Primitives: one symbol, one lane; for use inside other kernels -----------------------------------------
#
# In the calling kernel `state` must be a uint64 and `size` an int64 from the first assignment on: Numba makes
# the union of int64 and uint64 a float64, silently. The other numbers may be of any integer type.


@njit(**KERNEL)
def push_symbol(
    state: np.uint64, words: NDArray[np.uint32], size: int, start: int, freq: int, precision: int
) -> tuple[np.uint64, int]:
    """Push one symbol; returns the new (state, size). `words[size]` must exist, even if it is not written.

    `state` uint64 in [2^32, 2^64), `words[:size]` the tail, 1 <= freq, start + freq <= 2^precision,
    1 <= precision <= 32. Nothing is checked.
    """
    width = np.uint64(freq)
    if state >> (STATE_BITS - np.uint64(precision)) >= width:
        words[size] = np.uint32(state & WORD_MASK)
        size += 1
        state >>= WORD_BITS
    return (state // width << np.uint64(precision)) + (state % width + np.uint64(start)), size


@intrinsic
def _high_product(_, left, right):  # type: ignore[no-untyped-def]
    """The upper 64 bits of the product of two uint64, which one instruction gives and Numba does not."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@njit(**KERNEL)
def push_alone(
    state: np.uint64, words: NDArray[np.uint32], size: int, start: int, freq: int, precision: int
) -> tuple[np.uint64, int]:
    """`push_symbol` where each symbol waits for the one before it, because the message has one lane.

    What waits has no division and no branch to guess: the reciprocal does not depend on the state. With several lanes
    there is other work to do meanwhile, and this is slower.
    """
    width, bits = np.uint64(freq), np.uint64(precision)
    reciprocal = np.uint64(0xFFFFFFFFFFFFFFFF) // width
    full = state >> (STATE_BITS - bits) >= width
    words[size] = np.uint32(state & WORD_MASK)
    size += 1 if full else 0
    state = state >> WORD_BITS if full else state
    quotient: np.uint64 = _high_product(state, reciprocal)  # type: ignore[call-arg]  # or one less
    rest = state - quotient * width
    pushed = (quotient << bits) + (rest + np.uint64(start))
    return pushed + (np.uint64(1) << bits) - width if rest >= width else pushed, size


@njit(**KERNEL)
def pop_target(state: np.uint64, precision: int) -> np.int64:
    """The number in [0, 2^precision), int64, whose interval is the top symbol's. `state` is uint64."""
    return np.int64(state & ((np.uint64(1) << np.uint64(precision)) - np.uint64(1)))


@njit(**KERNEL)
def pop_advance(
    state: np.uint64, words: NDArray[np.uint32], size: int, start: int, freq: int, precision: int
) -> tuple[np.uint64, int]:
    """Remove the top symbol, whose interval holds `pop_target`; returns the new (state, size).

    Arguments as in `push_symbol`. Where a word is needed and the tail has none, the size becomes EMPTY and
    stays so through further pops, so it is enough to look at it once after many; the symbols popped meanwhile
    mean nothing.
    """
    bits = np.uint64(precision)
    offset = (state & ((np.uint64(1) << bits) - np.uint64(1))) - np.uint64(start)
    state = np.uint64(freq) * (state >> bits) + offset
    if state < LOWEST:
        if size <= 0:
            return state, EMPTY
        size -= 1
        state = state << WORD_BITS | np.uint64(words[size])
    return state, size


@njit(**KERNEL)
def find_symbol(cdf: Counts, target: int) -> int:
    """The symbol s with cdf[s] <= target < cdf[s + 1].

    `cdf` [K+1], of any integer type, strictly increases from 0 to more than `target`; nothing is checked.
    The halves are taken without a branch, which would be guessed wrong every second time.
    """
    symbol = 0
    left = cdf.size - 1
    while left > 1:
        half = left >> 1
        symbol += half if cdf[symbol + half] <= target else 0
        left -= half
    return symbol


# --- Messages -----------------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Message:
    """A stack of symbols. The functions below change it in place; one that raises leaves it as it was.

    `heads` uint64 [lanes], each in [2^32, 2^64); the tail is `words[:size]`, uint32, the rest is room to
    grow. The message takes `words` over and writes there. Raises ValueError for anything else.
    """

    heads: NDArray[np.uint64]
    words: NDArray[np.uint32]
    size: int

    def __post_init__(self) -> None:
        if self.heads.ndim != 1 or self.heads.dtype != np.uint64 or not self.heads.size:
            raise ValueError("heads is a uint64 array of one dimension with at least one lane")
        if self.words.ndim != 1 or self.words.dtype != np.uint32 or not 0 <= self.size <= self.words.size:
            raise ValueError("words is a uint32 array of one dimension with at least `size` words")
        if self.heads.min() < LOWEST:
            raise ValueError("every head is at least 2^32")

    @property
    def lanes(self) -> int:
        """Number of heads."""
        return self.heads.size

    @property
    def tail(self) -> NDArray[np.uint32]:
        """The words in use, uint32 [size], the next to be popped last; a view, valid until the next push."""
        return self.words[: self.size]

    def copy(self) -> "Message":
        """A message with the same content that shares no memory with this one."""
        return Message(self.heads.copy(), self.tail.copy(), self.size)


def empty(lanes: int) -> Message:
    """A message without symbols: heads of 2^32 and no words. Raises ValueError for lanes < 1."""
    if lanes < 1:
        raise ValueError(f"a message has at least one lane, not {lanes}")
    return Message(np.full(lanes, LOWEST), np.empty(0, np.uint32), 0)


def is_empty(message: Message) -> bool:
    """Whether the message is as `empty` made it, as popping every symbol leaves it if no data was damaged."""
    return message.size == 0 and bool((message.heads == LOWEST).all())


def bits(message: Message) -> float:
    """Length in bits, fractions included: 32 per word of the tail and log2 of every head.

    An empty message has 32 bits per lane; subtract them for the cost of its symbols.
    """
    return 32.0 * message.size + float(np.log2(message.heads.astype(np.float64)).sum())


def to_bytes(message: Message) -> bytes:
    """The message as bytes, little-endian: the heads, 8 bytes each, then the tail's words, 4 bytes each."""
    return message.heads.astype("<u8").tobytes() + message.tail.astype("<u4").tobytes()


def from_bytes(data: bytes, lanes: int) -> Message:
    """The message that `to_bytes` wrote. `lanes` is not in the bytes; the caller keeps it.

    Raises CorruptError where the length or a head cannot be right, ValueError for lanes < 1.
    """
    if lanes < 1:
        raise ValueError(f"a message has at least one lane, not {lanes}")
    if len(data) < 8 * lanes or len(data) % 4:
        raise CorruptError(f"{len(data)} bytes are not a message of {lanes} lanes: cut short")
    heads = np.frombuffer(data, "<u8", lanes).astype(np.uint64)
    if heads.min() < LOWEST:
        raise CorruptError("a head of the message is too small: damaged")
    words = np.frombuffer(data, "<u4", offset=8 * lanes).astype(np.uint32)
    return Message(heads, words, words.size)


def push(message: Message, starts: Integers, freqs: Integers, precision: int) -> None:
    """Push symbols given by their intervals; the last one is on top. Symbol k goes to lane k mod lanes.

    `starts`, `freqs`: integers [N] with freq >= 1, start + freq <= 2^precision; uint32 goes fastest.
    `precision` 1..32. Raises ValueError for anything else.
    """
    first, width = check_intervals(starts, freqs, precision)
    _reserve(message, first.size)
    heads = message.heads.copy()
    _replace(message, heads, _push_intervals(heads, message.words, message.size, first, width, precision))


def pop(message: Message, starts: Integers, freqs: Integers, precision: int) -> None:
    """Undo `push` of the same arguments: remove symbols that the caller knows already, perhaps from `peek`.

    Raises ValueError as `push` does, and where they are not the symbols on top; CorruptError where the tail
    has too few words.
    """
    first, width = check_intervals(starts, freqs, precision)
    heads = message.heads.copy()
    size = _pop_intervals(heads, message.words, message.size, first, width, precision)
    if size == MISMATCH:
        raise ValueError("these symbols are not on top of the message")
    _replace(message, heads, size)


def peek(message: Message, count: int, precision: int) -> NDArray[np.uint32]:
    """Targets of the next `count` symbols to be popped by one call, uint32 [count], each in [0, 2^precision).

    Symbol k is the one whose interval holds target k; give the intervals to `pop` to remove them. Further
    than one symbol per lane nothing can be known: raises ValueError unless 0 <= count <= lanes.
    """
    _check_precision(precision)
    if not 0 <= count <= message.lanes:
        raise ValueError(f"{message.lanes} lanes show at most {message.lanes} symbols, not {count}")
    return (message.heads[:count] & np.uint64((1 << precision) - 1)).astype(np.uint32)


def push_table(message: Message, symbols: Integers, cdf: Integers) -> None:
    """Push symbols by tables of cumulative frequencies; the last one is on top.

    `symbols` integers [N] in [0, K). `cdf` integers, strictly increasing from 0 to 2^precision: [K+1], shared
    by all symbols, or [N, K+1], a row for each; uint32 goes fastest. Raises ValueError for anything else.
    """
    table, precision = check_table(cdf)
    values = check_symbols(symbols, table)
    _reserve(message, values.size)
    heads = message.heads.copy()
    rows = table.reshape(-1, table.shape[-1])
    _replace(message, heads, _push_symbols(heads, message.words, message.size, values, rows, precision))


def pop_table(message: Message, cdf: Integers, count: int | None = None) -> NDArray[np.int32]:
    """Pop what `push_table` pushed with the same tables: symbols, int32 [N], in the order it got them.

    `cdf` as in `push_table`; `count` is N, and may be left out where there is a row for each. Raises
    ValueError for anything else, CorruptError where the tail has too few words.
    """
    table, precision = check_table(cdf)
    symbols = np.empty(check_count(count, table), np.int32)
    heads = message.heads.copy()
    if table.ndim == 2:
        size = _pop_rows(heads, message.words, message.size, table, precision, symbols)
    else:
        first, shift = buckets(table, precision, symbols.size)
        size = _pop_shared(heads, message.words, message.size, table, first, shift, precision, symbols)
    _replace(message, heads, size)
    return symbols


def _reserve(message: Message, count: int) -> None:
    """Make room for `count` more words; the capacity doubles, so that many small pushes copy little."""
    needed = message.size + count
    if message.words.size < needed or not message.words.flags.writeable:
        words = np.empty(max(needed, 2 * message.size), np.uint32)
        words[: message.size] = message.tail
        message.words = words


def _replace(message: Message, heads: NDArray[np.uint64], size: int) -> None:
    """Take over what a kernel has left, or raise CorruptError."""
    if size == EMPTY:
        raise CorruptError("the message has too few words: damaged, or not made with these tables")
    message.heads = heads
    message.size = size


# --- What the range coder needs as well: checks of arguments, and buckets -----------------------------------


def check_intervals(starts: Integers, freqs: Integers, precision: int) -> tuple[Counts, Counts]:
    """Both as C-contiguous uint32 or uint64 arrays [N]. Raises ValueError for what `push` does not take."""
    _check_precision(precision)
    first, width = _as_counts(starts), _as_counts(freqs)
    if first.dtype != width.dtype:
        first, width = first.astype(np.uint64), width.astype(np.uint64)
    if first.ndim != 1 or first.shape != width.shape:
        raise ValueError(f"starts and freqs have one dimension and the same length, not {first.shape}, {width.shape}")
    if not _are_intervals(first, width, np.uint64(1 << precision)):
        raise ValueError("a symbol needs freq >= 1 and start + freq <= 2^precision")
    return first, width


def check_table(cdf: Integers) -> tuple[Counts, int]:
    """The table as a C-contiguous uint32, or else uint64, array, and its precision.

    Raises ValueError for what `push_table` does not take.
    """
    table = _as_counts(cdf)
    if table.ndim not in (1, 2) or table.shape[-1] < 2:
        raise ValueError(f"a table is [K+1] or [N, K+1] with K >= 1, not {list(table.shape)}")
    if not table.size:
        return table, 1  # no rows, no symbols: any precision will do
    total = int(table.flat[-1])
    if not _are_cdfs(table.reshape(-1, table.shape[-1]), np.uint64(total)):
        raise ValueError("the rows of a table increase strictly from 0 to the same 2^precision")
    if total & (total - 1):
        raise ValueError(f"a table ends at a power of two, not {total}")
    _check_precision(total.bit_length() - 1)
    return table, total.bit_length() - 1


def check_symbols(symbols: Integers, table: Counts) -> NDArray[np.int32]:
    """Symbols as a C-contiguous int32 array [N]. Raises ValueError for what `push_table` does not take."""
    values = np.asarray(symbols)
    if values.size and not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"symbols are integers, not {values.dtype}")
    if values.ndim != 1 or (table.ndim == 2 and values.size != len(table)):
        raise ValueError(f"symbols of shape {list(values.shape)} for a table of shape {list(table.shape)}")
    if values.size and not 0 <= values.min() <= values.max() < table.shape[-1] - 1:
        raise ValueError(f"symbols from {values.min()} to {values.max()} for tables of {table.shape[-1] - 1}")
    return _read_only(np.ascontiguousarray(values, np.int32))


def check_count(count: int | None, table: Counts) -> int:
    """How many symbols to decode. Raises ValueError where `count` and the table disagree or do not tell."""
    if table.ndim == 2 and count in (None, len(table)):
        return len(table)
    if table.ndim == 2 or count is None or count < 0:
        raise ValueError(f"count {count} for a table of shape {list(table.shape)}")
    return count


def buckets(cdf: Counts, precision: int, count: int) -> tuple[NDArray[np.int32], int]:
    """(first, shift): the symbol of a target is in [first[target >> shift], first[(target >> shift) + 1]].

    `cdf` [K+1]; `first` int32 [2^b + 1]. The more symbols there are to find, the more buckets are worth it:
    2^b <= count + 1.
    """
    width = min(precision, _BUCKET_BITS, (count + 1).bit_length() - 1)
    shift = precision - width
    edges = np.arange(1 << width, dtype=np.uint64) << np.uint64(shift)
    first = np.empty((1 << width) + 1, np.int32)
    first[:-1] = np.searchsorted(cdf, edges.astype(cdf.dtype), "right") - 1
    first[-1] = cdf.size - 2
    return first, shift


def _check_precision(precision: int) -> None:
    if not 1 <= precision <= MAX_PRECISION:
        raise ValueError(f"precision is from 1 to {MAX_PRECISION} bits, not {precision}")


def _as_counts(values: Integers) -> Counts:
    array = np.asarray(values)
    if array.dtype == np.uint32 or array.dtype == np.uint64:
        return _read_only(np.ascontiguousarray(array))
    if array.size and (not np.issubdtype(array.dtype, np.integer) or array.min() < 0):
        raise ValueError("frequencies are integers, zero or more")
    return _read_only(np.ascontiguousarray(array, np.uint64))


def _read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """A read-only view, so that arrays that are and arrays that are not make Numba compile one kernel."""
    view = array.view()
    view.flags.writeable = False
    return view


# --- Kernels ------------------------------------------------------------------------------------------------


@njit(**KERNEL)
def find_in_bucket(cdf: Counts, first: NDArray[np.int32], shift: int, target: int) -> int:
    """The symbol s with cdf[s] <= target < cdf[s + 1], by what `buckets` made of the same `cdf`."""
    low, high = first[target >> shift], first[(target >> shift) + 1]
    while low < high:
        middle = (low + high + 1) >> 1
        if cdf[middle] <= target:
            low = middle
        else:
            high = middle - 1
    return low


@njit(**KERNEL)
def _push_onto(
    heads: NDArray[np.uint64], lane: int, words: NDArray[np.uint32], size: int, start: int, freq: int, precision: int
) -> int:
    """Push one symbol onto a lane, the quicker way for so many lanes; returns the new size."""
    if heads.size == 1:
        heads[0], size = push_alone(heads[0], words, size, start, freq, precision)
    else:
        heads[lane], size = push_symbol(heads[lane], words, size, start, freq, precision)
    return size


@njit(**KERNEL)
def _push_intervals(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    starts: Counts,
    freqs: Counts,
    precision: int,
) -> int:
    lane = 0
    for k in range(starts.size):
        size = _push_onto(heads, lane, words, size, starts[k], freqs[k], precision)
        lane = lane + 1 if lane + 1 < heads.size else 0
    return size


@njit(**KERNEL)
def _push_symbols(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    symbols: NDArray[np.int32],
    rows: Counts,
    precision: int,
) -> int:
    """`rows` [N, K+1] or, shared, [1, K+1]."""
    lane = 0
    step = 1 if len(rows) > 1 else 0
    for k in range(symbols.size):
        start = rows[k * step, symbols[k]]
        freq = rows[k * step, symbols[k] + 1] - start
        size = _push_onto(heads, lane, words, size, start, freq, precision)
        lane = lane + 1 if lane + 1 < heads.size else 0
    return size


@njit(**KERNEL)
def _pop_intervals(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    starts: Counts,
    freqs: Counts,
    precision: int,
) -> int:
    lane = (starts.size - 1) % heads.size
    for k in range(starts.size - 1, -1, -1):
        target = pop_target(heads[lane], precision)
        if target < starts[k] or target - np.int64(starts[k]) >= np.int64(freqs[k]):
            return MISMATCH
        heads[lane], size = pop_advance(heads[lane], words, size, starts[k], freqs[k], precision)
        if size < 0:
            return size
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


@njit(**KERNEL)
def _pop_shared(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    cdf: Counts,
    first: NDArray[np.int32],
    shift: int,
    precision: int,
    symbols: NDArray[np.int32],
) -> int:
    lane = (symbols.size - 1) % heads.size
    for k in range(symbols.size - 1, -1, -1):
        symbol = find_in_bucket(cdf, first, shift, pop_target(heads[lane], precision))
        start = cdf[symbol]
        heads[lane], size = pop_advance(heads[lane], words, size, start, cdf[symbol + 1] - start, precision)
        symbols[k] = symbol
        if size < 0:
            return size
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


@njit(**KERNEL)
def _pop_rows(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    rows: Counts,
    precision: int,
    symbols: NDArray[np.int32],
) -> int:
    lane = (symbols.size - 1) % heads.size
    for k in range(symbols.size - 1, -1, -1):
        symbol = find_symbol(rows[k], pop_target(heads[lane], precision))
        start = rows[k, symbol]
        heads[lane], size = pop_advance(heads[lane], words, size, start, rows[k, symbol + 1] - start, precision)
        symbols[k] = symbol
        if size < 0:
            return size
        lane = lane - 1 if lane > 0 else heads.size - 1
    return size


@njit(**KERNEL)
def _are_intervals(starts: Counts, freqs: Counts, total: np.uint64) -> bool:
    """Whether 1 <= freq and start + freq <= total, throughout, without overflow."""
    good = True
    for k in range(starts.size):
        start, freq = np.uint64(starts[k]), np.uint64(freqs[k])
        # Frequency 0 wraps around to be too large. No early return: the loop stays a vector loop.
        good &= bool((freq - np.uint64(1) < total) & (start <= total - freq))
    return good


@njit(**KERNEL)
def _are_cdfs(rows: Counts, total: np.uint64) -> bool:
    """Whether every row of [N, K+1] increases strictly from 0 to `total`."""
    for n in range(len(rows)):
        good = True
        for symbol in range(rows.shape[1] - 1):
            if rows[n, symbol] >= rows[n, symbol + 1]:
                good = False  # no early return: the loop stays a vector loop
        if not good or rows[n, 0] != 0 or rows[n, -1] != total:
            return False
    return True
