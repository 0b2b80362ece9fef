"""A cache for threads: each value is made once, callers that ask meanwhile wait for it, and the oldest goes first."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Values by key, up to `most` bytes of them; `size` says how many bytes a value takes.

    A value larger than that is returned but not kept. A forked process starts with an empty cache of its own: another
    thread of its parent may have held the lock.
    """

    def __init__(self, most: int, size: Callable[[Value], int]) -> None:
        self._most, self._size = most, size
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, Future[Value]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key; `make` makes it if it is missing. An error in `make` reaches all who wait."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            else:
                mine: Future[Value] = Future()
                self._values[key] = mine
        if found is not None:
            return found.result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._values[key]
            mine.set_exception(error)
            raise
        self._keep(key, mine, value)
        return value

    def _keep(self, key: Key, mine: Future[Value], value: Value) -> None:
        """Hands a new value to those who wait, and drops the oldest values until all fit, or it if it never can."""
        size = self._size(value)
        with self._lock:
            mine.set_result(value)
            if size > self._most:
                del self._values[key]
                return
            self._bytes += size
            for key in [key for key, one in self._values.items() if one.done()]:
                if self._bytes <= self._most:
                    break
                self._bytes -= self._size(self._values.pop(key).result())
