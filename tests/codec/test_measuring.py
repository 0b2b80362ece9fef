"""Code lengths as integers, the same with every engine, thread count and company; and samples by decoding."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import measuring
from shearloc.coding import pseudorandom
from shearloc.models import zoo

UNIT = 1 << 16
ENGINES = ("numba", "numpy", "torch")


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    """What an autoencoder takes for digits: uint8 [40, 28, 28]."""
    return measuring.sample("vae-mnist", None, 40, seed=1)[..., 0]


@pytest.fixture(scope="module")
def colours() -> NDArray[np.uint8]:
    return measuring.sample("small", (12, 17), 9, seed=2)


def test_lengths_sum_to_the_archive(digits: NDArray[np.uint8]) -> None:
    many = np.concatenate([digits] * 4)
    lengths = shearloc.code_lengths(many, "gray")
    assert lengths.shape == (160,) and lengths.dtype == np.int64
    about = shearloc.info(shearloc.encode_images(many, model="gray"))
    assert isinstance(about, shearloc.ArchiveInfo)
    assert 0 < about.gross_bits - lengths.sum() / UNIT < 0.001 * about.gross_bits + 8 * 60  # header, lanes, checksums


def test_lengths_of_an_autoencoder_are_what_bits_back_costs(digits: NDArray[np.uint8]) -> None:
    for steps in (0, 3):
        lengths = shearloc.code_lengths(digits, "vae-mnist", steps=steps)
        about = shearloc.info(shearloc.encode_images(digits, model="vae-mnist", steps=steps))
        assert isinstance(about, shearloc.ArchiveInfo) and about.net_bits
        assert abs(lengths.sum() / UNIT / about.net_bits - 1) < 0.02  # another draw of the latents


def test_means_of_draws(digits: NDArray[np.uint8]) -> None:
    one, many, same = (shearloc.code_lengths(digits, "vae-mnist", draws=draws) for draws in (1, 8, 8))
    assert np.array_equal(many, same) and 0 < np.abs(many - one).max() < 100 * UNIT
    assert np.array_equal(shearloc.code_lengths(digits[3:4], "vae-mnist", draws=8), many[3:4])
    with pytest.raises(shearloc.ShearlocError, match="no latents to draw"):
        shearloc.code_lengths(digits, "gray", draws=2)
    with pytest.raises(ValueError, match="once or more"):
        shearloc.code_lengths(digits, "vae-mnist", draws=0)


def test_optimal_inference_shortens(digits: NDArray[np.uint8]) -> None:
    lengths = [shearloc.code_lengths(digits, "vae-mnist", steps=steps) for steps in (0, 10)]
    assert (lengths[1] < lengths[0]).mean() > 0.8


@pytest.mark.parametrize("model", ["gray", "vae-mnist", "small"])
def test_engines_and_threads_agree(model: str, digits: NDArray[np.uint8], colours: NDArray[np.uint8]) -> None:
    images = colours if model == "small" else digits
    wanted = shearloc.code_lengths(images, model, threads=1)
    for engine in ENGINES:
        for threads in (1, 2):
            assert np.array_equal(shearloc.code_lengths(images, model, engine=engine, threads=threads), wanted)


@settings(max_examples=8)
@given(order=st.permutations(range(9)), count=st.integers(1, 9), model=st.sampled_from(["gray", "vae-mnist"]))
def test_an_image_has_its_length_in_any_company(order: list[int], count: int, model: str) -> None:
    images = measuring.sample("vae-mnist", None, 9, seed=3)[..., 0]
    whole = shearloc.code_lengths(images, model)
    assert np.array_equal(shearloc.code_lengths(images[order[:count]], model), whole[order[:count]])


@pytest.mark.parametrize("model", ["small", "gray", "vae-mnist"])
def test_a_map_sums_to_the_length(model: str, digits: NDArray[np.uint8], colours: NDArray[np.uint8]) -> None:
    image = colours[0] if model == "small" else digits[0]
    lengths = measuring.length_map(image, model)
    assert lengths.pixels.shape == (1, *image.shape[:2], 3 if model == "small" else 1)
    assert (lengths.pixels >= 0).all() and (lengths.latents != 0) == (model == "vae-mnist")
    assert lengths.images == shearloc.code_lengths(image[None], model)


def test_a_map_shows_the_surprise(picture) -> None:  # type: ignore[no-untyped-def]
    image = picture(20, 24, 1)
    image[11, 13] ^= 128
    row, column = np.unravel_index(measuring.length_map(image, "gray").pixels.argmax(), image.shape)
    assert (row, column) == (11, 13)


# --- Samples ----------------------------------------------------------------------------------------------------

PINNED = {
    "gray": 745950385,
    "nelloc-r0": 923682898,
    "small": 2825625869,
    "vae-mnist": 3157939399,
    "vae-mnist-binary": 1853233348,
    "vae-cifar10": 1711101514,
}
"""CRC-32 of three samples at seed 5, of 30 x 20 where the model has any size."""


@pytest.mark.parametrize("model", PINNED)
def test_samples_are_pinned(model: str) -> None:
    size = (30, 20) if zoo.load(model).size is None else None
    images = measuring.sample(model, size, 3, seed=5)
    assert zlib.crc32(images.tobytes()) == PINNED[model]


@pytest.mark.parametrize("model", ["nelloc-gray", "small", "vae-mnist"])
def test_samples_are_the_same_with_every_engine(model: str) -> None:
    size = (30, 20) if zoo.load(model).size is None else None
    wanted = measuring.sample(model, size, 4, seed=6)
    assert np.unique(wanted).size > 10
    for engine in ENGINES:
        assert np.array_equal(measuring.sample(model, size, 4, seed=6, engine=engine), wanted)
    assert not np.array_equal(measuring.sample(model, size, 4, seed=7), wanted)


def test_a_model_expects_its_own_samples_best() -> None:
    own = measuring.sample("gray", (24, 24), 6, seed=0)
    assert shearloc.code_lengths(own, "gray").sum() < shearloc.code_lengths(own, "nelloc-gray").sum()


@given(seed=st.integers(0, 2**64 - 1), counts=st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_messages_of_random_words(seed: int, counts: list[int]) -> None:
    message = pseudorandom.message(seed, counts)
    assert [tail.size for tail in message.tails] == counts
    assert np.array_equal(message.heads, pseudorandom.message(seed, counts).heads)


def test_random_words_are_splitmix64() -> None:
    def mixed(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    step = 0x9E3779B97F4A7C15
    for seed in (0, 1, 2**64 - 1):
        start = mixed((seed + step) % 2**64)
        wanted = [mixed((start + k * step) % 2**64) >> 32 for k in range(1, 4)]
        assert pseudorandom.words(np.array([seed], np.uint64), 3).tolist() == [wanted]


def test_random_words_are_even() -> None:
    bits = np.unpackbits(pseudorandom.words(np.arange(64, dtype=np.uint64), 64).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.005


# --- What cannot be ---------------------------------------------------------------------------------------------


def test_errors(digits: NDArray[np.uint8]) -> None:
    for model, images, wrong in (
        ("photo", digits, "for images of 3 channels"),
        ("vae-mnist", digits[:, :20], "codes images of 28 x 28 x 1"),
        ("vae-mnist-binary", digits, "pixels 0 and 1 only"),
        ("gray", digits.astype(np.float32), "the images are float32"),
        ("gray", digits[:0], "no pixels"),
        ("nosuch", digits, "nosuch"),
    ):
        with pytest.raises(shearloc.ShearlocError, match=wrong):
            shearloc.code_lengths(images, model)
    with pytest.raises(shearloc.ShearlocError, match="no steps of optimal inference"):
        shearloc.code_lengths(digits, "gray", steps=2)
    with pytest.raises(ValueError, match="steps"):
        shearloc.code_lengths(digits, "vae-mnist", steps=-1)
    with pytest.raises(shearloc.ShearlocError, match="images of 28 x 28 only"):
        measuring.sample("vae-mnist", (28, 29))
    for size in ((0, 4), (1 << 15, 1 << 15)):
        with pytest.raises(shearloc.ShearlocError, match="can be sampled"):
            measuring.sample("gray", size)
    for seed in (-1, 1 << 64):
        with pytest.raises(ValueError, match="a seed"):
            measuring.sample("gray", (4, 4), seed=seed)
