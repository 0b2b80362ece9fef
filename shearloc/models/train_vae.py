"""Trains a variational autoencoder: both networks on the ELBO, then the encoder alone by an inference objective.

    python -m shearloc.models.train_vae mnist-binary --epochs 100 --asleep-epochs 100 --out runs/vae-mnist-binary

The first phase writes `baseline.pt`, the second (eq. 4.27, the decoder fixed) `half-asleep.pt`; both keep a
`checkpoint.pt`, go on from it when called again, and write `NAME.pt` of every tenth part of the epochs on the way.
Needs torch; nothing that decodes imports this file. The export is `export_vae.py`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import objectives
from .small_images import DATASETS, load_dataset
from .vae_float import Vae
from .vae_shape import BERNOULLI, LOGISTIC, VaeShape

SHAPES = {
    "mnist-binary": VaeShape(28, 1, BERNOULLI, latents=16, width=500),
    "mnist": VaeShape(28, 1, LOGISTIC, latents=32, width=500),
    "cifar10": VaeShape(32, 3, LOGISTIC, latents=2048, width=64, blocks=2),
}

Objective = Callable[[Vae, Tensor], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a phase is. `cosine`: the rate falls to 2% of its peak, else it stays."""

    epochs: float
    learning_rate: float
    batch: int = 128
    cosine: bool = False
    seed: int = 1


def negative_elbo_of(net: Vae, pixels: NDArray[np.uint8], objective: Objective = objectives.negative_elbo) -> float:
    """Mean bits per dimension of an objective over images [n, side, side, channels], from a fixed seed."""
    total = 0.0
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for part in np.array_split(pixels, max(1, len(pixels) // 500)):
            total += float(objective(net, torch.from_numpy(part)).double().sum())
    return total / pixels.size


def fit(
    net: Vae,
    parameters: list[torch.nn.Parameter],
    objective: Objective,
    pixels: NDArray[np.uint8],
    schedule: Schedule,
    folder: Path,
    name: str,
    report: Callable[[float, float], None] | None = None,
) -> float:
    """Minimises the objective over `parameters` in place; returns the seconds it took.

    Writes `folder/name.pt` at the end and `name-EPOCHS.pt` at every tenth part, and goes on from `checkpoint.pt`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    adam = torch.optim.Adam(parameters, lr=schedule.learning_rate, fused=True)
    checkpoint = folder / f"{name}-checkpoint.pt"
    update, seconds = _resume(checkpoint, net, adam)
    per_epoch = -(-len(pixels) // schedule.batch)
    total = round(schedule.epochs * per_epoch)
    images = torch.from_numpy(pixels)
    bits, saved = math.nan, time.perf_counter()
    while update < total:
        began = time.perf_counter()
        epoch, k = divmod(update, per_epoch)
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(pixels))
        batch = images[torch.from_numpy(order[k * schedule.batch : (k + 1) * schedule.batch])]
        if schedule.cosine:
            rate = schedule.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * update / total)))
            adam.param_groups[0]["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = objective(net, batch).mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5000.0)
        adam.step()
        value = float(loss.detach()) / net.shape.samples
        bits = value if math.isnan(bits) else bits + 0.01 * (value - bits)
        update += 1
        seconds += time.perf_counter() - began
        if update % max(1, total // 10) == 0:
            torch.save(net.state_dict(), folder / f"{name}-{round(update / per_epoch)}.pt")
            if report:
                report(update / per_epoch, bits)
        if time.perf_counter() - saved > 60:
            saved = time.perf_counter()
            _save(checkpoint, net, adam, update, seconds)
    _save(checkpoint, net, adam, update, seconds)
    torch.save(net.state_dict(), folder / f"{name}.pt")
    return seconds


def _save(path: Path, net: Vae, adam: torch.optim.Optimizer, update: int, seconds: float) -> None:
    state = {"net": net.state_dict(), "adam": adam.state_dict(), "update": update, "seconds": seconds}
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def _resume(path: Path, net: Vae, adam: torch.optim.Optimizer) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    adam.load_state_dict(state["adam"])
    return state["update"], state["seconds"]


def load_float(path: Path, shape: VaeShape) -> Vae:
    """The float network of this shape with the weights of a file that `fit` wrote."""
    net = Vae(shape)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--epochs", type=float, default=100)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--cosine", action="store_true", help="let the first phase's rate fall, as the second's does")
    parser.add_argument("--asleep-epochs", type=float, default=100, help="epochs of the encoder alone")
    parser.add_argument("--asleep-rate", type=float, default=3e-4)
    parser.add_argument("--alpha", type=float, default=0.5, help="share of the model's own samples (eq. 4.27)")
    parser.add_argument("--aggregate", action="store_true", help="sample latents from the aggregate posterior")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latents", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--blocks", type=int)
    return parser.parse_args()


def main() -> None:
    """The command `python -m shearloc.models.train_vae`."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    changes = {k: v for k in ("latents", "width", "blocks") if (v := getattr(args, k)) is not None}
    shape = VaeShape(**(asdict(SHAPES[args.dataset]) | changes))
    training, test = load_dataset(args.dataset, args.data)
    net = Vae(shape)

    def asleep(net: Vae, pixels: Tensor) -> Tensor:
        return objectives.reverse_half_asleep(net, pixels, args.alpha, args.aggregate)

    phases = [
        ("baseline", list(net.parameters()), objectives.negative_elbo, args.epochs, args.rate, args.cosine),
        ("half-asleep", list(net.encoder.parameters()), asleep, args.asleep_epochs, args.asleep_rate, True),
    ]
    results = {"dataset": args.dataset, "shape": asdict(shape), "arguments": {k: str(v) for k, v in vars(args).items()}}
    for name, parameters, objective, epochs, rate, cosine in phases:

        def report(epoch: float, bits: float, name: str = name) -> None:
            held_out = negative_elbo_of(net, test[:2000])
            print(f"{name}: epoch {epoch:.1f}: {bits:.4f} training, {held_out:.4f} test bits per dimension", flush=True)

        schedule = Schedule(epochs, rate, args.batch, cosine)
        seconds = fit(net, parameters, objective, training, schedule, args.out, name, report)
        elbo = negative_elbo_of(net, test)
        results[name] = {"schedule": asdict(schedule), "seconds": round(seconds), "test_bits_per_dimension": elbo}
        print(f"{name}: {elbo:.4f} test bits per dimension after {seconds:.0f} s", flush=True)
        (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
