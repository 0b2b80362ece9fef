"""A pixel's symbols under a local model: their intervals for an encoder, and popped from a message for a decoder.

Both go through a step's pixels channel by channel, as a channel's distributions depend on the channels before it.
Where the pixels lie and when they are coded is not known here: that is `wavefront.py`'s and `gathered.py`'s business.
"""

import numpy as np
from numba import njit

from ...coding.logistic import PRECISION, mixture, mixture_cdf, mixture_search
from ...coding.rans import pop_advance, pop_target
from .context import shown
from .head import channel_parameters

BLOCK = 256
"""Pixels whose parameters are at hand at a time (or one lane's, if it has more): they fit into the nearest caches."""


@njit(cache=True, nogil=True)
def intervals(head, cdf_tables, predictor, sums, values, predictions, starts, freqs):  # type: ignore[no-untyped-def]
    """start and freq, uint32 [C, n], of the values int32 [C, n] of n pixels."""
    sigmoid, exponential, inverse = cdf_tables
    channels, components = values.shape[0], head.components
    weights, means, inverses = _mixture_buffers(components)
    for begin in range(0, values.shape[1], BLOCK):
        block = slice(begin, min(begin + BLOCK, values.shape[1]))
        n = block.stop - begin
        differences, seen, levels, params = _block_buffers(channels, head.adjust, n)
        for c in range(channels):
            channel_parameters(head, sums[block], c, predictions[:, block], differences, seen, levels, params)
            for i in range(n):
                mixture(params[i], exponential, inverse, weights, means, inverses)
                value = np.int64(values[c, begin + i])
                start = mixture_cdf(value, weights, means, inverses, sigmoid)
                starts[c, begin + i] = start
                freqs[c, begin + i] = mixture_cdf(value + 1, weights, means, inverses, sigmoid) - start
                differences[c, i] = value - predictions[c, begin + i]
                seen[c, i] = shown(predictor, differences[c, i])


@njit(cache=True, nogil=True)
def pop(head, cdf_tables, predictor, sums, predictions, values, message, size, first, last):  # type: ignore[no-untyped-def]
    """Decodes the pixels of lanes first .. last - 1 of a step of `size` pixels into values int32 [C, n].

    `sums`, `predictions` and `values` begin with lane `first`; `message`: heads, words and tops, with a tail a lane.
    """
    sigmoid, exponential, inverse = cdf_tables
    heads, words, tops = message
    channels, lanes = values.shape[0], heads.size
    weights, means, inverses = _mixture_buffers(head.components)
    offset, lane = size * first // lanes, first
    while lane < last:
        begin, stop = size * lane // lanes, lane + 1
        while stop < last and size * (stop + 1) // lanes - begin <= BLOCK:
            stop += 1
        n = size * stop // lanes - begin
        block = slice(begin - offset, begin - offset + n)
        differences, seen, levels, params = _block_buffers(channels, head.adjust, n)
        for c in range(channels):
            channel_parameters(head, sums[block], c, predictions[:, block], differences, seen, levels, params)
            for one in range(lane, stop):
                state, top = heads[one], tops[one]
                for i in range(size * one // lanes - begin, size * (one + 1) // lanes - begin):
                    mixture(params[i], exponential, inverse, weights, means, inverses)
                    target = pop_target(state, PRECISION)
                    value, start, freq = mixture_search(target, weights, means, inverses, sigmoid)
                    # A lane that runs dry reads on in its neighbour's words; `Message.dry` tells afterwards.
                    state, top = pop_advance(state, words, top, start, freq, PRECISION)
                    values[c, begin - offset + i] = value
                    differences[c, i] = value - predictions[c, begin - offset + i]
                    seen[c, i] = shown(predictor, differences[c, i])
                heads[one], tops[one] = state, top
        lane = stop


@njit(inline="always")
def _mixture_buffers(components):  # type: ignore[no-untyped-def]
    """Weights, means and inverse scales of one distribution, int64 [K] each."""
    return np.empty(components, np.int64), np.empty(components, np.int64), np.empty(components, np.int64)


@njit(inline="always")
def _block_buffers(channels, adjust, n):  # type: ignore[no-untyped-def]
    """Differences, seen, levels and params for `channel_parameters`."""
    units, width = adjust.shape[1:]
    differences, seen = np.empty((channels, n), np.int32), np.empty((channels, n), np.int32)
    return differences, seen, np.empty(units, np.int32), np.empty((n, width), np.int32)
