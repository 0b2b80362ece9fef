"""Code lengths of images under an autoencoder, -ELBO with draws of the latents, and samples of it; in integers.

    -ELBO = -log2 p(x|z) - log2 p(z) + log2 q(z|x),   z the quantile of q(z|x) at pseudo-random words

which is what bits-back coding costs if these words are on the message. The words come of the image's own checksum, so
an image has the same length in any company, and at any K the same quantiles: differences of K have little noise.
"""

import zlib

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...coding import bins, pseudorandom
from ...coding.codec import Joint
from ...coding.lengths import LENGTH_BITS, code_lengths
from ...errors import ShearlocError
from ...kernels import KERNEL
from ...nets.fixed_point import LIMIT, Numbers, Product
from ...types import Pixels, Size
from ..family import Latents
from . import codecs
from .distributions import sigma_index
from .inference import sigmas
from .model import VaeModel
from .startup import ROUND


def lengths(
    model: VaeModel, images: Pixels, steps: int, draws: int, product: Product
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bits of uint8 [n, side, side, channels] in 2^-16, after K = `steps` steps of optimal inference; means of `draws`.

    int64 of the images' shape, of the pixels given the latents; and int64 [n], of the latents.
    """
    images = np.ascontiguousarray(images)
    pixels, latents = np.zeros(images.shape, np.int64), np.zeros(len(images), np.int64)
    for start in range(0, len(images), ROUND):
        part = slice(start, start + ROUND)
        means, log_sigmas = codecs.posteriors(model, images[part], steps, product)
        targets = quantiles(images[part], draws * model.shape.latents).reshape(-1, draws, model.shape.latents)
        for k in range(draws):
            z, freqs = draw(means, log_sigmas, np.ascontiguousarray(targets[:, k]))
            pixels[part] += pixel_lengths(model, images[part], bins.centres(z).astype(np.float64), product)
            latents[part] += ((bins.BIN_BITS << LENGTH_BITS) - code_lengths(freqs, bins.PRECISION)).sum(1)
    return pixels // draws, latents // draws


def pixel_lengths(model: VaeModel, images: Pixels, z: Numbers, product: Product) -> NDArray[np.int64]:
    """-log2 p(x|z) of every subpixel of uint8 [n, side, side, channels], int64, for latents [n, latents] in 2^-16."""
    symbols = codecs.pixel_symbols(model, codecs.likelihood_parameters(model, z, product))
    _, freqs = symbols.intervals(codecs.last_channel_first(images))
    return code_lengths(freqs, symbols.precision)[..., ::-1]


def latents(model: VaeModel, images: Pixels, steps: int, product: Product) -> Latents:
    """The posteriors after K = `steps` steps of optimal inference, and what pixels cost given latents."""
    images, one = np.ascontiguousarray(images), float(1 << bins.UNIT_BITS)
    means, log_sigmas = codecs.posteriors(model, images, steps, product)

    def bits(z: NDArray[np.float64]) -> NDArray[np.float64]:
        fixed = np.rint(np.clip(z * one, -LIMIT, LIMIT))
        lengths = pixel_lengths(model, images, fixed, product).sum((1, 2, 3))
        return np.asarray(lengths / (1 << LENGTH_BITS))

    return Latents(means / one, sigmas(log_sigmas) / one, bits)


def quantiles(images: Pixels, count: int) -> NDArray[np.int64]:
    """Pseudo-random numbers from 0 to 2^28 - 1, int64 [n, count]; they depend on the image alone."""
    seeds = np.array([_seed(image) for image in images], np.uint64)
    return (pseudorandom.words(seeds, count) >> np.uint32(32 - bins.PRECISION)).astype(np.int64)


def _seed(image: Pixels) -> int:
    """A number of 32 bits that changes with the image."""
    return zlib.crc32(image.tobytes())


def draw(means: Numbers, log_sigmas: Numbers, targets: NDArray[np.int64]) -> tuple[codecs.Bins, NDArray[np.int64]]:
    """The bins int32 [n, latents] that hold these quantiles of q(z|x), and their frequencies of 2^28, int64."""
    known = bins.tables()
    z, freqs = np.empty(means.shape, np.int32), np.empty(means.shape, np.int64)
    flat = [array.reshape(-1) for array in (means, log_sigmas, targets, z, freqs)]
    _draw(*flat[:3], known.inverse, known.edges, known.phi, *flat[3:])
    return z, freqs


@njit(**KERNEL)
def _draw(means, log_sigmas, targets, inverses, edges, phi, z, freqs):  # type: ignore[no-untyped-def]
    for k in range(z.size):
        inverse = inverses[sigma_index(log_sigmas[k])]
        z[k], _, freqs[k] = bins.bin_search(targets[k], np.int64(means[k]), inverse, edges, phi)


def sample(model: VaeModel, size: Size, seed: int, product: Product) -> Pixels:
    """The uint8 [n, side, side, channels] of size (n, side, side) that pseudo-random words decode to.

    ShearlocError for another size than the model's.
    """
    count, side = size[0], model.shape.side
    if size[1:] != (side, side):
        raise ShearlocError(f"model '{model.name}' has images of {side} x {side} only, not {size[1]} x {size[2]}")
    most = bins.BIN_BITS * model.shape.latents + codecs.logistic.PRECISION * model.shape.samples
    message = pseudorandom.message(seed, [count * most // 32 + 1])
    images = np.empty((count, *model.image_shape), np.uint8)
    for start in range(0, count, ROUND):
        part = images[start : start + ROUND]
        prior = codecs.prior(model, len(part), bins.BIN_BITS)
        part[...] = Joint(prior, codecs.likelihood(model, bins.BIN_BITS, product)).pop(message)[0]
    return images
