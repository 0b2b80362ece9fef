"""Starts move towards what images make of them, and come out as sound models."""

from pathlib import Path

import numpy as np
import pytest

from shearloc.models import zoo
from shearloc.models.learning import state
from shearloc.models.learning.model import LearningModel
from shearloc.training import reptile

from ..golden import make

MODELS = make.learning_models()


def patterns(count: int) -> list[np.ndarray]:
    """Images of one kind: stripes of the same colours, shifted."""
    tile = np.random.default_rng(3).integers(0, 256, (5, 8, 3), np.uint8)
    return [np.roll(np.tile(tile, (8, 5, 1)), shift, (0, 1)) for shift in range(count)]


@pytest.mark.parametrize("name", ["golden-learning", "golden-learning-experts"])
def test_part_of_the_way_is_a_better_start(name: str) -> None:
    model, image = MODELS[name], patterns(1)[0]
    starts = [state.weights(expert, 1).weights for expert in model.experts]
    before, ends = reptile.adapted(model, starts, image)
    nearer = [start + np.float32(0.5) * (end - start) for start, end in zip(starts, ends, strict=True)]
    assert reptile.adapted(model, nearer, image)[0] < before
    assert reptile.adapted(model, starts, image)[0] == before


def test_a_start_gets_better_for_such_images(tmp_path: Path) -> None:
    model, images = MODELS["golden-learning-experts"], patterns(3)
    reptile.improve(model, images[:2], 2.0, 0.1, tmp_path / "better.safetensors")
    better = zoo.load_as(LearningModel, str(tmp_path / "better.safetensors"))
    starts = [[state.weights(expert, 1).weights for expert in one.experts] for one in (model, better)]
    before, after = (reptile.adapted(one, own, images[2])[0] for one, own in zip((model, better), starts, strict=True))
    assert after < before


def test_folding_keeps_what_biases_have_learnt() -> None:
    model = MODELS["golden-learning"]
    (expert,) = model.experts
    starts = [state.weights(expert, 1).weights]
    assert reptile.folded(model, starts).fingerprint == model.fingerprint
    for _, real in reptile.layers_of(expert, starts[0]):
        real[-1] = 2.0
    (moved,) = reptile.folded(model, starts).experts
    assert (moved.layers[1].start == expert.layers[1].start + 128).all()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for number, image in enumerate(patterns(4)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    out = tmp_path / "better.safetensors"
    base = str(make.MODELS / "golden-learning.safetensors")
    monkeypatch.setattr("sys.argv", ["reptile", base, str(out), str(tmp_path), "--minutes", "0.01", "--camera-like"])
    reptile.main()
    assert out.stat().st_size > 1000
