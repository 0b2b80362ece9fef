"""Golden files decode, with every engine and number of threads, to what they held when they were made."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shearloc.codec import api, archive, container, parallel
from shearloc.codec.picture import DEPTHS
from shearloc.models import engines

from . import make

INDEX = json.loads(make.INDEX.read_text())
NAMES = sorted(INDEX)


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As many processors, as far as the codec knows."""
    for module in (engines, parallel):
        monkeypatch.setattr(module, "processors", lambda: request.param)
    return int(request.param)


def data(name: str) -> bytes:
    return (make.HERE / name).read_bytes()


def test_all_are_there_and_untouched() -> None:
    assert sorted(path.name for path in make.HERE.glob("*.shl")) == NAMES
    assert {name: hashlib.sha256(data(name)).hexdigest() for name in NAMES} == {
        name: entry["file"] for name, entry in INDEX.items()
    }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("engine", ["numpy", "numba", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_decodes(name: str, engine: str, threads: int) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    assert make.contents(data(name), engine=engine) == INDEX[name]["holds"]


@pytest.mark.parametrize("name", [name for name in NAMES if not archive.is_archive(data(name))])
def test_decodes_in_parallel_order(name: str) -> None:
    """Gathered patches: the other decoder of sheared files."""
    if api.info(data(name)).parts[0].order == "sheared":
        assert make.contents(data(name), engine="numpy", order="parallel") == INDEX[name]["holds"]


@pytest.mark.parametrize("name", [name for name in NAMES if "embedded" in name])
def test_embedded_weights_are_enough(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(tmp_path))
    assert make.contents(data(name), engine="numpy") == INDEX[name]["holds"]


def test_they_are_of_every_kind() -> None:
    """Methods, orders, steps, models and colour types: what the format has is pinned."""
    pictures = [container.unpack_header(data(name))[0] for name in NAMES if not archive.is_archive(data(name))]
    found = [part for header in pictures for part in header.parts]
    assert {part.method for part in found} == set(container.KNOWN_METHODS)
    assert {part.order for part in found if part.model} == {container.SEQUENTIAL, container.SHEARED}
    assert any(part.side_information for part in found) and any(part.lanes > 1 for part in found)
    kinds = {(header.colour, header.depth) for header in pictures}
    assert kinds == {(c, d) for c, depths in DEPTHS.items() for d in depths}
    headers = [archive.read_header(data(name))[0] for name in NAMES if archive.is_archive(data(name))]
    assert {header.method for header in headers} == set(archive.METHODS)
    assert {0, 3} <= {header.steps for header in headers} and any(header.weights for header in headers)
    used = {part.model for part in found} | {header.model for header in headers}
    assert used - {""} == {path.stem for path in make.MODELS.glob("*.safetensors")}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Run again, the script changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in make.HERE.rglob("*") if path.suffix in (".shl", ".safetensors")}
    index = make.INDEX.read_bytes()
    done = subprocess.run([sys.executable, "-m", "tests.golden.make"], cwd=make.HERE.parents[1], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before and make.INDEX.read_bytes() == index
