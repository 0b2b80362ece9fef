"""How well a score tells images of one kind from others: AUROC, AUPRC and FPR80.

Both take the scores of usual images and of the others, which should be larger.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def auroc(usual: Scores, others: Scores) -> float:
    """The share of pairs in which the other's score is larger; equal ones count half."""
    ordered = np.sort(usual)
    below = np.searchsorted(ordered, others, "left") + np.searchsorted(ordered, others, "right")
    return float(below.sum() / (2 * usual.size * others.size))


def auprc(usual: Scores, others: Scores) -> float:
    """The area under precision by recall, in steps (average precision), finding the others by a threshold."""
    found, wrong = _above(usual, others)
    precision, recall = found / (found + wrong), found / others.size
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def fpr(usual: Scores, others: Scores, tpr: float = 0.8) -> float:
    """The share of usual images above the highest threshold that finds a share `tpr` of the others: FPR80."""
    found, wrong = _above(usual, others)
    return float(wrong[np.searchsorted(found, tpr * others.size - 1e-9)] / usual.size)


def _above(usual: Scores, others: Scores) -> tuple[Scores, Scores]:
    """Others and usual images with at least each different score, from the largest score down."""
    scores = np.concatenate([usual, others])
    is_other = np.repeat([0.0, 1.0], [usual.size, others.size])
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    found = np.cumsum(is_other[order])[ends]
    return found, ends + 1 - found
