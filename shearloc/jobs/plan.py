"""Which files there are to process, and where each output goes: names, patterns, folders.

A file that cannot be processed becomes a job with a problem, so that the others go on. Nothing here parses arguments or
prints.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import inout

SHL = ".shl"
IMAGE_SUFFIXES = frozenset((".png", ".pbm", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".bmp", ".webp"))
REFUSED_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".gif", ".jxl", ".jp2", ".avif", ".heic"))
"""Images that Shearloc does not take: each gets a line with the reader's reason."""


@dataclass(frozen=True)
class Job:
    """A file to read and the file to write; `problem`: why it cannot be done, in words."""

    source: Path
    target: Path
    problem: str = ""


@dataclass(frozen=True)
class Input:
    """A file to read; `below` is its path under the folder that was named, itself without one."""

    path: Path
    below: Path
    problem: str = ""


def expand(
    given: Iterable[Path],
    suffixes: Iterable[str],
    recursive: bool,
    hint: str = "-r takes all files in it",
    what: str = SHL,
) -> list[Input]:
    """The files that names, patterns in quotes and, if `recursive`, folders stand for, sorted in each.

    Of a folder, all files below it with one of the suffixes, hidden ones left out. `hint`: what to do with one else;
    `what`: what files with these suffixes are called.
    """
    nothing = f"no {what} files in this folder"
    found: list[Input] = []
    for path in given:
        if path.is_dir() and not recursive:
            found.append(Input(path, path, f"is a folder; {hint}"))
        elif path.is_dir():
            below = sorted(walk(path, frozenset(suffixes)))
            found += [Input(path / name, name) for name in below] or [Input(path, path, nothing)]
        elif not path.exists() and glob.has_magic(str(path)):
            matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(name)]
            found += [Input(one, Path(one.name)) for one in matches] or [Input(path, path, "no file has such a name")]
        else:
            found.append(Input(path, Path(path.name)))
    return found


def walk(folder: Path, suffixes: frozenset[str] | None = None, hidden: bool = False) -> Iterator[Path]:
    """Paths in the folder of all files below it that are not hidden, with one of the suffixes if some are given.

    With `hidden`, those of the files that are hidden, in folders that are not.
    """
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith(".") == hidden and (suffixes is None or Path(name).suffix.lower() in suffixes):
                yield Path(os.path.relpath(os.path.join(root, name), folder))


def left_out(folders: Iterable[Path]) -> list[Path]:
    """Files below the folders whose suffix is neither an image's nor that of an output, sorted in each folder."""
    known = IMAGE_SUFFIXES | REFUSED_SUFFIXES | {SHL}
    return [folder / name for folder in folders for name in sorted(walk(folder)) if name.suffix.lower() not in known]


def hidden_images(folders: Iterable[Path]) -> list[Path]:
    """Hidden files below the folders that have an image's suffix, sorted in each folder."""
    return [folder / name for folder in folders for name in sorted(walk(folder, IMAGE_SUFFIXES, hidden=True))]


def plan(
    inputs: list[Input], out_dir: Path | None, suffix: Callable[[Path], str], is_input: Callable[[Path], bool]
) -> list[Job]:
    """Each file's output: its name with the right suffix, in its own folder or mirrored in `out_dir`.

    A file that is named twice is done once. Files that would write the same output, or overwrite one that is still to
    be read, get a problem. `is_input`: whether a file is what its job takes; another one will write nothing.
    """
    planned = [Job(one.path, _target(one, out_dir, suffix), one.problem) for one in inputs]
    jobs = list({(os.path.realpath(job.source), os.path.realpath(job.target)): job for job in planned}.values())
    readable = [job for job in jobs if not job.problem]
    sources = {os.path.realpath(job.source): job.source for job in readable}
    meeting = Counter(os.path.realpath(job.target) for job in readable)
    wanted = [job for job in readable if meeting[os.path.realpath(job.target)] == 1 or is_input(job.source)]
    writers = Counter(os.path.realpath(job.target) for job in wanted)
    first = {os.path.realpath(job.target): job.source for job in reversed(wanted)}
    last = {os.path.realpath(job.target): job.source for job in wanted}
    checked = []
    for job in jobs:
        target = os.path.realpath(job.target)
        if not job.problem and job in wanted and writers[target] > 1:
            other = last[target] if first[target] == job.source else first[target]
            job = replace(job, problem=f"{other} would be written to {job.target}, too: rename one of them")
        elif not job.problem and target in sources and sources[target] is not job.source:
            job = replace(job, problem=f"would be written over {sources[target]}, which is to be read, too")
        checked.append(job)
    return checked


def _target(one: Input, out_dir: Path | None, suffix: Callable[[Path], str]) -> Path:
    if inout.is_standard(one.path):
        return inout.DASH
    return (one.path.parent if out_dir is None else out_dir / one.below.parent) / (one.path.stem + suffix(one.path))
