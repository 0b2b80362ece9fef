"""The documentation's examples, run as they stand, and its pages, built with the commands' own options."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shearloc

from .examples import ROOT, blocks, prepare, run_python, run_sessions

PAGES = sorted((ROOT / "docs").glob("*.md"))
NEEDS = ("torch", "zarr", "numcodecs", "dask", "matplotlib", "imageio")


def examples(kind: str) -> list[Any]:
    """The fenced blocks of a kind in all pages; the README's are `test_readme.py`'s."""
    return [pytest.param(block, id=f"{page.name}-{k}") for page in PAGES for k, block in enumerate(blocks(page, kind))]


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """A piece of a real photograph, in the folder of the examples."""
    monkeypatch.chdir(tmp_path)
    return prepare(tmp_path)


@pytest.mark.parametrize("code", examples("python"))
def test_python_examples(code: str, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    """Each by itself, in a folder with a photograph that is also the array `image`, and `photo.shl` made of it."""
    for name in NEEDS:
        if re.search(rf"\b{name}\b", code) and not find_spec(name):
            pytest.skip(f"the example needs {name}")
    shearloc.write(tmp_path / "photo.shl", photo)
    run_python(code, tmp_path, photo)


@pytest.mark.parametrize("session", examples("console"))
def test_shell_examples(session: str, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    run_sessions([session], tmp_path)


def test_examples_are_found() -> None:
    assert len(examples("python")) >= 4 and len(examples("console")) >= 4


def test_decisions_are_dated_records() -> None:
    records = re.findall(r"^### (.*)$", (ROOT / "docs" / "DECISIONS.md").read_text(), re.M)
    assert len(records) > 30 and all(re.match(r"\d{4}-\d\d-\d\d · \S", record) for record in records)


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the pages need the extra docs")
    pytest.importorskip("mkdocstrings", reason="the pages need the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "cli.html").read_text()
    missing = [option for option in options() if f"<code>{option}</code>" not in page]
    assert not missing
    python = (tmp_path / "site" / "python.html").read_text()
    assert "Compress an array" in python and "UnknownModelError" in python


def application() -> dict[str, Any]:
    """Every command by its words, as in "models add"."""
    from typer.main import get_command

    from shearloc.cli.app import app

    found: dict[str, Any] = {}
    groups: list[tuple[str, Any]] = [("", get_command(app))]
    while groups:
        words, group = groups.pop()
        for name, command in group.commands.items():
            found[f"{words} {name}".strip()] = command
            if hasattr(command, "commands"):
                groups.append((f"{words} {name}", command))
    return found


def options() -> set[str]:
    """Every long option of every command."""
    params = [one for command in application().values() for one in command.params]
    return {option for one in params for option in one.opts if option.startswith("--")}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "bench" / "README.md"])
def test_commands_that_are_only_shown_exist(page: Path) -> None:
    """In text and inline code: the command, its options, and the modules behind `python -m`."""
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"^(?:\$ )?(shearloc [^\n]*)$|`(shearloc [^`]*)`", text, re.M)
    known = application()
    for line in ["".join(pair) for pair in shown]:
        words = line.split("#")[0].split("|")[0].split()[1:]
        command = known.get(" ".join(words[:2])) or known.get(words[0])
        if command is None:
            assert words[0].startswith("--") or words[0].isupper(), line
            continue
        taken = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        given = {word.strip("[]") for word in words if word.strip("[]").startswith("--")}
        assert given <= taken, f"{line}: {given - taken}"
    for module in re.findall(r"python3? -m ((?:shearloc|tests)[\w.]*)", text):
        assert find_spec(module), module
