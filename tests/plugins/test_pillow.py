"""`.shl` as one of Pillow's formats: what PNG does with a picture is what ours does, in good files and bad ones."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

import shearloc
from shearloc.codec import api, archive
from shearloc.codec.formats import container
from shearloc.codec.pictures import png
from shearloc.codec.pictures.picture import GRAY, Picture
from shearloc.models import zoo
from shearloc.plugins import pillow, waiting

Array = Callable[..., NDArray[np.uint8]]
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def in_mode(picture: Array, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(picture(20, 31, 1).astype(np.uint16) * 257 + 5)
    return Image.fromarray(picture(20, 31, 3)).convert(mode)


def saved(image: Image.Image, kind: str = "SHL", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def seen(data: bytes) -> tuple[Any, ...]:
    """All that Pillow makes of a file: what it raises, or every property of the image."""
    try:
        with opened(data) as image:
            lazy = image.mode, image.size, dict(image.info), image.getpalette()
            return (*lazy, image.tobytes(), dict(image.getexif()), dict(image.info))
    except Exception as error:
        return (type(error),)


def test_registered() -> None:
    assert Image.registered_extensions()[".shl"] == "SHL"
    assert Image.MIME["SHL"] == "image/x-shearloc"
    assert pillow.SIGNATURES == (container.MAGIC, archive.MAGIC)


@pytest.mark.parametrize(
    "lines",
    [
        "import shearloc; assert 'PIL' not in sys.modules; from PIL import Image",
        "from PIL import Image; import shearloc",
        "import shearloc; import PIL.Image as Image; assert Image.__loader__ is Image.__spec__.loader",
    ],
)
def test_importing_is_enough_in_any_order(tmp_path: Path, picture: Array, lines: str) -> None:
    """Fresh processes; what waits for Pillow is gone when it has come."""
    (tmp_path / "a.shl").write_bytes(shearloc.encode(picture(9, 8, 3), effort=1))
    code = f"import sys; {lines}; image = Image.open('a.shl'); print(image.size)"
    code += "; image.rotate(90, expand=True).save('b.shl')"
    code += "; assert not any(getattr(finder, 'module', '') == 'PIL.Image' for finder in sys.meta_path)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "(8, 9)\n"), done.stderr
    assert np.array_equal(shearloc.read(tmp_path / "b.shl"), np.rot90(picture(9, 8, 3)))


def test_a_finder_that_waits_finds_nothing_else() -> None:
    assert waiting._Waiting("PIL.Image", print).find_spec("PIL.ImageOps", None) is None


@given(data=st.data())
@settings(max_examples=100)
def test_a_picture_is_to_pillow_what_its_png_is(any_picture: "st.SearchStrategy[Picture]", data: st.DataObject) -> None:
    """Mode, size, palette, transparency, metadata, pixels; broken metadata gives the same error."""
    kept = data.draw(any_picture)
    file = io.BytesIO()
    png.write(file, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's about odd Exif blocks
        if kept.depth == 16 and kept.colour != GRAY:
            with pytest.raises(OSError, match=r"16-bit .* shearloc\.read"):
                opened(api.encode_picture(kept, effort=1))
        else:
            found = seen(api.encode_picture(kept, effort=1))
            assert found == seen(file.getvalue())
            # Only metadata are ever broken.
            assert len(found) > 1 or len(seen(api.encode_picture(kept.stripped(), effort=1))) > 1


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_saved_as_png_saves_it(tmp_path: Path, picture: Array, mode: str) -> None:
    image = in_mode(picture, mode)
    options = {"exif": EXIF, "dpi": (300, 300), "icc_profile": b"a profile", "pnginfo": PngImagePlugin.PngInfo()}
    options["pnginfo"].add_text("Title", "by hand")
    found = seen(saved(image, effort=1, **options))
    assert len(found) > 1 and found == seen(saved(image, "PNG", **options))
    image.save(tmp_path / "a.shl", effort=1)
    with Image.open(tmp_path / "a.shl") as back:
        assert (back.format, back.mode, back.size) == ("SHL", image.mode, image.size)
        assert back.tobytes() == image.tobytes() and back.getpalette() == image.getpalette()


def test_profile_and_transparency_come_from_the_image(picture: Array) -> None:
    """As with PNG, without a word at saving."""
    image = in_mode(picture, "P")
    image.info.update(transparency=3, icc_profile=b"a profile")
    back = opened(saved(image, effort=1))
    assert back.info["icc_profile"] == b"a profile"
    assert back.info == opened(saved(image, "PNG")).info and "transparency" in back.info


def test_indices_beyond_the_palette(picture: Array) -> None:
    image = Image.fromarray(picture(9, 9, 1))
    image.putpalette([1, 2, 3, 250, 251, 252])
    back = opened(saved(image, effort=1))
    assert back.mode == "P" and np.array_equal(np.array(back), picture(9, 9, 1))
    assert back.getpalette()[:6] == [1, 2, 3, 250, 251, 252]


def test_options_are_the_encoder_s(picture: Array) -> None:
    image = Image.fromarray(picture(24, 32, 3))
    assert saved(image, effort=2) == shearloc.encode(picture(24, 32, 3), effort=2)
    assert saved(image, model="photo") == shearloc.encode(picture(24, 32, 3), model="photo")


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "YCbCr", "HSV", "LAB", "RGBX", "PA", "La", "RGBa"])
def test_other_modes_are_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as SHL; convert it to one of 1, L"):
        Image.new(mode, (4, 4)).save(tmp_path / "a.shl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [({"effort": 0}, "effort is"), ({"model": "none"}, "'none' is not installed"), ({"model": "gray"}, "1 channels")],
)
def test_bad_options_leave_nothing(tmp_path: Path, picture: Array, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Image.fromarray(picture(8, 8, 3)).save(tmp_path / "a.shl", **options)
    assert not list(tmp_path.iterdir())


def test_unknown_options_are_errors(tmp_path: Path, picture: Array) -> None:
    with pytest.raises(TypeError, match="SHL has no option 'efort' to save with; there are effort, model, icc_profile"):
        Image.fromarray(picture(8, 8, 3)).save(tmp_path / "a.shl", efort=9)
    assert not list(tmp_path.iterdir())


def test_a_model_may_be_a_path(tmp_path: Path, picture: Array, tiny_model: Callable[..., Any]) -> None:
    """To save with. Pillow opens the file once the model is lent, or installed."""
    own = tmp_path / "mine.safetensors"
    tiny_model(3).save(own)
    image = picture(24, 32, 3)
    Image.fromarray(image).save(tmp_path / "a.shl", model=str(own))
    assert cast(shearloc.PictureInfo, shearloc.info(tmp_path / "a.shl")).model == "mine"
    with pytest.raises(OSError, match="'mine' with weights [0-9a-f]+ is not installed"):
        Image.open(tmp_path / "a.shl").load()
    zoo.lend(str(own))
    assert np.array_equal(np.array(Image.open(tmp_path / "a.shl")), image)


@pytest.fixture(scope="module")
def whole(picture: Array) -> bytes:
    """A file that uses a model."""
    return shearloc.encode(picture(40, 50, 3), model="photo")


def test_opening_reads_the_header_only(whole: bytes) -> None:
    """The rest of the file is not looked at, let alone decoded, before it is needed."""
    file = io.BytesIO(whole[: container.head_length(whole)])
    with Image.open(file) as image:
        assert (image.size, image.mode) == ((50, 40), "RGB")
        with pytest.raises(OSError, match="image file is truncated"):
            image.load()


def test_the_file_is_closed_when_loaded(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "a.shl").write_bytes(whole)
    image = Image.open(tmp_path / "a.shl")
    file = image.fp
    assert file is not None and not file.closed
    image.load()
    assert file.closed and np.array_equal(np.array(image), shearloc.decode(whole))


def test_a_closed_image_says_so(whole: bytes) -> None:
    image = opened(whole)
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_cut_files(whole: bytes) -> None:
    """In the signature it is nobody's file; in the header `open` says so, behind that `load`, and `verify`."""
    with pytest.raises(UnidentifiedImageError):
        opened(whole[:7])
    for length in (8, 9, 10, 17, 30, container.head_length(whole) - 1):
        with pytest.raises(OSError, match="image file is truncated"):
            opened(whole[:length])
    for length in (container.head_length(whole), len(whole) // 2, len(whole) - 1):
        for what in ("load", "verify"):
            with pytest.raises(OSError, match="image file is truncated"):
                getattr(opened(whole[:length]), what)()


def test_damaged_files(whole: bytes) -> None:
    head = bytearray(whole)
    head[14] ^= 1
    with pytest.raises(OSError, match="header's checksum"):
        opened(bytes(head))
    with pytest.raises(OSError, match="longer than any"):
        opened(whole[:9] + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + whole[18:])
    with pytest.raises(OSError, match="newer"):
        opened(whole[:8] + b"\x09" + whole[9:])
    payload = bytearray(whole)
    payload[-50] ^= 1
    for what in ("load", "verify"):
        with pytest.raises(OSError, match="payload's checksum"):
            getattr(opened(bytes(payload)), what)()


def test_verify_is_content_with_a_good_file(whole: bytes) -> None:
    image = opened(whole)
    image.verify()
    with pytest.raises(RuntimeError, match="directly after open"):
        image.verify()


def test_a_model_that_is_not_there(whole: bytes) -> None:
    from dataclasses import replace

    header, payloads = container.unpack(whole)
    other = container.pack(replace(header, parts=(replace(header.parts[0], fingerprint=b"elsewher"),)), payloads)
    with pytest.raises(OSError, match="'photo' with weights .* is not installed"):
        opened(other).load()


def test_the_limit_of_size_is_pillow_s(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 999)
    with pytest.raises(Image.DecompressionBombError):
        opened(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(container, "MAX_SAMPLES", 1)
    assert opened(whole).convert("L").size == (50, 40)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_archive_is_a_sequence(tmp_path: Path, picture: Array, channels: int) -> None:
    images = np.stack([np.roll(picture(16, 24, channels), k, 0) for k in range(7)])
    names = [f"{k}.png" for k in range(7)]
    model, chunk = {1: "gray", 3: "photo"}[channels], 3 * images[0].size
    (tmp_path / "a.shl").write_bytes(archive.encode_images(images, names, model=model, chunk_samples=chunk))
    with Image.open(tmp_path / "a.shl") as sequence:
        assert (sequence.n_frames, sequence.is_animated, sequence.size) == (7, True, (24, 16))
        for k in (0, 6, 2, 1, 1):
            sequence.seek(k)
            assert (sequence.tell(), sequence.info) == (k, {"name": names[k]})
            assert np.array_equal(np.array(sequence), images[k])
        with pytest.raises(EOFError):
            sequence.seek(7)
    cut = (tmp_path / "a.shl").read_bytes()[:-1]
    with opened(cut) as sequence:
        assert np.array_equal(np.array(sequence), images[0])
        sequence.seek(6)
        with pytest.raises(OSError, match="image 6 .* is damaged"):
            sequence.load()


def test_embedded_weights_are_used_and_not_shown(
    picture: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shearloc.models import zoo

    data = shearloc.encode(picture(24, 32, 1), model="gray", embed=True)
    assert len(data) > (zoo.WEIGHTS / "gray.safetensors").stat().st_size / 2
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    image = opened(data)
    assert image.info == {} and np.array_equal(np.array(image), picture(24, 32, 1))
