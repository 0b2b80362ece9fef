"""Quantiles of a model's scores of held-out images, for its card, and how unusual another image's score is beside them.

A card's `scores` has, by the score's name, quantiles of so many images in bits per dimension:

    {"of": "held-out images", "images": 1000, "quantiles": {"bits": [[0, 1.2], [0.001, 1.3], ..., [1, 5.6]]}}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding.lengths import LENGTH_BITS
from ..types import Pixels
from .family import How, Model

SHARES = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *(k / 10 for k in range(1, 10)))
SHARES = (*SHARES, *(1 - share for share in SHARES[6::-1]))
"""Of the images; from a tenth to a thousandth at both ends."""

BITS = "bits"
"""The score that is the code length itself: unusual where it is small or large, others only where large."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Scores of `count` images that others are compared with.

    `values` float64 [n], ascending, each once; `below` and `upto` [n]: the share of the images with less than a value,
    and with at most so much. `two_sided`: whether small scores are unusual, too.
    """

    count: int
    values: NDArray[np.float64]
    below: NDArray[np.float64]
    upto: NDArray[np.float64]
    two_sided: bool = False

    @classmethod
    def of(cls, scores: NDArray[np.float64], two_sided: bool = False) -> "Reference":
        """All of these scores, at least one."""
        values, counts = np.unique(scores, return_counts=True)
        upto = np.cumsum(counts)
        return cls(scores.size, values, (upto - counts) / scores.size, upto / scores.size, two_sided)

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many of the images, and the scored one itself, are as unusual: shares from 0 to 1, as `scores`.

        Never below 1 / (count + 1), or twice that if two-sided.
        """
        at_least = 1 - np.interp(scores, self.values, self.below, left=0, right=1)
        at_most = np.interp(scores, self.values, self.upto, left=0, right=1)
        share = np.minimum(1, 2 * np.minimum(at_least, at_most)) if self.two_sided else at_least
        least = (2 if self.two_sided else 1) / (self.count + 1)
        return np.minimum(1, least + share * self.count / (self.count + 1))


def table(values: NDArray[np.float64]) -> list[list[float]]:
    """Quantiles of scores for a card: pairs of a share of SHARES and a value."""
    found = np.quantile(values, SHARES)
    return [[round(share, 4), round(value, 5)] for share, value in zip(SHARES, found.tolist(), strict=True)]


def from_card(card: dict[str, Any], score: str) -> Reference | None:
    """The reference in a model's card for a score of this name; None where it has none."""
    known = card.get("scores", {})
    pairs = known.get("quantiles", {}).get(score)
    if not pairs:
        return None
    shares, values = np.array(pairs, np.float64).T
    different, first, counts = np.unique(values, return_index=True, return_counts=True)
    below, upto = shares[first], shares[first + counts - 1]
    return Reference(int(known["images"]), different, below, upto, score == BITS)


def of_images(model: Model, images: Sequence[Pixels], what: str = "held-out images") -> dict[str, Any]:
    """A card's `scores` of images uint8 [H, W, C] of any sizes: the quantiles of their bits per dimension."""
    bits = []
    for image in images:
        how = How(model.engine_for("auto", image.size))
        length = model.lengths(image[None], how).images[0]
        bits.append(float(length) / (image.size << LENGTH_BITS))
    return {"of": what, "images": len(bits), "quantiles": {BITS: table(np.array(bits))}}
