"""Codes images of one size with networks that learn from every step of the wavefront: both ways the same walk.

Where there are several networks ("experts") each learns by itself, and the coder has the mean of their distributions.

At each step threads do their lanes' pixels: contexts, forwards, channel by channel the distributions and the values (of
which the decoder pops each, and the encoder knows all), the gradients, backwards. Then they meet, change the weights
together, and meet again. The encoder keeps every value's interval, and pushes all of them at the end, in reverse.

    payload: `lanes.encode` of the intervals in the order of coding
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit
from shearloc.codec import lanes as stream
from shearloc.codec import parallel
from shearloc.codec.cdf import PRECISION, mixture, mixture_cdf, mixture_search, tables
from shearloc.codec.orders import largest_step, shear, step_count, step_rows, step_sizes
from shearloc.codec.rans import pop_advance, pop_target
from shearloc.models.context import look, repeated_predictions, shown, side_by_side

from . import learner
from .gradient import mixture_gradient
from .learner import COLUMN
from .model import MOST_PIXELS, Start
from .tiles import sums_onto

LIMIT = np.int32(1 << 15)
COEFFICIENT_LIMIT = np.int32(8 << learner.COEFFICIENT_BITS)
LEAST = 16
"""Pixels of the largest step that are worth a thread of their own."""


class Codec:
    """`encode` and `decode` of images uint8 [N, H, W, C] with one start, or several experts'."""

    def __init__(self, *starts: Start, threads: int | None = None) -> None:
        for start in starts:
            start.prove()
        if len({(s.channels, s.predictor, s.steps.every, s.offsets.tobytes()) for s in starts}) != 1:
            raise ValueError("experts must see the same contexts and learn at the same steps")
        self.starts, self.threads = starts, threads or parallel.most_parts()

    @property
    def start(self) -> Start:
        """The first expert."""
        return self.starts[0]

    def encode(self, images):
        """The payload of uint8 [N, H, W, C]."""
        starts, freqs = self.frequencies(images)
        count, height, width, _ = images.shape
        o = shear(self.start.offsets)
        return stream.encode(starts, freqs, step_sizes(count, height, width, o), self._lanes(images.shape))

    def frequencies(self, images):
        """start and freq of every subpixel, uint32 [C, N H W] in the order of coding."""
        images = np.require(images, np.uint8, ["C", "W"])
        starts, freqs = (np.empty((images.shape[3], images[..., 0].size), np.uint32) for _ in range(2))
        nothing = np.zeros(1, np.uint64), np.zeros(1, np.uint32), np.zeros(1, np.int64)
        self._walk(images, self._lanes(images.shape), True, starts, freqs, nothing)
        return starts, freqs

    def decode(self, payload: bytes, size: tuple[int, int, int]):
        """The uint8 [N, H, W, C] of size (N, H, W). CorruptError if the payload cannot be theirs."""
        images = np.zeros((*size, self.start.channels), np.uint8)
        stacks = stream.Stacks(payload, self._lanes(images.shape))
        none = np.empty((1, 1), np.uint32)
        self._walk(images, self._lanes(images.shape), False, none, none, stacks.arrays, stacks)
        stacks.finish()
        return images

    def _lanes(self, shape) -> int:
        return stream.lane_count(shape[0] * shape[1], int(np.prod(shape)))

    def _walk(self, images, lanes, encoding, starts, freqs, stacks, opened=None):
        """All steps on all threads."""
        count, height, width, channels = images.shape
        o = shear(self.start.offsets)
        most = count * largest_step(height, width, o)
        parts = max(1, min(lanes, self.threads, most // LEAST))
        shares = [lanes * part // parts for part in range(parts + 1)]
        rows = max(most * (last - first) // lanes + 1 for first, last in pairwise(shares))
        shapes = [learner.fixed(start) for start in self.starts]
        states = [learner.begin(start, parts) for start in self.starts]
        rooms = [[learner.space(start, rows) for start in self.starts] for _ in range(parts)]
        runs = side_by_side(self.start.offsets)
        sizes = step_sizes(count, height, width, o)
        ends = np.cumsum(sizes)
        steps, arrived = step_count(height, width, o), np.zeros(1, np.int64)
        every = self.start.steps.every
        chunk = 64 * every

        def work(part: int, begin: int, end: int) -> None:
            with parallel.all_together(arrived):
                where = (begin, end, o, every)
                share = (part, parts, shares[part], shares[part + 1], lanes)
                networks = tuple(zip(shapes, states, rooms[part], strict=True))
                _steps(
                    networks, (tables(), runs, self.start.predictor), where, share, arrived,
                    encoding, images, ends, starts, freqs, stacks,
                )  # fmt: skip

        with ThreadPoolExecutor(max(1, parts - 1)) as pool:
            for begin in range(0, steps, chunk):
                end = min(begin + chunk, steps)
                arrived[0] = 0
                with parallel.all_together(arrived):
                    jobs = [pool.submit(work, part, begin, end) for part in range(1, parts)]
                    work(0, begin, end)
                for job in jobs:
                    job.result()
                if opened is not None and opened.dry:
                    break


@njit(cache=True, nogil=True, error_model="numpy")
def _steps(networks, context, where, share, arrived, encoding, images, ends, starts, freqs, stacks):  # type: ignore[no-untyped-def]
    """One thread's part of the steps begin .. end - 1, of which `every` make an update, begun and ended together."""
    room = networks[0][2]
    cdf_tables, runs, predictor = context
    begin, end, o, every = where
    part, parts, first_lane, last_lane, lanes = share
    count, height, width, channels = images.shape
    flat, repeated = images.reshape(-1), repeated_predictions(runs, channels)
    predictions, differences = np.empty((channels, room.sums.shape[0]), np.int32), np.empty(channels, np.int32)
    work = _work(networks)
    goal, used = 0, 0
    for t in range(begin, end):
        first, last = step_rows(t, height, width, o)
        size = count * (last - first)
        start, stop = size * first_lane // lanes, size * last_lane // lanes
        n = stop - start
        if n:
            for q in range(start, stop):
                image, i = q // (last - first), first + q % (last - first)
                place = ((image * height + i) * width + t - i * o) * channels
                look(flat, place, width * channels, i, t - i * o, width, runs, predictor, room.inputs, predictions, q - start, repeated)
            for e in range(len(networks)):
                shape, state, own = networks[e]
                _copy(room.inputs, n, own.inputs)
                learner.forwards(shape, state, own, n)
            _code(
                networks, cdf_tables, predictor, predictions, work, (t, o, first, last, start, stop, size, first_lane, last_lane, lanes),
                encoding, images, ends[t] - size, starts, freqs, stacks,
            )  # fmt: skip
        # Of an update's pixels in their order only so many count.
        counting = min(max(MOST_PIXELS - used - start, 0), n)
        used = min(used + size, MOST_PIXELS)
        for e in range(len(networks)):
            shape, state, own = networks[e]
            learner.backwards(shape, state, own, counting, part, (t - begin) % every == 0)
        if (t - begin) % every == every - 1 or t == end - 1:
            used = 0
            goal = _update(networks, part, parts, arrived, goal)


@njit(cache=True, nogil=True, error_model="numpy")
def _update(networks, part, parts, arrived, goal):  # type: ignore[no-untyped-def]
    """A thread's share of an update, which all threads begin and end together; what they next meet at."""
    goal = _meet(parts, arrived, goal)
    for e in range(len(networks)):
        shape, state, _ = networks[e]
        for k in range(shape.plan.shape[0]):
            inputs = shape.plan[k, learner.WIDTH] + 1
            first = _even(inputs * part // parts)
            last = _even(inputs * (part + 1) // parts) if part < parts - 1 else inputs
            learner.adam(shape, state, k, first, last)
            learner.round_rows(shape, state, k, first, last)
    goal = _meet(parts, arrived, goal)
    for e in range(len(networks)):
        shape, state, _ = networks[e]
        if part == 0:
            learner.new_peaks(state)
            learner.rescale(shape, state)
            learner.advance(shape, state)
    goal = _meet(parts, arrived, goal)
    for e in range(len(networks)):
        shape, state, _ = networks[e]
        learner.round_backward(shape, state, part, parts)
    return _meet(parts, arrived, goal)


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(inputs, n, out):  # type: ignore[no-untyped-def]
    """The first n rows."""
    for i in range(n):
        for j in range(inputs.shape[1]):
            out[i, j] = inputs[i, j]


@njit(inline="always")
def _meet(parts, arrived, goal):  # type: ignore[no-untyped-def]
    if parts > 1:
        parallel.wait(arrived, goal + parts)
    return goal + parts


@njit(inline="always")
def _even(number):  # type: ignore[no-untyped-def]
    return number // 2 * 2


@njit(inline="always")
def _work(networks):  # type: ignore[no-untyped-def]
    """Scratch of `_code`: parameters of a lane's pixels, by expert; a mixture's numbers; what heads see."""
    wide = components = 0
    for e in range(len(networks)):
        wide = max(wide, networks[e][0].shifts.shape[1])
        components += networks[e][0].sizes[2]
    rows, channels = networks[0][2].sums.shape[0], networks[0][0].sizes[3]
    return (
        np.empty((len(networks), rows, wide), np.int32),
        np.empty((4, components), np.int64),
        np.empty((components, 3), np.int64),
        np.empty((channels, rows), np.int32),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _channel_parameters(shape, room, c, begin, n, predictions, differences, seen_of, params):  # type: ignore[no-untyped-def]
    """Mixture parameters int32 params[:n] of channel c of the pixels begin .. begin + n - 1, given the earlier channels."""
    parameters, units, components, channels = shape.sizes
    count, first = (3 + c) * components, components * (3 * c + c * (c - 1) // 2)
    for i in range(n):
        row, sums = params[i], room.sums[begin + i, first : first + count]
        for j in range(count):
            row[j] = sums[j]
        row[count:] = 0
    if c > 0 and units:
        _head_units(shape, room, c, begin, n, seen_of)
        packed = shape.packed[c - 1]
        sums_onto(
            np.int64(room.units.ctypes.data) + ((c - 1) * room.units.shape[1] + begin) * room.units.shape[2] * 2,
            2 * room.units.shape[2], 4, np.int64(packed.ctypes.data), 4 * packed.shape[1], units // 2,
            n, packed.shape[1], np.int64(params.ctypes.data), 4 * params.shape[1], 0, 0,
        )  # fmt: skip
    shifts = shape.shifts[c]
    for i in range(n):
        row = params[i]
        for j in range(shifts.size):
            half = np.int32(1) << np.int32(shifts[j] - np.int32(1))
            row[j] = min(max(np.int32(row[j] + half) >> shifts[j], -LIMIT), LIMIT)
        shifted, prediction = row[components : 2 * components], np.int32(64) * predictions[c, begin + i]
        for j in range(components):
            shifted[j] += prediction
        for e in range(c):
            difference, coefficients = differences[e, begin + i], row[(3 + e) * components : (4 + e) * components]
            for j in range(components):
                coefficient = min(max(coefficients[j], -COEFFICIENT_LIMIT), COEFFICIENT_LIMIT)
                shifted[j] += np.int32(np.int32(coefficient * difference) + np.int32(2)) >> np.int32(2)


@njit(cache=True, nogil=True, error_model="numpy")
def _head_units(shape, room, c, begin, n, seen_of):  # type: ignore[no-untyped-def]
    """Levels of the units of channel c's head, which have seen the earlier channels of the pixels."""
    parameters, units, _, _ = shape.sizes
    bits = np.int32(shape.plan[shape.plan.shape[0] - 1, learner.BITS])
    base, half = parameters + (c - 1) * units, np.int32(1) << np.int32(bits - np.int32(1))
    for i in range(n):
        sums, levels = room.sums[begin + i, base : base + units], room.units[c - 1, begin + i]
        for e in range(c):
            learn, seen = shape.learn[c - 1, e], seen_of[e, i]
            for u in range(units):
                sums[u] += np.int32(learn[u] * seen)
        for u in range(units):
            levels[u] = np.int16(min(max(np.int32(sums[u] + half) >> bits, np.int32(0)), np.int32(255)))


@njit(cache=True, nogil=True, error_model="numpy")
def _code(networks, cdf_tables, predictor, predictions, work, where, encoding, images, place, starts, freqs, stacks):  # type: ignore[no-untyped-def]
    """Values and gradients of a thread's pixels of a step: the intervals to `starts` and `freqs`, or values popped."""
    sigmoid, exponential, inverse = cdf_tables
    params, numbers, masses, seen = work
    weights, means, inverses, shares = numbers
    t, o, first, last, start, stop, size, first_lane, last_lane, lanes = where
    heads, words, tops = stacks
    channels, experts = images.shape[3], len(networks)
    differences = np.empty((channels, stop - start), np.int32)
    for lane in range(first_lane, last_lane):
        lane_end = size * (lane + 1) // lanes - start
        begin = size * lane // lanes - start
        if begin < lane_end:
            n = lane_end - begin
            for c in range(channels):
                for e in range(experts):
                    shape, _, room = networks[e]
                    _channel_parameters(shape, room, c, begin, n, predictions, differences, seen, params[e])
                for i in range(n):
                    place_of = 0
                    for e in range(experts):
                        here = slice(place_of, place_of + networks[e][0].sizes[2])
                        mixture(params[e, i], exponential, inverse, weights[here], means[here], inverses[here])
                        place_of = here.stop
                    for k in range(shares.size):
                        shares[k] = np.uint64(weights[k]) // np.uint64(experts)
                    q = start + begin + i
                    image, row = q // (last - first), first + q % (last - first)
                    if encoding:
                        value = np.int64(images[image, row, t - row * o, c])
                        low = mixture_cdf(value, shares, means, inverses, sigmoid)
                        starts[c, place + q] = low
                        freqs[c, place + q] = mixture_cdf(value + 1, shares, means, inverses, sigmoid) - low
                    else:
                        target = pop_target(heads[lane], PRECISION)
                        value, low, freq = mixture_search(target, shares, means, inverses, sigmoid)
                        # A lane that runs dry reads on in its neighbour's words; `Stacks` sees where the lanes ended.
                        heads[lane], tops[lane] = pop_advance(heads[lane], words, tops[lane], low, freq, PRECISION)
                        images[image, row, t - row * o, c] = value
                    difference = np.int32(value) - predictions[c, begin + i]
                    differences[c, begin + i], seen[c, i] = difference, shown(predictor, difference)
                    place_of = 0
                    for e in range(experts):
                        shape, _, room = networks[e]
                        components = shape.sizes[2]
                        here = slice(place_of, place_of + components)
                        place_of += components
                        base = shape.plan[shape.plan.shape[0] - 1, COLUMN] + components * (3 * c + c * (c - 1) // 2)
                        _gradient(
                            value, c, components, params[e, i], weights[here], means[here], inverses[here], sigmoid, masses,
                            differences[:, begin + i], room.gradients[begin + i, base:],
                        )  # fmt: skip


@njit(inline="always")
def _gradient(value, c, components, params, weights, means, inverses, sigmoid, masses, differences, out):  # type: ignore[no-untyped-def]
    """Derivatives by all of a channel's parameters: also by the coefficients, which shift the means."""
    mixture_gradient(value, params[2 * components :], weights, means, inverses, sigmoid, masses, out)
    for e in range(c):
        difference = np.float32(differences[e])
        for k in range(components):
            out[(3 + e) * components + k] = out[components + k] * np.float32(0.0625) * difference
