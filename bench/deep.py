"""Compares pictures of 16 bits with JPEG XL, effort 7: files, and photographs as a noisy sensor of 12 bits sees them.

    python bench/deep.py --photos ../shared/data/kodak --files ~/microscope/*.png --json bench/results/deep.json

A photograph becomes linear light, then electrons: a Poisson number of them for each pixel, with a mean of WELL where it
is white, plus a normal error of 3, read as 12 bits from a black level of 64 on. Sizes are of whole files.
"""

import argparse
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

import shearloc
from shearloc.codec.pictures import files

WELLS = (20000, 4000, 1000)
"""Electrons of white: little noise, some, much."""
READ_NOISE, BLACK, TOP = 3.0, 64, 4095


def light(path: Path, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """Linear light of a photograph, float64 [H, W] from 0 to 1; its steps of 8 bits are filled with noise."""
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(np.float64)
    u = np.clip(rgb + draw.uniform(-0.5, 0.5, rgb.shape), 0, 255) / 255
    linear = np.where(u <= 0.04045, u / 12.92, ((u + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def sensor(linear: np.ndarray[Any, Any], draw: np.random.Generator, well: int) -> np.ndarray[Any, Any]:
    """What a sensor of 12 bits makes of it, uint16."""
    electrons = draw.poisson(linear * well) + draw.normal(0, READ_NOISE, linear.shape)
    return np.clip(np.round(BLACK + electrons / well * (TOP - BLACK)), 0, TOP).astype(np.uint16)


def pictures(photos: Path | None, others: list[Path]) -> Iterator[tuple[str, str, np.ndarray[Any, Any]]]:
    """Kind, name and samples of each picture."""
    for number, path in enumerate(sorted(photos.iterdir()) if photos else []):
        draw = np.random.default_rng(number)
        linear = light(path, draw)
        for well in WELLS:
            yield f"well {well}", path.stem, sensor(linear, draw, well)
    for path in others:
        yield "files", path.stem, files.load(path).samples


def measured(kind: str, name: str, samples: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Bytes of both, CPU seconds of ours; RuntimeError where ours does not come back."""
    begin = seconds()
    ours = shearloc.encode(samples)
    middle = seconds()
    if not np.array_equal(shearloc.decode(ours), samples):
        raise RuntimeError(f"{name} did not come back")
    theirs = len(imagecodecs.jpegxl_encode(samples, lossless=True, effort=7, numthreads=1))
    return {
        "kind": kind,
        "name": name,
        "shape": samples.shape,
        "method": shearloc.info(ours).method,
        "bits": 8 * len(ours) / samples.size,
        "jpegxl": 8 * theirs / samples.size,
        "ratio": len(ours) / theirs,
        "encode": middle - begin,
        "decode": seconds() - middle,
    }


def seconds() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a line for each picture, and one for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of photographs of 8 bits, nothing else in it")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="pictures of 16 bits")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    measured("warm-up", "", np.zeros((8, 8), np.uint16))
    found = []
    for picture in pictures(given.photos, given.files):
        row = measured(*picture)
        found.append(row)
        print(f"{row['kind']:<10} {row['name']:<24} {row['bits']:7.3f} {row['jpegxl']:7.3f} {row['ratio']:6.4f}")
    for kind in dict.fromkeys(row["kind"] for row in found):
        rows = [row for row in found if row["kind"] == kind]
        ratios = [row["ratio"] for row in rows]
        size = sum(2 * np.prod(row["shape"]) for row in rows) / 1e6
        speeds = [size / sum(row[what] for row in rows) for what in ("encode", "decode")]
        print(
            f"{kind}: {len(rows)} pictures, {np.mean(ratios):.4f} of JPEG XL's bytes in the mean, at most "
            f"{max(ratios):.4f}; {speeds[0]:.2f} MB/s encoding, {speeds[1]:.2f} decoding, by CPU time"
        )
    if given.json:
        given.json.write_text(json.dumps({"command": sys.argv, "pictures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
