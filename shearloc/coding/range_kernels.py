"""The range coder's steps and loops, for use inside Numba kernels. `range_coder.py` explains them.

In the calling kernel `low`, `offset` and `width` must be uint64, `size` and `cursor` int64 from the first assignment
on: Numba silently turns the union of int64 and uint64 into a float64.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .intervals import find_in_bucket, find_symbol
from .rans import EMPTY, KERNEL, LOWEST, WORD_BITS, WORD_MASK, Counts

WHOLE = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Width before the first symbol."""


@njit(**KERNEL)
def encode_symbol(
    low: np.uint64,
    width: np.uint64,
    words: NDArray[np.uint32],
    size: int,
    start: int,
    freq: int,
    precision: int,
) -> tuple[np.uint64, np.uint64, int]:
    """Append one symbol; returns the new (low, width, size). `words[size]` must exist, written or not.

    Before the first symbol low is 0, width WHOLE, size 0. 1 <= freq, start + freq <= 2^precision,
    1 <= precision <= 32. Nothing is checked.
    """
    part = width >> np.uint64(precision)
    before = low
    low += part * np.uint64(start)
    if low < before:
        _carry(words, size)
    width = part * np.uint64(freq)
    if width < LOWEST:
        words[size] = np.uint32(low >> WORD_BITS)
        size += 1
        low <<= WORD_BITS
        width <<= WORD_BITS
    return low, width, size


@njit(**KERNEL)
def encode_end(low: np.uint64, words: NDArray[np.uint32], size: int) -> int:
    """Write the last word, after one symbol or more, to `words[size]`, which must exist; the new size."""
    rounded = low + WORD_MASK
    if rounded < low:
        _carry(words, size)
    words[size] = np.uint32(rounded >> WORD_BITS)
    return size + 1


@njit(**KERNEL)
def decode_target(offset: np.uint64, width: np.uint64, precision: int) -> np.int64:
    """The number, int64, whose interval is the next symbol's; 2^precision or more in damaged data."""
    return np.int64(offset // (width >> np.uint64(precision)))


@njit(**KERNEL)
def decode_advance(
    offset: np.uint64,
    width: np.uint64,
    words: NDArray[np.uint32],
    cursor: int,
    start: int,
    freq: int,
    precision: int,
) -> tuple[np.uint64, np.uint64, int]:
    """Pass over the symbol whose interval holds `decode_target`; returns the new (offset, width, cursor).

    `offset` is how far the message lies above the encoder's low. Before the first symbol it holds the first
    two words (see `next_word`), width is WHOLE and cursor 2. Past the end of the message the cursor becomes
    EMPTY and stays so, so it is enough to look at it once after many symbols.
    """
    part = width >> np.uint64(precision)
    offset -= part * np.uint64(start)
    width = part * np.uint64(freq)
    if width < LOWEST:
        word, cursor = next_word(words, cursor)
        offset = offset << WORD_BITS | word
        width <<= WORD_BITS
    return offset, width, cursor


@njit(**KERNEL)
def next_word(words: NDArray[np.uint32], cursor: int) -> tuple[np.uint64, int]:
    """(word, new cursor). After the last word comes one zero, which `encode_end` left out; then EMPTY."""
    if 0 <= cursor < words.size:
        return np.uint64(words[cursor]), cursor + 1
    return np.uint64(0), cursor + 1 if cursor == words.size else EMPTY


@njit(**KERNEL)
def _carry(words: NDArray[np.uint32], size: int) -> None:
    """Add one to the number in `words[:size]`. It stays below 1, so there always is a word that takes it."""
    last = size - 1
    while words[last] == WORD_MASK:
        words[last] = 0
        last -= 1
    words[last] += np.uint32(1)


@njit(**KERNEL)
def encode_intervals(
    state: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    starts: Counts,
    freqs: Counts,
    precision: int,
) -> int:
    """Append intervals [N] to `words[:size]`; `state`: low and width. The new size."""
    low, width = state[0], state[1]
    for k in range(starts.size):
        low, width, size = encode_symbol(low, width, words, size, starts[k], freqs[k], precision)
    state[0], state[1] = low, width
    return size


@njit(**KERNEL)
def encode_symbols(
    state: NDArray[np.uint64],
    words: NDArray[np.uint32],
    size: int,
    symbols: NDArray[np.int32],
    rows: Counts,
    precision: int,
) -> int:
    """The same for symbols by tables; `rows` [N, K+1] or, shared, [1, K+1]."""
    low, width = state[0], state[1]
    step = 1 if len(rows) > 1 else 0
    for k in range(symbols.size):
        start = rows[k * step, symbols[k]]
        freq = rows[k * step, symbols[k] + 1] - start
        low, width, size = encode_symbol(low, width, words, size, start, freq, precision)
    state[0], state[1] = low, width
    return size


@njit(**KERNEL)
def decode_shared(
    state: NDArray[np.uint64],
    words: NDArray[np.uint32],
    cursor: int,
    cdf: Counts,
    first: NDArray[np.int32],
    shift: int,
    precision: int,
    symbols: NDArray[np.int32],
) -> int:
    """Fill `symbols` by one table and its buckets; `state`: offset and width. The new cursor, or EMPTY."""
    offset, width = state[0], state[1]
    for k in range(symbols.size):
        target = decode_target(offset, width, precision)
        if cursor < 0 or target >= 1 << precision:
            return EMPTY
        symbol = find_in_bucket(cdf, first, shift, target)
        start = cdf[symbol]
        freq = cdf[symbol + 1] - start
        offset, width, cursor = decode_advance(offset, width, words, cursor, start, freq, precision)
        symbols[k] = symbol
    state[0], state[1] = offset, width
    return cursor


@njit(**KERNEL)
def decode_rows(
    state: NDArray[np.uint64],
    words: NDArray[np.uint32],
    cursor: int,
    rows: Counts,
    precision: int,
    symbols: NDArray[np.int32],
) -> int:
    """The same with a table [K+1] for each symbol."""
    offset, width = state[0], state[1]
    for k in range(symbols.size):
        target = decode_target(offset, width, precision)
        if cursor < 0 or target >= 1 << precision:
            return EMPTY
        symbol = find_symbol(rows[k], target)
        start = rows[k, symbol]
        freq = rows[k, symbol + 1] - start
        offset, width, cursor = decode_advance(offset, width, words, cursor, start, freq, precision)
        symbols[k] = symbol
    state[0], state[1] = offset, width
    return cursor
