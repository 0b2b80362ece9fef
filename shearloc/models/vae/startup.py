"""Starts a chain, when there are no bits to pop latents from: a few plain images, then growing rounds.

The first images are coded *plainly*: their latents are the posterior's means on a coarse grid, and nothing is popped.
Then each round takes as many images as the message can pay for, which grows quickly, up to ROUND. No bits are invented:
if a message has too few, the round is made smaller.
"""

from dataclasses import dataclass

import numpy as np

from ...coding import bins
from ...coding.codec import Codec, Joint
from ...coding.lengths import code_lengths
from ...coding.message import Message
from ...errors import CorruptError
from ...nets.fixed_point import Numbers, Product
from ...types import Pixels
from . import codecs
from .codecs import Bins
from .model import VaeModel

ROUND = 256
"""Most images in a round."""

COARSE_BITS = range(3, 11)
"""Bits of the grids that the encoder tries for a plain image's latents."""


@dataclass
class Started:
    """How images were pushed: each round's images, 0 for one plain image; the plain images' grid of 2^-coarse, 0 where
    there are none; and what bits-back coding would have given back for them, in 2^-16 bits."""

    rounds: list[int]
    coarse: int = 0
    initial_bits: int = 0


def push_images(message: Message, model: VaeModel, images: Pixels, steps: int, product: Product) -> Started:
    """Pushes uint8 [n, side, side, channels], in rounds as large as the message can pay for."""
    # All posteriors at once: the first rounds are too small to keep a network busy.
    means, log_sigmas = codecs.posteriors(model, images, steps, product)
    done, start = Started([]), 0
    while start < len(images):
        count = min(ROUND, len(images) - start, _affordable(message, model.shape.latents))
        while count:
            part = slice(start, start + count)
            if _pushed(message, model, images[part], codecs.latent_symbols(means[part], log_sigmas[part]), product):
                break
            count //= 2
        else:
            part = slice(start, start + 1)
            _push_plainly(message, model, images[part], means[part], log_sigmas[part], product, done)
        done.rounds.append(count)
        start += max(count, 1)
    return done


def plain(model: VaeModel, bits: int, product: Product) -> Joint[Pixels, Bins]:
    """The codec of one plain image and its latents, on a grid of 2^bits."""
    return Joint(codecs.prior(model, 1, bits), codecs.likelihood(model, bits, product))


def _affordable(message: Message, latents: int) -> int:
    """Images whose latents the message's words may pay for, at 15 bits each; a guess that `push_images` corrects."""
    return 32 * message.size // (15 * latents)


def _pushed(message: Message, model: VaeModel, images: Pixels, posterior: Codec[Bins], product: Product) -> bool:
    """Whether the message could pay for these images, given their posterior; else it is as it was."""
    try:
        codecs.bits_back(model, len(images), product, lambda _: posterior).push(message, images)
    except CorruptError:
        return False
    return True


def _push_plainly(
    message: Message,
    model: VaeModel,
    image: Pixels,
    means: Numbers,
    log_sigmas: Numbers,
    product: Product,
    done: Started,
) -> None:
    """Pushes one image [1, ...]; the first image of all chooses the grid with the fewest bits."""
    done.coarse = done.coarse or _best_coarse(model, image, means, product)
    latents = bins.bins_of(means.astype(np.int64), done.coarse)
    plain(model, done.coarse, product).push(message, (image, latents))
    done.initial_bits += _posterior_bits(means, log_sigmas, latents, done.coarse)


def _best_coarse(model: VaeModel, image: Pixels, means: Numbers, product: Product) -> int:
    """The grid with the fewest bits for this image, chosen by integers; the file records it."""

    def length(bits: int) -> tuple[int, int]:
        trial = Message.empty()
        plain(model, bits, product).push(trial, (image, bins.bins_of(means.astype(np.int64), bits)))
        return trial.size, int(trial.heads[0])

    return min(COARSE_BITS, key=length)


def _posterior_bits(means: Numbers, log_sigmas: Numbers, latents: Bins, bits: int) -> int:
    """-log2 of the posterior's mass in these coarse bins, in 2^-16 bits."""
    shift = bins.BIN_BITS - bits
    symbols = codecs.latent_symbols(means, log_sigmas)
    first, last = (symbols.intervals(fine) for fine in (latents << shift, (latents + 1 << shift) - 1))
    freqs = last[0] + last[1] - first[0]
    return int(code_lengths(freqs, bins.PRECISION).sum())
