"""Checks of a caller's intervals, tables and symbols, and buckets that find a symbol in a table quickly.

The message and the range coder share them. Each check raises ValueError, or returns arrays in the form that kernels
take.
"""

from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .rans import KERNEL, MAX_PRECISION, Counts

_BUCKET_BITS = 12
"""At most 2^12 entries narrow the search in a shared table: they stay in the first-level cache."""

Integers = ArrayLike
"""Whatever NumPy turns into an array of integers; checked on arrival."""

Scalar = TypeVar("Scalar", bound=np.generic)


def check_intervals(starts: Integers, freqs: Integers, precision: int) -> tuple[Counts, Counts]:
    """Both as C-contiguous uint32 or uint64 arrays [N]: freq >= 1, start + freq <= 2^precision, precision 1 .. 32."""
    check_precision(precision)
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

    A table is [K+1], shared by all symbols, or [N, K+1], a row for each; it strictly increases from 0 to 2^precision.
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
    check_precision(total.bit_length() - 1)
    return table, total.bit_length() - 1


def check_symbols(symbols: Integers, table: Counts) -> NDArray[np.int32]:
    """Symbols as a new C-contiguous int32 array [N], each in [0, K); N fits the table's rows."""
    shape = np.shape(symbols)
    if len(shape) != 1 or (table.ndim == 2 and shape[0] != len(table)):
        raise ValueError(f"symbols of shape {list(shape)} for a table of shape {list(table.shape)}")
    return check_values(symbols, shape, table.shape[-1] - 2, np.int32)


def check_values(
    values: Integers, shape: tuple[int, ...], highest: int, dtype: DTypeLike, lowest: int = 0
) -> NDArray[Any]:
    """Values as a new C-contiguous array of integers from `lowest` to `highest`, of exactly this shape."""
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"values of shape {list(array.shape)}, not {list(shape)}")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"values are integers, not {array.dtype}")
    if not are_between(array, lowest, highest):
        raise ValueError(f"values from {array.min()} to {array.max()} where {lowest} to {highest} are possible")
    return array.astype(dtype, "C")


def are_between(array: NDArray[Any], lowest: int, highest: int) -> bool:
    """Whether all integers of an array are from `lowest` to `highest`. Quick for small arrays."""
    if not array.size:
        return True
    if not lowest:  # as unsigned integers, negative ones are large
        return int(np.maximum.reduce(array.view(f"u{array.itemsize}"), axis=None)) <= highest
    return lowest <= int(np.minimum.reduce(array, axis=None)) and int(np.maximum.reduce(array, axis=None)) <= highest


def check_count(count: int | None, table: Counts) -> int:
    """How many symbols to decode. ValueError where `count` and the table disagree, or neither says."""
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


def check_precision(precision: int) -> None:
    """ValueError for a precision outside 1 to 32 bits."""
    if not 1 <= precision <= MAX_PRECISION:
        raise ValueError(f"precision is from 1 to {MAX_PRECISION} bits, not {precision}")


def _as_counts(values: Integers) -> Counts:
    array = np.asarray(values)
    if array.dtype == np.uint32 or array.dtype == np.uint64:
        return read_only(np.ascontiguousarray(array))
    if array.size and (not np.issubdtype(array.dtype, np.integer) or array.min() < 0):
        raise ValueError("frequencies are integers, zero or more")
    return read_only(np.ascontiguousarray(array, np.uint64))


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """A read-only view. Numba compiles one kernel instead of two, for writable arrays and others."""
    view = array.view()
    view.flags.writeable = False
    return view


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


@njit(**KERNEL)
def find_in_bucket(cdf: Counts, first: NDArray[np.int32], shift: int, target: int) -> int:
    """The symbol s with cdf[s] <= target < cdf[s + 1], by the `buckets` of this `cdf`."""
    low, high = first[target >> shift], first[(target >> shift) + 1]
    while low < high:
        middle = (low + high + 1) >> 1
        if cdf[middle] <= target:
            low = middle
        else:
            high = middle - 1
    return low


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
