"""A tile of a head's outputs in LLVM's own terms: a vector of int32 from sums to levels, or to parameters.

Numba's own loops take twice as long. They multiply totals in 64 bits, which few models need, and do not find the
instruction that multiplies pairs of int16 (`nets/pairs.py`), as units' levels and weights are here.
"""

from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...kernels import VECTOR
from ...nets.pairs import dot
from ...nets.tiles import at, clamped, load, spread, store

TILE = 4 * VECTOR
"""Bytes of a tile's int32."""

HIGH_BITS = 12
"""A weight w of a unit's level is high * 2^HIGH_BITS + low, both int16; of shipped models high is 0."""

ROWS = 5
BIAS, LIMIT, MULTIPLIER, SHIFT, HALF = range(ROWS)
"""Rows of scales int32 [..., rows, W], by which int32 totals become parameters or levels: with their bias added,
(total * multiplier + half) >> shift, half = 2^(shift - 1). Totals beyond the limit give, once clamped, what those at it
give."""

_HALVES, _WORDS, _NUMBER = ir.VectorType(ir.IntType(16), VECTOR), ir.VectorType(ir.IntType(32), VECTOR), ir.IntType(64)
_PAIRS, _WIDE = ir.VectorType(ir.IntType(16), 2 * VECTOR), ir.VectorType(_NUMBER, VECTOR // 2)


def _all(kind: Any, value: int) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _sum(builder: Any, *places: Any) -> Any:
    """The sum of the vectors at these addresses."""
    return reduce(builder.add, [load(builder, place, _WORDS) for place in places])


def _rescaled(builder: Any, total: Any, scales: Any, width: Any, wide: Any) -> Any:
    """Totals times their multipliers / 2^shift, rounded.

    `scales`: address of the tile's first bias; `width`: bytes of a row of scales; `wide`: whether products may leave an
    int32.
    """
    limit, multiplier, shift, half = (
        load(builder, builder.add(scales, builder.mul(width, ir.Constant(_NUMBER, row))), _WORDS)
        for row in (LIMIT, MULTIPLIER, SHIFT, HALF)
    )
    total = clamped(builder, total, builder.sub(_all(_WORDS, 0), limit), limit)
    long, short, end = (builder.append_basic_block(name) for name in ("wide", "narrow", "scaled"))
    builder.cbranch(builder.icmp_signed("!=", wide, ir.Constant(_NUMBER, 0)), long, short)
    builder.position_at_end(long)
    first = _wide(builder, total, multiplier, builder.sub(shift, _all(_WORDS, 1)))
    builder.branch(end)
    builder.position_at_end(short)
    second = builder.ashr(builder.add(builder.mul(total, multiplier), half), shift)
    builder.branch(end)
    builder.position_at_end(end)
    found = builder.phi(_WORDS)
    found.add_incoming(first, long)
    found.add_incoming(second, short)
    return found


def _wide(builder: Any, total: Any, multiplier: Any, shift: Any) -> Any:
    """(((total * multiplier) >> shift) + 1) >> 1 by products of 64 bits, even and odd lanes apart: vpmuldq."""
    low, high = _all(_WIDE, 32), _all(_WIDE, (1 << 32) - 1)
    words = [builder.bitcast(value, _WIDE) for value in (total, multiplier, shift)]
    even = [builder.ashr(builder.shl(word, low), low) for word in words[:2]]
    odd = [builder.ashr(word, low) for word in words[:2]]
    # The result fits an int32, so its low bits are right however the sign is shifted in; AVX2 shifts in only zeros.
    even_shifted = builder.lshr(builder.mul(*even), builder.and_(words[2], high))
    odd_shifted = builder.lshr(builder.mul(*odd), builder.lshr(words[2], low))
    lanes = [builder.bitcast(value, _WORDS) for value in (even_shifted, builder.shl(odd_shifted, low))]
    places = [lane + VECTOR * (lane % 2) for lane in range(VECTOR)]
    both = builder.shuffle_vector(*lanes, ir.Constant(_WORDS, places))
    return builder.ashr(builder.add(both, _all(_WORDS, 1)), _all(_WORDS, 1))


def _make_levels(context, builder, signature, args):  # type: ignore[no-untyped-def]
    sums, totals, scales, width, wide, top, out = args
    total = _sum(builder, sums, totals, scales)
    top = spread(builder, builder.trunc(top, ir.IntType(32)), VECTOR)
    level = clamped(builder, _rescaled(builder, total, scales, width, wide), _all(_WORDS, 0), top)
    store(builder, builder.trunc(level, _HALVES), out)
    return context.get_dummy_value()


@intrinsic
def _unit_levels(_, sums, totals, scales, width, wide, top, out):  # type: ignore[no-untyped-def]
    """Levels 0 .. `top` of VECTOR units, as int16: of sums and totals int32.

    All arguments int64: addresses, and `width` and `wide` as `_rescaled` has them.
    """
    return types.void(*[types.int64] * 7), _make_levels


unit_levels: Any = _unit_levels


def _with_pairs(builder: Any, sums: Any, pairs: Any, count: Any, weights: Any) -> Any:
    """Sums, and the products of `count` pairs of int16 with their weights int16 [count, VECTOR, 2], at addresses."""
    before, loop, after = builder.block, builder.append_basic_block("pair"), builder.append_basic_block("added")
    zero = ir.Constant(_NUMBER, 0)
    builder.cbranch(builder.icmp_signed("<", zero, count), loop, after)
    builder.position_at_end(loop)
    k, old = builder.phi(_NUMBER), builder.phi(_WORDS)
    pair = load(builder, builder.add(pairs, builder.mul(k, ir.Constant(_NUMBER, 4))), ir.IntType(32))
    here = load(builder, builder.add(weights, builder.mul(k, ir.Constant(_NUMBER, 4 * VECTOR))), _PAIRS)
    new, following = dot(builder, old, builder.bitcast(spread(builder, pair, VECTOR), _PAIRS), here), at(builder, k, 1)
    for phi, first, later in ((k, zero, following), (old, sums, new)):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    found = builder.phi(_WORDS)
    found.add_incoming(sums, before)
    found.add_incoming(new, loop)
    return found


def _make_parameters(context, builder, signature, args):  # type: ignore[no-untyped-def]
    sums, scales, width, wide, limit, pairs, high_count, highs, count, lows, out = args
    limit = spread(builder, builder.trunc(limit, ir.IntType(32)), VECTOR)
    total = _with_pairs(builder, _all(_WORDS, 0), pairs, high_count, highs)
    total = builder.shl(total, _all(_WORDS, HIGH_BITS))
    total = builder.add(total, _sum(builder, sums, scales))
    total = _with_pairs(builder, total, pairs, count, lows)
    total = _rescaled(builder, total, scales, width, wide)
    store(builder, clamped(builder, total, builder.sub(_all(_WORDS, 0), limit), limit), out)
    return context.get_dummy_value()


@intrinsic
def _parameters(_, sums, scales, width, wide, limit, pairs, high_count, highs, count, lows, out):  # type: ignore[no-untyped-def]
    """VECTOR parameters int32 within +- `limit`: of sums int32, and of units whose levels are `pairs` of int16.

    All arguments int64: addresses, `width` and `wide` as `_rescaled` has them, and how many pairs have high and low
    weights.
    """
    return types.void(*[types.int64] * 11), _make_parameters


parameters: Any = _parameters
