"""Tiles of exact products of int16 numbers, in LLVM's own terms: sums of int32 that no order changes.

One kind of tile serves all three products of a layer that learns, because what it multiplies are pairs of neighbours:

    forwards    levels [pixel][input pair]      x weights [input pair][output]      -> sums [pixel][output]
    backwards   gradients [pixel][output pair]  x weights [output pair][input]      -> gradients [pixel][input]
    weights     levels [pixel pair][input]      x gradients [pixel pair][output]    -> sums [input][output]

Left is read one pair at a time and spread, right is read a vector of pairs at a time; how far apart rows and steps lie
is an argument. `vpmaddwd` (from SSE2 on) multiplies and adds two pairs; VNNI's `vpdpwssd` adds to the sum, too.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from shearloc.models.products import features

ROWS = 6
COLUMNS = 32
"""Widths are padded with zeros to a multiple of so many columns."""


class Kind(NamedTuple):
    """So many int32 to a vector, so many vectors to a row of a tile; the instruction that adds, if there is one."""

    lanes: int
    vectors: int
    dot: str | None = None

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.lanes * self.vectors


def kind_for(known: Any) -> Kind:
    """The fastest kind for a processor with these features."""
    if known.get("avx512vnni"):
        return Kind(16, 2, "llvm.x86.avx512.vpdpwssd.512")
    return Kind(16, 2) if known.get("avx512bw") else Kind(8, 2)


KIND = kind_for(features())

PLAIN, ADDED, LEVELS = 0, 1, 2
"""What becomes of the sums: they are stored, added to what is there, or become levels 0 .. 255 as int16."""


def _load(builder: Any, address: Any, what: Any) -> Any:
    return builder.load(builder.inttoptr(address, what.as_pointer()), align=1)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def _spread(builder: Any, word: Any, lanes: int) -> Any:
    vector = ir.VectorType(word.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, word, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))


def _dot(builder: Any, sums: Any, left: Any, right: Any, kind: Kind) -> Any:
    """sums + the products of each lane's two int16, both given as vectors of int32."""
    if kind.dot:
        of_three = ir.FunctionType(sums.type, [sums.type] * 3)
        function = builder.module.globals.get(kind.dot) or ir.Function(builder.module, of_three, kind.dot)
        return builder.call(function, [sums, left, right])
    count = 2 * kind.lanes
    pairs, wide = ir.VectorType(ir.IntType(16), count), ir.VectorType(ir.IntType(32), count)
    products = builder.mul(*(builder.sext(builder.bitcast(side, pairs), wide) for side in (left, right)))
    undefined = ir.Constant(wide, ir.Undefined)
    index = ir.VectorType(ir.IntType(32), kind.lanes)
    halves = [
        builder.shuffle_vector(products, undefined, ir.Constant(index, list(range(k, count, 2)))) for k in (0, 1)
    ]
    return builder.add(sums, builder.add(*halves))


def _levels(builder: Any, total: Any, shift: Any, lanes: int) -> Any:
    """clamp((total + 2^(shift - 1)) >> shift, 0, 255) as int16."""
    zero, one, top = (ir.Constant(total.type, [n] * lanes) for n in (0, 1, 255))
    shifts = _spread(builder, shift, lanes)
    rounding = builder.shl(one, builder.sub(shifts, one))
    level = builder.ashr(builder.add(total, rounding), shifts)
    level = builder.select(builder.icmp_signed(">", level, zero), level, zero)
    level = builder.select(builder.icmp_signed("<", level, top), level, top)
    return builder.trunc(level, ir.VectorType(ir.IntType(16), lanes))


def tile(rows: int, result: int, kind: Kind = KIND) -> Any:
    """A function for Numba that computes rows x kind.columns sums; all arguments int64.

    (left: address, bytes from row to row and from step to step; right: address, bytes from step to step; steps, at
    least 1; out: address and bytes from row to row; starts: address of int32 sums to begin with; shift)
    """
    word, number = ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(word, kind.lanes)

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        left, row_stride, left_step, right, right_step, steps, out, out_stride, starts, shift = args

        def at(address: Any, vectors: int, size: int) -> Any:
            return builder.add(address, ir.Constant(number, vectors * kind.lanes * size))

        if result == LEVELS or result == PLAIN:
            begin = [[_load(builder, at(starts, v, 4), vector) for v in range(kind.vectors)]] * rows
        else:
            begin, here = [], out
            for _ in range(rows):
                begin.append([_load(builder, at(here, v, 4), vector) for v in range(kind.vectors)])
                here = builder.add(here, out_stride)
        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, from_left, from_right = (builder.phi(number) for _ in range(3))
        step.add_incoming(ir.Constant(number, 0), before)
        from_left.add_incoming(left, before)
        from_right.add_incoming(right, before)
        sums = [[builder.phi(vector) for _ in range(kind.vectors)] for _ in range(rows)]
        columns = [_load(builder, at(from_right, v, 4), vector) for v in range(kind.vectors)]
        here = from_left
        for r, row in enumerate(sums):
            spread = _spread(builder, _load(builder, here, word), kind.lanes)
            for v, old in enumerate(row):
                row[v] = _dot(builder, old, spread, columns[v], kind)
                old.add_incoming(begin[r][v], before)
                old.add_incoming(row[v], loop)
            here = builder.add(here, row_stride)
        following = builder.add(step, ir.Constant(number, 1))
        step.add_incoming(following, loop)
        from_left.add_incoming(builder.add(from_left, left_step), loop)
        from_right.add_incoming(builder.add(from_right, right_step), loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        narrow = builder.trunc(shift, word)
        for row in sums:
            for v, total in enumerate(row):
                if result == LEVELS:
                    _store(builder, _levels(builder, total, narrow, kind.lanes), at(out, v, 2))
                else:
                    _store(builder, total, at(out, v, 4))
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    @intrinsic
    def one(_, left, row_stride, left_step, right, right_step, steps, out, out_stride, starts, shift):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 10), generate

    return one


def _product(result: int) -> Any:
    """A kernel of rows x columns sums with one kind of result."""
    six, one = tile(ROWS, result), tile(1, result)
    width, size = KIND.columns, 2 if result == LEVELS else 4

    @njit(cache=True, nogil=True)
    def product(left, row_stride, left_step, right, right_step, steps, rows, columns, out, out_stride, starts, shift):  # type: ignore[no-untyped-def]
        for column in range(0, columns, width):
            row = 0
            while row < rows:
                many = row + ROWS <= rows
                source, target = left + row * row_stride, out + row * out_stride + size * column
                there, begin = right + 4 * column, starts + 4 * column
                if many:
                    six(source, row_stride, left_step, there, right_step, steps, target, out_stride, begin, shift)
                else:
                    one(source, row_stride, left_step, there, right_step, steps, target, out_stride, begin, shift)
                row += ROWS if many else 1

    return product


sums_into, sums_onto, levels_into = _product(PLAIN), _product(ADDED), _product(LEVELS)
"""Kernels; arguments as those of `tile`, with so many rows and columns (a multiple of COLUMNS) before `out`."""
