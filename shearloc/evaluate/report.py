"""What every measurement says of itself, and where it goes: date, machine, versions, command line; JSON and tables.

It measures nothing.
"""

import json
import os
import platform
import shlex
import sys
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
from .peers import library_versions

PACKAGES = ("numpy", "numba", "torch", "pillow", "imagecodecs")


def circumstances() -> dict[str, Any]:
    """Date (UTC), command line, machine and versions, of types that JSON knows."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "machine": {
            "cpu": _cpu_model(),
            "numba_cpu": getattr(config, "CPU_NAME", None) or binding.get_host_cpu_name(),
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


def show_table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Prints a table: the first column to the left, the others to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=True).print(table)


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, which goes away; yields what moves it by one. Nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


def _cpu_model() -> str:
    """The processor's name, with family and model, since virtual machines often give only the maker's."""
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
