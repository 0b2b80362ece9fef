"""Pushes in steps onto lanes with tails of their own: this makes a local model's payload.

A payload is coded in steps; a step has any number of items (pixels) of C symbols (subpixels) each. With n items, lane l
of L codes the items floor(n l / L) .. floor(n (l + 1) / L) - 1 of every step, channel by channel, so that lanes and
their items can be decoded on different threads. The encoder pushes everything in reverse; the decoder pops it in order.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptError
from .logistic import PRECISION
from .message import Message
from .rans import push_symbol

MAX_LANES = 1024

Intervals = NDArray[np.uint32]
Lengths = NDArray[np.int64]


def lane_count(rows: int, samples: int) -> int:
    """Lanes for images with so many rows and subpixels in all: about one for 2^16 subpixels, under 0.1% of the file."""
    return max(1, min(MAX_LANES, rows, samples >> 16))


def check_count(lanes: int, rows: int) -> None:
    """CorruptError for a number of lanes that images with so many rows in all cannot have."""
    if not 1 <= lanes <= min(rows, MAX_LANES):
        raise CorruptError(f"the payload cannot have {lanes} lanes for {rows} rows")


def push(message: Message, starts: Intervals, freqs: Intervals, sizes: Lengths) -> None:
    """Pushes intervals uint32 [C, items of all steps] of 2^24; `sizes` int64 [steps]: items of each step.

    ValueError for a message of several lanes that share a tail.
    """
    check_tails(message)
    message.reserve(lane_sizes(sizes, message.lanes) * len(starts) * PRECISION // 32 + 2)
    _push(starts, freqs, sizes, *message.arrays)


def check_tails(message: Message) -> None:
    """ValueError for a message of several lanes that share a tail."""
    if message.shared and message.lanes > 1:
        raise ValueError("the lanes of this message share a tail; steps need lanes with tails of their own")


def lane_sizes(sizes: Lengths, lanes: int) -> Lengths:
    """Items of each lane in all steps together. int64 [lanes]."""
    totals = np.zeros(lanes, np.int64)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        totals += count * np.diff(size * np.arange(lanes + 1) // lanes)
    return totals


def random_words(sizes: Lengths, lanes: int, channels: int) -> list[int]:
    """Words of each lane that enough symbols can be popped from, for `pseudorandom.message`."""
    return [count * channels * PRECISION // 32 + 1 for count in lane_sizes(sizes, lanes).tolist()]


@njit(cache=True, nogil=True)
def _push(starts, freqs, sizes, heads, words, tops):  # type: ignore[no-untyped-def]
    """Pushes all items in reverse onto a message whose lanes have tails of their own."""
    channels, lanes, end = starts.shape[0], heads.size, starts.shape[1]
    for t in range(sizes.size - 1, -1, -1):
        size = sizes[t]
        end -= size
        for lane in range(lanes):
            begin, stop = end + size * lane // lanes, end + size * (lane + 1) // lanes
            for c in range(channels - 1, -1, -1):
                for n in range(stop - 1, begin - 1, -1):
                    heads[lane], tops[lane] = push_symbol(
                        heads[lane], words, tops[lane], starts[c, n], freqs[c, n], PRECISION
                    )
