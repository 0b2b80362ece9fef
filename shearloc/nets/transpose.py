"""Transposes matrices of int16, eight rows and eight columns at a time."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels import Apart
from .tiles import load, store

SIDE = 8


def _interleaved(builder: Any, first: Any, second: Any, upper: bool) -> Any:
    """The lower or upper halves of two vectors, one item of each after the other."""
    begin = SIDE // 2 if upper else 0
    places = [place for k in range(begin, begin + SIDE // 2) for place in (k, SIDE + k)]
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), SIDE), places))


@intrinsic
def _turn(_, source, source_stride, target, target_stride):  # type: ignore[no-untyped-def]
    """Transposes SIDE x SIDE int16 from one address to another; the strides are bytes from row to row. All int64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, source_stride, target, target_stride = args
        kind, rows = ir.VectorType(ir.IntType(16), SIDE), []
        for _ in range(SIDE):
            rows.append(load(builder, source, kind))
            source = builder.add(source, source_stride)
        # Thrice, row k and row k + 4 become rows 2 k and 2 k + 1.
        for _ in range(3):
            pairs = zip(rows[: SIDE // 2], rows[SIDE // 2 :], strict=True)
            rows = [_interleaved(builder, *pair, upper) for pair in pairs for upper in (False, True)]
        for row in rows:
            store(builder, row, target)
            target = builder.add(target, target_stride)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@Apart
def transpose(source, source_stride, rows, columns, target, target_stride):  # type: ignore[no-untyped-def]
    """int16 [rows, columns] at an address as [columns, rows] at another. All int64, strides in bytes.

    `columns` is a multiple of SIDE. Up to SIDE - 1 rows behind the last are read, and columns behind written.
    """
    for row in range(0, rows, SIDE):
        for column in range(0, columns, SIDE):
            here = source + row * source_stride + 2 * column
            _turn(here, source_stride, target + column * target_stride + 2 * row, target_stride)  # type: ignore[call-arg]
