"""Zarr arrays and numcodecs chunks: what goes in comes out, in other processes too and on threads."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import archive
from shearloc.codec.info import archive_info
from shearloc.errors import CorruptError, ShearlocError, UnsupportedImageError
from shearloc.plugins import chunks

zarr = pytest.importorskip("zarr", reason="needs the extra [zarr]")
numcodecs = pytest.importorskip("numcodecs", reason="needs the extra [zarr]")

from shearloc.plugins.numcodecs import Shearloc  # noqa: E402  # behind the skip
from shearloc.plugins.zarr import ShearlocCodec  # noqa: E402

Array = Callable[..., NDArray[np.uint8]]
ROOT = Path(__file__).parents[2]

# As the entry point does where this checkout is installed as it is now; the tests with processes rely on entry points.
zarr.registry.register_codec("shearloc", ShearlocCodec)
numcodecs.register_codec(Shearloc)


def volume(picture: Array, shape: tuple[int, ...], dtype: str = "u1") -> NDArray[Any]:
    """Smooth samples of any shape; 16 bits use their low byte, too."""
    if shape[-1] in (3, 4):
        flat = picture(int(np.prod(shape[:-2])), shape[-2], shape[-1])
    else:
        flat = picture(int(np.prod(shape[:-1])), shape[-1], 1)
    samples = flat.reshape(shape)
    return samples if dtype == "u1" else samples.astype(dtype) * 200 + 7


def made(array: NDArray[Any], part: tuple[int, ...], path: Path, **options: Any) -> Any:
    kept = zarr.create_array(
        path, shape=array.shape, chunks=part, dtype=array.dtype, serializer=ShearlocCodec(**options), compressors=None
    )
    kept[...] = array
    return kept


SHAPES = {
    "gray": ((50, 70), (32, 32)),
    "colour": ((50, 70, 3), (32, 48, 3)),
    "alpha": ((30, 40, 4), (16, 16, 4)),
    "colours": ((5, 32, 24, 3), (2, 32, 24, 3)),
    "stack": ((7, 30, 33), (4, 16, 33)),
    "microscope": ((1, 2, 3, 20, 25), (1, 1, 1, 16, 25)),
}


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("kind", SHAPES)
def test_arrays_come_back(tmp_path: Path, picture: Array, kind: str, dtype: str) -> None:
    shape, part = SHAPES[kind]
    array = volume(picture, shape, dtype)
    made(array, part, tmp_path / "a", effort=1)
    again = zarr.open_array(tmp_path / "a", mode="r")
    assert again.metadata.codecs == (ShearlocCodec(effort=1),)
    assert np.array_equal(again[...], array) and again.dtype == array.dtype
    assert np.array_equal(again[..., 1:20, :], array[..., 1:20, :])


def test_a_chunk_of_one_image_is_a_file(tmp_path: Path, picture: Array) -> None:
    array = picture(32, 64, 3)
    made(array, (32, 64, 3), tmp_path / "a")
    assert (tmp_path / "a" / "c" / "0" / "0" / "0").read_bytes() == shearloc.encode(array)


def test_a_chunk_of_several_images_is_an_archive(tmp_path: Path, picture: Array) -> None:
    array = volume(picture, (4, 16, 20))
    made(array, (4, 16, 20), tmp_path / "a")
    data = (tmp_path / "a" / "c" / "0" / "0" / "0").read_bytes()
    assert archive_info(data).count == 4
    assert np.array_equal(archive.decode_images(data)[0], array)


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    dtype=st.sampled_from(["<u1", "<u2", ">u2"]),
    channels=st.sampled_from(chunks.CHANNELS),
    seed=st.integers(0, 99),
)
@settings(max_examples=120)
def test_chunks_of_any_shape(shape: tuple[int, ...], dtype: str, channels: str, seed: int) -> None:
    chunk = np.random.default_rng(seed).integers(0, 256 ** np.dtype(dtype).itemsize, shape).astype(dtype)
    if channels == "last" and (len(shape) < 3 or shape[-1] == 5):
        with pytest.raises(UnsupportedImageError, match="the last one of 1 to 4 channels"):
            chunks.encode(chunk, "auto", 1, channels)
        return
    back = chunks.decode_as(chunks.encode(chunk, "auto", 1, channels), chunk.dtype, shape)
    assert np.array_equal(back, chunk) and back.dtype == chunk.dtype


@pytest.mark.parametrize(
    ("shape", "channels", "stack"),
    [
        ((5, 6), "auto", (1, 5, 6, 1)),
        ((5, 6, 3), "auto", (1, 5, 6, 3)),
        ((5, 6, 3), "none", (5, 6, 3, 1)),
        ((5, 6, 7), "auto", (5, 6, 7, 1)),
        ((5, 6, 2), "auto", (5, 6, 2, 1)),
        ((5, 6, 2), "last", (1, 5, 6, 2)),
        ((9, 5, 6, 1), "auto", (9, 5, 6, 1)),
        ((2, 9, 5, 6, 3), "auto", (18, 5, 6, 3)),
        ((5, 3), "auto", (1, 5, 3, 1)),
    ],
)
def test_which_axes_are_a_picture(shape: tuple[int, ...], channels: str, stack: tuple[int, ...]) -> None:
    assert chunks.stack_shape(shape, channels) == stack


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees this checkout as pip would install it: with its entry points."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = tmp_path_factory.mktemp("site")
    info = folder / f"shearloc-{shearloc.__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shearloc\nVersion: {shearloc.__version__}\n")
    groups = [(name, entries) for name, entries in project["entry-points"].items()]
    lines = [line for name, found in groups for line in (f"[{name}]", *(f"{k} = {v}" for k, v in found.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def in_process(code: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_process_that_never_imported_shearloc_reads_and_writes(
    tmp_path: Path, picture: Array, installed: dict[str, str], zarr_format: int
) -> None:
    array = picture(40, 50, 3)
    if zarr_format == 3:
        made(array, (40, 32, 3), tmp_path / "a")
    else:
        kept = zarr.create_array(
            tmp_path / "a", shape=array.shape, chunks=(40, 32, 3), dtype="u1", zarr_format=2, compressors=Shearloc()
        )
        kept[...] = array
    code = """
import sys, zarr
array = zarr.open_array("a")
before = array[...]
array[:20] = 255 - before[:20]
print(*before.shape, before.sum(), "shearloc" in sys.modules)
"""
    done = in_process(code, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*map(str, array.shape), str(array.sum()), "True"]
    array[:20] = 255 - array[:20]
    assert np.array_equal(zarr.open_array(tmp_path / "a")[...], array)


def test_a_model_by_its_path(
    tmp_path: Path, picture: Array, tiny_model: Callable[..., Any], installed: dict[str, str]
) -> None:
    """The array's metadata say where the model is, so that another process finds it, too."""
    own = tmp_path / "mine.safetensors"
    tiny_model(3).save(own)
    array = picture(48, 24, 3)
    made(array, (24, 24, 3), tmp_path / "a", model=str(own))
    data = Shearloc(model=str(own)).encode(array)
    assert archive_info(chunks.encode(np.stack([array] * 2), str(own), 5, "auto")).model == "mine"
    (tmp_path / "chunk").write_bytes(data)
    done = in_process("import zarr; print(zarr.open_array('a')[...].sum())", tmp_path, installed)
    assert done.returncode == 0 and done.stdout == f"{array.sum()}\n", done.stderr
    code = f"""
import numcodecs
codec = numcodecs.get_codec({Shearloc(model=str(own)).get_config()!r})
print(codec.decode(open("chunk", "rb").read()).sum())
"""
    done = in_process(code, tmp_path, installed)
    assert done.returncode == 0 and done.stdout == f"{array.sum()}\n", done.stderr


def test_numcodecs_refuses_masked_arrays(picture: Array) -> None:
    with pytest.raises(UnsupportedImageError, match=r"a masked array; store array.filled\(value\)"):
        Shearloc().encode(np.ma.masked_array(picture(9, 8, 3), mask=True))


def test_numcodecs_finds_the_codec(tmp_path: Path, picture: Array, installed: dict[str, str]) -> None:
    (tmp_path / "chunk").write_bytes(Shearloc(effort=2).encode(picture(9, 8, 3)))
    code = """
import numcodecs
codec = numcodecs.get_codec({"id": "shearloc", "effort": 2})
print(codec.get_config(), codec.decode(open("chunk", "rb").read()).sum())
"""
    done = in_process(code, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{Shearloc(effort=2).get_config()} {picture(9, 8, 3).sum()}\n"


@pytest.mark.parametrize("dtype", ["<u1", "<u2"])
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3), (3, 9, 8), (2, 9, 8, 3)])
def test_numcodecs_keeps_every_byte(picture: Array, shape: tuple[int, ...], dtype: str) -> None:
    chunk = volume(picture, shape, dtype)
    codec = numcodecs.get_codec(Shearloc(model="auto", effort=1).get_config())
    assert codec == Shearloc(effort=1)
    data = codec.encode(chunk)
    assert codec.decode(bytearray(data)).tobytes() == chunk.tobytes()
    out = np.zeros_like(chunk)
    assert codec.decode(memoryview(data), out) is out and np.array_equal(out, chunk)


@pytest.mark.parametrize("chunk", [np.zeros((4, 5), ">u2"), np.zeros((4, 5), "u1").T], ids=["big-endian", "Fortran"])
def test_numcodecs_refuses_other_orders(chunk: NDArray[Any]) -> None:
    """They would come back with their bytes in another order, and Zarr would not know."""
    with pytest.raises(UnsupportedImageError, match="little-endian chunks in C order"):
        Shearloc().encode(chunk)


@pytest.mark.parametrize(
    ("dtype", "shape", "options", "told"),
    [
        ("f4", (8, 8), {}, "chunks of float32 are not stored by shearloc: use uint8 or uint16"),
        ("i2", (8, 8), {}, "chunks of int16"),
        ("bool", (8, 8), {}, "chunks of bool"),
        ("u1", (8,), {}, "they need at least 2 axes"),
        ("u1", (8, 8), {"channels": "last"}, "they need at least 3 axes"),
        ("u1", (8, 8, 5), {"channels": "last"}, "1 to 4 channels"),
        ("u1", (8, 8), {"channels": "first"}, "channels is one of auto, last, none"),
        ("u1", (8, 8), {"effort": 10}, "effort is a whole number from 1 to 9"),
        ("u1", (8, 8), {"model": 3}, "model is a name"),
    ],
)
def test_arrays_that_are_not_stored_are_refused_when_made(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ShearlocError, match=told) as refused:
        made(np.zeros(shape, dtype), shape, tmp_path / "a", **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "a" / "zarr.json").exists()


def test_options_of_a_newer_version() -> None:
    with pytest.raises(ShearlocError, match="no option speed: get a newer one"):
        ShearlocCodec.from_dict({"name": "shearloc", "configuration": {"effort": 5, "speed": 1}})
    assert ShearlocCodec.from_dict({"name": "shearloc"}) == ShearlocCodec()


def test_a_damaged_chunk(tmp_path: Path, picture: Array) -> None:
    """One clear message; the other chunks are read."""
    array = picture(32, 64, 1)
    kept = made(array, (32, 32), tmp_path / "a", effort=1)
    path = tmp_path / "a" / "c" / "0" / "1"
    data = path.read_bytes()
    for bad, told in ((data[:-1], "cut short"), (data[:40] + b"?" + data[41:], "checksum"), (b"x" * 99, "signature")):
        path.write_bytes(bad)
        assert np.array_equal(kept[:, :32], array[:, :32])
        with pytest.raises(ShearlocError, match=told):
            kept[...]


def test_a_chunk_of_another_shape_or_type(tmp_path: Path, picture: Array) -> None:
    kept = made(picture(32, 32, 1), (32, 32), tmp_path / "a", effort=1)
    for other, told in ((picture(32, 31, 1), "992 samples"), (picture(16, 32, 1).astype("u2"), "uint16")):
        (tmp_path / "a" / "c" / "0" / "0").write_bytes(shearloc.encode(other, effort=1))
        with pytest.raises(CorruptError, match=told):
            kept[...]
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(shearloc.encode(picture(99, 99, 1), effort=1))
    with pytest.raises(UnsupportedImageError, match="more than the limit of 1024"):
        kept[...]


def test_inside_a_shard(tmp_path: Path, picture: Array) -> None:
    """Many chunks in one file of the store."""
    array = picture(64, 96, 3)
    kept = zarr.create_array(
        tmp_path / "a", shape=array.shape, shards=(64, 96, 3), chunks=(32, 32, 3), dtype="u1",
        serializer=ShearlocCodec(effort=1), compressors=None,
    )  # fmt: skip
    kept[...] = array
    assert len([path for path in (tmp_path / "a" / "c").rglob("*") if path.is_file()]) == 1
    assert np.array_equal(zarr.open_array(tmp_path / "a")[33:40, 5:50], array[33:40, 5:50])


def test_threads_make_the_same_chunks(picture: Array) -> None:
    """Several at a time, RGB and gray, pictures and stacks: the same bytes and samples as one after the other."""
    arrays = [picture(40 + k, 48, 1 + 2 * (k % 2)) for k in range(6)] + [
        volume(picture, (4, 16, 20 + k)) for k in (0, 1)
    ]

    def there(array: NDArray[Any]) -> bytes:
        return chunks.encode(array, "auto", 1, "auto")

    one = [there(array) for array in arrays]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(there, arrays * 2)) == one * 2
        back = list(pool.map(chunks.decode, one * 3))
    assert all(np.array_equal(a, b) for a, b in zip(back, arrays * 3, strict=True))


def test_a_chunk_takes_one_processor(monkeypatch: pytest.MonkeyPatch, picture: Array) -> None:
    """Zarr's threads are the parallel ones; what runs outside a chunk has all processors again."""
    from shearloc.codec import api
    from shearloc.nets import engines

    seen: list[int] = []
    decode = api.decode

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append(engines.processors())
        return decode(*arguments, **options)

    monkeypatch.setattr(api, "decode", spy)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    chunks.decode(shearloc.encode(picture(8, 8, 1), effort=1))
    assert (seen, engines.processors()) == ([1], 8)


def test_numcodecs_writes_nothing_that_it_would_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shearloc.plugins.numcodecs.MAX_SAMPLES", 11)
    assert Shearloc().decode(Shearloc().encode(np.zeros((1, 11), np.uint8))).size == 11
    with pytest.raises(UnsupportedImageError, match="12 samples"):
        Shearloc().encode(np.zeros((3, 4), np.uint8))
