"""Models as jobs see them: by name or by file, the engine that checks another's work, and the user's own folder."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import CorruptError, ShearlocError, UnknownModelError


def use(model: str) -> None:
    """Check that there is a model of this name or file; a file's weights are found by decoders from here on.

    UnknownModelError, or ShearlocError for a file that is no model.
    """
    from ..models import zoo

    if model in ("auto", "raw"):
        return
    zoo.family_of(model)
    if model.endswith(zoo.SUFFIX):
        zoo.lend(model)


def fingerprint(model: str) -> str:
    """What tells a model from another of its name: "" for one at hand, the weights' fingerprint for a file."""
    from ..models import zoo

    return zoo.load(model).fingerprint.hex() if model.endswith(zoo.SUFFIX) else ""


def makes_archives(model: str) -> bool:
    """Whether a model, by name or file, codes archives only, a single image's, too."""
    from ..models import zoo

    return model not in ("auto", "raw") and not zoo.family_of(model).pictures


def options_of(model: str) -> frozenset[str]:
    """Of "effort", "order" and "steps": those that change what a model's encoder does; all where none is named."""
    from ..models import zoo

    if model in ("auto", "raw"):
        return frozenset(("effort", "order", "steps") if model == "auto" else ())
    return zoo.family_of(model).options


def check(is_equal: Callable[[], bool], what: str, content: str, engine: str) -> None:
    """Verify a new file: ShearlocError where it is damaged or holds something else.

    `is_equal` decodes it, with `engine`, and compares. What keeps it from decoding (no memory, a model that is not
    there) is no damage, and raises its own error.
    """
    try:
        equal = is_equal()
    except CorruptError:
        equal = False
    except ShearlocError as error:
        raise ShearlocError(f"the new {what} cannot be verified, so it was not kept: {error}") from error
    if not equal:
        raise ShearlocError(
            f"verification failed: the new {what} does not decode to this {content} with the engine {engine}, so it "
            "was not kept; try another --engine, and please report it"
        )


# --- The user's folder ------------------------------------------------------------------------------------------


def add(file: Path, force: bool) -> Path:
    """Copy a model and its card to the user's folder, where they are found by name; gives the new file.

    ShearlocError for a file that is no model, and for a name that another model has, but with `force` in the user's
    own folder. OSError.
    """
    from ..codec.pictures.files import write_atomic
    from ..models import zoo

    model = zoo.load(str(file))
    folder = zoo.user_folder()
    target = folder / file.name
    name = file.stem
    if name in ("auto", "raw"):
        raise ShearlocError(f"{file}: no model is called '{name}', which means something else; rename the file")
    if target.exists() and os.path.samefile(file, target):
        raise ShearlocError(f"{file}: is where it belongs already")
    if name in zoo.names() and not (force and target.exists()):
        there = zoo.load(str(target) if target.exists() else name)
        if there.fingerprint == model.fingerprint:
            raise ShearlocError(f"{file}: model '{name}' is installed already, with the same weights")
        raise ShearlocError(
            f"{file}: another model is called '{name}'; "
            + ("--force replaces it" if target.exists() else "rename the file and its card")
        )
    folder.mkdir(parents=True, exist_ok=True)
    card = file.with_suffix(".json")
    if card.is_file():
        write_atomic(target.with_suffix(".json"), card.read_bytes())
    else:
        target.with_suffix(".json").unlink(missing_ok=True)
    write_atomic(target, file.read_bytes())
    return target


def remove(name: str) -> Path:
    """Remove a model and its card from the user's folder; gives the file that was there. ShearlocError, OSError."""
    from ..models import zoo

    folder = zoo.user_folder()
    target = folder / f"{name}{zoo.SUFFIX}"
    if Path(name).name != name or not target.is_file():
        if name in zoo.names():
            raise ShearlocError(f"model '{name}' is not in {folder}, and only what is there can be removed")
        raise UnknownModelError(name)
    target.unlink()
    target.with_suffix(".json").unlink(missing_ok=True)
    return target
