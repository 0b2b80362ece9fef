"""Archives at the command line, in real processes: a folder or an array in, one file out, and back."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shearloc.codec import archive
from shearloc.codec.formats import archive_header
from shearloc.jobs import archives
from shearloc.jobs.options import Decoding, Outputs
from shearloc.jobs.plan import Job

from .processes import run

Picture = Callable[..., NDArray[np.uint8]]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    (tmp_path / "in").mkdir()
    for k, name in enumerate(("b", "a", "c d")):
        Image.fromarray(np.roll(picture(20, 24, 3), k, 0)).save(tmp_path / "in" / f"{name}.png")
    return tmp_path


def test_a_folder_there_and_back(folder: Path) -> None:
    encoded = run("archive", "in", "all.shl", folder=folder)
    assert (encoded.returncode, encoded.stderr) == (0, "") and "3 images" in encoded.stdout
    assert (folder / "all.shl").stat().st_size < sum(path.stat().st_size for path in (folder / "in").iterdir())
    info = json.loads(run("info", "all.shl", "--json", folder=folder).stdout)
    assert info["count"] == 3 and info["names"] == ["a", "b", "c d"] and info["method"] == "local"
    assert "OK, 3 images" in run("verify", "all.shl", folder=folder).stdout
    decoded = run("decode", "all.shl", "back", folder=folder)
    assert (decoded.returncode, decoded.stderr) == (0, "")
    assert sorted(os.listdir(folder / "back")) == sorted(os.listdir(folder / "in"))
    for path in (folder / "in").iterdir():
        with Image.open(path) as before, Image.open(folder / "back" / path.name) as after:
            assert np.array_equal(np.array(before), np.array(after))
    again = run("decode", "all.shl", "back", folder=folder)
    assert again.returncode == 1 and "exists already" in again.stderr


def test_orientations_are_chosen_by_effort(folder: Path) -> None:
    for effort in ("6", "8"):
        command = ["archive", "in", f"{effort}.shl", "--model", "photo", "--effort", effort]
        assert run(*command, folder=folder).returncode == 0
    header, _ = archive_header.read((folder / "8.shl").read_bytes())
    assert header.orientations is not None and header.orientations.any()
    assert archive_header.read((folder / "6.shl").read_bytes())[0].orientations is None
    for effort in ("6", "8"):
        assert run("decode", f"{effort}.shl", f"{effort}.npy", folder=folder).returncode == 0
    assert np.array_equal(np.load(folder / "6.npy"), np.load(folder / "8.npy"))


def test_an_array_there_and_back(tmp_path: Path, picture: Picture) -> None:
    images = np.stack([np.roll(picture(9, 12, 1), k) for k in range(5)])
    np.save(tmp_path / "images.npy", images)
    assert run("archive", "images.npy", folder=tmp_path).returncode == 0
    assert run("decode", "images.shl", "back.npy", folder=tmp_path).returncode == 0
    assert np.array_equal(np.load(tmp_path / "back.npy"), images)
    assert run("decode", "images.shl", "pictures", folder=tmp_path).returncode == 0
    assert sorted(os.listdir(tmp_path / "pictures")) == [f"{k}.png" for k in range(5)]


def test_one_image_by_an_autoencoder(tmp_path: Path) -> None:
    """It becomes an archive of one image, and the command says what starting its chain cost."""
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 12:16] = 200
    Image.fromarray(digit).save(tmp_path / "one.png")
    encoded = run("encode", "one.png", "--model", "vae-mnist", folder=tmp_path)
    assert encoded.returncode == 0, encoded.stderr
    info = json.loads(run("info", "one.shl", "--json", folder=tmp_path).stdout)
    assert (info["method"], info["count"], info["names"]) == ("vae", 1, ["one"])
    initial = info["gross_bits"] - info["net_bits"]
    assert initial > 0 and f"{initial:,} of its {info['gross_bits']:,} bits to start" in encoded.stdout
    assert run("decode", "one.shl", "back", folder=tmp_path).returncode == 0
    with Image.open(tmp_path / "back" / "one.png") as back:
        assert np.array_equal(np.array(back), digit)
    refused = run("encode", "one.png", "two.shl", "--model", "vae-mnist-binary", folder=tmp_path)
    assert refused.returncode == 1 and "binarise first" in refused.stderr


def test_refusals(folder: Path, picture: Picture) -> None:
    """One line each, exit code 1, and no archive."""
    Image.fromarray(picture(20, 25, 3)).save(folder / "in" / "z.png")
    (folder / "empty").mkdir()
    np.save(folder / "floats.npy", np.zeros((2, 3, 5)))
    (folder / "text.npy").write_text("not an array")
    before = sorted(os.listdir(folder))
    for source, told in (
        ("in", "z.png"),
        ("empty", "no files"),
        ("floats.npy", "float64"),
        ("text.npy", "not a .npy"),
    ):
        refused = run("archive", source, "out.shl", folder=folder)
        assert refused.returncode == 1 and told in refused.stderr and refused.stderr.count("\n") == 1
        assert sorted(os.listdir(folder)) == before


def test_damage_names_the_images_and_leaves_nothing(folder: Path) -> None:
    assert run("archive", "in", "all.shl", folder=folder).returncode == 0
    data = bytearray((folder / "all.shl").read_bytes())
    data[-20] ^= 1
    (folder / "bad.shl").write_bytes(data)
    for command in (["decode", "bad.shl", "back"], ["verify", "bad.shl"]):
        refused = run(*command, folder=folder)
        assert refused.returncode == 1 and "images 0 ('a') to 2 ('c d') are damaged" in refused.stderr
    assert not (folder / "back").exists()


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["cats/1", "dogs/2"], ["1", "2"]),
        (["cats/1", "dogs/1"], ["0", "1"]),
        (["a", "A"], ["0", "1"]),
        (["..\\..\\x", "/etc/y"], ["x", "y"]),
        (["", "a"], ["0", "1"]),
        (["..", "a"], ["0", "1"]),
        (["a\0b", "a"], ["0", "1"]),
        (["\x1b[2J", "a"], ["0", "1"]),
    ],
)
def test_no_image_replaces_another(tmp_path: Path, picture: Picture, names: list[str], files: list[str]) -> None:
    """Names that are none for files, or the same in one folder, give way to numbers."""
    images = np.stack([picture(6, 7, 1), picture(6, 7, 1)[::-1]])
    (tmp_path / "a.shl").write_bytes(archive.encode_images(images, names, model="raw"))
    job = Job(tmp_path / "a.shl", tmp_path / "out")
    line = archives.decode_archive(job, job.source.read_bytes(), Decoding(), Outputs(), lambda _: None)
    assert "2 images" in line and sorted(os.listdir(tmp_path / "out")) == [f"{name}.png" for name in files]
    for name, image in zip(files, images, strict=True):
        with Image.open(tmp_path / "out" / f"{name}.png") as found:
            assert np.array_equal(np.array(found), image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["encode", "in/a.png", "--model", "vae-mnist", "--order", "parallel"],
            "--order does nothing for 'vae-mnist'",
        ),
        (["encode", "in/a.png", "--model", "vae-mnist", "--skip-existing"], "--skip-existing is for pictures"),
        (["encode", "in/a.png", "--steps", "3"], "--steps is for archives"),
        (["decode", "all.shl", "--order", "sequential"], "--order is for pictures"),
        (["decode", "all.shl", "--skip-existing"], "--skip-existing is for pictures"),
    ],
)
def test_options_that_would_do_nothing(
    folder: Path, command: Callable[..., Any], arguments: list[str], message: str
) -> None:
    (folder / "all.shl").write_bytes(archive.encode_images(np.zeros((2, 3, 4), np.uint8), model="raw"))
    done = command(*arguments)
    assert done.code == 1 and message in done.err[0] and len(done.err) == 1


def test_names_cannot_steer_the_terminal(tmp_path: Path, command: Callable[..., Any]) -> None:
    data = archive.encode_images(np.zeros((2, 3, 4), np.uint8), ["\x1b[2J", "b"], model="raw")
    (tmp_path / "a.shl").write_bytes(data)
    shown = "\n".join(command("info", "a.shl").out)
    assert "\\x1b[2J b" in shown and "\x1b" not in shown
