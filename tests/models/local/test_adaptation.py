"""Bias adjustments as bytes, on the model, and in whole files; how well they are found is measured elsewhere."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.models import zoo
from shearloc.models.local import adaptation

Picture = Callable[..., NDArray[np.uint8]]


@given(st.lists(st.integers(-128, 127), max_size=300))
def test_pack_and_unpack(numbers: list[int]) -> None:
    adjustments = np.array(numbers, np.int8)
    assert (adaptation.unpack(adaptation.pack(adjustments), len(numbers)) == adjustments).all()


def test_damaged_side_information() -> None:
    good = adaptation.pack(np.arange(100, dtype=np.int8))
    bad = [b"", b"biases", good[:-1], good + b"\0", zlib.compress(bytes(10**6))]
    for data in bad:
        with pytest.raises(shearloc.CorruptError, match="side information"):
            adaptation.unpack(data, 100)
    for count in (99, 101):
        with pytest.raises(shearloc.CorruptError, match="side information"):
            adaptation.unpack(good, count)


@pytest.mark.parametrize("name", ["photo", "gray"])
def test_zero_adjustments_change_nothing(name: str) -> None:
    model = zoo.load(name)
    assert model.adjusted(np.zeros(model.bias_count, np.int8)).fingerprint == model.fingerprint


def test_an_adjustment_moves_its_output_by_that_much() -> None:
    model = zoo.load("photo")
    for layer, other in zip(model.layers, model.adjusted(np.full(model.bias_count, -7, np.int8)).layers, strict=True):
        moved = (other.bias.astype(float) - layer.bias) * layer.multiplier / np.exp2(layer.shift)
        assert (np.abs(moved + 7) <= layer.multiplier / np.exp2(layer.shift)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_effort_7_is_smaller_and_comes_back(picture: Picture, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Already where an update sees an eighth of the pixels that it otherwise sees."""
    pytest.importorskip("torch")
    from shearloc.training import adapt

    monkeypatch.setattr(adapt, "BATCH", 1024)
    image = picture(120, 150, channels)
    model = "photo" if channels == 3 else "gray"
    plain, adapted = (shearloc.encode(image, model=model, effort=effort) for effort in (5, 7))
    assert len(adapted) < len(plain)
    assert shearloc.info(adapted).parts[0].side_information_bytes
    for engine in ("numpy", "torch", "numba"):
        assert (shearloc.decode(adapted, engine=engine) == image).all()


@pytest.mark.parametrize(("name", "channels"), [("photo", 3), ("gray", 1)])
def test_restored_network_has_the_rate_of_the_model(picture: Picture, name: str, channels: int) -> None:
    pytest.importorskip("torch")
    from shearloc.coding import logistic
    from shearloc.models.local import coder as local
    from shearloc.training.export import restore
    from shearloc.training.fitting import mean_bits
    from shearloc.training.images import PixelSet

    model, image = zoo.load(name), picture(90, 90, channels).reshape(90, 90, channels)
    _, freqs = local.frequencies(model, image[None], "numpy")
    rate = float((logistic.PRECISION - np.log2(freqs)).mean())
    assert mean_bits(restore(model), PixelSet.of([image]), 8100) == pytest.approx(rate, rel=5e-3)
