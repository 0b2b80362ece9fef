"""Codes an image with a local model, one time step of the sheared order after the other.

Every step's pixels are independent given the past, so the network sees them as one batch. The last few columns
of the sheared image are kept in a ring, where a step is contiguous; the encoder walks the same ring, many
steps to a batch. Row i belongs to lane i mod lanes; each lane is a rANS stack of its own:

    payload = number of words of each lane but the last (4 bytes each), then each lane: head (8 bytes), words (4 each)

all little-endian.
A step's subpixels are coded channel by channel, rows downwards. The encoder pushes them in reverse, so that the
decoder pops them in order and ends with empty stacks.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptError, ShearlocError
from ..models import engines
from ..models.context import predict_pixel, shown
from ..models.local import LocalModel, channel_parameters
from .cdf import PRECISION, mixture, mixture_cdf, mixture_search, tables
from .orders import shear, step_count, step_rows
from .rans import LOWEST, pop_advance, pop_target, push_symbol

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
Lengths = NDArray[np.int64]

MAX_LANES = 16
BATCH = 8192
"""Pixels that the encoder gives to the network at a time (or one step's, if that has more)."""
BLOCK = 256
"""Pixels whose parameters the encoder has at hand at a time: they fit into the first-level cache."""


def lane_count(height: int, samples: int) -> int:
    """Lanes for an image: about one for 2^16 subpixels, so that their 12 bytes each cost under 0.1%."""
    return max(1, min(MAX_LANES, height, samples >> 16))


def encode_image(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> tuple[bytes, int]:
    """Payload and number of lanes for uint8 [H, W, C]. ShearlocError where the engine is not there."""
    height, width, _ = pixels.shape
    lanes = lane_count(height, pixels.size)
    walk = _Walk(model, height, width)
    starts, freqs = _all_frequencies(model, walk, pixels, engine, progress)
    heads, words, sizes = _push_all(starts, freqs, height, width, walk.o, lanes)
    return _payload(heads, words, sizes), lanes


def frequencies(model: LocalModel, pixels: Pixels, engine: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """start and freq of every subpixel of uint8 [H, W, C], uint32 [C, H * W] in the order of coding.

    The model's own code length of the image is sum(PRECISION - log2(freq)) bits.
    """
    return _all_frequencies(model, _Walk(model, *pixels.shape[:2]), pixels, engine, None)


def _all_frequencies(
    model: LocalModel, walk: "_Walk", pixels: Pixels, engine: str, progress: Progress | None
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    pixels = np.require(pixels, np.uint8, ["C", "W"])  # a kernel would compile once more for an array that is read-only
    height, width, channels = pixels.shape
    starts = np.empty((channels, height * width), np.uint32)
    freqs = np.empty_like(starts)
    rows = min(height * width, max(BATCH, walk.tallest))
    runner = _runner(engine, model, rows, pixels.size)
    predictions, values = np.empty((channels, rows), np.int32), np.empty((channels, rows), np.int32)
    done = t = 0
    while t < walk.steps:
        t, n = _gather_batch(
            walk.ring, pixels, t, walk.o, model.offsets, model.predictor, runner.inputs, predictions, values
        )
        part, sums = slice(done, done + n), runner.run(n)
        _frequencies(
            model.head,
            tables(),
            model.predictor,
            sums,
            values[:, :n],
            predictions[:, :n],
            starts[:, part],
            freqs[:, part],
        )
        done += n
        if progress:
            progress(t, walk.steps)
    return starts, freqs


def decode_image(
    model: LocalModel,
    payload: bytes,
    lanes: int,
    height: int,
    width: int,
    engine: str,
    progress: Progress | None = None,
) -> Pixels:
    """The uint8 [H, W, C] that `encode_image` coded. CorruptError if the payload cannot be its work."""
    if not 1 <= lanes <= height:
        raise CorruptError(f"the payload cannot have {lanes} lanes for {height} rows")
    heads, words, bases, tops = _lanes_of(payload, lanes)
    walk = _Walk(model, height, width)
    runner = _runner(engine, model, walk.tallest, height * width * model.channels)
    pixels = np.empty((height, width, model.channels), np.uint8)
    predictions = np.empty((model.channels, walk.tallest), np.int32)
    head, predictor, cdf_tables = model.head, model.predictor, tables()
    for t in range(walk.steps):
        n = _gather_step(walk.ring, height, width, t, walk.o, model.offsets, predictor, runner.inputs, predictions)
        sums = runner.run(n)
        _pop_step(head, cdf_tables, predictor, sums, predictions, t, walk.o, walk.ring, pixels, heads, words, tops)
        if t % 64 == 63:
            if (tops < bases).any():
                break
            if progress:
                progress(t, walk.steps)
    if (tops != bases).any() or (heads != LOWEST).any():
        raise CorruptError("the payload does not hold this image: it ends too early or too late")
    if progress:
        progress(walk.steps, walk.steps)
    return pixels


class _Walk:
    """Geometry of a walk over an image, and the ring: int16 [columns kept, horizon + H, C], -1 outside the image."""

    def __init__(self, model: LocalModel, height: int, width: int) -> None:
        self.o = shear(model.offsets)
        self.steps = step_count(height, width, self.o)
        self.tallest = min(height, -(-width // self.o))
        back = int((-model.offsets @ np.array([self.o, 1])).max())
        above = int(-model.offsets[:, 0].min())
        self.ring = np.full((1 << back.bit_length(), above + height, model.channels), -1, np.int16)


def _runner(engine: str, model: LocalModel, rows: int, samples: int) -> engines.Runner:
    try:
        return engines.runner(engines.choose(engine, samples), model.layers, rows)
    except (ImportError, RuntimeError, AssertionError) as error:  # torch raises the latter two without CUDA
        raise ShearlocError(f"the engine '{engine}' is not available here ({error}); use --engine numpy") from error


@njit(cache=True, nogil=True)
def _gather_step(ring, height, width, t, o, offsets, predictor, inputs, predictions):  # type: ignore[no-untyped-def]
    """Clears the ring's column t and fills inputs and predictions for its pixels; returns their number."""
    mask, above, channels = ring.shape[0] - 1, ring.shape[1] - height, ring.shape[2]
    first, last = step_rows(t, height, width, o)
    for i in range(ring.shape[1]):
        for c in range(channels):
            ring[t & mask, i, c] = -1
    west, north, northwest = ring[(t - 1) & mask], ring[(t - o) & mask], ring[(t - o - 1) & mask]
    for i in range(first, last):
        row = above + i
        for c in range(channels):
            prediction = predict_pixel(predictor, west[row, c], north[row - 1, c], northwest[row - 1, c])
            predictions[c, i - first] = prediction
    for k in range(offsets.shape[0]):
        dy, dx = offsets[k, 0], offsets[k, 1]
        column = ring[(t + dx + dy * o) & mask]
        for i in range(first, last):
            for c in range(channels):
                value = column[above + i + dy, c]
                difference = shown(predictor, value - predictions[c, i - first])
                inputs[i - first, k * channels + c] = difference if value >= 0 else 0
    return last - first


@njit(cache=True, nogil=True)
def _gather_batch(ring, pixels, t, o, offsets, predictor, inputs, predictions, values):  # type: ignore[no-untyped-def]
    """`_gather_step` for as many steps as fit into `inputs`, of an image that is known; (end step, pixels).

    Also the pixels themselves: `values` int32 [C, rows].
    """
    height, width, channels = pixels.shape
    mask, above = ring.shape[0] - 1, ring.shape[1] - height
    steps, count = width + (height - 1) * o, 0
    while t < steps:
        first, last = step_rows(t, height, width, o)
        if count + last - first > inputs.shape[0]:
            break
        _gather_step(ring, height, width, t, o, offsets, predictor, inputs[count:], predictions[:, count:])
        for i in range(first, last):
            for c in range(channels):
                value = pixels[i, t - i * o, c]
                ring[t & mask, above + i, c] = value
                values[c, count + i - first] = value
        count += last - first
        t += 1
    return t, count


@njit(cache=True, nogil=True)
def _frequencies(head, cdf_tables, predictor, sums, values, predictions, starts, freqs):  # type: ignore[no-untyped-def]
    """start and freq, uint32 [C, n], of the values int32 [C, n] of n pixels."""
    sigmoid, exponential, inverse = cdf_tables
    channels, components = values.shape[0], head.components
    weights, means, inverses = _mixture_buffers(components)
    for begin in range(0, values.shape[1], BLOCK):
        block = slice(begin, min(begin + BLOCK, values.shape[1]))
        n = block.stop - begin
        differences, seen, levels, params = _block_buffers(channels, components, n)
        for c in range(channels):
            channel_parameters(head, sums[block], c, predictions[:, block], differences, seen, levels, params)
            for i in range(n):
                mixture(params, i, exponential, inverse, weights, means, inverses)
                value = np.int64(values[c, begin + i])
                start = mixture_cdf(value, weights, means, inverses, sigmoid)
                starts[c, begin + i] = start
                freqs[c, begin + i] = mixture_cdf(value + 1, weights, means, inverses, sigmoid) - start
                differences[c, i] = value - predictions[c, begin + i]
                seen[c, i] = shown(predictor, differences[c, i])


@njit(cache=True, nogil=True)
def _pop_step(head, cdf_tables, predictor, sums, predictions, t, o, ring, pixels, heads, words, tops):  # type: ignore[no-untyped-def]
    """Decodes the pixels of step t into `pixels` and the ring."""
    sigmoid, exponential, inverse = cdf_tables
    height, width, channels = pixels.shape
    mask, above = ring.shape[0] - 1, ring.shape[1] - height
    first, last = step_rows(t, height, width, o)
    weights, means, inverses = _mixture_buffers(head.components)
    differences, seen, levels, params = _block_buffers(channels, head.components, last - first)
    for c in range(channels):
        channel_parameters(head, sums, c, predictions, differences, seen, levels, params)
        lane = first % heads.size
        for i in range(last - first):
            mixture(params, i, exponential, inverse, weights, means, inverses)
            target = pop_target(heads[lane], PRECISION)
            value, start, freq = mixture_search(target, weights, means, inverses, sigmoid)
            # A lane that runs dry reads on in its neighbour's words; `decode_image` sees where the lanes ended.
            heads[lane], tops[lane] = pop_advance(heads[lane], words, tops[lane], start, freq, PRECISION)
            pixels[first + i, t - (first + i) * o, c] = value
            ring[t & mask, above + first + i, c] = value
            differences[c, i] = value - predictions[c, i]
            seen[c, i] = shown(predictor, differences[c, i])
            lane = lane + 1 if lane + 1 < heads.size else 0


@njit(inline="always")
def _mixture_buffers(components):  # type: ignore[no-untyped-def]
    """Weights, means and inverse scales of one distribution, int64 [K] each."""
    return np.empty(components, np.int64), np.empty(components, np.int64), np.empty(components, np.int64)


@njit(inline="always")
def _block_buffers(channels, components, n):  # type: ignore[no-untyped-def]
    """Differences, seen, levels and params for `channel_parameters`."""
    levels, params = np.empty(n, np.int32), np.empty(((2 + channels) * components, n), np.int32)
    return np.empty((channels, n), np.int32), np.empty((channels, n), np.int32), levels, params


@njit(cache=True, nogil=True)
def _push_all(starts, freqs, height, width, o, lanes):  # type: ignore[no-untyped-def]
    """Pushes all subpixels in reverse: heads uint64 [lanes], words uint32 [lanes, room], sizes int64 [lanes]."""
    channels = starts.shape[0]
    room = -(-height // lanes) * width * channels * PRECISION // 32 + 2
    heads = np.full(lanes, LOWEST, np.uint64)
    words = np.empty((lanes, room), np.uint32)
    sizes = np.zeros(lanes, np.int64)
    end = starts.shape[1]
    for t in range(width + (height - 1) * o - 1, -1, -1):
        first, last = step_rows(t, height, width, o)
        end -= last - first
        for c in range(channels - 1, -1, -1):
            for i in range(last - 1, first - 1, -1):
                lane, n = i % lanes, end + i - first
                heads[lane], sizes[lane] = push_symbol(
                    heads[lane], words[lane], sizes[lane], starts[c, n], freqs[c, n], PRECISION
                )
    return heads, words, sizes


def _payload(heads: NDArray[np.uint64], words: NDArray[np.uint32], sizes: NDArray[np.int64]) -> bytes:
    lengths = sizes[:-1].astype("<u4").tobytes()
    lanes = zip(heads, words, sizes, strict=True)
    return lengths + b"".join(
        head.astype("<u8").tobytes() + stack[:size].astype("<u4").tobytes() for head, stack, size in lanes
    )


def _lanes_of(payload: bytes, lanes: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32], Lengths, Lengths]:
    """Heads, all words, and where in them each lane begins and ends, checked against the payload."""
    at = 4 * (lanes - 1)
    rest, odd = divmod(len(payload) - at - 8 * lanes, 4)
    if rest < 0 or odd:
        raise CorruptError(f"the payload of {len(payload)} bytes cannot be {lanes} lanes")
    sizes = np.frombuffer(payload, "<u4", lanes - 1).astype(np.int64)
    sizes = np.append(sizes, rest - sizes.sum())
    if sizes[-1] < 0:
        raise CorruptError("the payload's lanes are longer than the payload")
    tops = np.cumsum(sizes)
    bases = tops - sizes
    heads, words = np.empty(lanes, np.uint64), np.empty(rest, np.uint32)
    for lane, (base, size) in enumerate(zip(bases.tolist(), sizes.tolist(), strict=True)):
        heads[lane] = np.frombuffer(payload, "<u8", 1, at)[0]
        words[base : base + size] = np.frombuffer(payload, "<u4", size, at + 8)
        at += 8 + 4 * size
    if (heads < LOWEST).any():
        raise CorruptError("a lane of the payload starts below the coder's lowest state")
    return heads, words, bases, tops
