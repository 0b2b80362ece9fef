"""Models are found by name, by path and by fingerprint, in the package, in SHEARLOC_MODELS and in the user's folder."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shearloc.errors import ShearlocError, UnknownModelError
from shearloc.models import zoo
from shearloc.models.local.model import LocalModel


@pytest.fixture
def own(tiny_model: Callable[..., LocalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, bytes]:
    """A folder in SHEARLOC_MODELS with one model, `mine`, and its fingerprint."""
    model = tiny_model(3)
    model.save(tmp_path / "mine.safetensors")
    monkeypatch.setenv("SHEARLOC_MODELS", f"{tmp_path / 'none'}{os.pathsep}{tmp_path}")
    return tmp_path, model.fingerprint


def test_shipped_models_have_cards() -> None:
    assert {"photo", "gray"} <= set(zoo.names())
    assert zoo.family_of("photo").pictures and not zoo.family_of("vae-mnist").pictures
    assert zoo.card("photo")["name"] == "photo"


def test_found_by_name_path_and_fingerprint(own: tuple[Path, bytes]) -> None:
    folder, fingerprint = own
    assert "mine" in zoo.names() and zoo.card("mine") == {}
    by_path = zoo.load(str(folder / "mine.safetensors"))
    assert zoo.load("mine").fingerprint == by_path.fingerprint == fingerprint
    assert zoo.find("called otherwise", fingerprint).fingerprint == fingerprint


def test_a_retrained_model_is_another(own: tuple[Path, bytes]) -> None:
    folder, fingerprint = own
    assert zoo.load("mine").fingerprint == fingerprint
    shutil.copyfile(zoo.WEIGHTS / "gray.safetensors", folder / "mine.safetensors")
    assert zoo.load("mine").fingerprint == zoo.load("gray").fingerprint
    with pytest.raises(UnknownModelError, match=fingerprint.hex()):
        zoo.find("mine", fingerprint)


def test_a_users_photo_does_not_hide_ours(own: tuple[Path, bytes]) -> None:
    folder, fingerprint = own
    (folder / "mine.safetensors").rename(folder / "photo.safetensors")
    assert zoo.load("photo").fingerprint != fingerprint
    assert zoo.find("photo", fingerprint).fingerprint == fingerprint


def test_the_users_own_folder(
    tiny_model: Callable[..., LocalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("SHEARLOC_MODELS", raising=False)
    folder = zoo.folders()[-1]
    folder.mkdir(parents=True)
    tiny_model(1).save(folder / "mine.safetensors")
    assert "mine" in zoo.names()


def test_what_is_no_model_is_left_out(own: tuple[Path, bytes]) -> None:
    folder, _ = own
    for name, data in {
        "empty": b"",
        "text": b"not a model",
        "long": b"\xff" * 100,
        "list": b"\2" + bytes(7) + b"[]",
    }.items():
        (folder / f"{name}.safetensors").write_bytes(data)
        assert name not in zoo.names()
        with pytest.raises(UnknownModelError):
            zoo.load(name)
    with pytest.raises(ShearlocError, match="not a sound model"):
        zoo.load(str(folder / "text.safetensors"))
    with pytest.raises(ShearlocError, match="no model file"):
        zoo.load(str(folder / "missing.safetensors"))


def test_a_file_that_is_removed_meanwhile(own: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.load("photo")
    gone = own[0] / "gone.safetensors"
    shipped = list(zoo.WEIGHTS.glob("*.safetensors"))
    monkeypatch.setattr(zoo, "_files", lambda: iter([gone, *shipped]))
    assert zoo.find("elsewhere", model.fingerprint).name == "photo"
    gone.write_bytes((zoo.WEIGHTS / "gray.safetensors").read_bytes())
    family = zoo._family

    def removed(path: Path) -> Any:
        found = family(path)
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(zoo, "_family", removed)
    assert zoo.find("gone", model.fingerprint).name == "photo"
