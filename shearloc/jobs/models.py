"""Models as jobs see them: by name or file, the engine that verifies new files, and the user's own folder."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import CorruptError, ShearlocError, UnknownModelError


def use(model: str) -> None:
    """Check that there is a model of this name or file. From here on, decoders find a file's weights.

    UnknownModelError, or ShearlocError for a file that is not a model.
    """
    from ..models import zoo

    if model in ("auto", "raw"):
        return
    zoo.family_of(model)
    if model.endswith(zoo.SUFFIX):
        zoo.lend(model)


def fingerprint(model: str) -> str:
    """What tells models of one name apart: "" for an installed model, the weights' fingerprint for a file."""
    from ..models import zoo

    return zoo.load(model).fingerprint.hex() if model.endswith(zoo.SUFFIX) else ""


def makes_archives(model: str) -> bool:
    """Whether a model, by name or file, codes archives only, even for a single image."""
    from ..models import zoo

    return model not in ("auto", "raw") and not zoo.family_of(model).pictures


def options_of(model: str) -> frozenset[str]:
    """Which of "effort", "order" and "steps" change what a model's encoder does; all, if no model is named."""
    from ..models import zoo

    if model in ("auto", "raw"):
        return frozenset(("effort", "order", "steps") if model == "auto" else ())
    return zoo.family_of(model).options


def check(is_equal: Callable[[], bool], what: str, content: str, engine: str) -> None:
    """Verify a new file: ShearlocError where it is damaged or holds something else.

    `is_equal` decodes it with `engine`, and compares. What merely prevents decoding (no memory, a missing model) raises
    an error of its own.
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
    """Copy a model and its card to the user's folder, where they are found by name; returns the new file.

    ShearlocError for a file that is not a model, and for a name that is taken, unless `force` replaces a model in the
    user's own folder. OSError.
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
        raise ShearlocError(f"{file}: is already where it belongs")
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
    """Remove a model and its card from the user's folder; returns the removed file. ShearlocError, OSError."""
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
