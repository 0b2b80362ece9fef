"""Codes images with an autoencoder: the family's interface to the bits-back chain."""

from ...nets.engines import processors
from ...types import Pixels, Size
from ..family import Coded, How
from . import chain
from .model import VaeModel


def refuses(model: VaeModel, shape: tuple[int, ...], levels: int) -> str | None:
    """As `family.Model.refuses`."""
    if tuple(shape) != model.image_shape:
        size, needed = (f"{s[0]} x {s[1]} x {s[2]}" for s in (shape, model.image_shape))
        return f"model '{model.name}' codes images of {needed}, these are {size}"
    if levels > model.levels:
        return (
            f"model '{model.name}' codes pixels 0 and 1 only; binarise first, for example "
            "(image > 127).astype(numpy.uint8)"
        )
    return None


def at_once(count: int) -> int:
    """As `family.Model.at_once`."""
    return min(processors(), count)


def encode(model: VaeModel, images: Pixels, how: How) -> Coded:
    """As `family.Model.encode`."""
    coded = chain.encode_chain(model, images, how.steps, how.engine)
    return Coded(coded.data, net_bits=coded.net_bits)


def decode(model: VaeModel, coded: Coded, size: Size, how: How) -> Pixels:
    """As `family.Model.decode`."""
    return chain.decode_chain(model, coded.payload, size[0], how.steps, how.engine)
