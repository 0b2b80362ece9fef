"""Engines, threads, batches and orders give the same bytes and the same pixels, on generated images and tiny models."""

import importlib.util
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import archive, lanes, parallel, wavefront
from shearloc.models import engines

from . import make

ENGINES = ["numpy", "numba", *(["torch"] if importlib.util.find_spec("torch") else [])]
THREADS, BATCHES = (1, 2), (5, 8192)
MODELS = {
    1: ("golden-gray", "golden-nelloc-gray"),
    3: ("golden-rgb", "golden-nelloc", "golden-level", "golden-fine", "golden-convolution"),
}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """The golden models are at hand, torch has one thread of its own, and small images are worth several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEARLOC_MODELS", str(make.MODELS))
        patch.setattr(wavefront, "LEAST", 1)
        if "torch" in ENGINES:
            import torch

            before = torch.get_num_threads()
            torch.set_num_threads(1)
        yield patch
        if "torch" in ENGINES:
            torch.set_num_threads(before)


def ways(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every engine with every number of threads and size of batch."""
    for engine, threads, batch in product(ENGINES, THREADS, BATCHES):
        for module in (engines, parallel):
            patch.setattr(module, "processors", lambda threads=threads: threads)
        patch.setattr(wavefront, "BATCH", batch)
        yield engine


@st.composite
def images(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Flat, noisy, or between, of 1 x 1 to 9 x 9 pixels."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    shape = (height, width) if draw(st.booleans()) else (height, width, 3)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    spread = draw(st.sampled_from([1, 8, 256]))
    return ((draw(st.integers(0, 255)) + rng.integers(0, spread, shape)) % 256).astype(np.uint8)


@settings(max_examples=200)
@given(image=images(), which=st.integers(0, 4), lane_count=st.integers(1, 3))
def test_pictures(patch: pytest.MonkeyPatch, image: NDArray[np.uint8], which: int, lane_count: int) -> None:
    kinds = MODELS[3 if image.ndim == 3 else 1]
    model = kinds[which % len(kinds)]
    patch.setattr(lanes, "lane_count", lambda rows, samples: min(rows, lane_count))
    files: dict[str, set[bytes]] = {"sheared": set(), "parallel": set(), "sequential": set()}
    for engine in ways(patch):
        for order, found in files.items():
            found.add(shearloc.encode(image, model=model, engine=engine, order=order))
    assert files["sheared"] == files["parallel"] and all(len(found) == 1 for found in files.values())
    for engine in ways(patch):
        for written, order in [("sheared", "sheared"), ("sheared", "parallel"), ("sequential", "sequential")]:
            (data,) = files[written]
            assert np.array_equal(shearloc.decode(data, engine=engine, order=order), image)


@settings(max_examples=5)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0, 2]))
@pytest.mark.parametrize("model", ["golden-gray", "golden-bernoulli", "golden-blocks", "golden-logistic"])
def test_archives(patch: pytest.MonkeyPatch, model: str, seed: int, count: int, steps: int) -> None:
    side = 6 if model == "golden-logistic" else 8
    binary = model in ("golden-bernoulli", "golden-blocks")
    pixels = np.random.default_rng(seed).integers(0, 2 if binary else 256, (count, side, side, 1), np.uint8)
    files = {archive._encode_with(pixels, None, model, steps, engine) for engine in ways(patch)}
    (data,) = files
    for engine in ways(patch):
        assert np.array_equal(archive.decode_images(data, engine=engine)[0], pixels[..., 0])
