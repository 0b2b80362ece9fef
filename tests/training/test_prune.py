"""Smaller models from larger ones: what goes is what is missed least, and the rest stays as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shearloc.errors import ShearlocError
from shearloc.models import zoo
from shearloc.models.family import How
from shearloc.models.learning import images
from shearloc.models.learning.model import Layer, LearningModel

from ..golden import make

prune = pytest.importorskip("shearloc.training.prune")

MODELS = make.learning_models()
RGB, GRAY = MODELS["golden-learning"], MODELS["golden-learning-gray"]
PICTURES = [make.smooth(40, 50, 3), make.comb(50, 40, 3)]


def length(model: LearningModel, picture: images.Pixels) -> int:
    fields = (model.channels, model.offsets, model.experts, model.every, model.predictor, model.edges)
    return int(images.Learning("", *fields).lengths(picture[None], How()).images[0])


def with_idle_units(model: LearningModel) -> LearningModel:
    """The model with twice as wide a first layer, half of whose units nothing looks at."""
    (expert,) = model.experts
    first, last = expert.layers
    wide = Layer(np.tile(first.weight, 2), np.tile(first.start, 2), first.bits)
    deep = Layer(np.vstack([last.weight, 0 * last.weight]), last.start, last.bits)
    return replace(model, experts=(replace(expert, layers=(wide, deep)),))


def test_idle_units_go_and_nothing_changes() -> None:
    """Rates of next to nothing, so that idle units stay idle while the model codes."""
    still = replace(RGB, experts=(replace(RGB.experts[0], rates=np.full(1, 2.0**-40, np.float32)),))
    wide = with_idle_units(still)
    smaller = prune.prune(wide, PICTURES, [32], 99, 99)
    assert len(smaller.experts[0].layers[0].start) == 32
    assert length(smaller, PICTURES[0]) == length(still, PICTURES[0]) == length(wide, PICTURES[0])


def with_useless(model: LearningModel, useless: tuple[int, ...]) -> LearningModel:
    """The model with the mean of one component of each channel far off."""
    (expert,) = model.experts
    last, start = expert.layers[-1], expert.layers[-1].start.copy()
    for c, k in enumerate(useless):
        start[sum(expert.counts[:c]) + expert.components + k] = 1 << 22
    return replace(model, experts=(replace(expert, layers=(*expert.layers[:-1], replace(last, start=start))),))


def test_a_component_that_is_far_off_goes() -> None:
    three = MODELS["golden-learning-experts"]
    useless = 1, 0, 2
    model = with_useless(replace(three, experts=three.experts[:1]), useless)
    assert prune.least_missed(model, PICTURES) == list(useless)
    smaller = prune.with_components(model, list(useless))
    smaller.prove()
    assert smaller.experts[0].components == 2
    assert length(smaller, PICTURES[0]) < length(model, PICTURES[0])


def test_heads_keep_their_strongest_units() -> None:
    smaller = prune.with_units(RGB, 2)
    smaller.prove()
    assert smaller.experts[0].units == 2
    assert prune.with_units(GRAY, 2) is GRAY


def test_the_command_makes_a_model_that_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for k in range(3):
        Image.fromarray(make.smooth(40 + k, 50, 3)).save(tmp_path / f"{k}.png")
    base, out = str(make.MODELS / "golden-learning.safetensors"), tmp_path / "small.safetensors"
    sizes = ["--components", "1", "--units", "2"]
    monkeypatch.setattr("sys.argv", ["prune", base, str(out), str(tmp_path), *sizes])
    prune.main()
    model = zoo.load_as(images.Learning, str(out))
    picture = make.smooth(20, 30, 3)[None]
    assert np.array_equal(model.decode(model.encode(picture, How()), (1, 20, 30), How()), picture)


def test_several_experts_are_refused() -> None:
    with pytest.raises(ShearlocError, match="2 experts"):
        prune.prune(MODELS["golden-learning-experts"], PICTURES, [], 1, 2)
