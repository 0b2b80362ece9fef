"""Coding an image with a local model: pixels come back, every engine writes the same bytes, damage is found.

The bytes are those of the plain encoder in tests/plain.py, and as many as the float likelihood says. Files around
the payload are tested in test_api.py and test_container.py.
"""

import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.coding import lanes as stream
from shearloc.coding.lanes import MAX_LANES, lane_count
from shearloc.coding.logistic import PRECISION
from shearloc.errors import CorruptError, ShearlocError
from shearloc.models.local import wavefront
from shearloc.models.local.coder import decode_images, encode_images, frequencies
from shearloc.models.local.model import LocalModel
from shearloc.models.wavefront.coder import BLOCK
from shearloc.models.wavefront.context import causal_offsets
from shearloc.models.wavefront.orders import shear, step_count
from shearloc.training.images import PixelSet

from .drawn import levels

Image = NDArray[np.uint8]
Models = Callable[..., LocalModel]
Picture = Callable[..., Image]

ROOT = Path(__file__).parents[3]
LANE_BYTES = 12
"""What a lane costs beyond its symbols: its length and its head."""


pytestmark = pytest.mark.usefixtures("one_thread")


def encoded(model: LocalModel, image: Image, engine: str = "numpy") -> tuple[bytes, int]:
    return encode_images(model, image[None], engine)


def decoded(model: LocalModel, payload: bytes, lanes: int, image: Image, engine: str = "numpy") -> Image:
    """Decodes with the size of `image`."""
    height, width, _ = image.shape
    return decode_images(model, payload, lanes, (1, height, width), engine)[0]


def check_round_trip(model: LocalModel, image: Image, engine: str = "numpy") -> int:
    """Returns the number of lanes."""
    payload, lanes = encoded(model, image, engine)
    back = decoded(model, payload, lanes, image, engine)
    assert back.dtype == np.uint8 and back.shape == image.shape
    assert np.array_equal(back, image)
    return lanes


sizes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.just(1), st.integers(1, 200)),
    st.tuples(st.integers(1, 200), st.just(1)),
)


images = levels(st.tuples(sizes, st.sampled_from([1, 3])).map(lambda drawn: (*drawn[0], drawn[1])))


@given(images, st.sampled_from([0.2, 2.0]))
def test_any_image_comes_back(tiny_model: Models, image: Image, spread: float) -> None:
    """Also with a model whose parameters go to all extremes."""
    check_round_trip(tiny_model(image.shape[2], 3, 1, spread), image)


@pytest.mark.parametrize(("horizon", "reach"), [(1, 0), (1, 1), (2, 0), (2, 2), (3, 3), (4, 1)])
@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1), (9, 14), (30, 4)])
def test_any_context_works(
    tiny_model: Models, picture: Picture, horizon: int, reach: int, size: tuple[int, int]
) -> None:
    check_round_trip(tiny_model(3, horizon, reach), picture(*size, 3))


@pytest.mark.parametrize("predictor", ["none", "med"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 0), (3, 1, 0, 0), (3, 3, 1, 0), (3, 2, 1, 5), (1, 4, 3, 0)], ids=str)
def test_models_as_the_thesis_has_them(
    plain: ModuleType, tiny_nelloc: Models, picture: Picture, shape: tuple[int, int, int, int], predictor: str
) -> None:
    """Raw pixels or not, residual blocks, heads or none: the plain encoder's bytes by every engine, and back."""
    channels, horizon, blocks, heads = shape
    model = tiny_nelloc(channels, horizon, blocks, head_width=heads, predictor=predictor)
    image = picture(13, 11, channels).reshape(13, 11, channels)
    payload = plain.payload(model, image, 1, horizon + 1)
    for engine in ("numpy", "numba", "torch"):
        assert encoded(model, image, engine) == (payload, 1)
        assert np.array_equal(decoded(model, payload, 1, image, engine), image)


@pytest.mark.parametrize("neighbours", [1, 4, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_models_with_convolutions(
    plain: ModuleType,
    tiny_nelloc: Models,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    channels: int,
    neighbours: int,
) -> None:
    """The plain encoder's bytes by every engine, and back; also with threads, and in an image larger than the ring."""
    model = tiny_nelloc(channels, 3, 2, neighbours=neighbours, narrow=6, predictor="med")
    image = picture(23, 9, channels).reshape(23, 9, channels)
    payload = plain.payload(model, image, 1, 4)
    monkeypatch.setattr(wavefront, "LEAST", 1)
    for engine in ("numpy", "numba", "torch"):
        assert encoded(model, image, engine) == (payload, 1)
        assert np.array_equal(decoded(model, payload, 1, image, engine), image)


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("arguments", [(3, 1, 0.2), (2, 2, 0.2), (1, 0, 2.0), (2, 1, 0.2, True)], ids=str)
def test_payload_is_that_of_the_plain_encoder(
    plain: ModuleType,
    tiny_model: Models,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    lanes: int,
    channels: int,
    arguments: tuple[int, ...],
) -> None:
    """So contexts, distributions, order and coder are as they are said to be."""
    model = tiny_model(channels, *arguments)
    image = picture(11, 13, channels).reshape(11, 13, channels)
    monkeypatch.setattr(stream, "lane_count", lambda *_: lanes)
    payload, _ = encoded(model, image)
    assert payload == plain.payload(model, image, lanes, arguments[1] + 1)
    assert np.array_equal(decoded(model, payload, lanes, image), image)


@pytest.mark.parametrize("decoder", ["numpy", "numba", "torch"])
@pytest.mark.parametrize("encoder", ["numpy", "numba", "torch"])
def test_engines_write_the_same_and_read_each_other(
    tiny_model: Models, picture: Picture, encoder: str, decoder: str
) -> None:
    if "torch" in (encoder, decoder):
        pytest.importorskip("torch")
    model, image = tiny_model(3), picture(21, 30, 3)
    payload, lanes = encoded(model, image, encoder)
    assert payload == encoded(model, image, "numba")[0]
    assert np.array_equal(decoded(model, payload, lanes, image, decoder), image)


@pytest.mark.parametrize(
    ("size", "engine", "lanes"), [((256, 260, 3), "numpy", 3), ((700, 65, 3), "numba", 2), ((401, 400, 1), "numba", 2)]
)
def test_several_lanes(
    tiny_model: Models, picture: Picture, size: tuple[int, int, int], engine: str, lanes: int
) -> None:
    """Many batches, too: the encoder's and the decoder's differ."""
    assert check_round_trip(tiny_model(size[2]), picture(*size).reshape(size), engine) == lanes


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_rows_come_and_go_in_a_very_tall_image(tiny_model: Models, engine: str) -> None:
    """In two images at once."""
    images = np.random.default_rng(5).integers(0, 256, (2, 5000, 2, 1), np.uint8)
    payload, lanes = encode_images(tiny_model(1), images, engine)
    assert np.array_equal(decode_images(tiny_model(1), payload, lanes, (2, 5000, 2), engine), images)


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_a_step_may_have_more_pixels_than_a_batch(tiny_model: Models, size: tuple[int, int]) -> None:
    images = np.random.default_rng(6).integers(0, 256, (wavefront.BATCH + 1, *size, 1), np.uint8)
    payload, lanes = encode_images(tiny_model(1), images, "numba")
    assert np.array_equal(decode_images(tiny_model(1), payload, lanes, images.shape[:3], "numba"), images)


@pytest.mark.usefixtures("among_noise")
@pytest.mark.parametrize("shape", [(3, 9, 12, 3), (1, 1, 1, 1), (2, 20, 1, 1), (2, 1, 20, 3)], ids=str)
def test_what_lies_around_the_pixels_is_not_seen(tiny_model: Models, shape: tuple[int, ...]) -> None:
    images, model = np.random.default_rng(7).integers(0, 256, shape, np.uint8), tiny_model(shape[3], 5, 3)
    expected = encode_images(model, images, "numpy")
    assert encode_images(model, images, "numba") == expected
    assert np.array_equal(decode_images(model, *expected, shape[:3], "numba"), images)


@pytest.mark.parametrize("processors", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 70, 90, 3), (300, 5, 4, 1), (1, 3, 400, 1), (1, 400, 3, 1)], ids=str)
def test_an_encoder_s_threads_take_tasks_as_they_come(
    tiny_model: Models, shape: tuple[int, ...], processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some steps of one picture, and of many pictures some of their lanes, too."""
    images, model = np.random.default_rng(8).integers(0, 256, shape, np.uint8), tiny_model(shape[3])
    expected, tasks = encode_images(model, images, "numpy"), []
    monkeypatch.setattr(wavefront, "TASK_PIXELS", 4 * BLOCK)
    monkeypatch.setattr(wavefront, "processors", lambda: processors)
    starts, freqs = frequencies(model, images, "numba", lambda done, count: tasks.append((done, count)))
    plain_starts, plain_freqs = frequencies(model, images, "numpy")
    assert np.array_equal(starts, plain_starts) and np.array_equal(freqs, plain_freqs)
    assert encode_images(model, images, "numba") == expected
    assert tasks == sorted(tasks) and tasks[-1][0] == tasks[-1][1] > 1


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.sampled_from([1, 3]))
def test_lanes_are_few(height: int, width: int, channels: int) -> None:
    samples = height * width * channels
    lanes = lane_count(height, samples)
    assert 1 <= lanes <= min(height, MAX_LANES)
    assert lanes == 1 or samples / lanes >= 2**16


@pytest.mark.parametrize("channels", [1, 3])
def test_payload_is_as_long_as_the_training_likelihood_says(
    tiny_net: Callable, tiny_model: Models, picture: Picture, channels: int
) -> None:
    """Within 0.1%, and 12 bytes a lane: the quantised network over the sampler's contexts, against bytes."""
    torch = pytest.importorskip("torch")
    model, net = tiny_model(channels), deepcopy(tiny_net(channels))
    net.quantized = True
    image = picture(256, 256, channels).reshape(256, 256, channels)
    pixels = PixelSet.of([image])
    index = np.arange(256 * 256)
    with torch.no_grad():
        bits = float(
            net(*map(torch.from_numpy, pixels.contexts(index, 0 * index, causal_offsets(3, 1)))).double().sum()
        )
    payload, lanes = encoded(model, image)
    assert 8 * len(payload) == pytest.approx(bits, rel=1e-3, abs=8 * LANE_BYTES * lanes)
    assert bits < 6 * image.size


@pytest.mark.parametrize("channels", [1, 3])
def test_payload_is_as_long_as_the_frequencies_say(tiny_model: Models, picture: Picture, channels: int) -> None:
    model, image = tiny_model(channels), picture(120, 90, channels).reshape(120, 90, channels)
    starts, freqs = frequencies(model, image[None], "numpy")
    assert starts.shape == freqs.shape == (channels, 120 * 90)
    assert freqs.min() >= 6 and (starts.astype(np.int64) + freqs).max() <= 2**PRECISION
    bits = float((PRECISION - np.log2(freqs)).sum())
    payload, lanes = encoded(model, image)
    assert 0 < 8 * len(payload) - bits <= 8 * LANE_BYTES * lanes


@pytest.fixture(scope="module")
def small(tiny_model: Models, picture: Picture) -> tuple[LocalModel, Image, bytes]:
    """A model, a small image and its payload of one lane."""
    model, image = tiny_model(3), picture(12, 10, 3)
    payload, lanes = encoded(model, image)
    assert lanes == 1
    return model, image, payload


@pytest.fixture(scope="module")
def large(tiny_model: Models, picture: Picture) -> tuple[LocalModel, Image, bytes]:
    """A model, an image and its payload of three lanes."""
    model, image = tiny_model(3), picture(256, 260, 3)
    payload, lanes = encoded(model, image)
    assert lanes == 3
    return model, image, payload


def test_every_truncation_is_found(small: tuple[LocalModel, Image, bytes]) -> None:
    model, image, payload = small
    for length in range(len(payload)):
        with pytest.raises(CorruptError):
            decoded(model, payload[:length], 1, image)


@pytest.mark.parametrize("more", [b"\0", b"\0" * 4, b"\xff" * 4, b"\1\2\3\4\5\6\7\0", b"\0" * 400])
def test_every_extension_is_found(small: tuple[LocalModel, Image, bytes], more: bytes) -> None:
    model, image, payload = small
    with pytest.raises(CorruptError):
        decoded(model, payload + more, 1, image)


def test_words_below_the_last_symbol_are_found(small: tuple[LocalModel, Image, bytes]) -> None:
    """They stay on the stack when all pixels are decoded, and right."""
    model, image, payload = small
    with pytest.raises(CorruptError):
        decoded(model, payload[:8] + b"more" + payload[8:], 1, image)


def test_impossible_states_are_found(small: tuple[LocalModel, Image, bytes]) -> None:
    model, image, payload = small
    with pytest.raises(CorruptError, match="too small"):
        decoded(model, b"\xff" * 4 + b"\0" * 4 + payload[8:], 1, image)


@pytest.mark.parametrize("kept", [0, 4, 8, 30, 32, 0.3, 0.999])
def test_truncated_lanes_are_found(large: tuple[LocalModel, Image, bytes], kept: float) -> None:
    model, image, payload = large
    length = int(kept if kept > 1 else kept * len(payload)) // 4 * 4
    with pytest.raises(CorruptError):
        decoded(model, payload[:length], 3, image)


@pytest.mark.parametrize("lanes", [-1, 0, 1, 2, 4, 16, 256, 257, 2**20])
def test_wrong_lanes_are_found(large: tuple[LocalModel, Image, bytes], lanes: int) -> None:
    model, image, payload = large
    with pytest.raises(CorruptError):
        decoded(model, payload, lanes, image)


@pytest.mark.parametrize("change", [1, -1, 2**31])
def test_wrong_lane_lengths_are_found(large: tuple[LocalModel, Image, bytes], change: int) -> None:
    model, image, payload = large
    length = int.from_bytes(payload[:4], "little")
    with pytest.raises(CorruptError):
        decoded(model, (length + change).to_bytes(4, "little") + payload[4:], 3, image)


@pytest.mark.parametrize("size", [(12, 11), (11, 10), (10, 12), (13, 10), (1, 1), (1, 120), (120, 1)])
def test_wrong_sizes_are_found(small: tuple[LocalModel, Image, bytes], size: tuple[int, int]) -> None:
    model, _, payload = small
    with pytest.raises(CorruptError):
        decode_images(model, payload, 1, (1, *size), "numpy")


@given(st.data())
def test_flipped_bits_are_found_or_give_other_pixels(
    small: tuple[LocalModel, Image, bytes], data: st.DataObject
) -> None:
    """No other error; and what does decode is what would have been encoded so."""
    model, image, payload = small
    damaged = bytearray(payload)
    for bit in data.draw(st.sets(st.integers(0, 8 * len(payload) - 1), min_size=1, max_size=3)):
        damaged[bit // 8] ^= 1 << bit % 8
    try:
        found = decoded(model, bytes(damaged), 1, image)
    except CorruptError:
        return
    assert not np.array_equal(found, image)
    assert encoded(model, found)[0] == bytes(damaged)


@given(st.binary(max_size=200), st.integers(1, 6), st.integers(1, 6), st.integers(0, 7))
def test_arbitrary_payloads_are_refused_or_sound(
    tiny_model: Models, payload: bytes, height: int, width: int, lanes: int
) -> None:
    """No other error, whatever the bytes; and should they decode, they are what would have been encoded."""
    model = tiny_model(1)
    try:
        found = decode_images(model, payload, lanes, (1, height, width), "numpy")[0]
    except CorruptError:
        return
    assert lanes == lane_count(height, found.size) and encoded(model, found)[0] == payload


def test_another_model_does_not_decode(small: tuple[LocalModel, Image, bytes], tiny_model: Models) -> None:
    _, image, payload = small
    with pytest.raises(CorruptError):
        decoded(tiny_model(3, 3, 1, 0.3), payload, 1, image)


@pytest.mark.parametrize("run", ["encode", "decode"])
def test_a_missing_engine_is_named(
    small: tuple[LocalModel, Image, bytes], monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    model, image, payload = small
    monkeypatch.setitem(sys.modules, "torch", None)
    for engine in ("torch", "cuda"):
        with pytest.raises(ShearlocError, match=f"'{engine}'.*numpy"):
            encoded(model, image, engine) if run == "encode" else decoded(model, payload, 1, image, engine)


def test_cuda_does_the_same_or_is_named(small: tuple[LocalModel, Image, bytes]) -> None:
    torch = pytest.importorskip("torch")
    model, image, payload = small
    if torch.cuda.is_available():
        assert encoded(model, image, "cuda")[0] == payload
        assert np.array_equal(decoded(model, payload, 1, image, "cuda"), image)
    else:
        with pytest.raises(ShearlocError, match="'cuda'.*numpy"):
            encoded(model, image, "cuda")


def test_nothing_here_needs_torch(small: tuple[LocalModel, Image, bytes], tmp_path: Path) -> None:
    """A process without torch writes the same bytes and reads them, with any choice but torch itself."""
    model, image, payload = small
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "image.npy", image)
    code = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from shearloc.models.local.coder import decode_images, encode_images
from shearloc.models.local.model import load
folder = Path(sys.argv[1])
image, model = np.load(folder / "image.npy"), load(folder / "model.safetensors", "t")
payload, lanes = encode_images(model, image[None], "numpy")
assert np.array_equal(decode_images(model, payload, lanes, (1, *image.shape[:2]), "numpy")[0], image)
print(payload.hex())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == payload.hex()


@pytest.mark.parametrize("size", [(12, 10, 3), (256, 260, 3)])
def test_progress_ends_with_the_total(tiny_model: Models, picture: Picture, size: tuple[int, int, int]) -> None:
    model, image = tiny_model(3), picture(*size)
    total = step_count(*size[:2], shear(model.offsets))
    encoding: list[tuple[int, int]] = []
    decoding: list[tuple[int, int]] = []
    payload, lanes = encode_images(model, image[None], "numpy", lambda done, all_: encoding.append((done, all_)))
    decode_images(model, payload, lanes, (1, *size[:2]), "numpy", lambda done, all_: decoding.append((done, all_)))
    for told in (encoding, decoding):
        assert told == sorted(told) and told[-1] == (total, total)
        assert all(0 <= done <= all_ == total for done, all_ in told)
        assert len(told) > 2 or size[0] < 256
