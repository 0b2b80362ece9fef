"""Pictures of 16 bits by least squares: every picture comes back, whoever computes; damage is found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from safetensors.numpy import save_file

import shearloc
from shearloc.errors import CorruptError, ShearlocError, UnsupportedImageError
from shearloc.models import defaults, zoo
from shearloc.models.family import Coded, How, Order
from shearloc.models.squares import FAMILY, equations, payload, spread, tiles
from shearloc.models.squares.model import Squares
from shearloc.nets import engines

from ...golden.make import deep_waves

HOW = How(order="auto")


@pytest.fixture(scope="module")
def model() -> Squares:
    return zoo.load_as(Squares, defaults.DEEP)


def coded(model: Squares, picture: NDArray[np.uint16]) -> Coded:
    return model.encode(picture.reshape(1, *picture.shape[:2], -1), HOW)


def decoded(model: Squares, coded: Coded, picture: NDArray[np.uint16]) -> NDArray[np.uint16]:
    found: NDArray[np.uint16] = model.decode(coded, (1, *picture.shape[:2]), HOW)[0]
    return found.reshape(picture.shape)


@st.composite
def pictures(draw: st.DrawFn) -> NDArray[np.uint16]:
    """Small ones of 1 to 4 channels: any values, or a few, or with steps between them."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4)))
    most = draw(st.sampled_from([0, 1, 5, 200, 4095, 65535]))
    factor = draw(st.sampled_from([1, 1, 7, 16, 257]))
    values = draw(arrays(np.uint16, shape, elements=st.integers(0, most // factor)))
    return values * np.uint16(factor)


@given(pictures())
@settings(max_examples=40)
def test_every_picture_comes_back(picture: NDArray[np.uint16]) -> None:
    model = zoo.load_as(Squares, defaults.DEEP)
    assert np.array_equal(decoded(model, coded(model, picture), picture), picture)


@pytest.mark.parametrize("value", [0, 1, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_extremes(model: Squares, value: int, channels: int) -> None:
    """One value; and 0 and 65535 in turn, which no predictor expects."""
    for picture in (
        np.full((20, 30, channels), value, np.uint16),
        (np.indices((20, 30)).sum(0) % 2 * value).astype(np.uint16)[:, :, None].repeat(channels, 2),
        np.random.default_rng(0).choice(np.array([0, value, 65535], np.uint16), (40, 30, channels)),
    ):
        assert np.array_equal(decoded(model, coded(model, picture), picture), picture)


def test_threads_write_the_same_bytes(model: Squares, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles go to threads."""
    monkeypatch.setattr(payload, "TILE", 16)
    picture = deep_waves(70, 50, 1)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(engines, "processors", lambda threads=threads: threads)
        found.append(coded(model, picture))
        assert np.array_equal(decoded(model, found[-1], picture), picture)
    assert found[0] == found[1] and found[0].lanes == 4 * 3


def test_progress_counts_tiles(model: Squares, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "TILE", 16)
    picture, told = deep_waves(33, 34, 1), list[tuple[int, int]]()
    how = How(order="auto", progress=lambda done, total: told.append((done, total)))
    model.decode(model.encode(picture[None, :, :, None], how), (1, 33, 34), how)
    assert told == 2 * [(k, 4) for k in range(1, 5)]


def test_noise_costs_little_more_than_its_entropy(model: Squares) -> None:
    """Flat light, noise of a standard deviation of 40 levels: log2(40 sqrt(2 pi e)) = 7.37 bits."""
    picture = np.random.default_rng(3).normal(2000, 40, (200, 200)).round().astype(np.uint16)
    assert 7.3 < 8 * len(coded(model, picture).payload) / picture.size < 7.55


def test_every_cut_and_many_flips_are_found(model: Squares) -> None:
    """What a checksum does not see, as it would be that of the damaged payload: an error, or other pixels."""
    picture = deep_waves(9, 13, 2)
    whole = coded(model, picture)
    for length in range(len(whole.payload)):
        with pytest.raises(CorruptError):
            decoded(model, replace(whole, payload=whole.payload[:length]), picture)
    with pytest.raises(CorruptError):
        decoded(model, replace(whole, payload=whole.payload + b"\0\0\0\0"), picture)
    draw, refused = np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(whole.payload)
        damaged[draw.integers(len(damaged))] ^= 1 << draw.integers(8)
        try:
            assert decoded(model, replace(whole, payload=bytes(damaged)), picture).shape == picture.shape
        except (CorruptError, ValueError):  # another number of channels does not fit the picture
            refused += 1
    assert refused > 30


@given(st.binary(max_size=200), st.integers(1, 3))
def test_any_bytes(data: bytes, lanes: int) -> None:
    model = zoo.load_as(Squares, defaults.DEEP)
    try:
        found = model.decode(Coded(data, lanes, Order.SEQUENTIAL), (1, 5, 6), HOW)
    except CorruptError:
        return
    assert found.shape[:3] == (1, 5, 6)


@pytest.mark.parametrize(
    "change", [{"lanes": 2}, {"lanes": 1 << 16}, {"order": Order.SHEARED}, {"side_information": b"1"}]
)
def test_headers_that_do_not_fit(model: Squares, change: dict[str, Any]) -> None:
    picture = deep_waves(9, 13, 1)
    with pytest.raises(CorruptError):
        decoded(model, replace(coded(model, picture), **change), picture)


def test_orders(model: Squares) -> None:
    picture = deep_waves(9, 13, 1)
    with pytest.raises(ShearlocError, match="sequential order, so it cannot be decoded in parallel order"):
        model.decode(coded(model, picture), (1, 9, 13), How(order="parallel"))


def test_no_multiplication_is_fused() -> None:
    """A fused multiplication and addition rounds once where the format rounds twice."""
    sums, values, work, weights = np.zeros(20), np.zeros(6), np.zeros((5, 16)), np.zeros(5)
    for kernel, arguments in (
        (equations.add, (sums, 0.5, 1.0, values, 5)),
        (equations.solve, (sums, sums, 5, work, weights)),
        (equations.dot, (weights, values, 5)),
    ):
        compiled = numba.njit(nogil=True, error_model="numpy")(kernel.py_func)
        compiled(*arguments)
        text = "".join(compiled.inspect_asm().values())
        assert "mul" in text and not any(fused in text for fused in ("fmadd", "fmsub", "fnmadd", "fmla", "fmls"))


def test_least_squares() -> None:
    """With many samples, the weights that made them."""
    draw = np.random.default_rng(0)
    sums, weights = np.zeros(5 * 8 // 2), np.zeros(5)
    true = np.array([0.5, -0.25, 1.0, 0.0, 2.0])
    for inputs in draw.normal(0, 100, (300, 5)):
        equations.add(sums, 1.0, 1.0, np.append(inputs, inputs @ true), 5)
    equations.solve(sums, np.zeros_like(sums), 5, np.zeros((5, 16)), weights)
    assert np.allclose(weights, true, atol=1e-4)


def test_cdf_and_search(model: Squares) -> None:
    """Every value has an interval, they fill the whole, and each target finds its own."""
    shape = model.shapes[5].astype(np.int64)
    for together, inverse in ((3.7, 1 / 2.0), (0.0, 64.0), (99.0, 1e-4), (50.5, 0.5)):
        edges = [spread.cdf(value, 100, together, inverse, shape) for value in range(101)]
        assert edges[0] == 0 and edges[-1] == 1 << spread.PRECISION and (np.diff(edges) > 0).all()
        for value in range(100):
            for target in (edges[value], edges[value + 1] - 1):
                assert spread.search(target, 100, together, inverse, shape) == value


def test_model_files(model: Squares, tmp_path: Path) -> None:
    model.save(tmp_path / "again.safetensors")
    again = zoo.load_as(Squares, str(tmp_path / "again.safetensors"))
    assert again.fingerprint == model.fingerprint and np.array_equal(again.shapes, model.shapes)
    good = {"weights": model.weights, "shapes": model.shapes}
    falling, short = model.shapes.copy(), model.shapes[:, :-1].copy()
    falling[3, 4] = falling[3, 6]
    for bad in (
        {"weights": model.weights * np.int32(1000)},
        {"weights": model.weights[:3].copy()},
        {"shapes": falling},
        {"shapes": short},
        {"shapes": model.shapes + np.int32(1)},
        {"shapes": model.shapes.astype(np.int64)},
    ):
        save_file(good | bad, tmp_path / "bad.safetensors", {"format": FAMILY.format})
        with pytest.raises(ShearlocError, match="not a sound model"):
            zoo.load(str(tmp_path / "bad.safetensors"))


def test_what_it_is_not_for(model: Squares) -> None:
    eight = np.zeros((4, 4), np.uint8)
    with pytest.raises(UnsupportedImageError, match="pictures of 16 bits"):
        shearloc.encode(eight, model=defaults.DEEP)
    with pytest.raises(UnsupportedImageError, match="pictures of 16 bits"):
        shearloc.encode_images(eight[None], model=defaults.DEEP)
    for call in (lambda: model.lengths(eight, HOW), lambda: model.latents(eight, HOW)):
        with pytest.raises(ShearlocError):
            call()
    with pytest.raises(ShearlocError, match="no samples"):
        model.sample((1, 4, 4), 0, HOW)


def test_tiles_are_of_nearly_equal_size() -> None:
    for height, width in ((1, 1), (1023, 2047), (2048, 5000), (3071, 1)):
        found = payload.tiles_of(height, width)
        sides = [[part.stop - part.start for part in tile] for tile in found]
        assert sum(h * w for h, w in sides) == height * width and np.max(sides) < 2 * payload.TILE
    assert tiles.DAMAGED < 0
