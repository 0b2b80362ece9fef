"""The zoo: the models that come with the package, by name; weights (.safetensors) with a card (.json) each.

It finds and loads; what is in a model is the business of `local.py` and `vae.py`, the two kinds there are.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnknownModelError

if TYPE_CHECKING:
    from .local import LocalModel
    from .vae import VaeModel

WEIGHTS = Path(__file__).parent / "weights"


def names(kind: str = "local") -> list[str]:
    """Names of the models of a kind ("local" or "vae") at hand, sorted."""
    return sorted(name for name in _all_names() if _card(name).get("kind", "local") == kind)


def _all_names() -> list[str]:
    return [path.stem for path in WEIGHTS.glob("*.safetensors")]


@cache
def _card(name: str) -> dict[str, Any]:
    return dict(json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8")))


def card(name: str) -> dict[str, Any]:
    """The card of a model: how it was trained and what was measured. UnknownModelError if there is no such model."""
    if name not in _all_names():
        raise UnknownModelError(name)
    return dict(_card(name))


@cache
def load(name: str) -> "LocalModel":
    """The local model of this name, loaded once. UnknownModelError if there is none."""
    if name not in names():
        raise UnknownModelError(name)
    from .local import load as load_local

    return load_local(WEIGHTS / f"{name}.safetensors", name)


@cache
def load_vae(name: str) -> "VaeModel":
    """The variational autoencoder of this name, loaded once. UnknownModelError if there is none."""
    if name not in names("vae"):
        raise UnknownModelError(name)
    from .vae import load as load_exact

    return load_exact(WEIGHTS / f"{name}.safetensors", name)


def find(name: str, fingerprint: bytes) -> "LocalModel":
    """The local model of this name with these very weights. UnknownModelError if they are not at hand."""
    if name not in names() or load(name).fingerprint != fingerprint:
        raise UnknownModelError(name, fingerprint)
    return load(name)


def find_vae(name: str, fingerprint: bytes) -> "VaeModel":
    """The autoencoder of this name with these very weights. UnknownModelError if they are not at hand."""
    if name not in names("vae") or load_vae(name).fingerprint != fingerprint:
        raise UnknownModelError(name, fingerprint)
    return load_vae(name)
