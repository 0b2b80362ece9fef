"""Collections at the command line, in real processes: packed, listed, unpacked, killed, damaged, shared out."""

import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from shearloc import Collection, ShearlocError
from shearloc.codec import archive
from shearloc.codec.collections import index
from shearloc.codec.collections import shards as collection
from shearloc.codec.pictures import files
from shearloc.jobs import collections, shards, spread
from shearloc.jobs.options import Encoding
from shearloc.jobs.sources import find

from ..processes import contents, start

Picture = Callable[..., NDArray[np.uint8]]
QUICK = Encoding("raw", verify=None)
RAW = ("--model", "raw", "--no-verify")
SMALL_SHARDS = "import shearloc.jobs.shards\nshearloc.jobs.shards.SHARD_BYTES = (96_000, 96_000)"
"""Python lines before the command: shards of four images of 150 x 160, which are two chunks."""


def run(*arguments: object, folder: Path, before: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    child = start(*arguments, folder=folder, before=before)
    out, err = child.communicate(timeout=300)
    return child.returncode, out, err


@pytest.fixture
def mixed(tmp_path: Path, picture: Picture) -> Path:
    """A folder of images of every kind, one in a subfolder, a text, and two images that cannot be packed."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for k in range(9):
        Image.fromarray(np.roll(picture(20, 24, 3), k, 0)).save(folder / "sub" / f"rgb{k}.png")
        Image.fromarray(np.roll(picture(16, 16, 1), k, 0)).save(folder / f"gray{k}.pgm")
    Image.fromarray(picture(90, 100, 3)).save(folder / "large.tif")
    Image.fromarray(picture(9, 9, 3)).quantize(7).save(folder / "palette.png")
    Image.fromarray(picture(9, 9, 1).astype(np.uint16) * 250).save(folder / "deep.png")
    Image.fromarray(np.dstack([picture(9, 8, 3), picture(9, 8, 1)])).save(folder / "alpha.webp", lossless=True)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "with a text")
    Image.fromarray(picture(20, 24, 3)).save(folder / "text.png", pnginfo=text)
    (folder / "notes.txt").write_text("no image")
    (folder / "broken.png").write_bytes((folder / "text.png").read_bytes()[:99])
    Image.fromarray(picture(20, 24, 3)).save(folder / "photo.jpg")
    return folder


UNREADABLE = {"broken.png", "photo.jpg"}


def test_a_folder_there_and_back(mixed: Path) -> None:
    root = mixed.parent
    code, out, err = run("pack", "in", "out", folder=root)
    assert code == 1 and "23 images in 1 shard," in out
    lines = err.splitlines()
    assert len(lines) == 4 and "notes.txt left out" in lines[0] and "2 of 25 images are missing" in lines[3]
    assert "broken.png: " in lines[1] and "photo.jpg: " in lines[2] and "JPEG" in lines[2]
    names = sorted(str(path.relative_to(mixed)) for path in mixed.rglob("*.*") if path.name not in UNREADABLE)
    names.remove("notes.txt")
    assert run("list", "out", folder=root) == (0, "\n".join(names) + "\n", "")
    code, out, err = run("unpack", "out", folder=root)
    assert (code, err) == (0, "") and "23 images" in out
    for name in names:
        back = root / "out-images" / name
        assert files.load(back) == files.load(mixed / name)
    images = Collection(root / "out")
    assert len(images) == len(names) == 23
    assert np.array_equal(images["sub/rgb3.png"], files.load_image(mixed / "sub" / "rgb3.png"))
    assert images["deep.png"].dtype == np.uint16 and images["alpha.webp"].shape == (9, 8, 4)
    streams = {name: images.entry(name).stream for name in names}
    assert len({streams[f"sub/rgb{k}.png"] for k in range(9)}) == 1, "small images of one size share a chunk"
    assert len(set(streams.values())) == 2 + 5, "all others are alone"


def test_some_images(tmp_path: Path, picture: Picture) -> None:
    np.savez(tmp_path / "all.npz", a=np.stack([np.roll(picture(16, 16, 1), k, 0) for k in range(12)]))
    assert run("pack", "all.npz", "out", folder=tmp_path)[0] == 0
    code, out, err = run("list", "out", "a/1?", "a/03", "b/*", "--long", folder=tmp_path)
    assert code == 1 and err == "shearloc: out: no image fits 'b/*'\n"
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["a/03", "a/10", "a/11"]
    name, offset, length, checksum = rows[0][1:5]
    stream = (tmp_path / "out" / name).read_bytes()[int(offset) : int(offset) + int(length)]
    assert archive.is_archive(stream) and f"{zlib.crc32(stream):08x}" == checksum
    assert archive.decode_images(stream)[0].shape == (12, 16, 16) and rows[0][5] == "3"
    code, out, err = run("unpack", "out", "some", "a/1?", "none", folder=tmp_path)
    assert code == 1 and err == "shearloc: out: no image fits 'none'\n"
    assert sorted(path.name for path in (tmp_path / "some" / "a").iterdir()) == ["10.png", "11.png"]
    code, out, err = run("unpack", "out", "some", folder=tmp_path)
    assert code == 1 and "exists already" in err


# --- Again, and half of it --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> tuple[Path, dict[str, bytes]]:
    """A folder with all.npy, 40 images, and what an undisturbed run writes: ten shards and the index."""
    folder = tmp_path_factory.mktemp("digits")
    np.save(folder / "all.npy", np.stack([np.roll(picture(150, 160, 1), k, 0) for k in range(40)]))
    assert run("pack", "all.npy", "out", *RAW, folder=folder, before=SMALL_SHARDS)[0] == 0
    expected = contents(folder / "out")
    assert len(expected) == 11
    return folder, expected


def test_killed_and_run_again(digits: tuple[Path, dict[str, bytes]]) -> None:
    folder, expected = digits
    for lines in (1, 3):
        child = start("pack", "all.npy", f"killed{lines}", *RAW, folder=folder, before=SMALL_SHARDS)
        assert child.stdout
        for _ in range(lines):
            child.stdout.readline()
        child.kill()
        child.communicate()
        half = contents(folder / f"killed{lines}")
        assert lines <= len(half) and half.items() <= expected.items()
        times = {name: (folder / f"killed{lines}" / name).stat().st_mtime_ns for name in half}
        code, out, err = run("pack", "all.npy", f"killed{lines}", *RAW, folder=folder, before=SMALL_SHARDS)
        assert (code, err) == (0, "") and out.count("kept") == len(half)
        assert contents(folder / f"killed{lines}") == expected
        assert all((folder / f"killed{lines}" / name).stat().st_mtime_ns == times[name] for name in half)


def copy_of(expected: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in expected.items():
        (folder / name).write_bytes(data)
    return folder


def damage(out: Path) -> None:
    """Shard 1 is cut short, 2 has a wrong byte in its last stream, 3 is empty, 4 is missing."""
    shards = [out / collection.shard_name(k) for k in range(5)]
    shards[1].write_bytes(shards[1].read_bytes()[:-30])
    data = bytearray(shards[2].read_bytes())
    data[-30] ^= 1
    shards[2].write_bytes(data)
    shards[3].write_bytes(b"")
    shards[4].unlink()


def test_incomplete_shards_are_replaced(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    folder, expected = digits
    damage(copy_of(expected, tmp_path / "out"))
    code, out, err = run("pack", folder / "all.npy", "out", *RAW, folder=tmp_path, before=SMALL_SHARDS)
    assert (code, err) == (0, "") and out.count("kept") == len(expected) - 1 - 4
    assert contents(tmp_path / "out") == expected


def test_damage_is_told_and_the_rest_unpacked(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    _, expected = digits
    damage(copy_of(expected, tmp_path / "out"))
    code, out, err = run("unpack", "out", "back", folder=tmp_path)
    lines = err.splitlines()
    assert code == 1 and len(lines) == 4
    for k, reason in enumerate(("cut short", "damaged", "cut short", "missing"), 1):
        assert collection.shard_name(k) in lines[k - 1] and reason in lines[k - 1] and " to " in lines[k - 1]
    images, left = Collection(tmp_path / "out"), sorted(path.stem for path in (tmp_path / "back").iterdir())
    lost = [f"{k:02}" for k in (6, 7, 10, 11, *range(12, 20))]
    assert sorted([*lost, *left]) == images.names


def test_the_index_is_made_anew_from_the_shards(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    _, expected = digits
    out = copy_of(expected, tmp_path / "out")
    (out / index.INDEX).unlink()
    code, _, err = run("list", "out", folder=tmp_path)
    assert code == 1 and "shearloc reindex out" in err and err.count("\n") == 1
    assert run("reindex", "out", folder=tmp_path)[0] == 0
    assert contents(out) == expected
    damage(out)
    code, told, err = run("reindex", "out", folder=tmp_path)
    assert code == 1 and len(err.splitlines()) == 3 and "cut short" in err and "damaged" in err
    assert len(Collection(out)) == len(list(Collection(out))) < 40
    assert run("reindex", "nothing", folder=tmp_path)[0] == 1


def test_an_index_that_disagrees(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """Two shards have changed places: their own heads know better, and no wrong image is given."""
    _, expected = digits
    out = copy_of(expected, tmp_path / "out")
    names = [collection.shard_name(k) for k in (0, 1)]
    for name, other in (names, names[::-1]):
        (out / name).write_bytes(expected[other])
    images = Collection(out)
    for entry in images.entries():
        if entry.stream.shard < 2:
            with pytest.raises(ShearlocError, match="the index disagrees with the shard"):
                images[entry.name]
    code, _, err = run("reindex", "out", folder=tmp_path)
    assert code == 1 and err.count("rename it") == 2


def test_other_things_in_the_way_are_kept(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    folder, expected = digits
    out = copy_of(expected, tmp_path / "out")
    np.save(tmp_path / "other.npy", np.load(folder / "all.npy")[:5])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for target, told in (("out", "other images"), ("full", "not empty"), ("other.npy", "exists")):
        code, _, err = run("pack", "other.npy", target, folder=tmp_path)
        assert code == 1 and told in err and err.count("\n") == 1
    assert contents(out) == expected
    code, _, err = run("pack", "other.npy", "out", "--force", folder=tmp_path)
    assert (code, err) == (0, "") and len(Collection(out)) == 5
    assert sorted(contents(out)) == [index.INDEX, collection.shard_name(0)]


def test_an_image_that_can_be_read_now_is_packed(mixed: Path) -> None:
    tasks = shards.plan(find([mixed]).items, mixed.parent / "out", QUICK, share=False)
    shards.prepare(tasks, mixed.parent / "out", force=False)
    first = [shards.pack_shard(task) for task in tasks]
    again = [shards.pack_shard(task) for task in tasks]
    assert not first[0].kept and again[0].kept and first[0].failures == again[0].failures
    broken = mixed / "broken.png"
    stat = broken.stat()
    broken.write_bytes((mixed / "text.png").read_bytes())
    os.utime(broken, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    third = shards.pack_shard(tasks[0])
    assert not third.kept and third.images == first[0].images + 1 and len(third.failures) == 1


def test_wrong_use_is_told_before_any_work(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 3), np.uint8))
    for arguments, told in (
        (["a.npy"], "the folder to write to"),
        (["missing", "out"], "missing"),
        (["a.npy", "out", "--model", "nobody"], "'nobody'"),
    ):
        code, _, err = run("pack", *arguments, folder=tmp_path)
        assert code == 1 and told in err and not (tmp_path / "out").exists()


def test_names_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    head = collection.pack_shard_head(collection.ShardHead(0, 2, bytes(16)))
    data = archive.encode_images(np.zeros((3, 4, 4), np.uint8), model="raw")
    record = collection.pack_record(["../out.png", "/abs.png", "ok.png"], data)
    (tmp_path / "in" / collection.shard_name(0)).write_bytes(head + record + collection.pack_shard_end(3))
    collections.write_index(tmp_path / "in", collections.shards_of(tmp_path / "in"))
    code, out, err = run("unpack", "in", "back", folder=tmp_path)
    assert code == 1 and "lead out" in err and "1 image" in out
    assert [path.name for path in tmp_path.rglob("*.png")] == ["ok.png"]


# --- Shared out -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coded(
    digits: tuple[Path, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    """A source of 24 images, and what packing it with the default model gives, done here."""
    folder = tmp_path_factory.mktemp("coded")
    np.save(folder / "some.npy", np.load(digits[0] / "all.npy")[:24])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", (96_000, 96_000))
        tasks = shards.plan(find([folder / "some.npy"]).items, folder / "out", Encoding(verify=None), share=True)
    shards.prepare(tasks, folder / "out", force=False)
    assert not any(shards.pack_shard(task).failures for task in tasks) and len(tasks) == 6
    collections.write_index(folder / "out", [task.target for task in tasks])
    return folder / "some.npy", contents(folder / "out")


@pytest.mark.slow
def test_processes_of_our_own(coded: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, expected = coded
    code, out, err = run("pack", source, "out", "--workers", 2, "--no-verify", folder=tmp_path, before=SMALL_SHARDS)
    assert (code, err) == (0, "") and out.count("shard-") == len(expected) - 1
    assert contents(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_interrupted_while_processes_work(coded: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, expected = coded
    command = ("pack", source, "out", "--workers", 2)
    # However quick they are, it is not done before the signal.
    wait = (
        "import time\nfrom shearloc.jobs import collections\n"
        "collections.write_index = lambda *_, **__: [time.sleep(0.01) for _ in iter(int, 1)]"
    )
    child = start(*command, folder=tmp_path, before=f"{SMALL_SHARDS}\n{wait}", start_new_session=True)
    assert child.stdout
    child.stdout.readline()
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    _, err = child.communicate(timeout=300)
    assert (child.returncode, err) == (130, "shearloc: interrupted\n")
    assert 0 < len(contents(tmp_path / "out")) < len(expected)
    assert run(*command, "--no-verify", folder=tmp_path, before=SMALL_SHARDS)[0] == 0
    assert contents(tmp_path / "out") == expected


def die_once(path: Path) -> str:
    """A task that kills its process, if no earlier one has."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return path.name
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def die(path: Path) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread.multiprocessing, "get_context", lambda kind: _fork())
    tasks = [tmp_path / name for name in "abc"]
    assert sorted(spread.on_processes(die_once, tasks, 2)) == [(task, task.name) for task in tasks]
    ((task, error),) = spread.on_processes(die, [tmp_path / "a"], 2)
    assert task == tmp_path / "a" and "died" in str(error)


def _fork() -> Any:
    """Forked processes know this test's functions; those of the command are spawned."""
    import multiprocessing.context

    return multiprocessing.context.ForkContext()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two Dask workers, each a process of its own."""
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_dask_worker_killed_half_way(cluster: Any, coded: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, expected = coded
    command = ("pack", source, "out", "--no-verify", "--scheduler", cluster.scheduler_address)
    child = start(*command, folder=tmp_path, before=SMALL_SHARDS)
    assert child.stdout
    first = child.stdout.readline()
    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
    out, err = child.communicate(timeout=300)
    assert (child.returncode, err) == (0, "")
    assert sorted(line.split(":")[0] for line in (first + out).splitlines() if line.startswith("shard-")) == sorted(
        name for name in expected if name.startswith("shard-")
    )
    assert contents(tmp_path / "out") == expected
    code, out, err = run(*command, folder=tmp_path, before=SMALL_SHARDS)
    assert (code, err) == (0, "") and out.count("kept") == len(expected) - 1


def test_no_scheduler_is_told(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs dask.distributed")
    before = "import shearloc.jobs.spread\nshearloc.jobs.spread.CONNECT_SECONDS = 1"
    command = ("pack", digits[0] / "all.npy", "out", "--scheduler", "tcp://127.0.0.1:9")
    code, _, err = run(*command, folder=tmp_path, before=before)
    assert code == 1 and err == "shearloc: no Dask scheduler answers at tcp://127.0.0.1:9 within 1 s\n"


def test_without_dask_it_is_told(digits: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    before = "import sys\nsys.modules['distributed'] = None"
    code, _, err = run(
        "pack", digits[0] / "all.npy", "out", "--scheduler", "tcp://127.0.0.1:9", folder=tmp_path, before=before
    )
    assert code == 1 and 'pip install "dask[distributed]"' in err and err.count("\n") == 1
