"""The shape of a variational autoencoder and the steps its two networks are made of.

Both the float network that trains (`vae_float.py`) and the exact one that codes (`vae.py`) are built from these
steps; this file has no arithmetic. An activation is an array [images, side, side, channels].

    ("dense", inputs, outputs)   a linear map of the channels at every position
    ("relu",)
    ("block", width)             x + dense(relu(conv(relu(x)))), conv: 3 x 3 positions, zeros outside
    ("fold", s)                  s x s positions become one, their channels side by side (row, column, channel)
    ("unfold", s)                the inverse

A fully connected network folds the whole image into one position.
"""

from dataclasses import astuple, dataclass
from typing import Any

Step = tuple[Any, ...]

BERNOULLI, LOGISTIC = "bernoulli", "logistic"

MAX_SIDE, MAX_WIDTH, MAX_BLOCKS = 256, 1 << 14, 64
"""Limits of a model. A file may bring its own model, so these bound what an image costs."""


@dataclass(frozen=True)
class VaeShape:
    """Images of side x side x channels; `latents` Gaussian latents; `width` hidden units or channels.

    `likelihood`: "bernoulli" (pixels 0 and 1, one channel) or "logistic" (discretised, 0 .. 255; with three
    channels each mean is linear in the pixel's earlier channels). `blocks` 0: fully connected with two hidden layers
    in each network; otherwise that many residual blocks in each, on positions of 4 x 4 pixels that share the latents.
    `pooled`: latents belong to the whole image instead, and a dense step between them and all positions.
    """

    side: int
    channels: int
    likelihood: str
    latents: int
    width: int
    blocks: int = 0
    pooled: bool = False

    @property
    def samples(self) -> int:
        """Subpixels of an image."""
        return self.side * self.side * self.channels

    @property
    def outputs(self) -> int:
        """Likelihood parameters of a pixel: a logit, or means, log-scales and coefficients."""
        return 1 if self.likelihood == BERNOULLI else 2 * self.channels + self.channels * (self.channels - 1) // 2

    @property
    def offset(self) -> int:
        """What is subtracted from a pixel before it enters a network: colours are centred."""
        return 128 if self.channels == 3 else 0


def encoder_steps(shape: VaeShape) -> list[Step]:
    """From pixels [n, side, side, channels] to [n, p, p, 2 * latents / p^2]: means, then log standard deviations."""
    if not shape.blocks:
        inner: list[Step] = [("dense", shape.samples, shape.width), ("relu",), ("dense", shape.width, shape.width)]
        return [("fold", shape.side), *inner, ("relu",), ("dense", shape.width, 2 * shape.latents)]
    side = shape.side // 4
    last: list[Step] = [("dense", shape.width, 2 * shape.latents // side**2)]
    if shape.pooled:
        last = [("fold", side), ("dense", side**2 * shape.width, 2 * shape.latents)]
    first = ("dense", 16 * shape.channels, shape.width)
    return [("fold", 4), first, *shape.blocks * [("block", shape.width)], ("relu",), *last]


def decoder_steps(shape: VaeShape) -> list[Step]:
    """From latents [n, p, p, latents / p^2] to likelihood parameters [n, side, side, outputs]."""
    if not shape.blocks:
        inner: list[Step] = [("dense", shape.latents, shape.width), ("relu",), ("dense", shape.width, shape.width)]
        last = ("dense", shape.width, shape.side**2 * shape.outputs)
        return [*inner, ("relu",), last, ("unfold", shape.side)]
    side = shape.side // 4
    first: list[Step] = [("dense", shape.latents // side**2, shape.width)]
    if shape.pooled:
        first = [("dense", shape.latents, side**2 * shape.width), ("unfold", side)]
    blocks = shape.blocks * [("block", shape.width)]
    return [*first, *blocks, ("relu",), ("dense", shape.width, 16 * shape.outputs), ("unfold", 4)]


def latent_side(shape: VaeShape) -> int:
    """Positions along a side that the latents are spread over: 1 where they belong to the whole image."""
    return shape.side // 4 if shape.blocks and not shape.pooled else 1


def check(shape: VaeShape) -> None:
    """ValueError for a shape that is not possible."""
    side, channels, likelihood, *sizes, blocks, pooled = astuple(shape)
    if likelihood not in (BERNOULLI, LOGISTIC):
        raise ValueError(f"the likelihood '{likelihood}' is not known")
    if not all(type(size) is int for size in (side, channels, *sizes, blocks)):
        raise ValueError("a size is not a whole number")
    if not (1 <= side <= MAX_SIDE and channels in (1, 3) and all(1 <= size <= MAX_WIDTH for size in sizes)):
        raise ValueError(f"{side} x {side} x {channels}, latents and width {sizes}: a size is out of range")
    if likelihood == BERNOULLI and channels != 1:
        raise ValueError("a Bernoulli likelihood is for one channel")
    if type(pooled) is not bool or (pooled and not blocks):
        raise ValueError("only positions of residual blocks can be pooled")
    if not 0 <= blocks <= MAX_BLOCKS or (blocks and (side % 4 or sizes[0] % latent_side(shape) ** 2)):
        raise ValueError("blocks do not fit the side and latents")


def largest_tape(shape: VaeShape) -> int:
    """Numbers that one image's pass through a network holds, about."""
    positions = (shape.side // 4 if shape.blocks else 1) ** 2
    return shape.samples + shape.side**2 * shape.outputs + positions * shape.width * (9 + 2 * shape.blocks)


SHAPES = {
    "mnist-binary": VaeShape(28, 1, BERNOULLI, latents=16, width=500),
    "mnist": VaeShape(28, 1, LOGISTIC, latents=32, width=500),
    "fashion-mnist": VaeShape(28, 1, LOGISTIC, latents=64, width=32, blocks=2, pooled=True),
    "cifar10": VaeShape(32, 3, LOGISTIC, latents=1024, width=64, blocks=2),
}
"""The shipped autoencoders, by data set."""
