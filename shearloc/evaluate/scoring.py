"""Scores of image files: `shearloc score`. It reads them, groups them by size, and says how unusual each one is.

Images of several sizes are compared by bits per dimension, never by bits. What cannot be scored is named with a reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShearlocError
from ..jobs import sources
from ..models import quantiles, zoo
from ..models.quantiles import BITS, Reference
from ..types import Pixels
from . import scores

MODES = ("8-bit gray", "8-bit RGB")
WORDS = ((0.001, "unlike"), (0.01, "very unusual"), (0.05, "unusual"))
"""What a p-value below the number is called."""
PART_SAMPLES = 1 << 24
"""Subpixels that are read and scored at a time, about."""

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """An image's score. `bits` under the model, `score` in bits per dimension, `p` None without a reference."""

    name: str
    height: int
    width: int
    channels: int
    bits: float
    score: float
    p: float | None = None

    @property
    def bits_per_dimension(self) -> float:
        """Bits of a subpixel."""
        return self.bits / (self.height * self.width * self.channels)

    @property
    def words(self) -> str:
        """What the p-value says."""
        if self.p is None:
            return ""
        return next((word for most, word in WORDS if self.p < most), "as usual")

    def to_dict(self) -> dict[str, Any]:
        """All that is known, ready for JSON."""
        return vars(self) | {"bits_per_dimension": self.bits_per_dimension, "words": self.words}


@dataclass
class Scored:
    """Rows, the most unusual first; what was skipped, a line each; what the scores are, and what of."""

    model: str
    score: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    reference: str = ""
    reference_images: int = 0

    @property
    def sizes(self) -> list[tuple[int, int, int]]:
        """The images' different sizes."""
        return sorted({(row.height, row.width, row.channels) for row in self.rows})

    def below(self, p: float) -> int:
        """How many images have a p-value below this one."""
        return sum(row.p is not None and row.p < p for row in self.rows)


def score(
    paths: list[Path],
    model: str,
    against: str | None = None,
    steps: int | None = None,
    reference: Path | None = None,
    advance: Advance | None = None,
) -> Scored:
    """Scores of all images in files and folders, beside the model's held-out images or those of a folder.

    Against a model or codec, or as a regret of so many steps (`scores.chosen`). ShearlocError where no image is left.
    """
    name, measure = scores.chosen(against, steps)
    known = zoo.load(model).name
    kept = None
    result = Scored(known, name)
    if reference is not None:
        compared = Scored(known, name)
        _measure([reference], model, measure, compared, None)
        if not compared.rows:
            raise ShearlocError(f"{reference}: nothing to compare with: {_first(compared)}")
        values = np.array([row.score for row in compared.rows])
        kept = Reference.of(values, name == BITS)
        result.reference = str(reference)
        result.skipped += compared.skipped
    elif (card := zoo.card(model)) and (kept := quantiles.from_card(card, name)):
        result.reference = f"{card['scores']['of']}, held out from '{known}'"
    _measure(paths, model, measure, result, advance)
    if not result.rows:
        raise ShearlocError(f"no image could be scored: {_first(result)}")
    result.rows = _ranked(result.rows, kept)
    result.reference_images = kept.count if kept else 0
    return result


def _ranked(rows: list[Row], kept: Reference | None) -> list[Row]:
    """The rows with their p-values, the most unusual first; without a reference those with the largest score."""
    if kept is None:
        return sorted(rows, key=lambda row: (-row.score, row.name))
    p = kept.p_values(np.array([row.score for row in rows])).tolist()
    middle = float(np.interp(0.5, kept.upto, kept.values))
    found = [Row(**(vars(row) | {"p": value})) for row, value in zip(rows, p, strict=True)]
    return sorted(found, key=lambda row: (row.p, -abs(row.score - middle), row.name))


def stack_of(paths: list[Path], model: str, count: int) -> tuple[Pixels, list[str]]:
    """At most `count` images of a model's size, evenly spaced: uint8 [N, H, W, C]; and what was skipped, a line each.

    ShearlocError where there is none.
    """
    result = Scored(model, "")
    images = [image for _, image in _images(paths, model, result, None)]
    if not images:
        raise ShearlocError(f"there is no image that '{model}' takes: {_first(result)}")
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    return np.stack([images[k] for k in chosen]), result.skipped


def _measure(paths: list[Path], model: str, measure: scores.Score, result: Scored, advance: Advance | None) -> None:
    """Adds a row for each image that can be scored, and a line for each that cannot."""
    waiting: dict[tuple[int, ...], list[tuple[str, Pixels]]] = {}

    def flush(shape: tuple[int, ...]) -> None:
        names, images = zip(*waiting.pop(shape), strict=True)
        stack = np.stack(images)
        bits = scores.log_likelihood(stack, model)
        found = zip(names, bits.tolist(), measure(stack, model, bits).tolist(), strict=True)
        sizes = stack.shape[1], stack.shape[2], stack.shape[3]
        result.rows += [Row(name, *sizes, total, value / stack[0].size) for name, total, value in found]

    for name, image in _images(paths, model, result, advance):
        waiting.setdefault(image.shape, []).append((name, image))
        if len(waiting[image.shape]) * image.size >= PART_SAMPLES:
            flush(image.shape)
    for shape in list(waiting):
        flush(shape)


def _images(paths: list[Path], model: str, result: Scored, advance: Advance | None) -> Iterator[tuple[str, Pixels]]:
    """Names and images uint8 [H, W, C] that the model takes; adds a line for each that it does not."""
    found, coder = sources.find(paths), zoo.load(model)
    result.skipped += found.problems
    for done, item in enumerate(found.items):
        if advance:
            advance(done, len(found.items))
        try:
            picture = sources.read(item, measured=True)
            if picture.mode not in MODES:
                raise ShearlocError(f"{picture.mode}; only 8-bit gray and RGB are scored")
            image = picture.samples if picture.samples.ndim == 3 else picture.samples[..., None]
            if problem := coder.refuses(image.shape) or coder.refuses(image.shape, int(image.max()) + 1):
                raise ShearlocError(problem)
        except (ShearlocError, OSError) as error:
            result.skipped.append(f"{item.name}: {error}")
        else:
            yield item.name, image


def _first(result: Scored) -> str:
    """Why there is no image, by the first of the reasons."""
    more = f" (and {len(result.skipped) - 1:,} more)" if len(result.skipped) > 1 else ""
    return result.skipped[0] + more if result.skipped else "there are no images"
