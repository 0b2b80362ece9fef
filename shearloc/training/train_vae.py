"""Trains a variational autoencoder: both networks on the ELBO, then the encoder alone by an inference objective.

    python -m shearloc.training.train_vae mnist-binary --epochs 100 --asleep-epochs 100 --out runs/vae-mnist-binary

The first phase writes `baseline.pt`, the second (eq. 4.27, the decoder fixed) `half-asleep.pt`. Both keep a
`NAME-checkpoint.pt`, resume from it, and write `NAME-EPOCHS.pt` after every tenth of the epochs. The last images of the
training set are held out and reported on; the test set is measured when a phase ends.
Needs torch; nothing that decodes imports this file. The export is `export_vae.py`.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.vae.shape import SHAPES, VaeShape, latent_side
from . import checkpoints, number_types, objectives
from .fitting import keep_freed_memory, set_rates, use_processors
from .images import perturbed
from .muon import Muon
from .small_images import load_dataset
from .vae_float import Block, Vae, divergence_bits

HELD_OUT = 1000
"""Images at the end of the training set that are held out."""

FIRST_WEIGHT = 0.1
"""The divergence's weight at the beginning of a warm-up."""

Objective = Callable[..., Tensor]
"""(network, images) -> bits of each image, [n]; `weight`, in a warm-up, as in `objectives.negative_elbo`."""

Report = Callable[[float, float], None]
"""Called with the epochs done and the running mean of the objective in bits per dimension."""


@dataclass(frozen=True)
class Schedule:
    """How long a phase is, and its learning rate. `cosine`: the rate falls to 2% of its peak; else it is constant.

    `warm_up`: epochs in which the divergence's weight rises to 1.
    """

    epochs: float
    learning_rate: float
    batch: int = 128
    cosine: bool = False
    seed: int = 1
    warm_up: float = 0.0


def negative_elbo_of(net: Vae, pixels: NDArray[np.uint8], objective: Objective = objectives.negative_elbo) -> float:
    """Mean bits per dimension of an objective over images [n, side, side, channels], from a fixed seed."""
    total = 0.0
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for part in np.array_split(pixels, max(1, len(pixels) // 500)):
            total += float(objective(net, torch.from_numpy(part)).double().sum())
    return total / pixels.size


def optimizers(parameters: list[torch.nn.Parameter], net: Vae, rate: float) -> list[torch.optim.Optimizer]:
    """Adam and, for the matrices of residual blocks that are among `parameters`, Muon."""
    blocks = [m.weight for block in net.modules() if isinstance(block, Block) for m in (block.conv, block.dense)]
    matrices = [p for p in parameters if any(p is weight for weight in blocks)]
    rest = [p for p in parameters if all(p is not weight for weight in matrices)]
    adam = torch.optim.Adam(rest, lr=rate, fused=True)
    if not matrices:
        return [adam]
    return [Muon(matrices, 5 * rate), adam]


@torch.no_grad()
def latent_bits(net: Vae, pixels: NDArray[np.uint8]) -> Tensor:
    """Mean divergence of each latent of a position over images [n, side, side, channels], in bits."""
    mean, log_sigma = net.posterior(torch.from_numpy(pixels))
    count = net.shape.latents // latent_side(net.shape) ** 2
    return divergence_bits(mean.reshape(-1, 1), log_sigma.reshape(-1, 1)).view(-1, count).mean(0)


@torch.no_grad()
def revive(net: Vae, pixels: NDArray[np.uint8]) -> int:
    """Gives new random weights to the latents of a position whose divergence is below 0.02 bits; returns how many.

    Once a latent's posterior equals its prior and the decoder ignores it, neither network learns to use it again.
    """
    silent = latent_bits(net, pixels) < 0.02
    count = len(silent)
    last, first = cast(torch.nn.Linear, net.encoder[-1]), cast(torch.nn.Linear, net.decoder[0])
    fresh = torch.nn.Linear(last.in_features, count)
    last.weight[:count][silent], last.bias[:count][silent] = fresh.weight[silent], fresh.bias[silent]
    last.weight[count:][silent], last.bias[count:][silent] = 0.0, -1.0
    first.weight[:, silent] = 0.1 * torch.randn(first.out_features, int(silent.sum()))
    return int(silent.sum())


@torch.no_grad()
def with_fewer_latents(net: Vae, latents: int, pixels: NDArray[np.uint8]) -> Vae:
    """The same network with fewer latents: those with the largest divergence on `pixels` [n, side, side, channels]."""
    positions = latent_side(net.shape) ** 2
    before = net.shape.latents // positions
    kept = latent_bits(net, pixels).argsort(descending=True)[: latents // positions]
    small = Vae(replace(net.shape, latents=latents))
    state = net.state_dict()
    first, last = "decoder.0.weight", f"encoder.{len(net.encoder) - 1}"
    state[first] = state[first][:, kept]
    for key in (f"{last}.weight", f"{last}.bias"):
        state[key] = state[key][torch.cat([kept, kept + before])]
    small.load_state_dict(state)
    return small


def fit(
    net: Vae,
    parameters: list[torch.nn.Parameter],
    objective: Objective,
    pixels: NDArray[np.uint8],
    schedule: Schedule,
    folder: Path,
    name: str,
    report: Report | None = None,
    snapshots: bool = True,
) -> float:
    """Minimises the objective over `parameters` in place; returns the seconds it took.

    Writes `folder/name.pt` at the end and, with `snapshots`, `name-EPOCHS.pt` after every tenth, when it also calls
    `report`. Resumes from `name-checkpoint.pt`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    for parameter in net.parameters():
        parameter.requires_grad_(any(parameter is p for p in parameters))
    steppers = optimizers(parameters, net, schedule.learning_rate)
    peaks = [group["lr"] for stepper in steppers for group in stepper.param_groups]
    checkpoint = folder / f"{name}-checkpoint.pt"
    progress = checkpoints.load(checkpoint, {"net": net}, steppers)
    update, seconds = progress.get("update", 0), progress.get("seconds", 0.0)
    per_epoch = -(-len(pixels) // schedule.batch)
    total = round(schedule.epochs * per_epoch)
    images = torch.from_numpy(pixels)
    bits, saved = math.nan, time.perf_counter()
    while update < total:
        began = time.perf_counter()
        batch = _batch(images, schedule, *divmod(update, per_epoch))
        factor = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * update / total)) if schedule.cosine else 1.0
        set_rates(steppers, peaks, factor)
        warmth = update / per_epoch / schedule.warm_up if schedule.warm_up else 1.0
        weighted = partial(objective, weight=FIRST_WEIGHT + (1 - FIRST_WEIGHT) * warmth) if warmth < 1 else objective
        value = _update(net, parameters, steppers, weighted, batch)
        bits = value if math.isnan(bits) else bits + 0.01 * (value - bits)
        update += 1
        seconds += time.perf_counter() - began
        if update % max(1, total // 10) == 0:
            if snapshots:
                torch.save(net.state_dict(), folder / f"{name}-{round(update / per_epoch)}.pt")
            if report:
                report(update / per_epoch, bits)
        if time.perf_counter() - saved > 60:
            saved = time.perf_counter()
            checkpoints.save(checkpoint, {"net": net}, steppers, {"update": update, "seconds": seconds})
    checkpoints.save(checkpoint, {"net": net}, steppers, {"update": update, "seconds": seconds})
    torch.save(net.state_dict(), folder / f"{name}.pt")
    net.requires_grad_(True)
    return seconds


def _batch(images: Tensor, schedule: Schedule, epoch: int, k: int) -> Tensor:
    """Indices of an epoch's k-th batch; each epoch has all images once, in its own order."""
    order = np.random.default_rng([schedule.seed, epoch]).permutation(len(images))
    return images[torch.from_numpy(order[k * schedule.batch : (k + 1) * schedule.batch])]


def _update(
    net: Vae,
    parameters: list[torch.nn.Parameter],
    steppers: list[torch.optim.Optimizer],
    objective: Objective,
    batch: Tensor,
) -> float:
    """One step of each optimizer, with products in the quicker type. The batch's mean bits per dimension."""
    with number_types.quick():
        loss = objective(net, batch).mean()
    net.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 5000.0)
    for stepper in steppers:
        stepper.step()
    return float(loss.detach()) / net.shape.samples


def _start(base: str | None, shape: VaeShape, pixels: NDArray[np.uint8]) -> Vae:
    """A new network of the shape, or the base adapted to it. ValueError for a base that cannot be adapted."""
    if base is None:
        return Vae(shape)
    from ..models import zoo
    from ..models.vae import model as vae
    from .export_vae import restore

    model = vae.load(Path(base), base) if base.endswith(".safetensors") else zoo.load_as(vae.VaeModel, base)
    if model.shape == shape:
        return restore(model)
    if replace(model.shape, latents=shape.latents) != shape or shape.latents > model.shape.latents:
        raise ValueError(f"the base is of {model.shape}, not {shape}")
    return with_fewer_latents(restore(model), shape.latents, pixels)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(SHAPES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument(
        "--base", help="start from this model (a name, or a .safetensors file), which may have more latents"
    )
    parser.add_argument("--revive", action="store_true", help="give the base's unused latents new random weights")
    parser.add_argument("--warm-up", type=float, default=0, help="epochs in which the divergence's weight rises to 1")
    parser.add_argument("--epochs", type=float, default=100)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--cosine", action="store_true", help="let the first phase's rate fall, as the second's does")
    parser.add_argument("--asleep-epochs", type=float, default=100, help="epochs of the encoder alone")
    parser.add_argument("--asleep-rate", type=float, default=3e-4)
    parser.add_argument("--alpha", type=float, default=0.5, help="share of the model's own samples (eq. 4.27)")
    parser.add_argument("--aggregate", action="store_true", help="sample latents from the aggregate posterior")
    parser.add_argument("--perturb", type=float, default=0, help="replace this share of the pixels by random ones")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latents", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--blocks", type=int)
    return parser.parse_args()


def main() -> None:
    """The command `python -m shearloc.training.train_vae`."""
    args = _arguments()
    use_processors(args.threads)
    keep_freed_memory()
    changes = {k: v for k in ("latents", "width", "blocks") if (v := getattr(args, k)) is not None}
    shape = VaeShape(**(asdict(SHAPES[args.dataset]) | changes))
    images, test = load_dataset(args.dataset, args.data)
    if args.perturb:
        images = perturbed(images, args.perturb, np.random.default_rng(Schedule.seed))
    training, held_out = images[:-HELD_OUT], images[-HELD_OUT:]
    torch.manual_seed(Schedule.seed)  # of the weights a new network starts with
    net = _start(args.base, shape, held_out)
    if args.revive:
        print(f"{revive(net, held_out)} latents of a position revived", flush=True)

    def asleep(net: Vae, pixels: Tensor) -> Tensor:
        return objectives.reverse_half_asleep(net, pixels, args.alpha, args.aggregate)

    everything, encoder = list(net.parameters()), list(net.encoder.parameters())
    phases = [
        ("baseline", everything, objectives.negative_elbo, args.epochs, args.rate, args.cosine, args.warm_up),
        ("half-asleep", encoder, asleep, args.asleep_epochs, args.asleep_rate, True, 0.0),
    ]
    results = {"dataset": args.dataset, "shape": asdict(shape), "arguments": {k: str(v) for k, v in vars(args).items()}}
    for name, parameters, objective, epochs, rate, cosine, warm_up in phases:

        def report(epoch: float, bits: float, name: str = name) -> None:
            rate = negative_elbo_of(net, held_out)
            print(f"{name}: epoch {epoch:.1f}: {bits:.4f} training, {rate:.4f} held-out bits per dimension", flush=True)

        schedule = Schedule(epochs, rate, args.batch, cosine, warm_up=warm_up)
        seconds = fit(net, parameters, objective, training, schedule, args.out, name, report)
        rates = {"held_out": negative_elbo_of(net, held_out), "test": negative_elbo_of(net, test)}
        described = {f"{key}_bits_per_dimension": rate for key, rate in rates.items()}
        results[name] = {"schedule": asdict(schedule), "seconds": round(seconds)} | described
        print(f"{name}: {json.dumps(described)} after {seconds:.0f} s", flush=True)
        (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
