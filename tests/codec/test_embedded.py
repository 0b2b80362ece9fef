"""Weights inside a file: it decodes where the model is not installed, and broken ones are refused."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shearloc
from shearloc.codec import archive, parts
from shearloc.codec.formats import archive_header, chunks, container
from shearloc.codec.info import archive_info
from shearloc.errors import CorruptError, FormatError, ShearlocError, UnknownModelError
from shearloc.models import zoo
from shearloc.models.local import model as local
from shearloc.models.local.model import LocalModel
from shearloc.models.vae import model as vae
from shearloc.models.vae.model import VaeModel

from ..forced import archive_with

Pixels = Callable[..., NDArray[np.uint8]]
Locals = Callable[..., LocalModel]
Vaes = Callable[[str], VaeModel]


@pytest.fixture
def own(tiny_model: Locals, tmp_path: Path) -> Path:
    """A model file that is in no folder where models are looked for."""
    path = tmp_path / "my own.safetensors"
    tiny_model(3).save(path)
    return path


@pytest.mark.parametrize("order", ["sheared", "sequential"])
def test_a_file_brings_its_model(own: Path, picture: Pixels, order: str) -> None:
    image = picture(9, 12, 3)
    bare = shearloc.encode(image, model=str(own), order=order)
    whole = shearloc.encode(image, model=str(own), order=order, embed=True)
    assert shearloc.encode(image, model=str(own), order=order, embed=True) == whole
    assert np.array_equal(shearloc.decode(whole), image)
    about = shearloc.info(whole)
    assert (about.model, about.chunks, about.embedded_weights) == ("my own", (), own.stat().st_size)
    assert shearloc.info(bare).embedded_weights is None
    with pytest.raises(UnknownModelError) as caught:
        shearloc.decode(bare)
    fingerprint = about.parts[0].fingerprint
    for needed in ("'my own'", fingerprint, "`--model FILE`", "`shearloc models add FILE`"):
        assert needed and needed in str(caught.value)


def test_without_it_nothing_changes(own: Path, picture: Pixels) -> None:
    header, payloads = container.unpack(shearloc.encode(picture(9, 12, 3), model=str(own), embed=True))
    bare = container.pack(replace(header, chunks=()), payloads)
    assert bare == shearloc.encode(picture(9, 12, 3), model=str(own))


def test_every_model_that_is_used(own: Path, picture: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpha finds its own way, here made to be another model's; neither is looked for when the file is decoded."""
    image = np.dstack([picture(9, 12, 3), picture(12, 9, 1).T])

    def by_gray(planes: NDArray[np.uint8], *rest: Any) -> parts.CodedPart:
        return parts._by_model(planes, "gray", rest[-1])

    monkeypatch.setattr(parts, "_smallest", by_gray)
    data = shearloc.encode(image, model=str(own), embed=True)
    assert [part.model for part in shearloc.info(data).parts] == ["my own", "gray"]
    header, _ = container.unpack(data)
    assert chunks.weights_in(header.chunks) == [own.read_bytes(), zoo.weights("gray")]
    twice = shearloc.encode(image[:, :, 2:], model="gray", embed=True)
    assert [part.model for part in shearloc.info(twice).parts] == ["gray", "gray"]
    assert chunks.weights_in(container.unpack(twice)[0].chunks) == [zoo.weights("gray")]
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "none")
    assert np.array_equal(shearloc.decode(data), image)
    assert np.array_equal(shearloc.decode(twice), image[:, :, 2:])


def test_weights_count_as_bytes(own: Path, picture: Pixels) -> None:
    """A small image is not worth a model with "auto", nor is a small alpha with any."""
    image = picture(60, 60, 3)
    assert shearloc.info(shearloc.encode(image)).method == "learning"
    about = shearloc.info(shearloc.encode(image, embed=True))
    assert (about.method, about.embedded_weights) == ("webp", None)
    about = shearloc.info(shearloc.encode(np.dstack([image, picture(60, 60, 1).T]), model=str(own), embed=True))
    assert [part.method for part in about.parts] == ["local", "webp"]
    assert about.embedded_weights == own.stat().st_size


def test_metadata_beside_weights(own: Path, picture: Pixels) -> None:
    from shearloc.codec import api
    from shearloc.codec.pictures.picture import Picture

    given = Picture(picture(5, 6, 3), chunks=((b"tEXt", b"Title\0x"), (b"gAMA", bytes(4))))
    assert api.decode_picture(api.encode_picture(given, model=str(own), embed=True)) == given


@pytest.mark.parametrize("kind", ["bernoulli", "logistic", "colour", "local"])
def test_archives(kind: str, tiny_model: Locals, tiny_vae: Vaes, small_images: Pixels, tmp_path: Path) -> None:
    model = tiny_model(3) if kind == "local" else tiny_vae(kind)
    images = small_images(tiny_vae("colour" if kind == "local" else kind), 40)
    path = tmp_path / "own.safetensors"
    model.save(path)
    bare = archive_with(images, None, str(path), 1)
    data = archive_with(images, None, str(path), 1, embed=True)
    back, _ = archive.decode_images(data)
    assert np.array_equal(back.reshape(images.shape), images)
    assert np.array_equal(archive.decode_chunk(data, 0)[0], back)
    about = archive_info(data)
    assert (about.model, about.embedded_weights) == ("own", path.stat().st_size)
    header, start = archive_header.read(data)
    assert archive_header.pack(replace(header, weights=())) + data[start:] == bare
    with pytest.raises(UnknownModelError, match="'own'"):
        archive.decode_images(bare)


def forged(data: bytes, *content: bytes) -> bytes:
    """A picture with these chunks of weights."""
    header, payloads = container.unpack(data)
    return container.pack(replace(header, chunks=tuple((chunks.WEIGHTS, one) for one in content)), payloads)


def test_wrong_weights_are_refused(own: Path, tiny_vae: Vaes, tiny_model: Locals, picture: Pixels) -> None:
    data = shearloc.encode(picture(5, 6, 3), model=str(own), embed=True)
    weights = own.read_bytes()
    tiny_vae("colour").save(own.with_name("vae.safetensors"))
    tiny_model(1).save(own.with_name("gray.safetensors"))
    for name in ("vae", "gray"):
        with pytest.raises(CorruptError, match="does not use"):
            shearloc.decode(forged(data, own.with_name(f"{name}.safetensors").read_bytes()))
    for broken in (b"", b"no model", weights[:-1], weights[:40], weights + b"\0", b"\xff" * 8 + weights[8:]):
        with pytest.raises(CorruptError, match="weights are damaged"):
            shearloc.decode(forged(data, broken))
    with pytest.raises(CorruptError, match="more models than it uses"):
        forged(data, weights, weights)
    with pytest.raises(CorruptError, match="bytes of weights"):
        forged(data, bytes(chunks.MAX_WEIGHTS + 1))


def test_a_chunk_that_must_be_known(own: Path, picture: Pixels) -> None:
    header, payloads = container.unpack(shearloc.encode(picture(5, 6, 3), model=str(own)))
    with pytest.raises(FormatError, match="NEWE"):
        container.pack(replace(header, chunks=((b"NEWE", b""),)), payloads)


def tampered(data: bytes, **metadata: str | None) -> bytes:
    """A model file with other metadata."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= metadata
    header["__metadata__"] = {key: value for key, value in header["__metadata__"].items() if value is not None}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "metadata",
    [{"channels": str(10**18)}, {"channels": "-1"}, {"channels": "x"}, {"channels": None}, {"components": str(10**18)}]
    + [{"components": "0"}, {"skips": "1 1 1"}, {"skips": "0 " * 9}, {"predictor": "other"}, {"format": "other"}],
    ids=str,
)
def test_hostile_local_metadata(own: Path, metadata: dict[str, str | None]) -> None:
    with pytest.raises(ShearlocError, match="not a sound model"):
        local.parse_as(local.LocalModel, tampered(own.read_bytes(), **metadata), "x", "x")


SHAPE = {"side": 8, "channels": 3, "likelihood": "logistic", "latents": 8, "width": 6, "blocks": 1}


@pytest.mark.parametrize(
    "shape",
    [SHAPE | change for change in ({"blocks": 10**15}, {"side": 10**9}, {"side": 8.0}, {"side": "8"}, {"side": 2})]
    + [SHAPE | change for change in ({"latents": 0}, {"latents": 7}, {"width": -1}, {"channels": 2}, {"width": None})]
    + [SHAPE | {"likelihood": "bernoulli"}, SHAPE | {"likelihood": []}, SHAPE | {"more": 1}, [], {}, 1, None],
    ids=str,
)
def test_hostile_vae_metadata(tiny_vae: Vaes, tmp_path: Path, shape: object) -> None:
    tiny_vae("colour").save(tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    assert (
        vae.parse_as(vae.VaeModel, tampered(data, shape=json.dumps(SHAPE)), "x", "x").fingerprint
        == tiny_vae("colour").fingerprint
    )
    with pytest.raises(ShearlocError, match="not a sound model"):
        vae.parse_as(vae.VaeModel, tampered(data, shape=json.dumps(shape)), "x", "x")


@pytest.mark.parametrize("shape", ["[" * 100_000, "", "{", "\udcff"], ids=["deep", "empty", "cut", "surrogate"])
def test_hostile_json(tiny_vae: Vaes, tmp_path: Path, shape: str) -> None:
    tiny_vae("colour").save(tmp_path / "a.safetensors")
    with pytest.raises(ShearlocError, match="not a sound model"):
        vae.parse_as(vae.VaeModel, tampered((tmp_path / "a.safetensors").read_bytes(), shape=shape), "x", "x")


def test_bounds_on_a_models_arrays(tiny_model: Locals) -> None:
    model = tiny_model(3)
    far = model.offsets.copy()
    far[-1] = (-1, -(2**31) + 1)
    with pytest.raises(ValueError, match="offset"):
        replace(model, offsets=far).prove()
    with pytest.raises(ValueError, match="64 layers"):
        replace(model, layers=(model.layers[0], *64 * [model.layers[1]], model.layers[-1])).prove()


def test_every_bit_of_embedded_weights(own: Path, picture: Pixels) -> None:
    """The header's checksum covers them; where it is put right, the fingerprint does."""
    data = shearloc.encode(picture(3, 4, 3), model=str(own), embed=True)
    weights = bytearray(own.read_bytes())
    draw = np.random.default_rng(1)
    for bit in draw.choice(8 * len(weights), 200, replace=False):
        weights[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ShearlocError):
            shearloc.decode(forged(data, bytes(weights)))
        weights[bit // 8] ^= 1 << bit % 8
    for bit in draw.choice(8 * len(data), 100, replace=False):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ShearlocError):
            shearloc.decode(broken)
