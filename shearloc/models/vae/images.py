"""Codes images with an autoencoder: the family's interface to the bits-back chain."""

from ...nets.engines import processors
from ...nets.fixed_point import product_of
from ...types import Pixels, Size
from ..family import Coded, How, Latents, Lengths
from . import chain, lengths
from .model import VaeModel, parse_as


class Vae(VaeModel):
    """An autoencoder that codes images."""

    def refuses(self, shape: tuple[int, ...], levels: int = 256) -> str | None:
        """As `family.Model.refuses`."""
        if tuple(shape) != self.image_shape:
            size, needed = (f"{s[0]} x {s[1]} x {s[2]}" for s in (shape, self.image_shape))
            return f"model '{self.name}' codes images of {needed}, these are {size}"
        if levels > self.levels:
            return (
                f"model '{self.name}' codes pixels 0 and 1 only; binarise first, for example "
                "(image > 127).astype(numpy.uint8)"
            )
        return None

    def engine_for(self, engine: str, samples: int) -> str:
        """As `family.Model.engine_for`: the engines of the exact networks choose for themselves."""
        return engine

    def at_once(self, size: Size, engine: str, count: int) -> int:
        """As `family.Model.at_once`."""
        return min(processors(), count)

    def encode(self, images: Pixels, how: How, side_information: bytes = b"") -> Coded:
        """As `family.Model.encode`; there is no side information."""
        coded = chain.encode_chain(self, images, how.steps, how.engine)
        return Coded(coded.data, net_bits=coded.net_bits)

    def decode(self, coded: Coded, size: Size, how: How) -> Pixels:
        """As `family.Model.decode`."""
        return chain.decode_chain(self, coded.payload, size[0], how.steps, how.engine)

    def lengths(self, images: Pixels, how: How) -> Lengths:
        """As `family.Model.lengths`."""
        return Lengths(*lengths.lengths(self, images, how.steps, how.draws, product_of(how.engine)))

    def latents(self, images: Pixels, how: How) -> Latents:
        """As `family.Model.latents`."""
        return lengths.latents(self, images, how.steps, product_of(how.engine))

    def sample(self, size: Size, seed: int, how: How) -> Pixels:
        """As `family.Model.sample`, of the model's size."""
        return lengths.sample(self, size, seed, product_of(how.engine))


def parse(data: bytes, name: str, source: str) -> Vae:
    """As `family.Family.parse`."""
    return parse_as(Vae, data, name, source)
