"""The process that reads: a file on stdin, an answer on stdout, and so on. `watch.py` is at the other end.

A question is a length (4 bytes, little-endian), the number of a kind (1 byte) and a file; an answer a line of JSON:
`pixels` (a digest of shape, type and values; of a collection, one for each image), `refused` (which ShearlocError),
or `wrong` (what else was raised, or how much memory was taken). The length `LIMIT_NOW`, with nothing behind it, limits
the memory to what the process has by then and `ALLOWANCE`.
"""

import hashlib
import json
import os
import re
import resource
import sys
import tempfile
import traceback
from pathlib import Path

from shearloc.codec import api, archive
from shearloc.codec.collections import index, shards
from shearloc.codec.collections.collection import Collection
from shearloc.codec.info import archive_info
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture
from shearloc.errors import ShearlocError

from .seeds import KINDS, collection_files

MAX_SAMPLES = 1 << 16
"""The limit that readers are given. What a step costs bounds the time by it, about 3 s for a single row."""
LIMIT_NOW = b"\xff" * 4
ALLOWANCE = 128 << 20
"""Bytes of address space that a file may add: much more than images of so many samples take."""
MOST_FOR_IMAGES = 48 << 20
"""Bytes of memory that reading an image file may add, for a while. Its own decoder may take a few times 16 MiB."""

Answer = dict[str, str]


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anybody prints must not look like an answer
    while length := sys.stdin.buffer.read(4):
        if length == LIMIT_NOW:
            _limit_memory()
            continue
        kind = KINDS[sys.stdin.buffer.read(1)[0]]
        data = sys.stdin.buffer.read(int.from_bytes(length, "little"))
        print(json.dumps(_answer(kind, data)), file=answers, flush=True)


def _answer(kind: str, data: bytes) -> Answer:
    try:
        return READERS.get(kind, _image)(data)
    except ShearlocError as error:
        return _refused(error)
    except BaseException:
        return {"wrong": traceback.format_exc(limit=-6)}


def _refused(error: ShearlocError) -> Answer:
    message, cause = str(error), error.__context__
    while cause and not isinstance(cause, MemoryError):
        cause = cause.__context__
    if cause:
        return {"wrong": f"out of memory, told as {message!r}"}
    if not message or "\n" in message or " object at 0x" in message or len(message) > 2000:
        return {"wrong": f"{type(error).__name__} {'with' if message else 'without'} a message {message[:2000]!r}"}
    return {"refused": type(error).__name__}


def _shl(data: bytes) -> Answer:
    """`info`, too, because it takes another way."""
    if archive.is_archive(data):
        return _archive(data)
    json.dumps(api.info(data).to_dict())
    picture = api.decode_picture(data, engine="numpy", max_samples=MAX_SAMPLES)
    return {"pixels": _digest(picture)}


def _archive(data: bytes) -> Answer:
    json.dumps(archive_info(data).to_dict())
    images, names = archive.decode_images(data, engine="numpy", max_samples=MAX_SAMPLES)
    what = f"{images.shape} {names}"
    return {"pixels": hashlib.sha256(what.encode() + images.tobytes()).hexdigest()}


def _digest(picture: Picture, name: str = "") -> str:
    picture.array()
    palette = b"" if picture.palette is None else picture.palette.tobytes()
    what = (
        f"{picture.samples.shape} {picture.mode} {picture.transparency.hex()} {palette.hex()} {picture.chunks} {name}"
    )
    return hashlib.sha256(what.encode() + picture.samples.tobytes()).hexdigest()


def _shard(data: bytes) -> Answer:
    """An index is made of it, as `reindex` does, and every image read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any")
        path.write_bytes(data)
        shard = shards.read_shard(path)
        path.rename(path.with_name(shards.shard_name(shard.head.number)))
        path.with_name(index.INDEX).write_bytes(index.build_index(shard.records))
        return _images_in(Path(folder))


def _index(data: bytes) -> Answer:
    """Every image is read by it from shards that are sound."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in collection_files():
            Path(folder, seed.name).write_bytes(data if seed.kind == "index" else seed.data)
        return _images_in(Path(folder))


def _images_in(folder: Path) -> Answer:
    """Digests of the images of a collection that can be read; what the last one is refused for where none can be."""
    images, found, refused = Collection(folder, engine="numpy", max_samples=MAX_SAMPLES), [], {"refused": "empty"}
    for entry in images.entries():
        try:
            found.append(_digest(images.picture(entry), entry.name))
        except ShearlocError as error:
            refused = _refused(error)
            if "wrong" in refused:
                return refused
    return {"pixels": " ".join(found)} if found else refused


def _image(data: bytes) -> Answer:
    before = _peak(reset=True)
    try:
        picture = files.parse(data, max_samples=MAX_SAMPLES, lossy=True)
        size = picture.samples.size * picture.samples.itemsize
        answer = {"pixels": _digest(picture)} if size <= MAX_SAMPLES else {"wrong": f"{size} samples"}
    except ShearlocError as error:
        answer = _refused(error)
    taken = _peak() - before
    return {"wrong": f"{taken >> 20} MiB of memory"} if taken > MOST_FOR_IMAGES else answer


READERS = {"picture": _shl, "archive": _shl, "shard": _shard, "index": _index}


def _peak(reset: bool = False) -> int:
    """The most bytes of memory that the process has had since the last reset; 0 where Linux does not say."""
    if not (status := Path("/proc/self/status")).exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(kilobytes) << 10


def _limit_memory() -> None:
    """Linux only; elsewhere there is no limit."""
    size = Path("/proc/self/statm")
    if size.exists():
        limit = int(size.read_text().split()[0]) * resource.getpagesize() + ALLOWANCE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
