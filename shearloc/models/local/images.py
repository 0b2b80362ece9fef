"""Codes images with a local model: the family's interface to its coder.

In archives, each image takes the orientation with the fewest bits, if the caller gives several to choose from. In
pictures, the model's biases can be adapted to the image; the adjustments are side information.
"""

from collections.abc import Callable

import numpy as np

from ...errors import CorruptError, ShearlocError
from ...nets import engines
from ...types import Pixels, Size
from .. import orientation
from ..family import Coded, How, Latents, Lengths, Order
from . import adaptation, coder
from .model import LocalModel, parse_as


class Local(LocalModel):
    """A local model that codes images."""

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        """As `family.Model.refuses`."""
        if shape[2] == self.channels:
            return None
        return f"model '{self.name}' is for images of {self.channels} channels, not {shape[2]}"

    def engine_for(self, engine: str, samples: int) -> str:
        """As `family.Model.engine_for`."""
        return engines.choose(engine, samples)

    def at_once(self, size: Size, engine: str, count: int) -> int:
        """As `family.Model.at_once`."""
        return coder.at_once(self, size, engine, count)

    def encode(self, images: Pixels, how: How, side_information: bytes = b"") -> Coded:
        """As `family.Model.encode`; the side information is that of `adaptation.py`."""
        adapted = _adapted(self, side_information)
        if len(how.orientations) > 1:
            ways = orientation.each_way(images, how.orientations)
            payload, lanes, orientations = coder.encode_shortest(adapted, ways, images.shape[:3], how.engine)
            return Coded(payload, lanes, Order.SHEARED, orientations=orientations)
        sequential = how.order == "sequential"
        encode_images = coder.encode_sequential if sequential else coder.encode_images
        payload, lanes = encode_images(adapted, images, how.engine, how.progress)
        return Coded(payload, lanes, Order.SEQUENTIAL if sequential else Order.SHEARED, side_information)

    def decode(self, coded: Coded, size: Size, how: How) -> Pixels:
        """As `family.Model.decode`."""
        decode_images = _decoder(coded.order, how.order)
        adapted = _adapted(self, coded.side_information)
        return decode_images(adapted, coded.payload, coded.lanes, size, how.engine, how.progress)

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


def parse(data: bytes, name: str, source: str) -> Local:
    """As `family.Family.parse`."""
    return parse_as(Local, data, name, source)


def _decoder(order: Order, wanted: str) -> Callable[..., Pixels]:
    """The decoder that a payload needs; of a sheared payload's two, the one asked for. ShearlocError for any other."""
    name = order.name.lower()
    if order == Order.SHEARED and wanted == "parallel":
        return coder.decode_parallel
    if wanted in ("auto", name):
        return coder.decode_sequential if order == Order.SEQUENTIAL else coder.decode_images
    raise ShearlocError(f"the file is coded in {name} order, so it cannot be decoded in {wanted} order")


def _adapted(model: LocalModel, side_information: bytes) -> LocalModel:
    """The model with its biases adjusted; itself without side information. CorruptError where that does not fit."""
    if not side_information:
        return model
    try:
        return model.adjusted(adaptation.unpack(side_information, model.bias_count))
    except CorruptError:
        raise
    except ValueError as error:
        raise CorruptError(f"the file's side information does not fit its model ({error})") from error
