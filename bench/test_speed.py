"""pytest-benchmark: warm encoding and decoding of a 768 x 512 image, RGB and gray, by engine.

    pytest bench/test_speed.py

For watching a change of the code on one machine: the picture is drawn, so nothing but the shipped models is needed.
It is not the measurement that the README quotes; that is `shearloc bench`, which measures the numba and numpy
engines in processes without torch.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

import shearloc
from shearloc.models import zoo

HEIGHT, WIDTH = 512, 768
ROUNDS = 5
MODELS = {"rgb": "photo", "gray": "gray"}


@dataclass(frozen=True)
class Case:
    """An image, its file, and the engine that is timed on them."""

    image: NDArray[np.uint8]
    data: bytes
    engine: str


def draw(channels: int) -> NDArray[np.uint8]:
    """Waves with a little noise, uint8 [H, W] or [H, W, 3]: about as many bits as a clean photograph."""
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :channels]
    noise = np.random.default_rng(channels).normal(0, 1.5, y.shape)
    pixels = (110 + 60 * np.sin(x / 31 + c / 5) + 50 * np.cos(y / 23 + x / 90) + noise).round().clip(0, 255)
    return pixels.astype(np.uint8).squeeze()


# Of module scope, so that all of an engine's cases run together and those without torch come before it is imported.
@pytest.fixture(scope="module", params=["numba", "numpy", "torch", "cuda"])
def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in ("numba", "numpy"):
        torch = pytest.importorskip("torch", reason=f"engine '{name}' needs torch")
        if name == "cuda" and not torch.cuda.is_available():
            pytest.skip("engine 'cuda' needs a GPU")
    return name


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, engine: str) -> Case:
    model = MODELS[request.param]
    if model not in zoo.names():
        pytest.skip(f"the model '{model}' is not installed")
    image = draw(3 if model == "photo" else 1)
    return Case(image, shearloc.encode(image, engine=engine), engine)


def test_encode(benchmark: BenchmarkFixture, case: Case) -> None:
    data = measure(benchmark, case, shearloc.encode, case.image)
    assert data == case.data


def test_decode(benchmark: BenchmarkFixture, case: Case) -> None:
    image = measure(benchmark, case, shearloc.decode, case.data)
    assert np.array_equal(image, case.image)


def measure(benchmark: BenchmarkFixture, case: Case, function, argument):  # type: ignore[no-untyped-def]
    """The function's result; its time goes to the benchmark, and MB/s of raw pixels to its extra_info."""
    result = benchmark.pedantic(function, (argument,), {"engine": case.engine}, rounds=ROUNDS, warmup_rounds=1)
    if benchmark.stats:  # not there with --benchmark-disable
        benchmark.extra_info["mb_s_median"] = case.image.size / 1e6 / benchmark.stats.stats.median
    return result
