"""Exact products of int16 numbers for Numba: sums of int32 that no order of adding changes, and zeros are skipped.

The products of a layer that learns multiply pairs of neighbours, which are on the left mostly zeros after a rectifier:

    forwards    levels [pixel][pair of inputs]         x weights [pair of inputs][output]    -> sums [pixel][output]
    last layer  levels [input][pair of pixels]         x gradients [pair of pixels][output]  -> sums [input][output]
    others      gradients [output][pair of pixels]     x levels [pair of pixels][input]      -> sums [output][input]
    backwards   gradients [pixel][output]              x weights [input][output]             -> gradients [pixel][input]

A row's pairs that are not zeros are the bits of a mask. A block of columns keeps its sums in registers while it goes
through them. `vpmaddwd` (SSE2, AVX2, AVX-512BW) multiplies and adds two pairs; VNNI's `vpdpwssd` adds them to the sum,
too. LLVM makes plain vector code elsewhere.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..kernels import Apart
from .products import features
from .tiles import Kind, at, load, spread, store

COLUMNS = 32
"""The right side has a multiple of so many columns."""
BLOCK = 2 * COLUMNS
"""Columns whose sums fit into registers; the last block may have half as many."""
GROUP = 64
"""Pairs of a row that are looked at together: a bit of an int64 for each."""

PLAIN, ADDED, LEVELS = 0, 1, 2
"""What becomes of the sums: they are stored, added to what is there, or become levels 0 .. 255 as int16."""

_WORD, _NUMBER = ir.IntType(32), ir.IntType(64)


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


def _first(builder: Any, count: Any) -> Any:
    """The lowest `count` bits of an int64, or all."""
    one, every = ir.Constant(_NUMBER, 1), ir.Constant(_NUMBER, -1)
    some = builder.sub(builder.shl(one, builder.and_(count, ir.Constant(_NUMBER, GROUP - 1))), one)
    return builder.select(builder.icmp_signed("<", count, ir.Constant(_NUMBER, GROUP)), some, every)


def _active(builder: Any, left: Any, steps: Any) -> Any:
    """Which of GROUP pairs at an address are not zeros, and are among the first `steps`: an int64, a bit for each."""
    pairs = ir.VectorType(_WORD, GROUP)
    other = builder.icmp_signed("!=", load(builder, left, pairs), ir.Constant(pairs, None))
    return builder.and_(builder.bitcast(other, _NUMBER), _first(builder, steps))


def _first_bit(builder: Any, mask: Any) -> Any:
    return builder.cttz(mask, ir.Constant(ir.IntType(1), 1))


def _vectors_at(builder: Any, address: Any, kind: Kind, count: int) -> list[Any]:
    """So many vectors of int32, side by side at an address."""
    vector = ir.VectorType(_WORD, kind.lanes)
    return [load(builder, at(builder, address, 4 * kind.lanes * v), vector) for v in range(count)]


def _store_sums(builder: Any, sums: list[Any], of_levels: bool, shift: Any, out: Any, kind: Kind) -> None:
    """Sums side by side to an address, int32, or the int16 levels of them."""
    narrow, size = builder.trunc(shift, _WORD), 2 if of_levels else 4
    for v, total in enumerate(sums):
        found = levels(builder, total, narrow, kind.lanes) if of_levels else total
        store(builder, found, at(builder, out, size * kind.lanes * v))


def _join(phis: list[Any], *ways: tuple[list[Any], Any]) -> None:
    """What phis are by each way: (their values, the block that it comes from)."""
    for values, block in ways:
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, block)


def _row(columns: int, of_levels: bool, kind: Kind = KIND) -> Any:
    """A function for Numba that computes a row's sums of a block of columns; all arguments int64.

    (address of the left side; of the right side, and bytes from step to step; steps, at least 1; addresses of the sums
    to begin with and of the results; shift)
    """
    count, zero, group_size = columns // kind.lanes, ir.Constant(_NUMBER, 0), ir.Constant(_NUMBER, GROUP)

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        left, right, right_step, steps, begin, out, shift = args
        starts, before = _vectors_at(builder, begin, kind, count), builder.block
        group, entry, then, after = (builder.append_basic_block(name) for name in ("group", "entry", "then", "done"))

        def phis() -> list[Any]:
            return [builder.phi(start.type) for start in starts]

        builder.branch(group)
        builder.position_at_end(group)
        here, there, missing = walk = [builder.phi(_NUMBER) for _ in range(3)]
        sums, mask = phis(), _active(builder, here, missing)
        builder.cbranch(builder.icmp_unsigned("!=", mask, zero), entry, then)

        builder.position_at_end(entry)
        active, old = builder.phi(_NUMBER), phis()
        step, rest = _first_bit(builder, active), builder.and_(active, at(builder, active, -1))
        pair = load(builder, builder.add(here, builder.shl(step, ir.Constant(_NUMBER, 2))), _WORD)
        pairs = spread(builder, pair, kind.lanes)
        factors = _vectors_at(builder, builder.add(there, builder.mul(step, right_step)), kind, count)
        new = [dot(builder, one, pairs, factor, kind) for one, factor in zip(old, factors, strict=True)]
        builder.cbranch(builder.icmp_unsigned("!=", rest, zero), entry, then)

        builder.position_at_end(then)
        ends, following = phis(), builder.sub(missing, group_size)
        onward = [at(builder, here, 4 * GROUP), builder.add(there, builder.mul(right_step, group_size)), following]
        builder.cbranch(builder.icmp_signed(">", following, zero), group, after)

        _join(walk, ([left, right, steps], before), (onward, then))
        _join(sums, (starts, before), (ends, then))
        _join([active, *old], ([mask, *sums], group), ([rest, *new], entry))
        _join(ends, (sums, group), (new, entry))
        builder.position_at_end(after)
        _store_sums(builder, ends, of_levels, shift, out, kind)
        return context.get_dummy_value()

    @intrinsic
    def one(_, left, right, right_step, steps, begin, out, shift):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 7), generate

    return one


_block_sums, _sums = _row(BLOCK, False), _row(COLUMNS, False)
_block_levels, _levels = _row(BLOCK, True), _row(COLUMNS, True)


@Apart
def multiply(result, left, row_stride, right, steps, rows, columns, out, out_stride, starts, shift):  # type: ignore[no-untyped-def]
    """rows x columns sums of the products of `steps` pairs, to `out` as `result` says.

    The left side's pair s of row r lies at left + r row_stride + 4 s; up to GROUP - 1 pairs behind each row are read.
    The right side's pairs lie as `blocks` has them. `out` has rows out_stride bytes apart: int32, or int16 for LEVELS.
    Sums begin with the int32 at `starts` (not ADDED). `shift`: of LEVELS. All are int64; nothing is checked.
    """
    for column in range(0, columns, BLOCK):
        count, there = min(BLOCK, columns - column), right + 4 * column * steps
        begin, target = starts + 4 * column, out + (2 * column if result == LEVELS else 4 * column)
        for row in range(rows):
            here, place = left + row * row_stride, target + row * out_stride
            begin = place if result == ADDED else begin
            if result == LEVELS:
                if count == BLOCK:
                    _block_levels(here, there, 4 * BLOCK, steps, begin, place, shift)
                else:
                    _levels(here, there, 4 * COLUMNS, steps, begin, place, shift)
            elif count == BLOCK:
                _block_sums(here, there, 4 * BLOCK, steps, begin, place, shift)
            else:
                _sums(here, there, 4 * COLUMNS, steps, begin, place, shift)


def blocks(matrix: NDArray[np.int16], columns: int) -> NDArray[np.int16]:
    """A right side [inputs, outputs], flat as [block of columns, pair of inputs, column, 2], filled up with zeros."""
    inputs, outputs = matrix.shape
    filled = np.pad(matrix, ((0, inputs % 2), (0, columns - outputs)))
    pairs = filled.reshape(-1, 2, columns).swapaxes(1, 2)
    return np.concatenate([pairs[:, begin : begin + BLOCK].ravel() for begin in range(0, columns, BLOCK)])


@intrinsic
def _first_of(_, mask):  # type: ignore[no-untyped-def]
    """The number of the lowest bit of a mask that is not 0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _first_bit(builder, args[0])

    return types.int64(types.int64), generate


@intrinsic
def _alive(_, levels, count):  # type: ignore[no-untyped-def]
    """Which of GROUP int16 levels at an address are above 0 and below 255, and among the first `count`: a bit each."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(16), GROUP)
        below = builder.sub(load(builder, args[0], kind), ir.Constant(kind, [1] * GROUP))
        alive = builder.icmp_unsigned("<", below, ir.Constant(kind, [254] * GROUP))
        return builder.and_(builder.bitcast(alive, _NUMBER), _first(builder, args[1]))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _dot_product(_, left, right, steps):  # type: ignore[no-untyped-def]
    """The sum of the products of int16 numbers at two addresses: `steps` times COLUMNS of them. All int64."""
    lanes = min(KIND.lanes, COLUMNS // 2)
    vector, kind = ir.VectorType(_WORD, lanes), KIND._replace(lanes=lanes)
    count = COLUMNS // 2 // lanes

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, here, there = (builder.phi(_NUMBER) for _ in range(3))
        sums = [builder.phi(vector) for _ in range(count)]
        news = []
        for v, total in enumerate(sums):
            one, other = (load(builder, at(builder, place, 4 * lanes * v), vector) for place in (here, there))
            news.append(dot(builder, total, one, other, kind))
            total.add_incoming(ir.Constant(vector, None), before)
            total.add_incoming(news[-1], loop)
        following = at(builder, step, 1)
        for phi, begin, new in (
            (step, ir.Constant(_NUMBER, 0), following),
            (here, args[0], at(builder, here, 2 * COLUMNS)),
            (there, args[1], at(builder, there, 2 * COLUMNS)),
        ):
            phi.add_incoming(begin, before)
            phi.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[2]), loop, after)
        builder.position_at_end(after)
        total = news[0]
        for more in news[1:]:
            total = builder.add(total, more)
        function = ir.FunctionType(_WORD, [vector])
        name = f"llvm.vector.reduce.add.v{lanes}i32"
        reduce = builder.module.globals.get(name) or ir.Function(builder.module, function, name)
        return builder.call(reduce, [total])

    return types.int32(types.int64, types.int64, types.int64), generate


@intrinsic
def _set(_, place, value):  # type: ignore[no-untyped-def]
    """An int32 at an address."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        store(builder, args[1], args[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.int32), generate


@intrinsic
def _clear(_, place):  # type: ignore[no-untyped-def]
    """COLUMNS int32 at an address become 0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        store(builder, ir.Constant(ir.VectorType(_WORD, COLUMNS), None), args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


first_of: Any = _first_of
alive: Any = _alive
dot_product: Any = _dot_product
set_to: Any = _set
clear: Any = _clear


@Apart
def back_through(left, right, levels, n, width, columns, products):  # type: ignore[no-untyped-def]
    """Products of n rows' gradients with the weights of `width` levels, int32 [n, width], for levels between 0 and 255.

    Others were cut off there: theirs are 0. left, levels, products: (address, bytes from row to row), of int16
    [n, columns] and [n, width]; right: address of int16 [width, columns]. `columns` is a multiple of COLUMNS; after
    another width, products up to the next multiple become 0.
    """
    for row in range(n):
        gradients, out = left[0] + row * left[1], products[0] + row * products[1]
        for column in range(0, width, COLUMNS):
            clear(out + 4 * column)
        for begin in range(0, width, GROUP):
            mask = alive(levels[0] + row * levels[1] + 2 * begin, width - begin)
            while mask != 0:
                level = begin + first_of(mask)
                mask &= mask - 1
                set_to(out + 4 * level, dot_product(gradients, right + 2 * columns * level, columns // COLUMNS))
