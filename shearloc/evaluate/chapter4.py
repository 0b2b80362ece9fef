"""The thesis's chapter 4 again: generalization gaps of autoencoders, inference objectives, and K steps in real files.

    python -m shearloc.evaluate chapter4 --out runs/chapter4 --json bench/results/chapter4.json

Trains what it needs (torch) into `--out`, and goes on from what is there. All rates are bits per dimension of test
images. The plots are `plots.py`'s. Nothing here is timed but figure 4.6, whose rates are of real chains.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import objectives
from ..models.export_vae import export
from ..models.small_images import load_dataset
from ..models.train_vae import SHAPES, Objective, Schedule, fit, load_float, negative_elbo_of
from ..models.vae_float import Vae
from .archives import measure

Pixels = NDArray[np.uint8]
Notice = Callable[[str], None]

THESIS: dict[str, Any] = {
    "table_4_1": {
        "mnist-binary": {"amortised": 0.200, "0.1": 0.195, "0.2": 0.192, "0.4": 0.191, "0.8": 0.196, "1.0": 0.201}
        | {"half_asleep": 0.187},
        "mnist": {"amortised": 1.543, "0.1": 1.527, "0.2": 1.519, "0.4": 1.515, "0.8": 1.545, "1.0": 1.550}
        | {"half_asleep": 1.513},
        "cifar10": {"amortised": 4.592, "0.1": 4.591, "0.2": 4.598, "0.4": 4.614, "0.8": 4.651, "1.0": 4.667}
        | {"half_asleep": 4.572},
    },
    "table_4_2": {
        "mnist-binary": {"baseline": 0.185, "half_asleep": 0.179, "steps": 7, "with_steps": 0.179},
        "cifar10": {"baseline": 4.602, "half_asleep": 4.585, "steps": 8, "with_steps": 4.585},
    },
}
"""The thesis's own numbers, on all of CIFAR-10 and with its budgets."""


@dataclass(frozen=True)
class Budget:
    """How much of the data, how many epochs of each phase, and which settings. `None`: all images."""

    epochs: float
    inference_epochs: float
    optimal_epochs: float
    points: int = 10
    train: int | None = None
    test: int | None = None
    coded: int = 2000
    seeds: int = 3
    sigmas: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.0)
    alphas: tuple[float, ...] = (0.0, 0.5, 1.0)
    steps: tuple[int, ...] = (0, 1, 2, 4, 7, 8, 10)
    latents: tuple[int, ...] = (16, 64, 128)
    width: int | None = None
    learning_rate: float = 3e-4


FULL = {
    "mnist-binary": Budget(1000, 100, 500),
    "mnist": Budget(1000, 100, 500),
    "cifar10": Budget(500, 100, 500, points=5, coded=1000, latents=()),
}
"""The thesis's budgets."""

QUICK = Budget(2, 1, 1, 2, 600, 200, 40, 1, (0.2,), (0.0, 0.5), (0, 2), (4,), 16, 2e-3)
"""Seconds a data set: for the tests, the numbers mean nothing."""


def run(dataset: str, budget: Budget, data: Path, folder: Path, notice: Notice) -> dict[str, Any]:
    """Everything of one data set, of types that JSON knows."""
    train, test = (part[:n] for part, n in zip(load_dataset(dataset, data), (budget.train, budget.test), strict=True))
    study = Study(dataset, budget, train, test, folder / dataset, notice)
    shape = SHAPES[dataset]
    if budget.width:
        shape = replace(shape, width=budget.width, latents=min(shape.latents, 16 * (shape.side // 4) ** 2))
    nets = list(study.snapshots(shape, "baseline"))
    points = [(epoch, study.gaps(net, f"{epoch}")) for epoch, net in nets]
    last, net = nets[-1]
    result: dict[str, Any] = {
        "budget": asdict(budget),
        "images": {"train": len(train), "test": len(test)},
        "figure_4_1_4_4": [{"epoch": epoch} | gaps for epoch, gaps in points],
        "table_4_1": study.denoising(net, points[-1][1]),
        "figure_4_3": study.alphas(net, f"{last}"),
        "figure_4_6": study.steps(net, f"{last}"),
        "figure_c_1": study.tightness(net, f"{last}"),
        "figure_c_3": {},
    }
    if dataset == "mnist-binary":
        for latents in budget.latents:
            found = list(study.snapshots(replace(shape, latents=latents), f"latents-{latents}"))
            gaps = [{"epoch": epoch} | study.gaps(other, f"{latents}-{epoch}") for epoch, other in found]
            result["figure_c_3"][str(latents)] = gaps
    return result


@dataclass(frozen=True)
class Study:
    """One data set's images and where its networks are kept."""

    dataset: str
    budget: Budget
    train: Pixels
    test: Pixels
    folder: Path
    notice: Notice

    @property
    def aggregate(self) -> bool:
        """Whether model samples start from the aggregate posterior, as the thesis does for CIFAR-10."""
        return self.dataset == "cifar10"

    def snapshots(self, shape: Any, name: str) -> Iterator[tuple[int, Vae]]:
        """Networks at the tenth parts of training on the ELBO, by epoch; trained where they are not there."""
        net = Vae(shape)
        schedule = Schedule(self.budget.epochs, self.budget.learning_rate)
        if not (self.folder / f"{name}.pt").exists():
            self.notice(f"{self.dataset}: training {name}")
            fit(net, list(net.parameters()), objectives.negative_elbo, self.train, schedule, self.folder, name)
        found = [path.stem.removeprefix(f"{name}-") for path in self.folder.glob(f"{name}-*.pt")]
        epochs = sorted(int(text) for text in found if text.isdigit())
        for epoch in epochs[:: -max(1, len(epochs) // self.budget.points)][::-1]:
            yield epoch, load_float(self.folder / f"{name}-{epoch}.pt", shape)

    def improved(self, net: Vae, objective: Objective, name: str, pixels: Pixels, epochs: float, seed: int = 1) -> Vae:
        """A copy whose encoder was trained on by an objective, the decoder fixed."""
        net = copy.deepcopy(net)
        kept = self.folder / f"{name}.pt"
        if kept.exists():
            net.load_state_dict(torch.load(kept, weights_only=True))
            return net
        self.notice(f"{self.dataset}: training {name}")
        schedule = Schedule(epochs, self.budget.learning_rate, cosine=True, seed=seed)
        fit(net, list(net.encoder.parameters()), objective, pixels, schedule, self.folder, name)
        return net

    def half_asleep(self, net: Vae, name: str, alpha: float = 0.5, seed: int = 1) -> Vae:
        """The encoder trained on by reverse half-asleep inference (eq. 4.27)."""
        objective = partial(objectives.reverse_half_asleep, alpha=alpha, aggregate=self.aggregate)
        epochs = self.budget.inference_epochs
        return self.improved(net, objective, f"asleep-{alpha}-{seed}-{name}", self.train, epochs, seed)

    def gaps(self, net: Vae, name: str) -> dict[str, float]:
        """The gaps of section 4.2 for one network, and reverse half-asleep inference beside them (figure 4.4).

        With -ELBOs as rates: EGG = amortised - train, AIGG = amortised - optimal, GMGG = optimal - train.
        """
        optimal = self.improved(net, objectives.negative_elbo, f"optimal-{name}", self.test, self.budget.optimal_epochs)
        rates = {
            "train": negative_elbo_of(net, self.train[: len(self.test)]),
            "amortised": negative_elbo_of(net, self.test),
            "optimal": negative_elbo_of(optimal, self.test),
            "half_asleep": negative_elbo_of(self.half_asleep(net, name), self.test),
        }
        gaps = {
            "egg": rates["amortised"] - rates["train"],
            "aigg": rates["amortised"] - rates["optimal"],
            "gmgg": rates["optimal"] - rates["train"],
        }
        return rates | gaps

    def denoising(self, net: Vae, gaps: dict[str, float]) -> dict[str, float]:
        """Table 4.1: the denoising regulariser (eq. 4.29) by sigma, between amortised and reverse half-asleep."""
        found = {"amortised": gaps["amortised"]}
        for sigma in self.budget.sigmas:
            objective = partial(objectives.denoising, sigma=sigma)
            trained = self.improved(net, objective, f"denoising-{sigma}", self.train, self.budget.inference_epochs)
            found[str(sigma)] = negative_elbo_of(trained, self.test)
        return found | {"half_asleep": gaps["half_asleep"]}

    def alphas(self, net: Vae, last: str) -> dict[str, dict[str, float]]:
        """Figure 4.3: reverse half-asleep inference by alpha, and the sleep phase; mean and deviation over seeds."""
        found: dict[str, list[float]] = {}
        for seed in range(1, self.budget.seeds + 1):
            for alpha in self.budget.alphas:
                trained = self.half_asleep(net, last, alpha, seed)
                found.setdefault(f"alpha {alpha}", []).append(negative_elbo_of(trained, self.test))
            objective = partial(objectives.sleep, aggregate=self.aggregate)
            epochs = self.budget.inference_epochs
            trained = self.improved(net, objective, f"sleep-{seed}", self.train, epochs, seed)
            found.setdefault("sleep", []).append(negative_elbo_of(trained, self.test))
        return {key: {"mean": float(np.mean(v)), "deviation": float(np.std(v))} for key, v in found.items()}

    def steps(self, net: Vae, last: str) -> dict[str, list[dict[str, Any]]]:
        """Figure 4.6 and table 4.2: rates and times of real chains by K, from both encoders."""
        nets = {"baseline": net, "half_asleep": self.half_asleep(net, last)}
        images = self.test[: self.budget.coded]
        found: dict[str, list[dict[str, Any]]] = {}
        for name, other in nets.items():
            model = export(other, name)
            measure(model, images[:10], 1, 1)  # compiles
            found[name] = [measure(model, images, k, 1).to_dict() for k in self.budget.steps]
        return found

    def tightness(self, net: Vae, last: str) -> dict[str, dict[str, float]]:
        """Figure C.1: -ELBO and the importance-weighted bound with 10 samples, by encoder."""
        epochs = self.budget.optimal_epochs
        optimal = self.improved(net, objectives.negative_elbo, f"optimal-{last}", self.test, epochs)
        nets = {"amortised": net, "optimal": optimal, "half_asleep": self.half_asleep(net, last)}
        weighted = partial(objectives.importance_weighted, samples=10)
        return {
            name: {"elbo": negative_elbo_of(other, self.test), "iwae": negative_elbo_of(other, self.test, weighted)}
            for name, other in nets.items()
        }


def table_4_2(result: dict[str, Any]) -> dict[str, Any]:
    """The rates and times of figure 4.6 as the thesis's table: the first K at which the baseline is as good."""
    baseline, ours = result["figure_4_6"]["baseline"], result["figure_4_6"]["half_asleep"]
    reached = next((row for row in baseline if row["net"] <= ours[0]["net"]), None)
    return {
        "baseline": baseline[0]["gross"],
        "half_asleep": ours[0]["gross"],
        "encode_seconds": {"baseline": baseline[0]["encode_seconds"], "half_asleep": ours[0]["encode_seconds"]},
        "steps": reached and reached["steps"],
        "with_steps": reached and reached["gross"],
        "with_steps_encode_seconds": reached and reached["encode_seconds"],
    }
