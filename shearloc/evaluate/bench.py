"""`shearloc bench`: our models and other codecs over the same images in one run, with real bytes, times and memory.

Every contender has a process, and so memory and threads, of its own. They take turns image by image, so a busy moment
of the machine hits all alike. Every file is decoded and compared. A rate is in bits per dimension (subpixel),
8 * bytes / (H * W * C), and the mean over images is the mean of these. A model's own code length is measured by
`rates.py`.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..codec import api, archive
from ..codec.pictures import files
from ..errors import ShearlocError
from ..jobs.models import use
from ..models import defaults, zoo
from ..types import Pixels
from .peers import Codec, peers, same_pixels
from .results import Contest, Result, Row, Trial

Advance = Callable[[], None]
"""Called after each of the steps that `steps` counts."""

SUFFIXES = {".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"}

REASONS = 5
"""Most reasons that one message lists."""
WARM_SIDE = 48
"""Contenders warm up on the middle of the first gray and the first colour image, at most this high and wide."""

TORCH_EFFORT = 7
"""From this effort on, encoding needs torch."""


@dataclass(frozen=True)
class Ours:
    """One of our models at one effort, by one engine. An autoencoder codes all images as one archive."""

    model: str = "auto"
    effort: int = 5
    engine: str = "auto"
    archive: bool = False

    @property
    def name(self) -> str:
        """The name in tables, as "shearloc photo, effort 7"; with the engine if one was asked for."""
        model = "shearloc" if self.model == "auto" else f"shearloc {Path(self.model).stem}"
        how = "archive" if self.archive else f"effort {self.effort}"
        return f"{model}, {how}" + ("" if self.engine == "auto" else f", {self.engine}")


@dataclass(frozen=True)
class Other:
    """One of `peers.peers()`."""

    name: str


Contender = Ours | Other


# --- Images and contenders --------------------------------------------------------------------------------------


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The files named, and the images in the folders named, sorted, each once. ShearlocError if there are none."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = (one for one in sorted(path.iterdir()) if one.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        found |= dict.fromkeys(inside)
    if not found:
        raise ShearlocError(f"no images there; folders are searched for {' '.join(sorted(SUFFIXES))}")
    return list(found)


def our_contenders(models: list[str], efforts: list[int], engines: list[str]) -> list[Ours]:
    """Every model at every effort by every engine; one that codes alike at every effort, once for each engine.

    UnknownModelError for a model that is not installed, ShearlocError for an unknown engine.
    """
    for engine in engines:
        if engine not in api.ENGINES:
            raise ShearlocError(f"engine is one of {', '.join(api.ENGINES)}, not {engine!r}")
    found: dict[Ours, None] = {}
    for model in models:
        family = None if model == "auto" else zoo.load(model).family
        together = family is not None and not family.pictures
        has_efforts = family is None or "effort" in family.options
        for effort in efforts:
            for engine in engines:
                found[Ours(model, effort if has_efforts else 5, engine, archive=together)] = None
    return list(found)


def other_contenders(wanted: Iterable[str] = ()) -> list[Other]:
    """The installed peers whose names begin with one of `wanted`, in any case; all of them if it is empty.

    ShearlocError for a wanted one that is not installed.
    """
    here = list(peers())
    starts = [name.lower() for name in wanted]
    for start in starts:
        if not any(name.lower().startswith(start) for name in here):
            raise ShearlocError(f"no codec '{start}' is installed; there are {', '.join(here)}")
    return [Other(name) for name in here if not starts or name.lower().startswith(tuple(starts))]


def seen_in_training(images: Iterable[Path], models: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Images that a model was trained on, by model; and the models that keep no record of their training images.

    "auto" stands for the default models. A colour image also counts as gray, because a gray model may have seen it so.
    Files that cannot be read are left out.
    """
    from ..training.images import fingerprint

    names = dict.fromkeys(name for model in models for name in (defaults.pictures() if model == "auto" else [model]))
    records = {name: zoo.training_images(name) for name in names}
    prints = {}
    for path in images:
        with suppress(ShearlocError, OSError):
            pixels = files.load_image(path)
            prints[path.name] = {fingerprint(pixels), fingerprint(np.asarray(Image.fromarray(pixels).convert("L")))}
    seen = {
        name: [image for image, either in prints.items() if either & record]
        for name, record in records.items()
        if record is not None
    }
    return seen, [name for name, record in records.items() if record is None]


# --- The run ----------------------------------------------------------------------------------------------------


def steps(images: int, contenders: int, rounds: int) -> int:
    """How often `measure` calls `advance`."""
    return contenders + rounds * images


def measure(paths: list[Path], contenders: list[Contender], rounds: int, advance: Advance) -> Contest:
    """Every contender encodes and decodes every image once a round, in turns, after warming up.

    A file that is not an 8-bit gray or RGB image is left out. An image that a contender cannot code is one of its
    failures, and so is every image after its process died. ShearlocError if no file can be read.
    """
    contest = Contest([Row(one.name, isinstance(one, Ours)) for one in contenders])
    together: list[Pixels] = []
    with ExitStack() as stack:
        entries = [
            (stack.enter_context(_worker(one)), one, row) for one, row in zip(contenders, contest.rows, strict=True)
        ]
        by_image = [entry for entry in entries if not _makes_archive(entry[1])]
        by_archive = [entry for entry in entries if _makes_archive(entry[1])]
        warm = _warm_images(paths, contest.left_out)
        for worker, one, _ in entries:
            for image in [] if _makes_archive(one) else warm:
                _ask(worker, one, image)
            advance()
        for number in range(rounds):
            for path in paths:
                pixels = None if str(path) in contest.left_out else _load(path, contest.left_out)
                if pixels is not None:
                    for worker, one, row in by_image:
                        _record(row, path.name, pixels.size, _ask(worker, one, pixels))
                    if number == 0:
                        contest.images.append(path.name)
                    if number == 0 and by_archive:
                        together.append(pixels)
                advance()
            for worker, one, row in by_archive:
                _measure_archive(worker, one, row, together)
    if not contest.images:
        reasons = list(contest.left_out.values())
        more = f"; and {len(reasons) - REASONS:,} more" if len(reasons) > REASONS else ""
        raise ShearlocError(f"none of {len(paths)} files can be used: {'; '.join(reasons[:REASONS])}{more}")
    return contest


def _makes_archive(contender: Contender) -> bool:
    return isinstance(contender, Ours) and contender.archive


def _measure_archive(worker: ProcessPoolExecutor, one: Contender, row: Row, together: list[Pixels]) -> None:
    name = f"archive of {len(together)}"
    if len({image.shape for image in together}) != 1:
        row.failures[name] = "an autoencoder codes images of one size only"
        return
    images = np.stack(together)
    _record(row, name, images.size, _ask(worker, one, images))


def _warm_images(paths: list[Path], left_out: dict[str, str]) -> list[Pixels]:
    """The middles of the first gray and the first colour image."""
    found: dict[int, Pixels] = {}
    for path in paths:
        pixels = _load(path, left_out)
        if pixels is not None:
            found.setdefault(pixels.ndim, crop_middle(pixels, WARM_SIDE))
        if len(found) == 2:
            break
    return list(found.values())


def crop_middle(pixels: Pixels, side: int) -> Pixels:
    """The middle of an image, at most `side` high and wide."""
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _load(path: Path, left_out: dict[str, str]) -> Pixels | None:
    try:
        return files.load_image(path)
    except ShearlocError as error:
        left_out[str(path)] = str(error)
    except OSError as error:
        left_out[str(path)] = f"{path}: {error.strerror or error}"
    return None


def _record(row: Row, image: str, raw_bytes: int, outcome: Trial | str) -> None:
    if isinstance(outcome, str):
        row.failures[image] = outcome
        row.results.pop(image, None)
        return
    if image in row.failures:
        return
    result = row.results.setdefault(image, Result(image, raw_bytes, outcome.file_bytes, True))
    result.exact &= outcome.exact
    result.encode_seconds.append(outcome.encode_seconds)
    result.decode_seconds.append(outcome.decode_seconds)
    if outcome.peak_bytes is not None:
        row.peak_bytes = max(row.peak_bytes or 0, outcome.peak_bytes)


# --- In a contender's own process ---------------------------------------------------------------------------------


@contextmanager
def _worker(contender: Contender) -> Iterator[ProcessPoolExecutor]:
    """A fresh process, in which torch cannot be imported unless the contender needs it."""
    fresh = multiprocessing.get_context("spawn")
    needs_torch = isinstance(contender, Ours) and (
        contender.effort >= TORCH_EFFORT or contender.engine in ("auto", "torch", "cuda")
    )
    with ProcessPoolExecutor(1, mp_context=fresh, initializer=None if needs_torch else block_torch) as pool:
        yield pool


def block_torch() -> None:
    """Makes importing torch fail in this process. RuntimeError if it is imported already."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already")
    sys.modules["torch"] = None  # type: ignore[assignment]


def _ask(worker: ProcessPoolExecutor, contender: Contender, pixels: Pixels) -> Trial | str:
    try:
        return worker.submit(_try, contender, pixels).result()
    except BrokenProcessPool:
        return "its process died, perhaps for want of memory"


def _try(contender: Contender, pixels: Pixels) -> Trial | str:
    """A trial, or its error in one line: other libraries' errors are of any type, and not all can be pickled."""
    _forget_peak()
    try:
        codec = _codec_of(contender)
        began = time.perf_counter()
        data = codec.encode(pixels)
        encoded = time.perf_counter()
        back = codec.decode(data)
        decoded = time.perf_counter()
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return Trial(len(data), same_pixels(back, pixels), encoded - began, decoded - encoded, _peak_memory())


@cache
def _codec_of(contender: Contender) -> Codec:
    if isinstance(contender, Other):
        return peers()[contender.name]
    model, effort, engine = contender.model, contender.effort, contender.engine
    use(model)  # this process has to find the weights of a file, too
    if contender.archive:
        return Codec(
            lambda images: archive.encode_images(images, model=model, engine=engine),
            lambda data: archive.decode_images(bytes(data), engine=engine)[0],
        )
    return Codec(
        lambda pixels: api.encode(pixels, model=model, effort=effort, engine=engine),
        lambda data: api.decode(data, engine=engine).astype(np.uint8, copy=False),
    )


def _forget_peak() -> None:
    """Resets the peak of memory, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> int | None:
    """Peak memory of this process in bytes, Python included; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return _peak_by_resource()


def _peak_by_resource() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
