"""An autoencoder's distributions: exact inverses, strictly increasing, and close to the real-valued ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.coding import rans
from shearloc.coding.logistic import tables
from shearloc.models.vae import distributions as vae_cdf
from shearloc.models.vae.distributions import BINS, LATENT_PRECISION

UNIT = 1 << vae_cdf.UNIT_BITS

seeds = st.integers(0, 2**32 - 1)


def filled(lanes: int, words: int, draw: np.random.Generator) -> rans.Message:
    """A message of random bits."""
    heads = draw.integers(1 << 32, 1 << 63, lanes, dtype=np.uint64)
    return rans.Message(heads, draw.integers(0, 1 << 32, words, dtype=np.uint32), words)


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def test_edges_and_medians_are_the_priors_quantiles() -> None:
    edges = vae_cdf.latent_tables().edges
    assert (np.diff(edges[1:BINS]) > 0).all()
    for i in (1, 7, 1000, BINS // 2, BINS - 1000, BINS - 1):
        assert abs(normal_cdf(edges[i] / 2**24) - i / BINS) < 3e-7
    assert vae_cdf.centres(np.array([0, 1]), 1).tolist() == pytest.approx([-0.67449 * UNIT, 0.67449 * UNIT], abs=2)


@given(st.integers(-5 * UNIT, 5 * UNIT), st.integers(-7 * UNIT, 3 * UNIT))
def test_latent_cdf_increases_and_is_the_normals(mean: int, log_sigma: int) -> None:
    places = np.unique(np.r_[0:40, BINS // 2 - 20 : BINS // 2 + 20, BINS - 40 : BINS + 1, 0:BINS:997]).astype(np.int32)
    means, logs = np.full(places.size, float(mean)), np.full(places.size, float(log_sigma))
    found = vae_cdf.latent_cdf(means, logs, places)
    assert found[0] == 0 and found[-1] == 1 << LATENT_PRECISION
    assert (np.diff(found) >= np.diff(places)).all()
    sigma = math.exp(min(max(round(log_sigma * 64 / UNIT), -384), 128) / 64)
    edges = vae_cdf.latent_tables().edges
    for place, value in zip(places[1:-1].tolist(), found[1:-1].tolist(), strict=True):
        assert value / 2**28 == pytest.approx(normal_cdf((edges[place] / 2**24 - mean / UNIT) / sigma), abs=3e-4)


@given(seeds, st.integers(1, 40), st.integers(1, 9))
def test_latents_push_and_pop_are_inverse(seed: int, count: int, lanes: int) -> None:
    """Popping from random bits, then pushing, restores the message: what bits-back relies on."""
    draw = np.random.default_rng(seed)
    message = filled(lanes, 2 * count, draw)
    means, logs = np.rint(draw.normal(0, 2 * UNIT, count)), np.rint(draw.normal(-2 * UNIT, 2 * UNIT, count))
    latents = vae_cdf.latent_tables()
    bins = np.empty(count, np.int32)
    heads = message.heads.copy()
    size = vae_cdf.pop_latents(
        heads, message.words, message.size, means, logs, latents.edges, latents.phi, latents.inverse, bins
    )
    assert size >= 0
    starts, freqs = np.empty(count, np.uint32), np.empty(count, np.uint32)
    vae_cdf.latent_intervals(means, logs, bins, latents.edges, latents.phi, latents.inverse, starts, freqs)
    popped = rans.Message(heads, message.words.copy(), size)
    rans.push(popped, starts, freqs, LATENT_PRECISION)
    assert (popped.heads == message.heads).all() and (popped.tail == message.tail).all()


@given(seeds, st.integers(1, 60), st.integers(1, 9), st.integers(1, 16))
def test_uniform_push_and_pop_are_inverse(seed: int, count: int, lanes: int, bits: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, count, dtype=np.uint32)
    message = rans.empty(lanes)
    rans.push(message, values, np.ones_like(values), bits)
    out = np.empty(count, np.int32)
    size = vae_cdf.pop_uniform(message.heads, message.words, message.size, bits, out)
    assert size == 0 and (out == values).all() and (message.heads == rans.LOWEST).all()


@given(seeds, st.integers(1, 80), st.integers(1, 9))
def test_bernoulli_push_and_pop_are_inverse(seed: int, count: int, lanes: int) -> None:
    draw = np.random.default_rng(seed)
    logits = np.rint(draw.normal(0, 12 * UNIT, count))
    pixels = draw.integers(0, 2, count, dtype=np.uint8)
    sigmoid = tables()[0]
    starts, freqs = np.empty(count, np.uint32), np.empty(count, np.uint32)
    vae_cdf.bernoulli_intervals(logits, pixels, sigmoid, starts, freqs)
    near = np.abs(logits) < 8 * UNIT
    real = 1 / (1 + np.exp(np.where(pixels == 1, -1, 1) * logits / UNIT))
    assert freqs[near] / 2**22 == pytest.approx(real[near], rel=1e-2, abs=1e-6)
    message = rans.empty(lanes)
    rans.push(message, starts, freqs, vae_cdf.BERNOULLI_PRECISION)
    out = np.empty(count, np.uint8)
    assert vae_cdf.pop_bernoulli(message.heads, message.words, message.size, logits, sigmoid, out) == 0
    assert (out == pixels).all() and (message.heads == rans.LOWEST).all()


@given(seeds, st.integers(1, 30), st.sampled_from([1, 3]), st.integers(1, 9))
def test_logistic_push_and_pop_are_inverse(seed: int, count: int, channels: int, lanes: int) -> None:
    draw = np.random.default_rng(seed)
    outputs = np.rint(draw.normal(0, UNIT, (count, 2 if channels == 1 else 9)))
    pixels = draw.integers(0, 256, (count, channels), dtype=np.uint8)
    sigmoid, _, inverses = tables()
    starts, freqs = np.empty(pixels.size, np.uint32), np.empty(pixels.size, np.uint32)
    vae_cdf.logistic_intervals(outputs, pixels, sigmoid, inverses, starts, freqs)
    message = rans.empty(lanes)
    rans.push(message, starts, freqs, 24)
    out = np.zeros_like(pixels)
    size = vae_cdf.pop_logistic(message.heads, message.words, message.size, outputs, sigmoid, inverses, out)
    assert size == 0 and (out == pixels).all() and (message.heads == rans.LOWEST).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_logistic_bits_are_the_float_twins(channels: int) -> None:
    torch = pytest.importorskip("torch")
    from shearloc.models.vae.shape import VaeShape
    from shearloc.training.vae_float import Vae

    shape = VaeShape(4, channels, "logistic", latents=1, width=1)
    draw = np.random.default_rng(channels)
    outputs = np.rint(draw.normal(0, 0.5 * UNIT, (5, 4, 4, shape.outputs)))
    pixels = draw.integers(0, 256, (5, 4, 4, channels), dtype=np.uint8)
    expected = Vae(shape).pixel_bits(torch.from_numpy(outputs / UNIT).float(), torch.from_numpy(pixels)).sum()
    sigmoid, _, inverses = tables()
    starts, freqs = np.empty(pixels.size, np.uint32), np.empty(pixels.size, np.uint32)
    vae_cdf.logistic_intervals(
        outputs.reshape(-1, shape.outputs), pixels.reshape(-1, channels), sigmoid, inverses, starts, freqs
    )
    assert float((24 - np.log2(freqs)).sum()) == pytest.approx(float(expected), rel=2e-3)


def test_running_dry_is_reported() -> None:
    latents = vae_cdf.latent_tables()
    message = rans.empty(2)
    zeros = np.zeros(9)
    out = np.empty(9, np.int32)
    arguments = (latents.edges, latents.phi, latents.inverse, out)
    assert vae_cdf.pop_latents(message.heads, message.words, 0, zeros, zeros, *arguments) == rans.EMPTY
    assert vae_cdf.pop_uniform(rans.empty(1).heads, message.words, 0, 16, out) == rans.EMPTY
