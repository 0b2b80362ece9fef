"""Golden files decode, with every engine and number of threads, to what they held when they were made."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shearloc.codec import archive
from shearloc.codec.formats import archive_header, chunks, container
from shearloc.codec.formats.container import Method
from shearloc.codec.pictures.picture import DEPTHS
from shearloc.coding.fields import take_varint
from shearloc.models import defaults
from shearloc.models.family import Order
from shearloc.models.local import FAMILY as LOCAL_FAMILY
from shearloc.models.local import model as local
from shearloc.models.registry import FAMILIES
from shearloc.models.vae import FAMILY as VAE_FAMILY
from shearloc.nets import barrier, engines

from . import make

INDEX = json.loads(make.INDEX.read_text())
NAMES = sorted(INDEX)
ENGINES = ("numpy", "numba", "torch")
LANED = {family.method for family in FAMILIES if family.lanes}
"""Methods whose lanes threads share."""


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))


def data(name: str) -> bytes:
    return (make.HERE / name).read_bytes()


PICTURES = {name: container.unpack_header(data(name))[0] for name in NAMES if not archive.is_archive(data(name))}
ARCHIVES = {name: archive_header.read(data(name))[0] for name in NAMES if name not in PICTURES}


def ways(name: str) -> Iterator[tuple[str, int]]:
    """Engine and number of processors of every decoding of a file that runs other code than those before it.

    Engines differ where there is a model. Processors share the lanes of a sheared payload with the engine numba, and
    the chunks of an archive whose payloads have none.
    """
    if name in PICTURES:
        by_model = [part for part in PICTURES[name].parts if part.method in LANED]
        lanes, shared_chunks = max((part.lanes for part in by_model if part.order == Order.SHEARED), default=0), 0
    else:
        header, start = archive_header.read(data(name))
        by_model = header.method != Method.RAW
        if header.method in LANED:  # the first chunk's lanes come after a checksum
            lanes, shared_chunks = take_varint(io.BytesIO(data(name)[start + 4 :])), 0
        else:
            lanes, shared_chunks = 0, len(header.sizes)
    for engine in ENGINES if by_model else ENGINES[:1]:
        yield engine, 1
        if shared_chunks > 1 or (engine == "numba" and lanes > 1):
            yield engine, 2


WAYS = [(name, *way) for name in NAMES for way in ways(name)]
GATHERED = [
    name
    for name, header in PICTURES.items()
    if {part.order for part in header.parts if part.method == LOCAL_FAMILY.method} == {Order.SHEARED}
]
EMBEDDED = [
    name
    for name, weights in [(name, header.chunks) for name, header in PICTURES.items()]
    + [(name, header.weights) for name, header in ARCHIVES.items()]
    if chunks.weights_in(weights)
]


def test_all_are_there_and_untouched() -> None:
    assert sorted(path.name for path in make.HERE.glob("*.shl")) == NAMES
    assert {name: hashlib.sha256(data(name)).hexdigest() for name in NAMES} == {
        name: entry["file"] for name, entry in INDEX.items()
    }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "engine", "threads"), WAYS)
def test_decodes(name: str, engine: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    for module in (engines, barrier):
        monkeypatch.setattr(module, "processors", lambda: threads)
    assert make.contents(data(name), engine=engine) == INDEX[name]["holds"]


@pytest.mark.parametrize("name", GATHERED)
def test_decodes_in_parallel_order(name: str) -> None:
    """Gathered patches: the other decoder of sheared files."""
    assert make.contents(data(name), engine="numpy", order="parallel") == INDEX[name]["holds"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_weights_are_enough(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(tmp_path))
    assert make.contents(data(name), engine="numpy") == INDEX[name]["holds"]


def test_they_are_of_every_kind() -> None:
    """Methods, orders, steps, models and colour types: what the format has is pinned."""
    found = [part for header in PICTURES.values() for part in header.parts]
    assert {part.method for part in found} == {*Method, *(f.method for f in FAMILIES if f.pictures)}
    assert {part.order for part in found if part.model} == {Order.SEQUENTIAL, Order.SHEARED}
    assert any(part.side_information for part in found) and any(part.lanes > 1 for part in found)
    assert max(len(chunks.weights_in(header.chunks)) for header in PICTURES.values()) > 1
    kinds = {(header.colour, header.depth) for header in PICTURES.values()}
    assert kinds == {(c, d) for c, depths in DEPTHS.items() for d in depths}
    headers = ARCHIVES.values()
    assert {header.method for header in headers} == {Method.RAW, *(f.method for f in FAMILIES if not f.deep)}
    assert {0, 3} <= {header.steps for header in headers} and any(header.weights for header in headers)
    used = {part.model for part in found} | {header.model for header in headers}
    assert used - {""} == {path.stem for path in make.MODELS.glob("*.safetensors")}
    threaded = {name for name, _, threads in WAYS if threads > 1}
    assert threaded & PICTURES.keys()
    assert {ARCHIVES[name].method for name in threaded & ARCHIVES.keys()} == {LOCAL_FAMILY.method, VAE_FAMILY.method}


def test_nothing_is_missing() -> None:
    """As the script itself sees it."""
    command = [sys.executable, "-m", "tests.golden.make", "--check"]
    done = subprocess.run(command, cwd=make.HERE.parents[1], capture_output=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_what_is_missing_is_made_and_nothing_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a copy of the folder; a raw file has the same bytes again, a model the same integers."""
    copy = Path(shutil.copytree(make.HERE, tmp_path / "golden", ignore=shutil.ignore_patterns("*.py", "__pycache__")))
    for name, path in (("HERE", copy), ("MODELS", copy / "models"), ("INDEX", copy / "golden.json")):
        monkeypatch.setattr(make, name, path)
    monkeypatch.setattr(defaults, "STATIC", dict(defaults.STATIC))
    monkeypatch.setattr(defaults, "LEARNING", dict(defaults.LEARNING))
    monkeypatch.setattr(defaults, "DEEP", defaults.DEEP)
    model, raw = missing = [copy / "models" / "golden-least.safetensors", copy / "raw.shl"]
    kept = local.load(model, "least").fingerprint, raw.read_bytes(), make.INDEX.read_bytes()
    for path in missing:
        path.unlink()
    make.INDEX.write_text(json.dumps({name: entry for name, entry in INDEX.items() if name != "raw.shl"}))

    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}

    before = state()
    assert make.main(["--check"]) == 1
    assert capsys.readouterr().out.split() == ["models/golden-least.safetensors", "raw.shl"]
    assert state() == before
    assert make.main([]) == 0
    assert (local.load(model, "least").fingerprint, raw.read_bytes(), make.INDEX.read_bytes()) == kept
    before |= {path: path.stat().st_mtime_ns for path in (*missing, make.INDEX)}
    assert state() == before
    assert make.main([]) == make.main(["--check"]) == 0
    assert state() == before
