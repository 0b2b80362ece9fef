"""Rate and speed of many equal images coded as one batch, by local models: an archive, decoded and compared.

    python -m shearloc.evaluate batches cifar10 --model nelloc-r0

Rates are of real files, everything included. `archives.py` measures archives of autoencoders by K.
"""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from ..codec import archive
from ..codec.info import archive_info
from ..types import Pixels


def throughputs(seconds: list[float], raw_bytes: int) -> dict[str, float]:
    """Median, minimum and maximum of the rounds' MB/s."""
    rounds = [raw_bytes / 1e6 / s for s in seconds]
    return {"median": median(rounds), "minimum": min(rounds), "maximum": max(rounds)}


@dataclass(frozen=True)
class BatchRow:
    """One model's archive of the images, at one effort. Seconds: one entry a round, of a warm process."""

    model: str
    effort: int
    fingerprint: str
    images: int
    bits_per_dimension: float
    encode_seconds: list[float]
    decode_seconds: list[float]
    exact: bool

    def to_dict(self, raw_bytes: int) -> dict[str, Any]:
        """The fields, and throughput of raw pixels in MB/s (10^6 bytes), ready for JSON."""
        speeds = {
            "encode_mb_s": throughputs(self.encode_seconds, raw_bytes),
            "decode_mb_s": throughputs(self.decode_seconds, raw_bytes),
        }
        return asdict(self) | speeds


def measure(images: Pixels, model: str, rounds: int, effort: int = 5) -> BatchRow:
    """Codes uint8 [N, H, W, C] as one archive and decodes it, `rounds` times after one that warms up.

    `model` and `effort` as in `archive.encode_images`; the row names the model that was used. Errors as there.
    """
    encode_seconds, decode_seconds = [], []
    exact = True
    for _ in range(rounds + 1):
        began = time.perf_counter()
        data = archive.encode_images(images, model=model, effort=effort)
        encoded = time.perf_counter()
        back, _ = archive.decode_images(data)
        decode_seconds.append(time.perf_counter() - encoded)
        encode_seconds.append(encoded - began)
        exact &= np.array_equal(back.reshape(images.shape), images)
    info = archive_info(data)
    return BatchRow(
        model=info.model or info.method,
        effort=effort,
        fingerprint=info.fingerprint or "",
        images=len(images),
        bits_per_dimension=info.bits_per_subpixel,
        encode_seconds=encode_seconds[1:],
        decode_seconds=decode_seconds[1:],
        exact=exact,
    )
