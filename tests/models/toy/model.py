"""The toy family's model: one number, added to every sample before it is deflated."""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shearloc.errors import CorruptError, ShearlocError
from shearloc.models.family import Coded, Family, How, Latents, Lengths
from shearloc.nets import tensors
from shearloc.types import Pixels, Size

from . import FAMILY


@dataclass(frozen=True)
class Toy:
    name: str
    constant: int
    channels: int = 3
    adaptable: bool = False
    size: None = None

    @property
    def family(self) -> Family:
        return FAMILY

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(bytes([self.constant])).digest()[:8]

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        return None if shape[2] == self.channels else f"model '{self.name}' is for {self.channels} channels"

    def engine_for(self, engine: str, samples: int) -> str:
        return engine

    def at_once(self, size: Size, engine: str, count: int) -> int:
        return 1

    def encode(self, images: Pixels, how: How, side_information: bytes = b"") -> Coded:
        return Coded(zlib.compress((images + np.uint8(self.constant)).tobytes()), lanes=1 if len(images) == 1 else 0)

    def decode(self, coded: Coded, size: Size, how: How) -> Pixels:
        try:
            samples = np.frombuffer(zlib.decompress(coded.payload), np.uint8)
        except zlib.error as error:
            raise CorruptError(str(error)) from error
        return samples.reshape(*size, self.channels) - np.uint8(self.constant)

    def lengths(self, images: Pixels, how: How) -> Lengths:
        raise ShearlocError(f"model '{self.name}' has no code lengths")

    def latents(self, images: Pixels, how: How) -> Latents:
        raise ShearlocError(f"model '{self.name}' has no latents")

    def sample(self, size: Size, seed: int, how: How) -> Pixels:
        raise ShearlocError(f"model '{self.name}' has no samples")


def save(path: Path, constant: int) -> None:
    tensors.write(path, {"constant": np.array([constant], np.uint8)}, {"format": FAMILY.format})


def parse(data: bytes, name: str, source: str) -> Toy:
    with tensors.sound(source):
        _, arrays = tensors.read(data, FAMILY.format)
        return Toy(name, int(arrays["constant"][0]))
