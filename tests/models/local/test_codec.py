"""A wavefront as a codec: on a message that holds symbols already, and inside bits-back coding."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import BitsBack, Message, Serial, Transformed, uniform
from shearloc.errors import CorruptError
from shearloc.models.local.codec import Wavefront
from shearloc.models.local.coder import encode_images
from shearloc.models.local.model import LocalModel

Models = Callable[..., LocalModel]
SIZE = (2, 7, 5)

pytestmark = pytest.mark.usefixtures("one_thread")


def filled(lanes: int, words: int = 40) -> Message:
    """Random bits on lanes with tails of their own."""
    rng = np.random.default_rng(lanes)
    heads = rng.integers(2**32, 2**64, lanes, np.uint64)
    return Message.of(heads, [rng.integers(0, 2**32, words, np.uint32) for _ in range(lanes)])


def images(seed: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, channels), np.uint8)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("channels", [1, 3])
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), lanes=st.integers(1, 20))
def test_push_and_pop_are_inverse(tiny_model: Models, channels: int, engine: str, seed: int, lanes: int) -> None:
    """Both ways: images onto symbols, which are left, and images out of random bits."""
    codec = Wavefront(tiny_model(channels), SIZE, engine)
    message, some = filled(lanes), np.arange(9)
    uniform(11, 9).push(message, some)
    before = message.to_bytes()
    pixels = images(seed, channels)
    codec.push(message, pixels)
    assert np.array_equal(codec.pop(message), pixels) and message.to_bytes() == before
    codec.push(message, codec.pop(message))
    assert message.to_bytes() == before
    assert np.array_equal(uniform(11, 9).pop(message), some) and message.to_bytes() == filled(lanes).to_bytes()


def test_on_an_empty_message_it_is_the_payload(tiny_model: Models) -> None:
    model, pixels = tiny_model(3), images(1, 3)
    payload, lanes = encode_images(model, pixels, "numpy")
    message = Message.empty(lanes, shared=False)
    Wavefront(model, SIZE).push(message, pixels)
    assert message.to_bytes() == payload


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_message_that_is_too_short_is_unchanged(tiny_model: Models, engine: str) -> None:
    message = filled(3, 2)
    before = message.to_bytes()
    with pytest.raises(CorruptError, match="too few bits"):
        Wavefront(tiny_model(3), SIZE, engine).pop(message)
    assert message.to_bytes() == before


def test_what_it_cannot_have(tiny_model: Models) -> None:
    codec, message = Wavefront(tiny_model(1), SIZE), Message.empty(3, shared=False)
    for wrong in (images(0, 3), images(0, 1)[:1], images(0, 1).astype(float), images(0, 1).astype(int) + 1000):
        with pytest.raises(ValueError, match="values"):
            codec.push(message, wrong)  # type: ignore[arg-type]
    shared = Message.empty(3)
    for action in (lambda: codec.push(shared, images(0, 1)), lambda: codec.pop(shared)):
        with pytest.raises(ValueError, match="share a tail"):
            action()
    assert message.is_empty and shared.is_empty


def test_as_the_likelihood_and_the_prior_of_a_latent_variable_model(tiny_model: Models) -> None:
    """Latents are a picture under a wavefront; the image less the latents (modulo 256) is another."""
    model, rng = tiny_model(1), np.random.default_rng(7)
    wave = Wavefront(model, SIZE, "numpy")
    toy = BitsBack(
        prior=wave,
        likelihood=lambda z: Transformed(wave, lambda x: x - z, lambda rest: rest + z),
        posterior=lambda x: Transformed(uniform(8, x.shape), lambda z: z - x, lambda rest: (rest + x).astype(np.uint8)),
    )
    message = filled(3, 200)
    before = message.to_bytes()
    both = Serial([toy, uniform(5, 10), toy])
    values = [images(2, 1), rng.integers(0, 32, 10), images(3, 1)]
    both.push(message, values)
    back = both.pop(message)
    assert all(np.array_equal(one, other) for one, other in zip(back, values, strict=True))
    assert message.to_bytes() == before
    with pytest.raises(CorruptError):
        toy.push(Message.empty(3, shared=False), values[0])
