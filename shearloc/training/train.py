"""Trains a local model on images and exports it: the command, its data, and the model's card.

    python -m shearloc.training.train ../shared/data/photos ../shared/data/imagenet-jpeg \\
        --name photo --minutes 80 --out runs/photo
    python -m shearloc.training.train ../shared/data/cifar10 --nelloc 1 --name nelloc-r1 --minutes 80 --out runs/r1

Float with a cosine schedule (`fitting.py`), then a quantisation-aware finish or rounding by data (`rounding.py`).
Pixels are sampled with their contexts, and windows only for `--neighbours`. The run writes `checkpoint.pt` every
two minutes and resumes from it; at the end of the float phase `float.pt` (the float parent), at the end of all
`NAME.safetensors` and its card `NAME.json` (of a PixelCNN `NAME.pt` instead). Needs torch; nothing that decodes
imports this file.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.wavefront.context import PREDICTORS
from . import number_types
from .fitting import (
    HELD_OUT_PIXELS,
    Net,
    Progress,
    Schedule,
    adapt,
    fit,
    keep_freed_memory,
    mean_bits,
    mean_bits_of,
    part_done,
    use_processors,
)
from .images import PixelSet, camera_like, fingerprint, load_data, perturbed, split
from .local_float import LocalNet, Shape, grown, nelloc, revive
from .pixelcnn import CnnShape, PixelCNN
from .rounding import ROUNDING_PIXELS, inputs_of, round_weights

FEWEST_PIXELS = 16384
"""Pixels to round by if there is no time for ROUNDING_PIXELS."""
ADAPTING_UPDATES = 1000
ADAPTING_SHARE = 0.5
"""Updates for later layers to adapt to a rounded one: the most, and the part of training's that all may take."""
ADAPTING_BATCH = 4096
"""Most pixels in such an update; else half of training's: more updates are better than large ones."""

CARD_PIXELS, CARD_WINDOW_PIXELS = 1 << 18, 1 << 21
"""Most held-out pixels for a card's rate; more in windows, because windows differ more."""

MOST_SCORED, SCORED_PIXELS = 1000, 1 << 22
"""Held-out images whose scores a card's quantiles are of, and their pixels: the most."""

MOST_FINGERPRINTS = 20_000
"""Most training images that a card lists. Larger sets, such as CIFAR-10, are identified by their name."""

FIELDS = {
    "channels": "1: gray, 3: RGB",
    "horizon": "rows and columns of earlier pixels that the network sees",
    "reach": "how far to the right it sees in the rows above",
    "width": "units of the hidden layers",
    "layers": "hidden layers",
    "head_width": "units of what joins the channels",
    "components": "logistics in the mixture of each channel",
    "blocks": "residual blocks, as the thesis has them",
    "neighbours": "places whose activations a layer sees, too",
    "narrow": "units of those activations",
}
"""Help for the fields of `local_float.Shape`."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of images or data sets; JPEGs are used reduced")
    parser.add_argument("--name", required=True, help="name of the model, for its file and card")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the exported model")
    parser.add_argument("--minutes", type=float, default=Schedule.minutes, help="how long to train, without rounding")
    parser.add_argument(
        "--updates", type=int, help="so many instead of --minutes: the same on a fast and a slow machine"
    )
    parser.add_argument(
        "--finish",
        type=float,
        default=Schedule.finish,
        help="the last part of the time that is quantisation-aware; 0: round by data afterwards",
    )
    parser.add_argument("--rate", type=float, default=Schedule.learning_rate, help="peak of the learning rate")
    parser.add_argument("--batch", type=int, default=Schedule.batch, help="pixels in an update")
    parser.add_argument("--base", help="start from this model (a name, or a .safetensors file) and its shape")
    parser.add_argument(
        "--camera-like", action="store_true", help="add a copy of each RGB image with a camera's defects"
    )
    parser.add_argument(
        "--perturb",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="replace this share of the pixels by random ones: a background model, for likelihood ratios",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's; default: one for each processor")
    parser.add_argument("--nelloc", type=int, metavar="R", help="the thesis's network with R residual blocks")
    parser.add_argument(
        "--pixelcnn", type=int, metavar="N", help="a full PixelCNN of N blocks (the thesis: gray 5, RGB 10)"
    )
    for field, text in FIELDS.items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, metavar="N", help=text)
    parser.add_argument("--predictor", choices=PREDICTORS, help="what is taken off each pixel before the network")
    parser.add_argument("--level", action="store_true", default=None, help="show the network the predictions, too")
    return parser.parse_args()


def _start(args: argparse.Namespace) -> Net:
    """The network that the arguments ask for: new, or the base's, with more residual blocks if they say so."""
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
    """The network of a model (a name, or a .safetensors file), with more residual blocks if `blocks` says so.

    Of a model that learns, the first expert's. ShearlocError for a family that has no local network.
    """
    from ..models import zoo
    from ..models.learning.model import LearningModel
    from ..models.local.model import LocalModel
    from . import export_learning
    from .export import restore, shape_of

    found = zoo.load(base)
    if isinstance(found, LearningModel):
        return export_learning.restore(found)
    model = zoo.load_as(LocalModel, base)
    shape = shape_of(model)
    return grown(restore(model), shape.blocks if blocks is None else blocks, shape.shared_logits)


@dataclass(frozen=True)
class Data:
    """Training and held-out pixels of a run. `fingerprints`: of the training images, without copies of them."""

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
    net: LocalNet,
    data: Data,
    schedule: Schedule,
    progress: Progress,
    folder: Path,
    report: Callable[[int, int], None] | None = None,
    deadline: float = math.inf,
) -> dict[torch.nn.Linear, Tensor]:
    """Saves the weights to `folder/float.pt` and rounds them in place; returns the layers' scales, for `export`.

    `report` is called with (done, total), in layers. Takes minutes where training took hours; less if `deadline`, a
    time of `time.perf_counter`, would pass: then later layers adapt less.
    """
    torch.save(net.state_dict(), folder / "float.pt")
    rng = np.random.default_rng(schedule.seed)
    layers = len(net.hidden) + 1
    updates = min(ADAPTING_UPDATES, int(ADAPTING_SHARE * progress.updates) // layers)
    pixels = _pixels_for(net, data.training, layers, (deadline - time.perf_counter()) / 2)
    sample = torch.from_numpy(net.draw(data.training, rng, pixels)[0])

    began = time.perf_counter()

    def adapted(rounded: int) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds = (deadline - now) / (layers - rounded + 1) - (now - began)  # the next layer takes as long to round
        adapt(net, data.training, min(ADAPTING_BATCH, schedule.batch // 2), updates, rng, max(seconds, 0.0))
        began = time.perf_counter()
        if report:
            report(rounded, layers)

    return round_weights(net, sample, adapted)


def _pixels_for(net: LocalNet, training: PixelSet, layers: int, seconds: float) -> int:
    """Pixels by which every layer can be rounded in `seconds`, judged by the time that a few of them take."""
    if math.isinf(seconds):
        return ROUNDING_PIXELS
    few = torch.from_numpy(net.draw(training, np.random.default_rng(0), FEWEST_PIXELS)[0])
    start = time.perf_counter()
    inputs_of(net, net.first, few)
    each = (time.perf_counter() - start) * layers / FEWEST_PIXELS
    return max(FEWEST_PIXELS, min(ROUNDING_PIXELS, int(seconds / each)))


def describe(
    net: Net, name: str, folders: list[Path], base: str | None, data: Data, schedule: Schedule, progress: Progress
) -> dict[str, Any]:
    """The card of a trained network, rounded if it is going to be."""
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
        "products": number_types.name(),
        "updates": progress.updates,
        "held_out_bits_per_dimension": round(bits_of(net, data.held_out), 4),
    } | ({"training_images": data.fingerprints} if few else {})


def bits_of(net: Net, images: PixelSet) -> float:
    """Bits per dimension on images, such as those held out, or many of their pixels."""
    windows = isinstance(net, LocalNet) and net.shape.neighbours
    pixels = min(CARD_WINDOW_PIXELS if windows else CARD_PIXELS, int(images.ends[-1]))
    return mean_bits(net, images, pixels)


def bits_of_model(model: str, images: PixelSet) -> float:
    """`bits_of` a finished model, a name or a file."""
    net = start_from(model)
    net.rounded_activations = True
    return bits_of(net, images)


def held_out_scores(model_file: Path, data: Data) -> dict[str, Any]:
    """A card's `scores`: quantiles of the finished model's bits of at most SCORED_PIXELS of the held-out pixels."""
    from ..models import quantiles, zoo

    images, pixels = data.held_out.each(), 0
    few: list[NDArray[np.uint8]] = []
    for image in images[:: max(1, len(images) // MOST_SCORED)]:
        pixels += image.shape[0] * image.shape[1]
        if few and pixels > SCORED_PIXELS:
            break
        few.append(image)
    return quantiles.of_images(zoo.load(str(model_file)), few)


ONE_LINE = ("training_images", "scores")
"""Long parts of a card, each on one line."""


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Writes a card as JSON, the fingerprints of the training images and the scores' quantiles on one line each."""
    text = json.dumps(card, indent=2)
    for key in ONE_LINE:
        if key in card:
            whole = json.dumps({key: card[key]}, indent=2)[4:-2]
            text = text.replace(whole, f'"{key}": {json.dumps(card[key])}')
    path.write_text(text + "\n", encoding="utf-8")


def _summary(net: Net, folders: list[Path], progress: Progress) -> str:
    kind = "RGB" if net.shape.channels == 3 else "gray"
    count = sum(p.numel() for p in net.parameters())
    data = " and ".join(folder.resolve().name for folder in folders)
    return f"{kind}, {count:,} parameters, trained {progress.seconds / 60:.0f} minutes on {data}"


def _fitted(
    net: Net, data: Data, schedule: Schedule, args: argparse.Namespace
) -> tuple[Progress, dict[torch.nn.Linear, Tensor] | None]:
    """Trains the network in place and rounds it if it had no finish, each with a progress bar; returns the scales."""
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    with Bar(*Bar.get_default_columns(), TextColumn("{task.fields[bits]}")) as bar:
        task = bar.add_task(args.name, total=1.0, bits="")

        def report(progress: Progress, bits: float) -> None:
            line = f"{progress.running_bits:.4f} training, {bits:.4f} held-out bits per dimension"
            bar.update(task, completed=part_done(schedule, progress), bits=line)
            bar.console.print(f"{progress.seconds / 60:.1f} min, {progress.updates} updates: {line}")

        progress = fit(net, data.training, data.held_out, schedule, args.out, report, to_round=not schedule.finish)
        if schedule.finish or not isinstance(net, LocalNet):
            return progress, None
        rounding = bar.add_task("rounding", bits="")

        def report_layer(done: int, total: int) -> None:
            bar.update(rounding, completed=done, total=total)

        return progress, rounded_by_data(net, data, schedule, progress, args.out, report_layer)


def main() -> None:
    """The command `python -m shearloc.training.train`."""
    from .export import export

    args = _arguments()
    use_processors(args.threads)
    keep_freed_memory()
    torch.manual_seed(Schedule.seed)  # of the weights a new network starts with
    net = _start(args)
    finish = args.finish if isinstance(net, LocalNet) else 0.0
    schedule = Schedule(args.minutes, finish, args.batch, args.rate, updates=args.updates)
    images = [image for folder in args.folders for image in load_data(folder, net.shape.channels)]
    rng = np.random.default_rng(schedule.seed)
    if args.perturb:
        images = [perturbed(image, args.perturb, rng) for image in images]
    data = Data.of(images, partial(camera_like, rng=rng) if args.camera_like else None)
    if args.base and isinstance(net, LocalNet):
        inputs = net.draw(data.training, rng, HELD_OUT_PIXELS)[0]
        print(f"{revive(net, torch.from_numpy(inputs))} units of {args.base} were dead: they begin anew", flush=True)
    progress, scales = _fitted(net, data, schedule, args)
    card = describe(net, args.name, args.folders, args.base, data, schedule, progress)
    card["camera_like_copies"] = args.camera_like
    if args.perturb:
        card["perturbed_share"] = args.perturb
    if test := [image for folder in args.folders for image in load_data(folder, net.shape.channels, "test")]:
        card["test_images"] = len(test)
        card["test_bits_per_dimension"] = round(mean_bits_of(net, test), 4)
    if isinstance(net, LocalNet):
        file = args.out / f"{args.name}.safetensors"
        export(net, args.name, scales).save(file)
        card["scores"] = held_out_scores(file, data)
    else:
        torch.save(net.state_dict(), args.out / f"{args.name}.pt")
    write_card(args.out / f"{args.name}.json", card)
    print(json.dumps({key: value for key, value in card.items() if key not in ONE_LINE}, indent=2))


if __name__ == "__main__":
    main()
