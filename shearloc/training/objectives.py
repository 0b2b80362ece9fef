"""Objectives for training and judging variational autoencoders: bounds and inference objectives, in bits per image.

Every function returns one number for each image, [n], to be minimised; none updates a network. Equation numbers are
the thesis's (chapter 4).
"""

import math

import torch
from torch import Tensor

from .vae_float import BITS, Vae, divergence_bits

LATENT_LIMIT = 4.17
"""Latents further out fall into the last bins of mass 2^-16 (`vae/distributions.py`) and decode to these values."""


def negative_elbo(net: Vae, pixels: Tensor, weight: float = 1.0) -> Tensor:
    """-ELBO with one sample of the latents (eq. 4.2): amortised inference, the wake phase.

    A `weight` of the divergence below 1 keeps latents in use while a network begins to train.
    """
    return negative_elbo_from(net, pixels, pixels, weight)


def negative_elbo_from(net: Vae, pixels: Tensor, seen: Tensor, weight: float = 1.0) -> Tensor:
    """-ELBO of `pixels` where the encoder sees `seen` (both [n, side, side, channels])."""
    mean, log_sigma = net.posterior(seen)
    z = (mean + log_sigma.exp() * torch.randn_like(mean)).clamp(-LATENT_LIMIT, LATENT_LIMIT)
    return net.pixel_bits(net.parameters_of(z), pixels) + weight * divergence_bits(mean, log_sigma)


@torch.no_grad()
def dream(net: Vae, pixels: Tensor, aggregate: bool) -> tuple[Tensor, Tensor]:
    """Samples of the model: latents [n, latents] and pixels drawn from p(x|z), as many as `pixels` [n, ...].

    The latents come from the prior or, with `aggregate`, from the aggregate posterior: q(z|x) of `pixels`.
    """
    if aggregate:
        mean, log_sigma = net.posterior(pixels)
        z = mean + log_sigma.exp() * torch.randn_like(mean)
    else:
        z = torch.randn(len(pixels), net.shape.latents)
    return z, net.sample_pixels(net.parameters_of(z))


def sleep(net: Vae, pixels: Tensor, aggregate: bool = False) -> Tensor:
    """-log2 q(z|x) of the model's own samples: the sleep phase of wake-sleep (eq. 4.23). `pixels` as in `dream`."""
    z, dreamt = dream(net, pixels, aggregate)
    mean, log_sigma = net.posterior(dreamt)
    density = -0.5 * ((z - mean) * (-log_sigma).exp()) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return -density.sum(1) * BITS


def reverse_sleep(net: Vae, pixels: Tensor, aggregate: bool = False) -> Tensor:
    """-ELBO of the model's own samples (eq. 4.25). `pixels` as in `dream`."""
    return negative_elbo(net, dream(net, pixels, aggregate)[1])


def reverse_half_asleep(net: Vae, pixels: Tensor, alpha: float = 0.5, aggregate: bool = False) -> Tensor:
    """-ELBO over alpha model samples and 1 - alpha data (eq. 4.27)."""
    if alpha == 0:
        return negative_elbo(net, pixels)
    asleep = reverse_sleep(net, pixels, aggregate)
    return asleep if alpha == 1 else alpha * asleep + (1 - alpha) * negative_elbo(net, pixels)


def denoising(net: Vae, pixels: Tensor, sigma: float, alpha: float = 0.5) -> Tensor:
    """-ELBO, a share alpha of it with an encoder that sees noise of `sigma` (eq. 4.29, of the pixels' own range)."""
    unit = 1.0 if net.shape.likelihood == "bernoulli" else 255.0
    noisy = pixels.float() + sigma * unit * torch.randn(pixels.shape)
    return alpha * negative_elbo_from(net, pixels, noisy) + (1 - alpha) * negative_elbo(net, pixels)


def importance_weighted(net: Vae, pixels: Tensor, samples: int) -> Tensor:
    """-log2 of the importance-weighted estimate of p(x) (IWAE, eq. C.7) with so many samples of q(z|x)."""
    mean, log_sigma = net.posterior(pixels)
    weights = []
    for _ in range(samples):
        noise = torch.randn_like(mean)
        z = mean + log_sigma.exp() * noise
        ratio = (0.5 * noise**2 + log_sigma - 0.5 * z**2).sum(1)
        weights.append(ratio - net.pixel_bits(net.parameters_of(z), pixels) / BITS)
    return (math.log(samples) - torch.logsumexp(torch.stack(weights), 0)) * BITS
