"""Variational autoencoders with bits-back coding: archives of images of one size.

Source: the thesis's chapter 4.
"""

from ..family import Family

FAMILY = Family(
    name="vae",
    method=3,
    format="shearloc-vae-1",
    precision=28,
    module=f"{__name__}.images",
    pictures=False,
    lanes=False,
    options=frozenset({"steps"}),
    fixed_size=True,
    # Bits-back wants long chains: 682 images of CIFAR-10.
    chunk_samples=1 << 21,
)
