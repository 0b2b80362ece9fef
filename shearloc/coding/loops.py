"""Goes through an array of symbols, from lane to lane: kernels made from the functions of one symbol.

A distribution is two functions, which Numba compiles into the loops (decorate them with `register_jitable`):

    interval(k, values, parameters, scratch) -> start, freq               of values[k]
    search(k, target, values, parameters, scratch) -> value, start, freq  of the value whose interval holds the target

`values` is the whole array, one-dimensional, so that a symbol's distribution may depend on symbols that are popped
before it, those of higher k. `parameters` is a tuple of arrays; `scratch` is int64 working memory for one symbol. The
two functions must agree, and must not fail for any target.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import njit
from numba.extending import register_jitable

from .rans import KERNEL, pop_advance, pop_target, push_alone, push_symbol


class Kernels(NamedTuple):
    """Kernels of one distribution.

    push(heads, words, bases, tops, values, parameters, scratch, precision): pushes the values, the last on top. pop(the
    same) -> bool: fills values, and returns whether the message had enough words. If not, heads, tops and values mean
    nothing. measure(values, parameters, scratch, starts, freqs): fills the intervals.
    """

    push: Callable[..., None]
    pop: Callable[..., bool]
    measure: Callable[..., None]


def kernels(interval: Callable[..., Any], search: Callable[..., Any]) -> Kernels:
    """The kernels of a distribution; each is compiled when it is first called, and cached on disk."""
    return Kernels(_pushing(interval), _popping(search), _measuring(interval))


@register_jitable(inline="always")
def next_lane(lane: int, lanes: int) -> int:
    """The lane after `lane` when pushing."""
    return lane + 1 if lane + 1 < lanes else 0


@register_jitable(inline="always")
def previous_lane(lane: int, lanes: int) -> int:
    """The lane after `lane` when popping."""
    return lane - 1 if lane > 0 else lanes - 1


def _pushing(interval):  # type: ignore[no-untyped-def]
    @njit(**KERNEL)
    def push(heads, words, bases, tops, values, parameters, scratch, precision):  # type: ignore[no-untyped-def]
        if tops.size > 1:
            _push_all(True, interval, heads, words, tops, values, parameters, scratch, precision)
        else:
            _push_all(False, interval, heads, words, tops, values, parameters, scratch, precision)

    return push


def _popping(search):  # type: ignore[no-untyped-def]
    @njit(**KERNEL)
    def pop(heads, words, bases, tops, values, parameters, scratch, precision):  # type: ignore[no-untyped-def]
        if tops.size > 1:
            _pop_all(True, search, heads, words, tops, values, parameters, scratch, precision)
        else:
            _pop_all(False, search, heads, words, tops, values, parameters, scratch, precision)
        enough = True
        for k in range(tops.size):
            enough &= tops[k] >= bases[k]
        return enough

    return pop


# A shared tail's top stays in a register: `own` is a constant where these are called, so that LLVM sees it. In memory,
# or with a test for each symbol, it takes a tenth of the time.


@register_jitable
def _push_all(own, interval, heads, words, tops, values, parameters, scratch, precision):  # type: ignore[no-untyped-def]
    lane, top = 0, tops[0]
    for k in range(values.size):
        start, freq = interval(k, values, parameters, scratch)
        if own:
            top = tops[lane]
        if heads.size == 1:
            heads[0], top = push_alone(heads[0], words, top, start, freq, precision)
        else:
            heads[lane], top = push_symbol(heads[lane], words, top, start, freq, precision)
        if own:
            tops[lane] = top
        lane = next_lane(lane, heads.size)
    if not own:
        tops[0] = top


@register_jitable
def _pop_all(own, search, heads, words, tops, values, parameters, scratch, precision):  # type: ignore[no-untyped-def]
    lane, top = (values.size - 1) % heads.size, tops[0]
    for k in range(values.size - 1, -1, -1):
        target = pop_target(heads[lane], precision)
        value, start, freq = search(k, target, values, parameters, scratch)
        if own:
            top = tops[lane]
        heads[lane], top = pop_advance(heads[lane], words, top, start, freq, precision)
        if own:
            tops[lane] = top
        values[k] = value
        if top < 0:
            break
        lane = previous_lane(lane, heads.size)
    if not own:
        tops[0] = top


def _measuring(interval):  # type: ignore[no-untyped-def]
    @njit(**KERNEL)
    def measure(values, parameters, scratch, starts, freqs):  # type: ignore[no-untyped-def]
        for k in range(values.size):
            starts[k], freqs[k] = interval(k, values, parameters, scratch)

    return measure
