"""Chooses the number type of a float network's products in training: the faster one on this processor.

bfloat16 is twice as fast as float32 where a processor multiplies it, and fourteen times as slow where torch has to
convert. Weights and sums are float32 either way. Needs torch.
"""

from collections.abc import Mapping

import torch

from ..nets.products import features

INSTRUCTIONS = ("avx512bf16", "amx-bf16", "bf16")
"""Features of x86 and ARM processors that multiply bfloat16, by LLVM's names."""


def products(has: Mapping[str, bool] | None = None) -> torch.dtype:
    """bfloat16 or float32, for this processor or one with these features (`nets.products.features`)."""
    has = features() if has is None else has
    return torch.bfloat16 if any(map(has.get, INSTRUCTIONS)) else torch.float32


def quick() -> torch.autocast:
    """A context in which products have the faster type."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=products() == torch.bfloat16)


def name() -> str:
    """The type's name, for a model's card."""
    return str(products()).removeprefix("torch.")
