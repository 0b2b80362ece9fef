"""Lays out matrices of int16 for products: transposed, or two rows side by side."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels import Apart
from .shorts import BLOCK, COLUMNS
from .tiles import load, store

SIDE = 8
_WORD = ir.IntType(32)


def _interleaved(builder: Any, first: Any, second: Any, upper: bool) -> Any:
    """The lower or upper halves of two vectors, one item of each after the other."""
    begin = SIDE // 2 if upper else 0
    places = [place for k in range(begin, begin + SIDE // 2) for place in (k, SIDE + k)]
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_WORD, SIDE), places))


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


@intrinsic
def _put_zero(_, place):  # type: ignore[no-untyped-def]
    """An int16 at an address becomes 0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        store(builder, ir.Constant(ir.IntType(16), 0), args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def _pair(_, upper, lower, target):  # type: ignore[no-untyped-def]
    """COLUMNS int16 at two addresses, in turn, to another."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(16), COLUMNS)
        rows = [load(builder, place, kind) for place in args[:2]]
        places = [place for k in range(COLUMNS) for place in (k, COLUMNS + k)]
        store(builder, builder.shuffle_vector(*rows, ir.Constant(ir.VectorType(_WORD, 2 * COLUMNS), places)), args[2])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


turn: Any = _turn
put_zero: Any = _put_zero
pair: Any = _pair


@Apart
def transpose(source, source_stride, rows, columns, target, target_stride):  # type: ignore[no-untyped-def]
    """int16 [rows, columns] at an address as [columns, rows] at another. All int64, strides in bytes.

    `columns` is a multiple of SIDE. Up to SIDE - 1 rows behind the last are read, and columns behind written; after an
    odd number of rows, a column of 0.
    """
    for row in range(0, rows, SIDE):
        for column in range(0, columns, SIDE):
            here = source + row * source_stride + 2 * column
            turn(here, source_stride, target + column * target_stride + 2 * row, target_stride)
    if rows % 2:
        for column in range(columns):
            put_zero(target + column * target_stride + 2 * rows)


@Apart
def pair_up(source, stride, rows, columns, zeros, target):  # type: ignore[no-untyped-def]
    """int16 [rows, columns] at an address as a right side of `shorts.multiply` at another, which has pairs of rows.

    All int64, `stride` in bytes. `columns` is a multiple of COLUMNS. `zeros`: address of the row after an odd number.
    """
    pairs = (rows + 1) // 2
    for column in range(0, columns, COLUMNS):
        begin = column // BLOCK * BLOCK
        wide = min(BLOCK, columns - begin)
        place = target + 4 * (begin * pairs + column - begin)
        for k in range(pairs):
            upper = source + 2 * k * stride + 2 * column
            pair(upper, upper + stride if 2 * k + 1 < rows else zeros, place + 4 * k * wide)
