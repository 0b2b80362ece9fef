"""Walks images of one size with a local model, one time step of the sheared order after another (ShearLoC).

Every step's pixels are independent given the past, so the network sees them as one batch. With the `numba` engine,
threads that decode share each step's pixels, and wait for those whose rows are above their own. An encoder knows all
pixels, so its threads wait for nobody: each takes a few steps or some of their lanes, whatever comes next. Only
convolutions need the steps in order. The products of other engines want larger batches, so their encoder takes many
steps to a batch, several batches at once.

`orders.py` lists a step's pixels, `steps.py` processes them, `symbols.py` gives their symbols. `gathered.py` decodes
without the shear, pixel by pixel or from gathered patches.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from operator import length_hint
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
from ...nets.processors import processors
from ...types import Pixels, Progress
from ..wavefront.coder import BLOCK, Coder, measuring, popping
from ..wavefront.pixels import blank_pixels, surrounded
from . import symbols as coding
from .model import LocalModel
from .past import Walk, find_in_step, neighbourhood
from .steps import Net, Space, exchange, gather, kernels, walk_steps

Frequencies = tuple[NDArray[np.uint32], NDArray[np.uint32]]

BATCH = 8192
"""Pixels that the encoder gives to the network at a time (or those of one step, if it has more)."""
CHUNK = 64
"""Fewest steps between two checks whether the payload ran dry."""
CHUNK_PIXELS = 1 << 16
"""Pixels that steps between two such checks have, if they are so small."""
TASK_PIXELS = 1 << 14
"""Pixels that a thread of an encoder takes at a time; of a step at most a quarter."""
LEAST = 32
"""Pixels of the largest step that justify a thread of their own."""


def frequencies(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> Frequencies:
    """start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, N * H * W] in the order of coding."""
    images, height, width, channels = pixels.shape
    pixels = surrounded(pixels)
    engine = engines.choose(engine, pixels.size)
    starts = np.empty((channels, images * height * width), np.uint32)
    freqs = np.empty_like(starts)
    coder, walk = measuring(starts, freqs), Walk(model, (images, height, width))
    if engine != "numba":
        done = _encode_in_batches(model, walk, engine, coder, pixels)
    elif model.stepwise:
        lanes = stream.lane_count(images * height, pixels.size)
        done = _in_step(model, walk, False, coder, lanes, pixels)
    else:
        done = _encode_apart(model, walk, coder, pixels)
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
            batch, n, stop = spaces.get(), 0, t + 1 if model.stepwise else walk.steps
            while t < stop and n + walk.size(t) <= rows:
                batch.look(walk, t, n, pixels)
                exchange(False, pixels, t, walk.past.o, 0, walk.size(t), batch.values, n)
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
    walk, pixels = Walk(model, size), blank_pixels((*size, model.channels))
    engine = engines.choose(engine, pixels.size)
    if engine == "numba":
        done = _in_step(model, walk, True, popping(message), message.lanes, pixels)
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
        batch.look(walk, t, 0, pixels)
        batch.code(True, coder, walk.size(t), lanes, 0)
        exchange(True, pixels, t, walk.past.o, 0, walk.size(t), batch.values, 0)
        if t % CHUNK == CHUNK - 1:
            yield t + 1, walk.steps


def _in_step(
    model: LocalModel, walk: Walk, decoding: bool, coder: Coder, lanes: int, pixels: Pixels
) -> Iterator[tuple[int, int]]:
    """Has each thread do its lanes' part of all steps; yields the number of steps done now and then."""
    most, long = walk.largest, max(CHUNK, CHUNK_PIXELS // walk.largest)
    parts = barrier.most_parts(min(lanes, most // LEAST))
    shares = [(lanes * part // parts, lanes * (part + 1) // parts, part, parts) for part in range(parts)]
    net = Net(network.packed(model.arranged), walk.context, coding.symbols(model))
    rows = max(most * (last - first) // lanes + 1 for first, last, *_ in shares)
    spaces = [_space(model, walk, net, rows, most // lanes + 1) for _ in shares]
    calls = kernels(net, spaces[0], walk.past, coder, pixels)
    with barrier.together(parts, parts) as run:
        for begin in range(0, walk.steps, long):
            end = min(begin + long, walk.steps)
            where = begin, end, walk.before(begin), net

            def chunk(part: int, arrived: NDArray[np.int64], where: tuple[Any, ...] = where) -> None:
                mine = spaces[part], walk.past, coder, shares[part], lanes
                walk_steps(calls, decoding, *where, *mine, arrived, pixels)

            run(chunk)
            yield end, walk.steps


def _encode_apart(model: LocalModel, walk: Walk, coder: Coder, pixels: Pixels) -> Iterator[tuple[int, int]]:
    """Fills the coder's intervals, each thread one task after another; yields now and then how many are begun."""
    lanes, rows, all_tasks = _tasks(walk)
    tasks, count = iter(all_tasks), len(all_tasks)
    net = Net(network.packed(model.arranged), walk.context, coding.symbols(model))
    block = walk.largest // lanes + 1
    spaces = [_space(model, walk, net, rows, block) for _ in range(min(count, processors()))]
    calls, alone = kernels(net, spaces[0], walk.past, coder, pixels), np.zeros(1, np.int64)

    def work(space: Space) -> Iterator[tuple[int, int]]:
        for begin, end, share in tasks:
            mine = space, walk.past, coder, share, lanes
            walk_steps(calls, False, begin, end, walk.before(begin), net, *mine, alone, pixels)
            yield count - length_hint(tasks), count

    with ThreadPoolExecutor(len(spaces)) as pool:
        try:
            jobs = [pool.submit(deque, work(space), 0) for space in spaces[1:]]
            yield from work(spaces[0])
        finally:
            deque(tasks, 0)  # after an error, nobody begins another
        for job in jobs:
            job.result()
    yield count, count


def _tasks(walk: Walk) -> tuple[int, int, list[tuple[int, int, tuple[int, int, int, int]]]]:
    """Lanes of a step, here as many of its pixels as are coded together; most pixels of a share of them; tasks.

    A task: its first step, one past its last, and the share as `walk_steps` has it.
    """
    lanes = -(-walk.largest // BLOCK)
    some = min(lanes, TASK_PIXELS // 4 // BLOCK)
    long = max(1, TASK_PIXELS // min(walk.largest, some * BLOCK))
    shares = [(first, min(first + some, lanes), 0, 1) for first in range(0, lanes, some)]
    spans = [(begin, min(begin + long, walk.steps)) for begin in range(0, walk.steps, long)]
    return lanes, walk.largest * some // lanes + 1, [(*span, share) for span, share in product(spans, shares)]


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
        coding.room(net.symbols.head, most),
    )


class _Batch:
    """What one thread needs for up to `rows` pixels with an engine that is called from Python."""

    def __init__(self, model: LocalModel, walk: Walk, engine: str, rows: int) -> None:
        self._runner = open_runner(engine, model, rows, neighbourhood(walk.past, rows))
        self._symbols = coding.symbols(model)
        self._room = coding.room(self._symbols.head, rows)
        self._predictions = np.empty((model.channels, rows), np.int32)
        self.values = np.empty_like(self._predictions)

    def look(self, walk: Walk, t: int, at: int, pixels: Pixels) -> None:
        """Takes in what step t's pixels see of `pixels`; they are the batch's from `at` on."""
        n, places = walk.size(t), self._runner.neighbourhood.places
        gather(pixels, t, walk.past.o, 0, n, walk.context, self._runner.inputs, self._predictions, at)
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
