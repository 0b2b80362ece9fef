"""Diagnostics of latents: known cases, identities, and the command."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearloc.codec import measuring
from shearloc.errors import ShearlocError
from shearloc.evaluate import latents
from shearloc.models.family import Latents

Run = Callable[..., Any]


def known(means: np.ndarray, sigmas: np.ndarray, bits: float = 0.0) -> Latents:
    return Latents(means, sigmas, lambda z: np.full(len(z), bits))


def test_latents_that_say_nothing() -> None:
    found = latents.of_latents(known(np.zeros((50, 3)), np.ones((50, 3)), 7.0), 10, 50, 0)
    assert found.rate == 0 and found.of_a_prior == pytest.approx(0) and found.mutual_information == pytest.approx(0)
    assert found.negative_elbo == 7 and found.importance_weighted == pytest.approx(7) and not found.active.any()


def test_a_latent_that_tells_two_kinds_apart() -> None:
    """Means +-20: one bit of information, whatever the number of images."""
    means = np.where(np.arange(200) % 2, 20.0, -20.0)[:, None]
    found = latents.of_latents(known(means, np.ones((200, 1))), 3, 200, 0)
    assert found.mutual_information == pytest.approx(1, abs=1e-6)
    assert found.total_correlation == pytest.approx(0, abs=1e-9) and found.active.tolist() == [True]


def test_two_latents_that_say_the_same_are_correlated() -> None:
    means = np.where(np.arange(200) % 2, 20.0, -20.0)[:, None].repeat(2, 1)
    found = latents.of_latents(known(means, np.ones((200, 2))), 3, 200, 0)
    assert found.mutual_information == pytest.approx(1, abs=1e-6)
    assert found.total_correlation == pytest.approx(1, abs=1e-6)


def test_too_few_images_saturate() -> None:
    means = np.random.default_rng(1).normal(0, 1e5, (40, 2))
    found = latents.of_latents(known(means, np.ones((40, 2))), 3, 40, 0)
    assert found.saturated and found.mutual_information == pytest.approx(math.log2(40), abs=1e-6)
    larger = latents.of_latents(known(means, np.ones((40, 2))), 3, 4000, 0)
    assert larger.mutual_information == pytest.approx(math.log2(4000), abs=1e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), count=st.integers(2, 12), size=st.integers(1, 4), more=st.integers(0, 50))
def test_the_parts_sum_to_the_drawn_rate(seed: int, count: int, size: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    posteriors = known(rng.normal(0, 1, (count, size)), rng.uniform(0.1, 1.5, (count, size)))
    found = latents.of_latents(posteriors, 2, count + more, seed)
    noise = np.random.default_rng(seed).standard_normal((count, size))
    z = posteriors.means + posteriors.sigmas * noise
    drawn = (-0.5 * noise**2 - np.log(posteriors.sigmas) + 0.5 * z**2).sum(1).mean() / math.log(2)
    assert found.mutual_information + found.of_a_prior == pytest.approx(drawn)


def test_of_a_model() -> None:
    images = measuring.sample("vae-mnist", None, 30, seed=8)
    found = latents.diagnose(images, "vae-mnist", samples=30)
    bits = measuring.code_lengths(images, "vae-mnist").mean() / 65536
    assert found.negative_elbo == pytest.approx(bits, rel=0.02)
    assert found.importance_weighted < found.negative_elbo
    assert found.divergences.sum() == pytest.approx(found.rate) and 3 < found.active.sum() < 32
    better = latents.diagnose(images, "vae-mnist", steps=10, samples=2)
    assert better.negative_elbo < found.negative_elbo
    with pytest.raises(ShearlocError, match="no latents"):
        latents.diagnose(images, "gray")
    with pytest.raises(ShearlocError, match="at least 2"):
        latents.diagnose(images[:1], "vae-mnist")


def test_the_command(command: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    np.save(tmp_path / "d.npy", measuring.sample("vae-mnist", None, 20, seed=8)[..., 0])
    options = ("--samples", 3, "--count", 12)
    done = command("latents", "vae-mnist", "d.npy", *options, "--plot", "l.png")
    assert done.code == 0 and done.out[0] == "'vae-mnist', 12 images" and "of 32 latents are in use" in done.out[-1]
    assert any(line.startswith("Too few images") for line in done.out) and (tmp_path / "l.png").is_file()
    found = json.loads(command("latents", "vae-mnist", "d.npy", *options, "--json").out[0])
    assert found["images"] == 12 and len(found["divergences"]) == 32 and found["saturated"] is True
    assert found["negative_elbo"] == pytest.approx(found["distortion"] + found["rate"])
    for arguments, wrong in (
        (("gray", "d.npy"), "model 'gray' has no latents"),
        (("vae-cifar10", "d.npy"), "there is no image that 'vae-cifar10' takes: 00: model 'vae-cifar10' codes images"),
        (("vae-mnist", "none.npy"), "none.npy: No such file"),
    ):
        done = command("latents", *arguments)
        assert done.code == 1 and len(done.err) == 1 and wrong in done.err[0]
