"""An autoencoder's prior, likelihood and posterior as codecs, and the bits-back code that they make.

Latents are bins of equal mass, int32 [n, latents]; images are uint8 [n, side, side, channels].
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...coding import bins, logistic
from ...coding.codec import BitsBack, Codec, Transformed
from ...coding.distributions import Symbols, uniform
from ...nets.fixed_point import Numbers, Product
from ...types import Pixels
from .distributions import BERNOULLI_PRECISION, BINARY, LATENTS, LOGISTIC
from .inference import refine
from .model import VaeModel
from .model import likelihood as likelihood_parameters
from .model import posterior as posterior_parameters
from .shape import BERNOULLI

Bins = NDArray[np.int32]


def bits_back(
    model: VaeModel, count: int, product: Product, posterior: Callable[[Pixels], Codec[Bins]]
) -> BitsBack[Pixels, Bins]:
    """Codes `count` images at once."""
    return BitsBack(prior(model, count, bins.BIN_BITS), likelihood(model, bins.BIN_BITS, product), posterior)


def prior(model: VaeModel, count: int, bits: int) -> Symbols:
    """p(z) for `count` images' latents: uniform over 2^bits bins each."""
    return uniform(bits, (count, model.shape.latents))


def likelihood(model: VaeModel, bits: int, product: Product) -> Callable[[Bins], Codec[Pixels]]:
    """p(x|z), for latents in 2^bits bins."""
    return lambda z: pixels(model, likelihood_parameters(model, bins.centres(z, bits).astype(np.float64), product))


def pixels(model: VaeModel, outputs: Numbers) -> Codec[Pixels]:
    """The codec of images by the decoder network's outputs [n, side, side, outputs]."""
    symbols = pixel_symbols(model, outputs)
    return symbols if model.channels == 1 else Transformed(symbols, last_channel_first, last_channel_first)


def pixel_symbols(model: VaeModel, outputs: Numbers) -> Symbols:
    """The same of images whose channels come last first."""
    shape = (len(outputs), *model.image_shape)
    sigmoid, _, inverses = logistic.tables()
    if model.shape.likelihood == BERNOULLI:
        return Symbols(BINARY, (outputs.reshape(-1), sigmoid), BERNOULLI_PRECISION, shape, 1, np.uint8)
    parameters = (outputs.reshape(-1, outputs.shape[-1]), sigmoid, inverses, model.channels)
    return Symbols(LOGISTIC, parameters, logistic.PRECISION, shape, logistic.LEVELS - 1, np.uint8, scratch=3)


def last_channel_first(images: Pixels) -> Pixels:
    """The channels in reverse order; a view."""
    return images[..., ::-1]


def posterior(model: VaeModel, steps: int, product: Product) -> Callable[[Pixels], Symbols]:
    """q(z|x) after K = `steps` steps of optimal inference."""
    return lambda images: latent_symbols(*posteriors(model, images, steps, product))


def posteriors(model: VaeModel, images: Pixels, steps: int, product: Product) -> tuple[Numbers, Numbers]:
    """Mean and log standard deviation of q(z|x) after K = `steps` steps; float64 [n, latents] in 2^-16."""
    means, log_sigmas = posterior_parameters(model, images, product)
    return refine(model, images, means, log_sigmas, steps, product) if steps else (means, log_sigmas)


def latent_symbols(means: Numbers, log_sigmas: Numbers) -> Symbols:
    """The codec of latents under N(mean, sigma^2); float64 [n, latents] in 2^-16."""
    known = bins.tables()
    parameters = (means.reshape(-1), log_sigmas.reshape(-1), known.inverse, known.edges, known.phi)
    return Symbols(LATENTS, parameters, bins.PRECISION, means.shape, bins.BINS - 1)
