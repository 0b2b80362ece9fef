"""What Numba leaves out while it compiles our kernels: that they are right all the same, and that it is put back."""

import copy
import gc
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba import njit, types
from numba.core.codegen import CPUCodeLibrary
from numba.core.errors import TypingError
from numba.core.postproc import PostProcessor
from numba.core.types.functions import BaseFunction
from numba.extending import intrinsic

from shearloc import shortcuts

TAKEN = [(PostProcessor, "run"), (BaseFunction, "get_call_type"), (CPUCodeLibrary, "_optimize_functions")]


def ours(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that counts as one of Shearloc's."""
    function.__module__ = "shearloc.tests"
    return function


def spy(seen: list[Any], look: Callable[[], Any]) -> Any:
    """A function for kernels that notes what `look` finds while it is compiled, and gives 1."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        seen.append(look())
        return context.get_constant(types.int64, 1)

    return intrinsic(lambda _, nothing: (types.int64(types.int64), generate))


def what_numba_has() -> list[Any]:
    return [getattr(owner, name) for owner, name in TAKEN]


@pytest.fixture
def collecting() -> Iterator[None]:
    """Garbage is collected, and afterwards as before."""
    was = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was else gc.disable)()


@njit(inline="always")
@ours
def twice(value):  # type: ignore[no-untyped-def]
    return value + value


@njit(inline="always")
@ours
def four_times(value):  # type: ignore[no-untyped-def]
    return twice(twice(value))


def test_functions_are_inlined_more_than_once() -> None:
    """Numba inlines without copies, and finds each function's code as it was."""
    times = njit(ours(lambda value: four_times(value) + twice(value) + four_times(value)))
    assert times(np.int64(3)) == 30 and times(0.5) == 5.0
    assert four_times(np.int64(3)) == 12
    inlining = sys.modules["numba.core.inline_closurecall"]
    assert inlining.copy is copy and not hasattr(inlining.InlineWorker.inline_function, "__wrapped__")


def test_one_function_of_many_types() -> None:
    """What a call of one type gave is not taken for another's, nor a literal's for a number's."""

    def mixed(a, b, c):  # type: ignore[no-untyped-def]
        return a + a, a + b, b + b, a + c, (a, b)[0], (a, b)[1], a * 2, b * 2, a < b, c + c

    arguments = np.int32(3), 0.5, np.uint8(200)
    assert njit(ours(mixed))(*arguments) == (6, 3.5, 1.0, 203, 3, 0.5, 6, 1.0, False, 400)
    assert [type(found) for found in njit(ours(mixed))(2, 3, 4.0)[:4]] == [int, int, int, float]


@pytest.mark.parametrize("before", [True, False])
def test_numba_is_as_before_afterwards(before: bool, collecting: None) -> None:
    """After compiling, and after what does not compile; within, a second kernel does not end the shortcuts."""
    seen: list[Any] = []
    looked = spy(seen, lambda: (gc.isenabled(), what_numba_has()))
    whole = what_numba_has()
    (gc.enable if before else gc.disable)()
    inner = njit(ours(lambda: 1))
    assert njit(ours(lambda: inner() + looked(0)))() == 2
    with pytest.raises(TypingError):
        njit(ours(lambda: "text" + 1))()
    assert gc.isenabled() == before and what_numba_has() == whole
    ((collected, taken),) = seen
    assert not collected and all(found is not old for found, old in zip(taken, whole, strict=True))


def test_other_functions_take_no_shortcuts(collecting: None) -> None:
    seen: list[Any] = []
    looked = spy(seen, lambda: (gc.isenabled(), what_numba_has()))
    assert njit(lambda: looked(0))() == 1
    assert seen == [(True, what_numba_has())]


def test_generators() -> None:
    """They need what lives where a block begins."""

    @njit
    @ours
    def squares(n):  # type: ignore[no-untyped-def]
        for k in range(n):
            yield k * k

    assert list(squares(4)) == [0, 1, 4, 9]


def test_a_fork_while_something_compiles(collecting: None) -> None:
    """The child has no thread that would end it."""
    watch, whole = shortcuts._WhileCompiling(), what_numba_has()
    begun = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=ours(lambda: 1))})
    watch.on_start(begun)
    assert not gc.isenabled() and what_numba_has() != whole
    watch.forked()  # as `os.register_at_fork` calls it in the child
    assert gc.isenabled() and what_numba_has() == whole
    watch.on_start(begun)
    watch.on_end(begun)
    assert gc.isenabled() and what_numba_has() == whole
