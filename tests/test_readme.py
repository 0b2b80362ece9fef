"""The README as a newcomer meets it: its length, its links, and every command in it, run as it stands."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc

from .examples import ROOT, blocks, commands, prepare, run_python, run_sessions, shell

README = ROOT / "README.md"
MOST_LINES = 120


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    monkeypatch.chdir(tmp_path)
    return prepare(tmp_path)


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_every_block_is_run() -> None:
    """Console and Python blocks here, the installation below, the development command by `.ci/run`."""
    kinds = re.findall(r"^```(\w*)$", README.read_text(), re.M)[::2]
    assert {*kinds} == {"console", "python", ""}
    install, develop = blocks(README, "")
    assert "shearloc encode" in install and "pytest" in develop
    assert develop.strip() in (ROOT / ".ci" / "run").read_text().splitlines()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text()):
        assert (ROOT / target).is_file(), target


def measured(name: str) -> dict[str, Any]:
    """A bench's rows by contender."""
    found = json.loads((ROOT / "bench" / "results" / name).read_text())
    return {row["name"]: row for row in found["rows"]}


def test_figures_are_the_measured_ones() -> None:
    """The table against peers, and the ratios, from the files that the text names."""
    rows, others = measured("bench-kodak.json"), measured("bench-kodak-avx2.json")
    ours = {"`--effort 2`": "shearloc, effort 2", "default": "shearloc, effort 5", "`--effort 9`": "shearloc, effort 9"}
    table = re.findall(r"^\| \**([^|*]+?)\** \| \**([\d.]+)\** \| ([\d.]+) \| ([\d.]+) \|$", README.read_text(), re.M)
    assert len(table) == 8
    for name, bits, encode, decode in table:
        row = rows[ours.get(name.removeprefix("Shearloc, "), name)]
        for shown, key in ((bits, "bits_per_dimension"), (encode, "encode_mb_s"), (decode, "decode_mb_s")):
            assert float(shown) == round(row[key], len(shown.partition(".")[2])), (name, key)
    ratios = re.findall(r"^\| ([^|]+) \| ([\d.]+) \(([\d.]+)\) \| ([\d.]+) \(([\d.]+)\) \|$", README.read_text(), re.M)
    assert [name for name, *_ in ratios] == list(ours)
    for name, *shown in ratios:
        found = [
            one[ours[name]]["encode_mb_s"] / one[f"JPEG XL effort {effort}"]["encode_mb_s"]
            for one in (rows, others)
            for effort in (9, 7)
        ]
        assert list(map(float, shown)) == [round(ratio, 1) for ratio in found]


def test_console_examples(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    sessions = blocks(README, "console")
    assert len([line for session in sessions for line in commands(session)]) >= 4
    run_sessions(sessions, tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back.png")), photo)
    assert np.array_equal(shearloc.read(tmp_path / "photo.shl"), photo)


def test_python_examples(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    for code in blocks(README, "python"):
        run_python(code, tmp_path, photo)


@pytest.mark.slow
def test_installation(tmp_path: Path) -> None:
    """The line in a copy of the source. pip finds this environment's packages, so it downloads the build tool only.

    The picture has one colour, which no model codes, so nothing compiles: the examples above encode a photograph.
    """
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "shearloc", tmp_path / "shearloc", ignore=shutil.ignore_patterns("__pycache__"))
    Image.new("RGB", (20, 10), (40, 80, 120)).save(tmp_path / "photo.png")
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    done = shell(blocks(README, "")[0].strip(), tmp_path, PYTHONPATH=packages)
    if "hatchling" in done.stderr:
        pytest.skip("the build tool cannot be downloaded here")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(".venv/lib/*/site-packages/shearloc/__init__.py"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back.png")), np.full((10, 20, 3), (40, 80, 120)))
