"""Packs a local model's side information: the bias adjustments that adapt it to an image.

`training/adapt.py` finds them, `models/local/model.py` applies them.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptError
from ...inflate import inflate


def pack(adjustments: NDArray[np.int8]) -> bytes:
    """int8 [n] as a zlib stream (RFC 1950), by Huffman codes alone: best for small numbers in no order."""
    stream = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    return stream.compress(adjustments.tobytes()) + stream.flush()


def unpack(data: bytes, count: int) -> NDArray[np.int8]:
    """The int8 [count] that `pack` was given. CorruptError if the bytes are anything else."""
    content = inflate(data, count, "the numbers of the file's side information")
    if len(content) != count:
        raise CorruptError(f"the file's side information is not {count} numbers")
    return np.frombuffer(content, np.int8)
