"""Feeds masked convolutions with the features of earlier pixels.

A masked convolution (`layers.Dense.convolution`) takes what the layer before it gave for a pixel's neighbours. A
`Neighbourhood` holds those levels; whoever walks over the images says which places they have (`models/local/past.py`).
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..kernels import LINE, PART, address
from .layers import Dense

OUTSIDE_LEVEL = -128
"""The level of all features of pixels outside an image: an activation of 0."""


class Neighbourhood(NamedTuple):
    """Levels, and where the pixels at hand find their neighbours' (Numba takes a NamedTuple).

    levels int8 [places, columns of `columns`]: what the layers before convolutions gave, for every pixel that may be
    seen; place 0 stands for all pixels outside an image. places int64 [n, neighbours + 1]: for each pixel at hand, its
    neighbours' places, and last its own. A network without convolutions has no levels and no places.
    """

    levels: NDArray[np.int8]
    places: NDArray[np.int64]


ALONE = Neighbourhood(np.empty((1, 0), np.int8), np.empty((0, 1), np.int64))
"""The neighbourhood of networks without convolutions."""


def columns(layers: tuple[Dense, ...]) -> list[int]:
    """For each layer, where a convolution's features begin in a row of levels; last, the length of a row."""
    sizes = [before.bias.size if layer.convolution else 0 for before, layer in pairwise(layers)]
    return np.cumsum([0, 0, *(-(-size // LINE) * LINE for size in sizes)]).tolist()


@njit(cache=True, nogil=True)
def convolved(neighbourhood, n, first, activations, out):  # type: ignore[no-untyped-def]
    """Keeps the activations [n, features] of the pixels, and fills `out` [n, neighbours + 1 times features].

    `first`: of `columns`. Any dtype that holds an int8. The n pixels do not see each other.
    """
    features, last = activations.shape[1], neighbourhood.places.shape[1] - 1
    for q in range(n):
        here = neighbourhood.places[q]
        for f in range(features):
            neighbourhood.levels[here[last], first + f] = np.int8(activations[q, f])
        for k in range(last + 1):
            for f in range(features):
                out[q, k * features + f] = neighbourhood.levels[here[k], first + f]


@intrinsic
def _copy_line(_, source, target):  # type: ignore[no-untyped-def]
    """Copies LINE bytes from an address to another, both int64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        vector = ir.VectorType(ir.IntType(8), LINE).as_pointer()
        line = builder.load(builder.inttoptr(args[0], vector), align=1)
        builder.store(line, builder.inttoptr(args[1], vector), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _prefetch_line(_, address):  # type: ignore[no-untyped-def]
    """Has the processor fetch what is at an address, int64, in the background."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
        reading, near, data = (ir.Constant(word, n) for n in (0, 2, 1))
        builder.call(function, [builder.inttoptr(args[0], pointer), reading, near, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@njit(**PART)
def prefetch(neighbourhood, begin, end):  # type: ignore[no-untyped-def]
    """Fetches what the pixels begin .. end - 1 of those at hand see, which is mostly in no cache."""
    width, places = neighbourhood.levels.shape[1], neighbourhood.places.shape[1]
    levels, own = address(neighbourhood.levels), neighbourhood.places.reshape(-1)
    if width:
        for at in range(np.uint64(begin * places), np.uint64(end * places)):
            for byte in range(0, width, LINE):
                _prefetch_line(levels + own[at] * width + byte)  # type: ignore[call-arg]


@njit(**PART)
def convolved_lines(neighbourhood, begin, rows, first, features, source, stride, out):  # type: ignore[no-untyped-def]
    """`convolved` for the pixels begin .. begin + rows - 1, in whole lines, which is ten times as fast.

    `source`: the address of their activations int8, in rows of `stride` bytes, a multiple of LINE. out int8 [>= rows,
    at least LINE more columns than are wanted]. A line that is not full runs over into the next neighbour's features,
    which are copied after it.
    """
    last, width = np.uint64(neighbourhood.places.shape[1] - 1), neighbourhood.levels.shape[1]
    levels, target = address(neighbourhood.levels) + first, address(out)
    for q in range(np.uint64(begin), np.uint64(begin + rows)):
        own = levels + neighbourhood.places[q, last] * width
        for byte in range(0, features, LINE):
            _copy_line(source + byte, own + byte)  # type: ignore[call-arg]
        place = target
        for k in range(last + np.uint64(1)):
            seen = levels + neighbourhood.places[q, k] * width
            for byte in range(0, features, LINE):
                _copy_line(seen + byte, place + byte)  # type: ignore[call-arg]
            place += features
        source += stride
        target += out.shape[1]
