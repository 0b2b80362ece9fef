"""Bits-back coding (thesis, algorithms 1 and 2): images in a chain, by an autoencoder, over one rANS stack.

Prior, likelihood and posterior are pairs of push and pop; their composition codes a round of several images at once:

    encode: pop z ~ q(z|x);  push x ~ p(x|z);  push z ~ p(z)         decode: the inverse, backwards

What the posterior pops are bits that earlier images left on the stack. At first there are none, so the first image is
coded *plainly*: its latents are the posterior's means on a coarse grid, nothing is popped. From then on a round
takes as many images as the stack can pay for, which grows quickly, up to ROUND. Nothing is ever invented: a stack
that has too few bits refuses, and the round is made smaller.

A chain is stored as

    u8: coarse bits | u8: lanes | varint: rounds | each round's images, varint, 0 for one plain image | message

where the message is `rans.to_bytes`'s. This file knows no files: archives are `archive.py`'s.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...coding import rans
from ...coding.fields import take, take_varint, varint
from ...coding.logistic import PRECISION, tables
from ...coding.rans import Message
from ...errors import CorruptError, UnsupportedImageError
from ...nets.fixed_point import Numbers, Product, product_of
from ...types import Pixels
from . import distributions as vae_cdf
from .inference import refine
from .model import VaeModel, likelihood, posterior
from .shape import BERNOULLI

ROUND = 256
"""Images of a round at most."""

LANES = 8
"""Lanes of a chain of at least MANY images, 4 bytes each; shorter ones have one."""
MANY = 64

COARSE_BITS = range(3, 11)
"""What the encoder tries for a plain image's latents."""

Bins = NDArray[np.int32]


@dataclass(frozen=True)
class Chain:
    """A coded chain: its bytes; `net_bits`, what bits-back coding cost by itself, latents returned; `plain` images, and
    `initial_bits`, what they cost beyond that because nothing was there to pop."""

    data: bytes
    net_bits: float
    initial_bits: float
    plain: int


def check_images(model: VaeModel, images: Pixels, names: list[str] | None = None) -> None:
    """UnsupportedImageError, with the first image's name or number, for images the model cannot code.

    `images` uint8 [n, H, W, C].
    """
    shape = model.shape
    wanted = (shape.side, shape.side, shape.channels)
    if images.shape[1:] != wanted:
        size, needed = (f"{s[0]} x {s[1]} x {s[2]}" for s in (images.shape[1:], wanted))
        raise UnsupportedImageError(f"model '{model.name}' codes images of {needed}, these are {size}")
    if shape.likelihood == BERNOULLI:
        bad = (images > 1).reshape(len(images), -1).any(1)
        if bad.any():
            k = int(bad.argmax())
            name = f"'{names[k]}'" if names else f"{k}"
            raise UnsupportedImageError(
                f"model '{model.name}' codes pixels 0 and 1 only, and image {name} has others; "
                "binarise first, for example (image > 127).astype(numpy.uint8)"
            )


def encode_chain(model: VaeModel, images: Pixels, steps: int, engine: str) -> Chain:
    """Codes uint8 [n, side, side, channels], n >= 1, with K = `steps` steps of optimal inference for every image."""
    product = product_of(engine)
    images = np.ascontiguousarray(images)
    means, log_sigmas = posteriors(model, images, steps, product)
    message = rans.empty(LANES if len(images) >= MANY else 1)
    rounds: list[int] = []
    coarse, start, initial_bits = 0, 0, 0.0
    while start < len(images):
        count = _affordable(message, model.shape.latents, len(images) - start)
        bins = None
        while count and bins is None:
            part = slice(start, start + count)
            bins = _try_pop_latents(message, means[part], log_sigmas[part])
            count = count if bins is not None else count // 2
        if bins is None:
            coarse = coarse or _best_coarse(model, images[start : start + 1], means[start], product)
            plain = _coarse_bins(means[start : start + 1], coarse)
            _push_images(message, model, images[start : start + 1], plain, coarse, product)
            initial_bits += _posterior_bits(means[start], log_sigmas[start], plain[0], coarse)
        else:
            _push_images(message, model, images[start : start + count], bins, vae_cdf.BIN_BITS, product)
        rounds.append(count)
        start += max(count, 1)
    head = bytes([coarse, message.lanes]) + b"".join(map(varint, [len(rounds), *rounds]))
    net_bits = rans.bits(message) - 32 * message.lanes - initial_bits
    return Chain(head + rans.to_bytes(message), net_bits, initial_bits, rounds.count(0))


def decode_chain(model: VaeModel, data: bytes, count: int, steps: int, engine: str) -> Pixels:
    """The uint8 [count, side, side, channels] that `encode_chain` coded. CorruptError if `data` cannot be its work."""
    product = product_of(engine)
    stream = io.BytesIO(data)
    coarse, lanes = take(stream, 2)
    length = take_varint(stream)
    rounds = [take_varint(stream) for _ in range(length)] if length <= count else []
    if sum(max(r, 1) for r in rounds) != count or not lanes or not 0 < coarse < vae_cdf.BIN_BITS:
        raise CorruptError(f"the chain's rounds do not hold its {count} images")
    message = rans.from_bytes(stream.read(), lanes)
    images = np.empty((count, model.shape.side, model.shape.side, model.shape.channels), np.uint8)
    end = count
    for size in reversed(rounds):
        part = images[end - max(size, 1) : end]
        bins = _pop_images(message, model, part, coarse if size == 0 else vae_cdf.BIN_BITS, product)
        if size:
            means, log_sigmas = posteriors(model, part, steps, product)
            _push_latents(message, means, log_sigmas, bins)
        end -= len(part)
    if not rans.is_empty(message):
        raise CorruptError("the chain does not end empty: it was cut short or damaged")
    return images


# --- One round --------------------------------------------------------------------------------------------------


def posteriors(model: VaeModel, images: Pixels, steps: int, product: Product) -> tuple[Numbers, Numbers]:
    """Mean and log standard deviation of q(z|x) after K = `steps` steps; float64 [n, latents] in 2^-16."""
    means, log_sigmas = posterior(model, images, product)
    return refine(model, images, means, log_sigmas, steps, product) if steps else (means, log_sigmas)


def _latents(bins: Bins, bits: int) -> Numbers:
    """The latents [n, latents] that bins of 2^-bits stand for."""
    return vae_cdf.centres(bins, bits)


def _push_images(message: Message, model: VaeModel, images: Pixels, bins: Bins, bits: int, product: Product) -> None:
    """Push x ~ p(x|z), then z ~ p(z), uniform over 2^bits bins."""
    outputs = likelihood(model, _latents(bins, bits), product)
    starts, freqs, precision = pixel_intervals(model, outputs, images)
    rans.push(message, starts, freqs, precision)
    flat = bins.reshape(-1).astype(np.uint32)
    rans.push(message, flat, np.ones_like(flat), bits)


def _pop_images(message: Message, model: VaeModel, images: Pixels, bits: int, product: Product) -> Bins:
    """The inverse: fills `images` and returns the latents' bins [n, latents]."""
    if len(images) * model.shape.latents * bits > 64 * message.lanes + 32 * message.size:
        raise CorruptError("the chain is cut short: its stack has too few bits")
    bins = np.empty((len(images), model.shape.latents), np.int32)
    _pop(message, vae_cdf.pop_uniform, bits, bins.reshape(-1))
    outputs = likelihood(model, _latents(bins, bits), product)
    sigmoid, _, inverses = tables()
    if model.shape.likelihood == BERNOULLI:
        _pop(message, vae_cdf.pop_bernoulli, outputs.reshape(-1), sigmoid, images.reshape(-1))
    else:
        pixels = images.reshape(-1, model.shape.channels)
        _pop(message, vae_cdf.pop_logistic, outputs.reshape(len(pixels), -1), sigmoid, inverses, pixels)
    return bins


def pixel_intervals(
    model: VaeModel, outputs: Numbers, images: Pixels
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], int]:
    """start and freq, uint32 [samples] in the order of coding, and the precision, of images under p(x|z)."""
    starts, freqs = np.empty(images.size, np.uint32), np.empty(images.size, np.uint32)
    sigmoid, _, inverses = tables()
    if model.shape.likelihood == BERNOULLI:
        vae_cdf.bernoulli_intervals(outputs.reshape(-1), images.reshape(-1), sigmoid, starts, freqs)
        return starts, freqs, vae_cdf.BERNOULLI_PRECISION
    pixels = images.reshape(-1, model.shape.channels)
    vae_cdf.logistic_intervals(outputs.reshape(len(pixels), -1), pixels, sigmoid, inverses, starts, freqs)
    return starts, freqs, PRECISION


def _push_latents(message: Message, means: Numbers, log_sigmas: Numbers, bins: Bins) -> None:
    """Push z ~ q(z|x)."""
    flat = bins.reshape(-1)
    starts, freqs = np.empty(flat.size, np.uint32), np.empty(flat.size, np.uint32)
    latents = vae_cdf.latent_tables()
    vae_cdf.latent_intervals(
        means.reshape(-1), log_sigmas.reshape(-1), flat, latents.edges, latents.phi, latents.inverse, starts, freqs
    )
    rans.push(message, starts, freqs, vae_cdf.LATENT_PRECISION)


def _try_pop_latents(message: Message, means: Numbers, log_sigmas: Numbers) -> Bins | None:
    """Pop z ~ q(z|x), the inverse of `_push_latents`; None, and nothing changed, where the stack is too short."""
    bins = np.empty(means.shape, np.int32)
    latents = vae_cdf.latent_tables()
    arguments = (means.reshape(-1), log_sigmas.reshape(-1), latents.edges, latents.phi, latents.inverse)
    try:
        _pop(message, vae_cdf.pop_latents, *arguments, bins.reshape(-1))
    except CorruptError:
        return None
    return bins


def _pop(message: Message, kernel: Callable[..., int], *arguments: object) -> None:
    """Run a kernel that pops; CorruptError, and the message as it was, where the stack is too short."""
    heads = message.heads.copy()
    size = kernel(heads, message.words, message.size, *arguments)
    if size == rans.EMPTY:
        raise CorruptError("the chain is cut short: its stack has too few bits")
    message.heads, message.size = heads, size


def _affordable(message: Message, latents: int, left: int) -> int:
    """How many images' latents the stack's words may pay for, at 15 bits each; a guess that `encode_chain` corrects."""
    return min(ROUND, left, 32 * message.size // (15 * latents))


# --- Plain images -----------------------------------------------------------------------------------------------


def _coarse_bins(means: Numbers, bits: int) -> Bins:
    """The bins of 2^-bits that hold the means [n, latents]."""
    edges = vae_cdf.latent_tables().edges[1 : vae_cdf.BINS]
    fine = np.searchsorted(edges, means.astype(np.int64) << (vae_cdf.EDGE_BITS - vae_cdf.UNIT_BITS), "right")
    return (fine >> (vae_cdf.BIN_BITS - bits)).astype(np.int32)


def _best_coarse(model: VaeModel, image: Pixels, mean: Numbers, product: Product) -> int:
    """The grid on which this image [1, ...] takes the fewest bits, told by integers: the file states which it is."""

    def length(bits: int) -> tuple[int, int]:
        trial = rans.empty(1)
        _push_images(trial, model, image, _coarse_bins(mean[None], bits), bits, product)
        return trial.size, int(trial.heads[0])

    return min(COARSE_BITS, key=length)


def _posterior_bits(mean: Numbers, log_sigma: Numbers, bins: Bins, bits: int) -> float:
    """-log2 of the posterior's mass in these coarse bins: what bits-back coding would have given back."""
    shift = vae_cdf.BIN_BITS - bits
    below, above = (vae_cdf.latent_cdf(mean, log_sigma, bins + k << shift) for k in (0, 1))
    return float((vae_cdf.LATENT_PRECISION - np.log2(above - below)).sum())
