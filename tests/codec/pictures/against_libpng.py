"""Damage PNGs, put their checksums right, and compare this reader's verdict and pixels with libpng's.

    python -m tests.codec.pictures.against_libpng --files 800 --seed 1

It compiles `libpng_reader.c` with the C compiler and libpng's headers (Debian: gcc, libpng-dev). Exit status 1 where
the readers differ, but for what docs/images-read.md names: animations, chunks before the header, and image data whose
checksum is wrong or missing.
"""

import argparse
import io
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shearloc.codec.pictures import png
from shearloc.codec.pictures.picture import CHANNELS, DEPTHS, PALETTE, Picture
from shearloc.errors import UnsupportedImageError

PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
HELPER = Path(__file__).with_name("libpng_reader.c")
Chunks = list[tuple[bytes, bytes]]
DOCUMENTED = ("an animated PNG", "its header is missing", "incorrect data check", "the image data is cut short")
"""Parts of refusals that docs/images-read.md names, of files that libpng reads."""


@dataclass(frozen=True)
class Verdict:
    """What a reader makes of a file: an error, or the picture's parts."""

    error: str = ""
    kind: tuple[int, ...] = ()
    samples: bytes = b""
    palette: bytes = b""
    transparency: bytes = b""


def sound_file(rng: random.Random) -> Chunks:
    """The chunks of a small sound PNG of any kind."""
    colour = rng.choice([*DEPTHS])
    depth = rng.choice(DEPTHS[colour])
    shape = (rng.randint(1, 9), rng.randint(1, 9), *([] if CHANNELS[colour] == 1 else [CHANNELS[colour]]))
    noise = np.random.default_rng(rng.randrange(1 << 30))
    samples = noise.integers(0, 2**depth, shape).astype(np.uint16 if depth == 16 else np.uint8)
    entries = rng.randint(1, 2**depth if colour == PALETTE else 256)
    has_palette = colour == PALETTE or (colour == 2 and rng.random() < 0.3)
    palette = noise.integers(0, 256, (entries, 3), np.uint8) if has_palette else None
    length = {0: 2, 2: 6, 3: rng.randint(1, entries)}.get(colour, 0)
    transparency = noise.bytes(length) if rng.random() < 0.5 else b""
    texts = ((b"tEXt", b"key\0text"), (b"gAMA", struct.pack(">I", 45455)))[: rng.randint(0, 2)]
    file = io.BytesIO()
    png.write(file, Picture(samples, depth, palette, transparency, texts))
    chunks, at, data = [], 8, file.getvalue()
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return interlaced(chunks, samples, colour, depth) if rng.random() < 0.3 else chunks


def interlaced(chunks: Chunks, samples: np.ndarray, colour: int, depth: int) -> Chunks:
    """The same picture in Adam7's passes."""
    raw = b""
    for y, dy, x, dx in PASSES:
        part = samples[y::dy, x::dx]
        raw += b"".join(b"\0" + png.pack_rows(row[None], depth).tobytes() for row in part if row.size)
    header = chunks[0][1][:12] + b"\1"
    return [(kind, {b"IHDR": header, b"IDAT": zlib.compress(raw)}.get(kind, content)) for kind, content in chunks]


def damaged(rng: random.Random, chunks: Chunks) -> bytes:
    """A file of the chunks after one to three changes, with its checksums right."""
    chunks = list(chunks)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        if chunks:
            rng.choice(CHANGES)(rng, chunks)
    data = joined(chunks)
    if rng.random() < 0.03:
        return data[: rng.randrange(8, len(data) + 1)]
    return data + bytes(rng.choice([0, 0, 0, 5]))


def joined(chunks: Chunks) -> bytes:
    """A PNG of these chunks, their checksums right."""
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def flip(rng: random.Random, chunks: Chunks) -> None:
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    if content:
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        chunks[at] = (kind, bytes(changed))


def flip_header(rng: random.Random, chunks: Chunks) -> None:
    changed = bytearray(chunks[0][1])
    if len(changed) == 13:
        changed[rng.choice([3, 7, 8, 9, 10, 11, 12])] ^= rng.choice([1, 2, 3, 4, 8])
        chunks[0] = (chunks[0][0], bytes(changed))


def resize(rng: random.Random, chunks: Chunks) -> None:
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    longer = content + rng.randbytes(rng.choice([1, 3]))
    chunks[at] = (kind, content[: -rng.randint(1, 4)] if rng.random() < 0.5 else longer)


def double(rng: random.Random, chunks: Chunks) -> None:
    chunks.insert(rng.randint(0, len(chunks)), rng.choice(chunks))


def remove(rng: random.Random, chunks: Chunks) -> None:
    del chunks[rng.randrange(len(chunks))]


def move(rng: random.Random, chunks: Chunks) -> None:
    chunk = chunks.pop(rng.randrange(len(chunks)))
    chunks.insert(rng.randint(0, len(chunks)), chunk)


def insert(rng: random.Random, chunks: Chunks) -> None:
    kind = rng.choice(b"PLTE tRNS acTL fcTL fdAT CgBI vpAg XXXX IEND IDAT bKGD sBIT".split())
    palette, transparency = 3 * rng.choice([0, 1, 2, 16, 256, 257]), rng.choice([1, 2, 3, 6])
    length = {b"PLTE": palette, b"tRNS": transparency, b"acTL": 8}.get(kind, 0)
    content = rng.choice([bytes(length), rng.randbytes(length), b"\0\0\0\1" + bytes(max(0, length - 4))])[:length]
    chunks.insert(rng.randint(0, len(chunks)), (kind, content))


def rename(rng: random.Random, chunks: Chunks) -> None:
    at = rng.randrange(len(chunks))
    kind = bytearray(chunks[at][0])
    kind[rng.randrange(4)] ^= rng.choice([0x20, 0x20, 1, 0x80])
    chunks[at] = (bytes(kind), chunks[at][1])


def change_data(rng: random.Random, chunks: Chunks) -> None:
    """The image data inflated, changed, and deflated again, perhaps with a wrong or missing end, in several chunks."""
    places = [at for at, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    try:
        raw = bytearray(zlib.decompress(b"".join(chunks[at][1] for at in places)))
    except zlib.error:
        return
    change = rng.randrange(5)
    if change == 0 and raw:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    elif change == 1:
        raw += rng.randbytes(rng.choice([1, 5, 2000]))
    elif change == 2:
        del raw[-rng.randint(1, 3) :]
    packed = zlib.compress(raw, rng.choice([0, 6, 9]))
    end = rng.randrange(6)
    if end == 0:
        packed = packed[:-4] + bytes(4)
    elif end == 1:
        packed = packed[: -rng.randint(1, 6)]
    elif end == 2:
        packed += rng.randbytes(3)
    cut = rng.randint(0, len(packed))
    parts = [packed] if rng.random() < 0.6 else [packed[:cut], packed[cut:]]
    first = places[0]
    for at in reversed(places):
        del chunks[at]
    chunks[first:first] = [(b"IDAT", part) for part in parts]


CHANGES = [flip, flip_header, resize, double, remove, move, *3 * [insert], rename, *3 * [change_data]]


def ours(data: bytes) -> Verdict:
    """This reader's verdict."""
    try:
        picture = png.read(data)
    except UnsupportedImageError as error:
        return Verdict(str(error))
    height, width = picture.samples.shape[:2]
    palette = b"" if picture.palette is None else picture.palette.tobytes()
    kind = (width, height, picture.colour, picture.depth)
    return Verdict("", kind, picture.samples.astype(">u2").tobytes(), palette, picture.transparency)


def libpngs(paths: list[Path], program: Path) -> list[Verdict]:
    """libpng's verdicts."""
    names = "\n".join(map(str, paths)) + "\n"
    told = subprocess.run([program], input=names, capture_output=True, text=True, check=True).stdout
    return [_verdict(part) for part in told.split("file ")[1:]]


def _verdict(told: str) -> Verdict:
    lines = {line.partition(" ")[0]: line.partition(" ")[2] for line in told.splitlines()[1:]}
    if "error" in lines:
        return Verdict(lines["error"])
    width, height, colour, depth = map(int, lines["size"].split())
    rows = np.frombuffer(bytes.fromhex(lines["rows"]), np.uint8).reshape(height, -1)
    count = width * CHANNELS[colour]
    if depth == 16:
        values = rows.view(">u2")[:, :count]
    else:
        digits = np.unpackbits(rows, axis=1)[:, : count * depth].reshape(height, count, depth)
        values = (digits << np.arange(depth - 1, -1, -1)).sum(axis=2)
    transparency = bytes.fromhex(lines.get("alpha", ""))
    if "key" in lines:
        key = struct.pack(">4H", *map(int, lines["key"].split()))
        transparency = key[:2] if colour == 0 else key[2:]
    palette = bytes.fromhex(lines.get("palette", ""))
    return Verdict("", (width, height, colour, depth), values.astype(">u2").tobytes(), palette, transparency)


def differ(mine: Verdict, theirs: Verdict) -> str:
    """What two verdicts differ in, or nothing; gray has no palette here."""
    if bool(mine.error) != bool(theirs.error):
        return f"{'refused' if mine.error else 'read'} here, {'refused' if theirs.error else 'read'} by libpng"
    if mine.error:
        return ""
    names = ("kind", "samples", "palette", "transparency")
    return ", ".join(name for name in names if getattr(mine, name) != getattr(theirs, name))


def compare(count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Counts of the verdicts, and a line for each difference that is not documented."""
    rng, program = random.Random(seed), folder / "reader"
    subprocess.run(["cc", "-O1", "-o", program, HELPER, "-lpng"], check=True)
    paths = [folder / f"{number:05}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(damaged(rng, sound_file(rng)))
    counts, lines = Counter[str](), []
    for path, theirs in zip(paths, libpngs(paths, program), strict=True):
        mine = ours(path.read_bytes())
        what = differ(mine, theirs)
        known = what and any(part in mine.error for part in DOCUMENTED)
        counts["documented" if known else "different" if what else "refused by both" if mine.error else "equal"] += 1
        if what and not known:
            lines.append(f"{path.name}: {what}: {mine.error or 'read'} | {theirs.error or 'read'}")
    return counts, lines


def main() -> None:
    """Compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        place.mkdir(exist_ok=True)
        counts, lines = compare(given.files, given.seed, place)
    print(*lines, sep="\n")
    print(", ".join(f"{name}: {number}" for name, number in sorted(counts.items())))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
