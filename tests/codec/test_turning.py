"""Pictures lie in their files as the quick model likes best, and come back as they were."""

from pathlib import Path
from threading import current_thread, main_thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearloc.codec import api, measuring, turning
from shearloc.errors import CorruptError
from shearloc.jobs import lengths
from shearloc.models import orientation, zoo
from shearloc.models.family import How

from ..golden import make


@given(st.integers(0, 7), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_picking_up_undoes_laying_down(number: int, height: int, width: int, images: int) -> None:
    pixels = np.arange(images * height * width * 3, dtype=np.uint8).reshape(images, height, width, 3)
    laid = orientation.laid(pixels, number)
    assert laid.shape[:3] == turning.size_of((images, height, width), number)
    assert laid.flags.c_contiguous
    assert (orientation.picked_up(laid, number) == pixels).all()
    if height == width:
        assert (orientation.oriented(pixels, np.full(images, number, np.uint8)) == laid).all()


@pytest.mark.parametrize("number", range(8))
def test_side_information(number: int) -> None:
    assert turning.orientation_of(turning.side_information(number)) == number


@pytest.mark.parametrize("wrong", [b"\0", b"\x08", b"\xff", b"\1\1"])
def test_wrong_side_information(wrong: bytes) -> None:
    with pytest.raises(CorruptError):
        turning.orientation_of(wrong)


def beams() -> np.ndarray:
    """A picture that is drawn and quiet above, and noisy below."""
    pixels = make.smooth(96, 64, 3)
    pixels[48:] ^= np.random.default_rng(1).integers(0, 32, (48, 64, 3), np.uint8)
    return pixels


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("effort", [5, 8, 9])
def test_the_shortest_of_those_tried(engine: str, effort: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))
    pixels, model = beams(), zoo.load("golden-learning")
    ways = turning.TRIED.get(effort, (0,))
    bits = [model.lengths(orientation.laid(pixels[None], number), How()).images[0] for number in ways]
    assert turning.chosen(model, pixels, effort, How(engine)) == ways[int(np.argmin(bits))]


@pytest.mark.parametrize("model", ["colour-fast", "golden-learning"])
def test_the_file_is_what_the_choice_makes(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLOC_MODELS", str(make.MODELS))
    pixels = beams()
    monkeypatch.setattr(turning, "chosen", lambda *_: 6)
    turned = api.encode(pixels, model=model, effort=9)
    (part,) = api.info(turned).parts
    assert part.side_information_bytes == 1
    assert (api.decode(turned) == pixels).all()
    assert (api.decode(turned, engine="numpy") == pixels).all()


def test_auto_lays_pictures_down_by_effort() -> None:
    pixels = beams()
    plain, turned = (api.encode(pixels, model="colour-fast", effort=effort) for effort in (5, 9))
    assert len(turned) <= len(plain) + 1
    assert (api.decode(turned) == pixels).all()


def test_gray_and_alpha(tmp_path: Path) -> None:
    pixels = beams()
    for kind in (pixels[:, :, 0], pixels[:, :, :2], np.dstack([pixels, pixels[:, :, 0]])):
        data = api.encode(np.ascontiguousarray(kind), effort=9)
        assert (api.decode(data) == kind).all()


def test_info_says_how_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = beams()
    for number, wanted in ((0, None), (5, "mirrored, transposed"), (2, "upside down")):
        monkeypatch.setattr(turning, "chosen", lambda *_, number=number: number)
        (part,) = api.info(api.encode(pixels, model="colour-fast", effort=9)).parts
        assert part.orientation == wanted


def test_progress_goes_on_from_0_to_1() -> None:
    told: list[tuple[float, bool]] = []
    api.encode(beams(), effort=9, progress=lambda done, of: told.append((done / of, current_thread() is main_thread())))
    shares = [share for share, _ in told]
    assert shares == sorted(set(shares)) and shares[-1] == 1 and all(main for _, main in told)


def test_lengths_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = beams()
    monkeypatch.setattr(turning, "chosen", lambda *_: 5)
    file = tmp_path / "a.shl"
    file.write_bytes(api.encode(pixels, model="colour-fast", effort=9))
    turned = measuring.length_map(pixels, "colour-fast", way=5)
    first, *_ = lengths.draw_lengths(file, tmp_path / "bits.png", "auto", 0, "auto", False)
    assert f"{turned.images[0] / 2**16:,.0f} bits under 'colour-fast'" in first
    assert turned.images[0] != measuring.length_map(pixels, "colour-fast").images[0]
    assert turned.pixels.shape == (1, *pixels.shape)
