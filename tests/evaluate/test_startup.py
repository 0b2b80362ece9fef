"""The timing of `shearloc decode` as a command: real processes, which of them compile, and what the JSON says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from shearloc.evaluate import startup
from shearloc.evaluate.__main__ import app

Picture = Callable[..., NDArray[np.uint8]]


@pytest.mark.slow
def test_command_writes_what_it_measured(tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(picture(48, 64, 3)).save(tmp_path / "a.png")
    arguments = ["command", str(tmp_path / "a.png"), "--json", str(tmp_path / "a.json")]
    real, kernels = startup._command_seconds, []

    def spy(folder: Path) -> float:
        before, seconds = len(list(folder.glob("cache/**/*.nbc"))), real(folder)
        kernels.append((before, len(list(folder.glob("cache/**/*.nbc")))))
        return seconds

    monkeypatch.setattr(startup, "_command_seconds", spy)
    monkeypatch.setattr(startup, "LATER_RUNS", 1)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "shearloc.evaluate", *arguments])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["image"], found["height"], found["width"]) == ("a.png", 48, 64)
    assert found["command"].endswith(" ".join(arguments))
    assert len(found["machine"]["load_average"]) == 3
    assert len(found["later_seconds"]) == 1
    assert f"{found['first_seconds']:.1f} s" in done.stdout
    # The first run compiles, so its cache really was empty; the later one finds all there.
    count = kernels[0][1]
    assert count > 0 and kernels == [(0, count), (count, count)]
