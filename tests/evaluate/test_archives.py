"""Measuring archives, and chapter 4 in its quick form: the numbers hang together; what they are is another matter."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.evaluate.archives import measure, negative_elbo_bits
from shearloc.models.vae import VaeModel

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


@pytest.mark.slow
@pytest.mark.data
def test_chapter_4_quick(tmp_path: Path, data_folder: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "shearloc.evaluate", "chapter4", "--quick", "--dataset", "mnist-binary"]
    arguments = ["--data", str(data_folder), "--out", str(tmp_path / "runs"), "--json", str(tmp_path / "r.json")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "table 4 1" in done.stdout and "thesis" in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())["results"]["mnist-binary"]
    for point in result["figure_4_1_4_4"]:
        assert point["egg"] == pytest.approx(point["gmgg"] + point["aigg"])
    assert all(row["exact"] for rows in result["figure_4_6"].values() for row in rows)
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
