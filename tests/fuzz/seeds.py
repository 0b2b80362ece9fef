"""Sound small files to start from: the golden ones, which are of every kind the format has."""

from dataclasses import dataclass
from pathlib import Path

from shearloc.codec import archive
from shearloc.codec.formats import archive_header, container

GOLDEN = Path(__file__).parents[1] / "golden"

MAX_SAMPLES = 1 << 13
"""Larger golden files are left out: a case should take milliseconds."""


@dataclass(frozen=True)
class Seed:
    """A sound file and its name."""

    name: str
    data: bytes


def seeds() -> list[Seed]:
    """The golden files that are small, always the same, in the same order."""
    files = [Seed(path.name, path.read_bytes()) for path in sorted(GOLDEN.glob("*.shl"))]
    return [seed for seed in files if _samples(seed.data) <= MAX_SAMPLES]


def _samples(data: bytes) -> int:
    if archive.is_archive(data):
        header, _ = archive_header.read(data)
        return header.count * header.height * header.width * header.channels
    return container.unpack_header(data)[0].samples
