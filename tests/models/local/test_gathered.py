"""The three decoders of one model give the same pixels; the sequential stream is the raster order's.

What a stream's symbols are is tested in test_wavefront.py, the lanes in test_lanes.py.
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.errors import CorruptError
from shearloc.models.local.coder import (
    decode_images,
    decode_parallel,
    decode_sequential,
    encode_images,
    encode_sequential,
)
from shearloc.models.local.model import LocalModel

Images = NDArray[np.uint8]
Models = Callable[..., LocalModel]

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def batches(draw: st.DrawFn) -> Images:
    """A few images of one size, smooth or noisy, of 1 or 3 channels."""
    shape = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 14)),
        draw(st.integers(1, 14)),
        draw(st.sampled_from([1, 3])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    noise = draw(st.sampled_from([2, 256]))
    return (np.indices(shape).sum(0) * 3 + rng.integers(0, noise, shape)).astype(np.uint8)


@given(batches(), st.sampled_from([(1, 1), (3, 1), (2, 2), (2, 0), (2, 1, 0.2, True)]))
def test_three_decoders_agree(tiny_model: Models, images: Images, context: tuple[float, ...]) -> None:
    model, size = tiny_model(images.shape[3], *context), images.shape[:3]
    payload, lanes = encode_images(model, images, "numpy")
    assert np.array_equal(decode_images(model, payload, lanes, size, "numpy"), images)
    assert np.array_equal(decode_parallel(model, payload, lanes, size, "numpy"), images)
    in_raster_order, one = encode_sequential(model, images, "numpy")
    assert one == 1
    assert np.array_equal(decode_sequential(model, in_raster_order, one, size, "numpy"), images)


@given(batches(), st.integers(1, 10))
def test_three_decoders_agree_on_convolutions(tiny_nelloc: Models, images: Images, neighbours: int) -> None:
    model, size = tiny_nelloc(images.shape[3], 3, 2, neighbours=neighbours, narrow=6), images.shape[:3]
    payload, lanes = encode_images(model, images, "numba")
    assert np.array_equal(decode_images(model, payload, lanes, size, "numba"), images)
    assert np.array_equal(decode_parallel(model, payload, lanes, size, "numpy"), images)
    in_raster_order, one = encode_sequential(model, images, "numba")
    assert np.array_equal(decode_sequential(model, in_raster_order, one, size, "numpy"), images)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_engines_agree(tiny_model: Models, picture: Callable[..., Images], engine: str) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    model, images = tiny_model(3), picture(9, 12, 3)[None]
    payload, lanes = encode_sequential(model, images, engine)
    assert payload == encode_sequential(model, images, "numpy")[0]
    assert np.array_equal(decode_sequential(model, payload, lanes, (1, 9, 12), engine), images)
    payload, lanes = encode_images(model, images, engine)
    assert np.array_equal(decode_parallel(model, payload, lanes, (1, 9, 12), engine), images)


def test_several_lanes_in_parallel(tiny_model: Models, picture: Callable[..., Images]) -> None:
    model, images = tiny_model(3), np.stack([picture(120, 130, 3), picture(120, 130, 3)[::-1]])
    payload, lanes = encode_images(model, images, "numpy")
    assert lanes == 1 and images.size > 2**16
    images = np.concatenate([images, images])
    payload, lanes = encode_images(model, images, "numpy")
    assert lanes == 2
    assert np.array_equal(decode_parallel(model, payload, lanes, (4, 120, 130), "numpy"), images)
    assert np.array_equal(decode_images(model, payload, lanes, (4, 120, 130), "numpy"), images)


def test_the_sequential_payload_is_the_plain_encoder_s(
    plain: ModuleType, tiny_model: Models, picture: Callable[..., Images]
) -> None:
    """With a shear as wide as the image, a time step of the plain encoder is one pixel, in raster order."""
    model, image = tiny_model(3, 2, 1), picture(6, 7, 3)
    assert encode_sequential(model, image[None], "numpy")[0] == plain.payload(model, image, 1, 7)


def test_damage_is_found(tiny_model: Models, picture: Callable[..., Images]) -> None:
    model, images = tiny_model(3), picture(12, 10, 3)[None]
    payload, lanes = encode_sequential(model, images, "numpy")
    for damaged in (payload[:-4], payload + bytes(4), payload[:8] + b"more" + payload[8:]):
        with pytest.raises(CorruptError):
            decode_sequential(model, damaged, lanes, (1, 12, 10), "numpy")
    for size in ((1, 10, 12), (1, 12, 9), (2, 6, 10)):
        with pytest.raises(CorruptError):
            decode_sequential(model, payload, lanes, size, "numpy")
        with pytest.raises(CorruptError):
            decode_parallel(model, payload, lanes, size, "numpy")
