"""The registry: a new family touches its own folder and one line, and nobody else asks what family a model is."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shearloc
from shearloc.codec import archive
from shearloc.errors import CorruptError
from shearloc.models import registry, zoo
from shearloc.models.family import Model

from . import toy
from .toy.model import Toy, save

PACKAGE = Path(shearloc.__file__).parent

ASKING = re.compile(
    r"isinstance\([^)]*(?:Local|Vae)\w*Model|kind_of|load_vae|"
    r"\.family(?:\.name)? (?:==|!=) |method == (?:LOCAL|VAE)|(?:==|!=|in) \(?[\"'](?:local|vae)[\"']|\.neighbours\) > 0"
)
"""What code looks like that asks for a model's family."""


@pytest.fixture
def toy_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy family, registered in one line, and a model of it in a folder of models."""
    monkeypatch.setattr(registry, "FAMILIES", [*registry.FAMILIES, toy.FAMILY])
    monkeypatch.setenv("SHEARLOC_MODELS", str(tmp_path))
    zoo._format.cache_clear()
    save(tmp_path / "seven.safetensors", 7)
    return tmp_path / "seven.safetensors"


@pytest.mark.parametrize("module", ["local", "vae"])
def test_families_are_models_of_the_protocol(module: str) -> None:
    family = importlib.import_module(f"shearloc.models.{module}").FAMILY
    assert registry.by_method(family.method) is family and registry.by_format(family.format) is family
    name = next(name for name in zoo.names() if zoo.family_of(name) is family)
    model: Model = zoo.load(name)
    assert model.family is family and model.name == name and len(model.fingerprint) == 8


def test_numbers_and_formats_differ() -> None:
    assert len({family.method for family in registry.FAMILIES}) == len(registry.FAMILIES)
    assert len({family.format for family in registry.FAMILIES}) == len(registry.FAMILIES)


def test_a_toy_family_codes_pictures_and_archives(
    toy_model: Path, picture: Callable[..., NDArray[np.uint8]], command: Callable[..., Any]
) -> None:
    image = picture(20, 30, 3)
    for name in ("seven", str(toy_model)):
        data = shearloc.encode(image, model=name)
        about: Any = shearloc.info(data)
        assert (about.method, about.model) == ("toy", "seven")
        assert np.array_equal(shearloc.decode(data), image)
    images = np.stack([image, image[::-1]])
    together = shearloc.encode_images(images, model="seven")
    assert np.array_equal(shearloc.decode(together), images)
    listed = command("models")
    assert any(line.startswith("seven") and " toy " in line for line in listed.out)


def test_a_toy_family_embeds_and_is_damaged(
    toy_model: Path, picture: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(20, 30, 3)
    data = shearloc.encode(image, model="seven", embed=True)
    together = shearloc.encode_images(image[None], model="seven", embed=True)
    monkeypatch.setenv("SHEARLOC_MODELS", "")
    assert np.array_equal(shearloc.decode(data), image)
    assert np.array_equal(archive.decode_images(together)[0], image[None])
    with pytest.raises(CorruptError):
        shearloc.decode(data[:-9] + bytes(9))


def test_the_toy_conforms() -> None:
    model: Model = Toy("seven", 7)
    assert model.refuses((4, 4, 3)) is None and model.refuses((4, 4, 1))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_families_ask_for_families(path: Path) -> None:
    """Training is about one family's float networks at a time, and asks none."""
    inside = path.relative_to(PACKAGE).parts
    if inside[:2] in (("models", "local"), ("models", "vae")):
        return
    assert not ASKING.findall(path.read_text(encoding="utf-8"))


def test_the_pattern_finds_what_was_there() -> None:
    """A test that cannot fail is none: these stood in the code."""
    for line in (
        'if zoo.kind_of(model) == "vae":',
        "isinstance(model, LocalModel)",
        "if header.method == LOCAL:",
        "alone = len(model.neighbours) > 0",
    ):
        assert ASKING.search(line)
