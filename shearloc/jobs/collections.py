"""Existing collections: their index, the choice of images, unpacking, and checking every image.

Nothing here parses arguments or prints.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CorruptError, FormatError, ShearlocError, UnsupportedImageError
from . import inout, pictures
from .options import Decoding, Progress
from .streams import span

if TYPE_CHECKING:
    from ..codec.collections.collection import Collection
    from ..codec.collections.index import Entry
    from ..codec.collections.shards import Record, Shard
    from .shards import Task

_SOME = 3
"""Most problems that one message lists."""


@dataclass(frozen=True)
class Indexed:
    """What an index was made from."""

    images: int
    shards: int
    stored: int
    problems: tuple[str, ...]


def write_index(out: Path, shards: Iterable[Path], check: bool = True) -> Indexed:
    """Write the index over these shards of the folder, by reading them. Damaged streams are left out and reported.

    Without `check`, only the records' heads are read, which is enough for shards that were written just now. Raises
    OSError; ShearlocError where no shard can be read or two images have one name.
    """
    from ..codec.collections import shards as shard_files
    from ..codec.collections.index import INDEX, build_index

    shards = list(shards)
    records: list[Record] = []
    problems: list[str] = []
    stored = count = 0
    for path in shards:
        try:
            shard = shard_files.read_shard(path, check)
            if path.name != shard_files.shard_name(shard.head.number):
                raise FormatError(
                    f"{path}: has another shard's name; rename it {shard_files.shard_name(shard.head.number)}"
                )
        except (ShearlocError, OSError) as error:
            problems.append(str(error))
            continue
        problems += (f"{path}: the shard is {problem}" for problem in shard.problems)
        records += shard.records
        stored += path.stat().st_size
        count += 1
    if not records:
        raise ShearlocError("; ".join([f"{out}: no image in any shard", *problems[:_SOME]]))
    index = build_index(records)
    inout.write(out / INDEX, index, shards)
    return Indexed(sum(len(record.names) for record in records), count, stored + len(index), tuple(problems))


def remove_others(out: Path, tasks: "list[Task]") -> None:
    """Remove the shards of an earlier collection, which the index no longer lists."""
    from ..codec.collections import shards as shard_files

    wanted = {task.target.name for task in tasks}
    for path in shard_files.shard_paths(out):
        if path.name not in wanted:
            path.unlink()


def shards_of(folder: Path) -> list[Path]:
    """The shards in a folder. ShearlocError where there are none."""
    from ..codec.collections import shards as shard_files

    if not (paths := shard_files.shard_paths(folder)):
        raise ShearlocError(f"{folder}: no shards (shard-*{shard_files.SHARD_SUFFIX}) in this folder")
    return paths


# --- Out again --------------------------------------------------------------------------------------------------


def choose(collection: "Collection", patterns: list[str]) -> tuple["list[Entry]", list[str]]:
    """The images whose names match one of the patterns (all, without any), and the patterns that match none."""
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
    """Write images to files of their names in a folder. Returns how many, and what failed, a line for each reason.

    An image file gets its own format again. `.png` is added to names without a suffix, and where the format cannot hold
    the picture as it is.
    """
    from ..codec.collections.names import shown

    failures: dict[str, list[str]] = {}
    written = 0
    # A stream's images come one after the other, so that it is decoded once.
    ordered = sorted(entries, key=lambda entry: (entry.stream.shard, entry.stream.offset, entry.position))
    for done, entry in enumerate(ordered, 1):
        try:
            _unpack_one(collection, entry, out)
            written += 1
        except (ShearlocError, OSError, MemoryError) as error:
            reason = " ".join((str(error) or "not enough memory").split())
            about = f"image {shown(entry.name)} cannot be read: "
            failures.setdefault(reason.replace(about, ""), []).append(shown(entry.name))
        if progress:
            progress(done, len(ordered))
    return written, [f"{span(names)}: {reason}" for reason, names in failures.items()]


def _unpack_one(collection: "Collection", entry: "Entry", out: Path) -> None:
    from ..codec.collections.shards import shard_name
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
    source = collection.path / shard_name(entry.stream.shard)
    pictures.save(target, picture, target.suffix, source)


# --- Checking ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """Images and shards that are sound, and what is wrong with others, a line each."""

    images: int
    shards: int
    problems: tuple[str, ...]


def is_collection(path: Path) -> bool:
    """Whether a path is a collection's folder, or one of its shards."""
    from ..codec.collections.index import INDEX
    from ..codec.collections.shards import SHARD_SUFFIX, shard_paths

    if path.is_dir():
        return (path / INDEX).is_file() or bool(shard_paths(path))
    return path.suffix == SHARD_SUFFIX and path.is_file()


def verify(path: Path, how: Decoding, progress: Progress | None) -> Checked:
    """Decode every image of a collection or of one shard; for a collection, also compare the index with the shards.

    Raises OSError; ShearlocError where there is no shard.
    """
    from ..codec.collections import shards as shard_files

    problems: list[str] = []
    records: list[Record] = []
    count = sound = 0
    paths = shards_of(path) if path.is_dir() else [path]
    for done, one in enumerate(paths):
        try:
            shard = shard_files.read_shard(one)
        except ShearlocError as error:
            problems.append(str(error))
            continue
        problems += (f"{one}: the shard is {problem}" for problem in shard.problems)
        records += shard.records
        found = list(_decode_all(one, shard, how))
        problems += (line for line in found if line)
        sound += found.count("")
        count += not (shard.problems or any(found))
        if progress:
            progress(done + 1, len(paths))
    if path.is_dir() and not problems:
        problems += _index_problems(path, records)
    return Checked(sound, count, tuple(problems))


def _decode_all(path: Path, shard: "Shard", how: Decoding) -> Iterator[str]:
    """For every image of a shard "", or for every stream that does not give its images back, a line that says why."""
    from ..codec.collections.names import shown
    from ..codec.collections.places import open_file, read_at

    with open_file(path) as file:
        for record in shard.records:
            names = record.names
            try:
                count = _images_in(read_at(file, record.stream.offset, record.stream.length), how)
                if count != len(names):
                    raise CorruptError(f"the stream has {count:,} images, its record {len(names):,} names")
            except ShearlocError as error:
                yield f"{path}: {span([shown(name) for name in names])}: {error}"
            else:
                yield from [""] * count


def _images_in(stream: bytes, how: Decoding) -> int:
    """How many images a stream has; all of them decode."""
    from ..codec import api, archive

    limit = how.max_samples or api.MAX_SAMPLES
    if archive.is_archive(stream):
        return len(archive.decode_images(stream, engine=how.engine, max_samples=limit)[0])
    api.decode_picture(stream, engine=how.engine, max_samples=limit)
    return 1


def _index_problems(folder: Path, records: "list[Record]") -> Iterator[str]:
    """Where the index differs from the shards, all of which are sound."""
    from ..codec.collections.index import Entry, Index

    try:
        found = set(Index(folder).entries())
    except (CorruptError, FormatError) as error:
        yield str(error)
        return
    there = {Entry(name, record.stream, k) for record in records for k, name in enumerate(record.names)}
    if found != there:
        yield f"{folder}: the index is not that of these shards; `shearloc reindex {folder}` makes a new one"
