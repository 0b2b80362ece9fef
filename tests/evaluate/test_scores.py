"""Scores of images and of files: differences of code lengths, p-values in words, and what cannot be scored."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shearloc
from shearloc.codec import measuring
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import from_array
from shearloc.evaluate import scores
from shearloc.models import zoo

from ..processes import run

Run = Callable[..., Any]
Make = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return measuring.sample("vae-mnist", None, 24, seed=4)[..., 0]


def test_scores_are_differences_of_code_lengths(digits: NDArray[np.uint8]) -> None:
    gray, other = (shearloc.code_lengths(digits, model) / 65536 for model in ("gray", "nelloc-gray"))
    assert np.array_equal(scores.log_likelihood(digits, "gray"), gray)
    assert np.array_equal(scores.non_local(digits, "gray", "nelloc-gray"), gray - other)
    assert np.array_equal(scores.input_complexity(digits, "gray"), gray - scores.file_bits(digits, "png"))
    assert np.array_equal(scores.file_bits(digits[..., None], "png"), scores.file_bits(digits, "png"))
    regret = scores.regret(digits, "vae-mnist", 5)
    assert (regret > 0).mean() > 0.7
    for against, steps in ((None, None), ("png", None), ("nelloc-gray", None), (None, 5)):
        model = "vae-mnist" if steps else "gray"
        name, measure = scores.chosen(against, steps)
        bits = scores.log_likelihood(digits, model)
        wanted = {
            "bits": gray,
            "against png": gray - scores.file_bits(digits, "png"),
            "against nelloc-gray": gray - other,
            "regret 5": regret,
        }
        assert np.array_equal(measure(digits, model, bits), wanted[name])


def test_noise_and_strangers_cost_more_against_a_general_model() -> None:
    own = measuring.sample("nelloc-gray", (16, 16), 8, seed=1)
    other = measuring.sample("gray", (16, 16), 8, seed=1)
    values = [scores.against_model(images, "nelloc-gray", "gray") for images in (own, other)]
    assert values[0].max() < values[1].min()


def test_the_score_does_not_depend_on_threads(digits: NDArray[np.uint8]) -> None:
    from shearloc.nets import engines

    found = []
    for threads in (1, 2):
        with engines.at_most(threads):
            found.append(scores.regret(digits[:5], "vae-mnist", 3))
    assert np.array_equal(*found)


@pytest.fixture
def folder(tmp_path: Path, digits: NDArray[np.uint8]) -> Path:
    """Twelve digits, one of them noise, and things that cannot be scored."""
    for k, digit in enumerate(digits[:11]):
        save(tmp_path / "new" / f"{k:02}.png", digit)
    save(tmp_path / "new" / "odd.png", np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))
    np.save(tmp_path / "usual.npy", digits)
    return tmp_path


def save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(exist_ok=True)
    files.save(path, from_array(image))


def test_the_odd_file_comes_first(command: Run, folder: Path) -> None:
    done = command("score", "new", "--model", "gray", "--reference", "usual.npy", "--top", 3)
    assert done.code == 0 and not done.err
    assert done.out[0] == "'gray', score: bits, 12 images, the most unusual first"
    assert done.out[2].split()[:2] == ["odd.png", "28"] and "0.08" in done.out[2]
    assert len(done.out) == 6 and done.out[5] == "Compared with 24 images: usual.npy. p is never below 0.08."


def test_json_and_csv_hold_every_image(command: Run, folder: Path, digits: NDArray[np.uint8]) -> None:
    done = command("score", "new", "--model", "gray", "--against", "png", "--json", "--csv", "out.csv")
    found = json.loads(done.out[0])
    assert found["model"] == "gray" and found["score"] == "against png" and len(found["images"]) == 12
    bits = shearloc.code_lengths(digits[:11], "gray") / 65536
    wanted = bits - scores.file_bits(digits[:11], "png")
    by_name = {row["name"]: row for row in found["images"]}
    for k in range(11):
        row = by_name[f"{k:02}.png"]
        assert row["bits"] == bits[k] and row["score"] == pytest.approx(wanted[k] / 784)
        assert row["bits_per_dimension"] == pytest.approx(bits[k] / 784)
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in found["images"]]


def test_the_card_is_the_reference(command: Run, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    done = command("score", "new", "--model", "vae-mnist")
    card = zoo.card("vae-mnist")["scores"]
    compared = next(line for line in done.out if line.startswith("Compared with"))
    assert compared.startswith(f"Compared with {card['images']:,} images: {card['of']}, held out from 'vae-mnist'.")
    assert "unlike" in next(line for line in done.out if line.startswith("odd.png"))
    plain = tmp_path / "plain.safetensors"
    plain.write_bytes(zoo.weights("gray"))
    done = command("score", "new", "--model", plain)
    assert done.out[-1].startswith("Nothing to compare with") and done.code == 0


def test_what_cannot_be_scored_is_named_and_skipped(command: Run, folder: Path, picture: Make) -> None:
    save(folder / "new" / "large.png", picture(40, 30, 1))
    save(folder / "new" / "colour.png", picture(28, 28, 3))
    save(folder / "new" / "deep.png", picture(28, 28, 1).astype(np.uint16))
    (folder / "new" / "broken.png").write_bytes(b"\x89PNG")
    done = command("score", "new", "--model", "vae-mnist")
    assert done.code == 0 and [line.split(":")[2].strip() for line in done.err] == [
        "broken.png",
        "colour.png",
        "deep.png",
        "large.png",
    ]
    assert "28 x 28 x 1, these are 40 x 30 x 1" in done.err[3] and "16-bit gray" in done.err[2]
    mixed = command("score", "new", "--model", "gray", "--reference", "usual.npy")
    assert any("2 sizes: compare bits per dimension" in line for line in mixed.out)


def test_nothing_to_score_is_one_line(command: Run, folder: Path, picture: Make) -> None:
    (folder / "empty").mkdir()
    (folder / "colours").mkdir()
    save(folder / "colours" / "a.png", picture(28, 28, 3))
    for arguments, wrong in (
        (("empty", "--model", "gray"), "no image could be scored: there are no images"),
        (("colours", "--model", "gray"), "no image could be scored: a.png: model 'gray' is for images of 1 channels"),
        (("new", "--model", "gray", "--reference", "colours"), "colours: nothing to compare with: a.png: model 'gray'"),
        (("new", "--model", "gray", "--reference", "empty"), "empty: nothing to compare with: there are no images"),
        (("new", "--model", "gray", "--reference", "none"), "none: nothing to compare with: none: No such file"),
        (("new", "--model", "none"), "none"),
        (("new", "--model", "gray", "--against", "none"), "none"),
        (("new", "--model", "gray", "--regret", 3), "model 'gray' has no steps"),
        (("new", "--model", "vae-mnist", "--regret", 3, "--against", "png"), "a score is --against something or"),
    ):
        done = command("score", *arguments)
        assert done.code == 1 and not done.out and len(done.err) == 1 and wrong in done.err[0]


def test_one_image_is_scored(command: Run, folder: Path) -> None:
    done = command("score", "new/odd.png", "--model", "vae-mnist")
    assert done.code == 0 and "1 image," in done.out[0] and "unlike" in done.out[2]


def test_a_process_needs_no_torch(folder: Path) -> None:
    done = run("score", "new", "--model", "gray", folder=folder, options=("-X", "importtime"))
    assert done.returncode == 0 and "odd.png" in done.stdout and " torch" not in done.stderr
