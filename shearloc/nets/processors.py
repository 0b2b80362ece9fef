"""How many processors this process may use, and limits for libraries that have threads of their own.

A process may use fewer than the machine has: its affinity says so, or a container's share of time (a cgroup's quota).
Inside `at_most` it uses fewer still. Threads that wait for each other keep to processors that are `free`.
NumPy's BLAS and torch have pools of threads for the whole process: these are lowered while anyone asks for that, and
restored afterwards.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from threading import Lock, local
from types import SimpleNamespace
from typing import Any

READINGS, PAUSE = 3, 0.002
"""How often `free` asks at most, and seconds from one time to the next."""

_at_most: ContextVar[int | None] = ContextVar("at_most", default=None)


def processors() -> int:
    """Processors that this process may use, or as many of them as `at_most` allows."""
    share = quota()
    there = min(_allowed(), max(1, math.ceil(share))) if share else _allowed()
    return min(there, _at_most.get() or there)


def free(wanted: int, load: Path = Path("/proc/loadavg")) -> int:
    """Of the processors that are wanted, those that no other thread of the machine runs on now, at least 1.

    Threads that meet many thousand times a second are slower than one alone where another program takes a processor
    from one of them. What runs for a moment only does not count: where some are taken, it asks again. For one processor
    it does not ask.
    """
    most = 1
    for reading in range(READINGS):
        if most >= wanted:
            break
        if reading:
            time.sleep(PAUSE)
        try:
            running = int(load.read_text().split()[3].split("/")[0])
        except (OSError, ValueError, IndexError):
            return wanted
        most = max(most, (os.cpu_count() or 1) - max(0, running - 1))
    return min(wanted, most)


def _allowed() -> int:
    """Processors in this process's affinity."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def quota(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Processors' worth of time that the process's cgroups, version 1 or 2, grant; None without a limit."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            mounts = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / controllers, root / "cpu"]
        else:
            continue
        for mount in mounts:
            # In a container the group's own path may not be there; its limits are then at the mount.
            place = mount / group.lstrip("/")
            folders = [folder for folder in (place, *place.parents) if folder.is_relative_to(mount)]
            limits += [limit for limit in map(_limit, folders) if limit]
    return min(limits, default=None)


def _limit(folder: Path) -> float | None:
    """A cgroup's own limit, version 1 or 2."""
    try:
        if (folder / "cpu.max").exists():
            time, period = (folder / "cpu.max").read_text().split()
        else:
            time, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if time in ("max", "-1") else int(time) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


class Pool:
    """A library's threads: `count` returns how many there are, `change` sets the number.

    `each_thread`: the library has a number for each thread that calls it, and one for new threads.
    """

    def __init__(self, count: Callable[[], int], change: Callable[[int], Any], each_thread: bool = False) -> None:
        self._count, self._change = count, change
        self._lock, self._calls, self._before = Lock(), 0, 0
        self._own: Any = local() if each_thread else SimpleNamespace()

    @contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Limits the threads to this number. Calls may overlap, in any order."""
        with self._lock:
            if not self._calls:
                self._before = self._count()
            self._calls += 1
            self._wanted().append(count)
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                self._wanted().remove(count)
                self._set()

    def _wanted(self) -> list[int]:
        self._own.wanted = getattr(self._own, "wanted", [])
        return self._own.wanted

    def _set(self) -> None:
        self._change(min([self._before, *self._wanted()]))


@cache
def _blas() -> Pool:
    """NumPy's BLAS."""
    import numpy  # noqa: F401  # so that it is there to be found
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers

    def change(count: int) -> None:
        for library in found:
            library.set_num_threads(count)

    return Pool(lambda: max([library.get_num_threads() for library in found], default=1), change)


@cache
def _torch() -> Pool:
    """Torch's own threads."""
    import torch

    return Pool(torch.get_num_threads, torch.set_num_threads, each_thread=True)


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Limits what runs inside, on this thread, to so many processors: for one of several workers."""
    token = _at_most.set(count)
    try:
        with sharing(1):
            yield
    finally:
        _at_most.reset(token)


@contextmanager
def sharing(count: int, torch: bool | None = None) -> Iterator[None]:
    """Limits the pools of BLAS, and of torch where it is loaded, so that `count` threads can call them at once."""
    share = max(1, processors() // count)
    torch = "torch" in sys.modules if torch is None else torch
    with ExitStack() as stack:
        if share < _allowed():
            stack.enter_context(_blas().at_most(share))
            if torch:
                stack.enter_context(_torch().at_most(share))
        yield
