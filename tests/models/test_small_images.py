"""Sets of small images: IDX files, grids, and binary images."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shearloc.errors import ShearlocError
from shearloc.models.small_images import binarise, load_dataset, read_grids, read_idx


def test_idx(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    header = b"\x00\x00\x08\x03" + np.array([2, 3, 4], ">u4").tobytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(header + images.tobytes()))
    assert (read_idx(tmp_path / "a.gz") == images[..., None]).all()
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01" + bytes(12)))
    with pytest.raises(ShearlocError, match="IDX"):
        read_idx(tmp_path / "b.gz")


def test_grids_go_row_by_row(tmp_path: Path) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    grid = tiles.reshape(2, 3, 4, 4, 3).transpose(0, 2, 1, 3, 4).reshape(8, 12, 3)
    Image.fromarray(grid).save(tmp_path / "g.webp", lossless=True)
    assert (read_grids([tmp_path / "g.webp"], 4) == tiles).all()
    with pytest.raises(ShearlocError, match="CIFAR-10"):
        load_dataset("cifar10", tmp_path)


def test_binary_images_are_drawn_once() -> None:
    gray = np.repeat(np.array([0, 51, 255], np.uint8), 3000).reshape(3, -1)
    found = binarise(gray)
    assert (found == binarise(gray)).all() and set(np.unique(found)) == {0, 1}
    assert found[0].sum() == 0 and found[2].all() and found[1].mean() == pytest.approx(0.2, abs=0.03)
    assert binarise(gray, 1)[1].tolist() != found[1].tolist()
    assert found[1, :12].tolist() == PINNED


PINNED = [0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0]


@pytest.mark.data
def test_measuring_data(data_folder: Path) -> None:
    train, test = load_dataset("mnist-binary", data_folder)
    assert train.shape == (60000, 28, 28, 1) and test.shape == (10000, 28, 28, 1)
    assert test.mean() == pytest.approx(0.1325, abs=0.002)
