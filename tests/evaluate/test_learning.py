"""Code length along an image: the parts' mean is the image's own, and a model that is stopped stays as it starts."""

from pathlib import Path

import numpy as np
import pytest

from shearloc.evaluate import learning, plots
from shearloc.models.family import How
from shearloc.models.learning.images import Learning

from ..golden import make


def test_along_an_image(tmp_path: Path) -> None:
    found = make.learning_models()["golden-learning"]
    model = Learning("tiny", found.channels, found.offsets, found.experts, found.every, found.predictor)
    image = np.tile(np.random.default_rng(3).integers(0, 256, (5, 8, 3), np.uint8), (8, 5, 1))
    along = learning.along(model, image, parts=10)
    assert along.starts.shape == along.learns.shape == (10,)
    bits = model.lengths(image[None], How()).images[0] / 2**16
    assert np.isclose(along.learns.mean() * image.size, bits)
    assert along.learns[5:].mean() < along.starts[5:].mean()
    assert np.isclose(along.learns[0], along.starts[0], rtol=0.3)
    pytest.importorskip("matplotlib")
    plots.draw_along({"tiny": {"static": along.starts, "learning": along.learns}}, tmp_path / "a.svg")
    assert "svg" in (tmp_path / "a.svg").read_text()
