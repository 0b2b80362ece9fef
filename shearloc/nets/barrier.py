"""Threads inside Numba kernels that wait for each other, many thousand times a second.

Python's own locks put a waiting thread to sleep, and waking it takes as long as the step it waited for. Here a waiting
thread first keeps looking for a moment, then lets others run between looks, then sleeps.
"""

import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..kernels import KERNEL
from .processors import free, processors

_CAN_YIELD = os.name == "posix"
_CAN_PAUSE = platform.machine() in {"x86_64", "AMD64"}
LOOKS = 300
"""Looks, some ten microseconds, before a thread lets others run: mostly, the other thread is that close."""
YIELDS = 1000
"""Times that it lets others run, some tenths of a millisecond, before it sleeps: then, the other has no processor."""
NAP = 50
"""Microseconds of sleep at a time."""
APART = 8
"""Numbers from one count to the next, so that each has a cache line: 8 bytes each."""
_FOR_ALL = 1 << 62
"""A count beyond every goal."""


def most_parts(wanted: int) -> int:
    """Of so many threads those that may run side by side, at least 1: each on a processor that is free now.

    1 where a waiting thread cannot let others run.
    """
    return free(max(1, min(wanted, processors()))) if _CAN_YIELD else 1


@contextmanager
def all_together(arrived: NDArray[np.int64]) -> Iterator[None]:
    """For whatever starts or runs threads that wait: if it fails, no thread waits for one that will not come.

    What the others still do is then of no use, but it ends.
    """
    try:
        yield
    except BaseException:
        arrived[:] = _FOR_ALL
        raise


@contextmanager
def together(parts: int, counts: int = 1) -> Iterator[Callable[[Callable[[int, NDArray[np.int64]], None]], None]]:
    """A function that runs another for each of `parts` threads, this one among them, with what they meet by.

    That is int64 [counts * APART], a count at every APART-th place. An error in any thread is raised here, and no
    thread waits for one that has failed.
    """
    arrived = np.zeros(counts * APART, np.int64)
    with ThreadPoolExecutor(max(1, parts - 1)) as pool:

        def run(work: Callable[[int, NDArray[np.int64]], None]) -> None:
            def one(part: int) -> None:
                with all_together(arrived):
                    work(part, arrived)

            arrived[:] = 0
            with all_together(arrived):
                jobs = [pool.submit(one, part) for part in range(1, parts)]
                one(0)
            for job in jobs:
                job.result()

        yield run


def _number_at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _add_one(_, address):  # type: ignore[no-untyped-def]
    """Adds 1 to the int64 at an address, atomically."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.atomic_rmw("add", _number_at(builder, args[0]), ir.Constant(ir.IntType(64), 1), "seq_cst")
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _look(_, address):  # type: ignore[no-untyped-def]
    """Reads the int64 at an address, and all that other threads wrote before they changed it."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(_number_at(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


def _call(name: str, exists: bool, result: Any, *arguments: int) -> Any:
    """A function for Numba that calls a function of the C library, or of LLVM, with these int32."""

    @intrinsic
    def call(_, nothing):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            if exists:
                words = [ir.Constant(ir.IntType(32), number) for number in arguments]
                kind = ir.FunctionType(result, [word.type for word in words])
                function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
                builder.call(function, words)
            return context.get_dummy_value()

        return types.void(types.int64), generate

    return call


_pause = _call("llvm.x86.sse2.pause", _CAN_PAUSE, ir.VoidType())
_yield = _call("sched_yield", _CAN_YIELD, ir.IntType(32))
_sleep = _call("usleep", _CAN_YIELD, ir.IntType(32), NAP)


@njit(**KERNEL)
def arrive(count):  # type: ignore[no-untyped-def]
    """Counts this thread in the count at an address: it is done with what others will wait for."""
    _add_one(count)  # type: ignore[call-arg]


@njit(**KERNEL)
def until(count, goal):  # type: ignore[no-untyped-def]
    """Returns when the count at an address has reached `goal`. What threads did before they were counted is seen then.

    All threads must be running: one that is not started is waited for.
    """
    looks = 0
    while _look(count) < goal:  # type: ignore[call-arg]
        looks += 1
        if looks <= LOOKS:
            _pause(0)
        elif looks <= LOOKS + YIELDS:
            _yield(0)
        else:
            _sleep(0)
