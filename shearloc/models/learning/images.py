"""Codes images with a model that learns: the family's interface to its coder."""

import numpy as np

from ...errors import CorruptError, ShearlocError
from ...types import Pixels, Size
from ..family import Coded, How, Latents, Lengths, Order
from . import coder
from .model import LearningModel, parse_as


class Learning(LearningModel):
    """A model that learns, and codes images."""

    @property
    def size(self) -> None:
        """Images of any size."""

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        """As `family.Model.refuses`."""
        if shape[2] == self.channels:
            return None
        return f"model '{self.name}' is for images of {self.channels} channels, not {shape[2]}"

    def engine_for(self, engine: str, samples: int) -> str:
        """As `family.Model.engine_for`."""
        return coder.chosen(engine)

    def at_once(self, size: Size, engine: str, count: int) -> int:
        """As `family.Model.at_once`: one, because the threads share each batch."""
        return 1

    def encode(self, images: Pixels, how: How, side_information: bytes = b"") -> Coded:
        """As `family.Model.encode`; it takes no side information. ShearlocError for another order."""
        if how.order not in ("sheared", "parallel"):
            raise ShearlocError(f"model '{self.name}' learns step by step, so it has no {how.order} order")
        return Coded(*coder.encode_images(self, images, how.engine, how.progress))

    def decode(self, coded: Coded, size: Size, how: How) -> Pixels:
        """As `family.Model.decode`. ShearlocError for an order that the payload is not in."""
        if coded.order != Order.SHEARED:
            raise CorruptError("a payload of a model that learns is in sheared order")
        if how.order not in ("auto", "sheared"):
            raise ShearlocError(f"the file is coded in sheared order, so it cannot be decoded in {how.order} order")
        return coder.decode_images(self, coded.payload, coded.lanes, size, how.engine, how.progress)

    def lengths(self, images: Pixels, how: How) -> Lengths:
        """As `family.Model.lengths`."""
        pixels = coder.lengths(self, images, how.engine, how.progress)
        return Lengths(pixels, np.zeros(len(images), np.int64))

    def latents(self, images: Pixels, how: How) -> Latents:
        """It has none: ShearlocError."""
        raise ShearlocError(f"model '{self.name}' has no latents; autoencoders have")

    def sample(self, size: Size, seed: int, how: How) -> Pixels:
        """As `family.Model.sample`, of any size."""
        return coder.sample(self, size, seed, how.engine, how.progress)


def parse(data: bytes, name: str, source: str) -> Learning:
    """As `family.Family.parse`."""
    return parse_as(Learning, data, name, source)
