"""How many processors there are to use, and pools of threads that are as they were once nobody wants fewer."""

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shearloc.nets import processors
from shearloc.nets.processors import Pool, at_most, quota


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"cpu.max": "max 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ("0::/not/there", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "nonsense"}, None),
        ("0::/", {}, None),
        (
            "4:cpu,cpuacct:/x",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("5:memory:/\n4:cpu:/\n0::/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, 2),
    ],
)
def test_quota(tmp_path: Path, groups: str, files: dict[str, str], limit: float | None) -> None:
    (tmp_path / "self").write_text(groups + "\n")
    for name, content in files.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    assert quota(tmp_path / "self", tmp_path / "fs") == limit


def test_no_cgroups(tmp_path: Path) -> None:
    assert quota(tmp_path / "missing") is None


@pytest.mark.parametrize(("share", "expected"), [(None, 8), (0.3, 1), (1.5, 2), (64, 8)])
def test_processors_fit_the_quota(monkeypatch: pytest.MonkeyPatch, share: float | None, expected: int) -> None:
    monkeypatch.setattr(processors, "_allowed", lambda: 8)
    monkeypatch.setattr(processors, "quota", lambda: share)
    assert processors.processors() == expected
    with at_most(1):
        assert processors.processors() == 1
    assert processors.processors() == expected


@pytest.mark.parametrize(
    ("running", "wanted", "expected"),
    [
        ("1/80", 8, 8),
        ("1/80", 2, 2),
        ("0/0", 8, 8),
        ("4/80", 8, 5),
        ("4/80", 2, 2),
        ("8/80", 8, 1),
        ("99/900", 8, 1),
        ("nonsense", 8, 8),
    ],
)
def test_processors_that_others_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, running: str, wanted: int, expected: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    (tmp_path / "loadavg").write_text(f"2.29 2.89 2.92 {running} 27651\n")
    assert processors.free(wanted, tmp_path / "loadavg") == expected


def test_who_runs_for_a_moment_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    load, waits = tmp_path / "loadavg", []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        load.write_text("0 0 0 3/80 1\n")

    monkeypatch.setattr("time.sleep", sleep)
    load.write_text("0 0 0 5/80 1\n")
    assert processors.free(8, load) == 6 and len(waits) == processors.READINGS - 1
    load.write_text("0 0 0 5/80 1\n")
    assert processors.free(6, load) == 6 and len(waits) == processors.READINGS
    assert processors.free(8, tmp_path / "missing") == 8


def test_who_wants_one_does_not_ask() -> None:
    """Thousands of small images would wait for nothing."""

    class Load:
        def read_text(self) -> str:
            raise AssertionError("asked")

    assert processors.free(1, Load()) == 1  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="asked"):
        processors.free(2, Load())  # type: ignore[arg-type]


def test_another_program_takes_one() -> None:
    """A real one, where the system says who runs; it may be one of many."""
    if not Path("/proc/loadavg").exists():
        pytest.skip("no /proc/loadavg")
    count = os.cpu_count() or 1
    with subprocess.Popen([sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=-1) as other:
        assert other.stdout and other.stdout.readline()
        assert processors.free(count) <= max(1, count - 1)
        other.kill()


class Library:
    """Threads of nobody."""

    def __init__(self) -> None:
        self.threads = 6

    def change(self, count: int) -> None:
        self.threads = count


def test_a_pool_is_as_it_was() -> None:
    """However calls overlap; and never more than the lowest wanted now."""
    library = Library()
    pool = Pool(lambda: library.threads, library.change)

    def call(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(50):
            with pool.at_most(wanted := draw.randint(1, 9)):
                assert library.threads <= wanted

    with ThreadPoolExecutor(5) as executor:
        for done in [executor.submit(call, seed) for seed in range(5)]:
            done.result(timeout=60)
    assert library.threads == 6


def test_overlapping_calls_end_in_any_order() -> None:
    library = Library()
    pool = Pool(lambda: library.threads, library.change)
    first, second = pool.at_most(2), pool.at_most(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert library.threads == 1
    second.__exit__(None, None, None)
    assert library.threads == 6


def test_blas_takes_one_thread_where_one_is_granted() -> None:
    """In a process of its own: SciPy, which other tests load, brings another BLAS."""
    work = """
from threadpoolctl import threadpool_info
from shearloc.nets.processors import at_most
import numpy

def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

before = threads()
with at_most(1):
    assert threads() == {1}, threads()
assert threads() == before
"""
    subprocess.run([sys.executable, "-c", work], check=True, timeout=120)


def test_torch_keeps_its_threads() -> None:
    """Whoever comes and goes meanwhile, on other threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    meet = threading.Barrier(2, timeout=60)

    def hold() -> None:
        with at_most(1):
            meet.wait()
            meet.wait()

    with ThreadPoolExecutor(1) as executor:
        done = executor.submit(hold)
        with at_most(1):
            meet.wait()
        meet.wait()
        done.result(timeout=60)
    assert torch.get_num_threads() == before
