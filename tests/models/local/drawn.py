"""What several of these tests draw: images of every kind. It is not a test itself."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


@st.composite
def levels(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]]) -> NDArray[np.uint8]:
    """Noise, a single level, black and white, or a gradient with little noise."""
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["noise", "flat", "extreme", "gradient"]))
    if kind == "noise":
        return rng.integers(0, 256, shape, np.uint8)
    if kind == "flat":
        return np.full(shape, draw(st.integers(0, 255)), np.uint8)
    if kind == "extreme":
        return rng.choice(np.array([0, 255], np.uint8), shape)
    return (np.indices(shape).sum(0) * 9 + rng.integers(0, 3, shape)).astype(np.uint8)
