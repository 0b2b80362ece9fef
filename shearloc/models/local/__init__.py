"""Local autoregressive models: a pixel depends on a few causal neighbours, so many pixels decode at once.

Source: NeLLoC and ShearLoC, the thesis's chapter 5.
"""

from ..family import Family

FAMILY = Family(
    name="local",
    method=2,
    format="shearloc-local-1",
    precision=24,
    module=f"{__name__}.images",
    orients=True,
    options=frozenset({"effort", "order"}),
    # What they keep of earlier pixels should stay in a processor's own cache: 42 images of CIFAR-10.
    chunk_samples=1 << 17,
    most_step_pixels=1 << 17,
)
