"""The command as people's hands expect it: pipes, folders, permissions, models by file. In processes of their own."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

import shearloc
from shearloc.codec import archive
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import Picture as Kept

from .processes import run

Picture = Callable[..., NDArray[np.uint8]]
Command = Callable[..., Any]


@pytest.fixture
def gray(tmp_path: Path) -> NDArray[np.uint8]:
    """a.png in `tmp_path`, so flat that nothing but WebP and raw storage has a chance: no kernel runs long."""
    image = np.full((100, 110), 90, np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    return image


def piped(folder: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """A shell's line where `shearloc` is this package's command."""
    command = f'shearloc() {{ "{sys.executable}" -m shearloc "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, timeout=300)


# --- Pipes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".pgm"])
def test_through_pipes(tmp_path: Path, picture: Picture, suffix: str) -> None:
    samples = picture(9, 8, 1 if suffix == ".pgm" else 3)
    files.save(tmp_path / f"a{suffix}", Kept(samples))
    form = "png" if suffix == ".png" else "pnm"
    done = piped(
        tmp_path, f"cat a{suffix} | shearloc encode - - | shearloc decode - - --format {form} | cmp - a{suffix}"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"\n") == 2 and b"<standard output>" in done.stderr


def test_devices_and_named_pipes(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    done = piped(tmp_path, "shearloc encode a.png /dev/stdout -q | tee a.shl | shearloc verify /dev/stdin")
    assert done.returncode == 0 and done.stdout.startswith(b"<standard input>: OK, 110 x 100") and not done.stderr
    assert np.array_equal(shearloc.read(tmp_path / "a.shl"), gray)
    assert json_of(piped(tmp_path, "shearloc info - --json < a.shl"))["width"] == 110
    os.mkfifo(tmp_path / "pipe")
    done = piped(tmp_path, "cat a.png > pipe & shearloc encode pipe -o b.shl && cmp a.shl b.shl")
    assert done.returncode == 0, done.stderr
    done = piped(tmp_path, "cat pipe > c.shl & shearloc encode a.png -o pipe && wait && cmp a.shl c.shl")
    assert done.returncode == 0, done.stderr
    assert piped(tmp_path, "shearloc decode a.shl /dev/null").returncode == 0 and Path("/dev/null").is_char_device()


def json_of(done: subprocess.CompletedProcess[bytes]) -> Any:
    import json

    return json.loads(done.stdout)


def test_what_pipes_may_bring(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    for line, told in (
        ("shearloc encode - - < /dev/null", "<standard input>: the file is empty"),
        ("echo text | shearloc encode - -", "<standard input>: not an image"),
        ("echo text | shearloc decode - -", "<standard input>: not a Shearloc file"),
        ("shearloc encode - -o b.shl < a.png && shearloc encode - b.shl < a.png", "b.shl: exists already"),
    ):
        done = piped(tmp_path, line)
        assert done.returncode == 1 and done.stderr.decode().startswith(f"shearloc: {told}"), done.stderr
        assert done.stderr.count(b"\n") == 1


def test_devices_are_no_files(tmp_path: Path) -> None:
    """Some never end."""
    for line in ("encode /dev/zero b.shl", "decode /dev/urandom", "info /dev/zero", "verify /dev/zero"):
        done = piped(tmp_path, f"shearloc {line}")
        device = line.split()[1]
        assert done.returncode == 1
        assert done.stderr.decode().startswith(f"shearloc: {device}: is a device, not a file"), done.stderr
        assert done.stderr.count(b"\n") == 1


# --- Folders ----------------------------------------------------------------------------------------------------


def make_tree(folder: Path, count: int) -> dict[str, Kept]:
    """A tree of so many images of mixed kinds, five broken files, a JPEG and a text; the images by their paths."""
    draw = np.random.default_rng(5)
    kinds = [
        (".png", (6, 7), 8),
        (".pgm", (5, 9), 8),
        (".ppm", (6, 5, 3), 8),
        (".png", (4, 4, 4), 8),
        (".png", (3, 5), 16),
    ]
    made = {}
    for k in range(count):
        suffix, shape, depth = kinds[k % len(kinds)]
        samples = np.broadcast_to(draw.integers(0, 1 << depth), shape).astype(np.uint16 if depth == 16 else np.uint8)
        name = f"{k % 3}/{'sub/' if k % 2 else ''}{k:03}{suffix}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        made[name] = Kept(np.ascontiguousarray(samples), depth)
        files.save(folder / name, made[name])
    for k in range(5):
        (folder / f"{k % 2}" / f"broken{k}.png").write_bytes((folder / "0/000.png").read_bytes()[: 20 + k])
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "1" / "photo.jpg")
    (folder / "2" / "notes.txt").write_text("no image")
    return made


def check_tree(folder: Path, made: dict[str, Kept]) -> None:
    """Every image of the tree came back, and nothing else is there."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {str(Path(name).with_suffix(".png").as_posix()) for name in made}
    for name, kept in made.items():
        assert files.load(folder / Path(name).with_suffix(".png")) == kept


def test_a_tree_there_and_back(tmp_path: Path) -> None:
    made = make_tree(tmp_path / "in", 20)
    done = run("encode", "-r", "in", "--out-dir", "out", folder=tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 8 and len(done.stdout.splitlines()) == 20
    assert lines[0] == "shearloc: in/2/notes.txt left out: no image by its suffix"
    assert lines[-1].startswith("shearloc: 6 of 26 files failed: in/0/broken0.png")
    assert sum("JPEG" in line for line in lines) == 1
    back = run("decode", "--recursive", "out", "--out-dir", "back", "-q", folder=tmp_path)
    assert (back.returncode, back.stdout, back.stderr) == (0, "", "")
    check_tree(tmp_path / "back", made)
    checked = run("verify", "-r", "out", folder=tmp_path)
    assert checked.returncode == 0 and checked.stdout.count(": OK, ") == 20


@pytest.mark.slow
def test_a_tree_of_200_killed_and_gone_on_with(tmp_path: Path) -> None:
    made = make_tree(tmp_path / "in", 194)
    command = [sys.executable, "-m", "shearloc", "encode", "-r", "in", "--out-dir", "out", "--skip-existing"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(97):
        assert child.stdout.readline()
    child.kill()
    child.communicate()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert again.returncode == 1 and 90 < again.stdout.count("skipped") < 194
    assert len(again.stdout.splitlines()) == 194 and again.stderr.splitlines()[-1].startswith("shearloc: 6 of 200 ")
    assert run("decode", "-r", "out", "--out-dir", "back", folder=tmp_path).returncode == 0
    check_tree(tmp_path / "back", made)


def test_patterns_in_quotes_and_files_named_like_them(
    tmp_path: Path, command: Command, gray: NDArray[np.uint8]
) -> None:
    for name in ("b.png", "[c].png"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    assert len(command("encode", "[ab].png").out) == 2
    assert [line.split()[0] for line in command("encode", "[c].png").out] == ["[c].png"]
    assert len(command("verify", "*.shl").out) == 3
    done = command("decode", "?.shl", "none*.shl", "--out-dir", "back")
    assert len(done.out) == 2 and done.err[0] == "shearloc: none*.shl: no file has such a name"
    assert command("encode", "a.png", "new/deep/x.shl").code == 0, "OUT's folder is made"


# --- Permissions ------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_and_times_are_the_inputs(tmp_path: Path, command: Command, gray: NDArray[np.uint8]) -> None:
    os.chmod(tmp_path / "a.png", 0o640)
    os.utime(tmp_path / "a.png", (1e9, 1.2e9))
    assert command("encode", "a.png", "--keep-time").code == 0
    assert mode(tmp_path / "a.shl") == 0o640 and (tmp_path / "a.shl").stat().st_mtime == 1.2e9
    assert command("decode", "a.shl", "b.png").code == 0
    assert mode(tmp_path / "b.png") == 0o640 and (tmp_path / "b.png").stat().st_mtime > 1.2e9
    os.chmod(tmp_path / "b.png", 0o600)
    assert command("decode", "a.shl", "b.png", "-f").code == 0 and mode(tmp_path / "b.png") == 0o600
    os.chmod(tmp_path / "b.png", 0o444)
    kept = (tmp_path / "b.png").stat().st_ino
    done = command("decode", "a.shl", "b.png", "--force")
    assert done.code == 1 and done.err == [
        "shearloc: b.png: is write-protected; `chmod u+w` it first, or give another OUT"
    ]
    assert (tmp_path / "b.png").stat().st_ino == kept
    if os.geteuid() == 0:
        os.chown(tmp_path / "a.png", 12345, 12345)
        assert command("encode", "a.png", "-f").code == 0 and (tmp_path / "a.shl").stat().st_uid == 0, "the replaced's"
        assert command("encode", "a.png", "c.shl").code == 0 and (tmp_path / "c.shl").stat().st_gid == 12345


def test_what_many_images_become_is_no_more_open_than_each(tmp_path: Path, command: Command) -> None:
    (tmp_path / "in").mkdir()
    for k, bits in enumerate((0o644, 0o640)):
        Image.fromarray(np.full((3, 4), k, np.uint8)).save(tmp_path / "in" / f"{k}.png")
        os.chmod(tmp_path / "in" / f"{k}.png", bits)
    assert command("archive", "in", "all.shl", "--model", "raw").code == 0 and mode(tmp_path / "all.shl") == 0o640
    assert command("decode", "all.shl", "back").code == 0 and mode(tmp_path / "back" / "0.png") == 0o640
    assert command("pack", "in", "shards", "--model", "raw").code == 0
    assert {mode(path) for path in (tmp_path / "shards").iterdir()} == {0o640}
    assert command("unpack", "shards", "out").code == 0 and mode(tmp_path / "out" / "1.png") == 0o640


# --- What is kept, and what is not ------------------------------------------------------------------------------


def test_archives_drop_nothing_without_a_word(tmp_path: Path, command: Command) -> None:
    (tmp_path / "in").mkdir()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Title", "a title")
    image = np.full((4, 5, 3), 7, np.uint8)
    Image.fromarray(image).save(tmp_path / "in" / "a.png", pnginfo=notes)
    for arguments in (("archive", "in", "x.shl"), ("encode", "in/a.png", "x.shl", "--model", "vae-cifar10")):
        done = command(*arguments)
        assert done.code == 1 and "in/a.png has metadata (tEXt), which an archive does not keep; --strip" in done.err[0]
        assert not (tmp_path / "x.shl").exists()
    assert command("archive", "in", "x.shl", "--strip", "--model", "raw").code == 0
    Image.fromarray(image).save(tmp_path / "in" / "a.png", transparency=(7, 7, 7))
    done = command("archive", "in", "y.shl", "--strip")
    assert done.code == 1 and "8-bit RGB with transparency" in done.err[0]


def test_too_many_chunks_are_called_that() -> None:
    chunks = ((b"tEXt", b"a\0b"),) * 65_537
    with pytest.raises(shearloc.UnsupportedImageError, match="65,537 chunks of metadata, more than 65,536"):
        Kept(np.zeros((2, 2), np.uint8), chunks=chunks)
    assert Kept(np.zeros((2, 2), np.uint8), chunks=chunks[1:]).chunks


def test_what_a_reader_left_out_is_told_if_asked(tmp_path: Path, command: Command, gray: NDArray[np.uint8]) -> None:
    (tmp_path / "b.pgm").write_bytes(b"P2\n2 2\n255\n1 2 3 4 5 6\n")
    quiet, told = command("encode", "b.pgm"), command("encode", "b.pgm", "-v", "-f")
    assert len(quiet.out) == 1 and len(told.out) > 2 and told.out[-1].startswith("  1 plane: ")


def test_a_lossy_webp_is_taken_by_force_only(tmp_path: Path, command: Command) -> None:
    Image.fromarray(np.full((40, 50, 3), 70, np.uint8)).save(tmp_path / "a.webp", quality=50)
    assert "lossy" in command("encode", "a.webp").err[0] and command("encode", "a.webp", "--force").code == 0


def test_an_archives_names_are_verified_too(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "in" / "a.png")
    real = archive.encode_images
    monkeypatch.setattr(archive, "encode_images", lambda images, names, **how: real(images, ["b"], **how))
    done = command("archive", "in", "x.shl", "--model", "raw")
    assert done.code == 1 and "verification failed" in done.err[0] and not (tmp_path / "x.shl").exists()


def test_a_model_that_is_not_used_is_told(tmp_path: Path, command: Command) -> None:
    np.save(tmp_path / "n.npy", np.random.default_rng(0).integers(0, 256, (1, 40, 40), np.uint8))
    done = command("archive", "n.npy", "--model", "gray", "--embed")
    assert done.code == 0 and done.out[0].endswith("; stored without the model and its weights: that is smaller")
    done = command("archive", "n.npy", "--embed", "--force")
    assert done.code == 0 and done.out[0].endswith("; no model embedded: it is smaller without one")


# --- Models by file ---------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that no folder has, mine.safetensors, and a user's folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SHEARLOC_MODELS", raising=False)
    tiny_model(1).save(tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text('{"summary": "my own"}')
    return tmp_path


def test_a_model_by_file_everywhere(own: Path, picture: Picture) -> None:
    """In processes of their own: nothing is known of the file but by its path."""
    image = np.tile(picture(24, 32, 1), (4, 4))
    Image.fromarray(image).save(own / "a.png")
    np.save(own / "all.npy", np.stack([picture(24, 24, 1)] * 6))
    model = ("--model", "mine.safetensors")
    encoded = run("encode", "a.png", *model, folder=own)
    assert encoded.returncode == 0 and "verified" in encoded.stdout, encoded.stderr
    assert "without the model" not in encoded.stdout
    unknown = run("verify", "a.shl", folder=own)
    assert unknown.returncode == 1 and "is not installed" in unknown.stderr and "orrupt" not in unknown.stderr
    assert run("verify", "a.shl", *model, folder=own).returncode == 0
    assert run("decode", "a.shl", "b.png", *model, folder=own).returncode == 0
    assert np.array_equal(files.load_image(own / "b.png"), image)
    packed = run("pack", "all.npy", "shards", *model, folder=own)
    assert packed.returncode == 0, packed.stderr
    unknown = run("verify", "shards", folder=own)
    assert unknown.returncode == 1 and "is not installed" in unknown.stderr and unknown.stderr.count("\n") == 1
    assert run("verify", "shards", *model, folder=own).returncode == 0
    assert run("unpack", "shards", "out", *model, folder=own).returncode == 0
    assert np.array_equal(shearloc.Collection(own / "shards", model=own / "mine.safetensors")[0], picture(24, 24, 1))
    bench = ("bench", "a.png", "--peer", "none", "--engine", "numpy", "--csv", "table.csv")
    measured = run(*bench, *model, folder=own)
    assert measured.returncode == 0 and " 1/1" in measured.stdout, measured.stderr
    assert max(map(len, measured.stdout.splitlines())) <= 80 and "shearloc 0" in measured.stdout.split("bits/dim")[0]
    header, row = (own / "table.csv").read_text().splitlines()
    assert header.startswith("name,bits_per_dimension,") and row.startswith('"shearloc mine, effort 5, numpy",')
    missing = run("encode", "a.png", "c.shl", "--model", "gone.safetensors", folder=own)
    assert missing.returncode == 1 and missing.stderr == "shearloc: there is no model file gone.safetensors\n"


def test_models_are_added_and_removed(own: Path, command: Command, picture: Picture, tiny_model: Any) -> None:
    added = command("models", "add", "mine.safetensors")
    assert added.code == 0 and added.out == [f"mine.safetensors -> {own}/home/shearloc/models/mine.safetensors"]
    assert any(line.startswith("mine ") and "my own" in line for line in command("models").out)
    again = command("models", "add", "mine.safetensors")
    assert again.code == 1 and "installed already, with the same weights" in again.err[0]
    tiny_model(1, 4).save(own / "mine.safetensors")
    assert "--force replaces it" in command("models", "add", "mine.safetensors").err[0]
    assert command("models", "add", "mine.safetensors", "-f").code == 0
    (own / "photo.safetensors").write_bytes((own / "mine.safetensors").read_bytes())
    assert "another model is called 'photo'; rename" in command("models", "add", "photo.safetensors").err[0]
    (own / "none.safetensors").write_bytes(b"hello")
    assert command("models", "add", "none.safetensors").code == 1
    assert command("models", "remove", "mine").code == 0 and not list((own / "home/shearloc/models").iterdir())
    assert "is not installed" in command("models", "remove", "mine").err[0]
    assert "only what is there can be removed" in command("models", "remove", "photo").err[0]


def test_only_damage_is_called_damage(
    tmp_path: Path, command: Command, gray: NDArray[np.uint8], monkeypatch: Any
) -> None:
    from shearloc.codec import api

    def unknown(*_: object, **__: object) -> None:
        raise shearloc.UnknownModelError("elsewhere", bytes(8))

    monkeypatch.setattr(api, "decode_picture", unknown)
    done = command("encode", "a.png")
    assert done.code == 1 and "cannot be verified, so it was not kept: model 'elsewhere'" in done.err[0]
    assert "please report" not in done.err[0] and not (tmp_path / "a.shl").exists()


# --- Collections ------------------------------------------------------------------------------------------------


def test_verify_a_collection_and_a_shard(tmp_path: Path, command: Command) -> None:
    np.save(tmp_path / "all.npy", np.random.default_rng(0).integers(0, 256, (9, 5, 6), np.uint8))
    assert command("pack", "all.npy", "shards", "--model", "raw").out[-1].startswith("shards: 9 images in 1 shard, ")
    shard = tmp_path / "shards" / "shard-000000.shs"
    for name in ("shards", shard):
        assert command("verify", name).out[0].startswith(f"{name}: OK, 9 images in 1 shard, ")
    index = (tmp_path / "shards" / "index.shx").read_bytes()
    np.save(tmp_path / "two.npy", np.zeros((2, 5, 6), np.uint8))
    assert command("pack", "two.npy", "others", "--model", "raw").code == 0
    (tmp_path / "shards" / "index.shx").write_bytes((tmp_path / "others" / "index.shx").read_bytes())
    assert "the index is not that of these shards; `shearloc reindex" in command("verify", "shards").err[0]
    (tmp_path / "shards" / "index.shx").write_bytes(index)
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    for name in ("shards", shard):
        done = command("verify", name)
        assert done.code == 1 and not done.out and "the checksum does not match" in done.err[0]


def test_reindex_of_false_marks_is_quick_and_short(tmp_path: Path, command: Command) -> None:
    file = Path(__file__).parents[2] / "shared" / "faults" / "false_marks.shs"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "shard-000000.shs").write_bytes(file.read_bytes())
    start = os.times().user
    done = command("reindex", "c")
    assert done.code == 1 and len(done.err) == 1 and len(done.err[0]) < 500
    assert os.times().user - start < 2


def test_plurals(tmp_path: Path, command: Command) -> None:
    np.save(tmp_path / "one.npy", np.zeros((1, 5, 6), np.uint8))
    np.save(tmp_path / "bad.npy", np.zeros((2, 5, 6)))
    assert "1 image in 1 shard, " in command("pack", "one.npy", "a", "--model", "raw").out[-1]
    assert command("reindex", "a").out == ["a: 1 image in 1 shard"]
    assert command("unpack", "a").out[0].endswith(" 1 image")
    done = command("pack", "one.npy", "bad.npy", "b", "--model", "raw")
    assert done.code == 1 and done.err[-1] == "shearloc: 1 source could not be read, at least in part; see above"
    assert command("archive", "one.npy", "x.shl", "--model", "raw").out[0].startswith("one.npy 1 image -> ")


def test_threads_quiet_and_version(tmp_path: Path, command: Command, gray: NDArray[np.uint8]) -> None:
    before = threading.active_count()
    assert command("encode", "a.png", "-t", "1", "-q").out == [] and threading.active_count() <= before + 1
    assert command("-V").out == [f"shearloc {shearloc.__version__}"]
    assert command("encode", "a.png", "-t", "0").code == 2
    assert any(line.startswith("Usage: shearloc encode [OPTIONS] IN...") for line in command("encode", "--help").out)


# --- Environments -----------------------------------------------------------------------------------------------


def powerless(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command where no permission is overridden, not even by root, and with no home."""
    drop: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may do everything; needs setpriv")
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/none", **environment}
    command = [*drop, sys.executable, "-m", "shearloc", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are Unix's")
def test_a_read_only_installation_without_a_home(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    site = tmp_path / "site"
    shutil.copytree(Path(shearloc.__file__).parent, site / "shearloc", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (site, *site.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "tmp").mkdir()
    where = {"PYTHONPATH": str(site), "TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    first = powerless(tmp_path, "info", "a.png", **where)
    assert first.returncode == 1 and first.stderr.count("\n") == 1, "nothing is compiled, nothing said"
    (tmp_path / "b.pgm").write_bytes(b"P5\n110 100\n255\n" + gray.tobytes())
    done = powerless(tmp_path, "encode", "b.pgm", **where)
    assert done.returncode == 0, done.stderr
    cache = tmp_path / "tmp" / f"shearloc-numba-{os.getuid()}"
    assert done.stderr.startswith(f"shearloc: compiled code goes to {cache}, ") and done.stderr.count("\n") == 1
    assert mode(cache) == 0o700 and any(cache.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are Unix's")
def test_an_unreadable_file_does_not_stop_the_others(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "b.png").chmod(0)
    done = powerless(tmp_path, "encode", "b.png", "a.png")
    assert done.returncode == 1 and done.stderr.startswith("shearloc: b.png: Permission denied\n")
    assert done.stdout.startswith("a.png ")


def test_without_numbas_compiler(tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    Image.fromarray(picture(20, 24, 1)).save(tmp_path / "a.png")
    done = run("encode", "a.png", folder=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("shearloc: Shearloc needs Numba's compiler")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "a.shl").exists()


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    done = run("demo", folder=tmp_path)
    assert done.returncode == 0 and "Every pixel came back." in done.stdout, done.stderr
    sizes = {line.split("  ")[0]: int(line.split()[-4].replace(",", "")) for line in done.stdout.splitlines()[10:-2]}
    assert min(sizes, key=sizes.__getitem__) == "shearloc" and max(map(len, done.stdout.splitlines()[8:])) <= 80
    assert not os.listdir(tmp_path)
