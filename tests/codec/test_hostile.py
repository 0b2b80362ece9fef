"""Small files that claim much: `shearloc info` says what they are, or that they are damaged, in little memory and time.

Each is below 1 MB. The command runs in a process of its own, whose peak is compared with that of a sound small file.
"""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from shearloc.codec.formats import archive_header, chunks
from shearloc.coding.fields import string, varint
from tests.fuzz.shl import Part, join, split

GOLDEN = Path(__file__).parents[1] / "golden"
STATUS = Path("/proc/self/status")

MOST_MEMORY = 50 << 20
"""Bytes beyond the interpreter, all imports included."""
MOST_SECONDS = 4.0
"""Of a processor; linear in a file of 1 MB in plain Python takes about one."""

PROCESS = """
import re, resource, sys
from shearloc.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    (peak,) = re.findall("VmHWM:\\\\s+(\\\\d+)", open("/proc/self/status").read())
    print("\\n", peak, used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def with_fields(name: str, **changed: bytes) -> bytes:
    """A golden file with other contents of some of its header's fields (spaces as `_`), and its checksum right."""
    data = (GOLDEN / f"{name}.shl").read_bytes()
    parts, payloads = split(data)
    have = {part.name for part in parts}
    for part in parts:
        part.content = changed.get(part.name.replace(" ", "_"), part.content)
    if "chunks" in changed and "chunks" not in have:
        parts.append(Part("chunks", "string", changed["chunks"]))
    return join(data[:9], parts, payloads)


def deflated(plain: bytes) -> bytes:
    """The content of a header's list of chunks."""
    return b"\1" + varint(len(plain)) + zlib.compress(plain, 9)


def archive_of(count: int, names: bytes, sizes: bytes, in_chunk: int = 1, extra: bytes = b"") -> bytes:
    """A raw archive of gray images of one pixel; `sizes` are its chunks' lengths, and there are no chunks."""
    fields = bytes([0, 8, 1]) + varint(count) + varint(1) * 2 + string(b"") + bytes(8 + 1 + 2)
    fields += string(zlib.compress(names, 9)) + varint(in_chunk) + sizes
    return join(archive_header.MAGIC + b"\1", [Part("", len(fields), fields + extra)], [])


def turned(name: str, count: int, content: bytes) -> bytes:
    """An archive of so many images, one a chunk at most, that has these orientations."""
    parts, _ = split((GOLDEN / f"{name}.shl").read_bytes())
    return with_fields(name, images=varint(count), images_a_chunk=varint(1 << 17), chunks=content)


CHUNKS_LIMIT = 1 << 26

FILES: dict[str, Callable[[], bytes]] = {
    "a lot of names": lambda: (GOLDEN.parent / "codec" / "names_bomb.shl").read_bytes(),
    "a million names": lambda: archive_of(1 << 20, b"\n" * ((1 << 20) - 1), b"\0" * 900_000),
    "a chunk an image": lambda: archive_of(900_000, b"", b"\0" * 900_000),
    "long metadata": lambda: with_fields("flat", chunks=deflated(b"teXt" + string(bytes(CHUNKS_LIMIT - 100)))),
    "too long metadata": lambda: with_fields("flat", chunks=deflated(b"teXt" + string(bytes(CHUNKS_LIMIT)))),
    "many chunks": lambda: with_fields("flat", chunks=deflated(b"teXt\0" * (1 << 16))),
    "many chunks of a kilobyte": lambda: with_fields("flat", chunks=deflated((b"teXt" + string(bytes(1000))) * 65_000)),
    "too many chunks": lambda: with_fields("flat", chunks=deflated(b"teXt\0" * (1 << 23))),
    "long palette": lambda: with_fields("palette-4", chunks=deflated(b"PLTE" + string(bytes(CHUNKS_LIMIT - 100)))),
    "weights": lambda: with_fields("local-least", chunks=deflated(b"MODL" + string(bytes(chunks.MAX_WEIGHTS)))),
    "too many weights": lambda: with_fields(
        "local-least", chunks=deflated((b"MODL" + string(bytes(chunks.MAX_WEIGHTS - 100))) * 3)
    ),
    "a header that claims to be long": lambda: with_fields("flat")[:9] + varint(1 << 60),
}


def test_all_are_small() -> None:
    sizes = {name: len(make()) for name, make in FILES.items()}
    assert max(sizes.values()) < 1_000_000, sizes


if __name__ == "__main__":
    for name, make in FILES.items():
        Path("/tmp/hostile.shl").write_bytes(make())
        for j in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-c", PROCESS, "info", "/tmp/hostile.shl", *j], capture_output=True, text=True
            )
            print(name, len(make()), j, done.returncode, done.stderr[-130:].split("\n"), len(done.stdout))
