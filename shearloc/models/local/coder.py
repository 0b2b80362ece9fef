"""Codes images of one size with a local model: every order, by every engine.

`wavefront.py` walks the sheared order, `gathered.py` decodes without the shear, and `device.py` does both for the
engine `cuda`; their payloads are the same. `parts.py` and `archive.py` put payloads into files.
"""

from collections.abc import Callable, Iterable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ...coding import lanes as stream
from ...coding import pseudorandom
from ...coding.lengths import code_lengths
from ...coding.message import Message, unchanged_on_error
from ...errors import CorruptError
from ...nets import engines
from ...types import Pixels, Progress, Size
from ..wavefront.orders import shear, step_sizes, wavefront_positions
from . import gathered, wavefront
from .model import LocalModel
from .past import MOST_BYTES, room
from .wavefront import Frequencies

CUDA = "cuda"


def at_once(model: LocalModel, size: Size, engine: str, count: int) -> int:
    """How many of `count` batches of images, each of size (N, H, W), to code side by side on a share of the processors.

    One where the engine uses all processors itself. Together the batches keep at most MOST_BYTES of earlier pixels.
    """
    return max(1, min(engines.workers(engine, count), MOST_BYTES // room(model, *size)))


def frequencies(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> Frequencies:
    """start and freq of every subpixel of uint8 [N, H, W, C], uint32 [C, N * H * W] in the sheared order.

    The model's own code length of the images is sum(PRECISION - log2(freq)) bits. ShearlocError, here and below, where
    the engine is not installed.
    """
    if engine == CUDA:
        return _device().frequencies(model, pixels, progress)
    return wavefront.frequencies(model, pixels, engine, progress)


def lengths(model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None) -> NDArray[np.int64]:
    """Code length of every subpixel of uint8 [N, H, W, C] in 2^-16 bits, int64 of the same shape."""
    images, height, width, channels = pixels.shape
    found = np.empty((channels, images * height * width), np.int64)
    places = wavefront_positions(images, height, width, shear(model.offsets))
    for row, freqs in zip(found, frequencies(model, pixels, engine, progress)[1], strict=True):
        row[places] = code_lengths(freqs)
    return np.moveaxis(found.reshape(channels, images, height, width), 0, 3)


def sample(model: LocalModel, size: Size, seed: int, engine: str, progress: Progress | None = None) -> Pixels:
    """The uint8 [N, H, W, C] of size (N, H, W) that pseudo-random words decode to."""
    images, height, width = size
    sizes = step_sizes(images, height, width, shear(model.offsets))
    lanes = stream.lane_count(images * height, images * height * width * model.channels)
    counts = stream.random_words(sizes, lanes, model.channels)
    return pop_images(pseudorandom.message(seed, counts), model, size, engine, progress)


def encode_images(
    model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None
) -> tuple[bytes, int]:
    """Payload and number of lanes for uint8 [N, H, W, C], in the sheared order."""
    return _encode(model, pixels.shape, frequencies(model, pixels, engine, progress))


def encode_shortest(
    model: LocalModel, versions: Iterable[Pixels], size: Size, engine: str
) -> tuple[bytes, int, NDArray[np.uint8]]:
    """`encode_images` of each image's shortest version, and that version's number, uint8 [N]; of equal ones the first.

    `versions`: at most 256 arrays uint8 [N, H, W, C] of size (N, H, W), each with every image in some version.
    """
    images, height, width = size
    owners = wavefront_positions(images, height, width, shear(model.offsets)) // (height * width)
    shortest, chosen = np.full(images, np.iinfo(np.int64).max), np.zeros(images, np.uint8)
    starts, freqs = (np.empty((model.channels, len(owners)), np.uint32) for _ in range(2))
    for number, pixels in enumerate(versions):
        new_starts, new_freqs = frequencies(model, pixels, engine)
        lengths = np.zeros(images, np.int64)
        np.add.at(lengths, owners, code_lengths(new_freqs).sum(0))
        better = lengths < shortest
        shortest[better], chosen[better] = lengths[better], number
        theirs = better[owners]
        starts[:, theirs], freqs[:, theirs] = new_starts[:, theirs], new_freqs[:, theirs]
    return *_encode(model, size, (starts, freqs)), chosen


def _encode(model: LocalModel, shape: tuple[int, ...], intervals: Frequencies) -> tuple[bytes, int]:
    """Payload and number of lanes for images [N, H, W, ...] from their `frequencies`."""
    message = Message.empty(stream.lane_count(shape[0] * shape[1], intervals[0].size), shared=False)
    _push(message, model, shape, intervals)
    return message.to_bytes(), message.lanes


def _push(message: Message, model: LocalModel, shape: tuple[int, ...], intervals: Frequencies) -> None:
    """Pushes images [N, H, W, ...] by what `frequencies` gave."""
    images, height, width = shape[:3]
    stream.push(message, *intervals, step_sizes(images, height, width, shear(model.offsets)))


def encode_sequential(
    model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None
) -> tuple[bytes, int]:
    """Payload and number of lanes (one) for uint8 [N, H, W, C], in raster order.

    The frequencies come from the wavefront, many pixels at once: the integers are the same in any order.
    """
    in_steps = frequencies(model, pixels, engine, progress)
    images, height, width, _ = pixels.shape
    positions = wavefront_positions(images, height, width, shear(model.offsets))
    starts, freqs = (np.empty_like(part) for part in in_steps)
    starts[:, positions], freqs[:, positions] = in_steps
    message = Message.empty(1)
    stream.push(message, starts, freqs, np.ones(len(positions), np.int64))
    return message.to_bytes(), 1


def decode_images(
    model: LocalModel, payload: bytes, lanes: int, size: Size, engine: str, progress: Progress | None = None
) -> Pixels:
    """The uint8 [N, H, W, C] of size (N, H, W) that `encode_images` coded. CorruptError for any other payload."""
    return _decoded(_pop_sheared, model, payload, lanes, size, engine, progress)


def decode_parallel(
    model: LocalModel, payload: bytes, lanes: int, size: Size, engine: str, progress: Progress | None = None
) -> Pixels:
    """As `decode_images`, without the shear (thesis, algorithm 3); on CUDA they are one."""
    pop = _pop_sheared if engine == CUDA else gathered.pop_parallel
    return _decoded(pop, model, payload, lanes, size, engine, progress)


def decode_sequential(
    model: LocalModel, payload: bytes, lanes: int, size: Size, engine: str, progress: Progress | None = None
) -> Pixels:
    """The images that `encode_sequential` coded; otherwise as `decode_images`."""
    return _decoded(_pop_in_raster_order, model, payload, lanes, size, engine, progress)


def push_images(
    message: Message, model: LocalModel, pixels: Pixels, engine: str, progress: Progress | None = None
) -> None:
    """Pushes uint8 [N, H, W, C] in the sheared order. ValueError where the message's lanes share a tail."""
    stream.check_tails(message)
    _push(message, model, pixels.shape, frequencies(model, pixels, engine, progress))


def pop_images(
    message: Message, model: LocalModel, size: Size, engine: str, progress: Progress | None = None
) -> Pixels:
    """The uint8 [N, H, W, C] of size (N, H, W) that `push_images` pushed.

    CorruptError, and the message as it was, where it has too few bits.
    """
    stream.check_tails(message)
    with unchanged_on_error(message):
        pixels = _pop_sheared(model, message, size, engine, progress)
        if message.dry:
            raise CorruptError("the message has too few bits for these images: cut short or damaged")
        return pixels


Pop = Callable[[LocalModel, Message, Size, str, Progress | None], Pixels]


def _decoded(
    pop: Pop, model: LocalModel, payload: bytes, lanes: int, size: Size, engine: str, progress: Progress | None
) -> Pixels:
    """What is popped from a payload that nothing else is in. CorruptError."""
    stream.check_count(lanes, size[0] * size[1])
    message = Message.from_bytes(payload, lanes, shared=False)
    pixels = pop(model, message, size, engine, progress)
    message.check_empty()
    return pixels


def _pop_sheared(model: LocalModel, message: Message, size: Size, engine: str, progress: Progress | None) -> Pixels:
    if engine == CUDA:
        return _device().pop_images(model, message, size, progress)
    return wavefront.pop_images(model, message, size, engine, progress)


def _pop_in_raster_order(
    model: LocalModel, message: Message, size: Size, engine: str, progress: Progress | None
) -> Pixels:
    if engine == CUDA:
        return _device().pop_images(model, message, size, progress, sequential=True)
    return gathered.pop_sequential(model, message, size, engine, progress)


def _device() -> ModuleType:
    """The module `device.py`. ShearlocError without a CUDA device."""
    with wavefront.at_hand(CUDA):
        from . import device

        device.check_device()
    return device
