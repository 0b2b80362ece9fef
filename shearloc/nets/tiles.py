"""One tile of an int8 matrix product, in LLVM's own terms: what `products.py` puts together for Numba.

Numba does not find the instructions that multiply several neighbours and add them up. There are two of them:

    vpdpbusd (VNNI)                     4 unsigned bytes times 4 signed ones, added to an int32
    vpmaddwd (SSE2, AVX2, AVX-512BW)    2 signed int16 times 2 others, and these added; then to an int32

LLVM finds the second one for a sum of two products, and on other processors makes plain vector code of it. A third,
`vpmaddubsw`, takes bytes without VNNI, but saturates. Which processor has which is not known here.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


class Kind(NamedTuple):
    """How sums are formed: so many int32 to a vector, so many vectors to a row of a tile, by this function of LLVM's.

    Without a function by pairs of int16.
    """

    lanes: int
    vectors: int
    dot: str | None = None

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.lanes * self.vectors

    @property
    def group(self) -> int:
        """Inputs of a row that are multiplied at a time: four bytes, int8 or int16."""
        return 4 if self.dot else 2


def _spread(builder: Any, word: Any, kind: Kind) -> Any:
    """A vector with the same int32 in every lane."""
    vector = ir.VectorType(word.type, kind.lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, word, ir.Constant(word.type, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(vector, [0] * kind.lanes))


def _dot(builder: Any, sums: Any, inputs: Any, weights: Any, kind: Kind) -> Any:
    """sums + the products of each lane's group: unsigned bytes of `inputs` and signed ones of `weights`, or int16."""
    if kind.dot:
        of_three = ir.FunctionType(sums.type, [sums.type] * 3)
        function = builder.module.globals.get(kind.dot) or ir.Function(builder.module, of_three, kind.dot)
        return builder.call(function, [sums, inputs, weights])
    count = 2 * sums.type.count
    wide = ir.VectorType(sums.type.element, count)
    products = builder.mul(builder.sext(inputs, wide), builder.sext(weights, wide))
    undefined = ir.Constant(wide, ir.Undefined)
    first, second = (
        builder.shuffle_vector(products, undefined, ir.Constant(sums.type, list(range(k, count, 2)))) for k in (0, 1)
    )
    return builder.add(sums, builder.add(first, second))


def _level(builder: Any, total: Any, multiplier: Any, shift: Any) -> Any:
    """`layers.level` of a vector of sums with their bias, as int8: the level minus 128."""
    lanes = total.type.count
    zero, one, half, top = (ir.Constant(total.type, [n] * lanes) for n in (0, 1, 128, 255))
    rounding = builder.shl(one, builder.sub(shift, one))
    level = builder.ashr(builder.add(builder.mul(total, multiplier), rounding), shift)
    level = builder.select(builder.icmp_signed(">", level, zero), level, zero)
    level = builder.select(builder.icmp_signed("<", level, top), level, top)
    return builder.trunc(builder.sub(level, half), ir.VectorType(ir.IntType(8), lanes))


def _at(builder: Any, address: Any, offset: int) -> Any:
    return builder.add(address, ir.Constant(ir.IntType(64), offset))


def _load(builder: Any, address: Any, what: Any) -> Any:
    return builder.load(builder.inttoptr(address, what.as_pointer()), align=1)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def tile(rows: int, requantized: bool, kind: Kind) -> Any:
    """A function for Numba that computes `rows` x `kind.columns` sums, or int8 levels of them; all arguments int64.

    (address and row's bytes of the inputs, address of the weights, in / group, addresses of the starts, the multipliers
    and the shifts, address and row's bytes of the results)
    """
    word, number = ir.IntType(32), ir.IntType(64)
    vector, byte_vector = ir.VectorType(word, kind.lanes), ir.VectorType(ir.IntType(8), kind.group * kind.lanes)
    pairs = ir.VectorType(ir.IntType(16), 2 * kind.lanes)
    size = 4 * kind.lanes

    def weights_at(builder: Any, address: Any) -> Any:
        weights = _load(builder, address, byte_vector)
        return builder.bitcast(weights, vector) if kind.dot else builder.sext(weights, pairs)

    def inputs_at(builder: Any, address: Any) -> Any:
        group = _load(builder, address, word)
        if kind.dot:
            return _spread(builder, builder.xor(group, ir.Constant(word, 0x80808080)), kind)  # + 128 in each byte
        return builder.bitcast(_spread(builder, group, kind), pairs)

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        inputs, stride, weights, steps, starts, multipliers, shifts, out, out_stride = args

        def vectors_at(address: Any) -> list[Any]:
            return [_load(builder, _at(builder, address, size * v), vector) for v in range(kind.vectors)]

        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        begin = vectors_at(starts)
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(number)
        step.add_incoming(ir.Constant(number, 0), before)
        sums = [[builder.phi(vector) for _ in range(kind.vectors)] for _ in range(rows)]
        here = builder.add(weights, builder.mul(step, ir.Constant(number, kind.group * kind.columns)))
        columns = [weights_at(builder, _at(builder, here, kind.group * kind.lanes * v)) for v in range(kind.vectors)]
        here = builder.add(inputs, builder.mul(step, ir.Constant(number, 4)))
        for row in sums:
            spread = inputs_at(builder, here)
            for v, old in enumerate(row):
                row[v] = _dot(builder, old, spread, columns[v], kind)
                old.add_incoming(begin[v], before)
                old.add_incoming(row[v], loop)
            here = builder.add(here, stride)
        following = _at(builder, step, 1)
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        if requantized:
            scales = list(zip(vectors_at(multipliers), vectors_at(shifts), strict=True))
            sums = [[_level(builder, total, *scales[v]) for v, total in enumerate(row)] for row in sums]
        for row in sums:
            for v, result in enumerate(row):
                _store(builder, result, _at(builder, out, (kind.lanes if requantized else size) * v))
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    @intrinsic
    def one(_, inputs, stride, weights, steps, starts, multipliers, shifts, out, out_stride):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 9), generate

    return one


def widen(count: int) -> Any:
    """A function for Numba that writes `count` int8 at one address as int16 to another, both int64."""

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        narrow, wide = (ir.VectorType(ir.IntType(bits), count) for bits in (8, 16))
        _store(builder, builder.sext(_load(builder, args[0], narrow), wide), args[1])
        return context.get_dummy_value()

    @intrinsic
    def one(_, source, target):  # type: ignore[no-untyped-def]
        return types.void(types.int64, types.int64), generate

    return one
