"""The process that decodes: a file on stdin, an answer on stdout, and so on. `watch.py` is at the other end.

A question is a length (4 bytes, little-endian) and a file; an answer a line of JSON: `pixels` (a digest of shape, type
and values), `refused` (which ShearlocError), or `wrong` (what else was raised). The length `LIMIT_NOW`, with no
file, limits the memory to what the process has by then and `ALLOWANCE`.
"""

import hashlib
import json
import os
import resource
import sys
import traceback
from pathlib import Path

from shearloc.codec import api, archive
from shearloc.codec.info import archive_info
from shearloc.errors import ShearlocError

MAX_SAMPLES = 1 << 16
"""The limit that the decoder is given. What a step costs bounds the time by it, about 3 s for a single row."""
LIMIT_NOW = b"\xff" * 4
ALLOWANCE = 128 << 20
"""Bytes of address space that a decode may add: much more than images of so many samples take."""


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anybody prints must not look like an answer
    while length := sys.stdin.buffer.read(4):
        if length == LIMIT_NOW:
            _limit_memory()
            continue
        data = sys.stdin.buffer.read(int.from_bytes(length, "little"))
        print(json.dumps(_answer(data)), file=answers, flush=True)


def _answer(data: bytes) -> dict[str, str]:
    try:
        return _decode(data)
    except ShearlocError as error:
        if not str(error):
            return {"wrong": f"{type(error).__name__} without a message"}
        return {"refused": type(error).__name__}
    except BaseException:
        return {"wrong": traceback.format_exc(limit=-6)}


def _decode(data: bytes) -> dict[str, str]:
    """`info`, too, because it takes another way."""
    if archive.is_archive(data):
        return _decode_archive(data)
    json.dumps(api.info(data).to_dict())
    picture = api.decode_picture(data, engine="numpy", max_samples=MAX_SAMPLES)
    picture.array()
    palette = b"" if picture.palette is None else picture.palette.tobytes()
    what = f"{picture.samples.shape} {picture.mode} {picture.transparency.hex()} {palette.hex()} {picture.chunks}"
    return {"pixels": hashlib.sha256(what.encode() + picture.samples.tobytes()).hexdigest()}


def _decode_archive(data: bytes) -> dict[str, str]:
    json.dumps(archive_info(data).to_dict())
    images, names = archive.decode_images(data, engine="numpy", max_samples=MAX_SAMPLES)
    what = f"{images.shape} {names}"
    return {"pixels": hashlib.sha256(what.encode() + images.tobytes()).hexdigest()}


def _limit_memory() -> None:
    """Linux only; elsewhere there is no limit."""
    size = Path("/proc/self/statm")
    if size.exists():
        limit = int(size.read_text().split()[0]) * resource.getpagesize() + ALLOWANCE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
