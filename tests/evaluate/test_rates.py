"""The measuring of rates: every number is what its name says, checked against the plain way to get it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc
from shearloc.evaluate import rates
from shearloc.evaluate.rates import ImageRates
from shearloc.models import zoo

Picture = Callable[..., NDArray[np.uint8]]

SIZES = ((192, 256), (40, 30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> Path:
    """Two RGB images and a file that is none."""
    path = tmp_path_factory.mktemp("images")
    for k, size in enumerate(SIZES):
        Image.fromarray(picture(*size, 3)).save(path / f"{k}.png")
    (path / "notes.txt").write_text("not an image")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shearloc.evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What `rates FOLDER --json` prints and writes."""
    out = tmp_path_factory.mktemp("out") / "rates.json"
    done = run("rates", folder, "--json", out)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


def row(**changes: Any) -> ImageRates:
    fields: dict[str, Any] = {
        "image": "a", "height": 2, "width": 5, "channels": 1, "method": "local", "file_bytes": 10, "header_bytes": 2,
        "exact": True, "code_bits": 60.0, "float_bits": 50.0,
    }  # fmt: skip
    return ImageRates(**(fields | changes))


def test_json_says_where_it_comes_from(result: tuple[str, dict[str, Any]], folder: Path) -> None:
    _, found = result
    machine = found["machine"]
    assert found["date"].endswith("+00:00") and machine["cores"] >= 1 and machine["cpu"] and machine["numba_cpu"]
    assert found["versions"]["shearloc"] == shearloc.__version__ and found["versions"]["numpy"] == np.__version__
    assert f"-m shearloc.evaluate rates {folder} --json " in found["command"]
    assert (found["model"], found["fingerprint"]) == ("photo", zoo.load("photo").fingerprint.hex())


def test_json_has_the_real_bytes(result: tuple[str, dict[str, Any]], picture: Picture) -> None:
    _, found = result
    assert [row["image"] for row in found["rows"]] == ["0.png", "1.png"]
    for row, size in zip(found["rows"], SIZES, strict=True):
        image = picture(*size, 3)
        data = shearloc.encode(image, model="photo")
        assert (row["height"], row["width"], row["channels"]) == image.shape
        assert row["file_bytes"] == len(data) and row["exact"] is True
        assert row["header_bytes"] == len(data) - shearloc.info(data).payload_bytes
        assert row["bits_per_subpixel"]["files"] == 8 * len(data) / image.size


def test_mean_is_of_the_images_rates(result: tuple[str, dict[str, Any]]) -> None:
    printed, found = result
    mean = sum(row["bits_per_subpixel"]["files"] for row in found["rows"]) / 2
    assert found["summary"]["mean_bits_per_subpixel"]["files"] == pytest.approx(mean)
    assert f"{mean:.4f}" in printed and "decoded exactly: 2 of 2" in printed


def test_file_is_just_above_the_code_length(result: tuple[str, dict[str, Any]]) -> None:
    for row in result[1]["rows"]:
        assert row["method"] == "local"
        assert row["code_bits"] < 8 * row["file_bytes"]
    large = result[1]["rows"][0]
    assert 8 * large["file_bytes"] <= 1.003 * large["code_bits"] + 8 * large["header_bytes"]


def test_code_length_depends_on_the_model_alone(picture: Picture) -> None:
    """An image of no structure costs about its entropy or more; a flat one next to nothing."""
    model = zoo.load("gray")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    assert rates.code_length(model, noise) > 7.9 * noise.size
    assert rates.code_length(model, np.full_like(noise, 77)) < rates.code_length(model, picture(64, 64, 1))


def test_gray_measures_pillows_l(folder: Path, tmp_path: Path) -> None:
    done = run("rates", folder, "--gray", "--json", tmp_path / "gray.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gray.json").read_text())
    with Image.open(folder / "1.png") as image:
        gray = np.array(image.convert("L"))
    assert found["model"] == "gray" and found["rows"][1]["channels"] == 1
    assert found["rows"][1]["file_bytes"] == len(shearloc.encode(gray, model="gray"))


@pytest.mark.parametrize(("channels", "reach", "neighbours"), [(3, 1, 0), (1, 2, 0), (3, 0, 0), (3, 2, 6)])
def test_float_parent_is_the_networks_own_bits(
    tmp_path: Path, picture: Picture, channels: int, reach: int, neighbours: int
) -> None:
    """Against the network on all pixels at once, and near its export's, untrained as it is."""
    torch = pytest.importorskip("torch")
    from shearloc.training.export import export
    from shearloc.training.images import PixelSet
    from shearloc.training.local_float import LocalNet, Shape

    torch.manual_seed(1)
    kind = {"blocks": 1, "neighbours": neighbours, "narrow": 6} if neighbours else {}
    net = LocalNet(Shape(channels, horizon=2, reach=reach, width=16, layers=1, head_width=8, components=2, **kind))
    torch.save(net.state_dict(), tmp_path / "float.pt")
    model = export(net, "small")
    image = picture(120, 151, channels)  # more than a batch
    parent = rates.load_parent(tmp_path / "float.pt", model)
    assert parent.shape == net.shape
    bits = rates.float_code_length(parent, image)
    pixels = PixelSet.of([image.reshape(120, 151, channels)])
    batch = pixels.windows(np.zeros((1, 4), np.int64), (120, 151), model.offsets)
    with torch.no_grad():
        assert bits == pytest.approx(float(net(*map(torch.from_numpy, batch)).sum()), rel=1e-5)
    assert bits == pytest.approx(rates.code_length(model, image), rel=0.02)


def test_wrong_parent_is_refused_in_one_line(tmp_path: Path, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"other": torch.zeros(1)}, tmp_path / "float.pt")
    done = run("rates", folder, "--float-parent", tmp_path / "float.pt")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "not the float weights" in done.stderr


def test_unwritable_output_is_refused_before_measuring(tmp_path: Path, folder: Path) -> None:
    done = run("rates", folder, "--json", tmp_path / "no" / "such.json")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no such folder" in done.stderr


def test_empty_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    done = run("rates", tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no images" in done.stderr


def test_excess_of_means_and_of_the_worst() -> None:
    rows = [row(), row(file_bytes=20, code_bits=100.0, height=4)]
    assert rows[0].rates() == {"files": 8, "code length": 6, "float parent": 5}
    assert rates.mean_rates(rows)["files"] == pytest.approx((80 / 10 + 160 / 20) / 2)
    found = rates.excess(rows, "files", "code length")
    assert found["mean_percent"] == pytest.approx(100 * (8 / 5.5 - 1))
    assert found["worst_percent"] == pytest.approx(100 * (160 / 100 - 1))


def test_a_file_that_does_not_come_back_is_counted(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates.api, "decode", lambda data: np.zeros((8, 8), np.uint8))
    found = rates.image_rates("a", picture(8, 8, 1), zoo.load("gray"))
    assert not found.exact
    assert rates.summary([found])["exact"] == 0
