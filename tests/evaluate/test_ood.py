"""Detection figures against plain counting, and the tables of a small run."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from shearloc.errors import ShearlocError
from shearloc.evaluate import ood, ood_data
from shearloc.evaluate.__main__ import app
from shearloc.evaluate.detection import auprc, auroc, fpr

VALUES = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=25).map(np.array)


@given(usual=VALUES, others=VALUES)
def test_auroc_counts_pairs(usual: np.ndarray, others: np.ndarray) -> None:
    wins = sum((o > u) + (o == u) / 2 for u in usual for o in others)
    assert auroc(usual, others) == pytest.approx(wins / (len(usual) * len(others)))
    assert auroc(others, usual) == pytest.approx(1 - auroc(usual, others))


@given(usual=VALUES, others=VALUES)
def test_auprc_and_fpr80_by_every_threshold(usual: np.ndarray, others: np.ndarray) -> None:
    area, recall, first = 0.0, 0.0, None
    for threshold in sorted({*usual, *others}, reverse=True):
        found, wrong = (others >= threshold).sum(), (usual >= threshold).sum()
        area += (found / len(others) - recall) * found / (found + wrong)
        recall = found / len(others)
        if first is None and recall >= 0.8 - 1e-12:
            first = wrong / len(usual)
    assert auprc(usual, others) == pytest.approx(area)
    assert fpr(usual, others) == pytest.approx(first)


@given(usual=VALUES, others=VALUES, factor=st.integers(1, 9), shift=st.integers(-9, 9))
def test_figures_do_not_know_the_unit(usual: np.ndarray, others: np.ndarray, factor: int, shift: int) -> None:
    for of in (auroc, auprc, fpr):
        assert of(usual, others) == of(usual * factor + shift, others * factor + shift)


def test_perfect_and_useless_scores() -> None:
    usual, others = np.arange(10.0), np.arange(10.0) + 100
    assert (auroc(usual, others), auprc(usual, others), fpr(usual, others)) == (1, 1, 0)
    assert (auroc(others, usual), fpr(others, usual)) == (0, 1)
    assert auroc(usual, usual) == 0.5


def test_generated_sets_and_names_that_are_none(tmp_path: Path) -> None:
    noise = ood_data.test_set("noise", tmp_path, 1, 3, seed=1)
    assert noise.shape == (3, 28, 28, 1) and np.unique(noise).size > 200
    assert np.array_equal(noise, ood_data.test_set("noise", tmp_path, 1, 3, seed=1))
    constant = ood_data.test_set("constant", tmp_path, 3, 5, seed=1)
    assert constant.shape == (5, 32, 32, 3) and (constant == constant[:, :1, :1]).all()
    for name in ("none", "omniglot", "notmnist", "mnist"):
        with pytest.raises(ShearlocError):
            ood_data.test_set(name, tmp_path, 1, 3, seed=1)


@pytest.mark.data
def test_sets_of_the_data_folder(data_folder: Path) -> None:
    for channels, side in ((1, 28), (3, 32)):
        for name in ("mnist", "photos" if channels == 3 else "omniglot", "cifar10"):
            images = ood_data.test_set(name, data_folder, channels, 2, seed=3)
            assert images.shape == (2, side, side, channels) and images.dtype == np.uint8
    letters = ood_data.test_set("omniglot", data_folder, 1, 9, seed=3)
    assert np.median(letters) == 0 and letters.max() > 100  # bright strokes on black


@pytest.mark.data
def test_the_command_writes_tables(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ood.Source(1, ("mnist", "constant"), "nelloc-gray", "none", "gray", "vae-mnist")
    monkeypatch.setitem(ood.SOURCES, "fashion-mnist", small)
    out = tmp_path / "ood.json"
    options = ["--data", str(data_folder), "--images", "12", "--steps", "2", "--tuned", "2", "--json", str(out)]
    options += ["--part", "background=gray"]
    done = CliRunner().invoke(app, ["ood", "fashion-mnist", *options, "--markdown", str(tmp_path / "ood.md")])
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert found["budget"] == {"images": 12, "seed": 1, "steps": 2, "tuned": 2}
    assert set(found["models"]) == {"full", "general", "vae", "background"}
    assert set(found["tables"]) == {"AUROC", "AUPRC", "FPR80"}
    table = found["tables"]["AUROC"]
    assert set(table["ratio to general, full"]) == {"mnist", "constant"} and "non-local" not in table
    assert table["ratio to general, full"] == table["ratio to background, full"]
    assert table["likelihood, full"]["constant"] < 0.6
    assert "| regret |" in (tmp_path / "ood.md").read_text()
    assert "(0.074)" in done.output and "no model 'none' at hand" in done.output


def test_a_part_that_is_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["ood", "cifar10", "--part", "ful=small"])
    assert isinstance(done.exception, ShearlocError) and "no score has a part 'ful'" in str(done.exception)


def test_an_unknown_source(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["ood", "birds"])
    assert isinstance(done.exception, ShearlocError) and "no models for 'birds'" in str(done.exception)
