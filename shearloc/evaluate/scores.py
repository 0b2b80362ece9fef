"""Scores of how unlike a model's training data images are: code lengths, and differences of two. Larger is stranger.

    log-likelihood      bits under the model: fails for images that are simpler than the training data
    against a model     bits under the model minus bits under another:
                        a local one: -log2 of the non-local model (thesis, eq. 5.6), up to a constant
                        one for any images, or trained on perturbed ones: a likelihood ratio (Ren et al., 2019)
    against a codec     bits under the model minus a file's: input complexity (Serra et al., 2020)
    regret              bits that optimal inference saves an autoencoder: likelihood regret (Xiao et al., 2020)

All take uint8 [N, H, W] or [N, H, W, C] and give bits, float64 [N]: integers over 2^16, the same on every machine.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..codec import api
from ..coding.lengths import LENGTH_BITS
from ..errors import ShearlocError
from ..models import zoo
from ..types import Pixels
from .peers import Codec, peers

Bits = NDArray[np.float64]
Score = Callable[[Pixels, str, Bits], Bits]
"""(images, model, their bits under it) -> score of each image."""

CODECS = {"png": "PNG level 9", "webp": "WebP lossless method 6", "jxl": "JPEG XL effort 7", "jp2": "JPEG 2000"}
"""Classic codecs by the names that `--against` takes, and by those of `peers.py`."""

STEPS, DRAWS = 5, 16
"""K of a likelihood regret, if nobody says another, and draws of the latents for both of its -ELBOs."""


def log_likelihood(images: Pixels, model: str, steps: int = 0, draws: int = 1) -> Bits:
    """-log2 of the images' likelihood; of an autoencoder -ELBO, a mean of `draws`. Errors of `code_lengths`."""
    lengths: Bits = api.code_lengths(images, model, steps=steps, draws=draws) / (1 << LENGTH_BITS)
    return lengths


def against_model(images: Pixels, model: str, other: str) -> Bits:
    """Bits under `model` minus bits under `other`: a local model, a general one, or one of perturbed images."""
    return log_likelihood(images, model) - log_likelihood(images, other)


non_local = likelihood_ratio = against_model
"""The same difference by the names that it has where the other model is local, and where it is a background model."""


def input_complexity(images: Pixels, model: str, codec: str = "png") -> Bits:
    """Bits under `model` minus those of each image as a file of a classic codec, one of CODECS."""
    return log_likelihood(images, model) - file_bits(images, codec)


def regret(images: Pixels, model: str, steps: int = STEPS) -> Bits:
    """Bits that K = `steps` steps of optimal inference save an autoencoder: its decoder fixed, its posterior free.

    Both -ELBOs are the mean of DRAWS, at the same quantiles of the posterior, so that the difference has little noise.
    ShearlocError for a model without steps.
    """
    after = log_likelihood(images, model, steps, DRAWS)
    return log_likelihood(images, model, 0, DRAWS) - after


def file_bits(images: Pixels, codec: str) -> Bits:
    """8 bits for each byte of each image as a file of its own. ShearlocError for a codec that is not here."""
    encode = _codec(codec).encode
    flat = images[..., 0] if images.shape[3:] == (1,) else images
    return np.array([8.0 * len(encode(np.ascontiguousarray(image))) for image in flat])


def chosen(against: str | None, steps: int | None = None) -> tuple[str, Score]:
    """The name of a score, and how it comes of the bits: against a model or a codec, a regret, or the bits themselves.

    The name is the one in cards. ShearlocError for both at once, or a codec that is not here; UnknownModelError.
    """
    if against is not None and steps is not None:
        raise ShearlocError("a score is --against something or a --regret, not both")
    if steps is not None:
        return f"regret {steps}", lambda images, model, bits: regret(images, model, steps)
    if against is None:
        return "bits", lambda images, model, bits: bits
    if against in CODECS:
        _codec(against)
        return f"against {against}", lambda images, model, bits: bits - file_bits(images, against)
    name = zoo.load(against).name
    return f"against {name}", lambda images, model, bits: bits - log_likelihood(images, against)


def _codec(name: str) -> Codec:
    """A classic codec, of imagecodecs or Pillow."""
    if name not in CODECS:
        raise ShearlocError(f"no codec is called '{name}'; there are {', '.join(CODECS)}")
    here = peers()
    found = here.get(CODECS[name]) or here.get(f"{CODECS[name]} (Pillow)")
    if found is None:
        raise ShearlocError(f"{CODECS[name]} is not installed: pip install imagecodecs")
    return found
