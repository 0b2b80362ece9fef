"""Walks images of one size with a local model, one time step of the sheared order after the other (ShearLoC).

Every step's pixels are independent given the past, so the network sees them as one batch. The last few columns
of the sheared images are kept in a ring, where a step's pixels have their contexts at the same columns. The encoder
walks the same ring. With the `numba` engine threads share the pixels of each step, coding either way; the products of
other engines want larger batches, so their encoder takes many steps to a batch, and several batches at once.

What a step's pixels are is `orders.py`'s business, what their symbols are that of `symbols.py`, what becomes of these
that of `lanes.py`. Decoding without the shear, pixel by pixel or from gathered patches, is `gathered.py`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding.logistic import tables
from ...coding.message import Message
from ...errors import ShearlocError
from ...nets import barrier, engines, network
from ...nets.memory import Memory
from .context import look, repeated_predictions, side_by_side
from .model import LocalModel
from .orders import largest_step, shear, step_count, step_rows, step_sizes
from .past import Past, check_room, find_in_step, image_bytes, memory, past
from .symbols import intervals, pop

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
Frequencies = tuple[NDArray[np.uint32], NDArray[np.uint32]]

BATCH = 8192
"""Pixels that the encoder gives to the network at a time (or one step's, if that has more)."""
SPAN = 4096
"""Steps that the encoder gathers at most at a time."""
CHUNK = 64
"""Steps that the decoder does between two looks at whether the payload ran dry."""
LEAST = 32
"""Pixels of the largest step that are worth a thread of their own."""


def frequencies(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> Frequencies:
    """start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, N * H * W] in the order of coding."""
    pixels = np.require(pixels, np.uint8, ["C", "W"])  # a kernel would compile once more for an array that is read-only
    images, height, width, channels = pixels.shape
    engine = engines.choose(engine, pixels.size)
    walk = _Walk(model, images, height, width, CHUNK if engine == "numba" else SPAN)
    starts = np.empty((channels, images * height * width), np.uint32)
    freqs = np.empty_like(starts)
    encode = _encode_on_threads if engine == "numba" else _encode_in_batches
    for t in encode(model, walk, engine, pixels, starts, freqs):
        if progress:
            progress(t, walk.steps)
    return starts, freqs


def _encode_on_threads(
    model: LocalModel, walk: "_Walk", engine: str, pixels: Pixels, starts: NDArray[np.uint32], freqs: NDArray[np.uint32]
) -> Iterator[int]:
    """Fills `starts` and `freqs` a step at a time; gives the number of steps done now and then."""
    images, height, width, _ = pixels.shape
    ends = np.cumsum(step_sizes(images, height, width, walk.o))
    lanes = barrier.most_parts()

    def steps(*given: Any) -> None:
        _encode_steps(*given, lanes, pixels, ends, starts, freqs)  # type: ignore[call-arg]

    return _on_threads(model, walk, lanes, steps)


def _encode_in_batches(
    model: LocalModel, walk: "_Walk", engine: str, pixels: Pixels, starts: NDArray[np.uint32], freqs: NDArray[np.uint32]
) -> Iterator[int]:
    """The same with many steps to a batch, and several batches at once; of a model with convolutions one step."""
    images, height, width, _ = pixels.shape
    alone = len(model.neighbours) > 0
    rows = min(starts.shape[1], max(1 if alone else BATCH, images * walk.tallest))
    workers = 1 if alone else engines.workers(engine, starts.shape[1] // rows)
    spaces: SimpleQueue[_Space] = SimpleQueue()
    for _ in range(workers + 1 if workers > 1 else 1):
        spaces.put(_Space(model, walk.past, engine, rows))

    def work(space: "_Space", n: int, part: slice) -> None:
        try:
            sums, values, predictions = space.runner.run(n), space.values[:, :n], space.predictions[:, :n]
            found = starts[:, part], freqs[:, part]
            intervals(model.head, tables(), model.predictor, sums, values, predictions, *found)
        finally:
            spaces.put(space)

    done = t = 0
    jobs: deque[Future[None]] = deque()
    with engines.one_thread_each(engine, workers), ThreadPoolExecutor(workers) as pool:
        while t < walk.steps:
            space, stop = spaces.get(), t + (1 if alone else SPAN)
            inputs, begin = space.runner.inputs, t
            walk.move_to(t)
            where = (walk.ring, walk.origin, pixels, t, min(stop, walk.steps), walk.o, walk.runs, model.predictor)
            t, n = _gather_batch(*where, inputs, space.predictions, space.values)
            find_in_step(walk.past, begin, 0, n, space.runner.memory.places)
            if workers > 1:
                jobs.append(pool.submit(work, space, n, slice(done, done + n)))
            else:
                work(space, n, slice(done, done + n))
            done += n
            while jobs and jobs[0].done():
                jobs.popleft().result()
            yield t
    for job in jobs:
        job.result()


def pop_images(
    model: LocalModel,
    message: Message,
    size: tuple[int, int, int],
    engine: str,
    progress: Progress | None = None,
) -> Pixels:
    """Pops the uint8 [N, H, W, C] of size (N, H, W) whose `frequencies` were pushed.

    The message's lanes have tails of their own. Where it has too few bits it is dry then, and the pixels mean nothing.
    """
    images, height, width = size
    walk = _Walk(model, images, height, width, CHUNK)
    pixels = np.empty((*size, model.channels), np.uint8)
    engine = engines.choose(engine, pixels.size)
    decode = _decode_on_threads if engine == "numba" else _decode_step_by_step
    for t in decode(model, walk, message, engine, pixels):
        if message.dry:
            break
        if progress:
            progress(t, walk.steps)
    if progress:
        progress(walk.steps, walk.steps)
    return pixels


def _decode_step_by_step(
    model: LocalModel, walk: "_Walk", message: Message, engine: str, pixels: Pixels
) -> Iterator[int]:
    """Fills `pixels`; gives the number of steps done now and then."""
    images, height, width, _ = pixels.shape
    space = _Space(model, walk.past, engine, images * walk.tallest)
    lanes = message.arrays[0].size
    for t in range(walk.steps):
        if t % CHUNK == 0:
            walk.move_to(t)
        n = walk.size(t)
        values, predictions = space.values[:, :n], space.predictions[:, :n]
        inputs, ring, origin = space.runner.inputs, walk.ring, walk.origin
        _gather(ring, origin, height, width, t, walk.o, walk.runs, model.predictor, 0, n, inputs, predictions)
        find_in_step(walk.past, t, 0, n, space.runner.memory.places)
        sums = space.runner.run(n)
        pop(model.head, tables(), model.predictor, sums, predictions, values, message.arrays, n, 0, lanes)
        _scatter(values, t, walk.o, 0, n, ring, origin, pixels)
        if t % CHUNK == CHUNK - 1:
            yield t


def _decode_on_threads(
    model: LocalModel, walk: "_Walk", message: Message, engine: str, pixels: Pixels
) -> Iterator[int]:
    """The same for the `numba` engine: each thread takes some of the lanes."""

    def steps(*given: Any) -> None:
        _decode_steps(*given, message.arrays, pixels)  # type: ignore[call-arg]

    return _on_threads(model, walk, message.arrays[0].size, steps)


def _on_threads(model: LocalModel, walk: "_Walk", lanes: int, do: Callable[..., None]) -> Iterator[int]:
    """Has each thread do its lanes' part of all steps, and wait for the others at every one; gives the steps done.

    `do` gets what the kernels below begin with: the model, a thread's own buffers, the steps and the rings, the
    thread's share (its first lane, one past its last, and the number of threads) and the counter that they wait with.
    """
    most = walk.ring.shape[0] * walk.tallest
    parts = max(1, min(lanes, barrier.most_parts(), most // LEAST))
    shares = [lanes * part // parts for part in range(parts + 1)]
    rows = max(most * (last - first) // lanes + 1 for first, last in pairwise(shares))
    packed = network.packed(model.layers)
    shape = model.channels, rows
    spaces = [
        (
            np.zeros((rows, packed.features), np.int8),
            np.empty(shape, np.int32),
            np.empty(shape, np.int32),
            memory(walk.past, rows),
            network.buffers(packed, rows),
        )
        for _ in range(parts)
    ]
    arrived = np.zeros(1, np.int64)
    model_arrays = (packed, model.head, tables(), walk.runs, model.predictor)
    with ThreadPoolExecutor(max(1, parts - 1)) as pool:
        for begin in range(0, walk.steps, CHUNK):
            end = min(begin + CHUNK, walk.steps)
            arrived[0] = 0
            walk.move_to(begin)

            def chunk(part: int, begin: int = begin, end: int = end) -> None:
                where = (begin, end, walk.o, walk.ring, walk.origin, walk.past)
                with barrier.all_together(arrived):
                    do(model_arrays, spaces[part], where, (shares[part], shares[part + 1], parts), arrived)

            with barrier.all_together(arrived):
                jobs = [pool.submit(chunk, part) for part in range(1, parts)]
                chunk(0)
            for job in jobs:
                job.result()
            yield end


@njit(cache=True, nogil=True)
def _decode_steps(model, space, where, share, arrived, message, pixels):  # type: ignore[no-untyped-def]
    """Decodes one thread's lanes of the steps begin .. end - 1, in step with the others. Arguments: `_on_threads`."""
    begin, end, o, ring, origin, _ = where
    first_lane, last_lane, parts = share
    _, head, cdf_tables, _, predictor = model
    _, predictions, values, _, buffers = space
    images, height, width = pixels.shape[:3]
    lanes = message[0].size
    for t in range(begin, end):
        _, _, size, start, stop = _part(t, images, height, width, o, share, lanes)
        if start < stop:
            _expect(model, space, where, height, width, t, start, stop)
            pop(head, cdf_tables, predictor, buffers[-1], predictions, values, message, size, first_lane, last_lane)
            _scatter(values, t, o, start, stop, ring, origin, pixels)
        if parts > 1:
            barrier.wait(arrived, parts * (t - begin + 1))


@njit(cache=True, nogil=True)
def _encode_steps(model, space, where, share, arrived, lanes, pixels, ends, starts, freqs):  # type: ignore[no-untyped-def]
    """Frequencies of one thread's pixels of the steps begin .. end - 1, as `_decode_steps`; `ends`: of the steps' parts
    of `starts` and `freqs`."""
    begin, end, o, ring, origin, _ = where
    _, _, parts = share
    _, head, cdf_tables, _, predictor = model
    _, predictions, values, _, buffers = space
    images, height, width, channels = pixels.shape
    for t in range(begin, end):
        first, last, size, start, stop = _part(t, images, height, width, o, share, lanes)
        if start < stop:
            _expect(model, space, where, height, width, t, start, stop)
            for q in range(start, stop):
                image, i = q // (last - first), first + q % (last - first)
                for c in range(channels):
                    value = pixels[image, i, t - i * o, c]
                    _keep(ring, t, image, origin + i, c, value)
                    values[c, q - start] = value
            n, place = stop - start, ends[t] - size
            found = slice(place + start, place + stop)
            intervals(
                head, cdf_tables, predictor, buffers[-1], values[:, :n], predictions, starts[:, found], freqs[:, found]
            )
        if parts > 1:
            barrier.wait(arrived, parts * (t - begin + 1))


@njit(inline="always")
def _part(t, images, height, width, o, share, lanes):  # type: ignore[no-untyped-def]
    """A step's first row and one past its last, its pixels, and the first and one past the last of a thread's share."""
    first, last = step_rows(t, height, width, o)
    size = images * (last - first)
    return first, last, size, size * share[0] // lanes, size * share[1] // lanes


@njit(inline="always")
def _expect(model, space, where, height, width, t, start, stop):  # type: ignore[no-untyped-def]
    """The network's outputs, and the predictions, for the pixels start .. stop - 1 of step t, into a thread's space."""
    _, _, o, ring, origin, ring_of_features = where
    packed, _, _, runs, predictor = model
    inputs, predictions, _, kept, buffers = space
    _gather(ring, origin, height, width, t, o, runs, predictor, start, stop, inputs, predictions)
    find_in_step(ring_of_features, t, start, stop, kept.places)
    network.run(packed, inputs, stop - start, kept, *buffers)


class _Walk:
    """Geometry of a walk over N images, and the ring: uint8 [N, rows kept, 2 x columns kept, C].

    Image row i is row origin + i of the ring. Column t of the sheared image is there twice, at t modulo the columns
    kept and as many further on, so that what a pixel looks at in a row lies in one piece. There is room for the rows
    that `span` steps have pixels in, and those above that they look at; `move_to` lets the others go.
    """

    def __init__(self, model: LocalModel, images: int, height: int, width: int, span: int) -> None:
        self.o = shear(model.offsets)
        self.runs = side_by_side(model.offsets)
        self.steps = step_count(height, width, self.o)
        self.tallest = largest_step(height, width, self.o)
        self._size = height, width
        self._images = images
        self.past = past(model, images, height, width, self.o)
        self._above, rows, columns = _ring_extent(model, height, width, self.o, span)
        self.origin = self._above
        check_room(images * rows * 2 * columns * model.channels)
        self.ring = np.zeros((images, rows, 2 * columns, model.channels), np.uint8)

    def size(self, t: int) -> int:
        """Pixels of step t."""
        first, last = step_rows(t, *self._size, self.o)
        return self._images * (last - first)

    def move_to(self, t: int) -> None:
        """Makes room for the steps t .. t + span - 1; to be called before them, for no t twice further than a span."""
        first, _ = step_rows(t, *self._size, self.o)
        gone = first + self.origin - self._above
        rows = self.ring.shape[1]
        if gone > 0 and rows < self._above + self._size[0]:
            self.ring[:, : rows - gone] = self.ring[:, gone:].copy()
            self.origin -= gone


def _ring_extent(model: LocalModel, height: int, width: int, o: int, span: int) -> tuple[int, int, int]:
    """Rows above that a pixel looks at, and rows and columns of the ring of a walk, `span` steps at a time."""
    back, above = (int((-model.offsets @ np.array(step)).max()) for step in ((o, 1), (1, 0)))
    # One column more than is looked back at: it is filled while other threads still read the oldest.
    columns = 1 << (back + 1).bit_length()
    return above, above + min(height, -(-width // o) + (span + columns) // o + 2), columns


def room(model: LocalModel, images: int, height: int, width: int) -> int:
    """About how many bytes of memory coding images of one size takes with the `numba` engine, besides the images."""
    o = shear(model.offsets)
    _, rows, columns = _ring_extent(model, height, width, o, CHUNK)
    step = largest_step(height, width, o) * 4 * max(layer.weight.shape[1] for layer in model.layers)
    return images * (rows * 2 * columns * model.channels + image_bytes(model, height, width, o) + step)


class _Space:
    """What one thread needs for up to `rows` pixels: a runner, and room for predictions and values int32 [C, rows]."""

    def __init__(self, model: LocalModel, ring: Past, engine: str, rows: int) -> None:
        self.runner = open_runner(engine, model, rows, memory(ring, rows))
        self.predictions = np.empty((model.channels, rows), np.int32)
        self.values = np.empty_like(self.predictions)


def open_runner(engine: str, model: LocalModel, rows: int, kept: Memory) -> engines.Runner:
    """`engines.runner`, or a ShearlocError that says what to do where the engine is not there."""
    with at_hand(engine):
        return engines.runner(engine, model.layers, rows, kept)


@contextmanager
def at_hand(engine: str) -> Iterator[None]:
    """Turns what goes wrong where an engine is not installed, or has no device, into a ShearlocError."""
    try:
        yield
    except (ImportError, RuntimeError, AssertionError) as error:  # torch raises the latter two without CUDA
        raise ShearlocError(f"the engine '{engine}' is not available here ({error}); use --engine numpy") from error


@njit(cache=True, nogil=True)
def _gather(ring, origin, height, width, t, o, runs, predictor, begin, end, inputs, predictions):  # type: ignore[no-untyped-def]
    """Inputs [end - begin, features] and predictions [C, end - begin] of the pixels begin .. end - 1 of step t."""
    rows, columns, channels = ring.shape[1:]
    first, last = step_rows(t, height, width, o)
    flat, repeated = ring.reshape(-1), repeated_predictions(runs, channels)
    half = columns // 2
    for q in range(begin, end):
        image, i = q // (last - first), first + q % (last - first)
        place = ((image * rows + origin + i) * columns + half + t % half) * channels
        below = (columns + o) * channels  # the pixel below comes o steps later
        look(flat, place, below, i, t - i * o, width, runs, predictor, inputs, predictions, q - begin, repeated)


@njit(cache=True, nogil=True)
def _gather_batch(ring, origin, pixels, t, stop, o, runs, predictor, inputs, predictions, values):  # type: ignore[no-untyped-def]
    """`_gather` for as many steps as fit into `inputs`, of images that are known; (end step, pixels).

    Also the pixels themselves: `values` int32 [C, rows].
    """
    images, height, width, channels = pixels.shape
    done = 0
    while t < stop:
        first, last = step_rows(t, height, width, o)
        size = images * (last - first)
        if done + size > inputs.shape[0]:
            break
        _gather(ring, origin, height, width, t, o, runs, predictor, 0, size, inputs[done:], predictions[:, done:])
        for image in range(images):
            for i in range(first, last):
                for c in range(channels):
                    value = pixels[image, i, t - i * o, c]
                    _keep(ring, t, image, origin + i, c, value)
                    values[c, done + image * (last - first) + i - first] = value
        done += size
        t += 1
    return t, done


@njit(inline="always")
def _keep(ring, t, image, row, c, value):  # type: ignore[no-untyped-def]
    """Puts one level into column t of the ring."""
    half = ring.shape[2] // 2
    ring[image, row, t % half, c] = value
    ring[image, row, half + t % half, c] = value


@njit(cache=True, nogil=True)
def _scatter(values, t, o, begin, end, ring, origin, pixels):  # type: ignore[no-untyped-def]
    """Puts the decoded values int32 [C, end - begin] of the pixels begin .. end - 1 of step t where they belong."""
    height, width, channels = pixels.shape[1:]
    first, last = step_rows(t, height, width, o)
    for q in range(begin, end):
        image, i = q // (last - first), first + q % (last - first)
        for c in range(channels):
            _keep(ring, t, image, origin + i, c, values[c, q - begin])
            pixels[image, i, t - i * o, c] = values[c, q - begin]
