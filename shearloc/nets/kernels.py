"""What all kernels share: Numba's options, and memory addresses.

A kernel allocates nothing, so that Numba counts no references: its caller brings the room. That costs less time, and
less than half the compiling. Index with unsigned integers: for signed ones Numba asks whether they count from the end.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of a kernel that Python calls."""

PART: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "inline": "always"}
"""Options of a piece of other kernels, which is compiled into them and kept with them."""

class Apart:
    """A kernel that other kernels `call` by its address.

    LLVM compiles it once, and not again within each of them; Python calls it like any other. It returns nothing.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._dispatcher = njit(**KERNEL, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> None:
        _called(self.at(*arguments), arguments)

    def at(self, *arguments: Any) -> int:
        """Where it is, compiled for arguments of these very types."""
        kinds = tuple(map(typeof, arguments))
        self._dispatcher.compile(kinds)
        found = self._dispatcher.overloads[kinds]
        return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


@intrinsic
def call(_, place, arguments):  # type: ignore[no-untyped-def]
    """Calls the kernel at an address (`Apart.at`) with a tuple of arguments, of the types that it is compiled for."""
    kinds = [types.unliteral(kind) for kind in arguments.types]

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        given = cgutils.unpack_tuple(builder, args[1], len(kinds))
        given = [context.cast(builder, value, *pair) for value, *pair in zip(given, arguments.types, kinds, strict=True)]
        context.call_conv.call_function(builder, function, types.none, kinds, given)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


@njit(**KERNEL)
def _called(place, arguments):  # type: ignore[no-untyped-def]
    """`call`, from Python."""
    call(place, arguments)


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
