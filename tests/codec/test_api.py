"""encode, decode, read, write, info, with the shipped models: what goes in comes out, and what is bad is refused."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shearloc
from shearloc.codec import api, webp
from shearloc.codec.formats import container, crc32c
from shearloc.codec.formats.container import Header, Method, Part
from shearloc.codec.pictures import files, png
from shearloc.codec.pictures.picture import GRAY, PALETTE, RGB, Picture, from_array
from shearloc.coding.fields import varint
from shearloc.models import zoo

Pixels = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module", params=[1, 3])
def coded(request: pytest.FixtureRequest, picture: Pixels) -> tuple[NDArray[np.uint8], bytes]:
    """An image and its file, which uses a model."""
    image = picture(48, 64, request.param)
    return image, shearloc.encode(image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (17, 30)])
def test_images_come_back(picture: Pixels, size: tuple[int, int], channels: int, kind: type) -> None:
    image = picture(*size, channels).astype(kind) * kind(1 if kind == np.uint8 else 100)
    back = shearloc.decode(shearloc.encode(image))
    assert back.dtype == kind and back.shape == image.shape
    assert np.array_equal(back, image)


@given(data=st.data())
@settings(max_examples=40)
def test_pictures_come_back(any_picture: st.SearchStrategy[Picture], data: st.DataObject) -> None:
    picture = data.draw(any_picture)
    file = api.encode_picture(picture)
    back = api.decode_picture(file)
    assert back == picture
    info = shearloc.info(file)
    assert (info.mode, info.height, info.width) == (picture.mode, *picture.samples.shape[:2])
    assert np.array_equal(shearloc.decode(file), picture.array())
    metadata = sum(20 + len(content) for _, content in picture.chunks) + len(picture.transparency)
    palette = 0 if picture.palette is None else picture.palette.size
    packed = png.pack_rows(picture.samples, picture.depth).size
    assert len(file) <= packed + metadata + palette + 64  # never larger


def test_a_model_is_used_and_saves(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    info = shearloc.info(data)
    assert (info.method, info.model) == ("learning", "gray-default-2" if image.ndim == 2 else "colour-default-3")
    assert (info.height, info.width) == image.shape[:2]
    assert info.file_bytes == len(data) < image.size
    assert info.bits_per_subpixel == 8 * len(data) / image.size
    fields = json.loads(json.dumps(info.to_dict()))
    assert fields["pixel_crc"] == f"{crc32c.crc32c(image):08x}"
    assert fields["parts"][0]["model"] == info.model
    assert info.payload_bytes == fields["parts"][0]["payload_bytes"] < len(data)


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


def test_files(tmp_path: Path, picture: Pixels) -> None:
    """Every option is handed on; a refused one leaves no file."""
    image, path = picture(12, 10, 3), tmp_path / "a.shl"
    for options in ({"effort": 0}, {"model": "none"}, {"engine": "abacus"}):
        with pytest.raises(ValueError, match="effort|none|engine"):
            shearloc.write(path, image, **options)
    assert not list(tmp_path.iterdir())
    for options in ({}, {"model": "photo"}, {"model": "photo", "effort": 2, "engine": "numpy", "embed": True}):
        shearloc.write(path, image, overwrite=True, **options)
        assert path.read_bytes() == shearloc.encode(image, **options)
        assert np.array_equal(shearloc.read(path), image)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        shearloc.write(path, image[::-1])
    assert path.read_bytes() == before
    assert shearloc.info(path.read_bytes()).embedded_weights
    assert shearloc.info(path) == shearloc.info(str(path)) == shearloc.info(before)
    with pytest.raises(ValueError, match="engine"):
        shearloc.read(path, engine="abacus")
    with pytest.raises(shearloc.UnsupportedImageError, match="max_samples"):
        shearloc.read(path, max_samples=image.size - 1)
    with pytest.raises(FileNotFoundError):
        shearloc.read(tmp_path / "none.shl")


def test_progress_is_told(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    image, data = coded
    for run in (lambda tell: api.encode(image, progress=tell), lambda tell: api.decode(data, progress=tell)):
        told: list[tuple[int, int]] = []
        run(lambda done, total, told=told: told.append((done, total)))
        assert told and all(0 <= done <= total for done, total in told)
        assert told == sorted(told) and told[-1][0] == told[-1][1]


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ([[1, 2]], "list"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), np.uint32), "uint32"),
        (np.zeros((4, 4), np.int8), "int8"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.zeros((4, 0, 3), np.uint8), "no pixels"),
    ],
)
def test_unsupported_images(image: object, told: str) -> None:
    with pytest.raises(shearloc.UnsupportedImageError, match=told):
        shearloc.encode(image)  # type: ignore[arg-type]


def test_arrays_that_are_unambiguous() -> None:
    """A last axis of 1 is gray; bool is one bit, whose gray spans 0 to 255."""
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert np.array_equal(shearloc.decode(shearloc.encode(gray[..., None])), gray)
    bits = gray % 3 == 0
    data = shearloc.encode(bits)
    assert np.array_equal(shearloc.decode(data), 255 * bits.astype(np.uint8))
    about = shearloc.info(data)
    assert isinstance(about, shearloc.PictureInfo) and about.mode == "1-bit gray"


def test_model_must_fit_and_exist(picture: Pixels) -> None:
    with pytest.raises(shearloc.UnsupportedImageError, match="'photo'"):
        shearloc.encode(picture(4, 4, 3), model="gray")
    with pytest.raises(shearloc.UnsupportedImageError, match="'gray'"):
        shearloc.encode(picture(4, 4, 1), model="photo")
    with pytest.raises(shearloc.UnknownModelError) as caught:
        shearloc.encode(picture(4, 4, 1), model="none")
    assert caught.value.name == "none"


@pytest.mark.parametrize("options", [{"effort": 0}, {"effort": 10}, {"effort": "5"}, {"engine": "abacus"}], ids=str)
def test_bad_options(picture: Pixels, options: dict) -> None:
    with pytest.raises(ValueError, match="effort|engine"):
        shearloc.encode(picture(4, 4, 1), **options)


def test_bad_engine_for_decoding(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(ValueError, match="engine"):
        shearloc.decode(coded[1], engine="abacus")


def test_every_flipped_bit_is_found(picture: Pixels) -> None:
    data = shearloc.encode(picture(10, 12, 3))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((shearloc.FormatError, shearloc.CorruptError)):
            shearloc.decode(damaged)


def test_every_truncation_is_found(picture: Pixels) -> None:
    data = shearloc.encode(picture(10, 12, 3))
    for length in range(len(data)):
        with pytest.raises((shearloc.FormatError, shearloc.CorruptError)):
            shearloc.decode(data[:length])


def forged(data: bytes, **changes: object) -> bytes:
    """A file of one part, with other header or part fields or another payload, and right checksums."""
    header, (payload,) = container.unpack(data)
    payload = changes.pop("payload", payload)  # type: ignore[assignment]
    mine = {name: value for name, value in changes.items() if hasattr(header.parts[0], name)}
    rest = {name: value for name, value in changes.items() if name not in mine}
    part = replace(header.parts[0], **mine)  # type: ignore[arg-type]
    return container.pack(replace(header, parts=(part,), **rest), [payload])  # type: ignore[arg-type]


def test_pixels_are_checked(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(shearloc.CorruptError, match="pixels"):
        shearloc.decode(forged(coded[1], pixel_crc=1))
    with pytest.raises(shearloc.CorruptError, match="pixels"):
        shearloc.decode(container.pack(Header(2, 2, GRAY, 8, (Part(1, Method.RAW),), 1), [bytes(4)]))


def test_unknown_weights_are_named(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    with pytest.raises(shearloc.UnknownModelError) as caught:
        shearloc.decode(forged(coded[1], fingerprint=b"unheard!"))
    assert caught.value.fingerprint == b"unheard!"
    with pytest.raises(shearloc.UnknownModelError, match="'elsewhere' with weights 756e686561726421.*models add"):
        shearloc.decode(forged(coded[1], model="elsewhere", fingerprint=b"unheard!"))
    # It is the weights that count; the name says where to look.
    assert np.array_equal(shearloc.decode(forged(coded[1], model="elsewhere")), coded[0])


@pytest.mark.parametrize("change", [{"precision": 20}, {"precision": 25}], ids=str)
def test_what_a_newer_version_may_write(coded: tuple[NDArray[np.uint8], bytes], change: dict) -> None:
    with pytest.raises(shearloc.FormatError, match="newer"):
        shearloc.decode(forged(coded[1], **change))


def test_orders(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    """Sheared and parallel are one file; a sequential one is another, and each says which decoders read it."""
    image = coded[0]
    model = "gray" if image.ndim == 2 else "photo"
    sheared = shearloc.encode(image, model=model)
    assert shearloc.encode(image, model=model, order="parallel") == sheared
    sequential = shearloc.encode(image, order="sequential")
    assert sequential != sheared and shearloc.info(sequential).parts[0].order == "sequential"
    for data, orders in ((sheared, ("auto", "sheared", "parallel")), (sequential, ("auto", "sequential"))):
        for order in orders:
            assert np.array_equal(shearloc.decode(data, order=order), image)
    for data, order in ((sheared, "sequential"), (sequential, "sheared"), (sequential, "parallel")):
        with pytest.raises(shearloc.ShearlocError, match="order"):
            shearloc.decode(data, order=order)
    with pytest.raises(ValueError, match="zigzag"):
        shearloc.encode(image, order="zigzag")
    with pytest.raises(ValueError, match="zigzag"):
        shearloc.decode(sheared, order="zigzag")


def test_channels_must_fit_the_model(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    channels = 4 - shearloc.info(coded[1]).channels
    with pytest.raises(shearloc.CorruptError, match="channels"):
        shearloc.decode(forged(coded[1], colour=GRAY if channels == 1 else RGB, planes=channels))


def test_bad_payloads_under_right_checksums(coded: tuple[NDArray[np.uint8], bytes]) -> None:
    _, (payload,) = container.unpack(coded[1])
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
    picture = from_array(image)
    planes = image.reshape(*image.shape[:2], -1)
    part = Part(planes.shape[2], Method.WEBP)
    header = Header(*image.shape[:2], picture.colour, 8, (part,), crc32c.crc32c(image))
    return container.pack(replace(header, **changes), [webp.encode(planes, 0, 0)])  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("opaque", [False, True])
def test_webp_payloads_are_read(picture: Pixels, channels: int, opaque: bool) -> None:
    """Colours under full transparency too; WebP has no alpha at all where all is opaque."""
    image = picture(12, 10, channels)
    if channels in (2, 4):
        image[:, :, -1] = 255 if opaque else 0
    back = shearloc.decode(webp_file(image))
    assert np.array_equal(back, image) and back.shape == image.shape
    back[0] = 0


def test_bad_webp_payloads(picture: Pixels) -> None:
    with pytest.raises(shearloc.CorruptError, match="size"):
        shearloc.decode(webp_file(picture(12, 10, 3), height=13))
    with pytest.raises(shearloc.CorruptError, match="WebP"):
        shearloc.decode(forged(webp_file(picture(12, 10, 3)), payload=b"nonsense"))


def raw_file(samples: NDArray, colour: int, depth: int, chunks: tuple = ()) -> bytes:
    header = Header(*samples.shape, colour, depth, (Part(1, Method.RAW),), crc32c.crc32c(samples), chunks)
    return container.pack(header, [png.pack_rows(samples, depth).tobytes()])


@pytest.mark.parametrize(
    "chunks",
    [
        (),  # a palette is needed
        ((b"PLTE", b"12"),),
        ((b"PLTE", b"123" * 5),),
        ((b"PLTE", b"123"), (b"tRNS", b"12")),
        ((b"PLTE", b"123"), (b"PLTE", b"123")),
        ((b"PLTE", b"123"), (b"acTL", b"")),
    ],
)
def test_chunks_must_make_a_picture(chunks: tuple) -> None:
    samples = np.array([[0, 1]], np.uint8)
    good = (b"PLTE", b"123123"), (b"tEXt", b"a\0b")
    assert api.decode_picture(raw_file(samples, PALETTE, 2, good)).chunks == good[1:]
    with pytest.raises(shearloc.CorruptError, match="not hold a picture"):
        shearloc.decode(raw_file(samples, PALETTE, 2, chunks))


def test_samples_beyond_their_depth_are_damage() -> None:
    """A WebP of a gray below 8 bits can hold more than that."""
    samples = np.full((4, 4), 9, np.uint8)
    header = Header(4, 4, GRAY, 2, (Part(1, Method.WEBP),), crc32c.crc32c(samples))
    with pytest.raises(shearloc.CorruptError, match="more than 2 bits"):
        shearloc.decode(container.pack(header, [webp.encode(samples[:, :, None], 0, 0)]))


@pytest.mark.parametrize("payload", [b"", b"nonsense", png.compress(from_array(np.zeros((4, 3), np.uint8)), 9)])
def test_bad_deflated_payloads(payload: bytes) -> None:
    header = Header(4, 4, GRAY, 8, (Part(1, Method.DEFLATE),), 0)
    with pytest.raises(shearloc.CorruptError, match="deflated"):
        shearloc.decode(container.pack(header, [payload]))


@pytest.fixture(scope="module")
def kinds_of_files(picture: Pixels) -> list[tuple[bytes, list[bytes]]]:
    """Header fields and payloads of files with every method, with a palette and with metadata."""
    noise = np.random.default_rng(0).integers(0, 65536, (6, 5), np.uint16)
    pictures = [
        Picture(picture(6, 5, 4), chunks=((b"tEXt", b"a\0b" * 40),)),
        Picture(picture(6, 5, 3).astype(np.uint16) * 257, 16),
        Picture(noise, 16),
        Picture(picture(6, 5, 1) & 3, 2, np.zeros((4, 3), np.uint8), b"\1"),
        Picture(np.zeros((1, 3000), np.uint8), 1),
    ]
    found = []
    for one in pictures:
        for model in ("auto", "photo" if one.samples.ndim == 3 else "gray"):
            data = api.encode_picture(one, model=model)
            header, payloads = container.unpack(data)
            lengths = [len(payload) for payload in payloads]
            found.append((b"".join(container._fields(header, lengths)), payloads))
    found.append(
        (
            b"".join(container._fields(*container.unpack_header(webp_file(picture(6, 5, 4))))),
            [webp.encode(picture(6, 5, 4), 0, 0)],
        )
    )
    return found


@given(data=st.data())
@settings(max_examples=300)
def test_forged_files_are_refused_or_read(kinds_of_files: list, data: st.DataObject) -> None:
    """Any byte of the fields or a payload changed, and all checksums made right again."""
    fields, payloads = data.draw(st.sampled_from(kinds_of_files))
    pieces = [bytearray(fields), *map(bytearray, payloads)]
    for _ in range(data.draw(st.integers(1, 3))):
        piece = data.draw(st.sampled_from([piece for piece in pieces if piece]))
        piece[data.draw(st.integers(0, len(piece) - 1))] = data.draw(st.integers(0, 255))
    head = container.MAGIC + b"\x01" + varint(len(pieces[0])) + pieces[0]
    file = b"".join(piece + crc32c.crc32c(piece).to_bytes(4, "little") for piece in (head, *pieces[1:]))
    try:
        api.decode_picture(file, max_samples=1 << 16)
    except shearloc.ShearlocError:
        return
    assert shearloc.info(file).file_bytes == len(file)


def methods(image: object, **options: object) -> list[tuple[int, str]]:
    """Planes and method of each part, after a round trip."""
    picture = image if isinstance(image, Picture) else from_array(image)
    file = api.encode_picture(picture, **options)  # type: ignore[arg-type]
    assert api.decode_picture(file) == picture
    return [(part.planes, part.method) for part in shearloc.info(file).parts]


def drawn(height: int, width: int) -> NDArray[np.uint8]:
    """Letters on white, some of them again and again: what WebP is good at."""
    rng = np.random.default_rng(0)
    letters = rng.integers(0, 2, (6, 8, 8), np.uint8) * 200
    rows = [np.hstack([letters[k] for k in rng.integers(0, 6, width // 8)]) for _ in range(height // 8)]
    return np.repeat(255 - np.vstack(rows)[:, :, None], 3, 2)


def test_every_part_finds_its_method(picture: Pixels) -> None:
    photo, flat = picture(48, 64, 3), np.full((48, 64, 1), 255, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert methods(photo) == [(3, "learning")]
    assert methods(drawn(64, 128)) == [(3, "webp")]
    assert methods(noise) == [(3, "raw")]
    assert methods(np.dstack([photo, flat]))[0] == (3, "learning")
    assert methods(np.dstack([drawn(64, 128), drawn(64, 128)[:, :, 0]])) == [(4, "webp")]
    assert methods(noise.astype(np.uint16) * 257) == [(3, "raw"), (3, "same")]
    assert methods(photo.astype(np.uint16) * 16 + noise // 32) == [(6, "squares")]
    assert methods(photo.astype(np.uint16) * 256 + noise) == [(6, "squares")]
    assert methods(noise[:, :, 0].astype(np.uint16) * 256) in ([(1, "raw"), (1, "webp")], [(1, "raw"), (1, "deflate")])


def test_pictures_too_wide_for_webp_are_deflated() -> None:
    row = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    assert methods(np.tile(row, 256)[None]) == [(1, "deflate")]


def test_a_named_model_is_kept(picture: Pixels) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)
    assert methods(noise[:, :, :3], model="photo") == [(3, "local")]
    assert methods(noise[:, :, 0], model="gray") == [(1, "local")]
    assert methods(noise, model="photo") == [(3, "local"), (1, "raw")]
    assert methods(noise[:, :, :2].astype(np.uint16) * 255, model="gray")[0] == (1, "local")
    assert methods(Picture(noise[:, :, 0] & 3, 2), model="gray") == [(1, "local")]


def test_webp_costs_at_most_what_it_costs_alone(picture: Pixels) -> None:
    for image in (drawn(64, 128), picture(40, 40, 3), drawn(8, 8), np.zeros((300, 300, 3), np.uint8)):
        alone = len(webp.encode(image, 6, 100))
        assert len(shearloc.encode(image)) <= alone + 64
        assert len(shearloc.encode(image, effort=1)) <= len(webp.encode(image, 1, 75)) + 64


def test_opaque_alpha_and_doubled_bytes_cost_next_to_nothing(picture: Pixels) -> None:
    photo = picture(96, 128, 3)
    plain = len(shearloc.encode(photo))
    assert len(shearloc.encode(np.dstack([photo, np.full((96, 128), 255, np.uint8)]))) < plain + 64
    assert len(shearloc.encode(photo.astype(np.uint16) * 257)) <= plain + 8


def test_metadata_and_strip(picture: Pixels) -> None:
    text = (b"tEXt", b"Comment\0" + b"again " * 200)
    one = Picture(picture(20, 20, 3), chunks=(text, (b"gAMA", b"\0\0\xb1\x8f")))
    file, bare = api.encode_picture(one), api.encode_picture(one.stripped())
    assert shearloc.info(file).chunks == ("tEXt", "gAMA") and not shearloc.info(bare).chunks
    assert len(file) < len(bare) + 80  # it is deflated
    assert api.decode_picture(bare) == one.stripped()


def test_progress_of_several_parts_is_one(picture: Pixels) -> None:
    told: list[float] = []
    file = api.encode_picture(from_array(picture(40, 40, 4)), progress=lambda done, total: told.append(done / total))
    assert [part.method for part in shearloc.info(file).parts] == ["learning", "learning"]
    assert told == sorted(told) and told[-1] == 1
    told.clear()
    api.decode_picture(file, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1 and 0.75 in told


def test_progress_of_decoding_ends_with_the_total_where_the_last_part_has_no_model(picture: Pixels) -> None:
    told: list[float] = []
    pixels = picture(40, 40, 4)
    pixels[:, :, 3] = np.random.default_rng(1).integers(0, 256, (40, 40))
    file = api.encode_picture(from_array(pixels))
    assert [part.method for part in shearloc.info(file).parts] == ["learning", "raw"]
    api.decode_picture(file, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1


def test_real_pictures_come_back(tmp_path: Path) -> None:
    """scikit-image's own samples: gray, RGB, RGBA, palettes, one bit, and text chunks; through the files they are."""
    skimage = pytest.importorskip("skimage", reason="needs scikit-image for its sample pictures")
    modes = set()
    for path in sorted((Path(skimage.__file__).parent / "data").glob("*.png")):
        picture = files.load(path)
        if picture.samples.size > 150_000:  # the others are for the slow test
            continue
        file = api.encode_picture(picture)
        files.save(tmp_path / path.name, api.decode_picture(file))
        assert files.load(tmp_path / path.name) == picture
        assert len(file) < path.stat().st_size + 64
        modes.add(picture.mode)
    assert len(modes) >= 2


@pytest.mark.slow
@pytest.mark.data
def test_screenshots_cost_at_most_what_webp_does(data_folder: Path) -> None:
    path = data_folder / "screens" / "graph.png"
    picture = files.load(path)
    file = api.encode_picture(picture)
    assert api.decode_picture(file) == picture
    assert len(file) <= len(webp.encode(picture.samples, 6, 100)) + 64


def test_data_must_be_bytes() -> None:
    for wrong in (7, "file.shl"):
        with pytest.raises(TypeError):
            shearloc.decode(wrong)  # type: ignore[arg-type]


def test_constants_agree_with_the_command_line() -> None:
    from typing import get_args

    from shearloc.cli import app

    assert get_args(get_args(app.Engine)[0]) == api.ENGINES


def test_file_objects_and_out(picture: Pixels) -> None:
    image, file = picture(12, 10, 3), io.BytesIO()
    shearloc.write(file, image)
    file.seek(0)
    assert np.array_equal(shearloc.read(file), image)
    file.seek(0)
    assert shearloc.info(file) == shearloc.info(file.getvalue())
    out = np.zeros_like(image)
    assert shearloc.decode(file.getvalue(), out=out) is out and np.array_equal(out, image)
    with pytest.raises(ValueError, match="out is uint8"):
        shearloc.decode(file.getvalue(), out=out[1:])


def test_threads_are_a_limit(picture: Pixels) -> None:
    image = picture(12, 10, 3)
    data = shearloc.encode(image, threads=1)
    assert data == shearloc.encode(image) and np.array_equal(shearloc.decode(data, threads=9), image)
    for wrong in (0, -1, True, 1.5, "2"):
        with pytest.raises(ValueError, match="threads"):
            shearloc.decode(data, threads=wrong)  # type: ignore[arg-type]


def test_archives_come_through_the_same_door(picture: Pixels) -> None:
    """`encode_images`, and `decode` and `info` of what it made."""
    images = np.stack([picture(12, 10, 3)] * 3)
    data = shearloc.encode_images(images, names=["a", "b", "c"], model="small", threads=1)
    assert np.array_equal(shearloc.decode(data), images)
    about = shearloc.info(data)
    assert isinstance(about, shearloc.ArchiveInfo) and about.names == ("a", "b", "c") and about.model == "small"
    assert isinstance(shearloc.info(shearloc.encode(images[0])), shearloc.PictureInfo)


@pytest.mark.parametrize("wrong", [None, 3, b"photo"])
def test_a_model_is_a_name_or_a_path(wrong: object, picture: Pixels, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model"):
        shearloc.encode(picture(4, 4, 3), model=wrong)  # type: ignore[arg-type]
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(zoo.weights("nelloc-r0"))
    assert shearloc.encode(picture(4, 4, 3), model=copy) == shearloc.encode(picture(4, 4, 3), model=str(copy))


def test_a_model_file_decodes_what_it_encoded(picture: Pixels, tmp_path: Path, tiny_model: Callable[..., Any]) -> None:
    """Where it is not installed, `model=` says where it is."""
    own, image = tmp_path / "own.safetensors", picture(24, 24, 3)
    tiny_model(3).save(own)
    try:
        data = shearloc.encode(image, model=own)
        with pytest.raises(shearloc.UnknownModelError):
            shearloc.decode(data)
        assert np.array_equal(shearloc.read(io.BytesIO(data), model=own), image)
    finally:
        zoo._LENT.clear()
