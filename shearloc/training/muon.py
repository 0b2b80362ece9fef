"""The optimizer Muon for matrices, with products in the type that is quick on this processor.

torch's own always multiplies in bfloat16. Where torch has to convert that, it is 26 times as slow as float32, and an
update of `photo` takes three times as long for it. With bfloat16 both take the same steps. Needs torch.
(Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al., 2025, for the steps' size.)
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from . import number_types

MOMENTUM = 0.95
STEPS = 5
"""Of Newton and Schulz's iteration."""
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of a polynomial that brings singular values near 1 in few steps."""
RMS = 0.2
"""Root of the mean square of a step over its rate, which is about AdamW's."""


class Muon(torch.optim.Optimizer):
    """Steps along momentum whose singular values are all about 1; for parameters of two dimensions."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight not in self.state:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight.grad)
                momentum = self.state[weight]["momentum_buffer"]
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                update = orthogonal(weight.grad.lerp(momentum, MOMENTUM), number_types.products())
                weight.add_(update, alpha=-group["lr"] * RMS * max(weight.shape) ** 0.5)


def orthogonal(matrix: Tensor, number_type: torch.dtype) -> Tensor:
    """The matrix [m, n] with all its singular values about 1 (0.7 to 1.2), of the given type."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(number_type)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
