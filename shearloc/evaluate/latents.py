"""What an autoencoder's latents do: which it uses, what they cost, and what a better prior or encoder could save.

All figures are bits an image, means over the images, from one draw z of each posterior unless said otherwise:

    -ELBO        = distortion, -log2 p(x|z), and rate, KL(q(z|x) || p(z))
    rate         = mutual information + total correlation + sum of the latents' own divergences from the prior
    of a prior   = the last two: KL(q(z) || p(z)), which a perfect prior saves, and no more

The three parts need q(z), the mean of q(z|x) over the training data. Here it is a minibatch-weighted estimate from the
images that were given: each stands for as many of `population`. It finds no more mutual information than log2 of that;
what it does not find counts as total correlation.
Source: thesis on disentanglement, section 4.3, eq. 4.4; its KL of eq. 3.5 has the wrong sign, its IWAE lacks the log.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import measuring
from ..errors import ShearlocError
from ..models import zoo
from ..models.family import Latents
from ..types import Pixels

Floats = NDArray[np.float64]

ACTIVE_VARIANCE = 0.01
"""A latent is in use if the means of its posteriors vary by more over the images (Burda et al., 2016)."""
SAMPLES = 100
"""Draws of the importance-weighted bound."""
ROWS = 1 << 22
"""Numbers at a time in sums over all pairs of images."""
BITS = 1 / math.log(2)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Figures of a model's latents over `images` images, in bits. `divergences`, `variances` float64 [L]: of every
    latent, its KL and the variance of its posterior means."""

    images: int
    population: int
    samples: int
    distortion: float
    rate: float
    mutual_information: float
    total_correlation: float
    dimension_divergence: float
    importance_weighted: float
    divergences: Floats
    variances: Floats

    @property
    def negative_elbo(self) -> float:
        """Distortion and rate."""
        return self.distortion + self.rate

    @property
    def of_a_prior(self) -> float:
        """What a perfect prior could save at most."""
        return self.total_correlation + self.dimension_divergence

    @property
    def saturated(self) -> bool:
        """Whether there are too few images to tell mutual information from total correlation."""
        return self.mutual_information > 0.9 * math.log2(self.population)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which latents are in use."""
        return np.asarray(self.variances > ACTIVE_VARIANCE)

    def to_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        lists = {name: np.round(getattr(self, name), 6).tolist() for name in ("divergences", "variances")}
        more = {name: getattr(self, name) for name in ("negative_elbo", "of_a_prior", "saturated")}
        return vars(self) | more | lists | {"active": int(self.active.sum()), "latents": len(self.variances)}


def diagnose(
    images: Pixels,
    model: str,
    *,
    steps: int = 0,
    samples: int = SAMPLES,
    population: int | None = None,
    seed: int = 0,
) -> Diagnosis:
    """The figures for uint8 [N, H, W] or [N, H, W, C], N >= 2, drawn from `population` images (None: they are all).

    Errors as `shearloc.code_lengths`; ShearlocError also for a model without latents, or fewer than 2 images.
    """
    pixels, coder, how = measuring.prepared(images, model, steps, "auto")
    if len(pixels) < 2:
        raise ShearlocError("latents are compared over images: give at least 2")
    return of_latents(coder.latents(pixels, how), samples, max(population or 0, len(pixels)), seed)


def check_model(model: str) -> None:
    """ShearlocError for a model without latents."""
    if "steps" not in zoo.family_of(model).options:
        raise ShearlocError(f"model '{model}' has no latents; autoencoders have")


def of_latents(found: Latents, samples: int, population: int, seed: int) -> Diagnosis:
    """The figures of posteriors; `population` images or more than there are posteriors."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(found.means.shape)
    z = found.means + found.sigmas * noise
    joint, each = aggregate(found, z, population)
    own = _log_densities(z, found.means, found.sigmas).sum(1)
    prior = _log_densities(z, np.zeros(1), np.ones(1)).sum(1)
    divergences = 0.5 * (found.means**2 + found.sigmas**2 - 1) - np.log(found.sigmas)
    return Diagnosis(
        len(z),
        population,
        samples,
        float(found.bits(z).mean()),
        float(divergences.sum(1).mean() * BITS),
        float((own - joint).mean() * BITS),
        float((joint - each).mean() * BITS),
        float((each - prior).mean() * BITS),
        float(importance_weighted(found, samples, rng).mean()),
        divergences.mean(0) * BITS,
        found.means.var(0),
    )


def aggregate(found: Latents, z: Floats, population: int) -> tuple[Floats, Floats]:
    """ln q(z), and the sum of ln q(z_j) of every latent alone, float64 [n] each, of a draw z [n, L] of each posterior.

    Its own image is one of `population`, and the others stand for all the rest (Chen et al., 2018, appendix C).
    """
    n = len(z)
    joint, each = np.empty(n), np.empty(n)
    rows = max(1, ROWS // found.means.size)
    rest = math.log((population - 1) / population / (n - 1))
    for start in range(0, n, rows):
        own = np.arange(start, min(start + rows, n))
        densities = _log_densities(z[own, None], found.means, found.sigmas)  # [rows, n, L]
        weights = np.full((len(own), n), rest)
        weights[own - start, own] = -math.log(population)
        joint[own] = _log_sum(densities.sum(2) + weights, 1)
        each[own] = _log_sum(densities + weights[..., None], 1).sum(1)
    return joint, each


def importance_weighted(found: Latents, samples: int, rng: np.random.Generator) -> Floats:
    """-log2 of the importance-weighted estimate of p(x) with so many draws of q(z|x): float64 [n], a tighter bound."""
    weights = np.empty((samples, len(found.means)))
    for row in weights:
        z = found.means + found.sigmas * rng.standard_normal(found.means.shape)
        ratio = _log_densities(z, np.zeros(1), np.ones(1)) - _log_densities(z, found.means, found.sigmas)
        row[:] = ratio.sum(1) - found.bits(z) / BITS
    return (math.log(samples) - _log_sum(weights, 0)) * BITS


def _log_densities(z: Floats, means: Floats, sigmas: Floats) -> Floats:
    """ln N(z; mean, sigma^2) of every latent."""
    found: Floats = -0.5 * ((z - means) / sigmas) ** 2 - np.log(sigmas) - 0.5 * math.log(2 * math.pi)
    return found


def _log_sum(logs: Floats, axis: int) -> Floats:
    """ln of the sum of e^logs."""
    top = logs.max(axis, keepdims=True)
    found: Floats = np.log(np.exp(logs - top).sum(axis)) + top.squeeze(axis)
    return found
