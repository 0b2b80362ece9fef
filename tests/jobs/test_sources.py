"""What a collection's sources hold: every kind there is, named and read; what cannot be used is told."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.errors import ShearlocError
from shearloc.jobs import sources

Picture = Callable[..., NDArray[np.uint8]]
GRAYS = np.random.default_rng(0).integers(0, 256, (12, 5, 7), np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (3, 5, 7, 3), np.uint8)


def idx(images: NDArray[np.uint8]) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in images.shape)
    return bytes([0, 0, 8, images.ndim]) + sizes + images.tobytes()


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    mode: Any = f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w"
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def arrays(found: sources.Found) -> dict[str, NDArray[np.uint8]]:
    return {item.name: sources.read(item).array() for item in found.items}


def write_array(path: Path, images: NDArray[np.uint8]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, images)
    elif path.suffix == ".npy":
        np.save(path, images)
    else:
        packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
        path.write_bytes(packed(idx(images)))


@pytest.mark.parametrize(
    "file",
    [
        *(f"t10k-images-idx3-ubyte{suffix}" for suffix in ("", ".gz", ".bz2", ".xz")),
        *("a.idx", "a.idx.gz", "a.idx.bz2", "a.npy", "a.npz"),
    ],
)
@pytest.mark.parametrize("images", [GRAYS, COLOURS, GRAYS[:1, :, :, None]], ids=["gray", "colour", "one channel"])
def test_arrays(tmp_path: Path, file: str, images: NDArray[np.uint8]) -> None:
    write_array(tmp_path / file, images)
    found = sources.find([tmp_path / file])
    digits = len(str(len(images) - 1))
    prefix = "arr_0/" if file == "a.npz" else ""
    read = arrays(found)
    assert list(read) == [f"{prefix}{k:0{digits}}" for k in range(len(images))]
    assert np.array_equal(np.stack(list(read.values())), images.squeeze(-1) if images.shape[3:] == (1,) else images)
    assert not found.problems and not found.left_out


def test_arrays_of_16_bits_and_labels(tmp_path: Path) -> None:
    deep = GRAYS.astype(np.uint16) * 257
    np.savez(tmp_path / "all.npz", x=deep, y=np.arange(12), z=COLOURS)
    found = sources.find([tmp_path / "all.npz"])
    assert found.left_out == [f"{tmp_path / 'all.npz'}: y"] and len(found.items) == 15
    assert arrays(found)["x/03"].dtype == np.uint16 and np.array_equal(arrays(found)["x/03"], deep[3])


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
def test_tar_files(tmp_path: Path, name: str) -> None:
    members = {f"./{folder}/{k}.png": png(GRAYS[k]) for k in (2, 0, 1) for folder in ("x", "y")}
    write_tar(tmp_path / name, members | {"x/0.cls": b"7", "x/.hidden.png": b"", "x/half.png": png(GRAYS[0])[:40]})
    found = sources.find([tmp_path / name])
    by_name = [*(f"x/{k}.png" for k in range(3)), "x/half.png", *(f"y/{k}.png" for k in range(3))]
    as_written = [f"{folder}/{k}.png" for k in (2, 0, 1) for folder in ("x", "y")] + ["x/half.png"]
    assert [item.name for item in found.items] == (by_name if name == "a.tar" else as_written)
    assert found.left_out == ["x/0.cls"]
    for item in found.items:
        if "half" in item.name:
            with pytest.raises(ShearlocError):
                sources.read(item)
        else:
            assert np.array_equal(sources.read(item).array(), GRAYS[int(item.name[2])])


def test_a_compressed_tar_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members are read as they come, whatever their names: no seeking back, which begins anew each time."""
    names = [f"{k}.png" for k in np.random.default_rng(3).permutation(200)]
    write_tar(tmp_path / "a.tar.gz", {name: png(GRAYS[0]) for name in names})
    found = sources.find([tmp_path / "a.tar.gz", tmp_path])
    rewound = []
    real = gzip._GzipReader._rewind  # type: ignore[attr-defined]
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda self: rewound.append(1) or real(self))  # type: ignore[attr-defined]
    tar = [item for item in found.items if item.kind == "tar"]
    assert len(tar) == 400 and not rewound
    for item in tar[:200]:
        sources.read(item)
    assert not rewound


def test_packed_bytes_are_never_pixels() -> None:
    file = Path(__file__).parents[3] / "shared" / "faults" / "x-images-idx3-ubyte.bz2"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    read = arrays(sources.find([file]))
    content = bz2.decompress(file.read_bytes())
    assert np.stack(list(read.values())).tobytes() == content[16:] and len(read) == 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub" / ".git").mkdir(parents=True)
    for k, name in enumerate(("b.png", "a.png", "sub/c d.png")):
        (tmp_path / "in" / name).write_bytes(png(GRAYS[k]))
    (tmp_path / "in" / "sub" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "sub" / ".git" / "x.png").write_bytes(b"")
    np.save(tmp_path / "in" / "sub" / "more.npy", GRAYS[:2])
    return tmp_path / "in"


def test_a_folder(folder: Path) -> None:
    found = sources.find([folder])
    assert [item.name for item in found.items] == ["a.png", "b.png", "sub/c d.png", "sub/more/0", "sub/more/1"]
    assert found.left_out == ["sub/notes.txt"] and not found.problems
    assert np.array_equal(arrays(found)["sub/c d.png"], GRAYS[2])


def test_several_sources_and_patterns(folder: Path) -> None:
    found = sources.find([folder, folder / "a.png", folder / "sub" / "more.npy"])
    assert {"in/a.png", "in/sub/more/0", "a.png", "more/1"} <= {item.name for item in found.items}
    pattern = sources.find([folder / "**" / "*.png"])
    assert [item.name for item in pattern.items] == ["a.png", "b.png", "sub/c d.png"]
    assert [item.name for item in sources.find([Path(f"{folder}/s*/c*.png")]).items] == ["sub/c d.png"]


def test_a_file_whose_name_is_a_pattern(folder: Path) -> None:
    (folder / "[1].png").write_bytes(png(GRAYS[5]))
    assert np.array_equal(arrays(sources.find([folder / "[1].png"]))["[1].png"], GRAYS[5])


def test_equal_names_are_refused(folder: Path) -> None:
    with pytest.raises(ShearlocError, match=r"would both be 'a\.png'"):
        sources.find([folder / "a.png", Path(f"{folder}/../in/a.png")])


def test_what_cannot_be_used_is_told_and_the_rest_kept(folder: Path) -> None:
    np.save(folder / "floats.npy", np.zeros((2, 3, 4)))
    np.save(folder / "flat.npy", np.zeros(4, np.uint8))
    (folder / "half.npz").write_bytes(b"PK\x03\x04")
    (folder / "half.tar.gz").write_bytes(gzip.compress(bytes(9000))[:12])
    (folder / "bad.idx").write_bytes(b"no index")
    (folder / "x-ubyte.gz").write_bytes(b"\x1f\x8bnothing")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    (folder / "line\nbreak.png").write_bytes(png(GRAYS[0]))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(png(GRAYS[0]))
    found = sources.find([folder, folder.parent / "missing", folder / "*.nothing"])
    assert len(found.items) == 5
    told = "\n".join(found.problems)
    names = ("floats.npy", "flat.npy", "half.npz", "half.tar.gz", "bad.idx", "x-ubyte.gz", "gone.png", "pipe.png")
    for name in (*names, "break.png", "udcff.png", "missing", "*.nothing"):
        assert told.count(name) == 1, (name, told)
    assert len(found.problems) == len(names) + 4


def test_sources_cut_short(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_bytes(idx(GRAYS)[:-3])
    (tmp_path / "b.idx.gz").write_bytes(gzip.compress(idx(GRAYS))[:-40])
    write_tar(tmp_path / "c.tar", {"0.png": png(GRAYS[0])})
    found = sources.find([tmp_path / name for name in ("a.idx", "b.idx.gz", "c.tar")])
    (tmp_path / "c.tar").write_bytes((tmp_path / "c.tar").read_bytes()[:530])
    assert len(found.items) == 25
    for item in found.items:
        with pytest.raises(ShearlocError, match=r"cut short|cannot be read"):
            sources.read(item)


@pytest.mark.parametrize("shape", [(1 << 31, 28, 28), (1 << 31, 0, 5)])
def test_a_head_that_promises_more_than_there_can_be(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Nobody makes a list of two thousand million images of it."""
    head = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    (tmp_path / "a.idx").write_bytes(head)
    found = sources.find([tmp_path / "a.idx"])
    assert not found.items and len(found.problems + found.left_out) == 1
