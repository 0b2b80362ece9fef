"""Chapter 5's tables in their quick form, and what they are made of; what the numbers are is another matter."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from shearloc.codec import archive
from shearloc.errors import ShearlocError
from shearloc.evaluate import batches, chapter5, chapter5_coding
from shearloc.evaluate.__main__ import app
from shearloc.evaluate.peers import Codec

ROOT = Path(__file__).parents[2]


def small(count: int, side: int = 8) -> np.ndarray:
    """Waves and a little noise, uint8 [count, side, side, 3]."""
    k, y, x, c = np.mgrid[:count, :side, :side, :3]
    noise = np.random.default_rng(count).integers(0, 4, k.shape)
    return (100 + 60 * np.sin((x + y + k) / 5 + c) + noise).astype(np.uint8)


@pytest.mark.parametrize(
    ("asked", "found"),
    [("5.1", ["5.1"]), ("5.7", ["5.7a", "5.7b"]), (" 5.7b, 5.2", ["5.2", "5.7b"]), ("5.6,5.6", ["5.6"])],
)
def test_tables_are_named_as_in_the_thesis(asked: str, found: list[str]) -> None:
    assert chapter5.chosen(asked) == found


@pytest.mark.parametrize("asked", ["5.5", "", "5", "5.1a", "5.1,,5.2"])
def test_tables_that_are_not_there_are_refused(asked: str) -> None:
    with pytest.raises(ShearlocError, match=r"there is no table .*5\.7b"):
        chapter5.chosen(asked)


def test_missing_models_are_told() -> None:
    told: list[str] = []
    assert chapter5.at_hand(["nelloc-r0", "nelloc-r99"], told.append) == ["nelloc-r0"]
    assert len(told) == 1 and "nelloc-r99" in told[0]
    with pytest.raises(ShearlocError, match="--model"):
        chapter5.at_hand(["nelloc-r99"], told.append)


def test_the_thesis_is_beside_ours() -> None:
    """Its rows and columns are there too where we have none, and ours where it has none."""
    ours = {
        "bits per dimension": {"32": 3.5, "256": 3.25},
        "sequential": {"32": 0.03, "256": 2.0},
        "parallel": {"32": 0.02, "256": 0.5},
        "sheared": {"32": 0.01, "256": 0.25},
    }
    assert chapter5.markdown({"5.7b": ours}).splitlines() == [
        "**5.7b. Seconds to decode by side length**",
        "",
        "| | 32 | thesis | 256 | 64 | thesis | 128 | thesis | 1024 | thesis |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| bits per dimension | 3.500 | 3.390 | 3.250 |  | 3.050 |  | 2.930 |  | 2.220 |",
        "| sequential | 0.03000 | 0.4600 | 2.000 |  | 1.879 |  | 7.574 |  | 475.9 |",
        "| parallel | 0.02000 (1.5x) | 0.2230 (2.06x) | 0.5000 (4x) |  | 0.7570 (2.48x) "
        "|  | 2.217 (3.42x) |  | 100.0 (4.76x) |",
        "| sheared | 0.01000 (3x) | 0.2180 (2.11x) | 0.2500 (8x) |  | 0.6120 (3.07x) "
        "|  | 1.683 (4.5x) |  | 73.00 (6.52x) |",
    ]


def test_mosaics_are_of_photographs_of_their_own(tmp_path: Path) -> None:
    for k in range(8):
        Image.new("RGB", (10, 6), (k, k, k)).save(tmp_path / f"{k}.png")
    first, second = chapter5_coding.squares(tmp_path, 8, 2)
    assert first.shape == second.shape == (8, 8, 3)
    for square, start in ((first, 0), (second, 4)):
        corners = square[[0, 0, -1, -1], [0, -1, 0, -1], 0]
        assert corners.tolist() == [start, start + 1, start + 2, start + 3]
    assert [image.shape for image in chapter5_coding.squares(tmp_path, 4, 3)] == 3 * [(4, 4, 3)]


def test_a_batch_is_a_real_archive() -> None:
    images = small(5)
    row = batches.measure(images, "nelloc-r0", 2)
    assert row.exact and row.images == 5 and row.model == "nelloc-r0"
    assert row.bits_per_dimension == 8 * len(archive.encode_images(images, model="nelloc-r0")) / images.size
    found = row.to_dict(images.size)
    assert len(found["encode_seconds"]) == len(found["decode_seconds"]) == 2
    slowest = images.size / 1e6 / max(row.decode_seconds)
    assert found["decode_mb_s"]["minimum"] == slowest <= found["decode_mb_s"]["median"]


def test_rates_are_of_whole_files() -> None:
    stored = Codec(lambda pixels: b"header" + pixels.tobytes(), lambda data: images[0])
    images = small(1, 16)
    table = chapter5_coding.rates(images, [images[0]], ["nelloc-r0"], {"stored": stored})
    plain = 8 + 8 * 6 / images.size
    assert table["stored"] == {"cifar10": plain, "kodak": plain}
    ours = table["nelloc-r0"]
    assert ours["cifar10"] < 8 and ours["kodak"] < 8 and 0.1 < ours["MB"] < 0.2


def test_a_codec_that_loses_something_is_refused() -> None:
    lossy = Codec(lambda pixels: b"", lambda data: small(1)[0])
    with pytest.raises(ShearlocError, match="exactly"):
        chapter5_coding.rates(small(2), [], [], {"lossy": lossy})


def test_every_order_is_timed() -> None:
    images = list(small(2, 16))
    table = chapter5_coding.times(images, ["nelloc-r0"], 1)
    assert set(table) == {"bits per dimension", *chapter5_coding.ORDERS}
    by_side = chapter5_coding.times_by_side({16: images, 8: images[:1]}, "nelloc-r0", 1)
    assert all(list(row) == ["16", "8"] and min(row.values()) > 0 for row in by_side.values())
    assert by_side["bits per dimension"]["16"] == table["bits per dimension"]["nelloc-r0"]


def test_refusals_are_one_line() -> None:
    command = [sys.executable, "-m", "shearloc.evaluate", "chapter5", "--out", "runs", "--tables", "5.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "no table '5.5'" in done.stderr


@pytest.mark.data
def test_the_batches_command(tmp_path: Path, data_folder: Path) -> None:
    json_file = tmp_path / "b.json"
    arguments = ["batches", "cifar10", "--model", "nelloc-r0", "--data", str(data_folder), "--count", "3"]
    done = CliRunner().invoke(app, [*arguments, "--rounds", "1", "--json", str(json_file)])
    assert done.exit_code == 0, done.output
    assert "nelloc-r0" in done.output and "MB/s" in done.output
    (row,) = json.loads(json_file.read_text())["rows"]
    assert row["exact"] and row["images"] == 3 and 0 < row["bits_per_dimension"] < 8


@pytest.mark.slow
@pytest.mark.data
def test_chapter_5_quick(tmp_path: Path, data_folder: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "shearloc.evaluate", "chapter5", "--quick", "--data", str(data_folder)]
    arguments = [
        "--out",
        str(tmp_path / "runs"),
        "--json",
        str(tmp_path / "r.json"),
        "--markdown",
        str(tmp_path / "r.md"),
    ]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("training") == 11
    result = json.loads((tmp_path / "r.json").read_text())
    assert list(result["tables"]) == list(chapter5.TITLES) and result["budget"]["updates"] == 2
    assert len(result["networks"]) == 11 and result["networks"]["cifar10-full"] == {"updates": 1, "pixels": 256}
    rates = result["tables"]
    assert rates["5.1"]["mnist"]["local"] == rates["5.3"]["mnist"]["h=3"]
    assert rates["5.2"]["cifar10"]["local"] == rates["5.4"]["cifar10"]["h=3"]
    assert rates["5.1"]["mnist"]["full"] != rates["5.1"]["mnist"]["local"]
    assert chapter5.markdown(rates) == (tmp_path / "r.md").read_text()
    # Everything is there now, so that nothing is trained or measured again.
    arguments += ["--tables", "5.1"]
    again = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0 and again.stderr == "table 5.1\n"
    assert json.loads((tmp_path / "r.json").read_text())["tables"] == {"5.1": rates["5.1"]}
