"""`shearloc train` and `shearloc models` as people use them: in real processes, stopped, killed, gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import shearloc
from shearloc.cli.app import app
from shearloc.errors import ShearlocError
from shearloc.models import zoo
from shearloc.training.images import fingerprint

Picture = Callable[..., NDArray[np.uint8]]


@pytest.fixture
def scans(tmp_path: Path, picture: Picture) -> Path:
    """A folder with ten images, one of them unreadable, beside a tiny model to start from."""
    torch = pytest.importorskip("torch", reason="training needs torch")
    from shearloc.training.export import export
    from shearloc.training.local_float import LocalNet, Shape

    folder = tmp_path / "scans"
    folder.mkdir()
    for k in range(9):
        Image.fromarray(picture(30 + k, 40, 3)).save(folder / f"{k}.png")
    (folder / "9.png").write_text("hello")
    torch.manual_seed(0)
    export(LocalNet(Shape(width=8, layers=1, head_width=4, components=2)), "tiny").save(tmp_path / "tiny.safetensors")
    return folder


def command(scans: Path, minutes: float) -> list[str]:
    arguments = f"train {scans.name} --out my.safetensors --base tiny.safetensors --minutes {minutes}"
    return [sys.executable, "-m", "shearloc", *arguments.split()]


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    surroundings = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(arguments, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_model_of_one_s_own(scans: Path, tmp_path: Path, picture: Picture) -> None:
    """Trained, listed, used; a file made with it says what it needs where the model is not."""
    (tmp_path / "general").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "general" / "noise.png")
    done = run([*command(scans, 0.3), "--general", "general"], tmp_path)
    assert done.returncode == 0, done.stderr
    *lines, elsewhere, last = done.stdout.splitlines()
    lines.append(last)
    mine, theirs = map(float, re.findall(r"\d+\.\d{4}", elsewhere))
    assert elsewhere.startswith("on the general images ") and min(mine, theirs) > 8
    assert lines[0] == "8 RGB images to learn from, 1 held out"
    assert re.fullmatch(r"'tiny.safetensors' has \d\.\d{4} held-out bits per dimension", lines[1])
    base, new = (float(re.findall(r"(\d\.\d{4}) held-out", line)[0]) for line in (lines[1], lines[-2]))
    assert new < base and lines[-2].endswith(f"'tiny.safetensors' has {base:.4f}")
    assert lines[-1].startswith("`shearloc models add my.safetensors` puts it where")
    told = done.stderr.splitlines()
    assert told[0].startswith("shearloc: scans/9.png: left out (")
    # A busy machine trains so little that either may be better there.
    warning = f"shearloc: warning: on the general images 'tiny.safetensors' is better by {mine / theirs - 1:.1%}"
    assert told[2:] == ([warning] if mine > theirs else [])
    assert told[1] == "shearloc: warning: 9 images are few: the rate of 1 held out says little about others"
    assert sorted(os.listdir(tmp_path)) == ["general", "my.json", "my.safetensors", "scans", "tiny.safetensors"]
    card = json.loads((tmp_path / "my.json").read_text())
    assert (card["name"], card["data"], card["base"], card["shape"]["width"]) == (
        "my",
        ["scans"],
        "tiny.safetensors",
        8,
    )
    assert card["training_images"] == [fingerprint(picture(30 + k, 40, 3)) for k in range(9) if k != 7]
    listed = run([sys.executable, "-m", "shearloc", "models"], tmp_path, SHEARLOC_MODELS=str(tmp_path)).stdout
    assert re.search(
        r"^my +local +3 channels +[0-9a-f]{16}  RGB, 980 parameters, trained 0 minutes on scans$", listed, re.M
    )
    assert re.search(r"^vae-mnist +vae +1 channel  ", listed, re.M) and "SHEARLOC_MODELS" in listed
    (tmp_path / "a.shl").write_bytes(shearloc.encode(picture(31, 40, 3), model=str(tmp_path / "my.safetensors")))
    decode = [sys.executable, "-m", "shearloc", "decode", "a.shl"]
    assert "model 'my' with weights" in run(decode, tmp_path).stderr
    assert run(decode, tmp_path, SHEARLOC_MODELS=str(tmp_path)).returncode == 0
    with Image.open(tmp_path / "a.png") as back:
        assert np.array_equal(np.array(back), picture(31, 40, 3))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_training_goes_on(scans: Path, tmp_path: Path, how: signal.Signals) -> None:
    """Stopped with Ctrl-C it says how; killed, it has what it had at the last report."""
    # Reports come every 1.5 seconds; the process is stopped after the second.
    with subprocess.Popen(
        command(scans, 1), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first, *_, last = (process.stdout.readline() for _ in range(3))
        process.send_signal(how)
        told = process.stderr.read()
    updates = int(re.findall(r"(\d+) updates", last)[0])
    assert "to learn from" in first and updates > 0
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert ("the same command goes on from my.training" in told) == (how == signal.SIGINT)
    assert "Traceback" not in told and not (tmp_path / "my.safetensors").exists()
    assert (tmp_path / "my.training" / "checkpoint.pt").exists()
    if how == signal.SIGINT:
        other = run([word.replace("tiny.safetensors", "photo") for word in command(scans, 0.02)], tmp_path)
        assert other.returncode == 1 and "is of a training on other images or from another base" in other.stderr
    done = run([*command(scans, 0.02), "--force"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "my.json").read_text())["updates"] >= updates
    assert not (tmp_path / "my.training").exists()


def test_a_model_worse_than_its_base_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shearloc.cli import train

    out, folder = tmp_path / "my.safetensors", tmp_path / "my.training"
    folder.mkdir()
    for name in ("card.json", "model.safetensors"):
        (folder / name).touch()
    card, base = {"held_out_bits_per_dimension": 2.5}, train._Rival("photo", True, 2.5, 1.0)
    with pytest.raises(ShearlocError, match="not written, as it is no better than its base: 2.5000 .* --force writes"):
        train._finish(out, card, base, force=False)
    assert not out.exists() and len(os.listdir(folder)) == 2
    train._finish(out, card, base, force=True)
    assert out.exists() and out.with_suffix(".json").exists() and not folder.exists()
    told = capsys.readouterr()
    assert "2.5000 held-out bits per dimension, 'photo' has 2.5000" in told.out
    assert told.err == "shearloc: warning: 'photo' is better on these images\n"


def test_every_option_of_training_is_described() -> None:
    """Of both commands."""
    text = subprocess.run(
        [sys.executable, "-m", "shearloc.training.train", "--help"], capture_output=True, text=True, timeout=300
    ).stdout
    assert len(re.findall(r"^  --", text, re.M)) > 20
    for line in re.findall(r"^  --.*(?:\n {20,}.*)*", text, re.M):
        assert re.search(r"\S {2,}\S|\n", line), line


def test_without_torch(scans: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from shearloc.cli import main; main()"
    done = run([sys.executable, "-c", code, *command(scans, 1)[3:]], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("shearloc: training needs torch") and 'pip install "torch>=2.9"' in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none", "--out", "my.safetensors"], "there is no folder none"),
        (["empty", "--out", "my.safetensors"], "empty: no images (.bmp .jpeg"),
        (["single", "--out", "my.safetensors"], "training needs at least 2 images, one of them held out; found 1"),
        (["scans", "--out", "my.model"], "my.model: a model's file ends in .safetensors"),
        (["scans", "--out", "none/my.safetensors"], "none: no such folder"),
        (["scans", "--out", "tiny.safetensors"], "tiny.safetensors exists; use --force"),
        (["scans", "--out", "my.safetensors", "--general", "empty"], "empty: no images (.bmp .jpeg"),
        (["scans", "--out", "my.safetensors", "--base", "none"], "model 'none' is not installed"),
        (["scans", "--out", "my.safetensors", "--base", "none.safetensors"], "there is no model file none.safetensors"),
        (
            ["scans", "--out", "my.safetensors", "--base", "gray", "--channels", "3"],
            "model 'gray' is for gray",
        ),
        (["scans", "--out", "my.safetensors", "--channels", "2"], "--channels is 1 (gray) or 3 (RGB), not 2"),
    ],
)
def test_refusals(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    """One line, and nothing is left behind."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "single").mkdir()
    (scans / "0.png").rename(tmp_path / "single" / "0.png")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    error: Any = CliRunner().invoke(app, ["train", *arguments]).exception
    assert isinstance(error, ShearlocError) and told in str(error) and "\n" not in str(error)
    assert sorted(tmp_path.rglob("*")) == before
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_broken_model_of_the_user_s_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = (zoo.WEIGHTS / "photo.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(photo[: len(photo) // 2])
    monkeypatch.setenv("SHEARLOC_MODELS", str(tmp_path))
    listed = CliRunner().invoke(app, ["models"])
    assert listed.exit_code == 0 and "cut" in listed.stderr
    assert {"photo", "gray", "vae-mnist"} <= {line.split()[0] for line in listed.stdout.splitlines()}
