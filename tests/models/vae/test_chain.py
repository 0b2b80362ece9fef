"""Bits-back chains: every image back, on every engine, at the bits the model says, and nothing invented."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import BitsBack, Message, bins
from shearloc.coding.lengths import LENGTH_BITS
from shearloc.errors import CorruptError
from shearloc.models.vae import codecs, startup
from shearloc.models.vae.chain import decode_chain, encode_chain
from shearloc.models.vae.model import VaeModel, likelihood
from shearloc.nets.fixed_point import product_of

KINDS = ("bernoulli", "logistic", "colour")

Vaes = Callable[[str], VaeModel]
Images = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 70])
@pytest.mark.parametrize("kind", KINDS)
def test_every_image_comes_back(kind: str, count: int, steps: int, tiny_vae: Vaes, small_images: Images) -> None:
    model = tiny_vae(kind)
    images = small_images(model, count)
    chain = encode_chain(model, images, steps, "numpy")
    assert (decode_chain(model, chain.data, count, steps, "numpy") == images).all()
    assert chain.plain >= 1


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_engines_write_and_read_the_same_bytes(
    kind: str, steps: int, engine: str, tiny_vae: Vaes, small_images: Images
) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    model = tiny_vae(kind)
    images = small_images(model, 20)
    ours = encode_chain(model, images, steps, "numpy")
    assert encode_chain(model, images, steps, engine).data == ours.data
    assert (decode_chain(model, ours.data, 20, steps, engine) == images).all()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(KINDS))
def test_any_pixels_come_back(tiny_vae: Vaes, seed: int, count: int, kind: str) -> None:
    model = tiny_vae(kind)
    images = np.random.default_rng(seed).integers(0, model.levels, (count, *model.image_shape), dtype=np.uint8)
    chain = encode_chain(model, images, 0, "numpy")
    assert (decode_chain(model, chain.data, count, 0, "numpy") == images).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_image_takes_the_grid_of_fewest_bits(
    kind: str, tiny_vae: Vaes, small_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_vae(kind)
    image, on_grids = small_images(model, 1), []
    chosen = encode_chain(model, image, 0, "numpy").data
    for bits in startup.COARSE_BITS:
        monkeypatch.setattr(startup, "COARSE_BITS", [bits])
        on_grids.append(encode_chain(model, image, 0, "numpy").data)
    assert len(set(on_grids)) > 1
    # Behind four bytes of the chain's own is the only lane's head.
    assert chosen == min(on_grids, key=lambda data: (len(data), int.from_bytes(data[4:12], "little")))


def random_message(words: int) -> Message:
    draw = np.random.default_rng(0)
    heads = draw.integers(1 << 32, 1 << 63, 1, dtype=np.uint64)
    return Message.of(heads, [draw.integers(0, 1 << 32, words, dtype=np.uint32)])


@pytest.mark.parametrize("kind", KINDS)
def test_net_bits_are_the_models(kind: str, tiny_vae: Vaes, small_images: Images) -> None:
    """A round costs -log2 p(x|z) - log2 p(z) + log2 q(z|x) of the latents it popped."""
    model, product = tiny_vae(kind), product_of("numpy")
    images = small_images(model, 6)
    posterior = codecs.posterior(model, 0, product)(images)
    message = random_message(999)
    before = message.bits
    z = posterior.pop(message)
    q = (28 - np.log2(posterior.intervals(z)[1])).sum()
    assert before - message.bits == pytest.approx(q, rel=1e-3)
    latents = bins.centres(z).astype(np.float64)
    pixels = codecs.pixel_symbols(model, likelihood(model, latents, product))
    _, freqs = pixels.intervals(codecs.last_channel_first(images))
    expected = (pixels.precision - np.log2(freqs)).sum() + 16 * z.size - q
    message = random_message(999)
    codecs.bits_back(model, 6, product, codecs.posterior(model, 0, product)).push(message, images)
    assert message.bits - before == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_back_is_prior_likelihood_and_posterior(kind: str, tiny_vae: Vaes, small_images: Images) -> None:
    """As algorithm 1 has it; and its inverse, also on random bits."""
    model, product = tiny_vae(kind), product_of("numpy")
    images = small_images(model, 3)
    codec = codecs.bits_back(model, 3, product, codecs.posterior(model, 2, product))
    assert isinstance(codec, BitsBack)
    message, by_hand = random_message(400), random_message(400)
    codec.push(message, images)
    z = codecs.posterior(model, 2, product)(images).pop(by_hand)
    codecs.likelihood(model, bins.BIN_BITS, product)(z).push(by_hand, images)
    codecs.prior(model, 3, bins.BIN_BITS).push(by_hand, z)
    assert message.to_bytes() == by_hand.to_bytes()
    assert np.array_equal(codec.pop(message), images) and message.to_bytes() == random_message(400).to_bytes()
    codec.push(message, codec.pop(message))
    assert message.to_bytes() == random_message(400).to_bytes()


def test_a_round_that_cannot_be_paid_leaves_the_message(tiny_vae: Vaes, small_images: Images) -> None:
    model = tiny_vae("bernoulli")
    message, product = Message.empty(), product_of("numpy")
    codec = codecs.bits_back(model, 4, product, codecs.posterior(model, 0, product))
    with pytest.raises(CorruptError, match="too few bits"):
        codec.push(message, small_images(model, 4))
    assert message.is_empty


def test_rounds_beyond_the_encoders_are_refused(tiny_vae: Vaes) -> None:
    """They would take memory that no chain of ours does."""
    model = tiny_vae("bernoulli")
    data = bytes([3, 1, 1, 0x81, 0x02]) + bytes(4000)
    with pytest.raises(CorruptError, match="257 images; there are at most 256"):
        decode_chain(model, data, 257, 0, "numpy")


def test_few_images_are_plain(tiny_vae: Vaes, small_images: Images) -> None:
    model = tiny_vae("bernoulli")
    chain = encode_chain(model, small_images(model, 400), 0, "numpy")
    assert chain.plain < 20
    single = encode_chain(model, small_images(model, 1), 0, "numpy")
    assert single.plain == 1 and single.initial_bits > 0
    assert len(single.data) * 8 <= (single.net_bits + single.initial_bits) / (1 << LENGTH_BITS) + 8 * 16


def test_more_steps_cost_fewer_bits(tiny_vae: Vaes, small_images: Images) -> None:
    """Random weights' encoder knows nothing, so the steps have much to find; trained ones are measured."""
    model = tiny_vae("logistic")
    images = small_images(model, 200)
    bits = [encode_chain(model, images, steps, "numpy").net_bits for steps in (0, 4, 16)]
    assert all(after < before for before, after in pairwise(bits))


@pytest.mark.parametrize("keep", [0, 1, 3, 5, 20, -4, -1])
def test_cut_chains_are_refused(keep: int, tiny_vae: Vaes, small_images: Images) -> None:
    model = tiny_vae("bernoulli")
    chain = encode_chain(model, small_images(model, 30), 0, "numpy")
    with pytest.raises(CorruptError):
        decode_chain(model, chain.data[:keep], 30, 0, "numpy")


def test_another_count_or_coarseness_is_refused(tiny_vae: Vaes, small_images: Images) -> None:
    model = tiny_vae("bernoulli")
    data = encode_chain(model, small_images(model, 30), 0, "numpy").data
    with pytest.raises(CorruptError, match="rounds"):
        decode_chain(model, data, 29, 0, "numpy")
    for head in (b"\x00" + data[1:], b"\x10" + data[1:], data[:1] + b"\x00" + data[2:]):
        with pytest.raises(CorruptError):
            decode_chain(model, head, 30, 0, "numpy")


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(1, 255))
def test_damage_is_an_error_or_other_pixels(tiny_vae: Vaes, small_images: Images, place: int, flip: int) -> None:
    """Nothing but CorruptError may come of a damaged chain; the archive's checksums see the rest."""
    model = tiny_vae("bernoulli")
    data = bytearray(encode_chain(model, small_images(model, 12), 0, "numpy").data)
    data[place % len(data)] ^= flip
    with suppress(CorruptError):
        assert decode_chain(model, bytes(data), 12, 0, "numpy").shape == (12, *model.image_shape)
