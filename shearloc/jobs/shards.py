"""Packing: which images go into which shard, and the work on one shard.

Each shard is a task that depends on no other and gives the same bytes wherever and whenever it runs. `spread.py` runs
tasks in several processes. Nothing here parses arguments or prints.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CorruptError, ShearlocError
from . import inout, models, sources
from .options import Encoding, Progress
from .sources import Item
from .streams import ARCHIVE_SAMPLES, Failures, Packer, encode_single

if TYPE_CHECKING:
    from ..codec.collections.shards import Shard

SHARD_BYTES = (1 << 19, 1 << 26)
"""Fewest and most bytes of sources in a shard."""
SHARDS = 64
"""Shards to aim at, so that there are enough to share out."""
_PLAN = "shearloc-pack-1"


@dataclass(frozen=True)
class Task:
    """One shard: its number, its path, its images and how to encode them; `plan` is the fingerprint of all that.

    `share`: the worker is one of several, and so uses a single processor.
    """

    number: int
    target: Path
    items: tuple[Item, ...]
    how: Encoding
    plan: bytes
    share: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a task. `kept`: the shard was already complete. `failures`: a line for each reason."""

    images: int
    stored: int
    kept: bool
    failures: tuple[str, ...]
    seconds: float


def plan(items: list[Item], out: Path, how: Encoding, share: bool) -> list[Task]:
    """The tasks that pack these images, sorted by name, into the folder `out`.

    The plan depends only on the images and on how to encode them, so that a second run finds the first one's shards.
    """
    least, most = SHARD_BYTES
    target = min(max(sum(item.size for item in items) // SHARDS, least), most)
    groups: list[list[Item]] = [[]]
    size = 0
    for item in items:
        # An array's images fill whole archives: no shard ends with a short one.
        whole = item.kind not in _ARRAYS or len(groups[-1]) % max(1, ARCHIVE_SAMPLES // max(item.size, 1)) == 0
        if groups[-1] and whole and size + item.size > target:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += item.size
    groups = [group for group in groups if group]
    folder = Path(os.path.abspath(out))
    return [_task(number, folder, tuple(group), how, share) for number, group in enumerate(groups)]


_ARRAYS = ("npy", "npz", "idx")


def _task(number: int, out: Path, items: tuple[Item, ...], how: Encoding, share: bool) -> Task:
    from ..codec.collections.shards import PLAN_BYTES, shard_name

    # The engine and verification do not change a byte.
    content: tuple[object, ...] = (
        _PLAN,
        number,
        ARCHIVE_SAMPLES,
        how.model,
        how.effort,
        how.strip,
        [tuple(item) for item in items],
    )
    if weights := models.fingerprint(how.model):
        content = (*content, weights)
    digest = hashlib.sha256(repr(content).encode()).digest()[:PLAN_BYTES]
    return Task(number, out / shard_name(number), items, how, digest, share)


def prepare(tasks: list[Task], out: Path, force: bool) -> None:
    """Make the folder. ShearlocError where it holds anything but shards of these very tasks, unless `force`.

    OSError where it cannot be made or written to.
    """
    from ..codec.collections import shards as shard_files

    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(13, "no permission to write to this folder", str(out))
    if force:
        return
    wanted = {task.target.name: task.plan for task in tasks}
    for path in shard_files.shard_paths(out):
        try:
            other = shard_files.read_shard_head(path).plan != wanted.get(path.name)
        except CorruptError:
            other = path.name not in wanted
        if other:
            raise ShearlocError(
                f"{path}: holds other images, or the same packed in another way (a source or an option has changed); "
                "nothing was done: give another OUT, or --force to replace what is there"
            )
    shards = {path.name for path in shard_files.shard_paths(out)}
    if not shards and any(not entry.name.startswith(".") for entry in os.scandir(out)):
        raise ShearlocError(f"{out}: is not empty, and no collection; give another OUT, or --force to write into it")


def pack_shard(task: Task, progress: Progress | None = None) -> Outcome:
    """Pack one shard, or find that it is complete. The same task gives the same bytes in any process.

    Images that cannot be read or coded are left out and reported. Raises OSError where the shard cannot be written.
    """
    from ..nets.engines import at_most, processors

    models.use(task.how.model)
    with at_most(1 if task.share else processors()):
        return _pack_shard(task, progress)


def _pack_shard(task: Task, progress: Progress | None) -> Outcome:
    from ..codec.collections import shards as shard_files

    start = time.perf_counter()
    failures = Failures()
    existing = _existing(task)
    if existing is not None:
        missing = _missing(task, existing)
        if not any(_readable(item, task.how, failures) for item in missing):
            images = len(task.items) - len(missing)
            stored = task.target.stat().st_size
            return Outcome(images, stored, True, failures.lines(), time.perf_counter() - start)
        failures = Failures()
    packer = Packer(task.how, failures)
    with inout.writing(task.target, sorted({Path(item.path) for item in task.items})) as file:
        file.write(shard_files.pack_shard_head(shard_files.ShardHead(task.number, len(task.items), task.plan)))
        for names, stream in _streams(task, packer, failures, progress):
            file.write(shard_files.pack_record(names, stream))
        file.write(shard_files.pack_shard_end(packer.images))
    stored = task.target.stat().st_size
    return Outcome(packer.images, stored, False, failures.lines(), time.perf_counter() - start)


def _existing(task: Task) -> "Shard | None":
    """The task's shard, if it exists and is complete and undamaged."""
    from ..codec.collections import shards as shard_files

    try:
        shard = shard_files.read_shard(task.target)
    except (FileNotFoundError, ShearlocError):
        return None
    return None if shard.problems or shard.head.plan != task.plan else shard


def _missing(task: Task, shard: "Shard") -> list[Item]:
    there = {name for record in shard.records for name in record.names}
    return [item for item in task.items if item.name not in there]


def _readable(item: Item, how: Encoding, failures: "Failures") -> bool:
    """Whether an image that a shard lacks can be packed now."""
    try:
        picture = sources.read(item, how.max_samples)
        encode_single(picture.stripped() if how.strip else picture, how)
    except (ShearlocError, OSError, MemoryError) as error:
        failures.add(item, error)
        return False
    return True


def _streams(
    task: Task, packer: Packer, failures: Failures, progress: Progress | None
) -> Iterator[tuple[list[str], bytes]]:
    """The names and bytes of a task's streams, in the order in which its images complete them."""
    for done, item in enumerate(task.items, 1):
        try:
            picture = sources.read(item, task.how.max_samples)
        except (ShearlocError, OSError, MemoryError) as error:
            failures.add(item, error)
        else:
            yield from packer.add(item, picture.stripped() if task.how.strip else picture)
        if progress:
            progress(done, len(task.items))
    yield from packer.finish()
