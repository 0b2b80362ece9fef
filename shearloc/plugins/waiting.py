"""Calls a function once a module has been imported, for libraries that know a plugin only when its code has run.

So `import shearloc` is enough, before or after such a library, and stays cheap where the library is not used.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def when_imported(module: str, register: Callable[[], None]) -> None:
    """Call `register` now if the module is imported, else as soon as it is, once however often this is asked for."""
    if module in sys.modules:
        register()
    elif not any(isinstance(finder, _Waiting) and finder.module == module for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(module, register))


class _Waiting:
    """Finds no module itself: it wraps the loader that others find for the module, to register afterwards."""

    def __init__(self, module: str, register: Callable[[], None]) -> None:
        self.module, self.register = module, register

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Waiting) else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Registering(spec.loader, self)  # type: ignore[assignment]  # a loader by its methods
                return spec
        return None


class _Registering:
    """The module's loader, which registers when it is done and leaves no trace."""

    def __init__(self, loader: Any, waiting: _Waiting) -> None:
        self.loader, self.waiting = loader, waiting

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self.waiting]
        self.waiting.register()
