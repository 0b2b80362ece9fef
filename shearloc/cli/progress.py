"""Runs jobs one after another, with a line for each, and shows progress bars where they take long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import typer

from ..errors import ShearlocError
from ..jobs.inout import is_standard, shown
from ..jobs.message import messages
from ..jobs.options import Begin, Progress
from ..jobs.plan import Job
from .app import complain, complain_all, some

PROGRESS_AFTER = 2.0
"""Seconds before a progress bar appears."""
SHOWN = 10
"""Most names of failed files in the last line."""


def run(jobs: list[Job], work: Callable[[Job, Begin], str], quiet: bool = False, writes: bool = True) -> None:
    """Does one job after another, a line for each. Goes on after failures; then exits with 1 at the end.

    `quiet`: only errors are printed. Where an output goes to stdout, its line goes to stderr.
    """
    failed: list[str] = []
    with progress_bars(len(jobs)) as progress:
        for i, job in enumerate(jobs):
            try:
                if job.problem:
                    raise ShearlocError(job.problem)
                line = work(job, partial(progress, i))
            except (ShearlocError, OSError, MemoryError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                complain_all(messages(error, job))
                failed.append(shown(job.source, "input"))
                continue
            if not quiet:
                _report(line, err=writes and is_standard(job.target))
    if failed and len(jobs) > 1:
        complain(f"{len(failed)} of {len(jobs)} files failed: {some(failed, SHOWN)}")
    if failed:
        sys.exit(1)


def _report(line: str, err: bool) -> None:
    """Prints a line. ShearlocError where that fails: the job is done all the same."""
    try:
        typer.echo(line, err=err)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ShearlocError(f"standard {'error' if err else 'output'}: {error.strerror}") from error


@contextmanager
def progress_bars(files: int) -> Iterator[Callable[[int, str], Progress | None]]:
    """A function (number of files done, what begins now) -> (done, total) callback.

    After `PROGRESS_AFTER` seconds, two bars appear on stderr: one for the files, one for the current step. Where stderr
    is no terminal, the callbacks are None.
    """
    if not sys.stderr.isatty():
        yield lambda index, label: None
        return
    due = time.monotonic() + PROGRESS_AFTER
    show: Callable[[int, str, int, int], None] | None = None
    with ExitStack() as stack:

        def begin(index: int, label: str) -> Progress:
            def report(done: int, total: int) -> None:
                nonlocal show
                if show is None and time.monotonic() >= due:
                    show = _open_bars(stack, files)
                if show is not None:
                    show(index, label, done, total)

            return report

        yield begin


def _open_bars(stack: ExitStack, files: int) -> Callable[[int, str, int, int], None]:
    """Draws bars that disappear when `stack` closes; returns what moves them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bars

    # Lines printed meanwhile go above the bars, but never from a redirected stdout to stderr.
    console = Console(stderr=True)
    bars = stack.enter_context(Bars(console=console, transient=True, redirect_stdout=sys.stdout.isatty()))
    every = bars.add_task("files", total=files, visible=files > 1)
    this = bars.add_task("", total=None)

    def show(index: int, label: str, done: int, total: int) -> None:
        bars.update(every, completed=index)
        bars.update(this, description=escape(label), completed=done, total=total)

    return show
