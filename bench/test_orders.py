"""pytest-benchmark: decoding 1024 x 1024 by the thesis's three decoders, model nelloc-r0 (thesis, table 5.7).

    pytest bench/test_orders.py --benchmark-json=bench/results/orders.json

The picture is drawn, so nothing but the shipped model is needed. Besides the engine that `auto` takes on a processor
with AVX2 or VNNI there is torch's, which the thesis used.
"""

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import shearloc

SIDE = 1024


@pytest.fixture(scope="module")
def image(drawn: Callable[[int], np.ndarray]) -> np.ndarray:
    """uint8 [1024, 1024, 3]."""
    return drawn(SIDE)


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize(("order", "rounds"), [("sheared", 5), ("parallel", 2), ("sequential", 1)])
def test_decode(benchmark: BenchmarkFixture, image: np.ndarray, order: str, rounds: int, engine: str) -> None:
    how = {"order": order, "engine": engine}
    data = shearloc.encode(image, model="nelloc-r0", order=order)
    shearloc.decode(shearloc.encode(image[:64, :64], model="nelloc-r0", order=order), **how)  # compiles
    back = benchmark.pedantic(shearloc.decode, (data,), how, rounds=rounds)
    assert np.array_equal(back, image)
    if benchmark.stats:  # not there with --benchmark-disable
        benchmark.extra_info["mb_s_median"] = image.size / 1e6 / benchmark.stats.stats.median
