"""The work on collections: which image goes into which shard, packing one shard, the index, and unpacking.

It belongs to the command line but parses no arguments and prints nothing. A shard is a task of its own that depends on
no other and makes the same bytes wherever and whenever it is done; `spread.py` has tasks done by several processes.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from . import sources
from .batch import Encoding, Progress, checking_engine
from .sources import Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codec.collection import Collection, Entry, Record, Shard
    from ..codec.pictures.picture import Picture

CHUNK_SAMPLES = 64 * 28 * 28
"""Subpixels of a chunk at most: 64 images of MNIST, 16 of CIFAR-10. More per chunk would save up to 1% of the bytes (an
autoencoder's; 0.2% a local model's), but one image takes the decoding of all: 40 ms here, on one core."""
SMALL = CHUNK_SAMPLES // 2
"""An image of more subpixels is a stream of its own."""
SHARD_BYTES = (1 << 19, 1 << 26)
"""Bytes of sources that go into a shard: at least and at most."""
SHARDS = 64
"""Where the sources allow, there are about so many shards, to be shared out."""
QUICK_EFFORT = 4
"""At most, for a shape's first images, which are coded singly, too, to see what is smaller."""

_ALONE = ""
"""In place of a model's name: images of this shape are smaller as streams of their own."""
_PLAN = "shearloc-pack-1"


@dataclass(frozen=True)
class Task:
    """One shard: its number, where it goes, its images and how to encode them; `plan` is the fingerprint of these.

    `share`: the worker is one of several, and so uses one processor.
    """

    number: int
    target: Path
    items: tuple[Item, ...]
    how: Encoding
    plan: bytes
    share: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a task. `kept`: the shard was there, complete. `failures`: a line for each reason."""

    images: int
    stored: int
    kept: bool
    failures: tuple[str, ...]
    seconds: float


def plan(items: list[Item], out: Path, how: Encoding, share: bool) -> list[Task]:
    """The tasks that pack these images, given by name, into the folder `out`.

    It depends on the images and on how to encode them only, so that a second run finds the first one's shards.
    """
    least, most = SHARD_BYTES
    target = min(max(sum(item.size for item in items) // SHARDS, least), most)
    groups: list[list[Item]] = [[]]
    size = 0
    for item in items:
        # An array's images fill whole chunks, so that no shard ends with a short one.
        whole = item.kind not in _ARRAYS or len(groups[-1]) % max(1, CHUNK_SAMPLES // max(item.size, 1)) == 0
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
    from ..codec.collection import PLAN_BYTES, shard_name

    # Neither the engine nor verification changes a byte.
    content = (_PLAN, number, CHUNK_SAMPLES, how.model, how.effort, how.strip, [tuple(item) for item in items])
    digest = hashlib.sha256(repr(content).encode()).digest()[:PLAN_BYTES]
    return Task(number, out / shard_name(number), items, how, digest, share)


def prepare(tasks: list[Task], out: Path, force: bool) -> None:
    """Make the folder; ShearlocError where it holds something else than shards of these very tasks, and not `force`.

    OSError where it cannot be made or written to.
    """
    from ..codec import collection

    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(13, "no permission to write to this folder", str(out))
    if force:
        return
    wanted = {task.target.name: task.plan for task in tasks}
    for path in collection.shard_paths(out):
        try:
            other = collection.read_shard_head(path).plan != wanted.get(path.name)
        except CorruptError:
            other = path.name not in wanted
        if other:
            raise ShearlocError(
                f"{path}: holds other images, or the same packed in another way (a source or an option has changed); "
                "nothing was done: give another OUT, or --force to replace what is there"
            )
    shards = {path.name for path in collection.shard_paths(out)}
    if not shards and any(not entry.name.startswith(".") for entry in os.scandir(out)):
        raise ShearlocError(f"{out}: is not empty, and no collection; give another OUT, or --force to write into it")


def pack_shard(task: Task, progress: Progress | None = None) -> Outcome:
    """Pack one shard, or find it complete. The same bytes for the same task, in whatever process.

    Images that cannot be read or coded are left out and told. Raises OSError where the shard cannot be written.
    """
    from ..nets.engines import at_most, processors

    with at_most(1 if task.share else processors()):
        return _pack_shard(task, progress)


def _pack_shard(task: Task, progress: Progress | None) -> Outcome:
    from ..codec import collection
    from ..codec.pictures import files

    start = time.perf_counter()
    failures = _Failures()
    existing = _existing(task)
    if existing is not None:
        missing = _missing(task, existing)
        if not any(_readable(item, task.how, failures) for item in missing):
            images = len(task.items) - len(missing)
            stored = task.target.stat().st_size
            return Outcome(images, stored, True, failures.lines(), time.perf_counter() - start)
        failures = _Failures()
    packer = _Packer(task.how, failures)
    with files.replacing(task.target) as file:
        file.write(collection.pack_shard_head(collection.ShardHead(task.number, len(task.items), task.plan)))
        for names, stream in _streams(task, packer, failures, progress):
            file.write(collection.pack_record(names, stream))
        file.write(collection.pack_shard_end(packer.images))
    stored = task.target.stat().st_size
    return Outcome(packer.images, stored, False, failures.lines(), time.perf_counter() - start)


def _existing(task: Task) -> "Shard | None":
    """The task's shard if it is there, complete and undamaged."""
    from ..codec import collection

    try:
        shard = collection.read_shard(task.target)
    except (FileNotFoundError, ShearlocError):
        return None
    return None if shard.problems or shard.head.plan != task.plan else shard


def _missing(task: Task, shard: "Shard") -> list[Item]:
    there = {name for record in shard.records for name in record.names}
    return [item for item in task.items if item.name not in there]


def _readable(item: Item, how: Encoding, failures: "_Failures") -> bool:
    """Whether an image that a shard lacks could be packed now."""
    try:
        picture = sources.read(item)
        _encode_single(picture.stripped() if how.strip else picture, how)
    except (ShearlocError, OSError, MemoryError) as error:
        failures.add(item, error)
        return False
    return True


class _Failures:
    """Images that are not there, by the reason."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, item: Item, error: Exception) -> None:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "not enough memory"
        # What names the file does not name it twice.
        self._names.setdefault(" ".join(text.removeprefix(f"{item.path}: ").split()), []).append(
            item.path if item.kind == "file" else f"{item.path} '{item.name}'"
        )

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{_span(names)}: {reason}" for reason, names in self._names.items())


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names):,} images)"


# --- Images to streams ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Image:
    item: Item
    picture: "Picture"


class _Packer:
    """Codes images as they come: small ones of one shape together, all others by themselves."""

    def __init__(self, how: Encoding, failures: _Failures) -> None:
        self.images = 0
        self._how = how
        self._failures = failures
        self._waiting: dict[tuple[int, ...], list[_Image]] = {}
        self._models: dict[tuple[int, ...], str] = {}

    def add(self, image: _Image) -> Iterator[tuple[list[str], bytes]]:
        """Take an image; gives the streams that are complete with it."""
        picture, shape = image.picture, image.picture.samples.shape
        if picture.mode not in ("8-bit gray", "8-bit RGB") or picture.chunks or picture.samples.size > SMALL:
            yield from self._single(image)
            return
        waiting = self._waiting.setdefault(shape, [])
        waiting.append(image)
        if len(waiting) == CHUNK_SAMPLES // picture.samples.size:
            yield from self._chunk(self._waiting.pop(shape))

    def finish(self) -> Iterator[tuple[list[str], bytes]]:
        """The streams of images that still wait for others."""
        while self._waiting:
            yield from self._chunk(self._waiting.popitem()[1])

    def _single(self, image: _Image) -> Iterator[tuple[list[str], bytes]]:
        try:
            data = _encode_single(image.picture, self._how)
        except (ShearlocError, OSError, MemoryError) as error:
            self._failures.add(image.item, error)
            return
        yield self._done([image], data)

    def _chunk(self, images: list[_Image]) -> Iterator[tuple[list[str], bytes]]:
        import numpy as np

        pixels = np.stack([image.picture.samples for image in images])
        shape = pixels.shape[1:]
        try:
            if shape not in self._models:
                self._models[shape] = _choose(pixels, self._how)
            alone = self._models[shape] == _ALONE
            data = b"" if alone else _encode_chunk(pixels, self._models[shape], self._how)
        except (ShearlocError, MemoryError) as error:
            for image in images:
                self._failures.add(image.item, error)
            return
        if alone:
            for image in images:
                yield from self._single(image)
        else:
            yield self._done(images, data)

    def _done(self, images: list[_Image], data: bytes) -> tuple[list[str], bytes]:
        self.images += len(images)
        return [image.item.name for image in images], data


def _streams(
    task: Task, packer: _Packer, failures: _Failures, progress: Progress | None
) -> Iterator[tuple[list[str], bytes]]:
    """The names and bytes of a task's streams, in the order in which its images complete them."""
    for done, item in enumerate(task.items, 1):
        try:
            picture = sources.read(item)
        except (ShearlocError, OSError, MemoryError) as error:
            failures.add(item, error)
        else:
            yield from packer.add(_Image(item, picture.stripped() if task.how.strip else picture))
        if progress:
            progress(done, len(task.items))
    yield from packer.finish()


def _encode_single(picture: "Picture", how: Encoding) -> bytes:
    """A `.shl` file, checked as `how` says."""
    from ..codec import api
    from ..models import zoo

    for_chunks_only = how.model == "raw" or (how.model != "auto" and not zoo.family_of(how.model).pictures)
    model = "auto" if for_chunks_only else how.model
    data = api.encode_picture(picture, model=model, effort=how.effort, engine=how.engine)
    if how.verify:
        checker = checking_engine(how.engine, picture.samples.size)
        if api.decode_picture(data, engine=checker, max_samples=picture.samples.nbytes) != picture:
            raise ShearlocError(_UNVERIFIED)
    return data


def _encode_chunk(images: "NDArray[np.uint8]", model: str, how: Encoding) -> bytes:
    """An archive without names, of one chunk, checked as `how` says."""
    import numpy as np

    from ..codec import archive

    data = archive.encode_images(images, model=model, effort=how.effort, engine=how.engine)
    if how.verify:
        checker = checking_engine(how.engine, images.size)
        if not np.array_equal(archive.decode_images(data, engine=checker)[0], images):
            raise ShearlocError(_UNVERIFIED)
    return data


_UNVERIFIED = "verification failed: the new stream does not decode to this image, so it was not kept; please report it"


def _choose(images: "NDArray[np.uint8]", how: Encoding) -> str:
    """The model for a shape's chunks, by its first one; `_ALONE` where `.shl` files of each image are smaller."""
    from ..codec import archive
    from ..codec.info import archive_info

    if how.model != "auto":
        return how.model
    if len(images) == 1:
        return _ALONE
    together = archive.encode_images(images, engine=how.engine)
    quick = replace(how, effort=min(how.effort, QUICK_EFFORT), verify=False)
    if sum(len(_encode_single(_picture(image), quick)) for image in images) < len(together):
        return _ALONE
    return archive_info(together).model or "raw"


def _picture(image: "NDArray[Any]") -> "Picture":
    from ..codec.pictures.picture import from_array

    return from_array(image)


# --- The index --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Indexed:
    """What an index was made of."""

    images: int
    shards: int
    stored: int
    problems: tuple[str, ...]


def write_index(out: Path, shards: Iterable[Path], check: bool = True) -> Indexed:
    """Write the index over these shards of the folder, by reading them; damaged streams are left out and told.

    Without `check` only the records' heads are read, as is enough for shards that have just been written. Raises
    OSError; ShearlocError where no shard can be read or two images have one name.
    """
    from ..codec import collection
    from ..codec.pictures import files

    records: list[Record] = []
    problems: list[str] = []
    stored = count = 0
    for path in shards:
        try:
            shard = collection.read_shard(path, check)
            if path.name != collection.shard_name(shard.head.number):
                raise FormatError(
                    f"{path}: has another shard's name; rename it {collection.shard_name(shard.head.number)}"
                )
        except (ShearlocError, OSError) as error:
            problems.append(str(error))
            continue
        problems += (f"{path}: the shard is {problem}" for problem in shard.problems)
        records += shard.records
        stored += path.stat().st_size
        count += 1
    if not records:
        raise ShearlocError("; ".join([f"{out}: no image in any shard", *problems]))
    index = collection.build_index(records)
    files.write_atomic(out / collection.INDEX, index)
    return Indexed(sum(len(record.names) for record in records), count, stored + len(index), tuple(problems))


def remove_others(out: Path, tasks: list[Task]) -> None:
    """Remove the shards of what was there before: the index no longer speaks of them."""
    from ..codec import collection

    wanted = {task.target.name for task in tasks}
    for path in collection.shard_paths(out):
        if path.name not in wanted:
            path.unlink()


def shards_of(folder: Path) -> list[Path]:
    """The shards in a folder. ShearlocError where there are none."""
    from ..codec import collection

    if not (paths := collection.shard_paths(folder)):
        raise ShearlocError(f"{folder}: no shards (shard-*{collection.SHARD_SUFFIX}) in this folder")
    return paths


# --- Out again --------------------------------------------------------------------------------------------------


def choose(collection: "Collection", patterns: list[str]) -> tuple["list[Entry]", list[str]]:
    """The images whose names are, or match, one of the patterns (all, without any), and the patterns without images."""
    if not patterns:
        return list(collection.entries()), []
    exact = {name for name in patterns if name in collection}
    globs = [pattern for pattern in patterns if pattern not in exact]
    used: set[str] = set()
    entries = [collection.entry(name) for name in sorted(exact)]
    if any(set(pattern) & set("*?[") for pattern in globs):
        for entry in collection.entries():
            matching = [pattern for pattern in globs if fnmatchcase(entry.name, pattern)]
            used.update(matching)
            if matching and entry.name not in exact:
                entries.append(entry)
    return sorted(entries, key=lambda entry: entry.name), [pattern for pattern in globs if pattern not in used]


def unpack(
    collection: "Collection", entries: "list[Entry]", out: Path, progress: Progress | None
) -> tuple[int, list[str]]:
    """Write images to files of their names in a folder; how many, and what failed, a line for each reason.

    An image file gets its own format again, and `.png` is added to a name where there is none, or it cannot hold the
    picture as it is.
    """
    failures: dict[str, list[str]] = {}
    written = 0
    # A chunk's images one after the other: it is decoded once.
    ordered = sorted(entries, key=lambda entry: (entry.stream.shard, entry.stream.offset, entry.position))
    for done, entry in enumerate(ordered, 1):
        try:
            _unpack_one(collection, entry, out)
            written += 1
        except (ShearlocError, OSError, MemoryError) as error:
            reason = " ".join((str(error) or "not enough memory").split())
            about = f"image '{entry.name}' cannot be read: "
            failures.setdefault(reason.replace(about, ""), []).append(f"'{entry.name}'")
        if progress:
            progress(done, len(ordered))
    return written, [f"{_span(names)}: {reason}" for reason, names in failures.items()]


def _unpack_one(collection: "Collection", entry: "Entry", out: Path) -> None:
    from ..codec.pictures import files

    target = out / entry.name
    parts = entry.name.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in entry.name or os.sep != "/" and set(entry.name) & {"\\", ":"}:
        raise ShearlocError(f"a name that would lead out of {out}")
    picture = collection.picture(entry)
    try:
        files.check_output(target, picture.mode)
    except UnsupportedImageError:
        target = target.with_name(target.name + ".png")
        if f"{entry.name}.png" in collection:
            raise ShearlocError(f"{target} is another image's place; unpack them into different folders") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    files.save(target, picture)
