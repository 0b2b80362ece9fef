"""`.shl` as one of imageio's formats, in its version 3."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import shearloc

iio = pytest.importorskip("imageio.v3")

Array = NDArray[np.generic]


@pytest.fixture
def pictures(picture: Callable[..., NDArray[np.uint8]]) -> list[Array]:
    """Gray, colour and alpha, of 8 and 16 bits."""
    eight: list[Array] = [picture(9, 13, 1), picture(9, 13, 3), np.dstack([picture(9, 13, 3), picture(9, 13, 1)])]
    return [*eight, *(one.astype(np.uint16) * 251 for one in eight)]


def test_pictures_come_back(tmp_path: Path, pictures: list[Array]) -> None:
    for image in pictures:
        iio.imwrite(tmp_path / "a.shl", image, effort=1)
        back = iio.imread(tmp_path / "a.shl")
        assert back.dtype == image.dtype and np.array_equal(back, image)
        assert np.array_equal(iio.imread(tmp_path / "a.shl", index=0), image)
        assert iio.imread(tmp_path / "a.shl", index=...).shape == (1, *image.shape)
        found = iio.improps(tmp_path / "a.shl")
        assert (found.shape, found.dtype, found.is_batch) == (image.shape, image.dtype, False)
        assert iio.immeta(tmp_path / "a.shl")["file_bytes"] == (tmp_path / "a.shl").stat().st_size
        assert [np.array_equal(one, image) for one in iio.imiter(tmp_path / "a.shl")] == [True]


def test_bytes(pictures: list[Array]) -> None:
    data = iio.imwrite("<bytes>", pictures[4], extension=".shl", effort=1)
    assert np.array_equal(shearloc.decode(data), pictures[4])
    assert np.array_equal(iio.imread(data, extension=".shl"), pictures[4])
    assert np.array_equal(iio.imread(data, plugin="shearloc"), pictures[4])


def test_archives_are_batches(tmp_path: Path, picture: Callable[..., NDArray[np.uint8]]) -> None:
    images = np.stack([picture(8, 8, 3), picture(8, 8, 3)[::-1], picture(8, 8, 3)[:, ::-1]])
    for given in (images, list(images)):
        iio.imwrite(tmp_path / "a.shl", given, is_batch=True, model="nelloc-r0")
        assert np.array_equal(iio.imread(tmp_path / "a.shl"), images)
        assert np.array_equal(iio.imread(tmp_path / "a.shl", index=2), images[2])
        assert np.array_equal(np.stack(list(iio.imiter(tmp_path / "a.shl"))), images)
        found = iio.improps(tmp_path / "a.shl")
        assert (found.shape, found.n_images, found.is_batch) == (images.shape, 3, True)
        assert iio.improps(tmp_path / "a.shl", index=1).shape == (8, 8, 3)
        with pytest.raises(ValueError, match="there is no image 3: the file has 3"):
            iio.imread(tmp_path / "a.shl", index=3)


def test_errors(tmp_path: Path, pictures: list[Array]) -> None:
    with pytest.raises(TypeError, match="efort"):
        iio.imwrite(tmp_path / "a.shl", pictures[0], efort=1)
    (tmp_path / "b.shl").write_bytes(b"nothing")
    with pytest.raises(OSError, match=r"b\.shl"):
        iio.imread(tmp_path / "b.shl")
    with pytest.raises(OSError, match="can not handle"):
        iio.imwrite(tmp_path / "c.png", pictures[0], plugin="shearloc")
    damaged = bytearray(shearloc.encode(pictures[0]))
    damaged[-1] ^= 1
    with pytest.raises(shearloc.CorruptError):
        iio.imread(bytes(damaged), extension=".shl")


@pytest.mark.parametrize("lines", ["import shearloc, imageio.v3 as iio", "import imageio.v3 as iio, shearloc"])
def test_importing_is_enough_in_any_order(tmp_path: Path, lines: str) -> None:
    shearloc.write(tmp_path / "a.shl", np.full((4, 5, 3), 300, np.uint16))
    code = f"{lines}; print(iio.imread({str(tmp_path / 'a.shl')!r}).shape)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=300).strip() == "(4, 5, 3)"
