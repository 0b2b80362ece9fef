"""Rounds gradients to int16, and sums to parameters, a vector of columns at a time."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels import Apart
from .shorts import COLUMNS, levels
from .tiles import load, spread, store

LANES = 8


def _of(builder: Any, name: str, *vectors: Any) -> Any:
    """LLVM's function of this name, for every number of vectors of float32, or of int32."""
    kind = vectors[0].type
    letter = "f" if kind.element == ir.FloatType() else "i"
    full, form = f"llvm.{name}.v{kind.count}{letter}32", ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(builder.module.globals.get(full) or ir.Function(builder.module, form, full), vectors)


def _least(builder: Any, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", first, second), first, second)


def _largest(builder: Any, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", first, second), second, first)


def _rounding(lanes: int, kind: Any) -> Any:
    """A function for Numba that rounds so many numbers of this kind.

    (addresses of the values; their unit; addresses of the factors and the largest magnitudes; limit; address of the
    results)
    """
    floats, words, shorts = (ir.VectorType(one, lanes) for one in (ir.FloatType(), ir.IntType(32), ir.IntType(16)))

    def generate(context, builder, _, args):  # type: ignore[no-untyped-def]
        values, unit, factors, most, limit, out = args
        value = load(builder, values, ir.VectorType(kind, lanes))
        value = builder.sitofp(value, floats) if value.type == words else value
        value = builder.fmul(value, spread(builder, unit, lanes))
        # As integers, because of floats LLVM makes a store of those lanes that grow, which takes 18 cycles on Zen.
        size = builder.bitcast(_of(builder, "fabs", value), words)
        store(builder, _of(builder, "smax", size, load(builder, most, words)), most)
        whole = _of(builder, "rint", builder.fmul(value, load(builder, factors, floats)))
        high = spread(builder, limit, lanes)
        low = builder.fsub(ir.Constant(floats, None), high)
        whole = _least(builder, _largest(builder, whole, low), high)
        store(builder, builder.trunc(builder.fptosi(whole, words), shorts), out)
        return context.get_dummy_value()

    @intrinsic
    def one(_, values, unit, factors, most, limit, out):  # type: ignore[no-untyped-def]
        number, real = types.int64, types.float32
        return types.void(number, real, number, number, real, number), generate

    return one


_many_floats, _one_float = (_rounding(lanes, ir.FloatType()) for lanes in (LANES, 1))
_many_integers, _one_integer = (_rounding(lanes, ir.IntType(32)) for lanes in (LANES, 1))


@Apart
def rounded(integers, values, unit, n, count, factors, most, limit, out):  # type: ignore[no-untyped-def]
    """n rows of `count` gradients, values times `unit`, as int16: times their factors, nearest, cut off at +- `limit`.

    values, out: (address, bytes from row to row), values float32, or int32 if `integers`; factors, most: addresses of
    a float32 for each column. `most` becomes the largest magnitude of what it was and of the column's gradients.
    """
    whole = count // LANES * LANES
    for row in range(n):
        here, there = values[0] + row * values[1], out[0] + row * out[1]
        for j in range(0, whole, LANES):
            if integers:
                _many_integers(here + 4 * j, unit, factors + 4 * j, most + 4 * j, limit, there + 2 * j)
            else:
                _many_floats(here + 4 * j, unit, factors + 4 * j, most + 4 * j, limit, there + 2 * j)
        for j in range(whole, count):
            if integers:
                _one_integer(here + 4 * j, unit, factors + 4 * j, most + 4 * j, limit, there + 2 * j)
            else:
                _one_float(here + 4 * j, unit, factors + 4 * j, most + 4 * j, limit, there + 2 * j)


@intrinsic
def _shifted(_, source, target, shifts, limit):  # type: ignore[no-untyped-def]
    """COLUMNS int32 at an address, to another: divided by 2^shift, to nearest, within +- limit."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, target, shifts, limit = args
        vector = ir.VectorType(ir.IntType(32), COLUMNS)
        value, shift, one = (
            load(builder, source, vector),
            load(builder, shifts, vector),
            ir.Constant(vector, [1] * COLUMNS),
        )
        half = builder.shl(one, builder.sub(shift, one))
        value = builder.ashr(builder.add(value, half), shift)
        high = spread(builder, limit, COLUMNS)
        value = _of(builder, "smin", _of(builder, "smax", value, builder.sub(ir.Constant(vector, None), high)), high)
        store(builder, value, target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, types.int32), generate


@intrinsic
def _copied(_, source, target):  # type: ignore[no-untyped-def]
    """COLUMNS int32 at an address, to another."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        store(builder, load(builder, args[0], ir.VectorType(ir.IntType(32), COLUMNS)), args[1])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _scaled(_, source, factors, factor, target):  # type: ignore[no-untyped-def]
    """COLUMNS int32 at an address, plus those at another times a number, to a third."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, factors, factor, target = args
        sums, more = (load(builder, place, ir.VectorType(ir.IntType(32), COLUMNS)) for place in (source, factors))
        store(builder, builder.add(sums, builder.mul(more, spread(builder, factor, COLUMNS))), target)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int32, types.int64), generate


@intrinsic
def _leveled(_, source, shift, target):  # type: ignore[no-untyped-def]
    """COLUMNS int32 at an address to another, as `shorts.levels` makes them int16."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, shift, target = args
        sums = load(builder, source, ir.VectorType(ir.IntType(32), COLUMNS))
        store(builder, levels(builder, sums, shift, COLUMNS), target)
        return context.get_dummy_value()

    return types.void(types.int64, types.int32, types.int64), generate


shifted: Any = _shifted
copied: Any = _copied
scaled: Any = _scaled
leveled: Any = _leveled
