"""Models that learn from each step of the wavefront while they code, so that they become the picture's own.

Encoder and decoder learn alike: gradients are integers, and what follows is IEEE arithmetic in a fixed order.
"""

from ..family import Family

FAMILY = Family(
    name="learning",
    method=6,
    format="shearloc-learning-1",
    precision=24,
    module=f"{__name__}.images",
    turns=True,
    options=frozenset({"effort"}),
    # The images of a chunk share its time steps, and so its updates: of more images at once it learns less.
    chunk_samples=1 << 17,
    most_step_pixels=1 << 17,
)
