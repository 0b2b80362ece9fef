"""Sees neighbours a vector at a time: what `context.look` sees one by one.

A run is a row of neighbours side by side, whose bytes lie side by side in memory. All of a vector's differences to the
prediction are taken at once; then those outside the image become 0.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...kernels import PART
from ...nets.tiles import load, spread, store

WIDTH = 32
"""Bytes of a vector."""

_BYTES, _HALVES, _WORDS = (ir.VectorType(ir.IntType(bits), WIDTH) for bits in (8, 16, 32))
_PLACES = ir.Constant(_BYTES, list(range(WIDTH)))


def channel_lanes(channels: int) -> list[list[int]]:
    """For each channel but the first, of four: -1 in its lanes of a vector, 0 in the others."""
    return [[-int(k % channels == c) for k in range(WIDTH)] for c in (1, 2, 3)]


def whole_pixels(channels: int) -> int:
    """Bytes of a vector's whole pixels: the next one begins with the first channel, too."""
    return WIDTH - WIDTH % channels


def _splat(builder: Any, number: Any, kind: Any) -> Any:
    return spread(builder, builder.trunc(number, kind.element), WIDTH)


@intrinsic
def _patterned(_, numbers, lanes):  # type: ignore[no-untyped-def]
    """The address of a vector of each channel's number (four int64, as bytes) in the channel's lanes.

    `lanes`: address of `channel_lanes`. There is one such vector for a whole kernel.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        first, *others = cgutils.unpack_tuple(builder, args[0], 4)
        vector = _splat(builder, first, _BYTES)
        for c, number in enumerate(others):
            place = builder.add(args[1], ir.Constant(args[1].type, c * WIDTH))
            own = builder.icmp_signed("!=", load(builder, place, _BYTES), ir.Constant(_BYTES, None))
            vector = builder.select(own, _splat(builder, number, _BYTES), vector)
        room = cgutils.alloca_once(builder, _BYTES)
        builder.store(vector, room)
        return builder.ptrtoint(room, ir.IntType(64))

    return types.int64(types.UniTuple(types.int64, 4), types.int64), generate


@intrinsic
def _see(_, source, inputs, place, pattern, begin, end, exact):  # type: ignore[no-untyped-def]
    """Writes what the network sees of WIDTH levels at `source`, given the predictions at `pattern`, to inputs [., .],
    int8 or int16, from its number `place` on.

    Of places before `begin` and from `end` on it sees 0. `exact`: of `Context`. All others int64.
    """
    kind = _HALVES if inputs.dtype == types.int16 else _BYTES

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, array, place, pattern, begin, end, exact = args
        data = context.make_array(signature.args[1])(context, builder, array).data
        target = builder.ptrtoint(builder.gep(data, [place]), ir.IntType(64))
        levels, predictions = (builder.zext(load(builder, place, _BYTES), _HALVES) for place in (source, pattern))
        zero, limit = ir.Constant(_HALVES, None), _splat(builder, exact, _HALVES)
        difference = builder.sub(levels, predictions)
        negative = builder.icmp_signed("<", difference, zero)
        size = builder.select(negative, builder.sub(zero, difference), difference)
        within = builder.icmp_unsigned("<", size, limit)
        beyond = builder.zext(builder.select(within, zero, builder.sub(size, limit)), _WORDS)
        # x // 3 for x < 256
        product = builder.mul(beyond, ir.Constant(_WORDS, [21846] * WIDTH))
        third = builder.trunc(builder.lshr(product, ir.Constant(_WORDS, [16] * WIDTH)), _HALVES)
        size = builder.add(builder.select(within, size, limit), third)
        seen = builder.select(negative, builder.sub(zero, size), size)
        seen = seen if kind is _HALVES else builder.trunc(seen, kind)
        inside = builder.and_(
            builder.icmp_signed(">=", _PLACES, _splat(builder, begin, _BYTES)),
            builder.icmp_signed("<", _PLACES, _splat(builder, end, _BYTES)),
        )
        store(builder, builder.select(inside, seen, ir.Constant(kind, None)), target)
        return context.get_dummy_value()

    number = types.int64
    return types.void(number, inputs, *[number] * 5), generate


patterned: Any = _patterned
see: Any = _see


@njit(**PART)
def see_run(source, inputs, place, size, step, pattern, begin, end, exact):  # type: ignore[no-untyped-def]
    """Writes what the network sees of a run of `size` bytes at an address to inputs, and up to WIDTH - 1 numbers more.

    `pattern`: the predictions, as `patterned` has them; `step`: of `whole_pixels`. Of the bytes before `begin` and from
    `end` on it sees 0; vectors that have no others are not read. Up to WIDTH - 1 bytes before and behind the others
    are. All others as `_see`.
    """
    for k in range(0, size, step):
        first, last = min(max(begin - k, 0), WIDTH), min(max(end - k, 0), WIDTH)
        see(source + k if first < last else pattern, inputs, place + k, pattern, first, last, exact)
