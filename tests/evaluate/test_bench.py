"""`shearloc bench`: real bytes of real files, everyone's pixels compared, and what cannot be measured is told."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc
from shearloc.cli.bench import _show_ratios
from shearloc.errors import ShearlocError, UnknownModelError
from shearloc.evaluate import bench, peers, plots
from shearloc.evaluate.bench import Other, Ours, Result, Row
from shearloc.evaluate.results import Contest
from shearloc.models import zoo

Picture = Callable[..., NDArray[np.uint8]]
Command = Callable[..., Any]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shearloc", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> Path:
    """A colour and a gray image, one with alpha, which is not for this, and a file that is no image."""
    path = tmp_path_factory.mktemp("images")
    Image.fromarray(picture(40, 56, 3)).save(path / "a.png")
    Image.fromarray(picture(30, 20, 1)).save(path / "b.png")
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(path / "alpha.png")
    (path / "notes.txt").write_text("not an image")
    return path


@pytest.fixture(scope="module")
def measured(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any], str]:
    """What the command prints, its JSON and its plot, of two models' files and PNG's in two rounds."""
    out = tmp_path_factory.mktemp("out")
    models = (
        "--model",
        "auto",
        "--model",
        "photo",
        "--effort",
        1,
        "--engine",
        "numba",
        "--peer",
        "png",
        "--peer",
        "webp",
    )
    done = run(folder, *models, "--rounds", 2, "--json", out / "a.json", "--plot", out / "a.svg")
    return done, json.loads((out / "a.json").read_text()), (out / "a.svg").read_text()


def test_real_bytes_and_who_came_back(measured: Any, picture: Picture) -> None:
    done, found, _ = measured
    ours, photo, *others = found["rows"]
    assert [row["name"] for row in (ours, photo)] == ["shearloc, effort 1, numba", "shearloc photo, effort 1, numba"]
    assert [row["name"].split(" level")[0].split(" lossless")[0] for row in others] == ["PNG", "WebP"]
    sizes = {"a.png": (40, 56, 3), "b.png": (30, 20, 1)}
    assert found["images"] == list(sizes) == [image["image"] for image in ours["images"]]
    for image in ours["images"]:
        pixels = picture(*sizes[image["image"]])
        assert image["file_bytes"] == len(shearloc.encode(pixels, effort=1))
        assert image["bits_per_dimension"] == 8 * image["file_bytes"] / pixels.size
        assert image["exact"] and len(image["encode_seconds"]) == len(image["decode_seconds"]) == 2
    mean = sum(image["bits_per_dimension"] for image in ours["images"]) / 2
    assert ours["bits_per_dimension"] == pytest.approx(mean) and f"{mean:.4f}" in done.stdout
    assert all(row["inexact"] == [] for row in found["rows"])


def test_what_cannot_be_measured_is_told(measured: Any, folder: Path) -> None:
    """The model for colour cannot code gray, a picture with alpha is left out; the rest is there, and exit code 1."""
    done, found, _ = measured
    photo = found["rows"][1]
    assert [image["image"] for image in photo["images"]] == ["a.png"] and list(photo["failures"]) == ["b.png"]
    assert list(found["left_out"]) == [str(folder / "alpha.png")]
    assert done.returncode == 1
    assert "8-bit RGBA" in done.stderr and "could not code b.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_memory_is_the_contenders_own(measured: Any) -> None:
    peaks = [row["peak_bytes"] for row in measured[1]["rows"]]
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux is sure to tell")
    assert all(2**24 < peak < 2**33 for peak in peaks)
    assert max(peaks[2:]) < peaks[0]  # who only writes PNG loads no models and compiles nothing


def test_json_says_where_it_comes_from(measured: Any, folder: Path) -> None:
    found = measured[1]
    assert found["rounds"] == 2 and found["date"].endswith("+00:00")
    assert f"shearloc bench {folder} --model auto" in found["command"]


def test_plot_names_everyone(measured: Any) -> None:
    done, found, svg = measured
    assert svg.startswith("<?xml") and "bits per dimension" in svg
    for row in found["rows"]:
        assert row["name"].replace(", effort", "") in svg


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name images or folders"),
        (("--coder", "a.png"), "give neither"),
        (("EMPTY",), "no images"),
        (("EMPTY/nothing.png", "--peer", "none"), "No such file"),
        (("a.png", "--model", "nobody"), "nobody"),
        (("a.png", "--engine", "steam"), "engine is one of"),
        (("a.png", "--peer", "jpeg 1990"), "no codec 'jpeg 1990' is installed"),
        (("a.png", "--json", "EMPTY/no/such.json"), "no such folder"),
        (("a.png", "--plot", "EMPTY/a.gif"), "a .png or an .svg"),
    ],
)
def test_refusals_are_one_line(tmp_path: Path, command: Command, arguments: tuple[str, ...], message: str) -> None:
    done = command("bench", *(argument.replace("EMPTY", str(tmp_path)) for argument in arguments))
    assert (done.code, done.out, len(done.err)) == (1, [], 1) and message in done.err[0]


def test_a_refusal_of_a_process_of_its_own() -> None:
    done = run("a.png", "--peer", "jpeg 1990")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "no codec 'jpeg 1990' is installed" in done.stderr


@pytest.mark.parametrize("channels", [1, 3])
def test_peers_give_the_pixels_back(picture: Picture, channels: int) -> None:
    pytest.importorskip("imagecodecs", reason="most other codecs need imagecodecs")
    image = picture(40, 30, channels)
    here = peers.peers()
    assert set(peers.missing_peers()) == set(peers.NAMES) - {name.removesuffix(" (Pillow)") for name in here}
    for name, codec in here.items():
        assert peers.same_pixels(codec.decode(codec.encode(image)), image), name


def test_pillow_steps_in(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without imagecodecs Pillow's codecs are there and say that they are Pillow's."""
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    here = peers.peers()
    assert "PNG level 9 (Pillow)" in here and "JPEG XL effort 7" in peers.missing_peers()
    assert not set(here) & set(peers.NAMES) and peers.library_versions() == []
    image = picture(64, 48, 3)
    for name, codec in here.items():
        assert peers.same_pixels(codec.decode(codec.encode(image)), image), name


def test_same_pixels_forgives_gray_as_colour_and_nothing_else(picture: Picture) -> None:
    gray, colour = picture(5, 4, 1), picture(5, 4, 3)
    assert peers.same_pixels(np.dstack([gray] * 3), gray)
    assert not peers.same_pixels(np.dstack([gray, gray, gray ^ 1]), gray)
    assert not peers.same_pixels(colour[:, :, 0], colour)
    assert not peers.same_pixels(colour ^ np.uint8(1), colour)


def make_row(**images: tuple[int, int, bool, float]) -> Row:
    row = Row("a, effort 5", True)
    for name, (raw, size, exact, seconds) in images.items():
        row.results[name] = Result(name, raw, size, exact, [seconds], [2 * seconds, seconds, 4 * seconds])
    return row


def test_summary_weighs_images_equally_and_seconds_by_size() -> None:
    row = make_row(small=(1000, 500, True, 0.5), large=(9000, 900, False, 1.5))
    assert row.bits_per_dimension == pytest.approx((4 + 0.8) / 2)
    assert row.encode_mb_s == pytest.approx(0.01 / 2) and row.decode_mb_s == pytest.approx(0.01 / 4)
    assert row.inexact == ["large"] and row.to_dict()["inexact"] == ["large"]


def test_speed_as_a_ratio_to_jpeg_xl(capsys: pytest.CaptureFixture[str]) -> None:
    """Over the images that both coded; nothing where a yardstick is missing or shares no image."""
    ours = make_row(a=(1000, 500, True, 0.5), b=(1000, 500, True, 1.5))
    slow, none = Row("JPEG XL effort 9", False), Row("JPEG XL effort 7", False)
    slow.results = {"a": Result("a", 1000, 400, True, [3.0, 4.0, 9.0], [0.5])}
    none.results = {"c": Result("c", 1000, 400, True, [3.0], [0.5])}
    contest = Contest([ours, slow, none])
    (ratio,) = contest.ratios
    assert (ratio.name, ratio.yardstick) == ("a, effort 5", "JPEG XL effort 9")
    assert (ratio.encode, ratio.decode) == (4.0 / 0.5, 0.5 / 1.0)
    _show_ratios(contest)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["a,", "effort", "5", "/", "JPEG", "XL", "effort", "9", "8.00", "0.50"]
    _show_ratios(Contest([ours]))
    assert capsys.readouterr().out == ""


def test_one_bad_round_is_enough() -> None:
    row = Row("peer", False)
    for exact in (True, False, True):
        bench._record(row, "a", 10, bench.Trial(5, exact, 1.0, 1.0, 100))
    assert row.inexact == ["a"] and row.peak_bytes == 100
    bench._record(row, "a", 10, "broken")
    bench._record(row, "a", 10, bench.Trial(5, True, 1.0, 1.0, 100))
    assert row.failures == {"a": "broken"} and not row.results


def test_a_process_that_dies_is_a_failure() -> None:
    class Dead:
        def submit(self, *arguments: object) -> None:
            raise BrokenProcessPool

    assert "died" in str(bench._ask(Dead(), Other("PNG"), np.zeros((2, 2), np.uint8)))  # type: ignore[arg-type]


def test_a_peers_own_error_is_a_line() -> None:
    assert isinstance(bench._try(Other("no such codec"), np.zeros((2, 2), np.uint8)), str)


def test_lossy_is_marked_in_the_plot(tmp_path: Path) -> None:
    plots.rate_against_speed([make_row(a=(10, 5, False, 1.0)), Row("nothing", False)], tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert "a 5 (not lossless)" in svg and "nothing" not in svg


def test_images_of_files_and_folders_once_each(folder: Path) -> None:
    found = bench.find_images([folder / "b.png", folder])
    assert [path.name for path in found] == ["b.png", "a.png", "alpha.png"]


def test_models_and_efforts_are_multiplied() -> None:
    found = bench.our_contenders(["auto", "photo", "vae-mnist"], [5, 7], ["auto"])
    names = ["shearloc, effort 5", "shearloc, effort 7", "shearloc photo, effort 5", "shearloc photo, effort 7"]
    assert [one.name for one in found] == [*names, "shearloc vae-mnist, archive"]
    with pytest.raises(UnknownModelError):
        bench.our_contenders(["nobody"], [5], ["auto"])


def test_autoencoder_codes_all_images_as_one_archive(tmp_path: Path, picture: Picture) -> None:
    """And where they differ in size it says so."""
    for k in range(3):
        Image.fromarray(np.roll(picture(28, 28, 1), k, 1)).save(tmp_path / f"{k}.png")
    one = Ours("vae-mnist", engine="numpy", archive=True)
    (row,) = bench.measure(sorted(tmp_path.glob("*.png")), [one], 1, lambda: None).rows
    assert list(row.results) == ["archive of 3"] and not row.inexact
    assert row.results["archive of 3"].raw_bytes == 3 * 28 * 28
    other = Row("vae", True)
    bench._measure_archive(None, one, other, [picture(4, 4, 1), picture(4, 5, 1)])  # type: ignore[arg-type]
    assert "one size" in other.failures["archive of 2"]


def test_training_images_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By fingerprints in the card, in gray too; a model without them is named, and unreadable files do not matter."""
    from shearloc.training.images import fingerprint

    with Image.open(folder / "a.png") as image:
        colour, gray = fingerprint(np.asarray(image)), fingerprint(np.asarray(image.convert("L")))
    records = {"photo": {colour}, "gray": {gray}, "other": None, "fresh": {"00000000"}}
    monkeypatch.setattr(zoo, "training_images", records.get)
    monkeypatch.setattr(bench.defaults, "LEARNING", {3: ("fresh",)})
    images = [*bench.find_images([folder]), folder / "none.png"]
    seen, unknown = bench.seen_in_training(images, ["auto", "photo", "other", "fresh"])
    assert seen == {"photo": ["a.png"], "gray": ["a.png"], "fresh": []} and unknown == ["other"]


def test_zoo_reads_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fields in {"with": {"training_images": ["ab", "cd"]}, "without": {}}.items():
        (tmp_path / f"{name}.safetensors").write_bytes((zoo.WEIGHTS / "gray.safetensors").read_bytes())
        (tmp_path / f"{name}.json").write_text(json.dumps(fields))
    monkeypatch.setenv("SHEARLOC_MODELS", os.fspath(tmp_path))
    assert zoo.training_images("with") == {"ab", "cd"} and zoo.training_images("without") is None
    with pytest.raises(ShearlocError):
        zoo.training_images("nobody")
