"""One tile of an int8 matrix product in LLVM's own terms, for processors that multiply bytes.

Numba does not find the instructions that multiply four neighbours and add them up to an int32:

    vpdpbusd (x86 with VNNI)          4 unsigned bytes times 4 signed ones
    sdot (ARM with dot products)      4 signed bytes times 4 others

`products.py` knows which processors have them; `pairs.py` is for all others.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


class Kind(NamedTuple):
    """How sums are formed: int32 lanes in a vector, vectors in a tile's row, and the LLVM function that adds to them.

    Without a function, sums are formed from pairs of int16. `signed`: the function takes inputs as signed bytes.
    """

    lanes: int
    vectors: int
    dot: str | None = None
    signed: bool = False

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.lanes * self.vectors


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector with the same value in every lane."""
    vector, place = ir.VectorType(value.type, lanes), ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(place, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(place, lanes), [0] * lanes))


def clamped(builder: Any, value: Any, low: Any, high: Any) -> Any:
    """A vector of integers, each within low .. high."""
    value = builder.select(builder.icmp_signed(">", value, low), value, low)
    return builder.select(builder.icmp_signed("<", value, high), value, high)


def levels(builder: Any, totals: list[Any], multipliers: list[Any], shifts: list[Any], roundings: list[Any]) -> Any:
    """`layers.level` of vectors of sums with their bias: the levels minus 128, as one vector of int8.

    The vectors are joined before they are cut down to bytes: there are instructions that take several at once.
    """
    kind = totals[0].type
    zero, top = (ir.Constant(kind, [n] * kind.count) for n in (0, 255))
    found = []
    for total, multiplier, shift, rounding in zip(totals, multipliers, shifts, roundings, strict=True):
        one = builder.ashr(builder.add(builder.mul(total, multiplier), rounding), shift)
        found.append(clamped(builder, one, zero, top))
    while len(found) > 1:
        found = [_joined(builder, *pair) for pair in zip(found[::2], found[1::2], strict=True)]
    narrow = ir.VectorType(ir.IntType(8), found[0].type.count)
    return builder.xor(builder.trunc(found[0], narrow), ir.Constant(narrow, [-128] * narrow.count))


def _joined(builder: Any, first: Any, second: Any) -> Any:
    """Two vectors as one, twice as long."""
    places = list(range(2 * first.type.count))
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def at(builder: Any, address: Any, offset: int) -> Any:
    """An address, or a count, and a constant more."""
    return builder.add(address, ir.Constant(ir.IntType(64), offset))


def load(builder: Any, address: Any, what: Any) -> Any:
    """What lies at an address, of any alignment."""
    return builder.load(builder.inttoptr(address, what.as_pointer()), align=1)


def store(builder: Any, value: Any, address: Any) -> None:
    """Writes to an address, of any alignment."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def _dot(builder: Any, sums: Any, inputs: Any, weights: Any, kind: Kind) -> Any:
    """sums + the products of each lane's group of bytes: all are vectors of int32."""
    factor = ir.VectorType(ir.IntType(8), 4 * kind.lanes) if kind.signed else sums.type
    of_three = ir.FunctionType(sums.type, [sums.type, factor, factor])
    name = str(kind.dot)
    function = builder.module.globals.get(name) or ir.Function(builder.module, of_three, name)
    return builder.call(function, [sums, *(builder.bitcast(vector, factor) for vector in (inputs, weights))])


def tile(rows: int, requantized: bool, kind: Kind) -> Any:
    """A function for Numba that computes `rows` x `kind.columns` sums, or int8 levels of them; all arguments int64.

    (address and row's bytes of the inputs, address of the weights, in / 4, addresses of the starts, the multipliers,
    the shifts and the roundings, address and row's bytes of the results)
    """
    word, number = ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(word, kind.lanes)
    size = 4 * kind.lanes

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        inputs, stride, weights, steps, starts, multipliers, shifts, roundings, out, out_stride = args

        def vectors_at(address: Any) -> list[Any]:
            return [load(builder, at(builder, address, size * v), vector) for v in range(kind.vectors)]

        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        begin = vectors_at(starts)
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(number)
        step.add_incoming(ir.Constant(number, 0), before)
        sums = [[builder.phi(vector) for _ in range(kind.vectors)] for _ in range(rows)]
        columns = vectors_at(builder.add(weights, builder.mul(step, ir.Constant(number, 4 * kind.columns))))
        here = builder.add(inputs, builder.mul(step, ir.Constant(number, 4)))
        for row in sums:
            four = load(builder, here, word)
            if not kind.signed:
                four = builder.xor(four, ir.Constant(word, 0x80808080))  # + 128 in each byte
            group = spread(builder, four, kind.lanes)
            for v, old in enumerate(row):
                row[v] = _dot(builder, old, group, columns[v], kind)
                old.add_incoming(begin[v], before)
                old.add_incoming(row[v], loop)
            here = builder.add(here, stride)
        following = at(builder, step, 1)
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        if requantized:
            scales = [vectors_at(place) for place in (multipliers, shifts, roundings)]
        for row in sums:
            if requantized:
                store(builder, levels(builder, row, *scales), out)
            else:
                for v, result in enumerate(row):
                    store(builder, result, at(builder, out, size * v))
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    @intrinsic
    def one(_, inputs, stride, weights, steps, starts, multipliers, shifts, roundings, out, out_stride):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 10), generate

    return one
