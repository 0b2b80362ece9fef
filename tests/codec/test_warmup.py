"""What is warmed up is not compiled again; processes that start at once on an empty cache do not disturb each other."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shearloc.codec import warmup

ROOT = Path(__file__).parents[2]

COUNTED = """
import numba.core.event as event
import numpy as np
compiled = []
class Count(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event): pass
event.register("numba:compile", Count())
import shearloc
image = np.random.default_rng(3).integers(0, 256, (50, 60, 3), np.uint8)
data = shearloc.encode(image, model="photo", engine="numba")
assert (shearloc.decode(data, engine="numba") == image).all()
"""


def run(code: str, cache: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_processes_on_an_empty_cache(tmp_path: Path) -> None:
    """All write the same file, and another one finds everything compiled."""
    code = COUNTED + "import hashlib; print(hashlib.md5(data).hexdigest())"
    started = [run(code, tmp_path) for _ in range(3)]
    written = {process.communicate(timeout=600)[0] for process in started}
    assert all(process.returncode == 0 for process in started) and len(written) == 1
    assert len(hashlib.md5().hexdigest()) + 1 == len(written.pop())
    later = run(COUNTED + "print(sorted(set(compiled)))", tmp_path)
    assert later.communicate(timeout=600)[0].strip() == "[]"


@pytest.mark.slow
def test_what_is_warmed_up_is_not_compiled_again(tmp_path: Path) -> None:
    code = """
from shearloc.codec.warmup import warm_up
told = []
warm_up(lambda *at: told.append(at))
print(told[-1])
"""
    first = run(code, tmp_path)
    total = len(warmup._tasks())
    assert first.communicate(timeout=900)[0].strip() == str((total, total))
    later = run(COUNTED + "print(sorted(set(compiled)))", tmp_path)
    assert later.communicate(timeout=600)[0].strip() == "[]"
