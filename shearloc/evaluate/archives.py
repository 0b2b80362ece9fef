"""Rates and times of archives coded with bits-back: gross, net, and the quantised model's own -ELBO.

    python -m shearloc.evaluate archives mnist-binary --steps 0 --steps 8 --json archives.json

It measures an installed autoencoder, or the weights of a training run (`--weights`), on test images it never saw.
"""

import math
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import archive
from ..codec.info import archive_info
from ..coding.lengths import LENGTH_BITS
from ..models import zoo
from ..models.vae import chain as bitsback
from ..models.vae import codecs
from ..models.vae.model import VaeModel, likelihood
from ..nets.fixed_point import product_of
from ..types import Pixels


@dataclass(frozen=True)
class ArchiveRow:
    """One archive. Bits per dimension (subpixel); seconds are medians over the rounds, of a warm process."""

    steps: int
    images: int
    gross: float
    net: float
    negative_elbo: float
    encode_seconds: float
    decode_seconds: float
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with the two ratios of interest."""
        ratios = {"gross_over_net": self.gross / self.net, "net_over_negative_elbo": self.net / self.negative_elbo}
        return asdict(self) | ratios


def negative_elbo_bits(model: VaeModel, images: Pixels, steps: int, seed: int = 0) -> float:
    """The quantised model's -ELBO of uint8 [n, H, W, C] in bits, with fresh samples of the posterior.

    The probabilities are the coder's integers; the divergence is that of the Gaussians, in closed form.
    """
    product = product_of("numpy")
    draw = np.random.default_rng(seed)
    total = 0.0
    for part in np.array_split(images, max(1, len(images) // 250)):
        means, log_sigmas = codecs.posteriors(model, part, steps, product)
        sigmas = np.exp(np.rint(log_sigmas / 1024) / 64)
        z = np.rint(means + 65536 * sigmas * draw.normal(size=means.shape))
        symbols = codecs.pixel_symbols(model, likelihood(model, z, product))
        _, freqs = symbols.intervals(codecs.last_channel_first(part))
        total += symbols.precision * part.size - float(np.log2(freqs).sum())
        divergence = 0.5 * ((means / 65536) ** 2 + sigmas**2 - 1) - np.log(sigmas)
        total += float(divergence.sum()) / np.log(2)
    return total


def measure(model: VaeModel, images: Pixels, steps: int, rounds: int = 3) -> ArchiveRow:
    """Archive `images` and decode them, `rounds` times. A model that is not the zoo's codes them as one chain."""
    installed = model.name in zoo.names() and zoo.load(model.name).fingerprint == model.fingerprint
    encode_times, decode_times = [], []
    exact = True
    for _ in range(rounds):
        began = time.perf_counter()
        if installed:
            data = archive.encode_images(images, model=model.name, steps=steps)
            net = archive_info(data).net_bits
        else:
            chain = bitsback.encode_chain(model, images, steps, "numpy")
            data, net = chain.data, math.ceil(chain.net_bits / (1 << LENGTH_BITS))
        encoded = time.perf_counter()
        if installed:
            back = archive.decode_images(data)[0]
        else:
            back = bitsback.decode_chain(model, data, len(images), steps, "numpy")
        decode_times.append(time.perf_counter() - encoded)
        encode_times.append(encoded - began)
        exact &= bool((back.reshape(images.shape) == images).all())
    return ArchiveRow(
        steps=steps,
        images=len(images),
        gross=8 * len(data) / images.size,
        net=(net or 8 * len(data)) / images.size,
        negative_elbo=negative_elbo_bits(model, images, steps) / images.size,
        encode_seconds=statistics.median(encode_times),
        decode_seconds=statistics.median(decode_times),
        exact=exact,
    )


def model_for(dataset: str, weights: Path | None) -> VaeModel:
    """The zoo's model of a data set, or the exact model of a training run's float weights (which takes torch)."""
    if weights is None:
        return zoo.load_as(VaeModel, f"vae-{dataset}")
    from ..models.vae.shape import SHAPES
    from ..training.export_vae import export
    from ..training.vae_float import load_float

    return export(load_float(weights, SHAPES[dataset]), weights.stem)
