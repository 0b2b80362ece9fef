"""The codec on a device: the integers of the other engines, on the CPU's tensors, and on CUDA's where there is a GPU.

The network alone is tested in models/test_engines.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import Message
from shearloc.coding import lanes as stream
from shearloc.errors import CorruptError
from shearloc.models import local as local_models
from shearloc.models.local import coder
from shearloc.models.local.coder import (
    decode_images,
    decode_parallel,
    decode_sequential,
    encode_images,
    encode_sequential,
    frequencies,
)
from shearloc.models.local.model import LocalModel, load

from .drawn import levels

torch = pytest.importorskip("torch")
from shearloc.models.local import device, device_arithmetic  # noqa: E402

Images = NDArray[np.uint8]
Models = Callable[..., LocalModel]

pytestmark = pytest.mark.usefixtures("one_thread")

has_cuda = torch.cuda.is_available()
WEIGHTS = Path(local_models.__file__).parents[1] / "weights"
needs_cuda = pytest.mark.skipif(not has_cuda, reason="needs a GPU")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def where(request: pytest.FixtureRequest) -> str:
    """A device."""
    return str(request.param)


def decoded(
    model: LocalModel, payload: bytes, lanes: int, images: Images, where: str, sequential: bool = False
) -> Images:
    """As `coder.decode_images` has it, on any device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder, "_device", lambda: SimpleNamespace(pop_images=partial(device.pop_images, device=where)))
        decode = decode_sequential if sequential else decode_images
        return decode(model, payload, lanes, images.shape[:3], "cuda")


def encoded(model: LocalModel, images: Images, lanes: int) -> bytes:
    """By the default engine, with so many lanes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "lane_count", lambda *_: lanes)
        return encode_images(model, images, "numba")[0]


sides = st.integers(1, 5)
batches = levels(st.tuples(st.integers(1, 3), sides, sides, st.sampled_from([1, 3])))
"""A few images of one size, [N, H, W, C]. No offset goes further than 4, so that some pixels see all of their context;
a step is hundreds of small operations on the CPU, whatever its size."""

CONTEXTS = [(3, 1, 0.2), (1, 0, 2.0), (2, 2, 2.0), (4, 1, 0.2), (2, 1, 0.2, True)]
"""Horizon, reach and spread of `tiny_model`, and whether it sees the predictions."""


@settings(max_examples=30)
@given(batches, st.sampled_from(CONTEXTS))
def test_frequencies_are_those_of_the_other_engines(
    tiny_model: Models, where: str, images: Images, context: tuple[float, ...]
) -> None:
    model = tiny_model(images.shape[3], *context)
    found, expected = device.frequencies(model, images, device=where), frequencies(model, images, "numba")
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


@settings(max_examples=25)
@given(batches, st.sampled_from(CONTEXTS), st.integers(1, 7))
def test_any_images_come_back(
    tiny_model: Models, where: str, images: Images, context: tuple[float, ...], lanes: int
) -> None:
    """With more lanes than pixels in a step, and fewer."""
    model, lanes = tiny_model(images.shape[3], *context), min(lanes, images.shape[0] * images.shape[1])
    back = decoded(model, encoded(model, images, lanes), lanes, images, where)
    assert back.dtype == np.uint8 and np.array_equal(back, images)


@settings(max_examples=10)
@given(batches)
def test_sequential_order_too(tiny_model: Models, where: str, images: Images) -> None:
    model = tiny_model(images.shape[3], 2, 1)
    payload, lanes = encode_sequential(model, images, "numba")
    assert np.array_equal(decoded(model, payload, lanes, images, where, sequential=True), images)


@pytest.mark.parametrize("predictor", ["none", "med"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 0), (3, 1, 0, 0), (3, 3, 3, 0), (3, 2, 1, 5)], ids=str)
def test_models_as_the_thesis_has_them(
    tiny_nelloc: Models,
    picture: Callable[..., Images],
    where: str,
    shape: tuple[int, int, int, int],
    predictor: str,
) -> None:
    """Raw pixels or not, residual blocks, heads or none."""
    channels, horizon, blocks, heads = shape
    model = tiny_nelloc(channels, horizon, blocks, head_width=heads, predictor=predictor)
    images = picture(7, 9, channels).reshape(1, 7, 9, channels)
    found, expected = device.frequencies(model, images, device=where), frequencies(model, images, "numba")
    assert np.array_equal(found, expected)
    assert np.array_equal(decoded(model, encoded(model, images, 2), 2, images, where), images)


@settings(max_examples=20)
@given(batches, st.integers(1, 10), st.integers(1, 3))
def test_convolutions(tiny_nelloc: Models, where: str, images: Images, neighbours: int, lanes: int) -> None:
    """In every order; encoding a few rows at a time."""
    model = tiny_nelloc(images.shape[3], 3, 2, neighbours=neighbours, narrow=6)
    lanes = min(lanes, images.shape[0] * images.shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "BATCH", 9)
        found = device.frequencies(model, images, device=where)
    assert np.array_equal(found, frequencies(model, images, "numba"))
    assert np.array_equal(decoded(model, encoded(model, images, lanes), lanes, images, where), images)
    payload, one = encode_sequential(model, images, "numba")
    assert np.array_equal(decoded(model, payload, one, images, where, sequential=True), images)


@pytest.mark.parametrize("name", ["photo", "gray", "nelloc-r0"])
def test_shipped_models(picture: Callable[..., Images], where: str, name: str) -> None:
    model = load(WEIGHTS / f"{name}.safetensors", name)  # the zoo needs a package more
    images = np.stack([picture(6, 11, model.channels), picture(6, 11, 3)[:, :, : model.channels].squeeze()])
    images = images.reshape(2, 6, 11, model.channels)
    payload = encoded(model, images, 3)
    assert np.array_equal(decoded(model, payload, 3, images, where), images)


@st.composite
def distributions(draw: st.DrawFn) -> NDArray[np.int64]:
    """Parameters int64 [n, 3K] as far out as a model's can be, and as they are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    components = draw(st.integers(1, 10))
    spread = draw(st.sampled_from([100, 1000, 1 << 15]))
    params = rng.integers(-spread, spread + 1, (5, 3 * components))
    params[:, components : 2 * components] += 64 * 128
    return params


@given(distributions(), st.data())
def test_distributions_are_as_they_are_defined(
    plain: ModuleType, where: str, params: NDArray[np.int64], data: st.DataObject
) -> None:
    """F at every level, and a search for targets at and between its values, by the plain definition."""
    tables, components = device_arithmetic.device_tables(where), params.shape[1] // 3
    mixture = device_arithmetic.mixtures(torch.from_numpy(params).to(where), components, tables)
    levels = torch.arange(257, device=where)[None]
    found = device_arithmetic.cumulative(mixture, levels, tables).cpu().numpy()
    for row, one in zip(params.tolist(), found.tolist(), strict=True):
        parts = [row[k * components : (k + 1) * components] for k in range(3)]
        xs = [0, 1, 255, 256, data.draw(st.integers(0, 256))]
        assert [one[x] for x in xs] == [plain.cumulative(*parts, x) for x in xs]
    assert (np.diff(found) >= 6).all()
    values = data.draw(st.lists(st.integers(0, 255), min_size=5, max_size=5))
    rows = np.arange(5)
    for targets in (found[rows, values], found[rows, np.array(values) + 1] - 1):
        x, start, end = device_arithmetic.search(mixture, torch.from_numpy(targets).to(where), tables)
        assert x.tolist() == values
        assert start.tolist() == found[rows, values].tolist()
        assert end.tolist() == found[rows, np.array(values) + 1].tolist()


@pytest.fixture(scope="module")
def small(tiny_model: Models, picture: Callable[..., Images]) -> tuple[LocalModel, Images, bytes]:
    """A model, two small images and their payload of three lanes."""
    model, images = tiny_model(3), np.stack([picture(6, 7, 3), picture(6, 8, 3)[:, 1:]])
    return model, images, encoded(model, images, 3)


Small = tuple[LocalModel, Images, bytes]


def test_every_truncation_is_found(small: Small, where: str) -> None:
    """A lane then reads on where there are no words of its own, and never outside all words."""
    model, images, payload = small
    # A lane that is longer than what is left is refused at once; so the last one runs dry, here after 0 to 13 words.
    for length in (*range(41), *range(48, len(payload), 16), len(payload) - 4):
        with pytest.raises(CorruptError):
            decoded(model, payload[:length], 3, images, where)


@pytest.mark.parametrize("more", [b"\0" * 4, b"\1\2\3\4\5\6\7\0", b"\xff" * 400])
def test_every_extension_is_found(small: Small, where: str, more: bytes) -> None:
    model, images, payload = small
    with pytest.raises(CorruptError):
        decoded(model, payload + more, 3, images, where)


@pytest.mark.parametrize("lanes", [-1, 0, 1, 2, 4, 13])
def test_wrong_lanes_are_found(small: Small, where: str, lanes: int) -> None:
    model, images, payload = small
    with pytest.raises(CorruptError):
        decoded(model, payload, lanes, images, where)


@settings(max_examples=25)
@given(st.data())
def test_damage_gives_what_it_gives_elsewhere(small: Small, where: str, data: st.DataObject) -> None:
    """The same error as the default engine's, or the same pixels; the states of the lanes go to all extremes."""
    model, images, payload = small
    damaged = bytearray(payload)
    for bit in data.draw(st.sets(st.integers(0, 8 * len(payload) - 1), min_size=1, max_size=3)):
        damaged[bit // 8] ^= 1 << bit % 8
    outcomes = []
    for decode in (
        lambda: decode_images(model, bytes(damaged), 3, images.shape[:3], "numba"),
        lambda: decoded(model, bytes(damaged), 3, images, where),
    ):
        try:
            outcomes.append(decode().tolist())
        except CorruptError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("neighbours", [0, 4])
def test_a_step_does_not_wait_for_the_host(
    tiny_nelloc: Models, picture: Callable[..., Images], neighbours: int
) -> None:
    """On tensors without content nothing can be read back, nor can a tensor of the host's get in between.

    A step that could not be captured as a graph would fail here.
    """
    model = tiny_nelloc(3, 2, 1, head_width=8, predictor="med", neighbours=neighbours, narrow=6)
    images = picture(6, 7, 3)[None]
    message = Message.from_bytes(encoded(model, images, 2), 2, shared=False)
    for sequential in (False, True):
        decoder = device._Decoder(model, message, (1, 6, 7), "meta", sequential, fused=False)
        with torch.no_grad():
            decoder.step(3)
        with pytest.raises(RuntimeError, match="meta"):
            decoder.t.item()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_rounds_are_enough_and_of_few_kinds(most: list[int]) -> None:
    rounds = device._rounds(np.array(most)).tolist()
    assert all(least <= count <= max(1, 1.5 * least) for least, count in zip(most, rounds, strict=True))
    assert set(rounds) <= {1, 2, *(2**k for k in range(22)), *(3 * 2**k for k in range(21))}


def test_progress_ends_with_the_total(tiny_model: Models, picture: Callable[..., Images], where: str) -> None:
    model, images = tiny_model(1), picture(40, 3, 1)[None, :, :, None]
    told: dict[str, list[tuple[int, int]]] = {"encoding": [], "decoding": []}
    device.frequencies(model, images, lambda *done: told["encoding"].append(done), where)
    payload = encoded(model, images, 1)
    device.pop_images(
        model, Message.from_bytes(payload), images.shape[:3], lambda *done: told["decoding"].append(done), where
    )
    for reports in told.values():
        assert reports == sorted(reports) and reports[-1][0] == reports[-1][1] > 0
    assert len(told["decoding"]) == 2


@needs_cuda
def test_fused_steps_do_the_same(small: Small) -> None:
    model, images, payload = small
    message = Message.from_bytes(payload, 3, shared=False)
    assert np.array_equal(device.pop_images(model, message, images.shape[:3], fused=True), images)
    message.check_empty()


@needs_cuda
def test_cuda_is_an_engine_for_every_order(small: Small) -> None:
    model, images, _ = small
    payload, lanes = encode_images(model, images, "cuda")
    assert (payload, lanes) == encode_images(model, images, "numba")
    for decode in (decode_images, decode_parallel):
        assert np.array_equal(decode(model, payload, lanes, images.shape[:3], "cuda"), images)
    in_raster_order, lanes = encode_sequential(model, images, "cuda")
    assert in_raster_order == encode_sequential(model, images, "numba")[0]
    assert np.array_equal(decode_sequential(model, in_raster_order, lanes, images.shape[:3], "cuda"), images)
