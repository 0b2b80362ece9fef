"""Engines, threads, batches and orders give the same bytes and the same pixels, on generated images and tiny models."""

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import archive
from shearloc.coding import lanes
from shearloc.models.local import wavefront
from shearloc.nets import barrier, engines

from . import make
from .make import archive_with

ENGINES = ["numpy", "numba", *(["torch"] if importlib.util.find_spec("torch") else [])]
ENCODERS = {"numpy": [(1, 5), (1, 8192)], "numba": [(1, 8192), (2, 8192)], "torch": [(1, 5), (2, 5), (1, 8192)]}
"""Threads and pixels of a batch with which a local model encodes in different ways. The engine numba has no batches;
numpy's products have threads of their own, which nothing here sets; torch's batches go to threads if there are several.
"""
THREADS = {"numpy": [1], "numba": [1, 2], "torch": [1]}
"""Numbers of threads with which a local model's sheared files are decoded in different ways."""
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


def use(patch: pytest.MonkeyPatch, threads: int, batch: int = 8192) -> None:
    for module in (engines, barrier):
        patch.setattr(module, "processors", lambda: threads)
    patch.setattr(wavefront, "BATCH", batch)


def encoders(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The engine of every way in which a local model encodes, which is set up."""
    for engine in ENGINES:
        for threads, batch in ENCODERS[engine]:
            use(patch, threads, batch)
            yield engine


def decoders(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same for decoding what is sheared."""
    for engine in ENGINES:
        for threads in THREADS[engine]:
            use(patch, threads)
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
    """Parallel files are sheared ones; sequential ones come of the same frequencies, and no thread helps to decode."""
    kinds = MODELS[3 if image.ndim == 3 else 1]
    model = kinds[which % len(kinds)]
    patch.setattr(lanes, "lane_count", lambda rows, samples: min(rows, lane_count))
    found = {shearloc.encode(image, model=model, engine=engine) for engine in encoders(patch)}
    found.add(shearloc.encode(image, model=model, engine="numpy", order="parallel"))
    (sheared,) = found
    (sequential,) = {shearloc.encode(image, model=model, engine=engine, order="sequential") for engine in ENGINES}
    for engine in decoders(patch):
        assert np.array_equal(shearloc.decode(sheared, engine=engine), image)
    for engine in ENGINES:
        assert np.array_equal(shearloc.decode(sheared, engine=engine, order="parallel"), image)
        assert np.array_equal(shearloc.decode(sequential, engine=engine), image)


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 9))
def test_archives_of_a_local_model(patch: pytest.MonkeyPatch, seed: int, count: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), np.uint8)
    (data,) = {archive_with(pixels, None, "golden-gray", engine=engine) for engine in encoders(patch)}
    for engine in decoders(patch):
        assert np.array_equal(archive.decode_images(data, engine=engine)[0], pixels[..., 0])


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 9), steps=st.sampled_from([0, 2]))
@pytest.mark.parametrize("model", ["golden-bernoulli", "golden-blocks", "golden-logistic"])
def test_archives_of_an_autoencoder(patch: pytest.MonkeyPatch, model: str, seed: int, count: int, steps: int) -> None:
    """Threads take a chunk each, here of few images."""
    side, levels = (6, 256) if model == "golden-logistic" else (8, 2)
    pixels = np.random.default_rng(seed).integers(0, levels, (count, side, side, 1), np.uint8)
    found = set()
    for threads in (1, 2):
        use(patch, threads)
        found |= {archive_with(pixels, None, model, steps, one, chunk_samples=256) for one in ENGINES}
    (data,) = found
    for threads in (1, 2):
        use(patch, threads)
        for engine in ENGINES:
            assert np.array_equal(archive.decode_images(data, engine=engine)[0], pixels[..., 0])
