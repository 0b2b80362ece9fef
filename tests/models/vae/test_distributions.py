"""An autoencoder's scaling and pixels: exact inverses, and close to the real-valued distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding import Message, gaussian
from shearloc.models.vae import codecs
from shearloc.models.vae.model import VaeModel
from shearloc.models.vae.shape import VaeShape

UNIT = 1 << 16


def model_of(kind: str, channels: int) -> VaeModel:
    """A model that only says what its images look like."""
    return VaeModel("none", VaeShape(4, channels, kind, latents=1, width=1), {})


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from(["bernoulli", "logistic", "colour"]), st.booleans()
)
def test_pixels_push_and_pop_are_inverse(seed: int, lanes: int, kind: str, shared: bool) -> None:
    draw = np.random.default_rng(seed)
    model = model_of("logistic" if kind == "colour" else kind, 3 if kind == "colour" else 1)
    outputs = np.rint(draw.normal(0, 2 * UNIT, (2, 4, 4, model.shape.outputs)))
    images = draw.integers(0, model.levels, (2, *model.image_shape), np.uint8)
    codec, message = codecs.pixels(model, outputs), Message.empty(lanes, shared=shared)
    codec.push(message, images)
    assert np.array_equal(codec.pop(message), images)
    message.check_empty()


def test_log_sigmas_are_rounded_and_clipped() -> None:
    """To 1/64 nat, from -6 to 2: the latents' codec is that of `coding.gaussian`."""
    log_sigmas = np.array([-7, -6, -1.0078, 0, 0.0079, 2, 3]) * UNIT
    means = np.rint(np.linspace(-3, 3, 7) * UNIT)
    values = np.arange(7) * 9000
    expected = gaussian(means.astype(np.int64), np.array([-384, -384, -64, 0, 1, 128, 128])).intervals(values)
    assert np.array_equal(codecs.latent_symbols(means, log_sigmas).intervals(values), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9))
def test_latents_push_and_pop_are_inverse(seed: int, count: int, lanes: int) -> None:
    """Popping from random bits, then pushing, restores the message: what bits-back relies on."""
    draw = np.random.default_rng(seed)
    heads = draw.integers(1 << 32, 1 << 63, lanes, dtype=np.uint64)
    message = Message.of(heads, [draw.integers(0, 1 << 32, 2 * count, dtype=np.uint32)])
    before = message.to_bytes()
    codec = codecs.latent_symbols(*np.rint(draw.normal([[0], [-2 * UNIT]], 2 * UNIT, (2, count))))
    codec.push(message, codec.pop(message))
    assert message.to_bytes() == before


def test_one_is_as_likely_as_its_logit_says() -> None:
    logits = np.rint(np.append(np.linspace(-8, 8, 94) * UNIT, [-(2.0**24), 2.0**24])).reshape(6, 4, 4, 1)
    symbols = codecs.pixel_symbols(model_of("bernoulli", 1), logits)
    zeros, ones = (symbols.intervals(np.full(logits.shape, value))[1].ravel() for value in (0, 1))
    assert (zeros + ones == 1 << symbols.precision).all() and ones[-2:].tolist() == [1, 2**22 - 1]
    expected = 1 / (1 + np.exp(-logits.ravel()[:-2] / UNIT))
    assert ones[:-2] / 2**22 == pytest.approx(expected, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_logistic_bits_are_the_float_twins(channels: int) -> None:
    torch = pytest.importorskip("torch")
    from shearloc.training.vae_float import Vae

    model = model_of("logistic", channels)
    draw = np.random.default_rng(channels)
    outputs = np.rint(draw.normal(0, 0.5 * UNIT, (5, 4, 4, model.shape.outputs)))
    images = draw.integers(0, 256, (5, 4, 4, channels), dtype=np.uint8)
    expected = Vae(model.shape).pixel_bits(torch.from_numpy(outputs / UNIT).float(), torch.from_numpy(images)).sum()
    _, freqs = codecs.pixel_symbols(model, outputs).intervals(codecs.last_channel_first(images))
    assert float((24 - np.log2(freqs)).sum()) == pytest.approx(float(expected), rel=2e-3)
