"""Work that is cut off: killed, interrupted, out of disk. Real processes; inputs and older outputs must survive."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc

from .processes import Child, contents, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of Unix")

Picture = Callable[..., NDArray[np.uint8]]
COUNT = 12
"""Files in the folders."""


def at_call(n: int, function: str, action: str) -> str:
    """Python lines after which the n-th call of a function of `os` does this; `real` is the function itself."""
    count = f"import itertools, os, signal, time\nreal, calls = {function}, itertools.count(1)"
    return f"{count}\n{function} = lambda *given: {action} if next(calls) == {n} else real(*given)"


def finish(child: Child) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = child.communicate(timeout=300)
    return child.returncode, err


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".shearloc-*.part"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> dict[str, Path]:
    """Folders of inputs: "encode" with PNGs, "decode" with the same as .shl files, which have just been made."""
    root = tmp_path_factory.mktemp("inputs")
    (root / "encode").mkdir()
    for i in range(COUNT):
        Image.fromarray(picture(16 + i % 5, 24, 3)).save(root / "encode" / f"{i:02}.png")
    code, err = finish(start("encode", *sorted((root / "encode").iterdir()), "--out-dir", "decode", folder=root))
    assert (code, err) == (0, "")
    return {name: root / name for name in ("encode", "decode")}


@pytest.fixture(scope="module")
def outputs(folders: dict[str, Path]) -> dict[str, dict[str, bytes]]:
    """What an undisturbed run of a command writes, by name."""
    root = folders["decode"].parent
    assert finish(start("decode", *sorted(folders["decode"].iterdir()), "--out-dir", "expected", folder=root))[0] == 0
    return {"encode": contents(folders["decode"]), "decode": contents(root / "expected")}


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest, tmp_path: Path, folders: dict[str, Path], outputs: dict[str, dict[str, bytes]]
) -> tuple[list[object], dict[str, bytes], dict[str, bytes], Path]:
    """For the command that is the parameter: its arguments, older and new outputs, and their folder."""
    command: str = request.param
    older = {name: b"older " + name.encode() for name in outputs[command]}
    (tmp_path / "out").mkdir()
    for name, data in older.items():
        (tmp_path / "out" / name).write_bytes(data)
    arguments = [command, *sorted(folders[command].iterdir()), "--out-dir", "out", "--force"]
    return arguments, older, outputs[command], tmp_path / "out"


both = pytest.mark.parametrize("prepared", ["encode", "decode"], indirect=True)
Prepared = tuple[list[object], dict[str, bytes], dict[str, bytes], Path]


def assert_old_or_new(found: dict[str, bytes], older: dict[str, bytes], new: dict[str, bytes]) -> int:
    """How many of the outputs are new; every other is the older one."""
    assert found.keys() == older.keys()
    assert all(data in (older[name], new[name]) for name, data in found.items())
    return sum(found[name] == new[name] for name in found)


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@both
def test_killed_among_many_files(tmp_path: Path, folders: dict[str, Path], prepared: Prepared) -> None:
    """Before a file's rename: those before it are new, the others older; what is left is in nobody's way."""
    arguments, older, new, out = prepared
    inputs = contents(folders[str(arguments[0])])
    moments = random.Random(4).sample(range(2, COUNT + 1), 4)
    for tries, n in enumerate(moments, 1):
        killed = start(*arguments, folder=tmp_path, before=at_call(n, "os.replace", KILL))
        assert finish(killed)[0] == -signal.SIGKILL
        assert assert_old_or_new(contents(out), older, new) == n - 1
        assert len(leftovers(out)) == tries
        for name, data in older.items():
            (out / name).write_bytes(data)
    assert finish(start(*arguments, folder=tmp_path)) == (0, "")
    assert contents(out) == new
    assert contents(folders[str(arguments[0])]) == inputs


MOMENTS = {
    "before anything is on the disk": ("os.fsync", KILL, 0),
    "before the rename": ("os.replace", KILL, 0),
    "after the rename": ("os.replace", f"(real(*given), {KILL})", 1),
}


@both
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_the_worst_moments(tmp_path: Path, prepared: Prepared, moment: str) -> None:
    (command, source, *options), older, new, out = prepared[0], *prepared[1:]
    options = options[-3:]
    function, action, replaced = MOMENTS[moment]
    killed = start(command, source, *options, folder=tmp_path, before=at_call(1, function, action))
    assert finish(killed)[0] == -signal.SIGKILL
    assert assert_old_or_new(contents(out), older, new) == replaced
    assert len(leftovers(out)) == 1 - replaced


@both
def test_interrupted_from_the_keyboard(tmp_path: Path, prepared: Prepared) -> None:
    """At the third file's rename, which says so and waits for it."""
    arguments, older, new, out = prepared
    wait = "(print('waiting', flush=True), [time.sleep(0.01) for _ in itertools.count()])"
    child = start(*arguments, folder=tmp_path, before=at_call(3, "os.replace", wait))
    assert child.stdout
    assert [child.stdout.readline() for _ in range(3)][2] == "waiting\n"
    assert len(leftovers(out)) == 1
    child.send_signal(signal.SIGINT)
    assert finish(child) == (130, "shearloc: interrupted\n")
    assert assert_old_or_new(contents(out), older, new) == 2
    assert not leftovers(out)


@both
@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_interrupted_while_writing(tmp_path: Path, prepared: Prepared, moment: str) -> None:
    arguments, older, new, out = prepared
    before = at_call(1, moment, "os.kill(os.getpid(), signal.SIGINT)")
    assert finish(start(*arguments, folder=tmp_path, before=before)) == (130, "shearloc: interrupted\n")
    assert contents(out) == older and not leftovers(out)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with large.png and large.shl, noise of 48 kB, and small.png and small.shl."""
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(noise).save(folder / "large.png")
    Image.fromarray(noise[:8, :8]).save(folder / "small.png")
    assert finish(start("encode", "large.png", "small.png", folder=folder)) == (0, "")
    return folder


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("not allowed to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("command", "suffix"), [("encode", ".shl"), ("decode", ".png")])
def test_full_disk(large: Path, tiny_disk: Path, command: str, suffix: str) -> None:
    check_no_room(large, tiny_disk, command, suffix, "No space left on device", "")


@pytest.mark.parametrize(("command", "suffix"), [("encode", ".shl"), ("decode", ".png")])
def test_file_size_limit(large: Path, tmp_path: Path, command: str, suffix: str) -> None:
    """As a full disk, where nobody may mount one."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    check_no_room(large, tmp_path, command, suffix, "File too large", limit)


def check_no_room(large: Path, out: Path, command: str, suffix: str, told: str, before: str) -> None:
    """The large file fails, its older output stays; the small one after it is done."""
    target = out / f"large{suffix}"
    target.write_bytes(b"older")
    inputs = contents(large)
    source_suffix = {"encode": ".png", "decode": ".shl"}[command]
    sources = [large / f"{name}{source_suffix}" for name in ("large", "small")]
    code, err = finish(start(command, *sources, "--out-dir", out, "--force", folder=large, before=before))
    lines = err.splitlines()
    assert code == 1 and len(lines) == 2
    assert lines[0] == f"shearloc: {target}: {told}"
    assert sorted(contents(out)) == [f"large{suffix}", f"small{suffix}"] and not leftovers(out)
    assert target.read_bytes() == b"older"
    assert contents(large) == inputs


def powerless() -> tuple[str, ...]:
    """What to put before a command so that permissions bind it: nothing, or for root a program that drops the power."""
    if os.getuid():
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may write to any folder, and setpriv is not there")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


@pytest.mark.parametrize(("command", "source"), [("encode", "small.png"), ("decode", "small.shl")])
def test_read_only_folder(large: Path, tmp_path: Path, command: str, source: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "small.shl").write_bytes(b"older")
    (out / "small.png").write_bytes(b"older")
    before = contents(out)
    out.chmod(0o555)
    try:
        arguments = (command, large / source, "--out-dir", "out", "--force")
        code, err = finish(start(*arguments, folder=tmp_path, prefix=powerless()))
    finally:
        out.chmod(0o755)
    assert (code, err) == (1, "shearloc: out: no permission to write to this folder\n")
    assert contents(out) == before and not leftovers(out)


def test_a_device_is_not_replaced(large: Path) -> None:
    code, err = finish(start("decode", "small.shl", "/dev/full", "--force", folder=large))
    assert code == 1 and err.startswith("shearloc: /dev/full: ") and err.count("\n") == 1
    assert not Path("/dev/full").is_file()


def test_the_small_file_is_sound(large: Path) -> None:
    """What the tests above rest on."""
    with Image.open(large / "small.png") as image:
        assert np.array_equal(shearloc.read(large / "small.shl"), np.array(image))


def test_workers_that_are_interrupted_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    draw = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(draw.integers(0, 256, (200, 200 + i, 3), np.uint8)).save(tmp_path / "in" / f"{i:02}.png")
    child = start("pack", "in", "out", "--workers", "2", folder=tmp_path)
    for _ in range(3000):
        if leftovers(tmp_path / "out") or child.poll() is not None:
            break
        time.sleep(0.01)
    assert leftovers(tmp_path / "out"), "pack wrote nothing, or was done before anyone could look"
    child.send_signal(signal.SIGINT)
    assert finish(child) == (130, "shearloc: interrupted\n")
    assert leftovers(tmp_path / "out") == []
