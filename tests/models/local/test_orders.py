"""Units of a local model in another order: the same bytes, the same fingerprint, and nothing else passes for one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearloc.models import zoo
from shearloc.models.local.coder import decode_images, encode_images
from shearloc.models.local.model import LocalModel, load
from shearloc.nets.layers import arranged

from ...golden import make

Models = Callable[..., LocalModel]

pytestmark = pytest.mark.usefixtures("one_thread")


def shuffled(model: LocalModel, seed: int) -> LocalModel:
    rng = np.random.default_rng(seed)
    orders = tuple(rng.permutation(layer.bias.size).astype(np.int16) for layer in model.layers[:-1])
    return replace(model, orders=orders)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("channels", [1, 3])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_bytes_stay(tiny_model: Models, channels: int, engine: str, seed: int) -> None:
    model, pixels = tiny_model(channels), make.smooth(23, 17, channels).reshape(1, 23, 17, channels)
    mixed = shuffled(model, seed)
    mixed.prove()
    assert any(not np.array_equal(a.weight, b.weight) for a, b in zip(mixed.arranged, model.arranged, strict=True))
    coded = encode_images(mixed, pixels, engine)
    assert coded == encode_images(model, pixels, "numpy")
    assert np.array_equal(decode_images(mixed, *coded, pixels.shape[:3], engine), pixels)


def test_a_file_keeps_them(tiny_model: Models, tmp_path: Path) -> None:
    model = shuffled(tiny_model(3), 1)
    model.save(tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors", "again")
    assert len(back.orders) == len(model.layers) - 1
    assert all(np.array_equal(a, b) for a, b in zip(back.orders, model.orders, strict=True))
    assert back.fingerprint == model.fingerprint == tiny_model(3).fingerprint


def test_an_adapted_model_keeps_them(tiny_model: Models) -> None:
    model = shuffled(tiny_model(3), 1)
    changes = np.random.default_rng(1).integers(-9, 10, model.bias_count).astype(np.int8)
    found, plain = model.adjusted(changes), tiny_model(3).adjusted(changes)
    for a, b in zip(found.arranged, arranged(plain.layers, model.orders), strict=True):
        assert np.array_equal(a.bias, b.bias) and np.array_equal(a.weight, b.weight)


def test_what_is_no_order_is_refused(tiny_model: Models, tiny_nelloc: Models) -> None:
    model = shuffled(tiny_model(3), 1)
    first, *rest = model.orders
    twice, beyond = first.copy(), first.copy()
    twice[0], beyond[beyond.argmax()] = twice[1], first.size
    for bad in (twice, beyond, first[1:], first.astype(np.int32), first - 1):
        with pytest.raises(ValueError, match="order of layer 0"):
            replace(model, orders=(bad, *rest)).prove()
    with pytest.raises(ValueError, match="all layers but the last"):
        replace(model, orders=(first, *rest, np.arange(model.layers[-1].bias.size, dtype=np.int16))).prove()
    with pytest.raises(ValueError, match="skip or convolve"):
        shuffled(tiny_nelloc(3), 1).prove()


@pytest.mark.parametrize("name", ["photo", "gray"])
def test_shipped_models_have_them(name: str) -> None:
    model = zoo.load_as(LocalModel, name)
    assert len(model.orders) == len(model.layers) - 1
    pixels = make.smooth(40, 30, model.channels).reshape(1, 40, 30, model.channels)
    assert encode_images(model, pixels, "numba") == encode_images(replace(model, orders=()), pixels, "numba")
