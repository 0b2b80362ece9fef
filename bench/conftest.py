"""What several benchmarks draw. It measures nothing."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def drawn() -> Callable[[int], NDArray[np.uint8]]:
    """Makes waves with a little noise, uint8 [side, side, 3]."""

    def draw(side: int) -> NDArray[np.uint8]:
        y, x, c = np.mgrid[:side, :side, :3]
        noise = np.random.default_rng(3).normal(0, 1.5, y.shape)
        pixels = 110 + 60 * np.sin(x / 31 + c / 5) + 50 * np.cos(y / 23 + x / 90) + noise
        return pixels.round().clip(0, 255).astype(np.uint8)

    return draw
