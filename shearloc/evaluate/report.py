"""Records the circumstances of a measurement (date, machine, versions, command line) and writes JSON and tables."""

import csv
import json
import os
import platform
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from llvmlite import binding
from numba import config

from .. import __version__
from ..nets.engines import processors
from ..nets.products import KIND
from .peers import library_versions

WIDTH = 80
"""Columns that every terminal has."""
PACKAGES = ("numpy", "numba", "torch", "pillow", "imagecodecs")


def circumstances() -> dict[str, Any]:
    """Date (UTC), command line, machine and versions, ready for JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "machine": {
            "cpu": _cpu_model(),
            "numba_cpu": getattr(config, "CPU_NAME", None) or binding.get_host_cpu_name(),
            "vnni": KIND.dot is not None,
            "cores": processors(),
            "system": platform.platform(),
            "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        },
        "versions": {
            "shearloc": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
            "libraries": library_versions(),
        },
    }


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Writes a result, its circumstances first. Raises OSError."""
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def headline(about: dict[str, Any]) -> str:
    """Processor, load and versions from `circumstances`, in lines of at most 80 columns."""
    machine, versions = about["machine"], about["versions"]
    load = "" if machine["load_average"] is None else f", load {machine['load_average'][0]:.1f}"
    known = [f"{name} {versions[name]}" for name in ("shearloc", "python", *PACKAGES) if versions[name]]
    cores = f"{machine['cores']} core{'s' if machine['cores'] != 1 else ''}"
    vnni = "VNNI" if machine["vnni"] else "no VNNI"
    return textwrap.fill(f"{machine['cpu']}, {vnni}, {cores}{load}; {', '.join(known)}", WIDTH, break_on_hyphens=False)


def show_table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table: the first column to the left, the others to the right; no cell is wrapped."""
    cells = [columns, *rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    print(title)
    for row in cells:
        first, *others = (
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table for spreadsheets. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A transient progress bar on stderr, if that is a terminal; yields a function that advances it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


def _cpu_model() -> str:
    """The processor's name with family and model, because virtual machines often give only the maker's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    fields = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
    name = fields.get("model name", platform.processor())
    return f"{name}, family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
