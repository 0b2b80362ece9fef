"""Tables 5.1 to 5.4 of the thesis: how local models and full PixelCNNs generalise, by horizon.

All rates are the float networks' own code lengths, bits per dimension: the thesis gives likelihoods here too. Every
local model of a run sees equally many pixels, from nothing or, `warm`, from the shipped model on. A full PixelCNN
starts from the local model of its horizon: from nothing, it would take days to get that far. Needs torch;
`chapter5.py` has the thesis's figures.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..models import zoo
from ..models.local.model import LocalModel
from ..training.export import restore
from ..training.fitting import Net, Schedule, fit, mean_bits_of, same_weights_each_time
from ..training.images import TILE, PixelSet, load_data
from ..training.local_float import LocalNet, grown, nelloc, with_horizon
from ..training.pixelcnn import PixelCNN, from_local
from ..types import Pixels

Notice = Callable[[str], None]
Table = dict[str, dict[str, float]]
"""Bits per dimension by test images and model."""


@dataclass(frozen=True)
class Budget:
    """Updates of each local model and, beyond those, of each full one; images of `train` (None: all) and `test`.

    `warm`: local models start from the shipped one of their kind, with one more block if it has none, at
    `later_learning_rate`. A full one starts from a local one at `full_learning_rate`: at a higher rate it forgets.
    """

    updates: int = 10_000
    full_updates: int = 3_000
    batch: int = 4096
    warm: bool = False
    learning_rate: float = 3e-3
    later_learning_rate: float = 1e-3
    full_learning_rate: float = 2e-4
    train: int | None = None
    test: int = 1000


QUICK = Budget(2, 1, 256, train=100, test=4)
"""Takes seconds, for tests: the numbers mean nothing."""


@dataclass(frozen=True)
class Kind:
    """Training set, test sets and networks of gray or colour images, as appendix D.1 has them. Local: one block."""

    training: str
    tests: tuple[str, ...]
    channels: int
    horizons: tuple[int, ...]
    full_horizon: int
    full_blocks: int
    shipped: str


GRAY = Kind("fashion-mnist", ("fashion-mnist", "mnist"), 1, (1, 2, 3, 4, 5), 3, 5, "nelloc-gray")
COLOUR = Kind("cifar10", ("cifar10", "photos"), 3, (2, 3, 4, 5), 4, 10, "nelloc-r1")
COMPARED_HORIZON = 3
"""Of the local models that tables 5.1 and 5.2 compare with the full ones."""


@dataclass(frozen=True)
class Study:
    """One run: the data's folder, the networks' folder, and the networks with their training times."""

    budget: Budget
    data: Path
    folder: Path
    notice: Notice
    networks: dict[str, dict[str, int | str]] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """One of `chapter5.TRAINED`."""
        kind = GRAY if name in ("5.1", "5.3") else COLOUR
        return self.full_against_local(kind) if name in ("5.1", "5.2") else self.horizons(kind)

    def full_against_local(self, kind: Kind) -> Table:
        """Tables 5.1 (gray) and 5.2 (colour)."""
        rates = {"local": self.rates(kind, COMPARED_HORIZON), "full": self.rates(kind, None)}
        return {test: {name: rates[name][test] for name in rates} for test in kind.tests}

    def horizons(self, kind: Kind) -> Table:
        """Tables 5.3 (gray) and 5.4 (colour)."""
        rates = {f"h={horizon}": self.rates(kind, horizon) for horizon in kind.horizons}
        return {test: {name: rates[name][test] for name in rates} for test in kind.tests}

    def rates(self, kind: Kind, horizon: int | None) -> dict[str, float]:
        """Bits per dimension by test set, of the local model of this horizon, or of the full one; kept in a file."""
        net, folder, updates = self.local(kind, horizon) if horizon else self.full(kind)
        kept = folder / "rates.json"
        asked = {"updates": updates, "images": self.budget.test}
        if kept.exists() and (found := json.loads(kept.read_text()))["of"] == asked:
            return dict(found["rates"])
        rates = {}
        for test in kind.tests:
            rates[test] = mean_bits_of(net, test_images(self.data / test, kind.channels, self.budget.test))
        kept.write_text(json.dumps({"of": asked, "rates": rates}))
        self.notice(f"{folder.name}: " + ", ".join(f"{test} {bits:.4f}" for test, bits in rates.items()))
        return rates

    def local(self, kind: Kind, horizon: int) -> tuple[LocalNet, Path, int]:
        """The local model of this horizon, its folder, and its updates; trained if it is missing."""
        same_weights_each_time(1)
        if self.budget.warm:
            shipped = zoo.load_as(LocalModel, kind.shipped)
            self.networks[kind.shipped] = {"fingerprint": shipped.fingerprint.hex()}
            block = grown(restore(shipped), 1, shared_logits=kind.channels > 1)
            net, rate = with_horizon(block, horizon), self.budget.later_learning_rate
        else:
            net, rate = LocalNet(nelloc(1, kind.channels, horizon)), self.budget.learning_rate
        schedule = self._schedule(self.budget.updates, rate)
        return net, *self._fit(net, kind, f"local-{horizon}", schedule)

    def full(self, kind: Kind) -> tuple[PixelCNN, Path, int]:
        """The full PixelCNN, its folder, and its updates from the local model on."""
        start, _, _ = self.local(kind, kind.full_horizon)
        net = from_local(start, kind.full_blocks)
        schedule = self._schedule(self.budget.full_updates, self.budget.full_learning_rate)
        return net, *self._fit(net, kind, "full", schedule)

    def _schedule(self, updates: int, rate: float) -> Schedule:
        return Schedule(finish=0.0, batch=self.budget.batch, learning_rate=rate, updates=updates)

    def _fit(self, net: Net, kind: Kind, name: str, schedule: Schedule) -> tuple[Path, int]:
        name = f"{kind.training}-{name}{'-warm' if self.budget.warm else ''}"
        if not (self.folder / name / "checkpoint.pt").exists():
            self.notice(f"training {name}")
        training = training_pixels(self.data / kind.training, kind.channels, self.budget.train)
        progress = fit(net, training, training, schedule, self.folder / name)
        self.networks[name] = {"updates": progress.updates, "pixels": progress.updates * schedule.batch}
        return self.folder / name, progress.updates


@cache
def training_pixels(folder: Path, channels: int, count: int | None) -> PixelSet:
    """The first `count` training images of a data set."""
    return PixelSet.of(load_data(folder, channels, count=count))


@cache
def test_images(folder: Path, channels: int, count: int | None) -> list[Pixels]:
    """The first `count` test images of a data set; of photographs, their middle squares reduced to 32 x 32.

    The thesis reduces CelebA in the same way (appendix D.1.2).
    """
    test = load_data(folder, channels, "test", count=count)
    return test or [reduced(image) for image in load_data(folder, channels, count=count)]


def reduced(image: Pixels) -> Pixels:
    """The middle square of uint8 [H, W, 3], reduced to 32 x 32."""
    picture = Image.fromarray(image)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = (left, top, left + side, top + side)
    return np.asarray(picture.resize((TILE, TILE), Image.Resampling.LANCZOS, square))
