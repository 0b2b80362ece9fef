"""What the commands say: errors in one line that names the file, and numbers of things."""

import os

from ..errors import ShearlocError
from . import inout
from .plan import Job


class Problems(ShearlocError):
    """Several things that are wrong with one input, a line each."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        """Keep the lines."""
        super().__init__("; ".join(lines))
        self.lines = lines


def messages(error: Exception, job: Job) -> tuple[str, ...]:
    """What is wrong with a job's file: lines that name it."""
    return error.lines if isinstance(error, Problems) else (message(error, job),)


def message(error: Exception, job: Job) -> str:
    """What is wrong with a job's file: one line that names it."""
    source, target = inout.shown(job.source, "input"), inout.shown(job.target, "output")
    if isinstance(error, OSError):
        nameless = error.filename is None or os.path.basename(error.filename).startswith(".shearloc-")
        text = f"{target if nameless else error.filename}: {error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = f"{source}: not enough memory"
    elif str(error).startswith((f"{source}: ", f"{target}: ")):
        text = str(error)
    else:
        text = f"{source}: {error}"
    return " ".join(text.split())


def counted(number: int, thing: str) -> str:
    """A number of things: "1 shard", "1,200 images"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
