"""Measuring archives, and chapter 4 in its quick form: the numbers hang together; what they are is another matter."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from shearloc.errors import ShearlocError
from shearloc.evaluate import archives
from shearloc.evaluate.__main__ import app
from shearloc.evaluate.archives import measure, negative_elbo_bits
from shearloc.models.vae.model import VaeModel

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["bernoulli", "logistic", "colour"])
def test_net_bits_are_close_to_the_elbo(
    kind: str, tiny_vae: Callable[[str], VaeModel], small_images: Callable[..., NDArray[np.uint8]]
) -> None:
    model = tiny_vae(kind)
    row = measure(model, small_images(model, 300), 2, rounds=1)
    assert row.exact and row.steps == 2 and row.images == 300
    assert row.net == pytest.approx(row.negative_elbo, rel=0.08) and row.gross > row.net
    assert row.to_dict()["gross_over_net"] == row.gross / row.net


def test_the_elbo_does_not_depend_on_the_sample(
    tiny_vae: Callable[[str], VaeModel], small_images: Callable[..., NDArray[np.uint8]]
) -> None:
    model = tiny_vae("bernoulli")
    images = small_images(model, 300)
    one, two = (negative_elbo_bits(model, images, 0, seed) for seed in (1, 2))
    assert one != two and one == pytest.approx(two, rel=0.08)


def test_the_archives_command(tmp_path: Path, write_idx: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few small digits by the model that is shipped; what is not exact is written down, and refused."""
    draw = np.random.default_rng(0)
    digits = np.zeros((7, 28, 28), np.uint8)
    digits[:, 6:22, 11:16] = draw.integers(150, 256, (7, 16, 5))
    (tmp_path / "mnist").mkdir()
    for file in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        write_idx(tmp_path / "mnist" / file, digits)
    command = ["archives", "mnist", "--data", str(tmp_path), "--count", "6", "--rounds", "1", "--steps", "0"]
    command += ["--json", str(tmp_path / "a.json")]
    done = CliRunner().invoke(app, [*command, "--steps", "1"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["dataset"], found["model"], found["weights"], found["images"]) == ("mnist", "vae-mnist", "zoo", 6)
    assert [(row["steps"], row["images"], row["exact"]) for row in found["rows"]] == [(0, 6, True), (1, 6, True)]
    assert "mnist, 6 test images" in done.output
    assert all(f"{row['net']:.4f}" in done.output for row in found["rows"])

    def lossy(*arguments: Any) -> archives.ArchiveRow:
        return replace(measure(*arguments), exact=False)

    monkeypatch.setattr(archives, "measure", lossy)
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, ShearlocError) and "not every archive" in str(refused.exception)
    assert [row["exact"] for row in json.loads((tmp_path / "a.json").read_text())["rows"]] == [False]


@pytest.mark.slow
@pytest.mark.data
def test_chapter_4_quick(tmp_path: Path, data_folder: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "shearloc.evaluate", "chapter4", "--quick", "--dataset", "mnist-binary"]
    arguments = ["--data", str(data_folder), "--out", str(tmp_path / "runs"), "--json", str(tmp_path / "r.json")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "table 4 1" in done.stdout and "thesis" in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())["results"]["mnist-binary"]
    for point in result["figure_4_1_4_4"]:
        assert point["egg"] == pytest.approx(point["gmgg"] + point["aigg"])
    assert all(row["exact"] for rows in result["figure_4_6"].values() for row in rows)
    assert set(result["figure_4_3"]) == {"alpha 0.0", "alpha 0.5", "sleep"}
    assert all(row["deviation"] == 0 for rows in result["figure_4_3"].values() for row in rows)  # one seed
    assert set(result["training_seconds"]) >= {"baseline", "latents-4", "denoising-0.2", "sleep-1"}
    assert {path.name[-7:-4] for path in (tmp_path / "runs").glob("*.png")} == {
        "4-1",
        "4-3",
        "4-4",
        "4-6",
        "c-1",
        "c-3",
    }
    # Everything is there now, so that nothing is trained again.
    again = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0 and "training" not in again.stderr
    same = json.loads((tmp_path / "r.json").read_text())["results"]["mnist-binary"]
    assert same["figure_4_3"] == result["figure_4_3"] and same["table_4_1"] == result["table_4_1"]


@pytest.mark.slow
@pytest.mark.data
def test_gaps(tmp_path: Path, data_folder: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "shearloc.evaluate", "gaps", "mnist-binary", "--epochs", "30", "--count", "256"]
    arguments = ["--data", str(data_folder), "--out", str(tmp_path / "runs"), "--json", str(tmp_path / "r.json")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "EGG = GMGG + AIGG" in done.stdout
    gaps = json.loads((tmp_path / "r.json").read_text())["gaps"]
    assert gaps["egg"] == pytest.approx(gaps["gmgg"] + gaps["aigg"]) == gaps["amortised"] - gaps["train"]
    assert gaps["aigg"] > 0


def test_gaps_add_up() -> None:
    pytest.importorskip("torch")
    from shearloc.evaluate.chapter4 import gaps

    assert gaps(train=1.0, amortised=1.75, optimal=1.25) == {"egg": 0.75, "aigg": 0.5, "gmgg": 0.25}


def test_table_4_2_takes_the_first_k_that_is_as_good() -> None:
    pytest.importorskip("torch")
    from shearloc.evaluate.chapter4 import table_4_2

    def row(steps: int, net: float, seconds: float) -> dict[str, float]:
        return {"steps": steps, "net": net, "encode_seconds": seconds, "decode_seconds": 2 * seconds, "images": 10}

    baseline = [row(0, 0.20, 1.0), row(1, 0.19, 2.0), row(2, 0.18, 3.0), row(4, 0.17, 5.0)]
    table = table_4_2({"baseline": baseline, "half_asleep": [row(0, 0.185, 1.0), row(1, 0.18, 2.0)]})
    assert (table["steps"], table["with_steps"], table["encode_seconds"]) == (2, 0.18, 0.1)
    assert table["encode_cost_percent"] == table["decode_cost_percent"] == pytest.approx(200)
    never = table_4_2({"baseline": baseline[:1], "half_asleep": [row(0, 0.185, 1.0)]})
    assert never["steps"] is None and never["encode_cost_percent"] is None
