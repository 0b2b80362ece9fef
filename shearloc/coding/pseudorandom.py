"""Pseudo-random words from a seed, the same on every machine: for samples by decoding, and for draws of latents.

Source: SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import numpy as np
from numpy.typing import NDArray

from .message import Message
from .rans import LOWEST

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def words(seeds: NDArray[np.uint64], count: int) -> NDArray[np.uint32]:
    """`count` words for each seed: uint32 [n, count] for uint64 [n]."""
    places = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    numbers = _mixed(_mixed(seeds + _STEP)[:, None] + places)
    return (numbers >> np.uint64(32)).astype(np.uint32)


def message(seed: int, counts: list[int]) -> Message:
    """A message of pseudo-random bits: for each of `counts`, a lane with a tail of so many words.

    `seed` from 0 to 2^64 - 1; ValueError for any other.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"a seed is from 0 to 2^64 - 1, not {seed}")
    first = _mixed(np.array([seed], np.uint64) + _STEP)
    lanes = [words(first + np.uint64(k), 2 + count)[0] for k, count in enumerate(counts)]
    heads = [np.uint64(lane[0]) << np.uint64(32) | np.uint64(lane[1]) | LOWEST for lane in lanes]
    return Message.of(np.array(heads, np.uint64), [lane[2:] for lane in lanes])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function."""
    x = (x ^ (x >> np.uint64(30))) * _FACTORS[0]
    x = (x ^ (x >> np.uint64(27))) * _FACTORS[1]
    return x ^ (x >> np.uint64(31))
