"""Sound small files to start from: the golden ones, a collection of some of them, and image files of every kind."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from shearloc.codec import archive
from shearloc.codec.collections import index, shards
from shearloc.codec.formats import archive_header, container
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture
from tests.codec.pictures import against_libpng, makers

GOLDEN = Path(__file__).parents[1] / "golden"
FAULTS = Path(__file__).parents[1] / "codec" / "pictures" / "faults"

SHL = ("picture", "archive")
OURS = (*SHL, "shard", "index")
KINDS = (*OURS, "PNG", "TIFF", "BMP", "WebP", "PNM")
"""What a file is read as."""

MAX_SAMPLES = 1 << 13
"""Larger golden files are left out: a case should take milliseconds."""

STREAMS = (
    ("example", "palette-4", "metadata", "archive-raw"),
    ("gray-alpha-16", "archive-one", "local-gray-1x1", "archive-bernoulli-0", "flat"),
)
"""Golden files, by what holds them: a shard each."""


@dataclass(frozen=True)
class Seed:
    """A file, its name and its kind. All are sound but for some image files, which readers should refuse."""

    name: str
    data: bytes
    kind: str = "picture"


def seeds() -> list[Seed]:
    """All of them, always the same, in the same order."""
    return [*shl_files(), *collection_files(), *image_files()]


def kind_of(data: bytes) -> str:
    """The kind of a sound file of ours."""
    signatures = {archive_header.MAGIC: "archive", shards.HEAD.magic: "shard", index.HEAD.magic: "index"}
    return next((kind for magic, kind in signatures.items() if data.startswith(magic)), "picture")


def shl_files() -> list[Seed]:
    """The golden files that are small."""
    found = [Seed(path.name, path.read_bytes()) for path in sorted(GOLDEN.glob("*.shl"))]
    return [Seed(seed.name, seed.data, kind_of(seed.data)) for seed in found if _samples(seed.data) <= MAX_SAMPLES]


def _samples(data: bytes) -> int:
    if archive.is_archive(data):
        header, _ = archive_header.read(data)
        return header.count * header.height * header.width * header.channels
    return container.unpack_header(data)[0].samples


def collection_files() -> list[Seed]:
    """The shards of one collection, and the index over them."""
    found, records = [], []
    for number, names in enumerate(STREAMS):
        head = shards.ShardHead(number, len(names), bytes(range(16)))
        data, images = shards.pack_shard_head(head), 0
        for name in names:
            stream = (GOLDEN / f"{name}.shl").read_bytes()
            count = archive_header.read(stream)[0].count if archive.is_archive(stream) else 1
            called = tuple(f"{name}/é{k}.png" for k in range(count))
            record = shards.pack_record(called, stream)
            data, images = data + record, images + count
            place = shards.Stream(number, len(data) - len(stream), len(stream), shards.stream_checksum(stream))
            records.append(shards.Record(place, called))
        found.append(Seed(shards.shard_name(number), data + shards.pack_shard_end(images), "shard"))
    return [*found, Seed(index.INDEX, index.build_index(records), "index")]


def image_files() -> list[Seed]:
    """Tiny files of every format that is read, by several writers, and those that were once read wrongly."""
    suffixes = {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".pgm": "PNM"}
    found = [Seed(path.name, path.read_bytes(), suffixes[path.suffix]) for path in sorted(FAULTS.iterdir())]
    return [*found, *_pngs(), *_tiffs(), *_bmps(), *_webps(), *_pnms()]


def _noise(*shape: int, top: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, shape, np.uint16 if top > 256 else np.uint8)


def _pngs() -> Iterator[Seed]:
    for number in range(24):
        chunks = against_libpng.sound_file(Random(number))
        yield Seed(f"{number}.png", against_libpng.joined(chunks), "PNG")


def _tiffs() -> Iterator[Seed]:
    for compression in ("packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "group3", "group4", "jpeg", "lzma"):
        image, file = Image.fromarray(_noise(7, 9, 3)), io.BytesIO()
        (image.convert("1") if compression.startswith("group") else image).save(file, "TIFF", compression=compression)
        yield Seed(f"{compression}.tif", file.getvalue(), "TIFF")
    for order, big, tile in product("<>", (False, True), (0, 16)):
        for name, samples, options in (
            ("gray", _noise(7, 9, top=16), {"photometric": 0, "bits": 4}),
            ("rgb", _noise(7, 9, 3, top=65536), {"photometric": 2, "bits": 16, "planar": True, "deflate": True}),
            ("palette", _noise(7, 9), {"photometric": 3, "palette": _noise(256, 3), "rows": None if tile else 2}),
        ):
            data = makers.tiff_bytes(samples, order=order, big=big, tile=tile, **options)
            yield Seed(f"{name}{order}{big}{tile}.tif", data, "TIFF")
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274], exif[270], exif[700], exif[34675] = 6, "turned", b"<x/>", b"profile"
    exif.get_ifd(34665)[36867] = "2026:11:30 10:00:00"
    Image.fromarray(_noise(7, 9, 4)).save(file, "TIFF", exif=exif, dpi=(72, 96))
    yield Seed("exif.tif", file.getvalue(), "TIFF")


def _bmps() -> Iterator[Seed]:
    palette = _noise(256, 3)
    for bits, size in product((1, 4, 8), (12, 40, 108, 124)):
        data = makers.bmp_bytes(_noise(5, 9, top=1 << bits), bits, palette=palette[: 1 << bits], size=size)
        yield Seed(f"{bits}-{size}.bmp", data, "BMP")
    for bits, compression in ((4, 2), (8, 1)):
        samples = _noise(5, 9, top=1 << bits)
        options = {"palette": palette[: 1 << bits], "runs": makers.run_bytes(samples, bits)}
        yield Seed(f"runs-{bits}.bmp", makers.bmp_bytes(samples, bits, compression=compression, **options), "BMP")
    yield Seed("24.bmp", makers.bmp_bytes(_noise(5, 9, 3), 24, top_down=True), "BMP")
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield Seed("32.bmp", makers.bmp_bytes(_noise(5, 9, 4), 32, size=124, compression=3, masks=masks), "BMP")


def _webps() -> Iterator[Seed]:
    block = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    for lossless, channels, exif in product((False, True), (3, 4), (b"", block)):
        file = io.BytesIO()
        Image.fromarray(_noise(7, 9, channels)).save(file, "WEBP", lossless=lossless, exif=exif)
        yield Seed(f"{lossless}-{channels}-{len(exif)}.webp", file.getvalue(), "WebP")


def _pnms() -> Iterator[Seed]:
    for name, picture in (
        (".pbm", Picture(_noise(5, 9, top=2), 1)),
        (".pgm", Picture(_noise(5, 9))),
        (".ppm", Picture(_noise(5, 9, 3, top=65536), 16)),
    ):
        file = io.BytesIO()
        files.write(file, picture, name)
        yield Seed(name, file.getvalue(), "PNM")
    for text in (b"P1 3 2 010 1#x\n11", b"P2 3 2 255 1 2 3 4 5 6", b"P3#c\n1 2 65535 1 2 3 4 5 6"):
        yield Seed(text[:2].decode(), text, "PNM")
