"""What people type by mistake, and the one line that they get for it: what is wrong, and what to do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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
