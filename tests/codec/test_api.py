"""encode, decode, read, write, info, with the shipped models: what goes in comes out, and what is bad is refused."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import shearloc
from shearloc.codec import container, crc32c
from shearloc.codec.container import LOCAL, RAW, SEQUENTIAL, WEBP, Header

Picture = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module", params=[1, 3])
def coded(request: pytest.FixtureRequest, picture: Picture) -> tuple[NDArray[np.uint8], bytes]:
    """An image and its file, which uses a model."""
    image = picture(48, 64, request.param)
    return image, shearloc.encode(image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (17, 30)])
def test_images_come_back(picture: Picture, size: tuple[int, int], channels: int) -> None:
    image = picture(*size, channels)
    back = shearloc.decode(shearloc.encode(image))
    assert back.dtype == np.uint8 and back.shape == image.shape
    assert np.array_equal(back, image)


def test_a_model_is_used_and_saves(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    info = shearloc.info(data)
    assert (info.method, info.model) == ("local", "gray" if image.ndim == 2 else "photo")
    assert (info.height, info.width) == image.shape[:2]
    assert info.file_bytes == len(data) < image.size
    assert info.bits_per_subpixel == 8 * len(data) / image.size
    assert json.loads(json.dumps(info.to_dict()))["pixel_crc"] == f"{crc32c.crc32c(image):08x}"


def test_result_is_writable_and_input_untouched(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    before = image.copy()
    assert shearloc.encode(image) == data
    assert np.array_equal(image, before)
    shearloc.decode(data)[0] = 0


def test_layout_in_memory_does_not_matter(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    assert shearloc.encode(np.asfortranarray(image)) == data
    assert np.array_equal(shearloc.decode(bytearray(data)), shearloc.decode(memoryview(data)))


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_stored_raw(channels: int) -> None:
    shape = (30, 40) if channels == 1 else (30, 40, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = shearloc.encode(image)
    assert shearloc.info(data).method == "raw"
    assert shearloc.info(data).model is None
    assert len(data) <= image.size + 64
    assert np.array_equal(shearloc.decode(data), image)
    shearloc.decode(data)[0] = 0


def test_files(tmp_path: Path, picture: Picture) -> None:
    image = picture(12, 10, 3)
    shearloc.write(tmp_path / "a.shl", image, model="photo", effort=9)
    assert np.array_equal(shearloc.read(tmp_path / "a.shl"), image)
    with pytest.raises(FileNotFoundError):
        shearloc.read(tmp_path / "none.shl")


def test_progress_is_told(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    from shearloc.codec import api

    image, data = coded
    for run in (lambda tell: api.encode(image, progress=tell), lambda tell: api.decode(data, progress=tell)):
        told: list[tuple[int, int]] = []
        run(lambda done, total, told=told: told.append((done, total)))
        assert told and all(0 <= done <= total for done, total in told)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ([[1, 2]], "list"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((4, 4, 1), np.uint8), "shape"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.zeros((4, 0, 3), np.uint8), "no pixels"),
    ],
)
def test_unsupported_images(image: object, told: str) -> None:
    with pytest.raises(shearloc.UnsupportedImageError, match=told):
        shearloc.encode(image)  # type: ignore[arg-type]


def test_model_must_fit_and_exist(picture: Picture) -> None:
    with pytest.raises(shearloc.UnsupportedImageError, match="'photo'"):
        shearloc.encode(picture(4, 4, 3), model="gray")
    with pytest.raises(shearloc.UnsupportedImageError, match="'gray'"):
        shearloc.encode(picture(4, 4, 1), model="photo")
    with pytest.raises(shearloc.UnknownModelError) as caught:
        shearloc.encode(picture(4, 4, 1), model="none")
    assert caught.value.name == "none"


@pytest.mark.parametrize("options", [{"effort": 0}, {"effort": 10}, {"effort": "5"}, {"engine": "abacus"}], ids=str)
def test_bad_options(picture: Picture, options: dict) -> None:
    with pytest.raises(ValueError, match="effort|engine"):
        shearloc.encode(picture(4, 4, 1), **options)


def test_bad_engine_for_decoding(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(ValueError, match="engine"):
        shearloc.decode(coded[1], engine="abacus")


def test_every_flipped_bit_is_found(picture: Picture) -> None:
    data = shearloc.encode(picture(10, 12, 3))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((shearloc.FormatError, shearloc.CorruptError)):
            shearloc.decode(damaged)


def test_every_truncation_is_found(picture: Picture) -> None:
    data = shearloc.encode(picture(10, 12, 3))
    for length in range(len(data)):
        with pytest.raises((shearloc.FormatError, shearloc.CorruptError)):
            shearloc.decode(data[:length])


def forged(data: bytes, **changes: object) -> bytes:
    """The file with other header fields or another payload, and right checksums."""
    header, payload = container.unpack(data)
    payload = changes.pop("payload", payload)  # type: ignore[assignment]
    return container.pack(replace(header, **changes), payload)  # type: ignore[arg-type]


def test_pixels_are_checked(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(shearloc.CorruptError, match="pixels"):
        shearloc.decode(forged(coded[1], pixel_crc=1))
    with pytest.raises(shearloc.CorruptError, match="pixels"):
        shearloc.decode(container.pack(Header(2, 2, 1, RAW, 1), bytes(4)))


def test_unknown_weights_are_named(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(shearloc.UnknownModelError) as caught:
        shearloc.decode(forged(coded[1], fingerprint=b"unheard!"))
    assert caught.value.fingerprint == b"unheard!"
    with pytest.raises(shearloc.UnknownModelError, match="'elsewhere'"):
        shearloc.decode(forged(coded[1], model="elsewhere"))


@pytest.mark.parametrize("change", [{"order": SEQUENTIAL}, {"precision": 20}], ids=str)
def test_what_a_newer_version_may_write(coded: tuple[NDArray[np.uint8], bytes], change: dict) -> None:
    with pytest.raises(shearloc.FormatError, match="newer"):
        shearloc.decode(forged(coded[1], **change))


def test_channels_must_fit_the_model(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    channels = 4 - shearloc.info(coded[1]).channels
    with pytest.raises(shearloc.CorruptError, match="channels"):
        shearloc.decode(forged(coded[1], channels=channels))


def test_bad_payloads_under_right_checksums(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    _, payload = container.unpack(coded[1])
    for bad in (b"", payload[:-1], payload[:-4], payload[:7], payload[:-4] + b"\xff" * 4, payload + b"\0" * 4):
        with pytest.raises(shearloc.CorruptError):
            shearloc.decode(forged(coded[1], payload=bad))
    with pytest.raises(shearloc.CorruptError):
        shearloc.decode(forged(coded[1], lanes=65536))


def test_size_claims_are_bounded(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    with pytest.raises(shearloc.UnsupportedImageError, match="max_samples"):
        shearloc.decode(forged(data, height=2**31, width=2**31))
    with pytest.raises(shearloc.UnsupportedImageError, match="max_samples"):
        shearloc.decode(data, max_samples=image.size - 1)


def webp_file(image: NDArray[np.uint8], **changes: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True)
    channels = 1 if image.ndim == 2 else 3
    header = Header(*image.shape[:2], channels, WEBP, crc32c.crc32c(image))
    return container.pack(replace(header, **changes), file.getvalue())


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_payloads_are_read(picture: Picture, channels: int) -> None:
    image = picture(12, 10, channels)
    back = shearloc.decode(webp_file(image))
    assert np.array_equal(back, image) and back.shape == image.shape


def test_bad_webp_payloads(picture: Picture) -> None:
    with pytest.raises(shearloc.CorruptError, match="size"):
        shearloc.decode(webp_file(picture(12, 10, 3), height=13))
    with pytest.raises(shearloc.CorruptError, match="WebP"):
        shearloc.decode(forged(webp_file(picture(12, 10, 3)), payload=b"nonsense"))


def test_data_must_be_bytes() -> None:
    for wrong in (7, "file.shl"):
        with pytest.raises(TypeError):
            shearloc.decode(wrong)  # type: ignore[arg-type]


def test_constants_agree_with_the_command_line() -> None:
    from typing import get_args

    from shearloc import cli
    from shearloc.codec import api

    assert get_args(get_args(cli.Engine)[0]) == api.ENGINES
    assert LOCAL in range(len(container.METHODS))
