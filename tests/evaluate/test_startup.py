"""The timing of `shearloc decode` as a command: real processes, and that the JSON says what was timed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.evaluate import startup

Picture = Callable[..., NDArray[np.uint8]]


@pytest.mark.slow
def test_command_writes_what_it_measured(tmp_path: Path, picture: Picture) -> None:
    Image.fromarray(picture(48, 64, 3)).save(tmp_path / "a.png")
    arguments = ["command", str(tmp_path / "a.png"), "--json", str(tmp_path / "a.json")]
    command = [sys.executable, "-m", "shearloc.evaluate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["image"], found["height"], found["width"]) == ("a.png", 48, 64)
    assert found["command"].endswith(" ".join(arguments))
    assert len(found["machine"]["load_average"]) == 3
    assert len(found["later_seconds"]) == startup.LATER_RUNS
    assert f"{found['first_seconds']:.1f} s" in done.stdout
    # The first run compiles, so its cache really was empty.
    assert found["first_seconds"] > min(found["later_seconds"])
