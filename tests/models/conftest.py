"""What tests of several families of models share."""

import numpy as np
import pytest

from shearloc.models.learning import coder
from shearloc.models.local import wavefront
from shearloc.models.wavefront import pixels
from shearloc.types import Pixels


@pytest.fixture
def among_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts are read a vector at a time, some bytes before and after the pixels, too: here, these are noise."""
    given = pixels.blank_pixels

    def blank_pixels(shape: tuple[int, ...]) -> Pixels:
        found = given(shape)
        around = found.base
        assert around is not None
        assert around.size == found.size + 2 * pixels.MARGIN
        around[...] = np.random.default_rng(0).integers(0, 256, around.size, np.uint8)
        return found

    for module in (pixels, coder, wavefront):
        monkeypatch.setattr(module, "blank_pixels", blank_pixels)
