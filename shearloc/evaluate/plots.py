"""Draws figures as PNG or SVG: rate against speed of `bench`, and chapter 4's. Needs matplotlib (extra "bench")."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ShearlocError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from .latents import Diagnosis
    from .results import Row

CURVES = {
    "train": "training, amortised",
    "amortised": "test, amortised",
    "optimal": "test, optimal inference",
    "half_asleep": "test, reverse half-asleep",
}


def draw(dataset: str, result: dict[str, Any], folder: Path) -> list[Path]:
    """Writes figures 4.1, 4.3, 4.4, 4.6, C.1 and C.3 of a data set and returns their paths.

    ShearlocError without matplotlib.
    """
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
        figure = _figure(6, 4)
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


def draw_along(lines: "dict[str, dict[str, NDArray[np.float64]]]", path: Path) -> None:
    """Draws bits per subpixel along an image, a panel for each name and a line for each way. ShearlocError as above."""
    figure = _figure(4 * len(lines), 3)
    for axes, (name, by_way) in zip(figure.subplots(1, len(lines), squeeze=False).flat, lines.items(), strict=True):
        for label, values in by_way.items():
            share = [100 * (k + 0.5) / len(values) for k in range(len(values))]
            axes.plot(share, values, label=f"{label}, {values.mean():.3f}")
        axes.set(xlabel="% of the pixels coded", ylabel="bits per subpixel", title=name)
        axes.legend(fontsize="small")
    figure.savefig(path)


def draw_histograms(scores: "dict[str, dict[str, NDArray[np.float64]]]", path: Path) -> None:
    """Draws, for each score, histograms of its values by set of images, bits. ShearlocError without matplotlib."""
    import numpy as np

    rows = -(-len(scores) // 2)
    figure = _figure(10, 2.4 * rows)
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for empty in places[len(scores) :]:
        empty.remove()
    for axes, (name, by_set) in zip(places, scores.items(), strict=False):
        low, high = np.quantile(np.concatenate(list(by_set.values())), (0.002, 0.998))
        edges = np.linspace(low, max(high, low + 1), 80)
        for label, values in by_set.items():
            axes.hist(np.clip(values, low, high), edges, histtype="step", label=label)
        axes.set_title(name, fontsize="small")
        axes.tick_params(labelsize="x-small", labelleft=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize="small")
    figure.savefig(path, dpi=80)


def draw_latents(found: "Diagnosis", path: Path) -> None:
    """Draw every latent's divergence and the variance of its means. ShearlocError without matplotlib."""
    order = (-found.divergences).argsort()
    figure = _figure(8, 5)
    for axes, values, label in zip(
        figure.subplots(2, 1, sharex=True),
        (found.divergences, found.variances),
        ("KL, bits", "variance of means"),
        strict=True,
    ):
        axes.bar(range(len(order)), values[order], width=1.0)
        axes.set_ylabel(label)
    axes.axhline(0.01, color="black", linewidth=0.8)
    axes.set_xlabel("latents, the dearest first")
    figure.savefig(path, dpi=80)


# --- Rate against speed -----------------------------------------------------------------------------------------

OURS, OTHERS = "#c2410c", "#475569"

PLACES = [
    (sign * (6 - reach), up * reach * 4, "left" if sign > 0 else "right", "center")
    for reach in (0, 2, 3, 4, 5, 6, 7)
    for up in (1, -1)
    for sign in (1, -1)
] + [(0, 0, "center", "center")]
"""Places for a label: points to the right and up of its mark, and how it is aligned there."""


def check_suffix(path: Path) -> None:
    """ShearlocError for a picture that is neither .png nor .svg, and without matplotlib."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise ShearlocError(f"{path}: a plot is a .png or an .svg")
    _figure(1, 1)


def rate_against_speed(rows: "Iterable[Row]", path: Path) -> None:
    """Draws bits per dimension against encoding and decoding MB/s: down is smaller, right is faster.

    A codec's efforts are joined by a line. What is not lossless has a hollow mark. ShearlocError as `check_suffix`;
    OSError.
    """
    import matplotlib

    check_suffix(path)
    done = [row for row in rows if row.results]
    figure = _figure(11, 5)
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_ylabel("bits per dimension")
    for axes, what in ((left, "encode"), (right, "decode")):
        axes.set(xscale="log", xlabel=f"{what}, MB/s of raw pixels", title=f"{what[:-1]}ing")
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
        axes.margins(x=0.15, y=0.1)
        _draw_families(axes, done, f"{what}_mb_s")
    with matplotlib.rc_context({"svg.hashsalt": "shearloc"}):
        for axes in (left, right):
            _place_labels(axes)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _draw_families(axes: "Axes", rows: "list[Row]", speed: str) -> None:
    """Draws marks and labels, and a line through contenders that differ in effort only."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(re.sub(r"effort \d+", "effort", row.name), []).append(row)
    for members in families.values():
        colour = OURS if members[0].ours else OTHERS
        points = [(getattr(row, speed), row.bits_per_dimension) for row in members]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.8, alpha=0.4)
        for row, point in zip(members, points, strict=True):
            filled = "none" if row.inexact else colour
            axes.scatter(*point, s=28, facecolors=filled, edgecolors=colour, zorder=3)
            name = re.sub(",? effort", "", row.name) + (" (not lossless)" if row.inexact else "")
            axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=8, color=colour)


def _place_labels(axes: "Axes") -> None:
    """Moves each label to the first place around its mark where it covers neither marks, nor labels, nor the edge."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    labels = [child for child in axes.get_children() if isinstance(child, Annotation)]
    marks = [axes.transData.transform(label.xy) for label in labels]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in marks]
    inside = axes.get_window_extent(renderer)
    for label in labels:
        for dx, dy, across, down in PLACES:
            label.set(position=(dx, dy), ha=across, va=down)
            box = label.get_window_extent(renderer)
            within = inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1
            if within and not box.count_overlaps(taken):
                break
        taken.append(label.get_window_extent(renderer))


def _figure(width: float, height: float) -> "Figure":
    """An empty figure, its size in inches. ShearlocError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ShearlocError(f"plots need matplotlib ({error}): pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")
