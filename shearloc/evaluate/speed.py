"""How fast: encoding and decoding one image by engine, beside other codecs, and `shearloc decode` as a command.

Each engine codes in a process of its own, which imports torch only if the engine is a torch one: for the
others it cannot be imported there, as if it were not installed. One round has every contender encode and decode once,
so that a busy moment of the machine falls on all alike. Rates are `rates.py`'s business.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import api, planes
from ..errors import ShearlocError
from .peers import Peer

Pixels = NDArray[np.uint8]
Advance = Callable[[], None]
"""Called whenever one of the steps counted beforehand is done."""

ENGINES = ("numba", "numpy", "torch", "cuda")

ROUNDS = 5
"""Rounds that count; one more before them warms up."""

LATER_RUNS = 5
"""Runs of the command after the first."""

COMMAND_SIZE = 512
"""The command decodes the image's middle, at most so many pixels high and wide."""


@dataclass
class Timing:
    """Seconds that one contender took to encode and to decode, one entry a round."""

    name: str
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)

    def to_dict(self, raw_bytes: int) -> dict[str, Any]:
        """The seconds, and throughput of raw pixels in MB/s (10^6 bytes), of types that JSON knows."""
        throughput = {
            "encode_mb_s": throughputs(self.encode_seconds, raw_bytes),
            "decode_mb_s": throughputs(self.decode_seconds, raw_bytes),
        }
        return asdict(self) | throughput


def throughputs(seconds: list[float], raw_bytes: int) -> dict[str, float]:
    """Median, minimum and maximum of the rounds' MB/s."""
    rounds = [raw_bytes / 1e6 / s for s in seconds]
    return {"median": median(rounds), "minimum": min(rounds), "maximum": max(rounds)}


def measure(pixels: Pixels, peers: dict[str, Peer], advance: Advance) -> tuple[list[Timing], dict[str, str]]:
    """Times engines and peers on uint8 [H, W] or [H, W, 3], warm; also which engines are not here, and why.

    `advance` is called `ROUNDS` + 1 times. Raises ShearlocError where the image cannot be encoded at all.
    """
    data = api.encode(pixels, engine="numpy")
    with ExitStack() as stack:
        here: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {}
        missing = {}
        for engine in ENGINES:
            worker = stack.enter_context(_worker(engine))
            try:
                worker.submit(_time_encode, pixels, engine, data).result()
            except ShearlocError as error:
                missing[engine] = str(error)
                continue
            here[f"shearloc {engine}"] = _in_worker(worker, pixels, engine, data)
        here |= {name: _in_this_process(peer, pixels) for name, peer in peers.items()}
        timings = [Timing(name) for name in here]
        for warm in range(ROUNDS + 1):
            for timing, (encode, decode) in zip(timings, here.values(), strict=True):
                seconds = encode(), decode()
                if warm:
                    timing.encode_seconds.append(seconds[0])
                    timing.decode_seconds.append(seconds[1])
            advance()
    return timings, missing


@contextmanager
def _worker(engine: str) -> Iterator[ProcessPoolExecutor]:
    """A fresh process, without torch unless the engine needs it."""
    fresh = multiprocessing.get_context("spawn")
    initializer = None if engine in ("torch", "cuda") else block_torch
    with ProcessPoolExecutor(1, mp_context=fresh, initializer=initializer) as pool:
        yield pool


def block_torch() -> None:
    """Makes this process one where torch is not installed. RuntimeError if it is too late for that."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already")
    sys.modules["torch"] = None  # type: ignore[assignment]


def _in_worker(
    worker: ProcessPoolExecutor, pixels: Pixels, engine: str, data: bytes
) -> tuple[Callable[[], float], Callable[[], float]]:
    return (
        lambda: worker.submit(_time_encode, pixels, engine, data).result(),
        lambda: worker.submit(_time_decode, data, engine, pixels).result(),
    )


def _in_this_process(peer: Peer, pixels: Pixels) -> tuple[Callable[[], float], Callable[[], float]]:
    data = peer.encode(pixels)
    return (lambda: _seconds(peer.encode, pixels), lambda: _seconds(peer.decode, data))


def _seconds(function: Callable[[Any], Any], argument: object) -> float:
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def _time_encode(pixels: Pixels, engine: str, expected: bytes) -> float:
    """Seconds of one encoding, whose bytes must be the expected ones."""
    start = time.perf_counter()
    data = api.encode(pixels, engine=engine)
    seconds = time.perf_counter() - start
    if data != expected:
        raise RuntimeError(f"engine '{engine}' wrote other bytes than numpy did")
    return seconds


def _time_decode(data: bytes, engine: str, expected: Pixels) -> float:
    """Seconds of one decoding, whose pixels must be the expected ones."""
    start = time.perf_counter()
    pixels = api.decode(data, engine=engine)
    seconds = time.perf_counter() - start
    if not np.array_equal(pixels, expected):
        raise RuntimeError(f"engine '{engine}' decoded other pixels")
    return seconds


@dataclass(frozen=True)
class CommandTiming:
    """Wall seconds of `shearloc decode` of an image: first with no compiled kernels, then with them cached."""

    height: int
    width: int
    first_seconds: float
    later_seconds: list[float]

    def to_dict(self) -> dict[str, Any]:
        """The fields and the later runs' median, of types that JSON knows."""
        return asdict(self) | {"later_median_seconds": median(self.later_seconds)}


def measure_command(pixels: Pixels, advance: Advance) -> CommandTiming:
    """Times `python -m shearloc decode` on the image's middle, as processes.

    The first run has an empty NUMBA_CACHE_DIR, as after installation (Python's own byte code is there already).
    `advance` is called `LATER_RUNS` + 1 times.
    """
    middle = crop_middle(pixels, COMMAND_SIZE)
    with TemporaryDirectory() as name:
        folder = Path(name)
        planes.write_atomic(folder / "image.shl", api.encode(middle))
        (folder / "cache").mkdir()
        seconds = []
        for _ in range(LATER_RUNS + 1):
            seconds.append(_command_seconds(folder))
            advance()
        if not np.array_equal(planes.load_image(folder / "image.png"), middle):
            raise RuntimeError("the command decoded other pixels")
    return CommandTiming(middle.shape[0], middle.shape[1], seconds[0], seconds[1:])


def crop_middle(pixels: Pixels, size: int) -> Pixels:
    """The middle of an image, at most `size` high and wide."""
    top, left = (max(0, length - size) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + size, left : left + size])


def _command_seconds(folder: Path) -> float:
    """Wall seconds of decoding `image.shl` in `folder`, from starting the process to its end."""
    command = [sys.executable, "-m", "shearloc", "decode", str(folder / "image.shl"), "--force"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"`shearloc decode` failed: {done.stderr.strip()}")
    return seconds
