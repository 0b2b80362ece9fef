"""Model files: arrays and metadata to a `.safetensors` file and back. What they mean is `local.py`'s and `vae.py`'s.

Reading is safe for a file from anywhere: it runs no code, and lengths are checked before they are used.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from ..errors import ShearlocError

Arrays = dict[str, NDArray[Any]]


def read(data: bytes, form: str) -> tuple[dict[str, str], Arrays]:
    """Metadata and arrays of a file's bytes. ValueError if its metadata do not say that it is of this format."""
    arrays = load(data)  # checks the header that is read next
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata: dict[str, str] = header.get("__metadata__") or {}
    if metadata.get("format") != form:
        raise ValueError(f"its format is {metadata.get('format')}, not {form}")
    return metadata, arrays


def write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """A file of these."""
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path, metadata)
    path.chmod(0o644)  # safetensors makes it private


@contextmanager
def sound(source: str) -> Iterator[None]:
    """Whatever a broken file makes `read` and its readers raise becomes a ShearlocError that names its source."""
    try:
        yield
    except (SafetensorError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ShearlocError(f"{source} is not a sound model: {error}") from error
