"""What all kernels share: Numba's options, calls by address, bundles of arrays, and aligned memory.

A kernel allocates nothing, so that Numba counts no references: its caller brings the room. That costs less time, and
less than half the compiling. Index with unsigned integers: for signed ones Numba asks whether they count from the end.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
from numba import njit, typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from . import compiling, shortcuts  # noqa: F401  # what they change about Numba must come first

KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Options of a kernel that Python calls."""

_BARE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""And of one that Python cannot call, as it has no code that takes Python's objects."""

PART: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "inline": "always"}
"""Options of a piece of other kernels, which is compiled into them and kept with them."""


class Apart:
    """A kernel that other kernels `call` by its address.

    LLVM compiles it once, and not again within each of them; Python calls it like any other. It returns nothing.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._dispatcher: Any = njit(**KERNEL, **_BARE)(function)
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
def _call(_, place, arguments):  # type: ignore[no-untyped-def]
    """Calls the kernel at an address (`Apart.at`) with a tuple of arguments, of the types that it is compiled for."""
    kinds = [types.unliteral(kind) for kind in arguments.types]  # type: ignore[no-untyped-call]

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        form = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(args[0], form.as_pointer())
        given = cgutils.unpack_tuple(builder, args[1], len(kinds))  # type: ignore[no-untyped-call]
        casts = zip(given, arguments.types, kinds, strict=True)
        given = [context.cast(builder, value, kind, wanted) for value, kind, wanted in casts]
        context.call_conv.call_function(builder, function, types.none, kinds, given)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


call: Any = _call


@njit(**KERNEL)
def _called(place, arguments):  # type: ignore[no-untyped-def]
    """`call`, from Python."""
    call(place, arguments)


def opener(bundle: Any) -> Any:
    """A function for kernels that gives a bundle which `keep` put at an address.

    A bundle is a NamedTuple whose fields are int, Annotated[NDArray[dtype], dimensions], or bundles. A kernel that
    takes its address instead of it has hundreds of numbers less to pass on, and compiles in half the time.
    """
    kind = _type_of(bundle)

    @intrinsic
    def opened(_, place):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            pointer = builder.inttoptr(args[0], context.get_data_type(kind).as_pointer())
            return context.unpack_value(builder, kind, pointer)

        return kind(types.int64), generate

    return opened


def _type_of(bundle: Any) -> Any:
    """Numba's type of a bundle."""
    fields = []
    for hint in get_type_hints(bundle, include_extras=True).values():
        if isinstance(hint, type):
            fields.append(types.int64 if hint is int else _type_of(hint))
        else:
            array, dimensions = get_args(hint)
            fields.append(types.Array(from_dtype(np.dtype(get_args(get_args(array)[1])[0])), dimensions, "C"))
    return types.BaseTuple.from_types(fields, bundle)  # type: ignore[no-untyped-call]


def keep(bundle: Any) -> NDArray[np.int64]:
    """Memory that holds a bundle for its `opener`. The bundle must live as long. TypeError where arrays are others."""
    found, wanted = typeof(bundle), _type_of(type(bundle))  # type: ignore[no-untyped-call]
    if found != wanted:
        raise TypeError(f"{type(bundle).__name__} is {found}, not {wanted}")
    return np.array(list(_words(bundle)), np.int64)


def _words(value: Any) -> Iterator[int]:
    """A value as Numba has it in memory: of an array no owner, its size, its items' size, its data, shape, strides."""
    if isinstance(value, np.ndarray):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(value, tuple):
        for field in value:
            yield from _words(field)
    else:
        yield int(value)


LINE = 64
"""Bytes of a cache line, and of the longest vector."""


VECTOR = LINE // 4
"""int32 in the longest vector: kernels that read sums go through whole vectors, so sums have so many columns more."""


@intrinsic
def _address(_, array):  # type: ignore[no-untyped-def]
    """The address of an array's first item, int64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), generate


address: Any = _address


@intrinsic
def _entry(_, address):  # type: ignore[no-untyped-def]
    """The int64 at an address, by an instruction of its own.

    LLVM would read entries of a table for several lanes of a vector at once (gather), which is slower on Intel's
    processors than one after another. It leaves an atomic read as it is.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(builder.inttoptr(args[0], args[0].type.as_pointer()), "monotonic", 8)

    return types.int64(types.int64), generate


entry: Any = _entry


@intrinsic
def _rint(_, value):  # type: ignore[no-untyped-def]
    """A float rounded to the nearest integer, ties to even. `np.rint` does the same, and compiles longer."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(value)
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [kind]), args)

    return value(value), generate


rint: Any = _rint


@intrinsic
def _clamp(_, value, low, high):  # type: ignore[no-untyped-def]
    """`min(max(value, low), high)` of integers or floats of one type, which compiles longer."""
    kind = types.unliteral(value)  # type: ignore[no-untyped-call]

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        less = builder.icmp_signed if isinstance(kind, types.Integer) else builder.fcmp_ordered
        least = builder.select(less("<", args[0], args[1]), args[1], args[0])
        return builder.select(less("<", args[2], least), args[2], least)

    return kind(kind, kind, kind), generate


clamp: Any = _clamp


def blank(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that begin at a multiple of LINE, so that a vector lies in one cache line.

    A vector may run over their end: LINE more bytes may be read and written there.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + 2 * LINE, np.uint8)
    begin = -room.ctypes.data % LINE
    zeros: NDArray[Any] = room[begin : begin + size].view(dtype).reshape(shape)
    return zeros


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy in a `blank`."""
    copy = blank(array.shape, array.dtype)
    copy[...] = array
    return copy
