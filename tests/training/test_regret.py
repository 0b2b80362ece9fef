"""The regret of a tuned encoder: it saves bits, the images' order does not matter, and the model stays as it was."""

import numpy as np
import pytest

from shearloc.codec import measuring
from shearloc.errors import ShearlocError
from shearloc.training.regret import encoder_regret


def test_tuning_saves_bits_of_each_image_alone() -> None:
    images = measuring.sample("vae-mnist", None, 3, seed=2)
    images[2] = np.random.default_rng(0).integers(0, 256, images[2].shape)
    found = encoder_regret(images, "vae-mnist", steps=15)
    assert found.shape == (3,) and (found > 0).all() and found[2] > found[:2].max()
    assert np.allclose(encoder_regret(images[::-1], "vae-mnist", steps=15)[::-1], found, rtol=1e-3)
    assert np.array_equal(encoder_regret(images[:1], "vae-mnist", steps=0), [0.0])


def test_a_local_model_has_no_encoder() -> None:
    with pytest.raises(ShearlocError, match="another family"):
        encoder_regret(np.zeros((1, 28, 28, 1), np.uint8), "gray")
