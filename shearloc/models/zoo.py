"""The zoo finds models by name: weights (.safetensors) with a card (.json) beside them.

Models come with the package, or are in the folders that SHEARLOC_MODELS names or in the user's own. A model of any
family is loaded by its name, or by the path of its file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ShearlocError, UnknownModelError
from . import registry
from .family import Family, Model

WEIGHTS = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
MAX_NAME = 255
"""Most bytes of a name in a file's header."""

Kind = TypeVar("Kind")

_KEPT = 32
"""Models that stay in memory."""
_LENT: list[Path] = []
"""Model files outside the folders that were named to this process."""


def folders() -> list[Path]:
    """Where models are looked for, in this order: the package's, those in SHEARLOC_MODELS, the user's own."""
    named = [Path(folder) for folder in os.environ.get("SHEARLOC_MODELS", "").split(os.pathsep) if folder]
    return [WEIGHTS, *named, user_folder()]


def user_folder() -> Path:
    """The user's own folder of models, which need not exist."""
    from platformdirs import user_data_path

    return user_data_path("shearloc", appauthor=False) / "models"


def names() -> list[str]:
    """Names of the installed models, sorted."""
    return sorted({path.stem for path in _files() if _family(path)})


def family_of(name: str) -> Family:
    """The family of the model of this name, or of a file's path; its weights are not read.

    UnknownModelError if there is no such model, ShearlocError for a file that is none.
    """
    path = _path(name)
    family = _family(path)
    if family is None:
        raise ShearlocError(f"{path} is not a sound model: no family of models has its format")
    return family


def card(name: str) -> dict[str, Any]:
    """The card of a model: how it was trained and what was measured; empty if it has none.

    UnknownModelError if there is no such model.
    """
    path = _path(name).with_suffix(".json")
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def file_of(name: str) -> Path:
    """The model file of this name, or path; its card is beside it. UnknownModelError if there is none."""
    return _path(name)


def training_images(name: str) -> set[str] | None:
    """Fingerprints (`images.fingerprint`) of the images a model was trained on; None where its card has no record.

    UnknownModelError if there is no such model.
    """
    found = card(name).get("training_images")
    return None if found is None else set(found)


def load(name: str) -> Model:
    """The model of this name, or of a .safetensors file's path. UnknownModelError if there is none."""
    return _load(*_stamped(_path(name)))


def load_as(kind: type[Kind], name: str) -> Kind:
    """`load`, for code that needs one family's models. ShearlocError for a model of another family."""
    model = load(name)
    if not isinstance(model, kind):
        raise ShearlocError(f"model '{name}' is of the family '{model.family.name}'; another family's is needed here")
    return model


def find(name: str, fingerprint: bytes) -> Model:
    """The model with exactly these weights, whatever its name here; `name` is the file's name for it.

    Files of that name are tried first, broken ones skipped. UnknownModelError if no model has these weights.
    """
    paths = [path for path in (*_LENT, *_files()) if path.is_file() and _family(path)]
    for path in sorted(paths, key=lambda path: path.stem != name):
        with suppress(ShearlocError, OSError):  # it may be removed meanwhile
            model = _load(*_stamped(path))
            if model.fingerprint == fingerprint:
                return model
    raise UnknownModelError(name, fingerprint)


def lend(file: str) -> None:
    """Have `find` look at this model file, too, from here on. ShearlocError where it is no model."""
    load(file)
    path = Path(os.path.abspath(file))
    if path not in _LENT:
        _LENT.append(path)


def weights(name: str) -> bytes:
    """The model file of this name, or path, as it is. UnknownModelError if there is none."""
    return _path(name).read_bytes()


def parse(data: bytes, name: str, source: str | None = None) -> Model:
    """The model in the bytes of a model file. ShearlocError, which calls them `source`, if they are none."""
    source = source or f"model '{name}'"
    family = registry.by_format(_format_in(data))
    if family is None:
        raise ShearlocError(f"{source} is not a sound model: no family of models has its format")
    return family.parse(data, name, source)


def _files() -> Iterator[Path]:
    """All model files, in the order of the folders: of several with one name, the first is meant."""
    for folder in folders():
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def _path(name: str) -> Path:
    """File of the model of this name, or `name` itself if it is the path of a model file."""
    if name.endswith(SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise ShearlocError(f"there is no model file {name}")
        if not path.stem.isprintable() or len(path.stem.encode()) > MAX_NAME:
            raise ShearlocError(f"a model has a printable name of at most {MAX_NAME} bytes: rename {name!r}")
        return path
    for path in _files():
        if path.stem == name and _family(path):
            return path
    raise UnknownModelError(name)


def _stamped(path: Path) -> tuple[Path, int]:
    """A file and its time of change, so that caches notice a model that was trained again."""
    return path, path.stat().st_mtime_ns


@lru_cache(maxsize=_KEPT)
def _load(path: Path, stamp: int) -> Model:
    return parse(path.read_bytes(), path.stem, str(path))


def _family(path: Path) -> Family | None:
    """The family of a model file, None if it is none, or is there no longer."""
    try:
        return registry.by_format(_format(*_stamped(path)))
    except OSError:
        return None


@lru_cache(maxsize=1024)
def _format(path: Path, stamp: int) -> object:
    try:
        with path.open("rb") as file:
            return _format_in(file.read(1 << 20))
    except OSError:
        return None


def _format_in(data: bytes) -> object:
    """What the metadata of a model file that begins so call its format; it needs no NumPy."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return header["__metadata__"]["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
