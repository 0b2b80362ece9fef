"""Makes the start of `linear16`: the mean of what it has learned at the end of photographs, as noisy sensors see them.

python bench/linear16.py ../shared/data/photos linear16.safetensors
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from deep import BLACK, TOP, light, sensor

from shearloc.models.squares import experts, payload, spread, tiles
from shearloc.models.squares.model import Squares

WELLS = (100000, 20000, 4000, 1000, 250)
FIRST = (1.6, 0.2, 0.2, 0.2, 0.02, 0.02, 0.4)
"""Weights of the scale to begin with."""
FEW = 2000
"""A class of scales that saw fewer samples takes the shape of the nearest one that saw more."""


def pictures(folder: Path) -> Iterator[np.ndarray]:
    """Every sixth photograph, at one level of noise; every fourth of them developed to 16 bits."""
    for number, path in enumerate(sorted(folder.iterdir())[2::6]):
        draw = np.random.default_rng(1000 + number)
        seen = sensor(light(path, draw)[:384, :384], draw, WELLS[number % len(WELLS)])
        if number % 4 == 3:
            linear = np.clip((seen.astype(np.float64) - BLACK) / (TOP - BLACK), 0, 1)
            seen = np.round(linear ** (1 / 2.2) * 65535).astype(np.uint16)
        yield seen[:, :, None]


def learned(picture: np.ndarray) -> spread.State:
    """What a coder knows at the end of a picture that it began without knowledge."""
    head, ranks = payload.ranked(picture)
    even = np.tile(np.arange(spread.BINS + 1) << spread.PRECISION - 5, (spread.CLASSES, 1)).astype(np.int32)
    state = spread.state(1, np.round(np.array(FIRST) * 65536).astype(np.int32), even)
    words, coder = np.zeros(2 * picture.size + 4, np.uint32), np.zeros(3, np.uint64)
    room = experts.room(1, picture.shape[1])
    tiles.run(ranks.astype(np.int64), head.levels, head.starts, room, state, words, coder, False)
    return state


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    states = [learned(picture) for picture in pictures(given.photos)]
    weights = np.median([state.weights[0] for state in states], 0)
    counts = np.sum([state.counts[0, : spread.CLASSES] for state in states], 0)
    sums = np.sum([state.shapes[0] * state.counts[0, : spread.CLASSES, None] for state in states], 0)
    seen = np.flatnonzero(counts > FEW)
    nearest = seen[np.abs(seen - np.arange(spread.CLASSES)[:, None]).argmin(1)]
    shapes = (sums[nearest] // counts[nearest, None]).astype(np.int32)
    shapes[:, -1] = 1 << spread.PRECISION
    model = Squares(given.out.stem, np.round(weights * 65536).astype(np.int32), shapes)
    model.save(given.out)
    print(f"{given.out} {model.fingerprint.hex()}, of {len(states)} pictures: {np.round(weights, 3).tolist()}")


if __name__ == "__main__":
    main()
