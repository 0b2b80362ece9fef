"""Products for processors without VNNI: pairs of inputs as int16, skipping pairs that are zero.

After a few layers most activations are 0. A row's pairs of inputs that are not both zero are listed once (`listed`).
Then each tile of columns adds up the products of the listed pairs only (`row`), 16 to an instruction: vpmaddwd of SSE2,
AVX2 and AVX-512BW. LLVM finds it for a sum of two products, and makes plain vector code of it elsewhere.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import tiles
from .tiles import Kind, at, load, spread, store

AT_ONCE = 16
"""Inputs of a row that are listed at a time; rows have a multiple of that."""

_BYTE, _HALF, _WORD, _NUMBER = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _places(builder: Any) -> Any:
    """The address of a table of 256 x 8 bytes: which bits of a byte are set, in order."""
    name = "shearloc.places"
    rows = [[k for k in range(8) if byte >> k & 1] for byte in range(256)]
    numbers = [sum(k << 8 * n for n, k in enumerate(row)) for row in rows]
    kind = ir.ArrayType(_NUMBER, 256)
    table = builder.module.globals.get(name)
    if table is None:
        table = ir.GlobalVariable(builder.module, kind, name)
        table.initializer, table.global_constant, table.linkage = ir.Constant(kind, numbers), True, "internal"
    return builder.ptrtoint(table, _NUMBER)


def _listed(context, builder, signature, args):  # type: ignore[no-untyped-def]
    inputs, groups, lowest, values, places = args
    narrow, wide, pairs = ir.VectorType(_BYTE, AT_ONCE), ir.VectorType(_HALF, AT_ONCE), ir.VectorType(_WORD, 8)
    before, loop, after = builder.block, builder.append_basic_block("group"), builder.append_basic_block("listed")
    zero = ir.Constant(_NUMBER, 0)
    offset = spread(builder, builder.trunc(lowest, _HALF), AT_ONCE)
    builder.branch(loop)
    builder.position_at_end(loop)
    group, count = builder.phi(_NUMBER), builder.phi(_NUMBER)
    here = builder.add(inputs, builder.mul(group, ir.Constant(_NUMBER, AT_ONCE)))
    levels = builder.sub(builder.sext(load(builder, here, narrow), wide), offset)
    store(builder, levels, builder.add(values, builder.mul(group, ir.Constant(_NUMBER, 2 * AT_ONCE))))
    some = builder.icmp_signed("!=", builder.bitcast(levels, pairs), ir.Constant(pairs, [0] * 8))
    byte = builder.zext(builder.bitcast(some, _BYTE), _NUMBER)
    which = load(
        builder, builder.add(_places(builder), builder.mul(byte, ir.Constant(_NUMBER, 8))), ir.VectorType(_BYTE, 8)
    )
    first = spread(builder, builder.trunc(builder.mul(group, ir.Constant(_NUMBER, 8)), _WORD), 8)
    found = builder.add(builder.zext(which, pairs), first)
    store(builder, found, builder.add(places, builder.mul(count, ir.Constant(_NUMBER, 4))))
    new_group, new_count = at(builder, group, 1), builder.add(count, builder.ctpop(byte))
    for phi, new in ((group, new_group), (count, new_count)):
        phi.add_incoming(zero, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", new_group, groups), loop, after)
    builder.position_at_end(after)
    return new_count


@intrinsic
def listed(_, inputs, groups, lowest, values, places):  # type: ignore[no-untyped-def]
    """Writes a row's inputs minus `lowest` as int16, and lists its pairs that are not zero; returns how many.

    `inputs`: address of int8 [AT_ONCE groups], groups > 0; `values` of room for as many int16; `places` of room for
    half as many int32, and 8 more: pair k's inputs are 2k and 2k + 1. All arguments int64.
    """
    return types.int64(*[types.int64] * 5), _listed


def row(requantized: bool, kind: Kind) -> Any:
    """A function for Numba that computes a row of `kind.columns` sums, or int8 levels of them; all arguments int64.

    (address of the values, of the places, their number; addresses of the weights, the starts, the multipliers, the
    shifts, the roundings, the results)
    """
    vector, pairs = ir.VectorType(_WORD, kind.lanes), ir.VectorType(_HALF, 2 * kind.lanes)
    size, vectors = 4 * kind.lanes, range(kind.vectors)

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        values, places, count, weights, starts, multipliers, shifts, roundings, out = args

        def vectors_at(address: Any) -> list[Any]:
            return [load(builder, at(builder, address, size * v), vector) for v in vectors]

        before, begin = builder.block, vectors_at(starts)
        loop, after = builder.append_basic_block("pair"), builder.append_basic_block("done")
        zero = ir.Constant(_NUMBER, 0)
        builder.cbranch(builder.icmp_signed("<", zero, count), loop, after)
        builder.position_at_end(loop)
        k = builder.phi(_NUMBER)
        old = [builder.phi(vector) for _ in vectors]
        place = builder.zext(
            load(builder, builder.add(places, builder.mul(k, ir.Constant(_NUMBER, 4))), _WORD), _NUMBER
        )
        pair = load(builder, builder.add(values, builder.mul(place, ir.Constant(_NUMBER, 4))), _WORD)
        inputs = builder.bitcast(spread(builder, pair, kind.lanes), pairs)
        here = builder.add(weights, builder.mul(place, ir.Constant(_NUMBER, 4 * kind.columns)))
        new = [dot(builder, old[v], inputs, load(builder, at(builder, here, size * v), pairs)) for v in vectors]
        following = at(builder, k, 1)
        k.add_incoming(zero, before)
        k.add_incoming(following, loop)
        for v in vectors:
            old[v].add_incoming(begin[v], before)
            old[v].add_incoming(new[v], loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        sums = [builder.phi(vector) for _ in vectors]
        for v in vectors:
            sums[v].add_incoming(begin[v], before)
            sums[v].add_incoming(new[v], loop)
        if requantized:
            scales = [vectors_at(place) for place in (multipliers, shifts, roundings)]
            store(builder, tiles.levels(builder, sums, *scales), out)
        else:
            for v in vectors:
                store(builder, sums[v], at(builder, out, size * v))
        return context.get_dummy_value()

    @intrinsic
    def one(_, values, places, count, weights, starts, multipliers, shifts, roundings, out):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 9), generate

    return one


def dot(builder: Any, sums: Any, inputs: Any, weights: Any) -> Any:
    """sums + the products of each lane's pair of int16."""
    count = 2 * sums.type.count
    wide = ir.VectorType(_WORD, count)
    products = builder.mul(builder.sext(inputs, wide), builder.sext(weights, wide))
    undefined = ir.Constant(wide, ir.Undefined)
    first, second = (
        builder.shuffle_vector(products, undefined, ir.Constant(sums.type, list(range(k, count, 2)))) for k in (0, 1)
    )
    return builder.add(sums, builder.add(first, second))
