"""A tile of a picture, sample by sample: encoded and decoded by one loop, so that both learn the same."""

import numpy as np
from numba import njit

from ...coding.range_kernels import WHOLE, decode_advance, decode_target, encode_end, encode_symbol, next_word
from ...coding.rans import LOWEST
from ...kernels import KERNEL
from . import experts, spread
from .spread import PRECISION, SHARE_BITS

SHARE_STEP = 5
"""The chance of a flat place's sample goes a 32nd of the way to 1 or 0 each time."""
DAMAGED = -1


@njit(**KERNEL)
def run(samples, levels, starts, room, state, words, coder, decoding):  # type: ignore[no-untyped-def]
    """Encode samples int64 [H, W, C], all below `levels`, into `words`, or with `decoding` fill them by the words.

    starts int64 [C, 2]: value and error of what lies around a tile. coder uint64 [3] is scratch. Returns how many words
    were written or read, and DAMAGED where they are not those of a tile.
    """
    height, width, channels = samples.shape
    _open(coder, words, decoding)
    experts.surround(room, starts)
    for y in range(height):
        experts.begin_row(room, y == 0)
        for x in range(width):
            for channel in range(channels):
                given = np.int64(0) if decoding else samples[y, x, channel]
                base = experts.mean_of_four(room.values[channel], x)
                together, apart = experts.predict(room, channel, x, base, np.float64(levels - 1))
                level = spread.as_flat(room.values[channel], x)
                if level >= 0 and _is_flat(given, level, channel, x, room, state, words, coder, decoding):
                    value = level
                else:
                    value = _value(given, levels, channel, x, together, apart, room, state, words, coder, decoding)
                samples[y, x, channel] = value
                experts.learn(room, channel, x, base, np.float64(value), together)
        experts.end_row(room)
        if decoding and np.int64(coder[2]) < 0:
            return np.int64(DAMAGED)
    return _close(coder, words, decoding)


@njit(**KERNEL)
def _open(coder, words, decoding) -> None:  # type: ignore[no-untyped-def]
    """coder: low or offset, width, and the place in the words."""
    coder[0], coder[1] = np.uint64(0), WHOLE
    place = np.int64(0)
    if decoding:
        first, place = next_word(words, place)
        second, place = next_word(words, place)
        coder[0] = first << np.uint64(32) | second
    coder[2] = np.uint64(place)


@njit(**KERNEL)
def _close(coder, words, decoding):  # type: ignore[no-untyped-def]
    """Words written or read; DAMAGED where something follows."""
    place = np.int64(coder[2])
    if not decoding:
        return encode_end(coder[0], words, place)
    return words.size if place == words.size + 1 and coder[0] < LOWEST else np.int64(DAMAGED)


@njit(**KERNEL)
def _target(coder):  # type: ignore[no-untyped-def]
    """The number below 2^PRECISION whose interval is the next one; the largest in damaged data."""
    return min(decode_target(coder[0], coder[1], PRECISION), np.int64((1 << PRECISION) - 1))


@njit(**KERNEL)
def _pass(start, freq, words, coder, decoding) -> None:  # type: ignore[no-untyped-def]
    """Write an interval, or go past it."""
    low, width, place = coder[0], coder[1], np.int64(coder[2])
    if decoding:
        low, width, place = decode_advance(low, width, words, place, start, freq, PRECISION)
    else:
        low, width, place = encode_symbol(low, width, words, place, start, freq, PRECISION)
    coder[0], coder[1], coder[2] = low, width, np.uint64(place)


@njit(**KERNEL)
def _is_flat(given, level, channel, x, room, state, words, coder, decoding):  # type: ignore[no-untyped-def]
    """Whether a sample among equal neighbours equals them; written or read."""
    kind = spread.flat_kind(room.values[channel], x)
    share = state.flats[channel, kind]
    cut = share << (PRECISION - SHARE_BITS)
    flat = _target(coder) < cut if decoding else given == level
    start, freq = (np.int64(0), cut) if flat else (cut, (1 << PRECISION) - cut)
    _pass(start, freq, words, coder, decoding)
    least = 1 << SHARE_STEP
    goal = (1 << SHARE_BITS) - least if flat else least
    state.flats[channel, kind] += (goal - share) >> SHARE_STEP
    return flat


@njit(**KERNEL)
def _value(given, levels, channel, x, together, apart, room, state, words, coder, decoding):  # type: ignore[no-untyped-def]
    """A sample, written or read by its distribution, which learns from it."""
    near, middle, far = experts.around(room.errors[channel], x)
    edges = spread.edges(room.values[channel], x)
    scale, bucket, raw = spread.scale_of(state, channel, near, middle, far, apart, edges, together)
    shape, inverse = state.shapes[channel, bucket >> 3], 1.0 / scale
    value = spread.search(_target(coder), levels, together, inverse, shape) if decoding else given
    start = spread.cdf(value, levels, together, inverse, shape)
    freq = spread.cdf(value + 1, levels, together, inverse, shape) - start
    _pass(start, freq, words, coder, decoding)
    spread.learn(state, channel, value, together, inverse, raw, bucket)
    return value
