"""Sets of small images: each data set as two arrays, and binary images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.errors import ShearlocError
from shearloc.training.images import IDX_FILES, perturbed
from shearloc.training.small_images import DATASETS, binarise, load_dataset


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ShearlocError, match="no folder"):
        load_dataset(name, tmp_path)
    (tmp_path / name.removesuffix("-binary")).mkdir()
    with pytest.raises(ShearlocError, match="training and test images"):
        load_dataset(name, tmp_path)


def test_grids_are_cut_and_digits_read(tmp_path: Path, write_idx: Callable[[Path, NDArray[np.uint8]], None]) -> None:
    rng = np.random.default_rng(0)
    grids, digits = rng.integers(0, 256, (2, 32, 64, 3), np.uint8), rng.integers(0, 256, (5, 3, 4), np.uint8)
    for folder in ("cifar10", "mnist"):
        (tmp_path / folder).mkdir()
    for part, grid, file, count in zip(("train", "test"), grids, IDX_FILES.values(), (5, 2), strict=True):
        Image.fromarray(grid).save(tmp_path / "cifar10" / f"{part}_0.webp", lossless=True)
        write_idx(tmp_path / "mnist" / file, digits[:count])
    for found, grid in zip(load_dataset("cifar10", tmp_path), grids, strict=True):
        assert found.shape == (2, 32, 32, 3) and (np.concatenate(found, axis=1) == grid).all()
    training, test = load_dataset("mnist", tmp_path)
    assert (training == digits[..., None]).all() and (test == digits[:2, ..., None]).all()
    assert (load_dataset("mnist-binary", tmp_path)[0] == binarise(training)).all()


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


def test_perturbed_images_keep_the_other_values() -> None:
    image = np.full((40, 50, 1), 7, np.uint8)
    found = perturbed(image, 0.3, np.random.default_rng(1))
    assert found.dtype == np.uint8 and abs((found != 7).mean() - 0.3) < 0.03 and np.unique(found).size > 200
    assert np.array_equal(perturbed(image, 0, np.random.default_rng(1)), image)
