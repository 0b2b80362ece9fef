"""Model files: arrays and metadata to a `.safetensors` file and back. Families of models know what they mean.

Arrays that deflate well are stored as zlib streams of their byte planes (docs/FORMAT.md, "Model files").
Reading is safe for a file from anywhere: it runs no code, and lengths are checked before they are used.
"""

import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from ..errors import ShearlocError
from ..inflate import inflate

Arrays = dict[str, NDArray[Any]]

TYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype("<i1"), "I16": np.dtype("<i2"), "I32": np.dtype("<i4")}
"""Types of arrays that can be deflated, by their names in the file."""
MAX_INFLATED = 1 << 24
"""Most bytes of a file's deflated arrays together; larger models store their arrays as they are."""


def read(data: bytes, form: str) -> tuple[dict[str, str], Arrays]:
    """Metadata and arrays in a file's bytes: contiguous, aligned, writable, inflated where necessary.

    ValueError if the metadata name another format, or do not fit a deflated array.
    """
    arrays = load(data)  # checks the header that is read next
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata: dict[str, str] = header.get("__metadata__") or {}
    if metadata.get("format") != form:
        raise ValueError(f"its format is {metadata.get('format')}, not {form}")
    deflated = {key: _description(key, metadata[key]) for key in arrays if key in metadata}
    if sum(math.prod(shape) * dtype.itemsize for dtype, shape in deflated.values()) > MAX_INFLATED:
        raise ValueError(f"its deflated arrays claim more than {MAX_INFLATED} bytes")
    for key, (dtype, shape) in deflated.items():
        arrays[key] = _inflated(key, arrays[key], dtype, shape)
    return metadata, arrays


def fingerprint(text: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """8 bytes that change with any number of a model: of SHA-256 over a text, and names, types, shapes and values."""
    digest = hashlib.sha256(text.encode())
    for key, array in sorted(arrays.items()):
        digest.update(f" {key} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()[:8]


def write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """A file of these arrays and metadata. No array may have the name of a metadata key."""
    stored: Arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    described = dict(metadata)
    names = {dtype: name for name, dtype in TYPES.items()}
    if sum(array.nbytes for array in stored.values()) <= MAX_INFLATED:
        for key, array in stored.items():
            stream = _deflated(array)
            if array.dtype in names and 10 * stream.size < 9 * array.nbytes:  # a tenth less is worth inflating
                described[key] = " ".join(map(str, (names[array.dtype], *array.shape)))
                stored[key] = stream
    save_file(stored, path, described)
    path.chmod(0o644)  # safetensors makes it private


def _description(key: str, text: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of a deflated array, from a text such as "I16 784 500". ValueError if it is none."""
    if not re.fullmatch(f"({'|'.join(TYPES)})( [0-9]{{1,8}}){{1,4}}", text):
        raise ValueError(f"the metadata of {key} are not a type and a shape")
    name, *sizes = text.split()
    return TYPES[name], tuple(map(int, sizes))


def _deflated(array: NDArray[Any]) -> NDArray[np.uint8]:
    """An array's bytes as a zlib stream, uint8 [bytes]: the first (lowest) of every number, then the second, …

    The upper bytes of weights are few and small numbers, which the lower ones would separate.
    """
    planes = array.reshape(-1, 1).view(np.uint8).T
    packer = zlib.compressobj(level=9, strategy=zlib.Z_FILTERED)
    return np.frombuffer(packer.compress(planes.tobytes()) + packer.flush(), np.uint8)


def _inflated(key: str, stream: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The inverse of `_deflated`. ValueError if the stream is not of this very length."""
    size = math.prod(shape) * dtype.itemsize
    if stream.dtype != np.uint8 or stream.ndim != 1:
        raise ValueError(f"{key} is {stream.dtype} {stream.shape}, not a stream of bytes")
    planes = inflate(stream.tobytes(), size, f"the numbers of {key}")
    if len(planes) != size:
        raise ValueError(f"{key} is longer or shorter than it says")
    # A copy, because Numba compiles anew for an array that cannot be written.
    numbers = np.frombuffer(planes, np.uint8).reshape(dtype.itemsize, -1).T.copy("C")
    return numbers.view(dtype).reshape(shape)


@contextmanager
def sound(source: str) -> Iterator[None]:
    """Turns whatever a broken file makes `read` and its readers raise into a ShearlocError that names its source."""
    try:
        yield
    except (SafetensorError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError, zlib.error) as error:
        raise ShearlocError(f"{source} is not a sound model: {error}") from error
