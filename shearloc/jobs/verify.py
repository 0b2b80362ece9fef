"""Verifies `.shl` files and collections: decodes them and compares checksums. Writes nothing."""

import time
from pathlib import Path

from . import archives, collections, inout, pictures
from .message import Problems, counted
from .options import Begin, Decoding


def verify_file(source: Path, how: Decoding, begin: Begin) -> str:
    """Decode a `.shl` file, a shard or a collection and check it; returns the line that reports it.

    Raises OSError, ShearlocError; `Problems` for those of a collection.
    """
    start = time.perf_counter()
    name = inout.shown(source, "input")
    if collections.is_collection(source):
        checked = collections.verify(source, how, begin(f"verify {source.name}"))
        if checked.problems:
            raise Problems(checked.problems)
        found = f"{counted(checked.images, 'image')} in {counted(checked.shards, 'shard')}"
    else:
        data = inout.read(source)
        if archives.is_archive(data):
            images, _ = archives.decode_images(data, how, begin(f"verify {source.name}"))
            found = counted(len(images), "image")
        else:
            found = pictures.describe(pictures.decode(data, how, begin(f"verify {source.name}")))
    return f"{name}: OK, {found}, {time.perf_counter() - start:.1f} s"
