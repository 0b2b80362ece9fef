"""Masked convolutions in training: products over a pixel and its earlier neighbours, and their gradients.

A convolution is one product of the neighbours' features side by side, and so is its gradient: neighbours are gathered
from the other side. torch, from padded copies, views and their concatenation, takes a fifth more time for an update of
`small`. The integer models do it in `layers.py`.
"""

import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

Offsets = list[tuple[int, int]]


def neighbourhood(x: Tensor, offsets: Offsets) -> Tensor:
    """The features of the pixels at these offsets (dy <= 0, dx), 0 outside: [n, H, W, C] to [n, H, W, offsets x C].

    Any dtype, with a gradient: plain torch.
    """
    height, width = x.shape[1:3]
    above, side = max(-dy for dy, _ in offsets), max(abs(dx) for _, dx in offsets)
    padded = torch.nn.functional.pad(x, (0, 0, side, side, above, 0))
    views = [padded[:, above + dy : above + dy + height, side + dx : side + dx + width] for dy, dx in offsets]
    return torch.cat(views, 3)


def gathered(x: Tensor, offsets: Offsets) -> Tensor:
    """`neighbourhood` without a gradient, at any offsets and faster, of bfloat16 or float32."""
    out = x.new_empty(*x.shape[:3], len(offsets) * x.shape[3])
    _gather(_words(x.contiguous()), np.array(offsets, np.int64), _words(out))
    return out


def masked_convolution(x: Tensor, around: Tensor, weight: Tensor, bias: Tensor, offsets: Offsets) -> Tensor:
    """`around @ weight.T + bias`, float [n, H, W, outputs], with gradients for `x`, `weight` and `bias`.

    `x` float [n, H, W, C], `around` what is `gathered` at these offsets, `weight` [outputs, offsets x C]. bfloat16
    under autocast, as a linear layer.
    """
    out: Tensor = _MaskedConvolution.apply(x, around, weight, bias, offsets)
    return out


class _MaskedConvolution(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x, around, weight, bias, offsets):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(around, weight)
        ctx.offsets = offsets
        return torch.nn.functional.linear(around, weight, bias)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        around, weight = ctx.saved_tensors
        _, _, weight_wanted, bias_wanted, _ = ctx.needs_input_grad
        rows = grad.flatten(0, 2)
        behind = gathered(grad, [(-dy, -dx) for dy, dx in ctx.offsets])
        # From [outputs, offsets x C] to [offsets x outputs, C].
        turned = weight.unflatten(1, (len(ctx.offsets), -1)).transpose(0, 1).flatten(0, 1)
        grad_weight = rows.T @ around.flatten(0, 2) if weight_wanted else None
        return behind @ turned, None, grad_weight, rows.sum(0) if bias_wanted else None, None


def _words(x: Tensor) -> NDArray[np.generic]:
    """The same memory as integers, which is enough for copying: NumPy has no bfloat16."""
    words: NDArray[np.generic] = x.detach().view({2: torch.int16, 4: torch.int32}[x.element_size()]).numpy()
    return words


@njit(parallel=True, cache=True, error_model="numpy")
def _gather(x, offsets, out):  # type: ignore[no-untyped-def]
    """Copies `x`, integers [n, H, W, C], from each offset's place to its columns of `out` [n, H, W, offsets x C]."""
    images, height, width, channels = x.shape
    for row in prange(images * height):
        image, top = row // height, row % height
        for left in range(width):
            for k in range(len(offsets)):
                y, x_at = top + offsets[k, 0], left + offsets[k, 1]
                if 0 <= y < height and 0 <= x_at < width:
                    for c in range(channels):
                        out[image, top, left, k * channels + c] = x[image, y, x_at, c]
                else:
                    for c in range(channels):
                        out[image, top, left, k * channels + c] = 0
