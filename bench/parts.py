"""Where a decoder's time goes: processor time of each part of decoding one image on one thread, as a Markdown table.

    python bench/parts.py IMAGE [MODEL]

The parts are called one by one from Python, which adds some microseconds to each; the lowest of four rounds counts.
"""

import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shearloc.coding.message import Message
from shearloc.kernels import _called
from shearloc.models import zoo
from shearloc.models.local import coder, steps, symbols, wavefront
from shearloc.models.local.model import LocalModel
from shearloc.models.wavefront.coder import popping
from shearloc.models.wavefront.pixels import blank_pixels
from shearloc.nets import network
from shearloc.nets.processors import at_most

PARTS = ("contexts", "network", "parameters, search, rANS", "pixels")
ROUNDS = 4


def decode(model: LocalModel, payload: bytes, lanes: int, pixels: NDArray[np.uint8]) -> "Counter[str]":
    """Seconds of each part; the pixels must come back."""
    images, height, width, _ = pixels.shape
    message = Message.from_bytes(payload, lanes, shared=False)
    walk, found = wavefront.Walk(model, (images, height, width)), blank_pixels(pixels.shape)
    net = steps.Net(network.packed(model.arranged), walk.context, symbols.symbols(model))
    own = wavefront._space(model, walk, net, walk.largest, walk.largest // lanes + 1)
    pop = popping(message)
    at, spent = steps.kernels(net, own, walk.past, pop, found), Counter[str]()
    for t in range(walk.steps):
        n, past, times = walk.size(t), walk.past, [time.thread_time()]
        _called(at.gather, (found, t, past.o, 0, n, net.context, own.inputs, own.predictions, 0))
        times.append(time.thread_time())
        if at.find:
            _called(at.find, (past, t, 0, n, own.neighbourhood.places))
        _called(at.run, (net.network, own.inputs, n, own.neighbourhood, own.buffers, own.sums))
        times.append(time.thread_time())
        seen = own.sums, own.predictions, own.values, own.room
        _called(at.code, (True, net.symbols, pop, n, 0, lanes, lanes, 0, *seen))
        times.append(time.thread_time())
        _called(at.exchange, (True, found, t, past.o, 0, n, own.values, 0))
        times.append(time.thread_time())
        spent.update({part: after - before for part, (before, after) in zip(PARTS, pairwise(times), strict=True)})
    assert (found == pixels).all()
    return spent


def main() -> None:
    """Prints the table."""
    image, name = Path(sys.argv[1]), (sys.argv[2:] or ["photo"])[0]
    model = zoo.load_as(LocalModel, name)
    picture = Image.open(image).convert("RGB" if model.channels == 3 else "L")
    pixels = np.array(picture).reshape(1, picture.height, picture.width, -1)
    with at_most(1):
        payload, lanes = coder.encode_images(model, pixels, "numba")
    decode(model, payload, lanes, pixels)
    rounds = [decode(model, payload, lanes, pixels) for _ in range(ROUNDS)]
    least = {part: min(spent[part] for spent in rounds) for part in PARTS}
    print("| part | ns a pixel | share |\n|---|---|---|")
    for part, seconds in least.items():
        print(f"| {part} | {1e9 * seconds / pixels[..., 0].size:,.0f} | {seconds / sum(least.values()):.0%} |")


if __name__ == "__main__":
    main()
