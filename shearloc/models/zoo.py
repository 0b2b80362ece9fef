"""The zoo: the models that come with the package, by name; weights (.safetensors) with a card (.json) each.

It finds and loads; what is in a model is `local.py`'s business.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnknownModelError

if TYPE_CHECKING:
    from .local import LocalModel

WEIGHTS = Path(__file__).parent / "weights"


def names() -> list[str]:
    """Names of the models at hand, sorted."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def card(name: str) -> dict[str, Any]:
    """The card of a model: how it was trained and what was measured. UnknownModelError if there is no such model."""
    path = WEIGHTS / f"{name}.json"
    if name not in names():
        raise UnknownModelError(name)
    return dict(json.loads(path.read_text(encoding="utf-8")))


@cache
def load(name: str) -> "LocalModel":
    """The model of this name, loaded once. UnknownModelError if there is none."""
    if name not in names():
        raise UnknownModelError(name)
    from .local import load as load_local

    return load_local(WEIGHTS / f"{name}.safetensors", name)


def find(name: str, fingerprint: bytes) -> "LocalModel":
    """The model of this name with these very weights. UnknownModelError if they are not at hand."""
    if name not in names() or load(name).fingerprint != fingerprint:
        raise UnknownModelError(name, fingerprint)
    return load(name)
