"""`shearloc sample` and `shearloc inspect`: files in, files out, and one line for what cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shearloc
from shearloc.codec import measuring
from shearloc.codec.pictures import files
from shearloc.codec.pictures.picture import from_array
from shearloc.jobs import heat

from ..processes import run

Run = Callable[..., Any]
Make = Callable[..., NDArray[np.uint8]]


def test_samples_as_sheet_array_and_folder(command: Run, tmp_path: Path) -> None:
    wanted = measuring.sample("gray", (6, 5), 3, seed=9)
    options = ("--size", 6, 5, "--count", 3, "--seed", 9)
    for out in ("all.png", "all.npy", "each"):
        assert command("sample", "gray", out, *options).out == [f"3 samples of gray, 6 x 5, seed 9 -> {out}"]
    assert np.array_equal(np.load(tmp_path / "all.npy"), wanted[..., 0])
    each = [files.load_image(tmp_path / "each" / f"{k}.png") for k in range(3)]
    assert np.array_equal(np.stack(each), wanted[..., 0])
    sheet = files.load_image(tmp_path / "all.png")
    assert sheet.shape == (13, 11) and np.array_equal(sheet[7:, :5], wanted[2, :, :, 0])
    assert (sheet[6] == 255).all() and (sheet[7:, 6:] == 255).all()


def test_samples_of_an_autoencoder_have_its_size(command: Run, tmp_path: Path) -> None:
    assert command("sample", "vae-mnist", "one.png").out[0].startswith("1 sample of vae-mnist, 28 x 28")
    done = command("sample", "vae-mnist", "two.png", "--size", 9, 9)
    assert done.code == 1 and done.err == [
        "shearloc: vae-mnist: model 'vae-mnist' has images of 28 x 28 only, not 9 x 9"
    ]


def test_binary_samples_are_seen(command: Run, tmp_path: Path) -> None:
    wanted = measuring.sample("vae-mnist-binary", None, 2, seed=0)
    command("sample", "vae-mnist-binary", "sheet.png", "--count", 2)
    command("sample", "vae-mnist-binary", "each", "--count", 2)
    assert np.array_equal(files.load_image(tmp_path / "sheet.png")[:28, :28], wanted[0, :, :, 0] * 255)
    one = files.load(tmp_path / "each" / "1.png")
    assert one.mode == "1-bit gray" and np.array_equal(one.samples, wanted[1, :, :, 0])


def test_samples_overwrite_nothing(command: Run, tmp_path: Path) -> None:
    (tmp_path / "each").mkdir()
    (tmp_path / "each" / "kept.txt").write_text("kept")
    (tmp_path / "all.png").write_bytes(b"kept")
    for out in ("each", "all.png"):
        done = command("sample", "gray", out, "--size", 2, 2)
        assert done.code == 1 and len(done.err) == 1 and "exists already" in done.err[0]
        assert command("sample", "gray", out, "--size", 2, 2, "--force").code == 0
    assert (tmp_path / "each" / "kept.txt").read_text() == "kept"
    told = "x.jpg: name a folder, or a file that ends in .bmp .npy .pbm .pgm .png .pnm .ppm .tif .tiff .webp"
    assert command("sample", "gray", "x.jpg").err == [f"shearloc: {told}"]
    assert command("sample", "gray", "x.png", "--seed", 2**64).code == 2


def test_inspect_draws_an_image_and_its_bits(command: Run, tmp_path: Path, picture: Make) -> None:
    image = picture(20, 30, 3)
    files.save(tmp_path / "a.png", from_array(image))
    (tmp_path / "a.shl").write_bytes(shearloc.encode(image, model="nelloc-r0"))
    bits = shearloc.code_lengths(image[None], "photo")[0] / 65536
    done = command("inspect", "a.png", "bits.png")
    assert (
        done.out[0] == f"a.png: {bits:,.0f} bits under 'photo', {bits / image.size:.4f} bits per dimension -> bits.png"
    )
    assert done.out[1].startswith("red ") and "blue" in done.out[1]
    drawn = files.load_image(tmp_path / "bits.png")
    assert drawn.shape == (20, 64, 3) and np.array_equal(drawn[:, :30], image)
    assert "under 'nelloc-r0'" in command("inspect", "a.shl", "b.png").out[0]
    assert "under 'photo'" in command("inspect", "a.shl", "c.png", "--model", "photo").out[0]


def test_inspect_says_what_latents_cost(command: Run, tmp_path: Path) -> None:
    command("sample", "vae-mnist", "d.png")
    done = command("inspect", "d.png", "bits.png", "--model", "vae-mnist", "--steps", 2)
    assert "latents" in done.out[1] and done.code == 0


def test_inspect_names_what_it_cannot_take(command: Run, tmp_path: Path, picture: Make) -> None:
    image = picture(8, 8, 3)
    files.save(tmp_path / "a.png", from_array(image))
    files.save(tmp_path / "deep.png", from_array(image.astype(np.uint16) * 257))
    (tmp_path / "many.shl").write_bytes(shearloc.encode_images(image[None]))
    for file, options, wrong in (
        ("deep.png", (), "deep.png: 16-bit RGB; only 8-bit gray and RGB are measured"),
        ("many.shl", (), "many.shl: holds many images"),
        ("a.png", ("--model", "gray"), "a.png: model 'gray' is for images of 1 channels, not 3"),
        ("a.png", ("--steps", 3), "a.png: model 'photo' has no steps"),
        ("none.png", (), "none.png: No such file"),
    ):
        done = command("inspect", file, "out.png", *options)
        assert done.code == 1 and len(done.err) == 1 and done.err[0].startswith(f"shearloc: {wrong}")
    assert not (tmp_path / "out.png").exists()


def test_a_process_samples_the_same(tmp_path: Path) -> None:
    for name, engine in (("a.npy", "numba"), ("b.npy", "numpy")):
        sizes = ("--size", 8, 8, "--engine", engine, "--threads", 2)
        assert run("sample", "gray", name, *sizes, folder=tmp_path).returncode == 0
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_flat_picture_costs_nothing_and_is_drawn() -> None:
    drawn, most = heat.beside(np.zeros((3, 2, 1), np.uint8), np.zeros((3, 2)))
    assert drawn.shape == (3, 8, 3) and most == 0
