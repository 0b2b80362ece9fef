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
    # An archive's chunk learns from all its images together, so it has more of them than other families' chunks.
    chunk_samples=1 << 19,
    most_step_pixels=1 << 17,
)
