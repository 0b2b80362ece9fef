"""rANS: one symbol onto a stack and off again, in integers, for use inside Numba kernels.

The caller gives each symbol's interval. `message.py` holds the stack, `loops.py` goes through arrays of symbols.
`range_coder.py` is the same for a queue.

A symbol of probability freq / 2^precision owns an interval of [0, 2^precision):

    0 ......... start |<--------- freq --------->| start + freq ......... 2^precision

Pushing maps a state x to (x // freq) * 2^precision + start + x % freq and popping undoes exactly that, so
each is the inverse of the other on every message, also on one of random bits (which bits-back coding pops
from). States are in [2^32, 2^64). Words of 32 bits leave for the tail when a state would grow too large and
return when it has become too small; precision <= 32 makes the moment of leaving and returning the same.

In the calling kernel `state` must be a uint64 and `size` an int64 from the first assignment on: Numba silently
turns the union of int64 and uint64 into a float64. The other numbers may be of any integer type.

Source: J. Duda, "Asymmetric numeral systems", 2013 (arXiv:1311.2540).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

MAX_PRECISION = 32

STATE_BITS = np.uint64(64)
WORD_BITS = np.uint64(32)
WORD_MASK = np.uint64(0xFFFFFFFF)
LOWEST = np.uint64(1 << 32)
"""A lane's state before anything is pushed, and the smallest of all states."""

EMPTY = -1
"""Size of the tail after a pop that needed a word and found none."""

Counts = NDArray[np.uint32] | NDArray[np.uint64]
"""Cumulative frequencies, or frequencies."""

KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of every kernel. They allocate nothing, so Numba's reference counts are off (`_nrt`, which Numba
uses in its own string functions): the atomic counting around every use of an array cost more than the coding.
The error model "numpy" leaves out a test for division by zero. Kernels that use the primitives
want both, the former if they allocate nothing either."""


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
