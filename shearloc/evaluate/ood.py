"""Tables of out-of-distribution detection: how well each score tells a training set from other sets of images.

    python -m shearloc.evaluate ood fashion-mnist --json bench/results/ood-fashion-mnist.json --plots docs/images

Published figures are from two theses: for autoencoders tables 4.1 (AUROC), 4.7 (AUPRC) and 4.8 (FPR80) of the one on
likelihood regret, for autoregressive models table 5.5 of the one on local models. Their data and models are larger.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShearlocError, UnknownModelError
from ..models import zoo
from ..types import Pixels
from . import scores
from .detection import auprc, auroc, fpr
from .ood_data import test_set
from .scores import Bits

Notice = Callable[[str], None]
Table = dict[str, dict[str, float]]
"""A figure by score and set."""

METRICS: dict[str, Callable[[Bits, Bits], float]] = {"AUROC": auroc, "AUPRC": auprc, "FPR80": fpr}


@dataclass(frozen=True)
class Source:
    """A training set: the sets to tell from it, and the models by their part in the scores.

    `full`: a model with a large view; `local`: one of few neighbours; `general`: one for any images; `background`: one
    trained on perturbed images, `None` where there is none; `vae`: an autoencoder, and its background.
    """

    channels: int
    others: tuple[str, ...]
    full: str
    local: str
    general: str
    vae: str
    background: str | None = None
    vae_background: str | None = None


PARTS = ("full", "local", "general", "background", "vae", "vae_background")

SOURCES = {
    "fashion-mnist": Source(
        1,
        ("mnist", "omniglot", "notmnist", "cifar10", "noise", "constant"),
        "fashion-full",
        "fashion-local",
        "gray",
        "vae-fashion-mnist",
        "fashion-background",
    ),
    "cifar10": Source(
        3,
        ("photos", "mnist", "fashion-mnist", "noise", "constant"),
        "small",
        "nelloc-r0",
        "photo",
        "vae-cifar10",
        "cifar-background",
    ),
}

PUBLISHED: dict[str, dict[str, Table]] = {
    "fashion-mnist": {
        "AUROC": {
            "likelihood, full": {"mnist": 0.074, "omniglot": 0.361},
            "non-local": {"mnist": 1.0, "omniglot": 1.0},
            "likelihood, vae": {"mnist": 0.201, "cifar10": 1, "notmnist": 0.943, "noise": 1, "constant": 0.928},
            "regret": {"mnist": 0.967, "cifar10": 0.998, "notmnist": 1, "noise": 0.963, "constant": 1},
            "regret, encoder": {"mnist": 0.988, "cifar10": 0.997, "notmnist": 0.999, "noise": 1, "constant": 1},
            "complexity png, vae": {"mnist": 0.946, "cifar10": 0.907, "notmnist": 0.923, "noise": 0.453, "constant": 1},
            "complexity jp2, vae": {"mnist": 0.553, "cifar10": 0.999, "notmnist": 0.966, "noise": 1, "constant": 1},
            "ratio to background, vae": {
                "mnist": 0.924,
                "cifar10": 0.968,
                "notmnist": 0.996,
                "noise": 1,
                "constant": 0.775,
            },
        },
        "AUPRC": {
            "likelihood, vae": {"mnist": 0.344, "cifar10": 1, "notmnist": 0.935, "noise": 1, "constant": 0.915},
            "regret": {"mnist": 0.938, "cifar10": 0.998, "notmnist": 1, "noise": 0.954, "constant": 1},
            "complexity png, vae": {
                "mnist": 0.923,
                "cifar10": 0.904,
                "notmnist": 0.943,
                "noise": 0.4342,
                "constant": 1,
            },
        },
        "FPR80": {
            "likelihood, vae": {"mnist": 0.97, "cifar10": 0, "notmnist": 0.01, "noise": 0, "constant": 0.06},
            "regret": {"mnist": 0.09, "cifar10": 0, "notmnist": 0, "noise": 0.06, "constant": 0},
            "complexity png, vae": {"mnist": 0.1, "cifar10": 0.16, "notmnist": 0.11, "noise": 0.57, "constant": 0},
        },
    },
    "cifar10": {
        "AUROC": {
            "likelihood, vae": {"mnist": 0.008, "fashion-mnist": 0.074, "noise": 1, "constant": 0.258},
            "regret": {"mnist": 0.976, "fashion-mnist": 0.963, "noise": 0.922, "constant": 0.924},
            "regret, encoder": {"mnist": 0.998, "fashion-mnist": 0.991, "noise": 0.994, "constant": 0.974},
            "complexity png, vae": {"mnist": 0.994, "fashion-mnist": 0.992, "noise": 0.032, "constant": 1},
            "complexity jp2, vae": {"mnist": 0.988, "fashion-mnist": 0.990, "noise": 0.054, "constant": 1},
        },
        "AUPRC": {
            "likelihood, vae": {"mnist": 0.307, "fashion-mnist": 0.314, "noise": 1, "constant": 0.445},
            "regret": {"mnist": 0.979, "fashion-mnist": 0.956, "noise": 0.814, "constant": 0.924},
        },
        "FPR80": {
            "likelihood, vae": {"mnist": 1, "fashion-mnist": 0.99, "noise": 0, "constant": 0.98},
            "regret": {"mnist": 0.02, "fashion-mnist": 0.06, "noise": 0.08, "constant": 0.09},
        },
    },
}
"""By training set, metric, score and set."""


@dataclass(frozen=True)
class Budget:
    """`images` of each set, drawn from `seed`; `steps`: K of the regret; `tuned`: images of each set whose
    encoder is tuned for its regret, which takes torch and up to a second each."""

    images: int = 2000
    seed: int = 1
    steps: int = scores.STEPS
    tuned: int = 0


@dataclass
class Found:
    """The scores by their name and set, bits of each image, and the models behind them by their part."""

    scores: dict[str, dict[str, Bits]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def tables(self, source: str) -> dict[str, Table]:
        """METRICS by score and set."""
        return {
            metric: {
                name: {other: round(of(by_set[source], by_set[other]), 4) for other in by_set if other != source}
                for name, by_set in self.scores.items()
            }
            for metric, of in METRICS.items()
        }


def measure(source: str, data: Path, budget: Budget, others: dict[str, str], notice: Notice) -> Found:
    """Every score whose models are at hand, of the source's test images and of the other sets.

    `others`: models by their part in the scores (PARTS), in place of those of SOURCES. ShearlocError for a part that is
    none, or where no model is left.
    """
    known = SOURCES[source]
    if odd := set(others) - set(PARTS):
        raise ShearlocError(f"no score has a part '{min(odd)}'; the parts are {', '.join(PARTS)}")
    parts = {part: name for part in PARTS if (name := others.get(part, getattr(known, part)))}
    for part, name in list(parts.items()):
        try:
            zoo.load(name)
        except UnknownModelError:
            notice(f"no model '{name}' at hand: scores with the {part.replace('_', ' ')} model are left out")
            del parts[part]
    if not parts:
        raise ShearlocError("none of the models is at hand (folders of models: SHEARLOC_MODELS)")
    found = Found()
    for part, name in parts.items():
        found.models[part] = {"name": name, "fingerprint": zoo.load(name).fingerprint.hex()}
    for other in (source, *known.others):
        notice(other)
        images = test_set(other, data, known.channels, budget.images, budget.seed)
        for score, bits in _scores(images, parts, budget.steps):
            found.scores.setdefault(score, {})[other] = bits
        if budget.tuned and "vae" in parts:
            from ..training.regret import encoder_regret

            found.scores.setdefault("regret, encoder", {})[other] = encoder_regret(images[: budget.tuned], parts["vae"])
    return found


def _scores(images: Pixels, parts: dict[str, str], steps: int) -> Iterator[tuple[str, Bits]]:
    """The scores of one set's images by their names."""
    bits = {part: scores.log_likelihood(images, name) for part, name in parts.items()}
    files = {codec: scores.file_bits(images, codec) for codec in ("png", "jp2")}
    for name in ("full", "local", "vae"):
        if name in parts:
            yield f"likelihood, {name}", bits[name]
    for name, one, other in (
        ("non-local", "full", "local"),
        ("ratio to general, full", "full", "general"),
        ("ratio to general, local", "local", "general"),
        ("ratio to background, full", "full", "background"),
        ("ratio to background, vae", "vae", "vae_background"),
    ):
        if one in parts and other in parts:
            yield name, bits[one] - bits[other]
    for name in ("full", "vae"):
        if name in parts:
            for codec, size in files.items():
                yield f"complexity {codec}, {name}", bits[name] - size
    if "vae" in parts:
        yield "regret", scores.regret(images, parts["vae"], steps)


def markdown(source: str, tables: dict[str, Table]) -> str:
    """The tables, each figure followed by the published one in brackets where there is one."""
    lines = []
    for metric, table in tables.items():
        published = PUBLISHED.get(source, {}).get(metric, {})
        sets = list(next(iter(table.values())))
        lines += [
            f"**{metric}, {source} against**",
            "",
            f"| score | {' | '.join(sets)} |",
            "|---" * (len(sets) + 1) + "|",
        ]
        for score, row in table.items():
            cells = [_cell(row[name], published.get(score, {}).get(name)) for name in sets]
            lines.append(f"| {score} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(value: float, published: float | None) -> str:
    return f"{value:.3f}" if published is None else f"{value:.3f} ({published:.3f})"


def summary(found: Found) -> dict[str, dict[str, list[float]]]:
    """Quantiles of every score by set, in bits: 1%, 25%, 50%, 75%, 99%."""
    shares = (0.01, 0.25, 0.5, 0.75, 0.99)
    return {
        score: {name: [round(q, 2) for q in np.quantile(bits, shares).tolist()] for name, bits in by_set.items()}
        for score, by_set in found.scores.items()
    }
