"""`import shearloc`: what it shows, and that it costs nothing."""

import pickle
import subprocess
import sys

import pytest

import shearloc


def test_import_is_light() -> None:
    code = "import sys, shearloc; print({'numpy', 'numba', 'torch', 'PIL', 'typer'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=300).strip() == "set()"


def test_every_name_is_there_and_described() -> None:
    for name in set(shearloc.__all__) - {"__version__"}:
        assert getattr(shearloc, name).__doc__
    assert dir(shearloc) == sorted(shearloc.__all__)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        shearloc.nothing  # noqa: B018


def test_errors_are_value_errors() -> None:
    for name in ("FormatError", "CorruptError", "UnknownModelError", "UnsupportedImageError"):
        assert issubclass(getattr(shearloc, name), shearloc.ShearlocError)
    assert issubclass(shearloc.ShearlocError, ValueError)


def test_unknown_model_names_model_and_weights() -> None:
    error = pickle.loads(pickle.dumps(shearloc.UnknownModelError("photo", bytes(range(8)))))
    assert (error.name, error.fingerprint) == ("photo", bytes(range(8)))
    assert "'photo'" in str(error) and "0001020304050607" in str(error)
