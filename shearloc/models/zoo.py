"""The zoo: the models at hand, by name: weights (.safetensors) with a card (.json) beside them.

They come with the package, or lie in the folders that SHEARLOC_MODELS names or in the user's own.
It finds and loads; what is in a model is the business of `local.py` and `vae.py`, the two kinds there are.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from platformdirs import user_data_path

from ..errors import ShearlocError, UnknownModelError

if TYPE_CHECKING:
    from .local.model import LocalModel
    from .vae.model import VaeModel

    Model = TypeVar("Model", LocalModel, VaeModel)

WEIGHTS = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
MAX_NAME = 255
"""Bytes of a name in a file's header."""

_LENT: list[Path] = []
"""Model files outside the folders that were named to this process."""


def folders() -> list[Path]:
    """Where models are looked for, in this order: the package's, those in SHEARLOC_MODELS, the user's own."""
    named = [Path(folder) for folder in os.environ.get("SHEARLOC_MODELS", "").split(os.pathsep) if folder]
    return [WEIGHTS, *named, user_data_path("shearloc", appauthor=False) / "models"]


def names(kind: str = "local") -> list[str]:
    """Names of the models of a kind ("local" or "vae") at hand, sorted."""
    return sorted({path.stem for path in _files() if _kind(path) == kind})


def card(name: str) -> dict[str, Any]:
    """The card of a model: how it was trained and what was measured; empty if it has none.

    UnknownModelError if there is no such model.
    """
    path = _path(name).with_suffix(".json")
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def training_images(name: str) -> set[str] | None:
    """Fingerprints (`images.fingerprint`) of the images a model was trained on; None where its card has no record.

    UnknownModelError if there is no such model.
    """
    found = card(name).get("training_images")
    return None if found is None else set(found)


def load(name: str) -> "LocalModel":
    """The local model of this name, or of a .safetensors file's path. UnknownModelError if there is none."""
    return _local(*_stamped(_path(name, "local")))


def load_vae(name: str) -> "VaeModel":
    """The variational autoencoder of this name, or of a file's path. UnknownModelError if there is none."""
    return _vae(*_stamped(_path(name, "vae")))


def find(name: str, fingerprint: bytes) -> "LocalModel":
    """The local model with these very weights, whatever it is called here; `name` is what the file calls it.

    UnknownModelError if they are not at hand.
    """
    return _found(name, fingerprint, "local", _local)


def find_vae(name: str, fingerprint: bytes) -> "VaeModel":
    """The autoencoder with these very weights, as `find`."""
    return _found(name, fingerprint, "vae", _vae)


def load_any(name: str) -> "LocalModel | VaeModel":
    """The model of this name, or of a file's path, of whatever kind."""
    return load_vae(name) if kind_of(name) == "vae" else load(name)


def lend(file: str) -> None:
    """Have `find` look at this model file, too, from here on. ShearlocError where it is no model."""
    load_any(file)
    path = Path(os.path.abspath(file))
    if path not in _LENT:
        _LENT.append(path)


def kind_of(name: str) -> str:
    """Kind of the model of this name, or of a file's path: "local" or "vae". UnknownModelError if there is none."""
    return _kind(_path(name))


def weights(name: str, kind: str) -> bytes:
    """The model file of this name and kind, or path, as it is. UnknownModelError if there is none."""
    return _path(name, kind).read_bytes()


def parse(data: bytes, name: str) -> "LocalModel | VaeModel":
    """The model in the bytes of a model file. ShearlocError if they are none."""
    if _kind_in(data) == "vae":
        from .vae.model import parse as parse_vae

        return parse_vae(data, name, f"model '{name}'")
    from .local.model import parse as parse_local

    return parse_local(data, name, f"model '{name}'")


def _files() -> Iterator[Path]:
    """All model files; of one name's, the one that the name means comes first."""
    for folder in folders():
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def _path(name: str, kind: str | None = None) -> Path:
    """File of the model of this name (and kind), or `name` itself if it is the path of a model file."""
    if name.endswith(SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise ShearlocError(f"there is no model file {name}")
        if not path.stem.isprintable() or len(path.stem.encode()) > MAX_NAME:
            raise ShearlocError(f"a model has a printable name of at most {MAX_NAME} bytes: rename {name!r}")
        return path
    for path in _files():
        if path.stem == name and kind in (None, _kind(path)):
            return path
    raise UnknownModelError(name)


def _found(name: str, fingerprint: bytes, kind: str, load: Callable[[Path, int], "Model"]) -> "Model":
    """The model of a kind with these weights; files of the name are looked at first, broken ones are passed over."""
    paths = [path for path in (*_LENT, *_files()) if path.is_file() and _kind(path) == kind]
    for path in sorted(paths, key=lambda path: path.stem != name):
        with suppress(ShearlocError):
            model = load(*_stamped(path))
            if model.fingerprint == fingerprint:
                return model
    raise UnknownModelError(name, fingerprint)


def _stamped(path: Path) -> tuple[Path, int]:
    """A file as it is now: trained again, it is another one to the caches."""
    return path, path.stat().st_mtime_ns


def _kind(path: Path) -> str:
    """Kind of a model file, "" if it is none: from its metadata, which needs no NumPy."""
    return _cached_kind(*_stamped(path))


@cache
def _cached_kind(path: Path, stamp: int) -> str:
    try:
        with path.open("rb") as file:
            return _kind_in(file.read(1 << 20))
    except OSError:
        return ""


def _kind_in(data: bytes) -> str:
    """Kind of a model file that begins so."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return {"shearloc-local-1": "local", "shearloc-vae-1": "vae"}.get(header["__metadata__"]["format"], "")
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


@cache
def _local(path: Path, stamp: int) -> "LocalModel":
    from .local.model import load as load_local

    return load_local(path, path.stem)


@cache
def _vae(path: Path, stamp: int) -> "VaeModel":
    from .vae.model import load as load_exact

    return load_exact(path, path.stem)
