"""Walks images of one size with a local model, one time step of the sheared order after another (ShearLoC).

Every step's pixels are independent given the past, so the network sees them as one batch. A ring keeps the last few
columns of the sheared images, where a step's pixels have their contexts at the same columns. With the `numba` engine,
threads share each step's pixels, encoding and decoding. The products of other engines want larger batches, so their
encoder takes many steps to a batch, and several batches at once.

`orders.py` lists a step's pixels, `steps.py` processes them, `symbols.py` gives their symbols. `gathered.py` decodes
without the shear, pixel by pixel or from gathered patches.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...coding import lanes as stream
from ...coding.message import Message
from ...errors import no_engine
from ...kernels import blank
from ...nets import barrier, engines, network
from ...nets.convolution import Neighbourhood
from ...types import Pixels, Progress
from ..wavefront.coder import BLOCK, Coder, measuring, popping
from . import symbols as coding
from .model import LocalModel
from .past import Walk, exchange, find_in_step, gather, neighbourhood
from .steps import Net, Space, kernels, walk_steps

Frequencies = tuple[NDArray[np.uint32], NDArray[np.uint32]]

BATCH = 8192
"""Pixels that the encoder gives to the network at a time (or those of one step, if it has more)."""
SPAN = 4096
"""Most steps that an encoder of batches gathers at a time."""
CHUNK = 64
"""Steps between two checks whether the payload ran dry."""
LEAST = 32
"""Pixels of the largest step that justify a thread of their own."""


def frequencies(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> Frequencies:
    """start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, N * H * W] in the order of coding."""
    pixels = np.require(pixels, np.uint8, ["C", "W"])  # a kernel would compile once more for an array that is read-only
    images, height, width, channels = pixels.shape
    engine = engines.choose(engine, pixels.size)
    starts = np.empty((channels, images * height * width), np.uint32)
    freqs = np.empty_like(starts)
    coder = measuring(starts, freqs)
    if engine == "numba":
        lanes = stream.lane_count(images * height, pixels.size)
        done = _on_threads(model, Walk(model, images, height, width, CHUNK), False, coder, lanes, pixels)
    else:
        done = _encode_in_batches(model, Walk(model, images, height, width, SPAN), engine, coder, pixels)
    for t, steps in done:
        if progress:
            progress(t, steps)
    return starts, freqs


def _encode_in_batches(
    model: LocalModel, walk: Walk, engine: str, coder: Coder, pixels: Pixels
) -> Iterator[tuple[int, int]]:
    """Fills the coder's intervals, many steps to a batch and several batches at once, or step by step.

    Yields the number of steps done now and then, and at the end the number of all.
    """
    count = coder.starts.shape[1]
    rows = min(count, max(1 if model.stepwise else BATCH, walk.largest))
    workers = 1 if model.stepwise else engines.workers(engine, count // rows)
    spaces: SimpleQueue[_Batch] = SimpleQueue()
    for _ in range(workers + 1 if workers > 1 else 1):
        spaces.put(_Batch(model, walk, engine, rows))

    def work(batch: _Batch, n: int, done: int) -> None:
        try:
            batch.code(False, coder, n, -(-n // BLOCK), done)
        finally:
            spaces.put(batch)

    done = t = 0
    jobs: deque[Future[None]] = deque()
    with engines.one_thread_each(engine, workers), ThreadPoolExecutor(workers) as pool:
        while t < walk.steps:
            batch, n, stop = spaces.get(), 0, min(t + (1 if model.stepwise else SPAN), walk.steps)
            walk.move_to(t)
            while t < stop and n + walk.size(t) <= rows:
                batch.look(walk, t, n)
                exchange(False, batch.values, n, t, 0, walk.size(t), walk.past, pixels)
                n += walk.size(t)
                t += 1
            if workers > 1:
                jobs.append(pool.submit(work, batch, n, done))
            else:
                work(batch, n, done)
            done += n
            while jobs and jobs[0].done():
                jobs.popleft().result()
            yield t, walk.steps
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

    The message's lanes have tails of their own. If it has too few bits, it ends dry and the pixels mean nothing.
    """
    images, height, width = size
    walk = Walk(model, images, height, width, CHUNK)
    pixels = np.empty((*size, model.channels), np.uint8)
    engine = engines.choose(engine, pixels.size)
    if engine == "numba":
        done = _on_threads(model, walk, True, popping(message), message.lanes, pixels)
    else:
        done = _decode_step_by_step(model, walk, engine, popping(message), message.lanes, pixels)
    with engines.one_thread_each(engine, 1):
        for t, steps in done:
            if message.dry:
                break
            if progress:
                progress(t, steps)
    if progress:
        progress(walk.steps, walk.steps)
    return pixels


def _decode_step_by_step(
    model: LocalModel, walk: Walk, engine: str, coder: Coder, lanes: int, pixels: Pixels
) -> Iterator[tuple[int, int]]:
    """Fills `pixels`; yields the number of steps done now and then, and at the end the number of all."""
    batch = _Batch(model, walk, engine, walk.largest)
    for t in range(walk.steps):
        if t % CHUNK == 0:
            walk.move_to(t)
            if t:
                yield t, walk.steps
        batch.look(walk, t, 0)
        batch.code(True, coder, walk.size(t), lanes, 0)
        exchange(True, batch.values, 0, t, 0, walk.size(t), walk.past, pixels)


def _on_threads(
    model: LocalModel, walk: Walk, decoding: bool, coder: Coder, lanes: int, pixels: Pixels
) -> Iterator[tuple[int, int]]:
    """Has each thread do its lanes' part of all steps; yields the number of steps done now and then."""
    most = walk.largest
    parts = barrier.most_parts(min(lanes, most // LEAST))
    shares = [(lanes * part // parts, lanes * (part + 1) // parts, parts) for part in range(parts)]
    net = Net(network.packed(model.arranged), walk.context, coding.symbols(model))
    rows = max(most * (last - first) // lanes + 1 for first, last, _ in shares)
    spaces = [_space(model, walk, net, rows, most // lanes + 1) for _ in shares]
    calls = kernels(net, spaces[0], walk.past, coder, pixels)
    with barrier.together(parts) as run:
        for begin in range(0, walk.steps, CHUNK):
            end = min(begin + CHUNK, walk.steps)
            walk.move_to(begin)
            where = begin, end, walk.before(begin), net

            def chunk(part: int, arrived: NDArray[np.int64], where: tuple[Any, ...] = where) -> None:
                mine = spaces[part], walk.past, coder, shares[part], lanes
                walk_steps(calls, decoding, *where, *mine, arrived, pixels)

            run(chunk)
            yield end, walk.steps


def _space(model: LocalModel, walk: Walk, net: Net, rows: int, most: int) -> Space:
    """Room for a thread that has up to `rows` pixels of a step, and `most` of a lane."""
    shape = model.channels, rows
    return Space(
        blank((rows, net.network.features), np.int8),
        np.empty(shape, np.int32),
        np.empty(shape, np.int32),
        np.empty((rows, net.network.outputs), np.int32),
        neighbourhood(walk.past, rows),
        network.buffers(net.network),
        coding.room(model, most),
    )


class _Batch:
    """What one thread needs for up to `rows` pixels with an engine that is called from Python."""

    def __init__(self, model: LocalModel, walk: Walk, engine: str, rows: int) -> None:
        self._runner = open_runner(engine, model, rows, neighbourhood(walk.past, rows))
        self._symbols, self._room = coding.symbols(model), coding.room(model, rows)
        self._predictions = np.empty((model.channels, rows), np.int32)
        self.values = np.empty_like(self._predictions)

    def look(self, walk: Walk, t: int, at: int) -> None:
        """Takes in what step t's pixels see; they are the batch's from `at` on."""
        n, places = walk.size(t), self._runner.neighbourhood.places
        gather(walk.past, t, walk.context, 0, n, at, self._runner.inputs, self._predictions)
        find_in_step(walk.past, t, 0, n, places[at:])

    def code(self, decoding: bool, coder: Coder, n: int, lanes: int, done: int) -> None:
        """Has the network run for the first n pixels, and `symbols.code` with their values."""
        sums = self._runner.run(n)
        coding.code(
            *(decoding, self._symbols, coder, n, 0, lanes, lanes, done),
            *(sums, self._predictions, self.values, self._room),
        )


def open_runner(engine: str, model: LocalModel, rows: int, neighbourhood: Neighbourhood) -> engines.Runner:
    """`engines.runner`; a ShearlocError that says what to do if the engine is not installed."""
    with at_hand(engine):
        return engines.runner(engine, model.arranged, rows, neighbourhood)


@contextmanager
def at_hand(engine: str) -> Iterator[None]:
    """Turns the errors of an engine that is not installed, or has no device, into a ShearlocError."""
    try:
        yield
    except (ImportError, RuntimeError, AssertionError) as error:  # torch raises the latter two without CUDA
        raise no_engine(engine, error) from error
