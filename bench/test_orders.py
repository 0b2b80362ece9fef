"""pytest-benchmark: decoding 1024 x 1024 by the thesis's three decoders, model nelloc-r0 (thesis, table 5.7).

    pytest bench/test_orders.py --benchmark-json=bench/results/orders.json

The picture is drawn, so nothing but the shipped model is needed.
"""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import shearloc

SIDE = 1024


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Waves with a little noise, uint8 [1024, 1024, 3]."""
    y, x, c = np.mgrid[:SIDE, :SIDE, :3]
    noise = np.random.default_rng(3).normal(0, 1.5, y.shape)
    pixels = 110 + 60 * np.sin(x / 31 + c / 5) + 50 * np.cos(y / 23 + x / 90) + noise
    return pixels.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("order", "rounds"), [("sheared", 5), ("parallel", 2), ("sequential", 1)])
def test_decode(benchmark: BenchmarkFixture, image: np.ndarray, order: str, rounds: int) -> None:
    data = shearloc.encode(image, model="nelloc-r0", order=order)
    shearloc.decode(shearloc.encode(image[:64, :64], model="nelloc-r0", order=order), order=order)  # compiles
    back = benchmark.pedantic(shearloc.decode, (data,), {"order": order}, rounds=rounds)
    assert np.array_equal(back, image)
    if benchmark.stats:  # not there with --benchmark-disable
        benchmark.extra_info["mb_s_median"] = image.size / 1e6 / benchmark.stats.stats.median
