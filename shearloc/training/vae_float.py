"""The variational autoencoder in torch, for training and for float ELBOs. It does not code; `models/vae` does.

Activations are [images, side, side, channels]; likelihoods, divergences and ELBOs are in bits per image.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.vae.shape import BERNOULLI, Step, VaeShape, decoder_steps, encoder_steps, latent_side
from ..nets.quantize import LOG_SCALE_OFFSET as MIXTURE_OFFSET
from .likelihoods import linear_mixture_bits

LOG_SIGMA_MIN, LOG_SIGMA_MAX = -6.0, 2.0
"""Range of a latent's log standard deviation."""

MEAN_GAIN = 128.0
"""Grey levels per unit of a mean output, around 128."""

LOG_SCALE_OFFSET = 2.0
"""Added to a log-scale output (nats of grey levels)."""

BITS = 1 / math.log(2)


class Block(nn.Module):
    """x + dense(relu(conv(relu(x)))), a residual block; the second layer starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Linear(9 * width, width)
        self.dense = nn.Linear(width, width)
        nn.init.zeros_(self.dense.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[n, s, s, width] to the same shape."""
        width = x.shape[3]
        # The linear layer's inputs are (row, column, channel) of the 3 x 3 positions, as `vae.py` gathers them.
        kernel = self.conv.weight.view(width, 3, 3, width).permute(0, 3, 1, 2)
        hidden = F.conv2d(F.relu(x).permute(0, 3, 1, 2), kernel, self.conv.bias, padding=1)
        result: Tensor = x + self.dense(F.relu(hidden.permute(0, 2, 3, 1)))
        return result


class Fold(nn.Module):
    """s x s positions into one, side by side (row, column, channel); `inverse` undoes it."""

    def __init__(self, s: int, inverse: bool = False) -> None:
        super().__init__()
        self.s, self.inverse = s, inverse

    def forward(self, x: Tensor) -> Tensor:
        """[n, a*s, b*s, c] to [n, a, b, s*s*c], or back."""
        n, height, width, channels = x.shape
        s = self.s
        if self.inverse:
            parts = x.reshape(n, height, width, s, s, channels // (s * s)).transpose(2, 3)
            return parts.reshape(n, height * s, width * s, channels // (s * s))
        parts = x.reshape(n, height // s, s, width // s, s, channels).transpose(2, 3)
        return parts.reshape(n, height // s, width // s, s * s * channels)


def _module(step: Step) -> nn.Module:
    kind, *sizes = step
    if kind == "dense":
        return nn.Linear(*sizes)
    if kind == "block":
        return Block(*sizes)
    return nn.ReLU() if kind == "relu" else Fold(sizes[0], inverse=kind == "unfold")


class Vae(nn.Module):
    """Encoder q(z|x) and decoder p(x|z) of a shape; the prior of every latent is N(0, 1)."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = nn.Sequential(*map(_module, encoder_steps(shape)))
        self.decoder = nn.Sequential(*map(_module, decoder_steps(shape)))

    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation [n, latents] of q(z|x) for pixels [n, side, side, channels], any real type.

        Latent (p, c) of position p is number p * c_count + c.
        """
        x = pixels.float()
        if self.shape.likelihood != BERNOULLI:
            x = (x - self.shape.offset) / 128
        out = self.encoder(x).float()
        mean, log_sigma = out.chunk(2, dim=-1)
        return mean.flatten(1), log_sigma.flatten(1).clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)

    def parameters_of(self, z: Tensor) -> Tensor:
        """Likelihood parameters [n, side, side, outputs] for latents [n, latents]."""
        side = latent_side(self.shape)
        hidden = self.decoder[:-2](z.view(len(z), side, side, -1)).float()
        # Half a grey level is lost where means are rounded to bfloat16.
        with torch.autocast("cpu", enabled=False):
            result: Tensor = self.decoder[-2:](hidden)
        return result

    def pixel_bits(self, params: Tensor, pixels: Tensor) -> Tensor:
        """-log2 p(x|z), [n]."""
        if self.shape.likelihood == BERNOULLI:
            bits = F.binary_cross_entropy_with_logits(params, pixels.float(), reduction="none") * BITS
        else:
            # A mixture of one component: its parameters by channel, a logit of 0 before them.
            c = self.shape.channels
            columns = params.reshape(-1, params.shape[-1]).unsqueeze(-1).unbind(1)
            zero = torch.zeros_like(columns[0])
            parts = []
            for k in range(c):
                first = 2 * c + k * (k - 1) // 2
                log_scale = columns[c + k] + (LOG_SCALE_OFFSET - MIXTURE_OFFSET)
                parts += [zero, columns[k], log_scale, *columns[first : first + k]]
            values = pixels.reshape(-1, c).float()
            bits = linear_mixture_bits(torch.cat(parts, 1), torch.full_like(values, 128.0), values, MEAN_GAIN)
        return bits.view(len(pixels), -1).sum(1)

    def logistics(self, params: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Means (grey levels, given the pixel's earlier channels) and log-scales [n, side, side, channels]."""
        c = self.shape.channels
        means, log_scales, coefficients = params.split([c, c, c * (c - 1) // 2], dim=-1)
        means = MEAN_GAIN * means + 128
        centred = pixels.float() - 128
        if c == 3:
            red, green = centred[..., 0], centred[..., 1]
            k = coefficients.unbind(-1)
            shifts = (torch.zeros_like(red), k[0] * red, k[1] * red + k[2] * green)
            means = means + torch.stack(shifts, -1)
        return means, log_scales + LOG_SCALE_OFFSET

    @torch.no_grad()
    def sample_pixels(self, params: Tensor) -> Tensor:
        """Pixels drawn from p(x|z): uint8 [n, side, side, channels]."""
        if self.shape.likelihood == BERNOULLI:
            return torch.bernoulli(torch.sigmoid(params)).to(torch.uint8)
        pixels = torch.zeros(*params.shape[:3], self.shape.channels)
        for channel in range(self.shape.channels):
            means, log_scales = (t[..., channel] for t in self.logistics(params, pixels))
            u = torch.rand_like(means).clamp(1e-6, 1 - 1e-6)
            pixels[..., channel] = (means + log_scales.exp() * torch.logit(u)).round().clamp(0, 255)
        return pixels.to(torch.uint8)


def divergence_bits(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, 1)) summed over latents, [n]."""
    return (0.5 * (mean**2 + (2 * log_sigma).exp() - 1) - log_sigma).sum(1) * BITS


def load_float(path: Path, shape: VaeShape) -> Vae:
    """The float network of this shape with the weights of a file that `fit` wrote."""
    net = Vae(shape)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()
