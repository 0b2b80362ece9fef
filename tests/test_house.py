"""The layout's own rules: one test command, and imports that go one way."""

import ast
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "shearloc"
FLOORS = {
    "errors": 0,
    "cache": 1,
    "inflate": 1,
    "compiling": 1,
    "shortcuts": 0,
    "kernels": 2,
    "types": 1,
    "coding": 3,
    "nets": 3,
    "models": 4,
    "codec": 5,
    "training": 5,
    "data": 6,
    "jobs": 6,
    "plugins": 6,
    "evaluate": 7,
    "cli": 8,
}
"""Every room of the package and its floor: imports go down, or stay in the room."""

FACE = [("__init__",), ("__main__",)]
"""The package's own files show what the rooms have."""

BESIDE = [("codec", "training")]
"""Rooms of one floor where the first may call the second: `--effort 7` adapts a model."""


def test_ci_runs_the_readme_command() -> None:
    opening, command, closing, fuzz, docs = (ROOT / ".ci" / "run").read_text().splitlines()[-5:]
    assert "pytest" in command and "tests.fuzz" in fuzz
    assert '-e ".[docs]"' in docs and docs.endswith("pytest -q tests/test_docs.py -k pages")
    assert command in (ROOT / "README.md").read_text().splitlines()
    # Without them `set -e` would go on after a failure in the middle of the command.
    assert (opening, closing) == ("(", ")")


def test_wheel_fits() -> None:
    """A wheel is a zip file of the package: at most 8 MB, weights and all."""
    size = 0
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".nbi", ".nbc"):
            size += len(zlib.compress(path.read_bytes()))
    assert 1_000_000 < size < 8_000_000


def test_torch_is_pinned() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_never_go_up(path: Path) -> None:
    """Imports go down, or stay in their room; and inside the package they are relative."""
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    assert inside[0] in FLOORS or inside in FACE, f"{inside[0]} has no floor: give it one"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "shearloc" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level or (node.module or "").split(".")[0] != "shearloc"
            for floor in imported_floors(node, inside):
                assert (
                    inside in FACE
                    or floor == inside[0]
                    or FLOORS[floor] < FLOORS[inside[0]]
                    or (inside[0], floor) in BESIDE
                )


def imported_floors(node: ast.ImportFrom, inside: tuple[str, ...]) -> list[str]:
    """Floors that a relative import in the module `inside` reaches."""
    if not node.level:
        return []
    base = inside[: len(inside) - node.level] + tuple((node.module or "").split(".") if node.module else ())
    names = [base[0]] if base else [alias.name for alias in node.names]
    # Of the package itself only the version is below everyone: its functions are the codec's.
    assert base or {*names} <= {"__version__", *FLOORS}
    return [name for name in names if name in FLOORS]


TORCH = ("training/", "data.py", "nets/engines.py", "nets/fixed_point.py", "nets/processors.py", "models/local/device")
"""Where torch is imported: to learn, as an engine, and for who feeds a DataLoader."""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_stays_in_its_rooms(path: Path) -> None:
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert "torch" not in names or str(path.relative_to(PACKAGE)).startswith(TORCH)
