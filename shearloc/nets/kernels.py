"""What all kernels share: Numba's options, and memory addresses.

A kernel allocates nothing, so that Numba counts no references: its caller brings the room. That costs less time, and
less than half the compiling. Index with unsigned integers: for signed ones Numba asks whether they count from the end.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of a kernel that Python calls."""

PART: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of a piece of other kernels, which is compiled into them and kept with them."""

LINE = 64
"""Bytes of a cache line, and of the longest vector."""


VECTOR = LINE // 4
"""int32 in the longest vector: kernels that read sums go through whole vectors, so sums have so many columns more."""


@intrinsic
def address(_, array):  # type: ignore[no-untyped-def]
    """The address of an array's first item, int64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), generate


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that begins at a multiple of LINE: vectors of it lie in one cache line each."""
    room = np.zeros(array.nbytes + LINE, np.uint8)
    begin = -room.ctypes.data % LINE
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
