"""An autoencoder's prior, likelihood and posterior as codecs, and the bits-back code that they make.

Latents are bins of equal mass, int32 [n, latents]; images are uint8 [n, side, side, channels].
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...coding import bins, logistic
from ...coding.codec import BitsBack, Codec, Transformed
from ...coding.distributions import Symbols, bernoulli, gaussian, uniform
from ...nets.fixed_point import Numbers, Product
from ...types import Pixels
from .distributions import BERNOULLI_PRECISION, LOGISTIC, probabilities_of_one, rounded_log_sigmas
from .inference import refine
from .model import VaeModel
from .model import likelihood as likelihood_parameters
from .model import posterior as posterior_parameters
from .shape import BERNOULLI

Bins = NDArray[np.int32]


def bits_back(model: VaeModel, count: int, steps: int, product: Product) -> BitsBack[Pixels, Bins]:
    """Codes `count` images at once, with K = `steps` steps of optimal inference."""
    return BitsBack(
        prior(model, count, bins.BIN_BITS), likelihood(model, bins.BIN_BITS, product), posterior(model, steps, product)
    )


def prior(model: VaeModel, count: int, bits: int) -> Symbols:
    """p(z) of so many images' latents: uniform over 2^bits bins each."""
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
    if model.shape.likelihood == BERNOULLI:
        return bernoulli(probabilities_of_one(outputs), BERNOULLI_PRECISION)
    sigmoid, _, inverses = logistic.tables()
    rows = outputs.reshape(-1, outputs.shape[-1])
    parameters = (rows, sigmoid, inverses, model.channels)
    shape = (len(outputs), *model.image_shape)
    return Symbols(LOGISTIC, parameters, logistic.PRECISION, shape, logistic.LEVELS - 1, np.uint8, scratch=3)


def last_channel_first(images: Pixels) -> Pixels:
    """The channels the other way round; a view."""
    return images[..., ::-1]


def posterior(model: VaeModel, steps: int, product: Product) -> Callable[[Pixels], Symbols]:
    """q(z|x) after K = `steps` steps."""

    def of(images: Pixels) -> Symbols:
        means, log_sigmas = posteriors(model, images, steps, product)
        return gaussian(means.astype(np.int64), rounded_log_sigmas(log_sigmas))

    return of


def posteriors(model: VaeModel, images: Pixels, steps: int, product: Product) -> tuple[Numbers, Numbers]:
    """Mean and log standard deviation of q(z|x) after K = `steps` steps; float64 [n, latents] in 2^-16."""
    means, log_sigmas = posterior_parameters(model, images, product)
    return refine(model, images, means, log_sigmas, steps, product) if steps else (means, log_sigmas)
