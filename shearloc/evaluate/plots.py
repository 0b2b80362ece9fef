"""Figures of chapter 4 as PNG files, from what `chapter4.run` measured. Needs matplotlib (the extra "bench")."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
    epochs = [point["epoch"] for point in points]

    def curves(keys: Iterable[str], rows: list[dict[str, Any]], suffix: str = "") -> list[tuple[Any, ...]]:
        return [([r["epoch"] for r in rows], [r[key] for r in rows], CURVES[key] + suffix) for key in keys]

    steps = result["figure_4_6"]
    chains = [([r["steps"] for r in rows], [r["net"] for r in rows], name) for name, rows in steps.items()]
    tight = result["figure_c_1"]
    others = [
        line
        for k, rows in result["figure_c_3"].items()
        for line in curves(("amortised", "half_asleep"), rows, f", {k}")
    ]
    figures = {
        "4-1": ("epoch", curves(("train", "amortised", "optimal"), points)),
        "4-3": ("alpha", _marks({k: v["mean"] for k, v in result["figure_4_3"].items()})),
        "4-4": ("epoch", curves(("amortised", "optimal", "half_asleep"), points)),
        "4-6": ("K", chains),
        "c-1": ("encoder", [(list(tight), [row[key] for row in tight.values()], key) for key in ("elbo", "iwae")]),
        "c-3": ("epoch", others),
    }
    paths = []
    for number, (axis, lines) in figures.items():
        if not lines or not epochs:
            continue
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        for x, y, label in lines:
            axes.plot(x, y, marker="o", label=label)
        axes.set(xlabel=axis, ylabel="bits per dimension", title=f"{dataset}, figure {number}")
        axes.legend()
        paths.append(folder / f"{dataset}-figure-{number}.png")
        figure.savefig(paths[-1], dpi=100)
    return paths


def _marks(values: dict[str, float]) -> list[tuple[Any, ...]]:
    return [([name], [value], name) for name, value in values.items()]
