"""int8 matrix products for Numba: as fast as a processor with VNNI allows, and right on every other.

The inner loop is written in LLVM's own terms, because Numba does not find the instruction that multiplies four
pairs of bytes and adds them up (`vpdpbusd`); without it LLVM makes plain vector code of the same sums.

`vpdpbusd` takes unsigned bytes on one side. So inputs are read as x + 128, and every sum starts at -128 times the
sum of its column's weights, which takes the 128 out again. A layer's requantisation (`layers.py`) is done with the sums
still in registers: stored and read again they would take a fifth of a network's time.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 16
"""int32 sums in one vector."""
VECTORS = 4
"""Vectors of columns in one tile."""
ROWS = 6
"""Rows of inputs in one tile: 24 of 32 vector registers hold its sums."""
COLUMNS = LANES * VECTORS


def has_vnni() -> bool:
    """Whether Numba compiles for this very processor, and it has `vpdpbusd` on 512 bits."""
    chosen = getattr(config, "CPU_NAME", None) or getattr(config, "CPU_FEATURES", None)
    return not chosen and bool(binding.get_host_cpu_features().get("avx512vnni", False))


def pack(weight: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Weights int8 [in, out], in % 4 = out % 64 = 0, as `multiply` wants them.

    Returns int8 [out / 64, in / 4, 64, 4], and the value int32 [out] that each column's sum starts from.
    """
    inputs, outputs = weight.shape
    tiles = weight.reshape(inputs // 4, 4, outputs // COLUMNS, COLUMNS).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(tiles), (-128 * weight.astype(np.int64).sum(0)).astype(np.int32)


def _dot(builder: Any, sums: Any, inputs: Any, weights: Any, vnni: bool) -> Any:
    """sums + the products of each lane's four unsigned bytes of `inputs` and signed bytes of `weights`."""
    vector = sums.type
    if vnni:
        name = "llvm.x86.avx512.vpdpbusd.512"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        return builder.call(function, [sums, inputs, weights])
    for k in range(4):
        low, up, down, byte = (ir.Constant(vector, [n] * LANES) for n in (8 * k, 24 - 8 * k, 24, 255))
        unsigned = builder.and_(builder.lshr(inputs, low), byte)
        signed = builder.ashr(builder.shl(weights, up), down)
        sums = builder.add(sums, builder.mul(unsigned, signed))
    return sums


def _level(builder: Any, total: Any, multiplier: Any, shift: Any) -> Any:
    """`layers.level` of a vector of sums with their bias, as int8: the level minus 128."""
    zero, one, half, top = (ir.Constant(total.type, [n] * LANES) for n in (0, 1, 128, 255))
    rounding = builder.shl(one, builder.sub(shift, one))
    level = builder.ashr(builder.add(builder.mul(total, multiplier), rounding), shift)
    level = builder.select(builder.icmp_signed(">", level, zero), level, zero)
    level = builder.select(builder.icmp_signed("<", level, top), level, top)
    return builder.trunc(builder.sub(level, half), ir.VectorType(ir.IntType(8), LANES))


def _tile(rows: int, requantized: bool, vnni: bool) -> Any:
    """A function for Numba that computes `rows` x 64 sums, or int8 levels of them; all its arguments are int64.

    (address and row's bytes of the inputs, address of the weights, in / 4, addresses of the starts, the multipliers
    and the shifts, address and row's bytes of the results)
    """

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        inputs, stride, weights, steps, starts, multipliers, shifts, out, out_stride = args
        word, number = ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(word, LANES)
        undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * LANES)

        def at(address: Any, offset: int) -> Any:
            return builder.add(address, ir.Constant(number, offset))

        def load(address: Any, kind: Any) -> Any:
            return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)

        before = builder.block
        loop, after = builder.append_basic_block("step"), builder.append_basic_block("done")
        begin = [load(at(starts, 4 * LANES * v), vector) for v in range(VECTORS)]
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(number)
        step.add_incoming(ir.Constant(number, 0), before)
        sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in range(rows)]
        here = builder.add(weights, builder.mul(step, ir.Constant(number, 4 * COLUMNS)))
        columns = [load(at(here, 4 * LANES * v), vector) for v in range(VECTORS)]
        here = builder.add(inputs, builder.mul(step, ir.Constant(number, 4)))
        for row in sums:
            four = builder.xor(load(here, word), ir.Constant(word, 0x80808080))  # + 128 in each byte
            one = builder.insert_element(undefined, four, ir.Constant(word, 0))
            spread = builder.shuffle_vector(one, undefined, zeros)
            for v, old in enumerate(row):
                row[v] = _dot(builder, old, spread, columns[v], vnni)
                old.add_incoming(begin[v], before)
                old.add_incoming(row[v], loop)
            here = builder.add(here, stride)
        following = at(step, 1)
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        if requantized:
            scales = [[load(at(a, 4 * LANES * v), vector) for a in (multipliers, shifts)] for v in range(VECTORS)]
            sums = [[_level(builder, total, *scales[v]) for v, total in enumerate(row)] for row in sums]
        size = LANES if requantized else 4 * LANES
        for row in sums:
            for v, result in enumerate(row):
                builder.store(result, builder.inttoptr(at(out, size * v), result.type.as_pointer()), align=1)
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    @intrinsic
    def tile(_, inputs, stride, weights, steps, starts, multipliers, shifts, out, out_stride):  # type: ignore[no-untyped-def]
        return types.void(*[types.int64] * 9), generate

    return tile


_six_sums, _one_sum = _tile(ROWS, False, has_vnni()), _tile(1, False, has_vnni())
_six_levels, _one_level = _tile(ROWS, True, has_vnni()), _tile(1, True, has_vnni())


@njit(cache=True, nogil=True)
def multiply(inputs, stride, rows, weights, steps, columns, starts, multipliers, shifts, out, out_stride):  # type: ignore[no-untyped-def]
    """int8 inputs [rows, 4 steps] times packed weights, plus `starts` -> `out` [rows, columns]; all arguments int64.

    `out` is int32 where `multipliers` is 0; else the int8 levels, as `layers.Dense` has them, of sums with their bias.
    `inputs`, `weights`, `starts` (int32 [columns], as are multipliers and shifts) and `out` are addresses, of what
    `pack` made and of arrays whose rows are `stride` and `out_stride` bytes apart. Nothing is checked; the caller keeps
    the arrays alive.
    """
    size = 4 if multipliers == 0 else 1
    for column in range(0, columns, COLUMNS):
        tile, begin = weights + 4 * steps * column, starts + 4 * column
        multiplier, shift = multipliers + 4 * column, shifts + 4 * column
        row = 0
        while row < rows:
            source, place = inputs + row * stride, out + row * out_stride + size * column
            if multipliers == 0 and row + ROWS <= rows:
                _six_sums(source, stride, tile, steps, begin, multiplier, shift, place, out_stride)
            elif multipliers == 0:
                _one_sum(source, stride, tile, steps, begin, multiplier, shift, place, out_stride)
            elif row + ROWS <= rows:
                _six_levels(source, stride, tile, steps, begin, multiplier, shift, place, out_stride)
            else:
                _one_level(source, stride, tile, steps, begin, multiplier, shift, place, out_stride)
            row += ROWS if row + ROWS <= rows else 1
