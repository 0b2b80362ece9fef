"""CRC-32C (Castagnoli): the checksum of the container. It finds damage; it does not protect against forgery.

Reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF, as in iSCSI and ext4. Headers are short and go
through plain Python, so that looking at a file compiles nothing.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78

SHORT = 1 << 10
"""Below this many bytes, plain Python (0.1 ms at most) is as quick as Numba."""
LONG = 1 << 22
"""Below this many bytes, plain Python (0.3 s at most) is quicker than importing Numba."""


def crc32c(data: "bytes | bytearray | memoryview | NDArray[np.uint8]") -> int:
    """CRC-32C of a contiguous buffer, in [0, 2^32). Arrays count in C order."""
    octets = memoryview(data).cast("B")  # type: ignore[arg-type]  # types know arrays as buffers from 3.12
    short = len(octets) < (SHORT if "numba" in sys.modules else LONG)
    crc = _by_byte(octets, 0xFFFFFFFF) if short else _by_eight(octets, 0xFFFFFFFF)
    return crc ^ 0xFFFFFFFF


def _by_byte(octets: memoryview, crc: int) -> int:
    """Plain Python, one table look-up per byte."""
    table = _tables()[0]
    for octet in octets:
        crc = crc >> 8 ^ table[(crc ^ octet) & 0xFF]
    return crc


def _by_eight(octets: memoryview, crc: int) -> int:
    """Numba, eight bytes a step; the tail goes byte by byte."""
    import numpy as np

    body = len(octets) // 8 * 8
    view = np.frombuffer(octets[:body], np.uint8)
    view.flags.writeable = False  # one compiled signature for bytes and for arrays
    crc = int(_compiled()(_table_array(), view, crc))
    return _by_byte(octets[body:], crc)


@cache
def _tables() -> list[list[int]]:
    """tables[k][b]: the register after byte b and k zero bytes."""
    first = list(range(256))
    for _ in range(8):
        first = [value >> 1 ^ (POLYNOMIAL if value & 1 else 0) for value in first]
    tables = [first]
    for _ in range(7):
        tables.append([value >> 8 ^ first[value & 0xFF] for value in tables[-1]])
    return tables


@cache
def _table_array() -> "NDArray[np.int64]":
    import numpy as np

    return np.array(_tables(), np.int64)


@cache
def _compiled() -> Callable[..., Any]:
    """The kernel, compiled or taken from Numba's cache on disk. Numba is imported only here."""
    from numba import njit

    from ...kernels import KERNEL

    compiled: Callable[..., Any] = njit(**KERNEL)(_slicing_by_eight)
    return compiled


def _slicing_by_eight(tables: "NDArray[np.int64]", view: "NDArray[np.uint8]", crc: int) -> int:
    for i in range(0, view.size, 8):
        low = crc ^ (view[i] | view[i + 1] << 8 | view[i + 2] << 16 | view[i + 3] << 24)
        crc = (
            tables[7, low & 0xFF]
            ^ tables[6, low >> 8 & 0xFF]
            ^ tables[5, low >> 16 & 0xFF]
            ^ tables[4, low >> 24]
            ^ tables[3, view[i + 4]]
            ^ tables[2, view[i + 5]]
            ^ tables[1, view[i + 6]]
            ^ tables[0, view[i + 7]]
        )
    return crc
