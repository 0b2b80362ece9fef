"""Kernels called by address, and the word to whoever waits for them to be compiled."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import config, njit

from shearloc import compiling, kernels
from shearloc.compiling import watched
from shearloc.kernels import Apart, aligned, call


@Apart
def add(amount, into):  # type: ignore[no-untyped-def]
    """Adds an amount to every item."""
    for k in range(into.size):
        into[k] += amount


@njit
def add_twice(place, into):  # type: ignore[no-untyped-def]
    call(place, (1, into))
    call(place, (10, into))


def test_kernels_apart() -> None:
    """Called from Python and from another kernel."""
    numbers = np.arange(3)
    add(100, numbers)
    assert numbers.tolist() == [100, 101, 102]
    add_twice(add.at(1, numbers), numbers)
    assert numbers.tolist() == [111, 112, 113]
    halves = np.zeros(2)
    add(0.5, halves)
    assert halves.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7)])
def test_aligned(shape: tuple[int, ...]) -> None:
    for kind in (np.int8, np.int32):
        numbers = np.arange(np.prod(shape), dtype=kind).reshape(shape)
        copy = aligned(numbers)
        assert np.array_equal(copy, numbers) and copy.dtype == kind and copy.ctypes.data % kernels.LINE == 0


class Gone(NamedTuple):
    """A type that a later version no longer has."""

    number: int


def first(values):  # type: ignore[no-untyped-def]
    return values[0]


def test_a_cache_that_names_a_type_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An earlier version leaves such caches behind; what they hold is compiled anew."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert njit(cache=True)(first)(Gone(7)) == 7
    (index,) = tmp_path.rglob("*.nbi")
    before = index.read_bytes()
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    assert njit(cache=True)(first)(np.array([3])) == 3
    assert index.read_bytes() != before


def compile_one() -> Callable[[], int]:
    function = njit(lambda: 1)
    function()
    return function


def test_compiling_is_told_once_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(compiling, "LONG", 0.0)
    with watched(lambda: told.append("begin"), lambda seconds: told.append(f"{seconds > 0}")):
        compile_one()
        compile_one()
        assert told == ["begin"]
    assert told == ["begin", "True"]
    compile_one()
    assert told == ["begin", "True"]


def test_short_compiling_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "LONG", time.monotonic())
    with watched(pytest.fail, pytest.fail):
        compile_one()
    with watched(pytest.fail, pytest.fail):
        pass


OTHERS = """
import numpy as np, shearloc
from numba import njit
image = np.zeros((9, 9, 3), np.uint8)
assert (shearloc.decode(shearloc.encode(image, model="photo")) == image).all()

@njit(cache=True)
def texts(numbers):
    return [str(number) for number in numbers]

assert texts(np.arange(3)) == ["0", "1", "2"]
assert (shearloc.decode(shearloc.encode(image, model="photo")) == image).all()
print("fine")
"""


NAMELESS = """
space = {}
exec(compile("\\n" * 6 + "def added(x):\\n    return x + 1\\n", __file__, "exec"), space)
assert njit(space["added"])(3) == 4
"""


def test_other_kernels_are_loaded_as_ever(tmp_path: Path) -> None:
    script = tmp_path / "others.py"
    script.write_text(OTHERS + NAMELESS)
    for _ in range(2):  # the second time from a cache
        run = subprocess.run([sys.executable, script], capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (0, "fine\n"), run.stderr


def test_a_watch_that_begins_during_compiling() -> None:
    watch = compiling._Watch(lambda: None)
    watch.on_end(None)
    watch.on_start(None)
    watch.on_end(None)
    assert 0 <= watch.seconds < 1
