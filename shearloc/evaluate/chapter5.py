"""The thesis's chapter 5 again: generalisation of local models, rates, and the three decoders; its figures beside ours.

    python -m shearloc.evaluate chapter5 --out runs/chapter5 --json bench/results/chapter5.json

Trains what it needs into `--out` (tables 5.1 to 5.4, torch), and resumes from what is there. Tables 5.6 and 5.7 use
installed models. `chapter5_likelihoods.py` and `chapter5_coding.py` measure; this file chooses and shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShearlocError
from ..models import zoo
from ..training.images import load_data
from . import chapter5_coding as coding
from .peers import Codec, peers

if TYPE_CHECKING:
    from .chapter5_likelihoods import Study

Notice = Callable[[str], None]
Table = dict[str, dict[str, float]]

NELLOC = ("nelloc-r0", "nelloc-r1", "nelloc-r3")

TITLES = {
    "5.1": "Bits per dimension (likelihood), trained on Fashion-MNIST",
    "5.2": "Bits per dimension (likelihood), trained on CIFAR-10",
    "5.3": "Bits per dimension (likelihood) by horizon, trained on Fashion-MNIST",
    "5.4": "Bits per dimension (likelihood) by horizon, trained on CIFAR-10",
    "5.6": "Bits per dimension of real files, and megabytes of weights",
    "5.7a": "Seconds to decode 32 x 32 by model",
    "5.7b": "Seconds to decode by side length",
}
"""The tables, by the thesis's numbers."""

TRAINED = ("5.1", "5.2", "5.3", "5.4")
"""The tables for which networks are trained."""

THESIS: dict[str, Table] = {
    "5.1": {"fashion-mnist": {"local": 2.89, "full": 2.78}, "mnist": {"local": 1.49, "full": 1.50}},
    "5.2": {"cifar10": {"local": 3.25, "full": 3.12}},
    "5.3": {
        "fashion-mnist": {"h=1": 3.17, "h=2": 2.93, "h=3": 2.89, "h=4": 2.88, "h=5": 2.88},
        "mnist": {"h=1": 1.54, "h=2": 1.48, "h=3": 1.49, "h=4": 1.50, "h=5": 1.51},
    },
    "5.4": {"cifar10": {"h=2": 3.38, "h=3": 3.28, "h=4": 3.26, "h=5": 3.25}},
    "5.6": {
        "PNG level 9": {"cifar10": 5.87},
        "WebP lossless method 6": {"cifar10": 4.61},
        "JPEG 2000": {"cifar10": 5.56},
        "FLIF": {"cifar10": 4.19},
        "nelloc-r0": {"MB": 0.49, "cifar10": 3.38},
        "nelloc-r1": {"MB": 1.34, "cifar10": 3.28},
        "nelloc-r3": {"MB": 2.75, "cifar10": 3.25},
    },
    "5.7a": {
        "bits per dimension": {"nelloc-r0": 3.39, "nelloc-r1": 3.32, "nelloc-r3": 3.29},
        "sequential": {"nelloc-r0": 0.460, "nelloc-r1": 0.578, "nelloc-r3": 0.774},
        "parallel": {"nelloc-r0": 0.223, "nelloc-r1": 0.277, "nelloc-r3": 0.335},
        "sheared": {"nelloc-r0": 0.218, "nelloc-r1": 0.222, "nelloc-r3": 0.245},
    },
    "5.7b": {
        "bits per dimension": {"32": 3.39, "64": 3.05, "128": 2.93, "1024": 2.22},
        "sequential": {"32": 0.460, "64": 1.879, "128": 7.574, "1024": 475.9},
        "parallel": {"32": 0.223, "64": 0.757, "128": 2.217, "1024": 100.0},
        "sheared": {"32": 0.218, "64": 0.612, "128": 1.683, "1024": 73.00},
    },
}
"""The thesis's figures, as far as their data is here: all of CIFAR-10, 100 or 1,000 epochs; an M1 laptop.

Its local model of table 5.2 has ten residual blocks, ours one. The files' names of the other codecs are `peers.py`'s.
"""


@dataclass(frozen=True)
class Extent:
    """How many images tables 5.6 and 5.7 use. `squares`: of each side up to 512; `large`: beyond."""

    small: int = 1000
    photographs: int | None = None
    sides: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    squares: int = 10
    large: int = 3
    rounds: int = 3


QUICK = Extent(10, 1, (32, 64), 1, 1, 1)
"""Takes seconds, for tests."""


def chosen(asked: str) -> list[str]:
    """The tables that a list like "5.6,5.7" names; "5.7" is both parts. ShearlocError for an unknown one."""
    wanted = [name.strip() for name in asked.split(",")]
    for name in wanted:
        if not any(table in (name, f"{name}a", f"{name}b") for table in TITLES):
            raise ShearlocError(f"there is no table '{name}'; there are {', '.join(TITLES)}")
    return [table for table in TITLES if table in wanted or table.rstrip("ab") in wanted]


def at_hand(names: list[str], notice: Notice) -> list[str]:
    """The models that are installed; reports the others. ShearlocError if none is."""
    here = [name for name in names if name in zoo.names()]
    for name in names:
        if name not in here:
            notice(f"no model '{name}' at hand: left out (folders of models: SHEARLOC_MODELS)")
    if not here:
        raise ShearlocError("none of the models is at hand: name others with --model")
    return here


def study(data: Path, folder: Path, quick: bool, asked: dict[str, Any], notice: Notice) -> "Study":
    """The run that measures the tables TRAINED, with the default budget except for the fields given. Imports torch."""
    from ..training.fitting import keep_freed_memory
    from .chapter5_likelihoods import QUICK, Budget, Study

    keep_freed_memory()
    given = {field: value for field, value in asked.items() if value is not None}
    return Study(replace(QUICK if quick else Budget(), **given), data, folder, notice)


def rivals() -> dict[str, Codec]:
    """The other codecs of table 5.6 that are installed. (Pillow's AVIF, for one, is not lossless.)"""
    return {name: codec for name, codec in peers().items() if name.startswith(("PNG", "WebP", "JPEG XL"))}


def coding_table(table: str, data: Path, models: list[str], extent: Extent, peers: dict[str, Codec]) -> Table:
    """One of the other tables; 5.7b is of the first of the models."""
    if table == "5.6":
        small = np.stack(load_data(data / "cifar10", 3, "test", count=extent.small))
        return coding.rates(small, coding.photographs(data / "kodak", extent.photographs), models, peers)
    folder = data / "photos"
    if table == "5.7a":
        return coding.times(coding.squares(folder, 32, extent.squares), models, extent.rounds)
    counts = {side: extent.squares if side <= 512 else extent.large for side in extent.sides}
    images = {side: coding.squares(folder, side, count) for side, count in counts.items()}
    return coding.times_by_side(images, models[0], extent.rounds)


def markdown(tables: dict[str, Table]) -> str:
    """The tables with the thesis's figures beside ours, including rows and columns that only the thesis has."""
    return "\n".join(_markdown(name, table, THESIS[name]) for name, table in tables.items())


def _markdown(name: str, table: Table, thesis: Table) -> str:
    rows = list(dict.fromkeys([*table, *thesis]))
    columns = list(dict.fromkeys(column for row in [*table.values(), *thesis.values()] for column in row))
    published = [column for column in columns if any(column in row for row in thesis.values())]
    heads = [head for column in columns for head in (column, "thesis")[: 1 + (column in published)]]
    lines = [f"**{name}. {TITLES[name]}**", "", f"| | {' | '.join(heads)} |", f"|---{len(heads) * '|---'}|"]
    for row in rows:
        cells = []
        for column in columns:
            cells.append(_cell(table, row, column))
            if column in published:
                cells.append(_cell(thesis, row, column))
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(table: Table, row: str, column: str) -> str:
    """The number and, if asked, how many times faster it is than sequential decoding."""
    value = table.get(row, {}).get(column)
    if value is None:
        return ""
    faster = table["sequential"][column] / value if row in ("parallel", "sheared") else None
    return f"{value:#.4g}".removesuffix(".") + (f" ({faster:.3g}x)" if faster else "")
