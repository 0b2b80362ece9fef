"""Many files at once, what is there already, and verification. The command runs in this process; files are real."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

import shearloc
from shearloc.codec import api
from shearloc.codec.pictures import picture as pictures
from shearloc.jobs import images as batch
from shearloc.jobs.message import message
from shearloc.jobs.options import Encoding
from shearloc.jobs.plan import Job
from shearloc.nets import engines

Picture = Callable[..., NDArray[np.uint8]]
Command = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path, picture: Picture) -> dict[str, NDArray[np.uint8]]:
    """a.png, b.png and c.png (gray) in `tmp_path`, as arrays by name."""
    arrays = {"a": picture(9, 11, 3), "b": picture(10, 8, 3), "c": picture(7, 9, 1)}
    for name, array in arrays.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    return arrays


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, and its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_encode_and_decode_many(tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]) -> None:
    encoded = command("encode", "a.png", "b.png", "c.png", "--out-dir", "deep/archive")
    assert (encoded.code, encoded.err) == (0, [])
    assert [line.split()[0] for line in encoded.out] == ["a.png", "b.png", "c.png"]
    assert all(line.endswith(", verified") for line in encoded.out)
    decoded = command("decode", *sorted((tmp_path / "deep/archive").iterdir()), "--out-dir", "back")
    assert (decoded.code, decoded.err, len(decoded.out)) == (0, [], 3)
    for name, array in images.items():
        assert (tmp_path / f"deep/archive/{name}.shl").read_bytes() == shearloc.encode(array)
        with Image.open(tmp_path / f"back/{name}.png") as back:
            assert np.array_equal(np.array(back), array)
    assert len(listing(tmp_path)) == 9


def test_a_bad_file_does_not_stop_the_others(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"hello")
    encoded = command("encode", "a.png", "bad.png", "none.png", "b.png")
    assert encoded.code == 1
    assert [line.split()[0] for line in encoded.out] == ["a.png", "b.png"]
    assert [line.split(": ")[1] for line in encoded.err[:2]] == ["bad.png", "none.png"]
    assert encoded.err[2:] == ["shearloc: 2 of 4 files failed: bad.png, none.png"]
    (tmp_path / "b.shl").write_bytes(b"\x89SHL\r\n\x1a\n\x01cut")
    decoded = command("decode", "b.shl", "a.shl", "--out-dir", "back")
    assert decoded.code == 1 and len(decoded.out) == 1
    assert decoded.err[0].startswith("shearloc: b.shl: ")
    assert decoded.err[1:] == ["shearloc: 1 of 2 files failed: b.shl"]
    assert os.listdir(tmp_path / "back") == ["a.png"]


def test_two_images_are_two_inputs(tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]) -> None:
    """What a pattern that matches two files gives: the second is not overwritten, not even with --force."""
    before = listing(tmp_path)
    assert command("encode", "a.png", "b.png", "--force").code == 0
    assert command("decode", "a.shl", "b.shl", "--force", "--out-dir", "back").code == 0
    after = listing(tmp_path)
    assert before.items() <= after.items()
    assert set(after) - set(before) == {"a.shl", "b.shl", "back/a.png", "back/b.png"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x.png", "x.tif"], "x.png: x.tif would be written to x.shl, too"),
        (["x.png", "sub/x.png", "--out-dir", "new"], "x.png: sub/x.png would be written to new/x.shl, too"),
        (["a.png", "sub"], "sub: is a folder; --out-dir sub writes there"),
        (["link.png", "b.png", "--force"], "link.png: would be written over b.png"),
        (["a.png", "--out-dir", "b.png"], "b.png: is a file, not a folder"),
    ],
)
def test_files_in_each_others_way_are_left(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], arguments: list[str], told: str
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("x.png", "sub/x.png", "link.png"):
        shutil.copy(tmp_path / "a.png", tmp_path / name)
    Image.fromarray(images["b"]).save(tmp_path / "x.tif")
    (tmp_path / "link.shl").symlink_to("b.png")
    before = listing(tmp_path)
    refused = command("encode", *arguments)
    assert refused.code == 1 and refused.err[0].startswith(f"shearloc: {told}")
    after = listing(tmp_path)
    assert {name: after[name] for name in before} == before and not (tmp_path / "new").exists()
    assert set(after) - set(before) <= {"b.shl"}, "what is not in the way of another is done"


def test_same_name_in_two_folders(tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]) -> None:
    (tmp_path / "sub").mkdir()
    shutil.copy(tmp_path / "b.png", tmp_path / "sub/a.png")
    assert command("encode", "a.png", "sub/a.png").code == 0
    assert (tmp_path / "sub/a.shl").read_bytes() == shearloc.encode(images["b"])


def never(*arguments: object, **options: object) -> Any:
    raise AssertionError("the network ran")


def test_skip_existing_skips_what_is_complete(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("encode", "a.png", "c.png")
    command("decode", "a.shl", "c.shl", "--out-dir", "back")
    before = listing(tmp_path)
    monkeypatch.setattr(api, "encode_picture", never)
    monkeypatch.setattr(api, "decode_picture", never)
    for again in (
        command("encode", "a.png", "c.png", "--skip-existing"),
        command("decode", "a.shl", "c.shl", "--out-dir", "back", "--skip-existing"),
    ):
        assert (again.code, again.err, len(again.out)) == (0, [], 2)
        assert all("skipped" in line for line in again.out)
    assert listing(tmp_path) == before


def test_skip_existing_goes_on_where_it_stopped(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]
) -> None:
    command("encode", "a.png")
    resumed = command("encode", "a.png", "b.png", "--skip-existing")
    assert resumed.code == 0 and "skipped" in resumed.out[0] and "verified" in resumed.out[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: data + b"\0",
    ],
    ids=["empty", "signature", "header", "payload", "bit", "longer"],
)
def test_skip_existing_replaces_half_a_file(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], spoil: Callable[[bytes], bytes]
) -> None:
    whole = shearloc.encode(images["a"])
    (tmp_path / "a.shl").write_bytes(spoil(whole))
    assert command("encode", "a.png", "--skip-existing").code == 0
    assert (tmp_path / "a.shl").read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 60, -30])
def test_skip_existing_replaces_half_an_image(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], kept: int
) -> None:
    command("encode", "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:kept])
    assert command("decode", "a.shl", "--skip-existing").code == 0
    with Image.open(tmp_path / "a.png") as back:
        assert np.array_equal(np.array(back), images["a"])


@pytest.mark.parametrize("there", ["another image", "text", "newer version", "other kind"])
def test_skip_existing_keeps_other_files(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], there: str
) -> None:
    """A file that is no part of the output is somebody's: kept and told, unless --force."""
    other = shearloc.encode(images["b"])
    content = {
        "another image": other,
        "text": b"my notes",
        "newer version": other[:8] + b"\x02" + other[9:],
        "other kind": (tmp_path / "b.png").read_bytes(),
    }[there]
    (tmp_path / "a.shl").write_bytes(content)
    kept = command("encode", "a.png", "--skip-existing")
    assert kept.code == 1 and kept.err[0].startswith("shearloc: a.shl: exists already")
    assert (tmp_path / "a.shl").read_bytes() == content
    assert command("encode", "a.png", "--skip-existing", "--force").code == 0
    assert (tmp_path / "a.shl").read_bytes() == shearloc.encode(images["a"])


@pytest.mark.parametrize("there", ["another image", "same size", "text", "palette"])
def test_skip_existing_keeps_other_images(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], there: str
) -> None:
    command("encode", "a.png")
    {
        "another image": lambda: Image.fromarray(images["b"]).save("a.png"),
        "same size": lambda: Image.fromarray(images["a"] ^ 1).save("a.png"),
        "text": lambda: Path("a.png").write_text("my notes"),
        "palette": lambda: Image.fromarray(images["a"]).quantize(8).save("a.png"),
    }[there]()
    content = (tmp_path / "a.png").read_bytes()
    kept = command("decode", "a.shl", "--skip-existing")
    assert kept.code == 1 and kept.err[0].startswith("shearloc: a.png: exists already")
    assert (tmp_path / "a.png").read_bytes() == content


def test_verify(tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]) -> None:
    command("encode", "a.png", "c.png")
    data = (tmp_path / "a.shl").read_bytes()
    (tmp_path / "bad.shl").write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    before = listing(tmp_path)
    sound = command("verify", "a.shl", "c.shl")
    assert (sound.code, sound.err) == (0, [])
    assert [line.split(", ")[:2] for line in sound.out] == [
        ["a.shl: OK", "11 x 9 8-bit RGB"],
        ["c.shl: OK", "9 x 7 8-bit gray"],
    ]
    mixed = command("verify", "a.shl", "bad.shl", "none.shl", "a.png")
    assert mixed.code == 1 and len(mixed.out) == 1
    assert [line.split(": ")[1] for line in mixed.err[:-1]] == ["bad.shl", "none.shl", "a.png"]
    assert mixed.err[-1] == "shearloc: 3 of 4 files failed: bad.shl, none.shl, a.png"
    assert command("verify", "a.shl", "--max-samples", "10").code == 1
    assert listing(tmp_path) == before


def test_verify_finds_wrong_pixels_behind_sound_checksums(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]]
) -> None:
    from dataclasses import replace

    from shearloc.codec.formats import container

    header, payloads = container.unpack(shearloc.encode(images["a"]))
    (tmp_path / "a.shl").write_bytes(container.pack(replace(header, pixel_crc=1), payloads))
    wrong = command("verify", "a.shl")
    assert wrong.code == 1 and "pixels do not match" in wrong.err[0]


def test_a_wrong_engine_is_caught(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One engine's sums are off; another one finds that the file does not hold the image."""
    run = engines.Runner.run

    def off(self: engines.Runner, n: int) -> NDArray[Any]:
        sums = run(self, n)
        sums += 1000
        return sums

    monkeypatch.setattr(engines.Runner, "run", off)
    (tmp_path / "old.shl").write_bytes(b"precious")
    before = listing(tmp_path)
    for arguments in (["a.png", "new.shl"], ["a.png", "old.shl", "--force"]):
        refused = command("encode", *arguments, "--engine", "numpy", "--model", "photo")
        assert refused.code == 1 and refused.err[0].startswith("shearloc: a.png: verification failed")
        assert listing(tmp_path) == before
    assert command("encode", "a.png", "new.shl", "--engine", "numpy", "--model", "photo", "--no-verify").code == 0
    with pytest.raises(shearloc.CorruptError):
        shearloc.decode((tmp_path / "new.shl").read_bytes(), engine="numba")


def test_what_was_written_is_what_is_verified(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification reads the file, not the encoder's memory."""
    read_bytes = Path.read_bytes

    def read_with_a_flip(path: Path) -> bytes:
        data = read_bytes(path)
        return data if path.suffix != ".part" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]

    monkeypatch.setattr(Path, "read_bytes", read_with_a_flip)
    refused = command("encode", "a.png")
    assert refused.code == 1 and "verification failed" in refused.err[0]
    assert not (tmp_path / "a.shl").exists()


def test_what_is_decoded_is_compared_with_the_input(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that stores other pixels, soundly, is caught, too."""
    real = batch.encode

    def encode_another(picture: Any, how: Encoding, progress: Any) -> bytes:
        return real(pictures.Picture(picture.samples ^ 1), how, progress)

    monkeypatch.setattr(batch, "encode", encode_another)
    refused = command("encode", "a.png")
    assert refused.code == 1 and "verification failed" in refused.err[0]
    assert not (tmp_path / "a.shl").exists()


@pytest.mark.parametrize(
    ("options", "engine"), [((), "auto"), (("--verify", "numpy"), "numpy"), (("--no-verify",), None)]
)
def test_what_is_new_is_decoded_by_the_engine_asked_for(
    options: tuple[str, ...],
    engine: str | None,
    command: Callable[..., Any],
    picture: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fast decoder, which readers use, unless another is named."""
    asked: list[str] = []
    decode = batch.decode

    def spy(data: bytes, how: Any, progress: Any) -> Any:
        asked.append(how.engine)
        return decode(data, how, progress)

    monkeypatch.setattr(batch, "decode", spy)
    Image.fromarray(picture(8, 8, 3)).save(tmp_path / "a.png")
    done = command("encode", "a.png", *options)
    assert done.code == 0 and asked == [engine] * (engine is not None)
    assert done.out[0].endswith(", verified") == (engine is not None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (shearloc.CorruptError("damaged"), "a.png: damaged"),
        (shearloc.UnsupportedImageError("b.shl: another suffix"), "b.shl: another suffix"),
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file"),
        (OSError(28, "No space left on device"), "b.shl: No space left on device"),
        (PermissionError(13, "Permission denied", "x/.shearloc-12.part"), "b.shl: Permission denied"),
        (MemoryError(), "a.png: not enough memory"),
        (shearloc.CorruptError("two\nlines"), "a.png: two lines"),
    ],
)
def test_messages_name_the_file(error: Exception, told: str) -> None:
    assert message(error, Job(Path("a.png"), Path("b.shl"))) == told


def test_not_enough_memory_fails_one_file(
    tmp_path: Path, command: Command, images: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batch.encode

    def encode(picture: Any, how: Encoding, progress: Any) -> bytes:
        if picture.samples.shape == images["a"].shape:
            raise MemoryError
        return real(picture, how, progress)

    monkeypatch.setattr(batch, "encode", encode)
    done = command("encode", "a.png", "b.png")
    assert done.code == 1 and done.err[0] == "shearloc: a.png: not enough memory"
    assert (tmp_path / "b.shl").exists() and not (tmp_path / "a.shl").exists()


def test_strip_drops_metadata(tmp_path: Path, command: Command, picture: Picture) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Title", "a title")
    Image.fromarray(picture(9, 11, 3)).save(tmp_path / "a.png", pnginfo=notes)
    assert command("encode", "a.png", "kept.shl").code == 0
    assert command("encode", "a.png", "stripped.shl", "--strip").code == 0
    kept, stripped = (shearloc.info((tmp_path / f"{name}.shl").read_bytes()) for name in ("kept", "stripped"))
    assert kept.chunks == ("tEXt",) and stripped.chunks == ()
    assert kept.pixel_crc == stripped.pixel_crc
