"""The thesis's chapter 4 again: generalization gaps of autoencoders, inference objectives, and K steps in real files.

    python -m shearloc.evaluate chapter4 --budget small --dataset cifar10 --out runs/chapter4 --json runs/chapter4.json
    python -m shearloc.evaluate gaps mnist-binary --out runs/gaps

Trains what it needs (torch) into `--out`, and resumes from what is there: an interruption costs a minute. You may put
the baselines of a run of `train_vae` (`baseline*.pt`) there. All rates are bits per dimension of test images. Only
figure 4.6 is timed; its rates are of real chains. `plots.py` draws.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..models import zoo
from ..models.vae.model import VaeModel
from ..models.vae.shape import SHAPES, VaeShape
from ..training import objectives
from ..training.checkpoints import load_weights
from ..training.export_vae import export, restore
from ..training.small_images import load_dataset
from ..training.train_vae import Objective, Schedule, fit, negative_elbo_of
from ..training.vae_float import Vae, load_float
from ..types import Pixels
from .archives import measure

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
        "mnist-binary": {"baseline": 0.185, "half_asleep": 0.179, "steps": 7, "with_steps": 0.179}
        | {"encode_cost_percent": 116.7, "decode_cost_percent": 116.7},
        "cifar10": {"baseline": 4.602, "half_asleep": 4.585, "steps": 8, "with_steps": 4.585}
        | {"encode_cost_percent": 46.2, "decode_cost_percent": 46.2},
    },
}
"""The thesis's figures, on all of the data and with its budgets; its times are a GPU's, one image at a time."""


@dataclass(frozen=True)
class Budget:
    """How much of the data, how many epochs of each phase, and which settings. `train`, `test`: `None`: all images.

    `points`: networks along the baseline's training that are measured; `coded`: images in figure 4.6's chains.
    """

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
    inference_rate: float = 5e-4
    batch: int = 128


_SMALL = Budget(
    epochs=40,
    inference_epochs=6,
    optimal_epochs=40,
    points=3,
    train=10000,
    test=2000,
    coded=500,
    seeds=2,
    steps=(0, 1, 2, 4, 8),
    latents=(),
    learning_rate=1e-3,
)

BUDGETS: dict[str, dict[str, Budget]] = {
    # The thesis's.
    "full": {
        "mnist-binary": Budget(1000, 100, 500),
        "mnist": Budget(1000, 100, 500, latents=()),
        "cifar10": Budget(500, 100, 500, 5, coded=1000, latents=(), learning_rate=5e-4, inference_rate=1e-5),
    },
    # Minutes of one core a data set: a part of the training images, so that overfitting comes soon.
    "small": {
        "mnist-binary": replace(_SMALL, latents=(16, 64, 128)),
        "mnist": _SMALL,
        "cifar10": replace(
            _SMALL,
            epochs=20,
            inference_epochs=2,
            optimal_epochs=10,
            points=2,
            train=5000,
            test=1000,
            coded=100,
            inference_rate=1e-4,
        ),
    },
    # Seconds a data set, for the tests: the numbers mean nothing.
    "quick": dict.fromkeys(SHAPES, Budget(2, 1, 1, 2, 600, 200, 40, 1, (0.2,), (0.0, 0.5), (0, 2), (4,), 16, 2e-3)),
}


def run(dataset: str, budget: Budget, data: Path, folder: Path, notice: Notice) -> dict[str, Any]:
    """All results of one data set, ready for JSON."""
    study = Study.of(dataset, budget, data, folder, notice)
    shape = SHAPES[dataset]
    if budget.width:
        shape = replace(shape, width=budget.width, latents=min(shape.latents, 16 * (shape.side // 4) ** 2))
    nets = list(study.snapshots(shape, "baseline"))
    points = [{"epoch": epoch} | study.inference(net, f"{epoch}") for epoch, net in nets]
    last, net = nets[-1]
    result: dict[str, Any] = {
        "budget": asdict(budget),
        "images": {"train": len(study.train), "test": len(study.test)},
        "figure_4_1_4_4": points,
        "table_4_1": study.denoising(net, points[-1]),
        "figure_4_3": study.alphas(net, f"{last}"),
        "figure_4_6": study.steps(net, f"{last}"),
        "figure_c_1": [{"epoch": epoch} | study.tightness(other, f"{epoch}") for epoch, other in nets],
        "figure_c_3": {},
    }
    for latents in budget.latents if dataset == "mnist-binary" else ():
        own = latents == shape.latents
        found = nets if own else list(study.snapshots(replace(shape, latents=latents), f"latents-{latents}"))
        names = [f"{epoch}" if own else f"{latents}-{epoch}" for epoch, _ in found]
        rows = [study.inference(other, name) for (_, other), name in zip(found, names, strict=True)]
        result["figure_c_3"][str(latents)] = [{"epoch": e} | row for (e, _), row in zip(found, rows, strict=True)]
    return result | {"table_4_2": table_4_2(result["figure_4_6"]), "training_seconds": study.seconds()}


GAPS = {
    "train": "-ELBO, training images",
    "amortised": "-ELBO, test images",
    "optimal": "-ELBO, test images, inference trained on them",
    "egg": "EGG = GMGG + AIGG",
    "aigg": "AIGG, of amortized inference",
    "gmgg": "GMGG, of the generative model",
}


def network(dataset: str, weights: Path | None) -> tuple[Vae, str]:
    """The float network of a training run's .pt file or, without one, of the zoo's model; and its name."""
    if weights:
        return load_float(weights, SHAPES[dataset]), weights.stem
    model = zoo.load_as(VaeModel, f"vae-{dataset}")
    return restore(model), f"{model.name}-{model.fingerprint.hex()}"


def gaps(train: float, amortised: float, optimal: float) -> dict[str, float]:
    """The gaps of section 4.2 from three rates: -ELBOs of training images, of test images, and of test images after
    inference that was trained on them. EGG = GMGG + AIGG (eq. 4.7, 4.14, 4.16); rates are -ELBOs, so signs turn."""
    return {"egg": amortised - train, "aigg": amortised - optimal, "gmgg": optimal - train}


@dataclass(frozen=True)
class Study:
    """One data set's images and where its networks are kept."""

    dataset: str
    budget: Budget
    train: Pixels
    test: Pixels
    folder: Path
    notice: Notice

    @classmethod
    def of(cls, dataset: str, budget: Budget, data: Path, folder: Path, notice: Notice) -> "Study":
        """With the images that the budget allows."""
        parts = zip(load_dataset(dataset, data), (budget.train, budget.test), strict=True)
        train, test = (part[:n] for part, n in parts)
        return cls(dataset, budget, train, test, folder / dataset, notice)

    @property
    def aggregate(self) -> bool:
        """Whether model samples start from the aggregate posterior, as the thesis does for CIFAR-10."""
        return self.dataset == "cifar10"

    def snapshots(self, shape: VaeShape, name: str) -> Iterator[tuple[int, Vae]]:
        """Networks along training on the ELBO, by epoch, in order; trained if they are missing."""
        if not (self.folder / f"{name}.pt").exists():
            self.notice(f"{self.dataset}: training {name}")
            net = Vae(shape)
            schedule = Schedule(self.budget.epochs, self.budget.learning_rate, self.budget.batch)
            parameters = list(net.parameters())
            seconds = fit(net, parameters, objectives.negative_elbo, self.train, schedule, self.folder, name)
            self._describe(name, {"seconds": seconds})
        found = [path.stem.removeprefix(f"{name}-") for path in self.folder.glob(f"{name}-*.pt")]
        epochs = sorted(int(text) for text in found if text.isdigit())
        for epoch in epochs[:: -max(1, len(epochs) // self.budget.points)][: self.budget.points][::-1]:
            yield epoch, load_float(self.folder / f"{name}-{epoch}.pt", shape)

    def improved(
        self, net: Vae, objective: Objective, name: str, pixels: Pixels, epochs: float, seed: int = 1
    ) -> tuple[Vae, list[dict[str, float]]]:
        """A copy whose encoder an objective trained further, the decoder fixed; and its test rates on the way."""
        net = copy.deepcopy(net)
        kept = self.folder / f"{name}.pt"
        if kept.exists():
            load_weights(net, kept)
            curve: list[dict[str, float]] = self._described(name)["curve"]
            return net, curve
        self.notice(f"{self.dataset}: training {name}")
        curve = self._described(name).get("curve", [])

        def report(epoch: float, _: float) -> None:
            curve.append({"epoch": epoch, "bits": negative_elbo_of(net, self.test)})
            self._describe(name, {"curve": curve})

        schedule = Schedule(epochs, self.budget.inference_rate, self.budget.batch, cosine=True, seed=seed)
        parameters = list(net.encoder.parameters())
        seconds = fit(net, parameters, objective, pixels, schedule, self.folder, name, report, snapshots=False)
        self._describe(name, {"curve": curve, "seconds": seconds})
        (self.folder / f"{name}-checkpoint.pt").unlink()
        return net, curve

    def _described(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        described: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return described

    def _describe(self, name: str, about: dict[str, Any]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(about))

    def seconds(self) -> dict[str, float]:
        """Seconds that each network's training took, by name."""
        names = sorted(path.stem for path in self.folder.glob("*.json"))
        return {name: round(self._described(name).get("seconds", 0.0), 1) for name in names}

    def optimal(self, net: Vae, name: str) -> Vae:
        """The encoder, trained further on the test images (eq. 4.19)."""
        epochs = self.budget.optimal_epochs
        return self.improved(net, objectives.negative_elbo, f"optimal-{name}", self.test, epochs)[0]

    def half_asleep(self, net: Vae, name: str, alpha: float = 0.5, seed: int = 1) -> tuple[Vae, list[dict[str, float]]]:
        """The encoder, trained further by reverse half-asleep inference (eq. 4.27)."""
        objective = partial(objectives.reverse_half_asleep, alpha=alpha, aggregate=self.aggregate)
        epochs = self.budget.inference_epochs
        return self.improved(net, objective, f"asleep-{alpha}-{seed}-{name}", self.train, epochs, seed)

    def gaps(self, net: Vae, name: str) -> dict[str, float]:
        """The gaps of section 4.2 for one network (figure 4.1), and the rates they are made of."""
        rates = {
            "train": negative_elbo_of(net, self.train[: len(self.test)]),
            "amortised": negative_elbo_of(net, self.test),
            "optimal": negative_elbo_of(self.optimal(net, name), self.test),
        }
        return rates | gaps(**rates)

    def inference(self, net: Vae, name: str) -> dict[str, float]:
        """The gaps of one network, and reverse half-asleep inference beside them (figure 4.4)."""
        half_asleep = negative_elbo_of(self.half_asleep(net, name)[0], self.test)
        return self.gaps(net, name) | {"half_asleep": half_asleep}

    def denoising(self, net: Vae, rates: dict[str, float]) -> dict[str, float]:
        """Table 4.1: the denoising regulariser (eq. 4.29) by sigma, between amortised and reverse half-asleep."""
        found = {"amortised": rates["amortised"]}
        for sigma in self.budget.sigmas:
            objective = partial(objectives.denoising, sigma=sigma)
            epochs = self.budget.inference_epochs
            trained, _ = self.improved(net, objective, f"denoising-{sigma}", self.train, epochs)
            found[str(sigma)] = negative_elbo_of(trained, self.test)
        return found | {"half_asleep": rates["half_asleep"]}

    def alphas(self, net: Vae, last: str) -> dict[str, list[dict[str, float]]]:
        """Figure 4.3: test rates while inference is trained, by alpha and for the sleep phase; over the seeds."""
        curves: dict[str, list[list[dict[str, float]]]] = {}
        for seed in range(1, self.budget.seeds + 1):
            for alpha in self.budget.alphas:
                curves.setdefault(f"alpha {alpha}", []).append(self.half_asleep(net, last, alpha, seed)[1])
            objective = partial(objectives.sleep, aggregate=self.aggregate)
            epochs = self.budget.inference_epochs
            curve = self.improved(net, objective, f"sleep-{seed}", self.train, epochs, seed)[1]
            curves.setdefault("sleep", []).append(curve)
        return {key: [_spread(points) for points in zip(*several, strict=False)] for key, several in curves.items()}

    def steps(self, net: Vae, last: str) -> dict[str, list[dict[str, Any]]]:
        """Figure 4.6 and table 4.2: rates and times of real chains by K, from both encoders."""
        nets = {"baseline": net, "half_asleep": self.half_asleep(net, last)[0]}
        images = self.test[: self.budget.coded]
        found: dict[str, list[dict[str, Any]]] = {}
        for name, other in nets.items():
            self.notice(f"{self.dataset}: coding from the encoder '{name}'")
            model = export(other, name)
            measure(model, images[:10], 1, 1)  # compiles
            found[name] = [measure(model, images, k, 1).to_dict() for k in self.budget.steps]
        return found

    def tightness(self, net: Vae, name: str) -> dict[str, dict[str, float]]:
        """Figure C.1: -ELBO and the importance-weighted bound with 10 samples, by encoder."""
        nets = {"amortised": net, "optimal": self.optimal(net, name), "half_asleep": self.half_asleep(net, name)[0]}
        weighted = partial(objectives.importance_weighted, samples=10)
        return {
            key: {"elbo": negative_elbo_of(other, self.test), "iwae": negative_elbo_of(other, self.test, weighted)}
            for key, other in nets.items()
        }


def _spread(points: tuple[dict[str, float], ...]) -> dict[str, float]:
    bits = [point["bits"] for point in points]
    return {"epoch": points[0]["epoch"], "mean": float(np.mean(bits)), "deviation": float(np.std(bits))}


def table_4_2(figure_4_6: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The rates and times of figure 4.6 as the thesis's table: the first K at which the baseline is as good.

    Rates are net; seconds are an image's; costs are what K steps add to them.
    """
    baseline, ours = figure_4_6["baseline"], figure_4_6["half_asleep"]
    reached = next((row for row in baseline if row["net"] <= ours[0]["net"]), None)
    table = {"baseline": baseline[0]["net"], "half_asleep": ours[0]["net"]}
    table |= {"steps": reached and reached["steps"], "with_steps": reached and reached["net"]}
    for what in ("encode", "decode"):
        before, after = (row and row[f"{what}_seconds"] / row["images"] for row in (ours[0], reached))
        table |= {f"{what}_seconds": before, f"{what}_seconds_with_steps": after}
        table[f"{what}_cost_percent"] = after and 100 * (after / before - 1)
    return table
