"""The command that trains a model on your own images.

Options and printing only; the training is in `training/train.py`.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ShearlocError
from .app import INTERRUPTED, command, complain, fail
from .progress import progress_bars

if TYPE_CHECKING:
    from ..training.fitting import Progress, Report
    from ..training.images import PixelSet
    from ..training.train import Data

TRAINING_SHARE = 0.65
"""Share of the minutes for training with floats; loading, rounding and judging take the rest."""
FEW_IMAGES = 20
"""With fewer images, too few are held out to judge by."""
REPORTS = 40
"""How often a training looks at the held-out images."""
PATIENCE = 8
"""Looks in a row without a new lowest rate after which it ends."""


@command(
    epilog="\b\nExamples:\n  shearloc train scans/ --out scans.safetensors --minutes 30\n"
    "  shearloc train scans/ --out scans.safetensors --base photo\n"
    "  shearloc encode page.png --model scans.safetensors"
)
def train(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Folders of images like those you want to encode: PNG, WebP, TIFF, BMP, PPM; JPEGs are used reduced "
            "in size. Or data sets as MNIST (IDX) and CIFAR-10 (grids) have them.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model, .safetensors; its card goes beside it, .json.")],
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Go on from this model, a name or a file. Default: a new one.")
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images of other kinds, such as photographs, to compare the models on, too."),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.01, help="How long at most, rounding included. It ends sooner when held-out images gain no more."
        ),
    ] = 60.0,
    channels: Annotated[
        int | None, typer.Option(help="1: gray, 3: RGB. Default: gray if all images are.", min=1, max=3)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite OUT, and write a model that is worse than its base.")
    ] = False,
) -> None:
    """Train a model on your own images (needs torch).

    Every twentieth image is held out to judge it by, beside the base. Stopped with Ctrl-C or killed, the same command
    goes on where it was: what it needs for that is in a folder beside OUT until it is done.
    """
    start = time.perf_counter()
    folder = _folder_of(out)
    _check_output(out, force)
    with _asking_to_stop(f"stopping; the same command goes on from {folder}") as stop:
        _prepare_torch()
        from ..training.fitting import Schedule, fit

        net, data = _begin(folders, channels, base)
        others = _others(general, data.held_out.channels)
        _claim(folder, {"base": base, "channels": data.held_out.channels, "images": sorted(data.fingerprints)})
        rival = _Rival.of(base, data.held_out, others)
        now = time.perf_counter()
        left = max(start + 60 * minutes - now, 30 * minutes)  # where it took half of the time to begin, it takes longer
        schedule = Schedule(minutes=TRAINING_SHARE * minutes, finish=0.0)
        every = 60 * schedule.minutes / REPORTS
        with _reports(out.name, 60 * schedule.minutes) as report:
            progress = fit(
                net,
                data.training,
                data.held_out,
                schedule,
                folder,
                report,
                every=every,
                to_round=True,
                patience=PATIENCE,
                stop=stop,
                deadline=now + TRAINING_SHARE * left,
            )
        if stop():
            sys.exit(INTERRUPTED)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on it need not be asked
        typer.echo("rounding to integers")
        card = _round(net, data, schedule, progress, folders, base, out, now + left - rival.seconds)
        elsewhere = _bits(str(folder / "model.safetensors"), others)
        _finish(out, card, rival, force, elsewhere)


def _prepare_torch() -> None:
    """Uses all cores, keeps freed memory, and seeds the random weights. ShearlocError without torch."""
    try:
        from ..training.fitting import Schedule, keep_freed_memory, same_weights_each_time, use_processors
    except ImportError as error:
        raise ShearlocError(f'training needs torch ({error}): pip install "torch>=2.9"') from error
    from ..nets.engines import processors

    use_processors(processors())
    same_weights_each_time(Schedule.seed)
    keep_freed_memory()


def _check_output(out: Path, force: bool) -> None:
    if out.suffix != ".safetensors":
        raise ShearlocError(f"{out}: a model's file ends in .safetensors")
    if not out.parent.is_dir():
        raise ShearlocError(f"{out.parent}: no such folder")
    for path in (out, out.with_suffix(".json")):
        if path.exists() and not force:
            raise ShearlocError(f"{path} exists; use --force to replace it")


def _begin(folders: list[Path], channels: int | None, base: str | None) -> tuple[Any, "Data"]:
    """The network to start from, and the images. ShearlocError where they do not go together."""
    from ..training import images
    from ..training.local_float import LocalNet, Shape
    from ..training.train import Data, start_from

    net = start_from(base) if base else None
    if channels is None:
        channels = net.shape.channels if net else images.channels_of(folders)
    if channels not in (1, 3):
        raise ShearlocError(f"--channels is 1 (gray) or 3 (RGB), not {channels}")
    if net and net.shape.channels != channels:
        raise ShearlocError(f"model '{base}' is for {_colour(net.shape.channels)} images: leave out --channels")
    arrays = [image for one in folders for image in images.load_data(one, channels, complain=complain)]
    if not arrays:
        raise ShearlocError(f"{', '.join(map(str, folders))}: no images ({' '.join(sorted(images.SUFFIXES))})")
    data = Data.of(arrays)
    count = len(data.fingerprints)
    if len(arrays) < FEW_IMAGES:
        held_out = len(arrays) - count
        complain(f"warning: {len(arrays)} images are few: the rate of {held_out} held out says little about others")
    typer.echo(f"{count} {_colour(channels)} images to learn from, {len(arrays) - count} held out")
    return net or LocalNet(Shape() if channels == 3 else Shape(channels=1, width=128)), data


def _others(folder: Path | None, channels: int) -> "PixelSet | None":
    """The images of --general. ShearlocError where there are none."""
    from ..training import images

    if folder is None:
        return None
    arrays = images.load_data(folder, channels, complain=complain)
    if not arrays:
        raise ShearlocError(f"{folder}: no images ({' '.join(sorted(images.SUFFIXES))})")
    return images.PixelSet.of(arrays)


def _bits(model: str, images: "PixelSet | None") -> float | None:
    """A model's bits per dimension on images, rounded as they are printed; None without images."""
    from ..training.train import bits_of_model

    return None if images is None else round(bits_of_model(model, images), 4)


def _colour(channels: int) -> str:
    return "gray" if channels == 1 else "RGB"


def _claim(folder: Path, run: dict[str, Any]) -> None:
    """Makes the folder of a training, or resumes in it. ShearlocError where it belongs to another training."""
    known = folder / "run.json"
    if not known.exists():
        folder.mkdir(exist_ok=True)
        known.write_text(json.dumps(run))
    elif json.loads(known.read_text()) != run:
        raise ShearlocError(
            f"{folder} is of a training on other images or from another base: remove it, or change --out"
        )


@dataclass(frozen=True)
class _Rival:
    """The model to compare the new one with: the base, or the model that encoders use by default.

    `bits` on the held-out images, `elsewhere` on those of --general. `seconds`: how long it took to measure these
    rates; the new one will take as long.
    """

    name: str
    is_base: bool
    bits: float
    seconds: float
    elsewhere: float | None = None

    @classmethod
    def of(cls, base: str | None, held_out: "PixelSet", others: "PixelSet | None") -> "_Rival":
        """By its rates."""
        from ..models import defaults
        from ..training.train import bits_of_model

        start = time.perf_counter()
        name = base or defaults.STATIC[held_out.channels]
        bits = round(bits_of_model(name, held_out), 4)
        typer.echo(f"'{name}' has {bits:.4f} held-out bits per dimension")
        elsewhere = _bits(name, others)
        return cls(name, base is not None, bits, time.perf_counter() - start, elsewhere)


def _round(
    net: Any,
    data: "Data",
    schedule: Any,
    progress: "Progress",
    folders: list[Path],
    base: str | None,
    out: Path,
    deadline: float,
) -> dict[str, Any]:
    """Round the network to the integer model, which goes to the training's folder with its card; gives that."""
    from ..training import train as learner
    from ..training.export import export

    folder = _folder_of(out)
    with progress_bars(1) as begin:
        report = begin(0, "rounding to integers")
        scales = learner.rounded_by_data(net, data, schedule, progress, folder, report, deadline)
    card = learner.describe(net, out.stem, folders, base, data, schedule, progress)
    export(net, out.stem, scales).save(folder / "model.safetensors")
    card["scores"] = learner.held_out_scores(folder / "model.safetensors", data)
    learner.write_card(folder / "card.json", card)
    return card


def _finish(out: Path, card: dict[str, Any], rival: _Rival, force: bool, elsewhere: float | None = None) -> None:
    """Compares the model with its rival, on other images, too, and puts it and its card in their places."""
    from ..models import zoo

    folder, bits = _folder_of(out), card["held_out_bits_per_dimension"]
    versus = f"{bits:.4f} held-out bits per dimension, '{rival.name}' has {rival.bits:.4f}"
    if bits >= rival.bits and rival.is_base and not force:
        raise ShearlocError(
            f"{out}: not written, as it is no better than its base: {versus}; more images or --minutes may help, "
            f"--force writes it (it is in {folder})"
        )
    os.replace(folder / "card.json", out.with_suffix(".json"))
    os.replace(folder / "model.safetensors", out)
    shutil.rmtree(folder)
    typer.echo(f"{out}  {versus}")
    if bits >= rival.bits:
        complain(f"warning: '{rival.name}' is better on these images")
    if elsewhere is not None and rival.elsewhere is not None:
        typer.echo(
            f"on the general images {elsewhere:.4f} bits per dimension, '{rival.name}' has {rival.elsewhere:.4f}"
        )
        if elsewhere > rival.elsewhere:
            complain(
                f"warning: on the general images '{rival.name}' is better by {elsewhere / rival.elsewhere - 1:.1%}"
            )
    if out.resolve().parent not in [one.resolve() for one in zoo.folders()]:
        typer.echo(f"`shearloc models add {out}` puts it where files made with it find it")


def _folder_of(out: Path) -> Path:
    """Where a training keeps what it needs to resume."""
    return out.with_suffix(".training")


@contextmanager
def _asking_to_stop(message: str) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed. The first press only asks, so that training ends between two updates."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        complain(message)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    except KeyboardInterrupt:
        fail(message.replace("stopping", "interrupted"), INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _reports(name: str, seconds: float) -> "Iterator[Report]":
    """A line on stdout for each look at the held-out images; where stderr is a terminal also a bar."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(
        console=console, transient=True, redirect_stdout=sys.stdout.isatty(), disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=seconds)

        def report(progress: "Progress", bits: float) -> None:
            bar.update(task, completed=progress.seconds)
            typer.echo(
                f"{progress.seconds / 60:.1f} min, {progress.updates} updates: {progress.running_bits:.4f} training, "
                f"{bits:.4f} held-out bits per dimension"
            )

        yield report
