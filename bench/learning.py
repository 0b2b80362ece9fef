"""Where the time of a decoder that learns goes: processor time of each part on one thread, as a Markdown table.

    python bench/learning.py IMAGE MODEL...

The parts are called one by one from Python, which adds some microseconds to each; the lowest of four rounds counts.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shearloc.coding.message import Message
from shearloc.kernels import _called
from shearloc.models import zoo
from shearloc.models.learning import coder
from shearloc.models.learning import edges as levels
from shearloc.models.learning.images import Learning
from shearloc.models.learning.walk import Walk, kernels
from shearloc.models.wavefront.coder import block_stop, popping
from shearloc.models.wavefront.orders import step_sizes
from shearloc.models.wavefront.pixels import blank_pixels
from shearloc.nets.processors import at_most

ROUNDS = 4


class Clock:
    """Calls kernels, and keeps the seconds of each part."""

    def __init__(self) -> None:
        self.spent = Counter[str]()

    def call(self, part: str, place: int, *arguments: Any) -> None:
        """Calls the kernel at an address."""
        before = time.thread_time()
        _called(place, arguments)
        self.spent.update({part: time.thread_time() - before})


def decode(model: Learning, payload: bytes, lanes: int, pixels: NDArray[np.uint8]) -> "Counter[str]":
    """Seconds of each part; the pixels must come back."""
    message, found = Message.from_bytes(payload, lanes, shared=False), blank_pixels(pixels.shape)
    walk, clock, done, updates = Walk(model, found, lanes, 1), Clock(), 0, 0
    at, message_at, own, experts = kernels(found, walk._context), walk._keep(popping(message)), *_of(walk)
    for t, n in enumerate(step_sizes(*pixels.shape[:3], walk.o).tolist()):
        clock.call("contexts", at.gather, own, found, walk._context, t, walk.o, 0, n)
        for expert in experts:
            clock.call("first layer", at.first_layer, expert, own, n)
            clock.call("other layers, forwards", at.forwards, expert, n)
        _code(clock, at, message_at, own, experts, (lanes, n, done), model.channels)
        clock.call("pixels", at.exchange, own, True, found, t, walk.o, 0, n)
        for expert in experts:
            clock.call("backwards", at.backwards, expert, at.pieces, n, 0, t % model.every == 0)
        done += n
        if t % model.every == model.every - 1 or t == walk.steps - 1:
            updates += 1
            for expert in experts:
                clock.call("weights", at.update, expert, 0, 1, False)
            if updates % levels.EVERY == 0:
                clock.call("edges", at.edges, own, False)
                clock.call("edges", at.edges, own, True)
    assert (found == pixels).all()
    return clock.spent


def _of(walk: Walk) -> tuple[int, list[int]]:
    """Addresses of the only thread's space and experts."""
    return walk._spaces[0], walk._experts[0].tolist()


def _code(clock: Clock, at: Any, message: int, own: int, experts: list[int], sizes: Any, channels: int) -> None:
    """Decodes a step's pixels, a block of lanes after the other."""
    lanes, n, done = sizes
    lane = 0
    while lane < lanes:
        stop = block_stop.py_func(n, lane, lanes, lanes)
        begin, count = n * lane // lanes, n * stop // lanes - n * lane // lanes
        for c in range(channels):
            for expert in experts:
                clock.call("parameters", at.parameters, expert, own, at.units, c, begin, count)
                clock.call("parameters", at.mixtures, expert, own, count)
            where = c, n, lane, stop, lanes, begin, done
            clock.call("search, rANS", at.code, True, message, own, len(experts), *where)
            for expert in experts:
                clock.call("gradients", at.gradients, expert, own, c, begin, count)
        lane = stop


def main() -> None:
    """Prints a table for each model."""
    image, *names = sys.argv[1:]
    for name in names:
        model = zoo.load_as(Learning, name)
        picture = Image.open(Path(image)).convert("RGB" if model.channels == 3 else "L")
        pixels = np.array(picture).reshape(1, picture.height, picture.width, -1)
        with at_most(1):
            payload, lanes = coder.encode_images(model, pixels, "numba")
        rounds = [decode(model, payload, lanes, pixels) for _ in range(ROUNDS)]
        least = {part: min(spent[part] for spent in rounds) for part in rounds[0]}
        print(f"| `{name}` | ns a pixel | share |\n|---|---|---|")
        for part, seconds in sorted(least.items(), key=lambda item: -item[1]):
            print(f"| {part} | {1e9 * seconds / pixels[..., 0].size:,.0f} | {seconds / sum(least.values()):.0%} |")


if __name__ == "__main__":
    main()
