"""The command that compiles everything ahead of time."""

import time

import typer

from .app import Threads, command, computing
from .progress import progress_bars


@command(epilog="\b\nExamples:\n  shearloc warmup\n  RUN shearloc warmup   (in a Dockerfile, after the installation)")
def warmup(threads: Threads = None) -> None:
    """Compile everything for this processor now, so that the first image need not wait.

    Compiled code is kept beside the package, or in the folder that NUMBA_CACHE_DIR names.
    """
    from ..codec.warmup import warm_up

    start = time.perf_counter()
    with computing(threads, told=False), progress_bars(1) as begin:
        warm_up(begin(0, "compile"))
    typer.echo(f"compiled for this processor, {time.perf_counter() - start:.1f} s")
