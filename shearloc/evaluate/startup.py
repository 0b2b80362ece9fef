"""Times `shearloc decode` as a command: started as a process, right after installation and later.

`bench.py` measures warm processes.
"""

import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..codec import api
from ..codec.pictures import files
from ..types import Pixels
from .bench import Advance, crop_middle

LATER_RUNS = 5
"""Runs of the command after the first."""

COMMAND_SIZE = 512
"""The command decodes the image's middle, at most this many pixels high and wide."""


@dataclass(frozen=True)
class CommandTiming:
    """Wall seconds of `shearloc decode` of an image: first with no compiled kernels, then with them cached."""

    height: int
    width: int
    first_seconds: float
    later_seconds: list[float]

    def to_dict(self) -> dict[str, Any]:
        """The fields and the later runs' median, ready for JSON."""
        return asdict(self) | {"later_median_seconds": median(self.later_seconds)}


def measure_command(pixels: Pixels, advance: Advance) -> CommandTiming:
    """Times `python -m shearloc decode` on the image's middle, as processes.

    The first run has an empty NUMBA_CACHE_DIR, as after installation (Python's own byte code is there already).
    `advance` is called `LATER_RUNS` + 1 times.
    """
    middle = crop_middle(pixels, COMMAND_SIZE)
    with TemporaryDirectory() as name:
        folder = Path(name)
        files.write_atomic(folder / "image.shl", api.encode(middle))
        (folder / "cache").mkdir()
        seconds = []
        for _ in range(LATER_RUNS + 1):
            seconds.append(_command_seconds(folder))
            advance()
        if not np.array_equal(files.load_image(folder / "image.png"), middle):
            raise RuntimeError("the command decoded other pixels")
    return CommandTiming(middle.shape[0], middle.shape[1], seconds[0], seconds[1:])


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
