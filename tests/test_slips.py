"""What people type by mistake, and the one line that they get for it: what is wrong, and what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from PIL import Image

import shearloc
from shearloc import compiling
from shearloc.codec import warmup

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def flat(tmp_path: Path) -> None:
    """a.png in `tmp_path`, so flat that it takes no time."""
    Image.fromarray(np.full((100, 110), 90, np.uint8)).save(tmp_path / "a.png")


def assert_refused(done: Any, told: str) -> None:
    """Exit code 1, nothing on stdout, this one line on stderr."""
    assert (done.code, done.out, done.err) == (1, [], [f"shearloc: {told}"])


# --- What is an input, and what an output -----------------------------------------------------------------------


@pytest.mark.parametrize("out", ["backup", "x.png", "x.jxl", "nofile/"])
def test_an_out_without_its_suffix_is_told_before_any_work(tmp_path: Path, command: Command, out: str) -> None:
    name = out.rstrip("/")
    assert_refused(command("encode", "a.png", out), f"{name}: no such file; OUT must end in .shl, or use -o {name}")
    assert os.listdir(tmp_path) == ["a.png"]
    assert command("encode", "a.png", "-o", name).code == 0 and (tmp_path / name).is_file()


def test_a_folder_that_is_not_there_is_not_a_second_input(tmp_path: Path, command: Command) -> None:
    (tmp_path / "in").mkdir()
    told = "out: no such file or folder; --out-dir out writes there"
    assert_refused(command("encode", "-r", "in", "out"), told)


def test_what_a_folder_has_besides_images_is_named(tmp_path: Path, command: Command) -> None:
    (tmp_path / "n").mkdir()
    for name in ("ok.png", "scan001", "c.img", ".hid.png", ".DS_Store", "old.shl"):
        (tmp_path / "n" / name).write_bytes((tmp_path / "a.png").read_bytes())
    told = ["shearloc: n/c.img, n/scan001 left out: no image by its suffix", "shearloc: n/.hid.png left out: hidden"]
    done = command("encode", "-r", "n", "--out-dir", "out")
    assert done.code == 0 and done.err == told and os.listdir(tmp_path / "out") == ["ok.shl"]
    assert command("encode", "-r", "n", "--out-dir", "other", "-q").err == []
    packed = command("pack", "n", "shards", "--model", "raw")
    assert packed.code == 0 and packed.err[1:] == told[1:]


def test_a_folder_without_images_is_told(tmp_path: Path, command: Command) -> None:
    (tmp_path / "n").mkdir()
    assert_refused(command("encode", "-r", "n"), "n: no image files in this folder")
    for verb in ("verify", "decode"):
        assert_refused(command(verb, "-r", "n"), "n: no .shl files in this folder")


@pytest.mark.parametrize(("other", "data"), [("a.pdf", b"%PDF-1.7"), ("a.svg", b"<svg/>"), ("a.tif", b""), ("a", b"x")])
def test_what_is_no_image_stops_no_image_of_its_name(tmp_path: Path, command: Command, other: str, data: bytes) -> None:
    (tmp_path / other).write_bytes(data)
    done = command("encode", "a.png", other, "--out-dir", "out")
    assert done.code == 1 and [line.split()[0] for line in done.out] == ["a.png"]
    assert done.err[0].startswith(f"shearloc: {other}: {'not an image that is read' if data else 'the file is empty'}")


def test_a_wrong_suffix_hides_no_collision(tmp_path: Path, command: Command) -> None:
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    done = command("encode", "a.png", "a.jpg", "--force")
    assert done.code == 1 and "a.jpg would be written to a.shl, too" in done.err[0] and not done.out


def test_a_file_of_the_other_kind_is_called_that(tmp_path: Path, command: Command) -> None:
    assert_refused(
        command("decode", "a.png"), "a.png: not a Shearloc file: it does not begin with the signature of one"
    )
    assert command("encode", "a.png").code == 0
    assert_refused(command("encode", "a.shl"), "a.shl: a Shearloc file already: decode it")


# --- Archives and arrays ----------------------------------------------------------------------------------------


def test_an_archive_does_not_become_a_folder_called_like_an_image(tmp_path: Path, command: Command) -> None:
    np.save(tmp_path / "all.npy", np.zeros((2, 5, 6), np.uint8))
    assert command("archive", "all.npy", "x.png.shl", "--model", "raw").code == 0
    for out in ("b.png", "b.jpg"):
        told = "x.png.shl: an archive of 2 images: name a folder or a .npy file"
        assert_refused(command("decode", "x.png.shl", out), told)
        assert not (tmp_path / out).exists()
    (tmp_path / "b.png").mkdir()
    assert command("decode", "x.png.shl", "b.png").code == 0
    assert command("decode", "x.png.shl", "--out-dir", "out").code == 0, "a name that nobody gave is none"


@pytest.mark.parametrize("channels", [3, 4])
def test_one_colour_image_is_not_taken_for_many_gray_ones(tmp_path: Path, command: Command, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 9, channels), np.uint8)
    np.save(tmp_path / "x.npy", image)
    told = f"x.npy: the array has shape (6, 9, {channels}): save array[None] if it is one image of {channels} channels"
    for arguments in (("archive", "x.npy"), ("pack", "x.npy", "out"), ("score", "x.npy", "--model", "photo")):
        done = command(*arguments)
        assert done.code == 1 and told in done.err[0]
    assert sorted(os.listdir(tmp_path)) == ["a.png", "x.npy"]
    for saved, count in ((image[None], 1), (image[..., None], 6)):
        np.save(tmp_path / "x.npy", saved)
        assert command("pack", "x.npy", "out", "--model", "raw", "--force").code == 0
        assert len(shearloc.Collection(tmp_path / "out")) == count


# --- Outputs ----------------------------------------------------------------------------------------------------


def test_an_output_of_a_read_only_input_can_be_replaced(tmp_path: Path, command: Command) -> None:
    (tmp_path / "a.png").chmod(0o444)
    for options in ((), ("--force",)):
        assert command("encode", "a.png", *options).code == 0
        assert (tmp_path / "a.shl").stat().st_mode & 0o777 == 0o644
    (tmp_path / "a.shl").chmod(0o444)
    assert "a.shl: is write-protected" in command("encode", "a.png", "--force").err[0], "somebody wants to keep it"


def test_format_decides_where_there_is_no_suffix(tmp_path: Path, command: Command) -> None:
    assert command("encode", "a.png").code == 0
    for options, name in (((), "back"), (("-o",), "other")):
        assert command("decode", "a.shl", *options, name, "--format", "pnm").code == 0
        assert (tmp_path / name).read_bytes().startswith(b"P5\n")
    assert "third: write to one of .png" in command("decode", "a.shl", "third").err[0]
    for out, form in (("x.png", "bmp"), ("x.pgm", "ppm")):
        told = f"{out}: the suffix contradicts --format {form}; leave one of them out"
        assert_refused(command("decode", "a.shl", out, "--format", form), told)
    for out, form in (("x.tiff", "tif"), ("x.pgm", "pnm"), ("x.PNG", "png")):
        assert command("decode", "a.shl", out, "--format", form).code == 0


def test_what_is_not_embedded_is_told(command: Command) -> None:
    line = command("encode", "a.png", "--embed").out[0]
    assert line.endswith("; no model embedded: WebP was smaller")
    assert "embedded" not in command("encode", "a.png", "--embed", "--model", "gray", "-f").out[0]


# --- Lossy files are measured, as nothing is stored -------------------------------------------------------------


def test_lossy_files_are_scored_and_inspected(tmp_path: Path, command: Command, picture: Any) -> None:
    image = Image.fromarray(picture(24, 32, 3))
    for name in ("b.jpg", "c.webp"):
        image.save(tmp_path / name, quality=80)
        assert command("inspect", name, f"{name}.png", "--model", "small").code == 0
        with Image.open(tmp_path / name) as lossy:
            lossy.convert("RGB").save(tmp_path / "same.png")
        bits = [command("score", one, "--model", "small", "--json").out[0] for one in (name, "same.png")]
        assert json.loads(bits[0])["images"][0]["bits"] == json.loads(bits[1])["images"][0]["bits"]
        assert command("encode", name).code == 1, "there they are stored"
    image.convert("CMYK").save(tmp_path / "d.jpg")
    assert_refused(
        command("inspect", "d.jpg", "d.png"), "d.jpg: a JPEG of the mode CMYK; only gray and RGB are measured"
    )
    (tmp_path / "e.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:300])
    assert "e.jpg: not a JPEG that can be read" in command("inspect", "e.jpg", "e.png").err[0]


# --- Collections ------------------------------------------------------------------------------------------------


def test_files_and_collections_are_not_taken_for_each_other(tmp_path: Path, command: Command) -> None:
    assert command("encode", "a.png").code == 0 and command("pack", "a.png", "c", "--model", "raw").code == 0
    assert_refused(command("info", "c"), "c: is a collection; `shearloc list` lists its images")
    (tmp_path / "empty").mkdir()
    assert_refused(command("info", "empty"), "empty: is a folder")
    file = "a.shl: is a file, not a collection's folder; `shearloc info` and `shearloc decode` take .shl files"
    for verb in ("list", "unpack"):
        assert_refused(command(verb, "a.shl"), file)
        assert_refused(command(verb, "nix"), "nix: no such collection")
    with pytest.raises(FileNotFoundError, match="no such collection"):
        shearloc.Collection("nix")
    told = "a.png: exists and is a file; the last argument is the folder to write to"
    assert_refused(command("pack", "a.shl", "a.png"), told)


def test_unpacking_nothing_leaves_nothing(tmp_path: Path, command: Command) -> None:
    assert command("pack", "a.png", "c", "--model", "raw").code == 0
    assert_refused(command("unpack", "c", "out", "nope"), "c: no image fits 'nope'")
    assert not (tmp_path / "out").exists()
    assert command("unpack", "c", "out", "nope", "a.png").code == 1 and os.listdir(tmp_path / "out") == ["a.png"]


# --- Models, figures, help --------------------------------------------------------------------------------------


def test_the_model_is_looked_at_before_the_images(command: Command) -> None:
    assert_refused(command("latents", "photo", "a.png"), "model 'photo' has no latents; autoencoders have")


def test_bench_says_of_every_file_why_it_cannot_be_used(tmp_path: Path, command: Command) -> None:
    (tmp_path / "b.png").write_bytes(b"")
    Image.fromarray(np.zeros((3, 4, 4), np.uint8)).save(tmp_path / "c.png")
    done = command("bench", "b.png", "c.png", "--peer", "none")
    assert done.code == 1 and "none of 2 files can be used: b.png: the file is empty; c.png: 8-bit RGBA" in done.err[-1]


def test_warmup_says_whether_it_compiled(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "warm_up", lambda progress: None)
    assert command("warmup").out[0].startswith("everything is compiled already, ")
    monkeypatch.setattr(compiling, "LONG", 0.0)
    monkeypatch.setattr(warmup, "warm_up", lambda progress: njit(lambda x: x + 1)(1))
    assert command("warmup").out[0].startswith("compiled for this processor, ")


def test_help_is_short_too(command: Command) -> None:
    for words in ((), ("encode",), ("models",), ("models", "add")):
        assert command(*words, "-h").out == command(*words, "--help").out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_report_that_cannot_be_printed_does_not_blame_the_file(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "shearloc", "encode", "a.png", "--out-dir", "out"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (1, "shearloc: standard output: No space left on device\n")
    assert (tmp_path / "out" / "a.shl").is_file()


# --- Python -----------------------------------------------------------------------------------------------------


def test_python_says_what_to_pass(tmp_path: Path) -> None:
    levels = np.arange(256).reshape(16, 16)
    with pytest.raises(shearloc.UnsupportedImageError, match=r"pass image.astype\(np.uint8\)$"):
        shearloc.encode(levels)
    with pytest.raises(shearloc.UnsupportedImageError, match=r"pass image.astype\(np.uint16\), if"):
        shearloc.encode(levels + 1)
    with Image.open(tmp_path / "a.png") as image, pytest.raises(shearloc.UnsupportedImageError, match="numpy.asarray"):
        shearloc.encode(image)
    for path in ("a.shl", Path("a.shl")):
        with pytest.raises(TypeError, match=r"shearloc.read\(path\)"):
            shearloc.decode(path)  # type: ignore[arg-type]
