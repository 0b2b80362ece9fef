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
from shearloc.codec.pictures.picture import MAX_CHUNK_BYTES
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
    for part in parts:
        part.content = changed.get(part.name.replace(" ", "_"), part.content)
    return join(data[:9], parts, payloads)


def deflated(plain: bytes) -> bytes:
    """The content of a header's list of chunks."""
    return b"\1" + varint(len(plain)) + zlib.compress(plain, 9)


def archive_of(count: int, names: bytes, in_chunk: int) -> bytes:
    """A raw archive of so many images of one gray pixel, of which nothing is there but the header."""
    fields = bytes([0, 8, 1]) + varint(count) + varint(1) * 2 + string(b"") + bytes(8 + 1 + 2)
    fields += string(zlib.compress(names, 9) if names else b"") + varint(in_chunk) + bytes(-(-count // in_chunk))
    return join(archive_header.MAGIC + b"\1", [Part("", len(fields), fields)], [])


def turned(count: int, content: bytes) -> bytes:
    """An archive by a local model, of images of one pixel, with this list of chunks."""
    data = (GOLDEN / "archive-local-gray.shl").read_bytes()
    parts, _ = split(data)
    in_chunk = min(count, 1 << 10)
    numbers = {"images": count, "height": 1, "width": 1, "images a chunk": in_chunk}
    parts = [part for part in parts if part.name not in ("payload length", "chunks")]
    for part in parts:
        part.content = varint(numbers[part.name]) if part.name in numbers else part.content
        part.content = b"" if part.name == "names" else part.content
    lengths = bytes(-(-count // in_chunk))
    return join(data[:9], [*parts, Part("", len(lengths), lengths), Part("", "string", content)], [])


LIMIT, WEIGHTS = MAX_CHUNK_BYTES - 100, chunks.MAX_WEIGHTS
IN_JSON = ("names of as many letters", "short names", "names of one letter", "many chunks")

IMAGES = 4_000_000


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "names": (lambda: Path(__file__).with_name("names_bomb.shl").read_bytes(), ""),
    "no names": (lambda: archive_of(1 << 24, b"\n" * ((1 << 24) - 1), 1 << 22), ""),
    "short names": (lambda: archive_of(1 << 20, b"\n" * ((1 << 20) - 1), 1 << 10), ""),
    "names of one letter": (lambda: archive_of(349_000, "\n".join(["\u0100"] * 349_000).encode(), 1 << 10), ""),
    "names of as many letters": (
        lambda: archive_of(200_000, "\n".join(map(chr, range(1 << 16, 200_000 + (1 << 16)))).encode(), 1 << 10),
        "",
    ),
    "long names": (lambda: archive_of(2, b"\n" + b"x" * ((1 << 20) - 2), 1), ""),
    "a chunk for each image": (lambda: archive_of(900_000, b"", 1), ""),
    "orientations": (lambda: turned(IMAGES, deflated(b"TURN" + string(b"\xff" * (3 * IMAGES // 8)))), ""),
    "long orientations": (lambda: turned(IMAGES, deflated(b"TURN" + string(bytes(LIMIT)))), "orientations"),
    "orientations twice": (
        lambda: turned(IMAGES, deflated((b"TURN" + string(b"\xff" * (3 * IMAGES // 8))) * 9)),
        "contradicts",
    ),
    "weights of an archive": (lambda: turned(12, deflated(b"MODL" + string(bytes(WEIGHTS)))), ""),
    "metadata of an archive": (lambda: turned(12, deflated(b"teXt" + string(bytes(LIMIT)))), ""),
    "long metadata": (lambda: with_fields("flat", chunks=deflated(b"teXt" + string(bytes(LIMIT)))), ""),
    "too long metadata": (
        lambda: with_fields("flat", chunks=deflated(b"teXt" + string(bytes(LIMIT + 200)))),
        "more than",
    ),
    "cut metadata": (lambda: with_fields("flat", chunks=deflated(b"teXt" + string(bytes(LIMIT))[:-1])), "cut short"),
    "many chunks": (lambda: with_fields("flat", chunks=deflated(b"teXt\0" * (1 << 16))), ""),
    "many long chunks": (lambda: with_fields("flat", chunks=deflated((b"teXt" + string(bytes(1000))) * 65_000)), ""),
    "too many chunks": (lambda: with_fields("flat", chunks=deflated(b"teXt\0" * (1 << 23))), "more than 65536 chunks"),
    "long palette": (lambda: with_fields("palette-4", chunks=deflated(b"PLTE" + string(bytes(LIMIT)))), ""),
    "weights": (lambda: with_fields("local-least", chunks=deflated(b"MODL" + string(bytes(WEIGHTS)))), ""),
    "too many weights": (
        lambda: with_fields("local-least", chunks=deflated((b"MODL" + string(bytes(WEIGHTS - 100))) * 3)),
        "contradicts",
    ),
    "a long header": (lambda: with_fields("flat")[:9] + varint(1 << 60), "cut short"),
}
"""How each is made, and what is said of those that are refused."""


def test_info_takes_little_memory_and_time(tmp_path: Path) -> None:
    """Of every file, as text and as JSON."""
    if not STATUS.exists():
        pytest.skip("only Linux says how much memory a process has had")
    least = min(look(tmp_path, (GOLDEN / "flat.shl").read_bytes())[2:] for _ in range(2))
    for name, (make, refused) in FILES.items():
        data = make()
        assert len(data) < 1_000_000, name
        code, told, memory, seconds = look(tmp_path, data, *(["--json"] if name in IN_JSON else []))
        assert (code, refused in told) == (int(bool(refused)), True), (name, told)
        assert memory - least[0] < MOST_MEMORY, (name, memory - least[0])
        assert seconds - least[1] < MOST_SECONDS, (name, seconds - least[1])


def look(folder: Path, data: bytes, *options: str) -> tuple[int, str, int, float]:
    """Exit code, errors, peak of memory in bytes and seconds of a processor of `info`."""
    (folder / "a.shl").write_bytes(data)
    command = [sys.executable, "-c", PROCESS, "info", "a.shl", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    errors, numbers = done.stderr.strip().rpartition("\n")[::2]
    memory, seconds = numbers.split()
    return done.returncode, errors, int(memory) << 10, float(seconds)
