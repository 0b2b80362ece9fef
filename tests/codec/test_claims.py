"""Small files that claim much, with every checksum right: refused before the memory or the time is spent.

Files that are cut short or damaged are the business of the test of each format.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate

import numpy as np
import pytest
from numpy.typing import NDArray

from shearloc.codec.formats import archive_header
from shearloc.codec.pictures import png
from shearloc.coding import symbols
from shearloc.coding.fields import varint
from shearloc.coding.loops import Kernels
from shearloc.errors import CorruptError, ShearlocError, UnsupportedImageError
from shearloc.models.local import coder as local
from shearloc.models.local import past
from shearloc.models.local.model import LocalModel
from shearloc.models.vae import chain as bitsback
from shearloc.models.vae.model import VaeModel

from ..forced import archive_with


@pytest.fixture
def looks_far(tiny_nelloc: Callable[..., LocalModel]) -> LocalModel:
    """A model with convolutions that look as far back as the format has it."""
    model = tiny_nelloc(3, 2, 1, neighbours=2, narrow=5)
    far = np.array([[-1, 32], [-32, -32]], np.int32)
    needed = {(0, -1), (-1, 0), (-1, -1)}
    others = [k for k, offset in enumerate(model.offsets.tolist()) if tuple(offset) not in needed]
    offsets = model.offsets.copy()
    offsets[others[:2]] = far
    fits = replace(model, offsets=offsets, neighbours=far)
    fits.prove()
    return fits


@pytest.mark.parametrize("decode", [local.decode_images, local.decode_parallel, local.decode_sequential])
def test_a_ring_of_features(looks_far: LocalModel, decode: Callable[..., object]) -> None:
    """2^20 images of one pixel, each with a thousand columns of features to keep."""
    with pytest.raises(ShearlocError, match="MiB of earlier pixels"):
        decode(looks_far, (1 << 40).to_bytes(8, "little"), 1, (1 << 20, 1, 1), "numpy")


def test_a_ring_may_be_as_large_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "MOST_BYTES", 100)
    past.check_room(100)
    with pytest.raises(ShearlocError):
        past.check_room(101)


@pytest.mark.parametrize("kind", ["bernoulli", "colour"])
def test_a_chain_of_more_latents_than_it_has_bits(
    tiny_vae: Callable[[str], VaeModel], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is popped."""
    model, bits = tiny_vae(kind), 8 * (8 + 400)
    count = bits // (16 * model.shape.latents) + 1
    fail = partial(pytest.fail, "something was popped")
    monkeypatch.setattr(symbols, "UNIFORM", Kernels(fail, fail, fail))
    data = bytes([1, 1]) + varint(1) + varint(count) + (1 << 40).to_bytes(8, "little") + bytes(400)
    with pytest.raises(CorruptError, match="too few bits"):
        bitsback.decode_chain(model, data, count, 0, "numpy")


def test_where_chunks_end_is_summed_once() -> None:
    """And not for each chunk anew, of which a file can have a million."""
    images = np.arange(60, dtype=np.uint8).reshape(5, 3, 4, 1)
    header, _ = archive_header.read(archive_with(images, None, "raw", chunk_samples=12))
    assert len(header.sizes) == 5 and header.ends == tuple(accumulate(header.sizes))
    assert header.ends is header.ends


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("side", [1 << 20, (1 << 31) - 1])
def test_a_png_of_a_size_that_its_data_is_not(side: int, interlace: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, interlace))
    data = png.SIGNATURE + header + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    with pytest.raises(UnsupportedImageError):
        png.read(data)


def gray_with_a_palette(samples: NDArray[np.uint8]) -> bytes:
    """Which PNG does not allow, and libpng overlooks."""
    height, width = samples.shape
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    parts = header, chunk(b"PLTE", bytes(range(30))), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return png.SIGNATURE + b"".join(parts)


def test_a_gray_png_with_a_palette_stays_gray() -> None:
    samples = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = png.read(gray_with_a_palette(samples))
    assert found.mode == "8-bit gray" and np.array_equal(found.samples, samples)


def test_a_gray_file_with_a_palette_is_refused() -> None:
    from shearloc.codec import api
    from shearloc.codec.formats import chunks, container

    header, payloads = container.unpack(api.encode(np.zeros((2, 3), np.uint8)))
    data = container.pack(replace(header, chunks=((chunks.PALETTE, bytes(6)),)), payloads)
    with pytest.raises(CorruptError, match="palette"):
        api.decode(data)
