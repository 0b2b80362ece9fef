"""Collections as torch datasets: tensors, workers, pickling; and no torch before it is asked for."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.jobs import collections, shards
from shearloc.jobs.options import Encoding
from shearloc.jobs.sources import find

torch = pytest.importorskip("torch", reason="needs torch")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., NDArray[np.uint8]]) -> Path:
    """Twenty RGB images and two grays of 16 bits."""
    folder = tmp_path_factory.mktemp("packed")
    np.savez(
        folder / "all.npz",
        rgb=np.stack([np.roll(picture(8, 9, 3), k, 0) for k in range(20)]),
        deep=np.full((2, 4, 5), 40_000, np.uint16),
    )
    tasks = shards.plan(find([folder / "all.npz"]).items, folder / "out", Encoding(verify=None), share=False)
    shards.prepare(tasks, folder / "out", force=False)
    assert not shards.pack_shard(tasks[0]).failures
    collections.write_index(folder / "out", [tasks[0].target])
    return folder


def second_row(image: "torch.Tensor", name: str) -> "tuple[torch.Tensor, str]":
    return image[:, 1], name


def test_tensors(packed: Path) -> None:
    from shearloc.data import CollectionDataset

    images = CollectionDataset(packed / "out")
    expected = np.load(packed / "all.npz")["rgb"]
    assert isinstance(images, torch.utils.data.Dataset) and len(images) == 22
    assert images[0].dtype == torch.uint16 and images[0].shape == (1, 4, 5)
    for k in range(20):
        assert images[2 + k].dtype == torch.uint8
        assert np.array_equal(images[2 + k].permute(1, 2, 0).numpy(), expected[k])
    row, name = pickle.loads(pickle.dumps(CollectionDataset(packed / "out", second_row)))[5]
    assert name == "rgb/03" and np.array_equal(row.T.numpy(), expected[3, 1])
    with pytest.raises(IndexError):
        images[22]


@pytest.mark.slow
def test_workers_of_a_data_loader(packed: Path) -> None:
    """Forked after this process has decoded, and spawned."""
    from shearloc.data import CollectionDataset

    images = CollectionDataset(packed / "out")
    expected = np.load(packed / "all.npz")["rgb"]
    assert images[2].shape == (3, 8, 9)
    subset = torch.utils.data.Subset(images, range(2, 22))
    # How batches are shared out is torch's affair, so that two workers once are enough.
    for context, workers in (("fork", 2), ("spawn", 1)) if sys.platform != "win32" else (("spawn", 2),):
        loader = torch.utils.data.DataLoader(subset, 6, num_workers=workers, multiprocessing_context=context)
        batches = list(loader)
        assert [len(batch) for batch in batches] == [6, 6, 6, 2]
        assert np.array_equal(torch.cat(batches).permute(0, 2, 3, 1).numpy(), expected)


def test_torch_comes_with_the_dataset_only(packed: Path) -> None:
    code = (
        "import sys, shearloc; shearloc.Collection('out')['rgb/03']; assert 'torch' not in sys.modules\n"
        "import shearloc.data; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=packed, check=True, timeout=120)
    code = "import sys; sys.modules['torch'] = None\nimport shearloc.data"
    found = subprocess.run([sys.executable, "-c", code], cwd=packed, capture_output=True, text=True, timeout=120)
    assert found.returncode and 'pip install "torch>=2.9"' in found.stderr
