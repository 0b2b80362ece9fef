"""The integer local model: its file, its bounds, and its fingerprint.

Where models come from is tested in test_export.py, what they code in codec/test_wavefront.py.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from shearloc.errors import ShearlocError
from shearloc.models import zoo
from shearloc.models.local import model as local
from shearloc.models.local.model import FORMAT, LocalModel, load
from shearloc.models.wavefront.context import CONSTANT, MEDIAN_EDGE
from shearloc.nets import tensors
from shearloc.nets.layers import Dense

Models = Callable[..., LocalModel]


def arrays_in(path: Path) -> tensors.Arrays:
    """The arrays of a model's file."""
    return tensors.read(path.read_bytes(), FORMAT)[1]


def test_round_trip(tiny_model: Models, tmp_path: Path) -> None:
    for channels in (1, 3):
        model = tiny_model(channels)
        model.save(tmp_path / "model.safetensors")
        back = load(tmp_path / "model.safetensors", "again")
        assert (back.name, back.channels, back.components) == ("again", channels, model.components)
        assert back.arrays().keys() == model.arrays().keys()
        for key, array in model.arrays().items():
            assert back.arrays()[key].dtype == array.dtype
            assert np.array_equal(back.arrays()[key], array)
        assert back.fingerprint == model.fingerprint
        assert len(back.fingerprint) == 8


def test_settings_round_trip(tiny_nelloc: Models, tmp_path: Path) -> None:
    """Raw pixels and residual blocks come back; a file that says nothing of them is of a model without."""
    model = tiny_nelloc(3, 2, 2)
    model.save(tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors", "again")
    assert (back.predictor, [layer.skip for layer in back.layers]) == (CONSTANT, [0, 0, 0, 3, 0, 0, 3, 0, 0])
    assert back.fingerprint == model.fingerprint
    save_file(arrays_in(tmp_path / "model.safetensors"), tmp_path / "model.safetensors", GOOD)
    plainer = load(tmp_path / "model.safetensors", "plainer")
    assert plainer.predictor == MEDIAN_EDGE and not any(layer.skip for layer in plainer.layers)
    without_skips = replace(model, layers=plainer.layers)
    fingerprints = {model.fingerprint, plainer.fingerprint, without_skips.fingerprint}
    assert len(fingerprints | {replace(plainer, layers=model.layers).fingerprint}) == 4


def test_convolutions_round_trip(tiny_nelloc: Models, tmp_path: Path) -> None:
    """A file that says nothing of them is unsound, because nothing fits then; the fingerprint tells them."""
    model = tiny_nelloc(3, 2, 1, neighbours=6, narrow=5)
    model.save(tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors", "again")
    assert [layer.convolution for layer in back.layers] == [False, False, True, False, False, False]
    assert back.neighbours.tolist() == model.neighbours.tolist() and back.fingerprint == model.fingerprint
    assert replace(model, neighbours=model.neighbours[::-1]).fingerprint != model.fingerprint
    save_file(arrays_in(tmp_path / "model.safetensors"), tmp_path / "model.safetensors", GOOD | {"predictor": "none"})
    with pytest.raises(ShearlocError, match="sound"):
        load(tmp_path / "model.safetensors", "t")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"neighbours": np.array([[0, -1], [-1, 3]], np.int32)}, "context"),
        ({"neighbours": np.array([[0, -1], [0, 0]], np.int32)}, "context"),
        ({"neighbours": np.array([[0, -1], [0, 1]], np.int32)}, "context"),
        ({"neighbours": np.array([[0, -1], [0, -1]], np.int32)}, "twice"),
        ({"neighbours": np.empty((0, 2), np.int32)}, "fit|convolutions"),
        ({"neighbours": np.zeros((2, 3), np.int32)}, "fit"),
        ({"neighbours": np.array([[0, -1], [-1, 0]])}, "fit"),
        ({0: True}, "fit|first"),
        ({2: False}, "fit|neighbours"),
        ({3: True, 2: True}, "fit"),
    ],
    ids=str,
)
def test_convolutions_that_make_no_sense_are_refused(
    tiny_nelloc: Models, change: dict[str | int, Any], reason: str
) -> None:
    model = tiny_nelloc(3, 2, 1, neighbours=2, narrow=5)
    model.prove()
    layers = [replace(layer, convolution=change.get(k, layer.convolution)) for k, layer in enumerate(model.layers)]
    arrays: Any = {key: value for key, value in change.items() if isinstance(key, str)}
    with pytest.raises(ValueError, match=reason):
        replace(model, layers=tuple(layers), **arrays).prove()


def test_a_model_whose_last_layer_is_a_convolution_is_refused(tiny_nelloc: Models) -> None:
    model = tiny_nelloc(3, 2, 1, neighbours=2, narrow=5)
    last = model.layers[-1]
    wide = replace(last, weight=np.ascontiguousarray(np.tile(last.weight // 4, (3, 1))), convolution=True)
    with pytest.raises(ValueError, match="last"):
        replace(model, layers=(*model.layers[:-1], wide)).prove()


def test_too_many_features_are_refused(tiny_nelloc: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """They bound what is kept of a pixel."""
    model = tiny_nelloc(3, 2, 2, neighbours=2, narrow=5)
    monkeypatch.setattr(local, "MAX_FEATURES", 10)
    model.prove()
    monkeypatch.setattr(local, "MAX_FEATURES", 9)
    with pytest.raises(ValueError, match="features"):
        model.prove()


def test_shipped_models_keep_their_fingerprints() -> None:
    """Files name the model that they need by it."""
    assert zoo.load("photo").fingerprint.hex() == "119d40b8cfa05726"
    assert zoo.load("gray").fingerprint.hex() == "048591531ad388c6"


@pytest.mark.parametrize(
    ("layer", "skip"), [(0, 1), (3, 4), (3, -1), (2, 2), (4, 1)], ids=["itself", "before", "after", "width", "last"]
)
def test_skips_that_lead_nowhere_are_refused(layer: int, skip: int) -> None:
    widths = [9, 4, 5, 6, 6, 3]
    layers = [
        Dense(np.ones((m, n), np.int8), *(np.ones(n, np.int32),) * 3) for m, n in zip(widths, widths[1:], strict=False)
    ]
    nothing = np.zeros((0, 0, 0), np.int32)
    offsets = np.array([(dy, dx) for dy in (0, -1, -2) for dx in (-1, 0, 1) if dy or dx < 0] + [(-3, 0), (-3, 1)])
    model = LocalModel("t", 1, 1, offsets.astype(np.int32), tuple(layers), nothing, np.zeros((0, 0, 3), np.int32))
    model.prove()
    replace(model, layers=(*layers[:3], replace(layers[3], skip=1), layers[4])).prove()
    layers[layer] = replace(layers[layer], skip=skip)
    with pytest.raises(ValueError, match="skip"):
        replace(model, layers=tuple(layers)).prove()


@pytest.mark.parametrize("claim", [{"predictor": "magic"}, {"skips": "0 0"}, {"skips": "0 x 0"}], ids=str)
def test_settings_that_make_no_sense_are_refused(saved: Path, claim: dict[str, str]) -> None:
    save_file(arrays_in(saved), saved, GOOD | claim)
    with pytest.raises(ShearlocError, match="sound"):
        load(saved, "t")


def with_array(model: LocalModel, key: str, array: NDArray[Any]) -> LocalModel:
    """The model with one array of `arrays()` replaced."""
    if "." not in key:
        changes: dict[str, Any] = {key: array}
        return replace(model, **changes)
    k = int(key.split(".")[0].removeprefix("layer"))
    layers = list(model.layers)
    layers[k] = replace(layers[k], **{key.split(".")[1]: array})
    return replace(model, layers=tuple(layers))


def test_fingerprint_tells_every_integer(tiny_model: Models) -> None:
    """One unit more in the first, the last and a middle element of each array; and all are different."""
    model = tiny_model(3)
    found = {model.fingerprint}
    changes = 0
    for key, array in model.arrays().items():
        for at in {0, array.size // 2, array.size - 1}:
            changed: NDArray[Any] = array.copy()
            changed.flat[at] += 1 if changed.flat[at] < 100 else -1
            found.add(with_array(model, key, changed).fingerprint)
            changes += 1
    assert changes > 30
    assert len(found) == 1 + changes


def test_fingerprint_tells_shapes_and_types(tiny_model: Models) -> None:
    model = tiny_model(3)
    first = model.layers[0]
    others = [
        replace(model, channels=1),
        replace(model, components=2),
        with_array(model, "offsets", model.offsets.reshape(2, -1)),
        with_array(model, "offsets", model.offsets.astype(np.int64)),
        with_array(model, "layer0.weight", np.ascontiguousarray(first.weight.T)),
        replace(model, layers=model.layers[1:]),
    ]
    assert len({model.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_fingerprint_is_of_the_weights_alone(tiny_model: Models) -> None:
    model = tiny_model(1)
    transposed = with_array(model, "layer0.weight", np.asfortranarray(model.layers[0].weight))
    assert replace(model, name="other").fingerprint == model.fingerprint == transposed.fingerprint


def test_unsound_models_are_not_saved(tiny_model: Models, tmp_path: Path) -> None:
    model = tiny_model(1)
    layer = model.layers[0]
    huge = Dense(layer.weight, layer.bias + 2**24, layer.multiplier, layer.shift)
    with pytest.raises(ValueError, match="accumulator"):
        replace(model, layers=(huge, *model.layers[1:])).save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_head_bounds_are_proved(tiny_model: Models) -> None:
    model = tiny_model(3)
    for key in ("learn", "adjust"):
        with pytest.raises(ValueError, match="head"):
            with_array(model, key, np.full_like(model.arrays()[key], 2**30)).prove()


@pytest.fixture
def saved(tiny_model: Models, tmp_path: Path) -> Path:
    """A model's file."""
    path = tmp_path / "model.safetensors"
    tiny_model(3).save(path)
    return path


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x89PNG\r\n\x1a\n" + bytes(64), b"\xff" * 64])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ShearlocError, match="other"):
        load(tmp_path / "other", "t")


def test_truncated_files_are_refused(saved: Path) -> None:
    data = saved.read_bytes()
    for length in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(ShearlocError, match="model"):
            load(saved, "t")


def test_missing_files_are_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.safetensors", "t")


GOOD = {"format": FORMAT, "channels": "3", "components": "3"}


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        GOOD | {"format": "shearloc-local-999"},
        {"format": FORMAT},
        GOOD | {"channels": "three"},
        {k: v for k, v in GOOD.items() if k != "format"},
    ],
    ids=str,
)
def test_other_metadata_is_refused(saved: Path, metadata: dict[str, str] | None) -> None:
    save_file(arrays_in(saved), saved, metadata)
    with pytest.raises(ShearlocError):
        load(saved, "t")


@pytest.mark.parametrize("missing", ["offsets", "learn", "layer0.weight", "layer1.bias", "layer2.shift", "layer"])
def test_missing_arrays_are_refused(saved: Path, missing: str) -> None:
    arrays = {key: array for key, array in arrays_in(saved).items() if not key.startswith(missing)}
    save_file(arrays, saved, GOOD)
    with pytest.raises(ShearlocError, match="sound"):
        load(saved, "t")


def test_bounds_are_proved_again_when_loading(saved: Path) -> None:
    arrays = arrays_in(saved)
    arrays["layer1.shift"] = np.zeros_like(arrays["layer1.shift"])
    save_file(arrays, saved, GOOD)
    with pytest.raises(ShearlocError, match="shift"):
        load(saved, "t")


@pytest.mark.parametrize("key", ["offsets", "learn", "adjust", "layer0.weight", "layer1.bias", "layer2.multiplier"])
@pytest.mark.parametrize("change", ["shorter", "float"])
def test_arrays_that_do_not_fit_are_refused(saved: Path, key: str, change: str) -> None:
    """Kernels do not check indices, so this must come before them."""
    arrays = arrays_in(saved)
    array = arrays[key]
    arrays[key] = np.ascontiguousarray(array[..., :-1]) if change == "shorter" else array.astype(np.float32)
    save_file(arrays, saved, GOOD)
    with pytest.raises(ShearlocError, match="sound"):
        load(saved, "t")


@pytest.mark.parametrize("offset", [(0, 1), (1, 0), (2**31 - 1, 0)])
def test_offsets_to_later_pixels_are_refused(saved: Path, offset: tuple[int, int]) -> None:
    arrays = arrays_in(saved)
    arrays["offsets"] = arrays["offsets"].copy()
    arrays["offsets"][-1] = offset
    save_file(arrays, saved, GOOD)
    with pytest.raises(ShearlocError, match="offsets"):
        load(saved, "t")


def test_an_offset_that_is_there_twice_is_refused(tiny_model: Models) -> None:
    model = tiny_model(1)
    offsets = model.offsets.copy()
    others = [k for k, offset in enumerate(offsets.tolist()) if tuple(offset) not in {(0, -1), (-1, 0), (-1, -1)}]
    offsets[others[0]] = offsets[others[1]]
    with pytest.raises(ValueError, match="twice"):
        replace(model, offsets=offsets).prove()


@pytest.mark.parametrize(
    "claim", [{"channels": "1"}, {"components": "2"}, {"channels": "0"}, {"components": "-3"}], ids=str
)
def test_sizes_that_do_not_fit_are_refused(saved: Path, claim: dict[str, str]) -> None:
    save_file(arrays_in(saved), saved, GOOD | claim)
    with pytest.raises(ShearlocError, match="sound"):
        load(saved, "t")
