"""pytest-benchmark: one image of 10,000 from a collection, and packing with two Dask workers against one.

    pytest bench/test_collections.py --benchmark-json=bench/results/collections.json

Needs ../shared/data; the second part also dask.distributed and two processors. The bars: at most 50 ms for one image,
warm (here, the median over random images, each decoded anew), and packing at least 1.6 times as fast.
"""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shearloc import Collection
from shearloc.jobs import collections, shards, spread
from shearloc.jobs.options import Encoding
from shearloc.jobs.sources import find
from shearloc.nets.engines import processors
from shearloc.training import small_images

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs {DATA}")
CIFAR_IMAGES = 2000


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST's test set, packed."""
    out = tmp_path_factory.mktemp("digits") / "out"
    items = find([DATA / "mnist" / "t10k-images-idx3-ubyte.gz"]).items
    tasks = shards.plan(items, out, Encoding(verify=False), share=False)
    shards.prepare(tasks, out, force=False)
    assert sum(shards.pack_shard(task).images for task in tasks) == 10_000
    collections.write_index(out, [task.target for task in tasks])
    return out


def test_one_image_of_10_000(benchmark: BenchmarkFixture, digits: Path) -> None:
    draw = random.Random(0)

    def one() -> None:
        Collection(digits)[f"{draw.randrange(10_000):04}"]

    benchmark.pedantic(one, rounds=200, warmup_rounds=60)
    stored = sum(path.stat().st_size for path in digits.iterdir())
    benchmark.extra_info["bits_per_subpixel"] = 8 * stored / (10_000 * 28 * 28)


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[list[shards.Task]]:
    images = small_images.load_dataset("cifar10", DATA)[0][:CIFAR_IMAGES]  # the speed is what counts here
    np.save(tmp_path / "cifar.npy", images)
    yield shards.plan(find([tmp_path / "cifar.npy"]).items, tmp_path / "out", Encoding(), share=True)


def test_two_dask_workers_against_one(benchmark: BenchmarkFixture, tasks: list[shards.Task]) -> None:
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    if processors() < 2:
        pytest.skip("needs two processors")
    seconds = {}

    def compare() -> None:
        for workers in (1, 2):
            with distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as cluster:
                out = tasks[0].target.parent.with_name(f"out{workers}")
                out.mkdir()
                mine = [replace(task, target=out / task.target.name) for task in tasks]
                _warm_up(mine, out, workers, cluster)
                start = time.perf_counter()
                images = sum(_images(outcome) for _, outcome in _done(mine, cluster))
                seconds[workers] = time.perf_counter() - start
                assert images == CIFAR_IMAGES

    benchmark.pedantic(compare, rounds=1)
    benchmark.extra_info.update({f"seconds_{workers}": value for workers, value in seconds.items()})
    benchmark.extra_info["times_as_fast"] = seconds[1] / seconds[2]
    print(f"\n1 worker {seconds[1]:.1f} s, 2 workers {seconds[2]:.1f} s: {seconds[1] / seconds[2]:.2f} times as fast")


def _warm_up(tasks: list[shards.Task], out: Path, workers: int, cluster: Any) -> None:
    """Have every worker import and compile what it needs: a chunk for each, thrown away."""
    some = [replace(task, items=task.items[:16]) for task in tasks[:workers]]
    for task, _ in _done(some, cluster):
        os.remove(task.target)


def _done(tasks: list[shards.Task], cluster: Any) -> Any:
    return spread.on_cluster(shards.pack_shard, tasks, cluster.scheduler_address)


def _images(outcome: shards.Outcome | Exception) -> int:
    assert isinstance(outcome, shards.Outcome), outcome
    return outcome.images
