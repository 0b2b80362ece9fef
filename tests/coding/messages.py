"""Messages to test with: random bits, as bits-back coding pops from, and empty ones. It is not a test itself."""

import numpy as np

from shearloc.coding import Message

PINNED_CDF = [0, 5, 12, 13, 16]
PINNED_SYMBOLS = [int(digit) for digit in "31415926535897932384626433832795"] * 2


def random_message(rng: np.random.Generator, lanes: int, words: int, shared: bool = True) -> Message:
    """A message of random bits: heads, and so many words for each tail."""
    heads = rng.integers(2**32, 2**64, lanes, np.uint64)
    return Message.of(heads, [rng.integers(0, 2**32, words, np.uint32) for _ in range(1 if shared else lanes)])
