"""Exact products of int16 numbers for Numba: sums of int32 that no order of adding changes.

One kind of tile serves the three products of a layer that learns, because each multiplies pairs of neighbours:

    forwards    levels [pixel][pair of inputs]      x weights [pair of inputs][output]    -> sums [pixel][output]
    backwards   gradients [pixel][pair of outputs]  x weights [pair of outputs][input]    -> gradients [pixel][input]
    weights     levels [pair of pixels][input]      x gradients [pair of pixels][output]  -> sums [input][output]

The left side is read a pair at a time, the right side a vector of pairs. `vpmaddwd` (SSE2, AVX2, AVX-512BW) multiplies
and adds two pairs; VNNI's `vpdpwssd` adds them to the sum, too. LLVM makes plain vector code elsewhere.
"""

from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels import Apart
from .products import features
from .tiles import Kind, load, spread, store

ROWS = 6
"""Rows of a tile: with two vectors a row, 12 of 16 registers hold sums."""
COLUMNS = 32
"""The right side has a multiple of so many columns."""

PLAIN, ADDED, LEVELS = 0, 1, 2
"""What becomes of the sums: they are stored, added to what is there, or become levels 0 .. 255 as int16."""


def kind_for(known: Mapping[str, bool]) -> Kind:
    """The fastest kind for a processor with these features, by LLVM's names."""
    if known.get("avx512vnni"):
        return Kind(16, 2, "llvm.x86.avx512.vpdpwssd.512")
    if known.get("avxvnni"):
        return Kind(8, 2, "llvm.x86.avx512.vpdpwssd.256")
    return Kind(16, 2) if known.get("avx512bw") else Kind(8, 2)


KIND = kind_for(features())


def dot(builder: Any, sums: Any, left: Any, right: Any, kind: Kind) -> Any:
    """sums + the products of each lane's two int16, both given as vectors of int32."""
    if kind.dot:
        of_three = ir.FunctionType(sums.type, [sums.type] * 3)
        function = builder.module.globals.get(kind.dot) or ir.Function(builder.module, of_three, kind.dot)
        return builder.call(function, [sums, left, right])
    count = 2 * kind.lanes
    pairs, wide = ir.VectorType(ir.IntType(16), count), ir.VectorType(ir.IntType(32), count)
    products = builder.mul(*(builder.sext(builder.bitcast(side, pairs), wide) for side in (left, right)))
    undefined, index = ir.Constant(wide, ir.Undefined), ir.VectorType(ir.IntType(32), kind.lanes)
    first, second = (
        builder.shuffle_vector(products, undefined, ir.Constant(index, list(range(k, count, 2)))) for k in (0, 1)
    )
    return builder.add(sums, builder.add(first, second))


def levels(builder: Any, total: Any, shift: Any, lanes: int) -> Any:
    """clamp((total + 2^(shift - 1)) >> shift, 0, 255) as int16."""
    zero, one, top = (ir.Constant(total.type, [n] * lanes) for n in (0, 1, 255))
    shifts = spread(builder, shift, lanes)
    level = builder.ashr(builder.add(total, builder.shl(one, builder.sub(shifts, one))), shifts)
    level = builder.select(builder.icmp_signed(">", level, zero), level, zero)
    level = builder.select(builder.icmp_signed("<", level, top), level, top)
    return builder.trunc(level, ir.VectorType(ir.IntType(16), lanes))


def _begin(builder: Any, result: int, rows: int, kind: Kind, starts: Any, out: Any, out_stride: Any) -> list[Any]:
    """What each row's sums begin with: the starts, or what is there."""
    vector, number = ir.VectorType(ir.IntType(32), kind.lanes), ir.IntType(64)
    begin, here = [], starts if result != ADDED else out
    for _ in range(rows):
        places = [builder.add(here, ir.Constant(number, 4 * kind.lanes * v)) for v in range(kind.vectors)]
        begin.append([load(builder, place, vector) for place in places])
        here = here if result != ADDED else builder.add(here, out_stride)
    return begin


def tile(rows: int, result: int, kind: Kind = KIND) -> Any:
    """A function for Numba that computes rows x kind.columns sums; all arguments int64.

    (left: address, bytes from row to row and from step to step; right: address, bytes from step to step; steps, at
    least 1; out: address and bytes from row to row; starts: address of int32 sums to begin with; shift)
    """
    word, number = ir.IntType(32), ir.IntType(64)
    vector, size = ir.VectorType(word, kind.lanes), 2 if result == LEVELS else 4

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        left, row_stride, left_step, right, right_step, steps, out, out_stride, starts, shift = args
        begin = _begin(builder, result, rows, kind, starts, out, out_stride)
        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        phis = [builder.phi(number) for _ in range(3)]
        for phi, first in zip(phis, (ir.Constant(number, 0), left, right), strict=True):
            phi.add_incoming(first, before)
        step, here, there = phis
        sums = [[builder.phi(vector) for _ in range(kind.vectors)] for _ in range(rows)]
        places = [builder.add(there, ir.Constant(number, 4 * kind.lanes * v)) for v in range(kind.vectors)]
        columns = [load(builder, place, vector) for place in places]
        for r, row in enumerate(sums):
            pair = spread(builder, load(builder, here, word), kind.lanes)
            for v, old in enumerate(row):
                row[v] = dot(builder, old, pair, columns[v], kind)
                old.add_incoming(begin[r][v], before)
                old.add_incoming(row[v], loop)
            here = builder.add(here, row_stride)
        following = builder.add(step, ir.Constant(number, 1))
        for phi, new in zip(
            phis, (following, builder.add(phis[1], left_step), builder.add(there, right_step)), strict=True
        ):
            phi.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        narrow = builder.trunc(shift, word)
        for row in sums:
            for v, total in enumerate(row):
                found = levels(builder, total, narrow, kind.lanes) if result == LEVELS else total
                store(builder, found, builder.add(out, ir.Constant(number, size * kind.lanes * v)))
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    @intrinsic
    def one(_, left, row_stride, left_step, right, right_step, steps, out, out_stride, starts, shift):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 10), generate

    return one


_WIDTH = KIND.columns
_six_plain, _one_plain = tile(ROWS, PLAIN), tile(1, PLAIN)
_six_added, _one_added = tile(ROWS, ADDED), tile(1, ADDED)
_six_levels, _one_levels = tile(ROWS, LEVELS), tile(1, LEVELS)


@Apart
def multiply(  # type: ignore[no-untyped-def]
    result, left, row_stride, left_step, right, right_step, steps, rows, columns, out, out_stride, starts, shift
):
    """rows x columns sums of the products of `steps` pairs, to `out` as `result` says.

    The left side's pair s of row r lies at left + r row_stride + s left_step, the right side's of column c at right +
    s right_step + 4 c; `columns` is a multiple of COLUMNS. `out` has rows out_stride bytes apart: int32, or int16 for
    LEVELS. Sums begin with the int32 at `starts` (not ADDED). `shift`: of LEVELS. All are int64; nothing is checked.
    """
    whole = rows // ROWS * ROWS
    for column in range(0, columns, _WIDTH):
        there, begin = right + 4 * column, starts + 4 * column
        target = out + (2 * column if result == LEVELS else 4 * column)
        for row in range(0, whole, ROWS):
            source, place = left + row * row_stride, target + row * out_stride
            if result == PLAIN:
                _six_plain(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
            elif result == ADDED:
                _six_added(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
            else:
                _six_levels(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
        for row in range(whole, rows):
            source, place = left + row * row_stride, target + row * out_stride
            if result == PLAIN:
                _one_plain(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
            elif result == ADDED:
                _one_added(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
            else:
                _one_levels(source, row_stride, left_step, there, right_step, steps, place, out_stride, begin, shift)
