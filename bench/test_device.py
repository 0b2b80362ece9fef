"""pytest-benchmark: 64 images of 768 x 512 at once by the cuda engine (`shearloc/models/local/device.py`), model photo.

    pytest bench/test_device.py -s --benchmark-json=bench/results/device.json

Skipped without a GPU. The pictures are drawn, so nothing but the shipped model is needed, and no more than torch,
Numba, safetensors and pytest-benchmark. Decoding is timed with and without torch.compile ("fused").
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

import shearloc
from shearloc.coding import Message
from shearloc.models.local import model as local
from shearloc.models.local.coder import decode_images, encode_images

torch = pytest.importorskip("torch", reason="the cuda engine needs torch")

IMAGES, HEIGHT, WIDTH = 64, 512, 768
ROUNDS = 3
WEIGHTS = Path(shearloc.__file__).parent / "models" / "weights" / "photo.safetensors"


@dataclass(frozen=True)
class Case:
    """A batch and its payload; the model is read from its file, because the zoo needs platformdirs."""

    model: local.LocalModel
    images: NDArray[np.uint8]
    payload: bytes
    lanes: int


@pytest.fixture(scope="module")
def case() -> Case:
    if not torch.cuda.is_available():
        pytest.skip("the cuda engine needs a GPU")
    model, images = local.load(WEIGHTS, "photo"), draw()
    return Case(model, images, *encode_images(model, images, "cuda"))


def draw() -> NDArray[np.uint8]:
    """Waves with a little noise, each image's its own: uint8 [64, 512, 768, 3]."""
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3].astype(np.float32)
    images = np.empty((IMAGES, HEIGHT, WIDTH, 3), np.uint8)
    for k in range(IMAGES):
        noise = np.random.default_rng(k).normal(0, 1.5, y.shape)
        waves = 60 * np.sin(x / (25 + k / 5) + c / 5) + 50 * np.cos(y / 23 + x / 90 + k)
        images[k] = (110 + waves + noise).round().clip(0, 255)
    return images


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "as it is"])
def test_decode(benchmark: BenchmarkFixture, case: Case, fused: bool) -> None:
    from shearloc.models.local import device

    size = case.images.shape[:3]

    def decode() -> NDArray[np.uint8]:
        message = Message.from_bytes(case.payload, case.lanes, shared=False)
        return device.pop_images(case.model, message, size, fused=fused)

    back = measure(benchmark, decode)
    assert np.array_equal(back, case.images)


def test_encode(benchmark: BenchmarkFixture, case: Case) -> None:
    payload, lanes = measure(benchmark, lambda: encode_images(case.model, case.images, "cuda"))
    assert (payload, lanes) == (case.payload, case.lanes)


def test_the_default_engine_reads_it(case: Case) -> None:
    """And would have written the same: two of the images by themselves, by both engines."""
    images = case.images[:2]
    payload, lanes = encode_images(case.model, images, "cuda")
    assert (payload, lanes) == encode_images(case.model, images, "auto")
    assert np.array_equal(decode_images(case.model, payload, lanes, images.shape[:3], "auto"), images)


def measure(benchmark: BenchmarkFixture, function):  # type: ignore[no-untyped-def]
    """The function's result; its time goes to the benchmark, and MB/s of raw pixels to its extra_info."""
    result = benchmark.pedantic(function, rounds=ROUNDS, warmup_rounds=1)
    if benchmark.stats:  # not there with --benchmark-disable
        speed = IMAGES * HEIGHT * WIDTH * 3 / 1e6 / benchmark.stats.stats.median
        benchmark.extra_info["mb_s_median"] = speed
        print(f"\n{benchmark.name}: {speed:.1f} MB/s")
    return result
