"""The stream of a local model's payload: several rANS stacks ("lanes"), each with words of its own.

A payload is coded in steps; a step has any number of items (pixels) of C symbols (subpixels) each. With n items,
lane l of L codes the items floor(n l / L) .. floor(n (l + 1) / L) - 1 of every step, channel by channel, so that
lanes and their items can be decoded on different threads. The encoder pushes everything in reverse; the decoder
pops it in order and ends with empty stacks.

    payload = number of words of each lane but the last (4 bytes each), then each lane: head (8 bytes), words (4 each)

all little-endian. What the symbols mean, and where their intervals come from, is not known here.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptError
from .logistic import PRECISION
from .rans import LOWEST, push_symbol

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


def encode(starts: Intervals, freqs: Intervals, sizes: Lengths, lanes: int) -> bytes:
    """The payload of intervals uint32 [C, items of all steps] of 2^24; `sizes` int64 [steps]: items of each step."""
    room = int(lane_sizes(sizes, lanes).max()) * len(starts) * PRECISION // 32 + 2
    heads, words = np.full(lanes, LOWEST, np.uint64), np.empty((lanes, room), np.uint32)
    counts = np.zeros(lanes, np.int64)
    _push(starts, freqs, sizes, heads, words, counts)
    lengths = counts[:-1].astype("<u4").tobytes()
    stacks = zip(heads, words, counts, strict=True)
    return lengths + b"".join(
        head.astype("<u8").tobytes() + stack[:count].astype("<u4").tobytes() for head, stack, count in stacks
    )


def lane_sizes(sizes: Lengths, lanes: int) -> Lengths:
    """Items of each lane in all steps together. int64 [lanes]."""
    totals = np.zeros(lanes, np.int64)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        totals += count * np.diff(size * np.arange(lanes + 1) // lanes)
    return totals


@njit(cache=True, nogil=True)
def _push(starts, freqs, sizes, heads, words, counts):  # type: ignore[no-untyped-def]
    """Pushes all items in reverse onto heads uint64 [lanes], words uint32 [lanes, room], counts int64 [lanes]."""
    channels, lanes, end = starts.shape[0], heads.size, starts.shape[1]
    for t in range(sizes.size - 1, -1, -1):
        size = sizes[t]
        end -= size
        for lane in range(lanes):
            begin, stop = end + size * lane // lanes, end + size * (lane + 1) // lanes
            for c in range(channels - 1, -1, -1):
                for n in range(stop - 1, begin - 1, -1):
                    heads[lane], counts[lane] = push_symbol(
                        heads[lane], words[lane], counts[lane], starts[c, n], freqs[c, n], PRECISION
                    )


class Stacks:
    """A payload opened for decoding: heads uint64 [lanes], all words, and where in them each lane begins and ends.

    CorruptError if the payload cannot be that of so many lanes.
    """

    def __init__(self, payload: bytes, lanes: int) -> None:
        at = 4 * (lanes - 1)
        rest, odd = divmod(len(payload) - at - 8 * lanes, 4)
        if lanes < 1 or rest < 0 or odd:
            raise CorruptError(f"the payload of {len(payload)} bytes cannot be {lanes} lanes")
        sizes = np.frombuffer(payload, "<u4", lanes - 1).astype(np.int64)
        sizes = np.append(sizes, rest - sizes.sum())
        if sizes[-1] < 0:
            raise CorruptError("the payload's lanes are longer than the payload")
        self.tops = np.cumsum(sizes)
        self.bases = self.tops - sizes
        self.heads, self.words = np.empty(lanes, np.uint64), np.empty(rest, np.uint32)
        for lane, (base, size) in enumerate(zip(self.bases.tolist(), sizes.tolist(), strict=True)):
            self.heads[lane] = np.frombuffer(payload, "<u8", 1, at)[0]
            self.words[base : base + size] = np.frombuffer(payload, "<u4", size, at + 8)
            at += 8 + 4 * size
        if (self.heads < LOWEST).any():
            raise CorruptError("a lane of the payload starts below the coder's lowest state")

    @property
    def arrays(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32], Lengths]:
        """Heads, words and tops, for a kernel to pop from."""
        return self.heads, self.words, self.tops

    @property
    def dry(self) -> bool:
        """Whether a lane has run out: it then reads on in its neighbour's words, and its symbols mean nothing."""
        return bool((self.tops < self.bases).any())

    def finish(self) -> None:
        """CorruptError unless every symbol is popped and nothing is left."""
        if (self.tops != self.bases).any() or (self.heads != LOWEST).any():
            raise CorruptError("the payload does not hold this image: it ends too early or too late")
