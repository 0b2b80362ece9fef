"""What Shearloc changes about Numba's cache: files that processes share, and quicker loading.

It also tells whoever waits that something is being compiled. `kernels.py` imports it before there is any kernel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pickle import PickleError
from threading import Lock, get_ident
from time import monotonic
from typing import Any
from uuid import uuid4

from numba.core import event
from numba.core.caching import Cache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

from .shortcuts import is_ours


def _name_of_its_own(cache: IndexDataCacheFile, number: int) -> str:
    """A file name for a compiled kernel, whatever the number.

    Numba numbers them. Of two processes that write to an empty cache at once both would take the same number, for two
    kernels that may differ, and one's index would lead to the other's kernel.
    """
    return str(cache._data_name_pattern.format(number=uuid4().int >> 64))


def _forgiving(load_index: Callable[[IndexDataCacheFile], Any]) -> Callable[[IndexDataCacheFile], Any]:
    """`load_index`, but an index that cannot be read is an empty one.

    An index names the types of its kernels. One that an earlier version of Shearloc left behind may name types that
    are no longer there.
    """

    def load(cache: IndexDataCacheFile) -> Any:
        try:
            return load_index(cache)
        except (ImportError, AttributeError, EOFError, PickleError):
            return {}

    return load


IndexDataCacheFile._data_name = _name_of_its_own  # type: ignore[method-assign]
IndexDataCacheFile._load_index = _forgiving(IndexDataCacheFile._load_index)  # type: ignore[method-assign]


def _light(load_overload: Callable[[Cache, Any, Any], Any]) -> Callable[[Cache, Any, Any], Any]:
    """`load_overload`, but our kernels come without all that Numba can compile, which takes 0.2 s to import."""

    def load(cache: Cache, signature: Any, target: Any) -> Any:
        if not is_ours(cache._py_func):
            return load_overload(cache, signature, target)
        rtsys.initialize(target)
        with cache._guard_against_spurious_io_errors():
            return cache._load_overload(signature, target)  # type: ignore[no-untyped-call]

    return load


Cache.load_overload = _light(Cache.load_overload)  # type: ignore[method-assign]


LONG = 1.0
"""Seconds of compiling from which on somebody should be told."""


class _Watch(event.Listener):
    """Seconds that this process compiles, on whatever threads, and a call once they are long."""

    def __init__(self, begin: Callable[[], None]) -> None:
        self.seconds, self.told = 0.0, False
        self._begin, self._lock = begin, Lock()
        self._since: dict[int, list[float]] = {}

    def on_start(self, event: Any) -> None:
        """A kernel is compiled, perhaps for another one."""
        with self._lock:
            self._since.setdefault(get_ident(), []).append(monotonic())
        self._tell()

    def on_end(self, event: Any) -> None:
        """It is done."""
        self._tell()
        with self._lock:
            began = self._since.get(get_ident())
            if began:  # else it began before this watch
                start = began.pop()
                self.seconds += 0 if began else monotonic() - start

    def _tell(self) -> None:
        with self._lock:
            began = self._since.get(get_ident())
            seconds = self.seconds + (monotonic() - began[0] if began else 0.0)
            before, self.told = self.told, self.told or seconds > LONG
        if self.told and not before:
            self._begin()


@contextmanager
def watched(begin: Callable[[], None], end: Callable[[float], None]) -> Iterator[None]:
    """Calls `begin()` once something has been compiled for LONG seconds, and then at last `end(seconds)`.

    What a cache holds is not compiled.
    """
    watch = _Watch(begin)
    with event.install_listener("numba:compile", watch):
        try:
            yield
        finally:
            if watch.told:
                end(watch.seconds)
