"""The registry of model families: by name, by the number of their method in files, and by their model files."""

from importlib import import_module

from .family import Family

_FOLDERS = (
    "local",
    "vae",
    "learning",
    "squares",
)
"""One line for each family: a folder beside this file."""

FAMILIES: list[Family] = [import_module(f"{__package__}.{folder}").FAMILY for folder in _FOLDERS]


def by_method(method: int) -> Family | None:
    """The family whose files have this number; None where there is none."""
    return next((family for family in FAMILIES if family.method == method), None)


def by_format(form: object) -> Family | None:
    """The family whose model files say this in their metadata; None where there is none."""
    return next((family for family in FAMILIES if family.format == form), None)
