"""The documentation's examples, run as they stand, and its pages, built with the command's own help."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = ("torch", "zarr", "numcodecs", "dask", "matplotlib")


def blocks(kind: str) -> list[Any]:
    """The fenced blocks of a kind in all pages."""
    found = []
    for page in PAGES:
        for k, match in enumerate(re.finditer(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            found.append(pytest.param(match.group(1), id=f"{page.name}-{k}"))
    return found


@pytest.fixture
def photo(tmp_path: Path) -> NDArray[np.uint8]:
    """A piece of a real photograph, in the folder of the examples as `photo.png`, `photo.shl` and `photos/…`."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    pixels: NDArray[np.uint8] = np.ascontiguousarray(data.astronaut()[80:128, 200:248])
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    for k in range(3):
        Image.fromarray(np.roll(pixels, 8 * k, 1)).save(tmp_path / "photos" / f"{k}.png")
    shearloc.write(tmp_path / "photo.shl", pixels)
    return pixels


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples(code: str, photo: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself, in a folder with a photograph that is also the array `image`."""
    for name in NEEDS:
        if re.search(rf"\b{name}\b", code) and not find_spec(name):
            pytest.skip(f"the example needs {name}")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"image": photo})


@pytest.mark.parametrize("session", blocks("console"))
def test_shell_examples(session: str, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    """Lines after a $, one after the other; only our command is called."""
    (tmp_path / "photo.shl").unlink()
    for line in re.findall(r"^\$ (.+)$", session, re.M):
        program, *arguments = line.split()
        assert program == "shearloc"
        done = subprocess.run(
            [sys.executable, "-m", "shearloc", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_examples_are_found() -> None:
    assert len(blocks("python")) >= 4 and len(blocks("console")) >= 2


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the pages need the extra docs")
    pytest.importorskip("mkdocstrings", reason="the pages need the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "--skip-existing" in (tmp_path / "site" / "cli.html").read_text()
    python = (tmp_path / "site" / "python.html").read_text()
    assert "Compress an array" in python and "UnknownModelError" in python
