"""Figures of chapter 4 as PNG files, from what `chapter4.run` measured. Needs matplotlib (the extra "bench")."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ShearlocError

CURVES = {
    "train": "training, amortised",
    "amortised": "test, amortised",
    "optimal": "test, optimal inference",
    "half_asleep": "test, reverse half-asleep",
}


def draw(dataset: str, result: dict[str, Any], folder: Path) -> list[Path]:
    """Writes figures 4.1, 4.3, 4.4, 4.6, C.1 and C.3 of a data set and returns their paths.

    ShearlocError where matplotlib is not there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ShearlocError(f'plots need matplotlib ({error}): pip install "shearloc[bench]"') from error
    points = result["figure_4_1_4_4"]
    steps, tight = result["figure_4_6"], result["figure_c_1"]
    figures = {
        "4.1": ("epoch", _curves(points, ("train", "amortised", "optimal"))),
        "4.3": (
            "epoch",
            [_line(rows, "epoch", "mean", key, "deviation") for key, rows in result["figure_4_3"].items()],
        ),
        "4.4": ("epoch", _curves(points, ("amortised", "optimal", "half_asleep"))),
        "4.6": ("K", [_line(rows, "steps", "net", key.replace("_", "-")) for key, rows in steps.items()]),
        "C.1": ("epoch", [_bound(tight, key, bound) for bound in ("elbo", "iwae") for key in tuple(CURVES)[1:]]),
        "C.3": (
            "epoch",
            [
                line._replace(label=f"{line.label}, {latents} latents")
                for latents, rows in result["figure_c_3"].items()
                for line in _curves(rows, ("amortised", "half_asleep"))
            ],
        ),
    }
    paths = []
    for number, (axis, lines) in figures.items():
        if not lines:
            continue
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        for line in lines:
            axes.errorbar(line.x, line.y, line.deviation, label=line.label, fmt=line.style, markersize=3, capsize=2)
        axes.set(xlabel=axis, ylabel="bits per dimension", title=f"{dataset}, figure {number}")
        axes.legend(fontsize="small")
        paths.append(folder / f"{dataset}-figure-{number.lower().replace('.', '-')}.png")
        figure.savefig(paths[-1], dpi=80)
    return paths


class _Line(NamedTuple):
    x: list[float]
    y: list[float]
    label: str
    deviation: list[float] | None = None
    style: str = "o-"


def _line(rows: list[dict[str, Any]], x: str, y: str, label: str, deviation: str | None = None) -> _Line:
    spread = [row[deviation] for row in rows] if deviation else None
    return _Line([row[x] for row in rows], [row[y] for row in rows], label, spread)


def _curves(rows: list[dict[str, Any]], keys: Iterable[str]) -> list[_Line]:
    return [_line(rows, "epoch", key, CURVES[key]) for key in keys]


def _bound(rows: list[dict[str, Any]], key: str, bound: str) -> _Line:
    points = [{"epoch": row["epoch"], "bits": row[key][bound]} for row in rows]
    line = _line(points, "epoch", "bits", f"{CURVES[key]}, {bound.upper()}")
    return line._replace(style="o-" if bound == "elbo" else "s--")
