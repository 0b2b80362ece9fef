"""pytest-benchmark: reading a Zarr array of 512 x 512 x 3 in chunks of 128 x 128 x 3, with 1 and 4 of Zarr's threads.

    pytest bench/test_zarr.py --benchmark-json=bench/results/zarr.json

The bar (issue 6): 4 threads are no slower than 1, and read the same. The picture is drawn.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

zarr = pytest.importorskip("zarr", reason="needs the extra [zarr]")

from zarr.core.sync import cleanup_resources  # noqa: E402  # behind the skip

from shearloc.plugins.zarr import ShearlocCodec  # noqa: E402

SIDE, PART, ROUNDS = 512, 128, 5


@pytest.fixture(scope="module")
def image(drawn: Callable[[int], np.ndarray]) -> np.ndarray:
    """uint8 [512, 512, 3]."""
    return drawn(SIDE)


@pytest.fixture(scope="module")
def path(image: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The array, written."""
    path = tmp_path_factory.mktemp("zarr") / "image"
    codec = ShearlocCodec(effort=1)
    kept = zarr.create_array(
        path, shape=image.shape, chunks=(PART, PART, 3), dtype="u1", serializer=codec, compressors=None
    )
    kept[...] = image
    return path


@pytest.mark.parametrize("threads", [1, 4])
def test_read(benchmark: BenchmarkFixture, image: np.ndarray, path: Path, threads: int) -> None:
    zarr.registry.register_codec("shearloc", ShearlocCodec)  # as the entry point does in an installation
    cleanup_resources()  # Zarr makes its pool once, from the setting it then finds
    with zarr.config.set({"threading.max_workers": threads}):
        kept = zarr.open_array(path, mode="r")
        back = benchmark.pedantic(kept.__getitem__, (...,), rounds=ROUNDS, warmup_rounds=1)
    cleanup_resources()
    assert np.array_equal(back, image)
    if benchmark.stats:  # not there with --benchmark-disable
        benchmark.extra_info["mb_s_median"] = image.size / 1e6 / benchmark.stats.stats.median
