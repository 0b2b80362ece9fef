"""Fits a float network to pixels: updates, the learning rate over time, averages and checkpoints.

`train.py` chooses the network and the images, and exports the result. Needs torch.
"""

import ctypes
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import checkpoints, number_types
from .images import PixelSet
from .local_float import LocalNet, image_bits
from .muon import Muon
from .pixelcnn import PixelCNN
from .rounding import ROUNDING_PIXELS, round_first

ADAPTING_RATE = 1e-4
"""Peak rate of `adapt`."""

LAST_RATE = 0.1
"""The last learning rate over its peak: the average removes the noise that remains."""

AVERAGED = 0.1
"""Training ends with the average of its weights over about this latest part of its updates."""

FIRST_ROUNDED = 0.7
"""The part of the schedule after which the first layer is rounded, where weights are rounded by data: it costs most."""

LOOK_APART = 8
"""How many times as long as it took to look at the held-out images, at least, until the next look."""

HELD_OUT_PIXELS = 1 << 16
"""Held-out pixels that a report's rate is measured on."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The last `finish` of the time is quantisation-aware; 0: rounded afterwards instead.

    `updates`: this many updates instead of `minutes`, so that a busy machine trains the same network.
    """

    minutes: float = 60.0
    finish: float = 0.15
    batch: int = 8192
    learning_rate: float = 2e-3
    seed: int = 1
    updates: int | None = None


@dataclass
class Progress:
    """How far a run has come: what a checkpoint keeps besides the weights."""

    seconds: float = 0.0
    updates: int = 0
    running_bits: float = 8.0
    best_bits: float = math.inf
    stale: int = 0
    """The lowest held-out bits so far, and the reports since; used only with a patience."""
    quantized: bool = False
    """Whether the quantisation-aware finish has begun."""


Report = Callable[[Progress, float], None]
Net = LocalNet | PixelCNN


def optimizers(net: Net, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the trunk's matrices, AdamW for everything else (2% fewer bits than AdamW alone at equal time)."""
    trunk = net.trunk()
    rest = [p for p in net.parameters() if all(p is not weight for weight in trunk)]
    return [Muon(trunk, 5 * rate), torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)]


def part_done(schedule: Schedule, progress: Progress) -> float:
    """The part of its updates or minutes that is over; 1 or more at the end."""
    if schedule.updates is not None:
        return progress.updates / schedule.updates
    return progress.seconds / (60 * schedule.minutes)


def rate_factor(schedule: Schedule, progress: Progress) -> float:
    """Learning rate over its peak: a short warm-up, a cosine to LAST_RATE, and such a one from 15% for the finish."""
    done = part_done(schedule, progress)
    start = 1 - schedule.finish
    if done < start:
        return min(1.0, (progress.updates + 1) / 100) * _falling(done / start)
    return 0.15 * _falling((done - start) / schedule.finish) if schedule.finish else LAST_RATE


def _falling(done: float) -> float:
    return LAST_RATE + (1 - LAST_RATE) * _cosine(done)


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def mean_bits(net: Net, pixels: PixelSet, count: int) -> float:
    """Bits per subpixel, in float32, of `count` evenly spaced pixels (of whole images, if the net wants them whole)."""
    total = samples = 0.0
    with torch.no_grad():
        for batch in net.batches(pixels, count):
            bits = net(*map(torch.from_numpy, batch))
            total += float(bits.double().sum())
            samples += bits.numel()
    return total / samples


def mean_bits_of(net: Net, images: list[NDArray[np.uint8]]) -> float:
    """Bits per dimension of all pixels of uint8 [H, W, C] images, in float32."""
    if isinstance(net, LocalNet) and net.shape.neighbours:
        return sum(image_bits(net, image) for image in images) / sum(image.size for image in images)
    pixels = PixelSet.of(images)
    return mean_bits(net, pixels, int(pixels.ends[-1]))


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
    to_round: bool = False,
    stop: Callable[[], bool] = lambda: False,
    deadline: float = math.inf,
) -> Progress:
    """Trains `net` in place until the schedule ends, resuming from `folder/checkpoint.pt` if there is one.

    `net` ends with an average of the latest weights (`AVERAGED`), and reports measure that average. `every` seconds,
    and when `stop()` returns True between two updates, a checkpoint is written and `report` called. With `patience`,
    training ends when that many reports in a row bring no lower held-out bits, and `net` gets the best weights, those
    of `folder/best.pt`. `to_round`: weights will be rounded by data, so a local net's first layer is rounded at
    FIRST_ROUNDED and the others train on around it.
    `deadline`, a time of `time.perf_counter`, ends training, too, however slow a busy machine is.
    """
    torch.manual_seed(schedule.seed)
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run.of(net, schedule)
    progress = Progress(**checkpoints.load(folder / "checkpoint.pt", run.nets, run.steppers))
    net.quantized = run.average.quantized = progress.quantized
    rng = np.random.default_rng([schedule.seed, progress.updates])
    saved, looked, stopped = progress.seconds, 0.0, False
    # However slow an update is, it must not skip the finish.
    while part_done(schedule, progress) < 1 or (schedule.finish and not progress.quantized):
        stopped = stop()
        if stopped or (patience and progress.stale >= patience) or time.perf_counter() > deadline:
            break
        began = time.perf_counter()
        _advance(run, training, rng, schedule, progress, folder, to_round)
        # A process that was paused has not trained meanwhile.
        progress.seconds += min(time.perf_counter() - began, 2.0)
        if progress.seconds - saved > max(every, LOOK_APART * looked):
            looked = _look(run, held_out, progress, folder, report, bool(patience))
            saved = progress.seconds
    if patience and not stopped and progress.stale < patience:
        _keep_best(run.average, mean_bits(run.average, held_out, HELD_OUT_PIXELS), progress, folder)
    checkpoints.save(folder / "checkpoint.pt", run.nets, run.steppers, asdict(progress))
    net.load_state_dict(run.average.state_dict())
    if patience and not stopped:
        net.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    return progress


class _Run(NamedTuple):
    """A network that is trained, the average of its latest weights, its optimizers and their highest rates."""

    net: Net
    average: Net
    steppers: list[torch.optim.Optimizer]
    peaks: list[float]

    @classmethod
    def of(cls, net: Net, schedule: "Schedule") -> "_Run":
        steppers = optimizers(net, schedule.learning_rate)
        return cls(net, deepcopy(net), steppers, [group["lr"] for one in steppers for group in one.param_groups])

    @property
    def nets(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return {"net": self.net, "average": self.average}


def _advance(
    run: _Run,
    training: PixelSet,
    rng: np.random.Generator,
    schedule: Schedule,
    progress: Progress,
    folder: Path,
    to_round: bool,
) -> None:
    """One update, and what is due before it."""
    net, average, steppers, peaks = run
    if schedule.finish and not progress.quantized and part_done(schedule, progress) >= 1 - schedule.finish:
        progress.quantized = True
        _begin_finish(net, average, folder)
    if to_round and isinstance(net, LocalNet):
        _settle_first(net, average, part_done(schedule, progress) >= FIRST_ROUNDED, training, rng)
    set_rates(steppers, peaks, rate_factor(schedule, progress))
    bits = _update(net, steppers, net.draw(training, rng, schedule.batch))
    progress.updates += 1
    _average(average, net, progress.updates)
    progress.running_bits += (bits - progress.running_bits) * max(0.01, 1 / progress.updates)


def _look(
    run: _Run, held_out: PixelSet, progress: Progress, folder: Path, report: Report | None, keep_best: bool
) -> float:
    """Measures the average on held-out pixels, where somebody wants that, and writes a checkpoint; the seconds."""
    began = time.perf_counter()
    held_out_bits = mean_bits(run.average, held_out, HELD_OUT_PIXELS) if report or keep_best else math.inf
    if keep_best:
        _keep_best(run.average, held_out_bits, progress, folder)
    looked = min(time.perf_counter() - began, 60.0)
    progress.seconds += looked  # looking takes time, too
    checkpoints.save(folder / "checkpoint.pt", run.nets, run.steppers, asdict(progress))
    if report:
        report(progress, held_out_bits)
    return looked


def _begin_finish(net: Net, average: Net, folder: Path) -> None:
    """Saves the average to `folder/float.pt` and continues from it with everything rounded."""
    torch.save(average.state_dict(), folder / "float.pt")
    net.load_state_dict(average.state_dict())
    net.quantized = average.quantized = True


def set_rates(steppers: list[torch.optim.Optimizer], peaks: list[float], factor: float) -> None:
    """Sets every group's learning rate to its peak times `factor`."""
    groups = [group for stepper in steppers for group in stepper.param_groups]
    for group, peak in zip(groups, peaks, strict=True):
        group["lr"] = peak * factor


def _settle_first(net: LocalNet, average: Net, due: bool, training: PixelSet, rng: np.random.Generator) -> None:
    """When `due`, rounds the average's first layer and continues from there; freezes the net's once it is rounded."""
    if due and not net.first_scale.any():
        round_first(cast(LocalNet, average), torch.from_numpy(net.draw(training, rng, ROUNDING_PIXELS)[0]))
        net.load_state_dict(average.state_dict())
    net.first.weight.requires_grad_(not net.first_scale.any())


def _average(average: Net, net: Net, updates: int) -> None:
    """Moves the average's weights towards the net's after this many updates."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 / max(1.0, AVERAGED * updates))


def _keep_best(net: Net, bits: float, progress: Progress, folder: Path) -> None:
    """Counts reports without a new lowest held-out rate; a new best goes to `folder/best.pt`."""
    progress.stale += 1
    if bits < progress.best_bits:
        progress.best_bits, progress.stale = bits, 0
        torch.save(net.state_dict(), folder / "best.pt")


def _update(
    net: Net, steppers: list[torch.optim.Optimizer], batch: tuple[NDArray[np.float32], ...], exact: bool = False
) -> float:
    """One step of each optimizer; products in float32 if `exact`, else in the quicker type. The batch's mean bits."""
    with nullcontext() if exact else number_types.quick():
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
    """Makes updates act as if each layer saw its inputs minus their mean, with another bias to make up for it.

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


def adapt(
    net: LocalNet, training: PixelSet, batch: int, updates: int, rng: np.random.Generator, seconds: float = math.inf
) -> None:
    """Trains briefly what of `net` still takes gradients, so that it makes up for what rounding the rest costs.

    So many updates, or fewer where `seconds` are over before.
    In float32: bfloat16 rounds, too, and weights would learn to make up for that instead.
    """
    free = [parameter for parameter in net.parameters() if parameter.requires_grad]
    stepper = torch.optim.AdamW(free, lr=ADAPTING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    began = time.perf_counter()
    for update in range(updates):
        done = max(update / updates, (time.perf_counter() - began) / seconds if seconds > 0 else 1.0)
        if done >= 1:
            break
        stepper.param_groups[0]["lr"] = ADAPTING_RATE * _cosine(done)
        _update(net, [stepper], net.draw(training, rng, batch), exact=True)


def same_weights_each_time(seed: int) -> None:
    """Makes a new network begin with the same random weights, by this number."""
    torch.manual_seed(seed)


def use_processors(count: int) -> None:
    """Lets torch use so many, and Numba's parallel loops, whose threads look for work as long as there are any."""
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Makes glibc keep freed blocks: page faults of an update's large arrays otherwise take a fifth of its time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    for parameter, value in ((mmap_threshold, 1 << 30), (trim_threshold, 1 << 30), (top_pad, 1 << 28)):
        mallopt(parameter, value)
