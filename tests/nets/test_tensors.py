"""Model files: arrays come back as they were, deflated or not, and hostile files are refused before they cost anything.

What the arrays mean, and which of them make a model, is tested in test_local.py and test_vae.py.
"""

import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, load_file, save, save_file

from shearloc.errors import ShearlocError
from shearloc.models import zoo
from shearloc.nets import tensors

from ..golden import make, second

FORM = "a-form"
SHIPPED = sorted(zoo.WEIGHTS.glob("*.safetensors"))


def parse(data: bytes) -> tensors.Arrays:
    """The arrays of a file's bytes; ShearlocError as a model's reader raises it."""
    with tensors.sound("this"):
        return tensors.read(data, FORM)[1]


def same(a: tensors.Arrays, b: tensors.Arrays) -> bool:
    """Equal names, types, shapes and numbers."""
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and a[key].shape == b[key].shape and np.array_equal(a[key], b[key]) for key in a
    )


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """Of every type and rank that models have, from numbers that deflate well to noise; also as a transposed view."""
    dtype = np.dtype(draw(st.sampled_from([np.int8, np.int16, np.int32])))
    shape = tuple(draw(st.lists(st.integers(0, 20), min_size=1, max_size=4)))
    bits = draw(st.integers(0, 8 * dtype.itemsize - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = rng.integers(-(1 << bits), 1 << bits, shape, dtype)
    return made.T if draw(st.booleans()) else made


@given(st.dictionaries(st.sampled_from("abcde"), arrays(), min_size=1))
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, given: tensors.Arrays) -> None:
    path = tmp_path_factory.mktemp("tensors") / "x.safetensors"
    tensors.write(path, given, {"format": FORM})
    back = parse(path.read_bytes())
    assert same(back, given)
    # Numba compiles one kernel for all of these.
    assert all(a.flags.c_contiguous and a.flags.writeable and a.flags.aligned for a in back.values())
    metadata, found = second.safetensors(path.read_bytes())
    assert same(found, given) and metadata["format"] == FORM


def test_only_what_gains_is_deflated(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    small, noise = rng.integers(-99, 99, (50, 40), np.int16), rng.integers(-128, 128, (50, 40), np.int8)
    tensors.write(tmp_path / "x", {"small": small, "noise": noise, "float": np.zeros(99)}, {"format": FORM})
    stored = load_file(tmp_path / "x")
    assert np.array_equal(stored["noise"], noise) and stored["float"].dtype == np.float64
    assert stored["small"].dtype == np.uint8 and stored["small"].ndim == 1
    planes = small.astype("<i2").tobytes()[0::2] + small.astype("<i2").tobytes()[1::2]
    assert zlib.decompress(stored["small"].tobytes()) == planes
    metadata, _ = tensors.read((tmp_path / "x").read_bytes(), FORM)
    assert metadata == {"format": FORM, "small": "I16 50 40"}


def test_plain_files_are_read(tmp_path: Path) -> None:
    """As they were written before, and still are where nothing deflates."""
    plain = {"a": np.zeros((30, 20), np.int16), "b": np.arange(5, dtype=np.int32)}
    save_file(plain, tmp_path / "x", {"format": FORM})
    assert same(parse((tmp_path / "x").read_bytes()), plain)


def test_a_large_model_is_stored_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_INFLATED", 4000)
    for length, deflated in ((2000, True), (2001, False)):
        tensors.write(tmp_path / "x", {"a": np.zeros(length, np.int16)}, {"format": FORM})
        assert (load_file(tmp_path / "x")["a"].dtype == np.uint8) is deflated
        assert len(parse((tmp_path / "x").read_bytes())["a"]) == length


def forged(stream: bytes | NDArray[Any], text: str) -> bytes:
    """A file with this stream for an array of which the metadata say this."""
    array = np.frombuffer(stream, np.uint8) if isinstance(stream, bytes) else stream
    return save({"a": array}, {"format": FORM, "a": text})


STREAM = zlib.compress(bytes(range(24)))


def test_forged_as_it_should_be() -> None:
    for text, dtype in (("I8 24", np.int8), ("I16 3 4", np.int16), ("I32 1 2 3 1", np.int32)):
        back = parse(forged(STREAM, text))["a"]
        assert back.dtype == dtype and list(back.shape) == [int(size) for size in text.split()[1:]]
    assert parse(forged(STREAM, "I32 6"))["a"][1] == 1 | 7 << 8 | 13 << 16 | 19 << 24


@pytest.mark.parametrize(
    "text",
    ["I16 3 5", "I16 3 3", "I16 11", "I8 23", "I8 25", "I32 0", "I32 3 0 4"]  # another length
    + ["", "I16", "I64 3", "F32 6", "F64 3", "U8 24", "i16 12", "O 3", "int16 12"]  # another type
    + ["I16 -3 -4", "I16 3.0 4", "I16 3,4", "I16  12", " I16 12", "I16 12 ", "I16 12\n", "I16 \u0661\u0662", "I16 1_2"]
    + ["I16 1 1 1 1 12", "I16 12 " + "1 " * 99, "I16 100000000", "I16 " + "9" * 9999, "[]", '{"I16": 12}'],
    ids=lambda text: repr(text)[:24],
)
def test_hostile_metadata(text: str) -> None:
    with pytest.raises(ShearlocError, match="not a sound model"):
        parse(forged(STREAM, text))


@pytest.mark.parametrize(
    "stream",
    [STREAM[:length] for length in (0, 1, 2, len(STREAM) // 2, len(STREAM) - 4, len(STREAM) - 1)]
    + [STREAM + b"\0", STREAM + STREAM, STREAM[:-1] + b"\0", b"\0" + STREAM, bytes(24), zlib.compress(bytes(10**6))]
    + [np.frombuffer(STREAM, np.int8), np.frombuffer(STREAM, np.uint8)[None], np.zeros(12, np.int16)],
    ids=range(15),
)
def test_hostile_streams(stream: bytes | NDArray[Any]) -> None:
    with pytest.raises(ShearlocError, match="not a sound model"):
        parse(forged(stream, "I16 12"))


def test_bombs_are_not_inflated() -> None:
    """Neither more than is declared, nor what all arrays together must not declare."""
    bomb = zlib.compress(bytes(1 << 26), 9)
    third, claim = np.frombuffer(zlib.compress(bytes(1 << 23), 9), np.uint8), f"I8 {1 << 23}"
    files = [forged(bomb, "I16 12"), forged(bomb, f"I8 {1 << 26}"), forged(bomb, "I32 99999999 99999999 99999999")]
    files.append(save({"a": third, "b": third, "c": third}, {"format": FORM, "a": claim, "b": claim, "c": claim}))
    tracemalloc.start()
    try:
        for data in files:
            tracemalloc.reset_peak()
            with pytest.raises(ShearlocError, match="not a sound model"):
                parse(data)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    at_the_limit = parse(save({"a": third, "b": third}, {"format": FORM, "a": claim, "b": claim}))
    assert all(array.size == 1 << 23 for array in at_the_limit.values())


def test_every_bit_of_a_stream(tmp_path: Path) -> None:
    """A stream's own checksum finds it: no other array comes out."""
    array = np.arange(40, dtype=np.int32).reshape(5, 8)
    tensors.write(tmp_path / "x", {"a": array}, {"format": FORM})
    data = bytearray((tmp_path / "x").read_bytes())
    start = len(data) - load(bytes(data))["a"].size
    for bit in range(8 * start, 8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        try:
            back = parse(bytes(data))["a"]
        except ShearlocError as error:
            assert "not a sound model" in str(error)
        else:  # zlib's header and deflate's padding have bits that mean nothing
            assert np.array_equal(back, array)
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("path", [*SHIPPED, *sorted(make.MODELS.glob("*.safetensors"))], ids=lambda path: path.stem)
def test_models_of_either_form_are_the_same(path: Path, tmp_path: Path) -> None:
    """Fingerprints are of the arrays: as shipped, saved again, and as plain tensors; and a second reader agrees."""
    model = zoo.parse(path.read_bytes(), path.stem)
    model.save(tmp_path / "again.safetensors")
    metadata, arrays = tensors.read(path.read_bytes(), zoo.family_of(str(path)).format)
    save_file(arrays, tmp_path / "plain.safetensors", {k: text for k, text in metadata.items() if k not in arrays})
    for name in ("again", "plain"):
        copy = tmp_path / f"{name}.safetensors"
        assert zoo.family_of(str(copy)) is zoo.family_of(str(path))
        assert zoo.parse(copy.read_bytes(), name).fingerprint == model.fingerprint
        assert same(second.safetensors(copy.read_bytes())[1], arrays)
