"""What is done to sound files. Everything is drawn from one `random.Random`, so a case is known by its number.

Damage is what a bad disk does: our formats' checksums find it, whatever it was. Forgery changes what files say and puts
lengths and checksums right again, so that the reader has to look closer.
"""

from dataclasses import dataclass
from random import Random

from . import images, shards, shl
from .damage import damage
from .seeds import KINDS, OURS, SHL, Seed

LONGEST = 1 << 24
"""Bytes of a case at most: forging a few times can make a hundred million, which the worker could not even read."""

WEIGHTS = {"picture": 4, "archive": 3, "shard": 2, "index": 1, "PNG": 3, "TIFF": 3, "BMP": 2, "WebP": 2, "PNM": 1}
"""How often each kind is drawn."""


@dataclass(frozen=True)
class Case:
    """A file for readers of its kind. Where it is `forged`, they cannot know the original's pixels; else they must.

    `parents` are indices of the seeds it was made of, `story` says how.
    """

    kind: str
    data: bytes
    parents: tuple[int, ...]
    forged: bool
    story: str


def case(seeds: list[Seed], draw: Random) -> Case:
    """One case, drawn from `draw` alone."""
    there = [kind for kind in KINDS if any(seed.kind == kind for seed in seeds)]
    (kind,) = draw.choices(there, [WEIGHTS[kind] for kind in there])
    first = draw.choice([k for k, seed in enumerate(seeds) if seed.kind == kind])
    group = next((group for group in (SHL, OURS) if kind in group), KINDS)
    other = draw.choice([k for k, seed in enumerate(seeds) if seed.kind in group])
    data, story = seeds[first].data, [seeds[first].name]
    forged = kind not in OURS or draw.random() < 0.7
    if forged:
        data = _forged(kind, data, seeds[other].data, draw, story)
    if not forged or draw.random() < 0.05:
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            data = damage(data, seeds[other].data, draw, story)
    return Case(kind, data[:LONGEST], (first, other), forged, ", ".join(story))


def _forged(kind: str, data: bytes, other: bytes, draw: Random, story: list[str]) -> bytes:
    if kind in SHL:
        return shl.forge(data, other, draw, story)
    if kind == "shard":
        return shards.forge_shard(data, other, draw, story)
    if kind == "index":
        return shards.forge_index(data, draw, story)
    return images.change(kind, data, other, draw, story)
