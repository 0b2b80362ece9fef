"""The documentation's fenced blocks, and a folder in which they run. It is not a test itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc

ROOT = Path(__file__).parents[1]


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of a kind ("" for none) in a page, in order."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for found, text in fences if found == kind]


def commands(session: str) -> list[str]:
    """What follows each `$ ` in a console block."""
    return re.findall(r"^\$ (.+)$", session, re.M)


def prepare(folder: Path) -> NDArray[np.uint8]:
    """Puts `photo.png` and `photos/0.png` to `2.png` into a folder: pieces of a real photograph. The pixels."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    pixels: NDArray[np.uint8] = np.ascontiguousarray(data.astronaut()[80:128, 200:248])
    (folder / "photos").mkdir()
    Image.fromarray(pixels).save(folder / "photo.png")
    for k in range(3):
        Image.fromarray(np.roll(pixels, 8 * k, 1)).save(folder / "photos" / f"{k}.png")
    return pixels


def shell(line: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a line by bash in a folder, where `shearloc` is this checkout's."""
    programs = folder / "programs"
    if not programs.exists():
        programs.mkdir()
        (programs / "shearloc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shearloc "$@"\n')
        (programs / "shearloc").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    python = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {**os.environ, "PATH": path, "PYTHONPATH": python, **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=settings, capture_output=True, text=True, timeout=300)


def run_sessions(sessions: list[str], folder: Path) -> None:
    """Runs the commands of console blocks, one after another."""
    for line in [line for session in sessions for line in commands(session)]:
        done = shell(line, folder)
        assert done.returncode == 0, f"{line}: {done.stderr}"


def run_python(code: str, folder: Path, image: NDArray[np.uint8], names: dict[str, Any] | None = None) -> None:
    """Runs a Python block in the current folder, where `image` is the photograph's array."""
    if "photos.shards" in code and not (folder / "photos.shards").exists():
        assert shell("shearloc pack photos/ photos.shards --no-verify", folder).returncode == 0
    exec(compile(code, "example", "exec"), {"image": image, "shearloc": shearloc, **(names or {})})
