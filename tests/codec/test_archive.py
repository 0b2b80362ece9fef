"""Archives: round trips by every method, chunks that survive their neighbours' damage, and clear refusals."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shearloc.codec.archive import decode_chunk, decode_images, decode_undamaged, encode_images
from shearloc.codec.formats import archive_header, chunks
from shearloc.codec.info import archive_info
from shearloc.coding.logistic import PRECISION
from shearloc.errors import CorruptError, FormatError, ShearlocError, UnknownModelError, UnsupportedImageError
from shearloc.models import orientation, zoo
from shearloc.models.local import FAMILY as LOCAL_FAMILY
from shearloc.models.local import coder as local
from shearloc.models.local import past, wavefront
from shearloc.models.local.model import LocalModel
from shearloc.models.orientation import TRANSPOSED, each_way, oriented
from shearloc.models.vae.model import VaeModel
from shearloc.nets import engines

from ..forced import archive_with

Vaes = Callable[[str], VaeModel]
Images = Callable[..., NDArray[np.uint8]]

KINDS = ("bernoulli", "logistic", "colour")


@pytest.fixture(scope="module")
def tiny_zoo(
    tiny_vae: Vaes, tiny_model: Callable[..., LocalModel], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A zoo of tiny models: tiny-bernoulli, tiny-logistic, tiny-colour, and the local models gray and photo."""
    folder = tmp_path_factory.mktemp("zoo")
    models: list[tuple[str, str, VaeModel | LocalModel]] = [(f"tiny-{k}", "vae", tiny_vae(k)) for k in KINDS]
    models += [("gray", "local", tiny_model(1)), ("photo", "local", tiny_model(3))]
    for name, kind, model in models:
        model.save(folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "kind": kind}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "WEIGHTS", folder)
        yield folder


@pytest.mark.parametrize(
    ("model", "kind"),
    [(f"tiny-{k}", k) for k in KINDS] + [("gray", "logistic"), ("photo", "colour"), ("raw", "colour")],
)
def test_round_trip(model: str, kind: str, tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae(kind), 9)
    names = [f"{k}é.png" for k in range(9)]
    samples = 4 * images[0].size
    data = archive_with(images, names, model, chunk_samples=samples)
    back, found = decode_images(data)
    assert (back == (images if kind == "colour" else images[..., 0])).all() and found == tuple(names)
    about = archive_info(data)
    assert (about.count, about.chunks, about.gross_bits) == (9, 3, 8 * len(data))
    assert about.method == {"raw": "raw", "gray": "local", "photo": "local"}.get(model, "vae")
    assert (about.net_bits is not None) == (about.method == "vae")
    assert about.net_bits is None or about.net_bits < about.gross_bits
    for chunk in range(3):
        part, numbers = decode_chunk(data, chunk)
        assert (part == back[numbers.start : numbers.stop]).all()
    with pytest.raises(IndexError, match="3 chunks"):
        decode_chunk(data, 3)


def test_more_images_than_a_batch(tiny_zoo: Path) -> None:
    """All of them are in every step."""
    images = (np.random.default_rng(0).integers(0, 3, (wavefront.BATCH + 9, 2, 1)) * 40).astype(np.uint8)
    assert (decode_images(encode_images(images, model="gray"))[0] == images).all()


def test_chunks_are_bounded(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((50, 3, 2, 1), np.uint8)
    data = archive_with(images, None, "gray")
    monkeypatch.setitem(LOCAL_FAMILY.__dict__, "most_step_pixels", 20)
    with pytest.raises(CorruptError, match="chunks of 50 images"):
        decode_images(data)
    assert archive_info(archive_with(images, None, "gray")).chunks == 5
    monkeypatch.setattr(archive_header, "MAX_CHUNK_SAMPLES", 60)
    assert archive_info(archive_with(images, None, "raw")).chunks == 5


@pytest.mark.parametrize("processors", [1, 3])
@pytest.mark.parametrize(
    ("model", "engine", "steps"),
    [("tiny-bernoulli", "auto", 1), *(("gray", e, 0) for e in ("numba", "numpy", "torch"))],
)
def test_threads_change_no_byte(
    processors: int,
    model: str,
    engine: str,
    steps: int,
    tiny_zoo: Path,
    tiny_vae: Vaes,
    small_images: Images,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = small_images(tiny_vae("bernoulli"), 70)
    given: dict[str, Any] = {"model": model, "engine": engine, "chunk_samples": 10 * 36, "steps": steps}
    plain = encode_images(images, **given)
    monkeypatch.setattr("shearloc.nets.engines.processors", lambda: processors)
    assert encode_images(images, **given) == plain
    assert (decode_images(plain, engine=engine)[0] == images[..., 0]).all()


def test_as_many_chunks_at_a_time_as_memory_allows(
    tiny_model: Callable[..., LocalModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, size = tiny_model(3), (10, 6, 7)
    monkeypatch.setattr(engines, "processors", lambda: 4)
    assert [local.at_once(model, size, engine, 9) for engine in ("numba", "torch", "numpy", "cuda")] == [4, 4, 1, 1]
    assert local.at_once(model, size, "numba", 3) == 3
    room = past.room(model, *size)
    for most, threads in ((3 * room, 3), (3 * room - 1, 2), (room - 1, 1)):
        monkeypatch.setattr(local, "MOST_BYTES", most)
        assert local.at_once(model, size, "numba", 9) == threads


@pytest.mark.parametrize(("model", "chunks"), [("photo", 3), ("raw", 1)])
def test_chunks_of_local_models_are_short(model: str, chunks: int, tiny_zoo: Path) -> None:
    images = np.zeros((100, 32, 32, 3), np.uint8)
    data = archive_with(images, None, model)
    assert archive_info(data).chunks == chunks and (decode_images(data)[0] == images).all()


def test_shapes_without_a_channel_axis(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("logistic"), 5)
    assert encode_images(images, model="tiny-logistic") == encode_images(images[..., 0], model="tiny-logistic")


@pytest.mark.parametrize("steps", [0, 3])
def test_steps_are_in_the_header(steps: int, tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("logistic"), 30)
    data = archive_with(images, None, "tiny-logistic", steps)
    assert archive_info(data).steps == steps and (decode_images(data)[0] == images[..., 0]).all()


@pytest.mark.parametrize("engine", ["numba", "numpy", "torch"])
@pytest.mark.parametrize(("effort", "orientations"), [(7, 2), (8, 4), (9, 8)])
def test_effort_chooses_orientations(
    effort: int,
    orientations: int,
    engine: str,
    tiny_zoo: Path,
    tiny_model: Callable[..., LocalModel],
    tiny_vae: Vaes,
    small_images: Images,
) -> None:
    """Every image has the one of the smallest code length, whatever the engine, and comes back as it was."""
    images = small_images(tiny_vae("colour"), 40)
    data = encode_images(images, model="photo", effort=effort, engine=engine)
    header, _ = archive_header.read(data)
    lengths = [image_bits(tiny_model(3), laid) for laid in each_way(images, range(orientations))]
    assert header.orientations is not None and header.orientations.tolist() == np.argmin(lengths, 0).tolist()
    assert len(set(header.orientations.tolist())) == orientations
    assert archive_info(data).reoriented == sum(map(bool, header.orientations.tolist()))
    assert len(data) < len(encode_images(images, model="photo"))
    assert (decode_images(data, engine=engine)[0] == images).all()
    assert (decode_chunk(data, 0)[0] == images).all()


def image_bits(model: LocalModel, images: NDArray[np.uint8]) -> list[float]:
    """Each image's code length, coded by itself."""
    return [
        PRECISION * image.size - np.log2(local.frequencies(model, image[None], "numpy")[1]).sum() for image in images
    ]


def test_the_payload_is_that_of_the_chosen_versions(
    tiny_model: Callable[..., LocalModel], tiny_vae: Vaes, small_images: Images
) -> None:
    model, images = tiny_model(3), small_images(tiny_vae("colour"), 7)
    payload, lanes, chosen = local.encode_shortest(model, each_way(images, range(8)), images.shape[:3], "numba")
    assert (payload, lanes) == local.encode_images(model, oriented(images, chosen), "numpy")


def test_of_equal_versions_the_first_is_taken(tiny_zoo: Path, tiny_model: Callable[..., LocalModel]) -> None:
    images = np.full((3, 4, 4, 3), 9, np.uint8)
    *_, chosen = local.encode_shortest(tiny_model(3), [images, images], images.shape[:3], "numpy")
    assert chosen.tolist() == [0, 0, 0]
    assert encode_images(images, model="photo", effort=9) == encode_images(images, model="photo")


@pytest.mark.parametrize("effort", range(1, 7))
def test_lower_efforts_leave_images_as_they_are(
    effort: int, tiny_zoo: Path, tiny_vae: Vaes, small_images: Images
) -> None:
    images = small_images(tiny_vae("colour"), 9)
    data = encode_images(images, model="photo", effort=effort)
    assert data == encode_images(images, model="photo")
    assert archive_info(data).reoriented is None


@pytest.mark.parametrize("model", ["tiny-logistic", "raw"])
def test_only_local_models_choose_orientations(
    model: str, tiny_zoo: Path, tiny_vae: Vaes, small_images: Images
) -> None:
    images = small_images(tiny_vae("logistic"), 9)
    if model == "raw":
        assert encode_images(images, model=model, effort=9) == encode_images(images, model=model)
    else:
        with pytest.raises(ShearlocError, match="alike at every effort"):
            encode_images(images, model=model, effort=9)


def test_steps_of_a_model_that_has_none(tiny_zoo: Path) -> None:
    with pytest.raises(ShearlocError, match="no steps of optimal inference"):
        encode_images(np.zeros((2, 6, 6), np.uint8), model="gray", steps=2)


def test_orientations_of_images_that_are_not_square(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("colour"), 40)[:, :, :5]
    data = encode_images(images, model="photo", effort=9)
    header, _ = archive_header.read(data)
    assert header.orientations is not None and 0 < header.orientations.max() < TRANSPOSED
    assert (decode_images(data)[0] == images).all()


def test_embedded_weights_and_orientations(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("colour"), 20)
    data = archive_with(images, None, "photo", effort=9, embed=True)
    header, _ = archive_header.read(data)
    assert header.orientations is not None and len(header.weights) == 1
    assert (decode_images(data)[0] == images).all()


@pytest.mark.parametrize(
    ("method", "turns", "message"),
    [
        ("local", [b"\x24\x92", b"\x24\x92"], "orientations that no image has"),
        ("raw", [b"\x24\x92"], "orientations that no image has"),
        ("local", [b"\x24"], "1 bytes for the orientations of 5 images"),
        ("local", [b"\x24\x93"], "cannot have"),
    ],
)
def test_orientations_that_contradict(
    method: str, turns: list[bytes], message: str, tiny_zoo: Path, tiny_vae: Vaes, small_images: Images
) -> None:
    images = small_images(tiny_vae("colour"), 5)
    data = archive_with(images, None, "photo" if method == "local" else "raw")
    header, start = archive_header.read(data)
    extra = tuple((chunks.ORIENTATIONS, turn) for turn in turns)
    with pytest.raises(CorruptError, match=message):
        decode_images(archive_header.pack(replace(header, weights=extra)) + data[start:])


def test_wrong_orientations_are_noticed(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    """By the checksum of the pixels, which is of the images as they were."""
    images = small_images(tiny_vae("colour"), 5)
    data = archive_with(images, None, "photo")
    header, start = archive_header.read(data)
    turned = replace(header, packed_orientations=orientation.pack(np.array([0, 0, 1, 0, 0], np.uint8)))
    with pytest.raises(CorruptError, match="do not match the chunk's checksum"):
        decode_images(archive_header.pack(turned) + data[start:])


def test_auto_is_the_smallest(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("colour"), 40)
    lengths = {name: len(archive_with(images, None, name)) for name in ("tiny-colour", "photo", "raw")}
    assert len(encode_images(images)) == min(lengths.values())
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    assert archive_info(encode_images(noise)).method == "raw"
    assert archive_info(encode_images(noise, model="gray")).method == "raw"


def test_one_damaged_chunk_leaves_the_others(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("bernoulli"), 30)
    data = encode_images(images, [f"n{k}" for k in range(30)], model="tiny-bernoulli", chunk_samples=10 * 36)
    header, start = archive_header.read(data)
    damaged = bytearray(data)
    damaged[start + header.sizes[0] + 9] ^= 1
    with pytest.raises(CorruptError, match=r"images 10 \('n10'\) to 19 \('n19'\) are damaged"):
        decode_images(bytes(damaged))
    found, names, damage = decode_undamaged(bytes(damaged))
    good = np.r_[0:10, 20:30]
    assert (found[good] == images[good, ..., 0]).all() and not found[10:20].any()
    assert list(damage) == [1] and len(names) == 30
    assert (decode_chunk(bytes(damaged), 2)[0] == images[20:, ..., 0]).all()
    with pytest.raises(CorruptError, match="images 10"):
        decode_chunk(bytes(damaged), 1)


def test_a_cut_archive_keeps_its_first_chunks(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("bernoulli"), 30)
    data = encode_images(images, model="tiny-bernoulli", chunk_samples=10 * 36)
    with pytest.raises(CorruptError, match="images 20 to 29 are damaged: the archive is cut short"):
        decode_images(data[:-3])
    assert (decode_undamaged(data[:-3])[0][:20] == images[:20, ..., 0]).all()
    with pytest.raises(CorruptError, match="followed by"):
        decode_images(data + b"x")


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_damaged_byte_is_noticed(
    tiny_zoo: Path, tiny_vae: Vaes, small_images: Images, place: int, flip: int
) -> None:
    data = bytearray(encode_images(small_images(tiny_vae("bernoulli"), 8), ["a"] * 8, model="tiny-bernoulli"))
    data[place % len(data)] ^= flip
    with pytest.raises((CorruptError, FormatError)):
        decode_images(bytes(data))


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_any_cut_is_noticed(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images, place: int) -> None:
    data = encode_images(small_images(tiny_vae("bernoulli"), 8), model="tiny-bernoulli")
    with pytest.raises((CorruptError, FormatError)):
        decode_images(data[: place % len(data)])


def test_refusals_of_images(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    images = small_images(tiny_vae("bernoulli"), 3)
    with pytest.raises(UnsupportedImageError, match="uint8"):
        encode_images(images.astype(np.int32))
    with pytest.raises(UnsupportedImageError, match="shape"):
        encode_images(images[0, 0])
    with pytest.raises(UnsupportedImageError, match="no pixels"):
        encode_images(images[:0])
    with pytest.raises(UnsupportedImageError, match="6 x 6 x 1"):
        encode_images(images[:, :5], model="tiny-bernoulli")
    with pytest.raises(UnsupportedImageError, match=r"image 'b': .*binarise"):
        encode_images(
            images * np.array([1, 9, 1], np.uint8)[:, None, None, None], ["a", "b", "c"], model="tiny-bernoulli"
        )
    with pytest.raises(UnsupportedImageError, match="3 channels"):
        encode_images(images, model="photo")
    with pytest.raises(UnknownModelError):
        encode_images(images, model="nothing")
    with pytest.raises(ValueError, match="names"):
        encode_images(images, ["a"])
    with pytest.raises(ValueError, match="line break"):
        encode_images(images, ["a", "b\n", "c"])
    with pytest.raises(ValueError, match="steps"):
        encode_images(images, steps=-1)
    for effort in (0, 10):
        with pytest.raises(ValueError, match=f"effort is a whole number from 1 to 9, not {effort}"):
            encode_images(images, effort=effort)


def test_refusals_of_files(tiny_zoo: Path, tiny_vae: Vaes, small_images: Images) -> None:
    data = encode_images(small_images(tiny_vae("bernoulli"), 3), model="tiny-bernoulli")
    with pytest.raises(FormatError, match="not a Shearloc archive"):
        decode_images(b"\x89SHL\r\n\x1a\n" + data[8:])
    with pytest.raises(FormatError, match="version 2"):
        decode_images(data[:8] + b"\x02" + data[9:])
    with pytest.raises(UnsupportedImageError, match="max_samples"):
        decode_images(data, max_samples=100)
    (tiny_zoo / "tiny-bernoulli.safetensors").rename(tiny_zoo / "away")
    try:
        with pytest.raises(UnknownModelError, match="tiny-bernoulli"):
            decode_images(data)
    finally:
        (tiny_zoo / "away").rename(tiny_zoo / "tiny-bernoulli.safetensors")


def test_the_raw_archive_is_pinned() -> None:
    """Version 1 for ever."""
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = archive_with(images[..., None], ["a", "b"], "raw")
    assert data.hex() == PINNED_RAW
    assert (decode_images(data)[0] == images).all()


PINNED_RAW = (
    "895348410d0a1a0a01200008010203040000000000000000000000000b78da4be44a0200019c00ce0220b87587f9"
    "9587bc29000102030405060708090a0b0c0d0e0f1011121314151617551254e9"
)


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        ([np.zeros((4, 4), np.uint8)], "numpy.stack"),
        (None, "NumPy array"),
        (np.ma.masked_array(np.zeros((2, 4, 4), np.uint8), mask=True), "filled"),
        (np.zeros((2, 4, 4), bool), "astype"),
        (np.zeros((2, 4, 4)), "uint8"),
        (np.zeros((2, 3, 8, 8), np.uint8), "transpose"),
        (np.zeros((2, 8, 8, 2), np.uint8), "gray"),
        (np.zeros((0, 8, 8), np.uint8), "no pixels"),
    ],
)
def test_what_is_no_stack_of_images_is_told_what_to_do(images: Any, hint: str) -> None:
    with pytest.raises(UnsupportedImageError, match=hint):
        encode_images(images)
