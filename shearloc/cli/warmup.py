"""The command that compiles everything ahead of time."""

import time

import typer

from .app import Threads, command, computing
from .progress import progress_bars


@command(epilog="\b\nExamples:\n  shearloc warmup\n  RUN shearloc warmup   (in a Dockerfile, after the installation)")
def warmup(threads: Threads = None) -> None:
    """Compile everything for this processor now, so that the first image need not wait. It takes about a minute.

    A later run takes ten seconds to find everything compiled. Compiled code is kept beside the package, or in the
    folder that NUMBA_CACHE_DIR names.
    """
    from ..codec.warmup import warm_up
    from ..compiling import watched

    start = time.perf_counter()
    compiled: list[float] = []
    with computing(threads, told=False), progress_bars(1) as begin, watched(lambda: None, compiled.append):
        warm_up(begin(0, "compile"))
    told = "compiled for this processor" if compiled else "everything is compiled already"
    typer.echo(f"{told}, {time.perf_counter() - start:.1f} s")
