"""Trains a local model on images: float with a cosine schedule, then a quantisation-aware finish, then export.

    python -m shearloc.models.train ../shared/data/photos ../shared/data/imagenet-jpeg \\
        --name photo --minutes 80 --out runs/photo
    python -m shearloc.models.train ../shared/data/cifar10 --nelloc 1 --name nelloc-r1 --minutes 80 --out runs/nelloc-r1

Pixels are sampled with their contexts, not whole images. The run writes `checkpoint.pt` every two minutes and resumes
from it; at the end of the float phase `float.pt` (the float parent), at the end of all `NAME.safetensors`
and its card `NAME.json` (of a PixelCNN `NAME.pt` instead). Needs torch; nothing that decodes imports this file.
"""

import argparse
import ctypes
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .context import PREDICTORS
from .images import PixelSet, camera_like, fingerprint, load_data, split
from .local import LocalModel
from .local_float import LocalNet, Shape, grown, revive
from .pixelcnn import CnnShape, PixelCNN

ROUNDING_PIXELS = 200_000
"""Pixels on whose contexts the weights are rounded where there is no quantisation-aware finish."""

ADAPTING_UPDATES = 600
ADAPTING_SHARE = 0.1
ADAPTING_RATE = 3e-4
"""Updates for later layers to adapt to a rounded one: how many at most, in what share of the training, their rate."""

HELD_OUT_PIXELS = 1 << 16
"""Pixels of the held-out images that a report's rate is of."""

MOST_FINGERPRINTS = 20_000
"""Training images that a card lists. Of larger sets it has the name only: they are known by it, as CIFAR-10 is."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The last `finish` of the time is quantisation-aware; 0: rounded afterwards instead.

    `updates`: so many instead of `minutes`, so that a busy machine trains the same network.
    """

    minutes: float = 60.0
    finish: float = 0.15
    batch: int = 8192
    learning_rate: float = 2e-3
    seed: int = 1
    updates: int | None = None


@dataclass
class Progress:
    """Where a run is: what a checkpoint keeps besides the weights."""

    seconds: float = 0.0
    updates: int = 0
    running_bits: float = 8.0
    best_bits: float = math.inf
    stale: int = 0
    """The lowest held-out bits so far, and the looks at them since; only where there is a patience."""


Report = Callable[[Progress, float], None]
Net = LocalNet | PixelCNN


def optimizers(net: Net, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the trunk's matrices, AdamW for everything else (2% fewer bits than AdamW alone at equal time)."""
    trunk = net.trunk()
    rest = [p for p in net.parameters() if all(p is not weight for weight in trunk)]
    muon = torch.optim.Muon(trunk, lr=5 * rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)]


def part_done(schedule: Schedule, progress: Progress) -> float:
    """Which part of its updates or minutes is over; 1 and more: all of them."""
    if schedule.updates is not None:
        return progress.updates / schedule.updates
    return progress.seconds / (60 * schedule.minutes)


def rate_factor(schedule: Schedule, progress: Progress) -> float:
    """Learning rate over its peak: a short warm-up, a cosine to 1%, and a cosine from 15% for the finish."""
    done = part_done(schedule, progress)
    start = 1 - schedule.finish
    if done < start:
        return min(1.0, (progress.updates + 1) / 100) * (0.01 + 0.99 * _cosine(done / start))
    return 0.15 * (0.01 + 0.99 * _cosine((done - start) / schedule.finish)) if schedule.finish else 0.01


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def mean_bits(net: Net, pixels: PixelSet, count: int, exact: bool) -> float:
    """Bits per subpixel over `count` evenly spaced pixels (of whole images, if the net wants them whole).

    bfloat16 products unless `exact`.
    """
    total = samples = 0.0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=not exact):
        for batch in net.batches(pixels, count):
            bits = net(*map(torch.from_numpy, batch))
            total += float(bits.double().sum())
            samples += bits.numel()
    return total / samples


def mean_bits_of(model: Net | LocalModel, images: list[NDArray[np.uint8]]) -> float:
    """Bits per dimension of all pixels of uint8 [H, W, C] images, in float32.

    Of an integer model it is the float network with its weights; code lengths are within 0.1%.
    """
    if isinstance(model, LocalModel):
        from .export import restore

        model = restore(model)
    pixels = PixelSet.of(images)
    return mean_bits(model, pixels, int(pixels.ends[-1]), exact=True)


def fit(
    net: Net,
    training: PixelSet,
    held_out: PixelSet,
    schedule: Schedule,
    folder: Path,
    report: Report | None = None,
    *,
    every: float = 120.0,
    patience: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Trains `net` in place until the schedule ends, going on from `folder/checkpoint.pt` if there is one.

    A checkpoint is written, and `report` called, `every` so many seconds; also when `stop()` says between two updates
    that it is enough for now. With `patience`, training ends when the held-out bits have not fallen for so many
    reports, and `net` has the weights, of `folder/best.pt`, that had the lowest.
    """
    torch.manual_seed(schedule.seed)
    folder.mkdir(parents=True, exist_ok=True)
    steppers = optimizers(net, schedule.learning_rate)
    peaks = [group["lr"] for stepper in steppers for group in stepper.param_groups]
    progress = _resume(folder / "checkpoint.pt", net, steppers)
    rng = np.random.default_rng([schedule.seed, progress.updates])
    saved, stopped = progress.seconds, False
    # However slow an update is, it must not skip the finish.
    while part_done(schedule, progress) < 1 or (schedule.finish and not net.quantized):
        stopped = stop()
        if stopped or (patience and progress.stale >= patience):
            break
        began = time.perf_counter()
        if schedule.finish and not net.quantized and part_done(schedule, progress) >= 1 - schedule.finish:
            torch.save(net.state_dict(), folder / "float.pt")
            net.quantized = True
        groups = [group for stepper in steppers for group in stepper.param_groups]
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * rate_factor(schedule, progress)
        bits = _update(net, steppers, net.draw(training, rng, schedule.batch))
        progress.updates += 1
        progress.running_bits += (bits - progress.running_bits) * max(0.01, 1 / progress.updates)
        # A process that was paused has not trained meanwhile.
        progress.seconds += min(time.perf_counter() - began, 2.0)
        if progress.seconds - saved > every:
            saved = progress.seconds
            held_out_bits = mean_bits(net, held_out, HELD_OUT_PIXELS, exact=False) if report or patience else math.inf
            if patience:
                _keep_best(net, held_out_bits, progress, folder)
            _save(folder / "checkpoint.pt", net, steppers, progress)
            if report:
                report(progress, held_out_bits)
    if patience and not stopped and progress.stale < patience:
        _keep_best(net, mean_bits(net, held_out, HELD_OUT_PIXELS, exact=False), progress, folder)
    _save(folder / "checkpoint.pt", net, steppers, progress)
    if patience and not stopped:
        net.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    return progress


def _keep_best(net: Net, bits: float, progress: Progress, folder: Path) -> None:
    """Counts reports without a new lowest held-out rate; the weights that have it go to `folder/best.pt`."""
    progress.stale += 1
    if bits < progress.best_bits:
        progress.best_bits, progress.stale = bits, 0
        torch.save(net.state_dict(), folder / "best.pt")


def _update(net: Net, steppers: list[torch.optim.Optimizer], batch: tuple[NDArray[np.float32], ...]) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss: Tensor = net(*map(torch.from_numpy, batch)).mean()
    for stepper in steppers:
        stepper.zero_grad()
    loss.backward()
    with centred(net.means):
        for stepper in steppers:
            stepper.step()
    return float(loss.detach())


@contextmanager
def centred(means: dict[nn.Linear, Tensor]) -> Iterator[None]:
    """Lets steps be taken as if each layer saw its inputs less their mean, and another bias made up for it.

    Activations have means far from zero. A step of one weight then moves a unit's output for all pixels alike, and
    units that are pushed below zero everywhere never return: of a residual block of 256 units none was left. `means`:
    each layer's mean input, float32 [in]. Layers that take no step stay as they are.
    (Centred weight gradients: Schraudolph 1998, "Centering neural network gradient factors".)
    """
    with torch.no_grad():
        before = {layer: layer.weight.clone() for layer in means}
        for layer, mean in means.items():
            if layer.weight.grad is not None and layer.bias.grad is not None:
                layer.weight.grad -= torch.outer(layer.bias.grad, mean)
        yield
        for layer, mean in means.items():
            layer.bias.sub_((layer.weight - before[layer]) @ mean)


def adapt(net: LocalNet, training: PixelSet, batch: int, updates: int, rng: np.random.Generator) -> None:
    """Trains for a moment what of `net` takes gradients, the rest being rounded: it takes up what rounding costs."""
    free = [parameter for parameter in net.parameters() if parameter.requires_grad]
    stepper = torch.optim.AdamW(free, lr=ADAPTING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    for update in range(updates):
        stepper.param_groups[0]["lr"] = ADAPTING_RATE * _cosine(update / updates)
        _update(net, [stepper], net.draw(training, rng, batch))


def _save(path: Path, net: Net, steppers: list[torch.optim.Optimizer], progress: Progress) -> None:
    state = {
        "net": net.state_dict(),
        "quantized": net.quantized,
        "steppers": [stepper.state_dict() for stepper in steppers],
        "progress": asdict(progress),
    }
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def _resume(path: Path, net: Net, steppers: list[torch.optim.Optimizer]) -> Progress:
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    net.quantized = state["quantized"]
    for stepper, saved in zip(steppers, state["steppers"], strict=True):
        stepper.load_state_dict(saved)
    return Progress(**state["progress"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of images or data sets; JPEGs are used reduced")
    parser.add_argument("--name", required=True, help="name of the model, for its file and card")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the exported model")
    parser.add_argument("--minutes", type=float, default=Schedule.minutes)
    parser.add_argument("--finish", type=float, default=Schedule.finish)
    parser.add_argument("--rate", type=float, default=Schedule.learning_rate, help="peak of the learning rate")
    parser.add_argument("--batch", type=int, default=Schedule.batch, help="pixels in an update")
    parser.add_argument("--base", help="start from this model (a name, or a .safetensors file) and its shape")
    parser.add_argument(
        "--camera-like", action="store_true", help="add a copy of each RGB image with a camera's defects"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--nelloc", type=int, metavar="R", help="the thesis's network with R residual blocks")
    parser.add_argument(
        "--pixelcnn", type=int, metavar="N", help="a full PixelCNN of N blocks (the thesis: gray 5, RGB 10)"
    )
    for field in ("channels", "horizon", "reach", "width", "layers", "head_width", "components", "blocks"):
        parser.add_argument(f"--{field.replace('_', '-')}", type=int)
    parser.add_argument("--predictor", choices=PREDICTORS)
    return parser.parse_args()


def nelloc(blocks: int, channels: int = 3, horizon: int = 3) -> Shape:
    """The thesis's NeLLoC, with so many residual blocks: raw pixels, K = 10, linear coefficients, shared weights."""
    return Shape(channels, horizon, horizon, 256, 1, 0, 10, "none", blocks, shared_logits=channels > 1)


def keep_freed_memory() -> None:
    """Makes glibc keep freed blocks: page faults of an update's large arrays otherwise take a fifth of its time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    for parameter, value in ((mmap_threshold, 1 << 30), (trim_threshold, 1 << 30), (top_pad, 1 << 28)):
        mallopt(parameter, value)


def _start(args: argparse.Namespace) -> Net:
    """A network as the arguments have it: new, or that of the base, with more residual blocks if they say so."""
    if args.pixelcnn is not None:
        channels = args.channels or 3
        horizon = args.horizon or (4 if channels == 3 else 3)
        return PixelCNN(CnnShape(channels, horizon, args.width or 256, args.pixelcnn))
    if args.base is not None:
        return start_from(args.base, args.nelloc)
    base = Shape() if args.nelloc is None else nelloc(args.nelloc, args.channels or 3, args.horizon or 3)
    given: dict[str, Any] = {field: getattr(args, field, None) for field in asdict(base)}
    return LocalNet(replace(base, **{field: value for field, value in given.items() if value is not None}))


def start_from(base: str, blocks: int | None = None) -> LocalNet:
    """The network of a model (a name, or a .safetensors file), with more residual blocks if `blocks` says so."""
    from . import zoo
    from .export import restore, shape_of

    model = zoo.load(base)
    shape = shape_of(model)
    return grown(restore(model), shape.blocks if blocks is None else blocks, shape.shared_logits)


@dataclass(frozen=True)
class Data:
    """What a run learns from, and is judged by. `fingerprints`: of the training images, without copies of them."""

    training: PixelSet
    held_out: PixelSet
    fingerprints: list[str]

    @classmethod
    def of(cls, images: list[NDArray[np.uint8]], copy: Callable[..., NDArray[np.uint8]] | None = None) -> "Data":
        """Sets some images aside and adds `copy` of each of the others. ShearlocError for fewer than 2 images."""
        training, held_out = split(images)
        prints = list(map(fingerprint, training))
        copies = [copy(image) for image in training] if copy else []
        return cls(PixelSet.of(training + copies), PixelSet.of(held_out), prints)


def rounded_by_data(
    net: LocalNet, data: Data, schedule: Schedule, progress: Progress, folder: Path
) -> dict[torch.nn.Linear, Tensor]:
    """Rounds the weights in place after keeping them in `folder/float.pt`; the layers' scales, for `export`."""
    from .rounding import round_weights

    torch.save(net.state_dict(), folder / "float.pt")
    rng = np.random.default_rng(schedule.seed)
    updates = min(ADAPTING_UPDATES, int(ADAPTING_SHARE * progress.updates) // (len(net.hidden) + 1))
    sample = torch.from_numpy(net.draw(data.training, rng, ROUNDING_PIXELS)[0])
    return round_weights(net, sample, lambda: adapt(net, data.training, schedule.batch, updates, rng))


def describe(
    net: Net, name: str, folders: list[Path], base: str | None, data: Data, schedule: Schedule, progress: Progress
) -> dict[str, Any]:
    """The card of a network that has been trained, and rounded if it is to be: what the zoo says of the model."""
    few = len(data.fingerprints) <= MOST_FINGERPRINTS
    return {
        "name": name,
        "summary": _summary(net, folders, progress),
        "kind": "local" if isinstance(net, LocalNet) else "pixelcnn",
        "shape": asdict(net.shape),
        "parameters": sum(p.numel() for p in net.parameters()),
        "data": [folder.resolve().name for folder in folders],
        "base": base and Path(base).name,
        "training_pixels": int(data.training.ends[-1]),
        "schedule": asdict(schedule),
        "threads": torch.get_num_threads(),
        "updates": progress.updates,
        "held_out_bits_per_dimension": round(mean_bits(net, data.held_out, 1 << 18, exact=True), 4),
    } | ({"training_images": data.fingerprints} if few else {})


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Writes a card as JSON, the fingerprints of the training images on one line."""
    key = "training_images"
    text = json.dumps(card | {key: 0} if key in card else card, indent=2)
    path.write_text(text.replace(f'"{key}": 0', f'"{key}": {json.dumps(card.get(key))}') + "\n", encoding="utf-8")


def _summary(net: Net, folders: list[Path], progress: Progress) -> str:
    kind = "RGB" if net.shape.channels == 3 else "gray"
    count = sum(p.numel() for p in net.parameters())
    data = " and ".join(folder.resolve().name for folder in folders)
    return f"{kind}, {count:,} parameters, trained {progress.seconds / 60:.0f} minutes on {data}"


def main() -> None:
    """The command `python -m shearloc.models.train`."""
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    from .export import export

    args = _arguments()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    net = _start(args)
    finish = args.finish if isinstance(net, LocalNet) else 0.0
    schedule = Schedule(minutes=args.minutes, finish=finish, batch=args.batch, learning_rate=args.rate)
    images = [image for folder in args.folders for image in load_data(folder, net.shape.channels)]
    rng = np.random.default_rng(schedule.seed)
    data = Data.of(images, partial(camera_like, rng=rng) if args.camera_like else None)
    if args.base and isinstance(net, LocalNet):
        inputs = net.draw(data.training, rng, HELD_OUT_PIXELS)[0]
        print(f"{revive(net, torch.from_numpy(inputs))} units of {args.base} were dead: they begin anew", flush=True)
    with Bar(*Bar.get_default_columns(), TextColumn("{task.fields[bits]}")) as bar:
        task = bar.add_task(args.name, total=60 * schedule.minutes, bits="")

        def report(progress: Progress, bits: float) -> None:
            line = f"{progress.running_bits:.4f} training, {bits:.4f} held-out bits per dimension"
            bar.update(task, completed=progress.seconds, bits=line)
            bar.console.print(f"{progress.seconds / 60:.1f} min, {progress.updates} updates: {line}")

        progress = fit(net, data.training, data.held_out, schedule, args.out, report)
    scales = None
    if not schedule.finish and isinstance(net, LocalNet):
        scales = rounded_by_data(net, data, schedule, progress, args.out)
    card = describe(net, args.name, args.folders, args.base, data, schedule, progress)
    card["camera_like_copies"] = args.camera_like
    if test := [image for folder in args.folders for image in load_data(folder, net.shape.channels, "test")]:
        card["test_images"] = len(test)
        card["test_bits_per_dimension"] = round(mean_bits_of(net, test), 4)
    if isinstance(net, LocalNet):
        export(net, args.name, scales).save(args.out / f"{args.name}.safetensors")
    else:
        torch.save(net.state_dict(), args.out / f"{args.name}.pt")
    write_card(args.out / f"{args.name}.json", card)
    print(json.dumps({key: value for key, value in card.items() if key != "training_images"}, indent=2))


if __name__ == "__main__":
    main()
